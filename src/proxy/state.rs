//! The state file: the last thread id that was seen, for whoever comes after.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Component, Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::fs::OFlags;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Far more than a state takes; a larger file is not one.
const LARGEST: u64 = 64 * 1024;
/// How long after a failure the file is written again, at first and at most.
const RETRY: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// The state, and whether the file has it.
#[derive(Debug)]
pub(super) struct State {
    pub(super) file: PathBuf,
    /// The JSON text `{"v":1,"currentThreadId":…}`.
    pub(super) json: String,
    /// The JSON string, with its quotes.
    thread: Option<Box<str>>,
    dirty: bool,
    /// The file could not be written: when it is tried again, and how long that was put off.
    retry: Option<(Instant, Duration)>,
}

impl State {
    /// Reads the file. One that is missing, unreadable or not ours counts as empty.
    pub(super) fn load(file: PathBuf) -> Self {
        #[derive(Deserialize)]
        struct File {
            v: Value,
            #[serde(rename = "currentThreadId", default)]
            thread: Value,
        }
        let stored = read(&file)
            .ok()
            .and_then(|text| serde_json::from_slice::<File>(&text).ok())
            .filter(|file| file.v == 1 && file.thread.is_string());
        let mut state = Self {
            file,
            json: String::new(),
            thread: None,
            dirty: false,
            retry: None,
        };
        state.set(stored.map(|file| file.thread.to_string().into()));
        state
    }

    /// Takes note of a thread (a JSON string); whether it is another than before.
    pub(super) fn see(&mut self, thread: &str) -> bool {
        if self.thread.as_deref() == Some(thread) {
            return false;
        }
        self.set(Some(thread.into()));
        self.dirty = true;
        true
    }

    fn set(&mut self, thread: Option<Box<str>>) {
        self.json = format!(
            r#"{{"v":1,"currentThreadId":{}}}"#,
            thread.as_deref().unwrap_or("null")
        );
        self.thread = thread;
    }

    /// Brings the file up to date, if that is due. Returns the error of a first failure; the file is written again in
    /// growing intervals until that succeeds.
    pub(super) fn save(&mut self, now: Instant) -> Option<io::Error> {
        if !self.dirty || self.next_try().is_some_and(|at| now < at) {
            return None;
        }
        match self.write() {
            Ok(()) => {
                self.dirty = false;
                self.retry = None;
                None
            }
            Err(error) => {
                let first = self.retry.is_none();
                let pause = self
                    .retry
                    .map_or(RETRY, |(_, before)| RETRY_MAX.min(before * 2));
                self.retry = Some((now + pause, pause));
                first.then_some(error)
            }
        }
    }

    /// When a file that could not be written is written again.
    pub(super) fn next_try(&self) -> Option<Instant> {
        self.retry.map(|(at, _)| at)
    }

    /// Writes the file at once, after a failure too.
    pub(super) fn save_last(&mut self, now: Instant) -> Option<io::Error> {
        if let Some((at, _)) = &mut self.retry {
            *at = now;
        }
        self.save(now)
    }

    /// Through a temporary file of its own, so that nobody ever reads half of one.
    fn write(&self) -> io::Result<()> {
        let dir = self.file.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(dir)?;
        // A pipe, a socket or a device in its place is somebody else's, and would be gone.
        if let Ok(there) = fs::metadata(&self.file)
            && !there.is_file()
        {
            return Err(not_a_file());
        }
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        let own = dir.join(format!(".{name}.{}.tmp", uuid::Uuid::new_v4()));
        // For its owner alone, as the threads that it names.
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&own)
            .and_then(|mut file| file.write_all(self.json.as_bytes()))
            .and_then(|()| fs::rename(&own, &self.file));
        if written.is_err() {
            // What is there of it is of no use to anybody; the error to tell is the first one.
            let _ = fs::remove_file(&own);
        }
        written
    }
}

/// What is in a state file. Waits for nobody, whatever stands in its place.
fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut options = OpenOptions::new();
    // Opening a pipe would wait for its writer.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let opened = options.read(true).custom_flags(flags).open(file)?;
    if !opened.metadata()?.is_file() {
        return Err(not_a_file());
    }
    let mut text = Vec::new();
    opened.take(LARGEST).read_to_end(&mut text)?;
    Ok(text)
}

fn not_a_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")
}

/// Where the state of a directory is kept unless told otherwise.
pub(super) fn default_file(cwd: &Path) -> PathBuf {
    let digest = Sha256::digest(cwd.as_os_str().as_encoded_bytes());
    let hash = u64::from_be_bytes(*digest.first_chunk().expect("a SHA-256 has 32 bytes"));
    let home = std::env::home_dir().unwrap_or_default();
    home.join(".codex/cas/state")
        .join(format!("{hash:016x}.json"))
}

/// A path made absolute by its text alone: `.` and `..` go, symbolic links stay.
pub(super) fn absolute(base: &Path, path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in base.join(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(out.pop()),
            part => out.push(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_default_file_is_named_by_the_hash_of_the_directory() {
        // printf /repo | sha256sum
        let file = default_file(Path::new("/repo"));
        assert!(
            file.ends_with(".codex/cas/state/816fc349d3faebf8.json"),
            "{}",
            file.display()
        );
    }

    #[test]
    fn a_path_is_made_absolute_without_asking_the_file_system() {
        let absolute = |path| absolute(Path::new("/a/b"), Path::new(path));
        assert_eq!(absolute("../c/./d"), Path::new("/a/c/d"));
        assert_eq!(absolute("/x/../../y/"), Path::new("/y"));
        assert_eq!(absolute("."), Path::new("/a/b"));
    }

    #[test]
    fn a_file_that_could_not_be_written_is_written_as_soon_as_it_can_be() {
        let dir = tempfile::tempdir().unwrap();
        let blocked = dir.path().join("blocked");
        fs::write(&blocked, "a file where the directory is to be").unwrap();
        let mut state = State::load(blocked.join("state.json"));
        state.see(r#""t-1""#);
        let now = Instant::now();
        assert!(state.save(now).is_some(), "the first failure is told");
        let mut at = now;
        for _ in 0..20 {
            let next = state.next_try().unwrap();
            assert!(next > at && next <= at + RETRY_MAX);
            at = next;
            assert!(
                state.save(at).is_none(),
                "the same failure is not told again"
            );
        }
        fs::remove_file(&blocked).unwrap();
        assert!(state.save(state.next_try().unwrap()).is_none());
        assert_eq!(state.next_try(), None);
        assert_eq!(State::load(blocked.join("state.json")).json, state.json);
    }

    #[test]
    fn what_is_no_regular_file_is_neither_waited_for_nor_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
        let directory = dir.path().join("directory");
        fs::create_dir(&directory).unwrap();
        for there in [pipe, directory, "/dev/null".into()] {
            let mut state = State::load(there.clone());
            assert_eq!(state.json, r#"{"v":1,"currentThreadId":null}"#);
            state.see(r#""t-1""#);
            let error = state.save(Instant::now()).unwrap().to_string();
            assert!(error.contains("regular file"), "{error}");
            assert!(!fs::metadata(there).unwrap().is_file());
        }
    }

    #[test]
    fn a_file_that_is_not_ours_counts_as_empty_and_ours_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("deep/down/state.json");
        let empty = r#"{"v":1,"currentThreadId":null}"#;
        assert_eq!(State::load(file.clone()).json, empty);
        let mut state = State::load(file.clone());
        assert!(state.see(r#""t-1""#) && !state.see(r#""t-1""#));
        assert!(state.save(Instant::now()).is_none());
        assert_eq!(
            State::load(file.clone()).json,
            r#"{"v":1,"currentThreadId":"t-1"}"#
        );
        for foreign in [
            "",
            "{",
            "[]",
            r#"{"v":2,"currentThreadId":"t"}"#,
            r#"{"v":1,"currentThreadId":5}"#,
        ] {
            fs::write(&file, foreign).unwrap();
            assert_eq!(State::load(file.clone()).json, empty, "{foreign}");
        }
        assert!(state.see(r#""t-2""#));
        assert!(state.save(Instant::now()).is_none());
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "whatever it was before");
        let left = fs::read_dir(file.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "no temporary file stays");
    }
}

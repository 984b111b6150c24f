//! The state file: the last thread id that was seen, for the next instance.

use std::{
    ffi::OsString,
    io,
    path::{Component, Path, PathBuf},
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use cas_sdk::internal::PrivateDir;

/// Far more than a state needs; a larger file is not a state file.
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
    /// Whether its directory is this program's by its name.
    own_dir: bool,
    /// If the file could not be written: when to try again, and how long the last pause was.
    retry: Option<(Instant, Duration)>,
}

impl State {
    /// The state of a directory, in its default place.
    pub(super) fn of(cwd: &Path) -> Self {
        Self::read(default_file(cwd), true)
    }

    /// Reads the file. One that is missing, unreadable or not ours counts as empty.
    pub(super) fn load(file: PathBuf) -> Self {
        Self::read(file, false)
    }

    fn read(file: PathBuf, own_dir: bool) -> Self {
        #[derive(Deserialize)]
        struct File {
            v: Value,
            #[serde(rename = "currentThreadId", default)]
            thread: Value,
        }
        let stored = PrivateDir::of_existing(&file)
            .and_then(|(dir, name)| dir.read(name, LARGEST))
            .ok()
            .and_then(|text| serde_json::from_slice::<File>(&text).ok())
            .filter(|file| file.v == 1 && file.thread.is_string());
        let mut state = Self {
            file,
            json: String::new(),
            thread: None,
            dirty: false,
            own_dir,
            retry: None,
        };
        state.set(stored.map(|file| file.thread.to_string().into()));
        state
    }

    /// Records a thread (a JSON string). Returns whether it differs from the previous one.
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

    /// Updates the file if that is due. Returns the error of a first failure; after that, writing
    /// is retried at growing intervals until it succeeds.
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

    /// Writes a temporary file and renames it, so that nobody ever reads half a file.
    fn write(&self) -> io::Result<()> {
        let (dir, name) = self.dir()?;
        // A pipe, a socket or a device in its place is somebody else's, and would be gone.
        if let Ok(there) = self.file.symlink_metadata()
            && !(there.is_file() || there.is_symlink())
        {
            let text = "it is not a regular file";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        // For its owner alone, as the threads that it names.
        let own = format!(".{}.{}.tmp", name.display(), uuid::Uuid::new_v4());
        dir.replace_through(own, &name, self.json.as_bytes())
    }

    fn dir(&self) -> io::Result<(PrivateDir, OsString)> {
        if self.own_dir
            && let (Some(dir), Some(name)) = (self.file.parent(), self.file.file_name())
        {
            return Ok((PrivateDir::own_and_closed(dir)?, name.to_owned()));
        }
        PrivateDir::of_file(&self.file)
    }
}

/// The default place of a directory's state file.
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
    use std::fs;
    #[cfg(unix)]
    use std::os::unix::fs::{PermissionsExt as _, symlink};

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

    #[cfg(unix)]
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
        #[cfg(unix)]
        {
            let mode = fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "whatever it was before");
        }
        let left = fs::read_dir(file.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "no temporary file stays");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_replaced_and_not_written_through_and_a_directory_of_everybody_is_refused() {
        let tmp = tempfile::tempdir().unwrap();
        let (victim, file) = (tmp.path().join("victim"), tmp.path().join("state.json"));
        let theirs = r#"{"v":1,"currentThreadId":"theirs"}"#;
        fs::write(&victim, theirs).unwrap();
        symlink(&victim, &file).unwrap();
        let mut state = State::load(file.clone());
        assert_eq!(state.thread, None, "a link is not followed");
        assert!(state.see(r#""t-1""#));
        assert!(state.save(Instant::now()).is_none());
        assert_eq!(fs::read_to_string(&victim).unwrap(), theirs);
        assert!(!fs::symlink_metadata(&file).unwrap().is_symlink());

        let shared = tmp.path().join("shared");
        fs::create_dir(&shared).unwrap();
        fs::write(shared.join("state.json"), theirs).unwrap();
        for (mode, good) in [
            (0o777, false),
            (0o770, false),
            (0o1777, true),
            (0o755, true),
        ] {
            fs::set_permissions(&shared, fs::Permissions::from_mode(mode)).unwrap();
            let mut state = State::load(shared.join("state.json"));
            assert_eq!(state.thread.is_some(), good, "{mode:o}");
            state.see(&format!("\"{mode}\""));
            assert_eq!(state.save_last(Instant::now()).is_none(), good, "{mode:o}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_directory_of_all_states_is_made_for_the_user_alone_and_closed_if_it_is_not() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("cas/state");
        let mut state = State::read(dir.join("x.json"), true);
        for left_by_others in [0o700, 0o755, 0o775, 0o777] {
            if dir.exists() {
                fs::set_permissions(&dir, fs::Permissions::from_mode(left_by_others)).unwrap();
            }
            state.see(&format!("\"{left_by_others}\""));
            assert!(state.save(Instant::now()).is_none());
            let mode = fs::metadata(&dir).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o700);
        }
    }
}

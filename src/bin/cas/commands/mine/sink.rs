//! Where `cas mine --out` writes to: a file of its own that it continues, or a stream.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use cas_sdk::internal::PrivateDir;
use serde_json::Value;

use crate::output::{Failure, Result, raw_json};

/// The beginning of every record. By it, a record that was cut off is told from the last line of a
/// foreign file.
const BEGINNINGS: [&[u8]; 2] = [br#"{"archived":"#, br#"{"listedAt":"#];

pub(crate) enum Sink {
    /// A file whose records have been read, and its name.
    File(File, PathBuf),
    /// A pipe or a device, which is never read, and its name.
    #[cfg(unix)]
    Stream(File, PathBuf),
    Stdout,
}

impl Sink {
    /// Opens the output; `known` is called with each record that is already in it.
    ///
    /// Nothing is changed before the whole file is known to consist of records.
    pub(crate) fn open(path: &Path, known: impl FnMut(&Value)) -> Result<Self> {
        if let Some(stream) = stream::open(path)? {
            return Ok(stream);
        }
        let wrong = |e: io::Error| Failure::Usage(format!("{}: {e}", path.display()));
        let (dir, name) = PrivateDir::of_existing(path).map_err(wrong)?;
        let mut file = dir.continue_file(name).map_err(wrong)?;
        match whole(&file, known).map_err(wrong)? {
            Some((whole, ends_well)) => {
                file.set_len(whole).map_err(wrong)?;
                file.seek(SeekFrom::End(0)).map_err(wrong)?;
                if !ends_well {
                    file.write_all(b"\n").map_err(wrong)?;
                }
                Ok(Self::File(file, path.to_owned()))
            }
            None => Err(Failure::Usage(format!(
                "`cas mine` did not write {}, so it was left unchanged; name another file, or a new one",
                path.display()
            ))),
        }
    }

    pub(crate) fn write(&mut self, record: &Value) -> Result {
        match self {
            Self::Stdout => raw_json(&record.to_string()),
            Self::File(file, path) => file
                .write_all(format!("{record}\n").as_bytes())
                .map_err(|e| format!("{}: {e}", path.display()).into()),
            #[cfg(unix)]
            Self::Stream(file, path) => {
                // It may be a terminal.
                let line = format!("{}\n", cas_sdk::terminal::escape_json(&record.to_string()));
                file.write_all(line.as_bytes()).map_err(|e| match e.kind() {
                    io::ErrorKind::BrokenPipe => Failure::Output(e),
                    _ => format!("{}: {e}", path.display()).into(),
                })
            }
        }
    }
}

#[cfg(unix)]
mod stream {
    use std::{fs::File, io, os::unix::fs::FileTypeExt as _, path::Path};

    use rustix::fs::{CWD, Mode, OFlags, fcntl_getfl, fcntl_setfl, openat};

    use super::Sink;
    use crate::output::{Failure, Result};

    /// Opens what is no file: a stream of this process, a pipe or a device.
    pub(super) fn open(path: &Path) -> Result<Option<Sink>> {
        match descriptor(path) {
            Some(1) => return Ok(Some(Sink::Stdout)),
            Some(_) => return stream(path, OFlags::empty()).map(Some),
            None => {}
        }
        let kind = path.symlink_metadata().map(|about| about.file_type());
        if kind.is_ok_and(|kind| kind.is_fifo() || kind.is_char_device()) {
            return stream(path, OFlags::NOFOLLOW).map(Some);
        }
        Ok(None)
    }

    /// The descriptor of this process that a path names. The system makes links of these, which are
    /// the user's own.
    fn descriptor(path: &Path) -> Option<u32> {
        match path.to_str()? {
            "-" | "/dev/stdout" => Some(1),
            "/dev/stderr" => Some(2),
            path => (path.strip_prefix("/dev/fd/"))
                .or_else(|| path.strip_prefix("/proc/self/fd/"))?
                .parse()
                .ok(),
        }
    }

    fn stream(path: &Path, flags: OFlags) -> Result<Sink> {
        let wrong = |e: io::Error| Failure::Usage(format!("{}: {e}", path.display()));
        // A pipe that nobody reads from would wait for somebody who does.
        let flags = flags | OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = openat(CWD, path, flags, Mode::empty()).map_err(|error| match error {
            rustix::io::Errno::NXIO => io::Error::other("nobody reads from it"),
            other => other.into(),
        });
        let file = File::from(opened.map_err(wrong)?);
        let kind = file.metadata().map_err(wrong)?.file_type();
        if !kind.is_fifo() && !kind.is_char_device() {
            return Err(wrong(io::Error::other(
                "it is neither a pipe nor a file of its own name",
            )));
        }
        let flags = fcntl_getfl(&file).map_err(|e| wrong(e.into()))?;
        fcntl_setfl(&file, flags - OFlags::NONBLOCK).map_err(|e| wrong(e.into()))?;
        Ok(Sink::Stream(file, path.to_owned()))
    }
}

#[cfg(not(unix))]
mod stream {
    use std::path::Path;

    use super::Sink;
    use crate::output::Result;

    /// Standard output is the only stream with a name.
    #[expect(clippy::unnecessary_wraps, reason = "Unix can fail")]
    pub(super) fn open(path: &Path) -> Result<Option<Sink>> {
        Ok((path == Path::new("-")).then_some(Sink::Stdout))
    }
}

/// How many bytes of a file are whole records, and whether the last one has its newline. `None` if
/// anything in it is not a record, or the beginning of one that was broken off.
fn whole(file: &File, mut known: impl FnMut(&Value)) -> io::Result<Option<(u64, bool)>> {
    let (mut whole, mut line) = (0, Vec::new());
    let mut reader = BufReader::new(file);
    loop {
        line.clear();
        let n = reader.read_until(b'\n', &mut line)? as u64;
        if n == 0 {
            return Ok(Some((whole, true)));
        }
        let record = serde_json::from_slice::<Value>(&line)
            .ok()
            .filter(is_record);
        let is_last = !line.ends_with(b"\n");
        match record {
            Some(record) => {
                known(&record);
                whole += n;
                if is_last {
                    return Ok(Some((whole, false)));
                }
            }
            None if is_last && BEGINNINGS.iter().any(|begin| line.starts_with(begin)) => {
                return Ok(Some((whole, true)));
            }
            // So little of a record was written that only what stands before it can tell.
            None if is_last
                && whole > 0
                && BEGINNINGS.iter().any(|begin| begin.starts_with(&line)) =>
            {
                return Ok(Some((whole, true)));
            }
            None => return Ok(None),
        }
    }
}

fn is_record(value: &Value) -> bool {
    value["listedAt"].is_i64() && value["thread"]["id"].is_string()
}

#[cfg(test)]
#[path = "sink_tests.rs"]
mod tests;

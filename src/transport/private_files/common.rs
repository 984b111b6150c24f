//! The operations of a private directory that are the same on every platform.

use std::{
    ffi::OsString,
    io::{self, Read as _},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{PrivateDir, path::split};

impl PrivateDir {
    /// Same as [`of_file`](Self::of_file), for a file that exists.
    ///
    /// # Errors
    /// Same errors as [`of_file`](Self::of_file).
    pub fn of_existing(file: &Path) -> io::Result<(Self, OsString)> {
        let (dir, name) = split(file)?;
        Ok((Self::shared(dir)?, name))
    }

    /// Reads a file of at most `longest` bytes.
    ///
    /// # Errors
    /// Same errors as [`open_file`](Self::open_file), and if the file is longer than `longest`.
    pub fn read(&self, name: impl AsRef<Path>, longest: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open_file(name)?
            .take(longest + 1)
            .read_to_end(&mut bytes)?;
        if bytes.len() as u64 > longest {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it has more than {longest} bytes"),
            ));
        }
        Ok(bytes)
    }

    /// Writes a file under another name first, and then renames it into place:
    /// a reader sees either the whole new file or the previous one. Replaces whatever has the name,
    /// including a link.
    ///
    /// # Errors
    /// If the file can't be written. No part of the file is left then.
    pub fn replace(&self, name: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
        let unfinished = format!(".{}.tmp", unique_name());
        self.replace_through(unfinished, name, bytes)
    }

    /// The path of the directory, as it was passed in.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Returns a name that no other file of this user has.
pub(crate) fn unique_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    format!("{}-{count}-{:x}", std::process::id(), now.as_nanos())
}

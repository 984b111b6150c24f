//! Private files on Unix: by their owner and mode.
//!
//! A name is opened without following a link and without waiting. The checks look at the opened
//! file, so nobody can put another file in its place in between. A directory where another user
//! could do that is refused.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, DirBuilder, File},
    io::{self, Write as _},
    os::{
        fd::OwnedFd,
        unix::{
            ffi::OsStrExt as _,
            fs::{DirBuilderExt as _, MetadataExt as _},
        },
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, FlockOperation, Mode, OFlags, fchmod, flock, openat, renameat, unlinkat},
    process::geteuid,
};

use super::path::{refusal, split};

const OTHERS_MAY_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// An open directory in which no other user can replace a file.
#[derive(Debug)]
pub struct PrivateDir {
    fd: OwnedFd,
    pub(super) path: PathBuf,
}

impl PrivateDir {
    /// Opens a directory of this program's own. Creates the directory with mode 0700 if it does not
    /// exist.
    ///
    /// # Errors
    /// If the path is a link or not a directory, if the directory belongs to another user, or if
    /// other users may write to it.
    pub fn own(path: &Path) -> io::Result<Self> {
        Self::make(path)?;
        let this = Self::open(path, OFlags::NOFOLLOW)?;
        let about = this.metadata()?;
        check_owner("the directory", &this.path, about.uid())?;
        check_mode("the directory", &this.path, about.mode())?;
        Ok(this)
    }

    /// Same as [`own`](Self::own), for the one directory that is this program's by its name: closes
    /// the directory to other users if this user owns it.
    ///
    /// # Errors
    /// Same errors as [`own`](Self::own).
    pub fn own_and_closed(path: &Path) -> io::Result<Self> {
        Self::make(path)?;
        let this = Self::open(path, OFlags::NOFOLLOW)?;
        let about = this.metadata()?;
        if about.uid() == geteuid().as_raw() && about.mode() & 0o077 != 0 {
            fchmod(&this.fd, Mode::RWXU)?;
        }
        Self::own(path)
    }

    /// Opens the directory of a file that the user has named. Creates the directory with mode 0700
    /// if it does not exist. A sticky directory such as `/tmp` is accepted, because other users
    /// can't remove a file there.
    ///
    /// # Errors
    /// If the path is not a directory, if the directory belongs to another user, or if other users
    /// may write to it and it is not sticky.
    pub fn of_file(file: &Path) -> io::Result<(Self, OsString)> {
        let (dir, name) = split(file)?;
        Self::make(dir)?;
        Ok((Self::shared(dir)?, name))
    }

    pub(super) fn shared(dir: &Path) -> io::Result<Self> {
        let this = Self::open(dir, OFlags::empty())?;
        let about = this.metadata()?;
        check_owner("the directory", &this.path, about.uid())?;
        if about.mode() & STICKY == 0 {
            check_mode("the directory", &this.path, about.mode())?;
        }
        Ok(this)
    }

    fn make(path: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    fn open(path: &Path, flags: OFlags) -> io::Result<Self> {
        // A trailing slash or dot would make the open follow a link all the same.
        let path: PathBuf = path.components().collect();
        let flags = flags | OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&path, flags, Mode::empty()).map_err(|error| {
            match fs::symlink_metadata(&path) {
                Ok(about) if about.is_symlink() => refusal(&format!(
                    "{} is a link, which is not followed; name the directory itself",
                    path.display()
                )),
                _ => error.into(),
            }
        })?;
        Ok(Self { fd, path })
    }

    fn metadata(&self) -> io::Result<fs::Metadata> {
        File::from(self.fd.try_clone()?).metadata()
    }

    /// The names in the directory.
    ///
    /// # Errors
    /// If the directory can't be read.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsStr::from_bytes(name).to_owned());
            }
        }
        Ok(names)
    }

    /// Opens a file of this user for reading.
    ///
    /// # Errors
    /// If the file does not exist, is not a regular file of this user, or if other users may write
    /// to it.
    pub fn open_file(&self, name: impl AsRef<Path>) -> io::Result<File> {
        self.open_checked(name.as_ref(), OFlags::RDONLY)
    }

    /// Opens a file of this user for reading and appending. Creates the file with mode 0600 if it
    /// does not exist, and closes an empty one to other users. Nobody else can have the file open
    /// in this way at the same time.
    ///
    /// # Errors
    /// Same errors as [`open_file`](Self::open_file); [`WouldBlock`](io::ErrorKind::WouldBlock) if
    /// the file is already open in this way.
    pub fn continue_file(&self, name: impl AsRef<Path>) -> io::Result<File> {
        let file = self.file(name)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                "another program is writing to it",
            )),
            // Some file systems have no locks.
            _ => Ok(file),
        }
    }

    /// Same as [`continue_file`](Self::continue_file), however many programs have the file open.
    ///
    /// # Errors
    /// Same errors as [`open_file`](Self::open_file).
    pub fn file(&self, name: impl AsRef<Path>) -> io::Result<File> {
        let name = name.as_ref();
        let file = self.open_unchecked(name, OFlags::RDWR | OFlags::CREATE)?;
        let about = file.metadata()?;
        if about.is_file() && about.uid() == geteuid().as_raw() && about.len() == 0 {
            fchmod(&file, Mode::RUSR | Mode::WUSR)?;
        }
        self.check_file(name, &file)?;
        Ok(file)
    }

    /// Takes the lock of a file, and returns the file, which holds the lock until it is closed.
    /// Creates the file if it does not exist. Returns `None` if another process has the lock.
    ///
    /// # Errors
    /// Same errors as [`open_file`](Self::open_file), and if the file system has no locks.
    pub fn try_lock(&self, name: impl AsRef<Path>) -> io::Result<Option<File>> {
        let file = self.file(name)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Same as [`replace`](Self::replace), with a name for the unfinished file.
    ///
    /// # Errors
    /// Same errors as [`replace`](Self::replace).
    pub fn replace_through(
        &self,
        unfinished: impl AsRef<Path>,
        name: impl AsRef<Path>,
        bytes: &[u8],
    ) -> io::Result<()> {
        let (unfinished, name) = (unfinished.as_ref(), name.as_ref());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let written = self
            .open_unchecked(unfinished, flags)
            .and_then(|mut file| file.write_all(bytes))
            .and_then(|()| Ok(renameat(&self.fd, unfinished, &self.fd, name)?));
        if written.is_err() {
            // Half a file is of no use, and the first error is the one to report.
            let _ = self.remove(unfinished);
        }
        written
    }

    /// Deletes a file.
    ///
    /// # Errors
    /// If the file can't be deleted.
    pub fn remove(&self, name: impl AsRef<Path>) -> io::Result<()> {
        Ok(unlinkat(&self.fd, name.as_ref(), AtFlags::empty())?)
    }

    fn open_checked(&self, name: &Path, flags: OFlags) -> io::Result<File> {
        let file = self.open_unchecked(name, flags)?;
        self.check_file(name, &file)?;
        Ok(file)
    }

    fn open_unchecked(&self, name: &Path, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR);
        fd.map(File::from).map_err(|error| match error {
            rustix::io::Errno::LOOP => refusal("it is a link, which is not followed"),
            other => other.into(),
        })
    }

    fn check_file(&self, name: &Path, file: &File) -> io::Result<()> {
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(refusal("it is not a regular file"));
        }
        let path = self.path.join(name);
        if about.uid() != geteuid().as_raw() {
            return Err(foreign("the file", &path, about.uid()));
        }
        check_mode("the file", &path, about.mode())
    }
}

/// Creates a directory for this user alone.
///
/// # Errors
/// If the directory can't be created, or if the path exists.
pub(crate) fn create_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// Opens a regular file of any user for reading. Does not wait, as opening a pipe would.
///
/// # Errors
/// If the file can't be opened or is not a regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(refusal("it is not a regular file"));
    }
    Ok(file)
}

/// The system's own directories are trusted like the user's.
fn check_owner(what: &str, path: &Path, uid: u32) -> io::Result<()> {
    if uid == geteuid().as_raw() || uid == 0 {
        return Ok(());
    }
    Err(foreign(what, path, uid))
}

fn check_mode(what: &str, path: &Path, mode: u32) -> io::Result<()> {
    if mode & OTHERS_MAY_WRITE == 0 {
        return Ok(());
    }
    Err(refusal(&format!(
        "others may write to {what} {} (its mode is {:o}); use another, or `chmod go-w` it",
        path.display(),
        mode & 0o7777
    )))
}

fn foreign(what: &str, path: &Path, uid: u32) -> io::Error {
    refusal(&format!(
        "{what} {} belongs to another user ({uid})",
        path.display()
    ))
}

#[cfg(test)]
#[path = "unix_tests.rs"]
mod tests;

//! Private files on Unix: by their owner and mode.
//!
//! A name is opened without following a link and without waiting, and the checks look at what was opened, so nobody can
//! put another file in its place in between. A directory where another user may do that is refused.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, DirBuilder, File},
    io::{self, Read as _, Write as _},
    os::{
        fd::OwnedFd,
        unix::{
            ffi::OsStrExt as _,
            fs::{DirBuilderExt as _, MetadataExt as _},
        },
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::{
    fs::{AtFlags, FlockOperation, Mode, OFlags, fchmod, flock, openat, renameat, unlinkat},
    process::geteuid,
};

const OTHERS_MAY_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// An open directory in which no other user can put a file in the place of another.
#[derive(Debug)]
pub struct PrivateDir {
    fd: OwnedFd,
    path: PathBuf,
}

impl PrivateDir {
    /// Opens a directory of this program's own. Makes the directory if it is not there, with mode 0700.
    ///
    /// # Errors
    /// If it is a link or no directory, if it belongs to another user, or if other users may write to it.
    pub fn own(path: &Path) -> io::Result<Self> {
        Self::make(path)?;
        let this = Self::open(path, OFlags::NOFOLLOW)?;
        let about = this.metadata()?;
        check_owner("the directory", &this.path, about.uid())?;
        check_mode("the directory", &this.path, about.mode())?;
        Ok(this)
    }

    /// Same as [`own`](Self::own), for the one place that is this program's by its name: closes the directory to other
    /// users if this user owns it.
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

    /// Opens the directory of a file that the user has named. Makes the directory if it is not there, with mode 0700. A
    /// sticky directory such as `/tmp` will do, because other users can't remove a file there.
    ///
    /// # Errors
    /// If it is no directory, if it belongs to another user, or if other users may write to it and it is not sticky.
    pub fn of_file(file: &Path) -> io::Result<(Self, OsString)> {
        let (dir, name) = split(file)?;
        Self::make(dir)?;
        Ok((Self::shared(dir)?, name))
    }

    /// Same as [`of_file`](Self::of_file), for a file that is there.
    ///
    /// # Errors
    /// Same errors as [`of_file`](Self::of_file).
    pub fn of_existing(file: &Path) -> io::Result<(Self, OsString)> {
        let (dir, name) = split(file)?;
        Ok((Self::shared(dir)?, name))
    }

    fn shared(dir: &Path) -> io::Result<Self> {
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
        // A slash or a dot at the end would follow a link all the same.
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
    /// If it is not there, is anything but a regular file of this user, or if other users may write to it.
    pub fn open_file(&self, name: impl AsRef<Path>) -> io::Result<File> {
        self.open_checked(name.as_ref(), OFlags::RDONLY)
    }

    /// The contents of a file of this user, of at most `longest` bytes.
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

    /// Opens a file of this user for reading and appending. Makes the file if it is not there, with mode 0600, and closes
    /// an empty one to other users. Nobody else has it open in this way at the same time.
    ///
    /// # Errors
    /// Same errors as [`open_file`](Self::open_file); [`WouldBlock`](io::ErrorKind::WouldBlock) if the file is open in this way already.
    pub fn continue_file(&self, name: impl AsRef<Path>) -> io::Result<File> {
        let file = self.file(name)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                "another program is writing to it",
            )),
            // There are file systems without locks.
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

    /// Takes the lock of a file that no other process holds, and returns the file, which holds the lock until it is
    /// closed. Makes the file if it is not there. Returns `None` if another process has the lock.
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

    /// Writes a file for this user alone, beside its place and then into it: a reader sees all of it, or the file of
    /// before. Replaces what has the name, also a link.
    ///
    /// # Errors
    /// If the file can't be written. Nothing is left of it then.
    pub fn replace(&self, name: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        let unfinished = format!(".{}-{count}-{:x}.tmp", std::process::id(), now.as_nanos());
        self.replace_through(unfinished, name, bytes)
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
            // Half a file is of no use to anybody, and the first error is the one to report.
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

    /// The path of the directory, as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
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

/// Makes a directory for this user alone.
///
/// # Errors
/// If it can't be made, or something is there.
pub(crate) fn create_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// Opens a regular file of any user for reading. Does not wait, as the open of a pipe would.
///
/// # Errors
/// If the file can't be opened or is no regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(refusal("it is not a regular file"));
    }
    Ok(file)
}

fn split(file: &Path) -> io::Result<(&Path, OsString)> {
    let name = file
        .file_name()
        .ok_or_else(|| refusal("it is not the name of a file"))?;
    let dir = match file.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    Ok((dir, name.to_owned()))
}

/// The system's own directories are as good as the user's.
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

fn refusal(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

#[cfg(test)]
#[path = "unix_tests.rs"]
mod tests;

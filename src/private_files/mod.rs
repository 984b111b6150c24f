//! Files for this user alone: the records of running servers, state files, mined threads, caches.
//!
//! A name is opened without following a link and without waiting, and what is looked at is what was opened, so nobody
//! can put another file in its place in between. A directory where others may do that is refused.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, DirBuilder, File},
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd, OwnedFd},
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

/// An open directory in which nobody else can put files in the place of others.
#[derive(Debug)]
pub struct PrivateDir {
    fd: OwnedFd,
    path: PathBuf,
}

impl PrivateDir {
    /// Opens a directory that is this program's own, and makes it first if it is not there, with mode 0700.
    ///
    /// # Errors
    /// If it is a link or no directory, if it belongs to another user, or if others may write to it.
    pub fn own(path: &Path) -> io::Result<Self> {
        Self::make(path)?;
        let this = Self::open(path, OFlags::NOFOLLOW)?;
        let about = this.metadata()?;
        check_owner("the directory", &this.path, about.uid())?;
        check_mode("the directory", &this.path, about.mode())?;
        Ok(this)
    }

    /// As [`own`](Self::own), for the one place that is this program's by its name: a directory of the user's own that
    /// others may use is taken from them.
    ///
    /// # Errors
    /// As of [`own`](Self::own).
    pub fn own_and_closed(path: &Path) -> io::Result<Self> {
        Self::make(path)?;
        let this = Self::open(path, OFlags::NOFOLLOW)?;
        let about = this.metadata()?;
        if about.uid() == geteuid().as_raw() && about.mode() & 0o077 != 0 {
            fchmod(&this.fd, Mode::RWXU)?;
        }
        Self::own(path)
    }

    /// Opens the directory of a file that the user has named, and makes it first if it is not there, with mode 0700. A
    /// sticky one such as `/tmp` will do: others can't take a file away there.
    ///
    /// # Errors
    /// If it is no directory, if it belongs to another user, or if others may write to it and it is not sticky.
    pub fn of_file(file: &Path) -> io::Result<(Self, OsString)> {
        let (dir, name) = split(file)?;
        Self::make(dir)?;
        Ok((Self::shared(dir)?, name))
    }

    /// As [`of_file`](Self::of_file), of a file that is there.
    ///
    /// # Errors
    /// As of [`of_file`](Self::of_file).
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

    /// The names in it.
    ///
    /// # Errors
    /// If it can't be read.
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

    /// Opens a file of this user's for reading.
    ///
    /// # Errors
    /// If it is not there, is anything but a regular file of this user's, or if others may write to it.
    pub fn open_file(&self, name: impl AsRef<Path>) -> io::Result<File> {
        self.open_checked(name.as_ref(), OFlags::RDONLY)
    }

    /// What is in a file of this user's, of at most so many bytes.
    ///
    /// # Errors
    /// As of [`open_file`](Self::open_file), or if it is longer.
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

    /// Opens a file of this user's to be read and continued, and makes it if it is not there, with mode 0600. Nobody else
    /// has it open this way at the same time. An empty one is closed to others.
    ///
    /// # Errors
    /// As of [`open_file`](Self::open_file); [`WouldBlock`](io::ErrorKind::WouldBlock) if it is open.
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

    /// As [`continue_file`](Self::continue_file), however many have it open.
    ///
    /// # Errors
    /// As of [`open_file`](Self::open_file).
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

    /// Writes a file for this user alone, beside its place and then into it: whoever reads sees all of it or the one
    /// before. What was there under the name is replaced, be it a link.
    ///
    /// # Errors
    /// If it can't be written; nothing is left then.
    pub fn replace(&self, name: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        let unfinished = format!(".{}-{count}-{:x}.tmp", std::process::id(), now.as_nanos());
        self.replace_through(unfinished, name, bytes)
    }

    /// As [`replace`](Self::replace), with a name for the unfinished file.
    ///
    /// # Errors
    /// As of [`replace`](Self::replace).
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
            // What is there of it is of no use to anybody; the error to tell is the first one.
            let _ = self.remove(unfinished);
        }
        written
    }

    /// Takes a file away.
    ///
    /// # Errors
    /// If that can't be.
    pub fn remove(&self, name: impl AsRef<Path>) -> io::Result<()> {
        Ok(unlinkat(&self.fd, name.as_ref(), AtFlags::empty())?)
    }

    /// Its path, as it was given.
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

impl AsFd for PrivateDir {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Opens a regular file of whomever for reading, without waiting for one that is none.
///
/// # Errors
/// If it can't be opened or is no regular file.
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
mod tests;

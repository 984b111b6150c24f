//! Private files on Windows: by the access list that they inherit from their directory. Nothing is set here, and another
//! user's file is not told from one's own.
//!
//! A link or a junction is not followed, neither as the directory nor as a file in it.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::windows::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

// As Windows documents them.
const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;
const FILE_ATTRIBUTE_REPARSE_POINT: u32 = 0x0000_0400;
const FILE_SHARE_READ: u32 = 0x0000_0001;
const ERROR_SHARING_VIOLATION: i32 = 32;

/// A directory that is no link.
#[derive(Debug)]
pub struct PrivateDir {
    path: PathBuf,
}

impl PrivateDir {
    /// Opens a directory of this program's own. Makes the directory if it is not there.
    ///
    /// # Errors
    /// If it is a link or no directory.
    pub fn own(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let about = fs::symlink_metadata(path)?;
        if is_link(&about) {
            return Err(refusal(&format!(
                "{} is a link, which is not followed; name the directory itself",
                path.display()
            )));
        }
        Self::shared(path)
    }

    /// Same as [`own`](Self::own).
    ///
    /// # Errors
    /// Same errors as [`own`](Self::own).
    pub fn own_and_closed(path: &Path) -> io::Result<Self> {
        Self::own(path)
    }

    /// Opens the directory of a file that the user has named. Makes the directory if it is not there.
    ///
    /// # Errors
    /// If it is no directory.
    pub fn of_file(file: &Path) -> io::Result<(Self, OsString)> {
        let (dir, name) = split(file)?;
        fs::create_dir_all(dir)?;
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

    fn shared(path: &Path) -> io::Result<Self> {
        if !fs::metadata(path)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let path = path.to_owned();
        Ok(Self { path })
    }

    /// The names in the directory.
    ///
    /// # Errors
    /// If the directory can't be read.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let entries = fs::read_dir(&self.path)?;
        entries.map(|entry| Ok(entry?.file_name())).collect()
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// If it is not there, or is anything but a regular file.
    pub fn open_file(&self, name: impl AsRef<Path>) -> io::Result<File> {
        self.open(name.as_ref(), OpenOptions::new().read(true))
    }

    /// The contents of a file of at most `longest` bytes.
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

    /// Opens a file for reading and appending. Makes the file if it is not there. Nobody else can write to it meanwhile.
    ///
    /// # Errors
    /// Same errors as [`open_file`](Self::open_file); [`WouldBlock`](io::ErrorKind::WouldBlock) if the file is open in this way already.
    pub fn continue_file(&self, name: impl AsRef<Path>) -> io::Result<File> {
        let mut options = to_continue();
        let opened = self.open(name.as_ref(), options.share_mode(FILE_SHARE_READ));
        opened.map_err(|error| {
            if error.raw_os_error() == Some(ERROR_SHARING_VIOLATION) {
                let why = "another program is writing to it";
                return io::Error::new(io::ErrorKind::WouldBlock, why);
            }
            error
        })
    }

    /// Same as [`continue_file`](Self::continue_file), however many programs have the file open.
    ///
    /// # Errors
    /// Same errors as [`open_file`](Self::open_file).
    pub fn file(&self, name: impl AsRef<Path>) -> io::Result<File> {
        self.open(name.as_ref(), &mut to_continue())
    }

    /// Opens a file that no other process can open meanwhile. Makes the file if it is not there. Returns `None` if another
    /// process has it.
    ///
    /// # Errors
    /// Same errors as [`open_file`](Self::open_file).
    pub fn try_lock(&self, name: impl AsRef<Path>) -> io::Result<Option<File>> {
        match self.open(name.as_ref(), to_continue().share_mode(0)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.raw_os_error() == Some(ERROR_SHARING_VIOLATION) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a file beside its place and then into it: a reader sees all of it, or the file of before. Replaces what has
    /// the name, also a link.
    ///
    /// # Errors
    /// If the file can't be written, or the file of before is open. Nothing is left of it then.
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
        let unfinished = self.path.join(unfinished);
        let mut options = OpenOptions::new();
        let written = options
            .write(true)
            .create_new(true)
            .open(&unfinished)
            .and_then(|mut file| file.write_all(bytes))
            .and_then(|()| fs::rename(&unfinished, self.path.join(name)));
        if written.is_err() {
            // Half a file is of no use to anybody, and the first error is the one to report.
            let _ = fs::remove_file(&unfinished);
        }
        written
    }

    /// Deletes a file.
    ///
    /// # Errors
    /// If the file can't be deleted.
    pub fn remove(&self, name: impl AsRef<Path>) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    /// The path of the directory, as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn open(&self, name: &Path, options: &mut OpenOptions) -> io::Result<File> {
        let file = options
            .custom_flags(FILE_FLAG_OPEN_REPARSE_POINT)
            .open(self.path.join(name))?;
        let about = file.metadata()?;
        if is_link(&about) {
            return Err(refusal("it is a link, which is not followed"));
        }
        check_regular(&about)?;
        Ok(file)
    }
}

/// Makes a directory.
///
/// # Errors
/// If it can't be made, or something is there.
pub(crate) fn create_dir(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

/// Opens a regular file for reading.
///
/// # Errors
/// If it can't be opened or is no regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    check_regular(&file.metadata()?)?;
    Ok(file)
}

fn to_continue() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options
}

/// A link or a junction; also some files that are fetched when they are read, which are none of this program's.
fn is_link(about: &fs::Metadata) -> bool {
    about.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT != 0
}

fn check_regular(about: &fs::Metadata) -> io::Result<()> {
    if about.is_file() {
        return Ok(());
    }
    Err(refusal("it is not a regular file"))
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

fn refusal(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_nothing_stays_beside_it() {
        let temp = tempfile::tempdir().unwrap();
        let dir = PrivateDir::own(&temp.path().join("deep/down")).unwrap();
        for text in ["one", "two"] {
            dir.replace("name", text.as_bytes()).unwrap();
            assert_eq!(dir.read("name", 3).unwrap(), text.as_bytes());
        }
        assert_eq!(dir.names().unwrap(), ["name"]);
        assert!(dir.read("name", 2).is_err(), "it is longer");
        dir.remove("name").unwrap();
        assert!(dir.open_file("name").is_err());
    }

    #[test]
    fn a_file_that_is_continued_is_refused_to_another_meanwhile() {
        let temp = tempfile::tempdir().unwrap();
        let (dir, name) = PrivateDir::of_file(&temp.path().join("name")).unwrap();
        let file = dir.continue_file(&name).unwrap();
        let error = dir.continue_file(&name).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
        drop(file);
        dir.continue_file(&name).unwrap();
    }

    #[test]
    fn a_directory_is_no_file() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir(temp.path().join("name")).unwrap();
        let (dir, name) = PrivateDir::of_existing(&temp.path().join("name")).unwrap();
        assert!(dir.open_file(&name).is_err());
        assert!(open_regular(&temp.path().join("name")).is_err());
    }
}

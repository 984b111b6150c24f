//! Private files on Windows: protected by the access list that they inherit from their directory.
//! This module sets none, and does not tell another user's file from the user's own.
//!
//! No link or junction is followed, neither as the directory nor as a file in it.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::windows::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::path::{refusal, split};

// As Windows documents them.
const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;
const FILE_ATTRIBUTE_REPARSE_POINT: u32 = 0x0000_0400;
const FILE_SHARE_READ: u32 = 0x0000_0001;
const ERROR_SHARING_VIOLATION: i32 = 32;

/// A directory that is not a link.
#[derive(Debug)]
pub struct PrivateDir {
    pub(super) path: PathBuf,
}

impl PrivateDir {
    /// Opens a directory of this program's own. Creates the directory if it does not exist.
    ///
    /// # Errors
    /// If the path is a link or not a directory.
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

    /// Opens the directory of a file that the user has named. Creates the directory if it does not
    /// exist.
    ///
    /// # Errors
    /// If the path is not a directory.
    pub fn of_file(file: &Path) -> io::Result<(Self, OsString)> {
        let (dir, name) = split(file)?;
        fs::create_dir_all(dir)?;
        Ok((Self::shared(dir)?, name))
    }

    pub(super) fn shared(path: &Path) -> io::Result<Self> {
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
    /// If the file does not exist, or is not a regular file.
    pub fn open_file(&self, name: impl AsRef<Path>) -> io::Result<File> {
        self.open(name.as_ref(), OpenOptions::new().read(true))
    }

    /// Opens a file for reading and appending. Creates the file if it does not exist. Nobody else
    /// can write to the file meanwhile.
    ///
    /// # Errors
    /// Same errors as [`open_file`](Self::open_file); [`WouldBlock`](io::ErrorKind::WouldBlock) if
    /// the file is already open in this way.
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

    /// Opens a file that no other process can open meanwhile. Creates the file if it does not
    /// exist. Returns `None` if another process has it.
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
            // Half a file is of no use, and the first error is the one to report.
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

/// Creates a directory.
///
/// # Errors
/// If the directory can't be created, or if the path exists.
pub(crate) fn create_dir(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

/// Opens a regular file for reading.
///
/// # Errors
/// If the file can't be opened or is not a regular file.
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

/// Whether a file is a link or a junction. Also true for some files that are fetched when they are
/// read, which are never this program's.
fn is_link(about: &fs::Metadata) -> bool {
    about.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT != 0
}

fn check_regular(about: &fs::Metadata) -> io::Result<()> {
    if about.is_file() {
        return Ok(());
    }
    Err(refusal("it is not a regular file"))
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

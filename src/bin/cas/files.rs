//! Files that a command writes: new ones, or those that the user has said may be replaced.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::output::{Failure, Result};

/// A file that will be written once. A new file is created at once, so that an error is known
/// before any work is done. It is removed again if it is not written completely.
#[derive(Debug)]
pub(crate) struct NewFile {
    path: PathBuf,
    new: Option<File>,
}

impl NewFile {
    /// # Errors
    /// If something is there already and may not be replaced, or the file can't be made.
    pub(crate) fn create(path: &Path, replace: bool) -> Result<Self> {
        let wrong = |e: io::Error| Failure::Usage(format!("{}: {e}", path.display()));
        let new = match private().create_new(true).open(path) {
            Ok(file) => Some(file),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && replace => {
                let about = path.symlink_metadata().map_err(wrong)?;
                if !about.is_file() {
                    return Err(wrong(io::Error::other("it is not a regular file")));
                }
                None
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                return Err(wrong(io::Error::other(
                    "it exists already, and was left unchanged; name a new file, or give --force to replace it",
                )));
            }
            Err(e) => return Err(wrong(e)),
        };
        Ok(Self {
            path: path.to_owned(),
            new,
        })
    }

    /// Writes all of it; a reader sees the old file or the whole new one.
    pub(crate) fn write(mut self, text: &str) -> Result {
        let wrong = |path: &Path, e: io::Error| format!("{}: {e}", path.display());
        if let Some(file) = &mut self.new {
            file.write_all(text.as_bytes())
                .map_err(|e| wrong(&self.path, e))?;
            self.new = None;
            return Ok(());
        }
        let mut beside = self.path.clone().into_os_string();
        beside.push(format!(".{}.new", std::process::id()));
        let beside = PathBuf::from(beside);
        let written = private()
            .create_new(true)
            .open(&beside)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .and_then(|()| fs::rename(&beside, &self.path));
        if let Err(e) = written {
            // It may not even be there.
            let _ = fs::remove_file(&beside);
            return Err(wrong(&self.path, e).into());
        }
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if self.new.is_some() {
            // This process created the file, and it is empty or incomplete.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// For this user alone: what a model said may be private.
fn private() -> fs::OpenOptions {
    let mut options = File::options();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_others_is_left_as_it_is_unless_the_user_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notes.txt");
        fs::write(&path, "mine").unwrap();
        assert!(matches!(
            NewFile::create(&path, false),
            Err(Failure::Usage(_))
        ));
        drop(NewFile::create(&path, true).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        NewFile::create(&path, true).unwrap().write("new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_new_file_that_is_not_written_is_not_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new.txt");
        drop(NewFile::create(&path, false).unwrap());
        assert!(!path.exists());
        NewFile::create(&path, false)
            .unwrap()
            .write("text")
            .unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
    }

    #[test]
    fn a_new_file_that_can_not_be_written_to_its_end_is_not_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new.txt");
        fs::write(&path, "half of").unwrap();
        let full = NewFile {
            path: path.clone(),
            // The file is open for reading only.
            new: Some(File::open(&path).unwrap()),
        };
        assert!(
            full.write("the text")
                .unwrap_err()
                .text()
                .contains("new.txt")
        );
        assert!(!path.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_not_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(NewFile::create(&link, false).is_err());
        assert!(NewFile::create(&link, true).is_err());
        assert!(!target.exists());
    }
}

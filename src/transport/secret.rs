//! Secret texts that are never shown, and the files that hold them. A file is read only if no other
//! user may read it.

#[cfg(unix)]
use std::fs::File;
use std::{fmt, io::Read as _, path::Path};

use super::private_files::open_regular;

/// A text that `Debug` hides.
#[derive(Clone)]
pub(super) struct Secret(String);

/// Far longer than any token or secret.
const LARGEST: u64 = 64 * 1024;

impl Secret {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    /// Replaces this secret in a text that may repeat it.
    pub(super) fn hide_in(&self, text: &str) -> String {
        text.replace(&self.0, "[hidden]")
    }

    /// Reads a file, without the white space around its text. The error shows nothing of the text.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let file =
            open_regular(path).map_err(|e| format!("the file {shown} cannot be read: {e}"))?;
        #[cfg(unix)]
        check_private(path, &file)?;
        let mut text = String::new();
        let read = file.take(LARGEST + 1).read_to_string(&mut text);
        if read.is_err() || text.len() as u64 > LARGEST {
            return Err(format!(
                "the file {shown} holds no secret, but other data or more than {LARGEST} bytes"
            ));
        }
        let text = text.trim();
        if text.is_empty() {
            return Err(format!("the file {shown} is empty"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Refuses a file that another user can read. On Windows the access list of its directory decides
/// who can.
#[cfg(unix)]
fn check_private(path: &Path, file: &File) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt as _;

    let shown = path.display();
    let about = file
        .metadata()
        .map_err(|e| format!("the file {shown} cannot be read: {e}"))?;
    let uid = rustix::process::geteuid().as_raw();
    if about.uid() != uid && about.uid() != 0 {
        return Err(format!(
            "the file {shown} belongs to the user {}, not to this one",
            about.uid()
        ));
    }
    let mode = about.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!(
            "the file {shown} has the mode {mode:03o}, so others may read the secret in it; `chmod 600` it"
        ));
    }
    Ok(())
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

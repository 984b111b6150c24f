//! The parts of private files that are the same on every platform.

use std::{ffi::OsString, io, path::Path};

/// Splits the path of a file into its directory and its name.
pub(super) fn split(file: &Path) -> io::Result<(&Path, OsString)> {
    let name = file
        .file_name()
        .ok_or_else(|| refusal("it is not the name of a file"))?;
    let dir = match file.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    Ok((dir, name.to_owned()))
}

/// The error of a check that failed.
pub(super) fn refusal(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

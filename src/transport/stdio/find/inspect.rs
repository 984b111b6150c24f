//! Describes, for an error, what is at a path where an executable is looked for.

use std::path::Path;

/// Why the file at `place` can't be started, or `None` if nothing is there.
pub(super) fn defect(place: &Path) -> Option<&'static str> {
    match place.metadata() {
        Ok(found) if found.is_dir() => Some("is a directory"),
        Ok(_) => Some("is not executable"),
        Err(_) if place.is_symlink() => Some("is a link to nowhere"),
        Err(_) => None,
    }
}

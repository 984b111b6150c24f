//! Whether a path is in a directory, or overlaps with it. Symbolic links are followed.

use std::path::{Component, Path, PathBuf};

use super::condition::Match;

/// Whether `path` is `root` or below it. Unknown if `path` is relative or goes through `..`.
///
/// Links are followed as far as the path exists, so that a link inside of the root leads out of it.
pub(super) fn within(path: &Path, root: &Path) -> Match {
    compare(path, root, starts_with)
}

/// Whether `path` is `root`.
pub(super) fn is(path: &Path, root: &Path) -> Match {
    compare(path, root, |path, root| {
        match (starts_with(path, root), starts_with(root, path)) {
            (Match::Yes, other) | (other, Match::Yes) => other,
            (Match::No, _) | (_, Match::No) => Match::No,
            (Match::Unknown, Match::Unknown) => Match::Unknown,
        }
    })
}

/// Whether `path` is `root`, below it or above it: a permission for a directory includes its
/// contents.
pub(super) fn overlaps(path: &Path, root: &Path) -> Match {
    compare(path, root, |path, root| {
        starts_with(path, root).or(starts_with(root, path))
    })
}

fn compare(path: &Path, root: &Path, holds: impl Fn(&Path, &Path) -> Match) -> Match {
    if !path.is_absolute() || path.components().any(|c| c == Component::ParentDir) {
        return Match::Unknown;
    }
    match (resolve(path), resolve(root)) {
        (Some(path), Some(root)) => holds(&path, &root),
        _ => Match::Unknown,
    }
}

#[cfg(not(windows))]
fn starts_with(path: &Path, root: &Path) -> Match {
    path.starts_with(root).into()
}

/// Windows reads many spellings as the same file.
#[cfg(windows)]
fn starts_with(path: &Path, root: &Path) -> Match {
    match (path.to_str(), root.to_str()) {
        (Some(path), Some(root)) => super::windows_path::within(path, root),
        _ => Match::Unknown,
    }
}

/// The path with the links of its existing part followed.
fn resolve(path: &Path) -> Option<PathBuf> {
    for existing in path.ancestors() {
        match existing.canonicalize() {
            Ok(real) => {
                let rest = path.strip_prefix(existing).ok()?;
                return Some(if rest.as_os_str().is_empty() {
                    real
                } else {
                    real.join(rest)
                });
            }
            // Writing through a dangling link creates its target.
            Err(_) if existing.symlink_metadata().is_ok() => return None,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(_) => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(windows)]
    #[test]
    fn an_existing_path_is_compared_by_its_real_name() {
        let dir = std::env::temp_dir().join(format!("cas-sdk-path-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("root/real")).unwrap();
        let root = dir.join("root");
        let upper = root.to_str().unwrap().to_ascii_uppercase();
        assert_eq!(within(&root.join("real/new"), &root), Match::Yes);
        assert_eq!(within(&root.join("REAL/new"), &root), Match::Yes);
        assert_eq!(
            within(&root.join("real/new"), Path::new(&upper)),
            Match::Yes
        );
        assert_eq!(within(&dir.join("rooted"), &root), Match::No);
        assert_eq!(within(&root.join("new~1/x"), &root), Match::Unknown);
        assert_eq!(within(Path::new(r"C:root\x"), &root), Match::Unknown);
        assert_eq!(overlaps(&dir, &root), Match::Yes);
        assert_eq!(overlaps(&dir.join("other"), &root), Match::No);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn only_what_is_inside_is_inside() {
        let dir = |path: &str| within(Path::new(path), Path::new("/no/such/root"));
        assert_eq!(dir("/no/such/root"), Match::Yes);
        assert_eq!(dir("/no/such/root/a/b"), Match::Yes);
        assert_eq!(dir("/no/such/rooted"), Match::No);
        assert_eq!(dir("/no/such"), Match::No);
        assert_eq!(dir("/no/such/root/../other"), Match::Unknown);
        assert_eq!(dir("no/such/root"), Match::Unknown);
        let common = |path: &str| overlaps(Path::new(path), Path::new("/no/such/root"));
        for path in [
            "/",
            "/no",
            "/no/such/",
            "/no/such/root",
            "/no/such/root/a",
            "//no",
        ] {
            assert_eq!(common(path), Match::Yes, "{path}");
        }
        for path in ["/no/such/other", "/no/such/roo", "/no/such/rooted"] {
            assert_eq!(common(path), Match::No, "{path}");
        }
        for path in ["", "no", "/no/../no", "/no/such/root/.."] {
            assert_eq!(common(path), Match::Unknown, "{path}");
        }
        assert_eq!(within(Path::new("/a"), Path::new("")), Match::Unknown);
        assert_eq!(overlaps(Path::new("/a"), Path::new("")), Match::Unknown);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_leads_out() {
        let dir = std::env::temp_dir().join(format!("cas-sdk-path-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(dir.join("root/real")).unwrap();
        std::os::unix::fs::symlink("/", dir.join("root/out")).unwrap();
        std::os::unix::fs::symlink("/no/such/file", dir.join("root/dangling")).unwrap();
        let root = dir.join("root");
        assert_eq!(within(&root.join("real/new"), &root), Match::Yes);
        assert_eq!(within(&root.join("out/etc/passwd"), &root), Match::No);
        assert_eq!(within(&root.join("dangling"), &root), Match::Unknown);
        assert_eq!(overlaps(&root.join("out"), &root), Match::Yes, "out is /");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

//! The locks that codex holds on the threads that it has loaded, as Linux lists them in `/proc`.
//!
//! The locks are only looked at. Trying one, even for a moment, would make a codex fail that wants it just then.

#[cfg(target_os = "linux")]
pub(super) use linux::locked;

use std::fs;

/// The arguments of a process, each with a zero byte at its end. Empty where the system does not tell.
pub(super) fn command_line(pid: u32) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

/// Only Linux tells who holds a lock.
#[cfg(not(target_os = "linux"))]
pub(super) fn locked(_: &std::path::Path) -> Vec<(String, u32)> {
    Vec::new()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        collections::HashMap,
        fs,
        os::unix::fs::MetadataExt as _,
        path::{Path, PathBuf},
    };

    /// The ids of the threads that are loaded somewhere, and the processes that have them.
    pub(crate) fn locked(home: &Path) -> Vec<(String, u32)> {
        let Ok(dir) = fs::canonicalize(home.join("thread-writer-locks")) else {
            return Vec::new();
        };
        let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
        let files: HashMap<u64, PathBuf> = entries
            .filter_map(|entry| Some((entry.metadata().ok()?.ino(), entry.path())))
            .collect();
        // `1: FLOCK  ADVISORY  WRITE 7685 fe:00:11495924 0 EOF`
        let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
        let locks = locks.lines().filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let kind = words.nth(1)?;
            let pid: u32 = words.nth(2)?.parse().ok()?;
            let inode: u64 = words.next()?.rsplit(':').next()?.parse().ok()?;
            let path = files.get(&inode)?;
            // The number of a file is its own only within its file system.
            (kind == "FLOCK" && has_open(pid, path)).then_some((path, pid))
        });
        let threads = locks.filter_map(|(path, pid)| {
            let id = path.file_name()?.to_str()?.strip_suffix(".lock")?;
            (!id.starts_with('.')).then(|| (id.to_owned(), pid))
        });
        threads.collect()
    }

    fn has_open(pid: u32, path: &Path) -> bool {
        let files = fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .flatten();
        files
            .into_iter()
            .any(|file| fs::read_link(file.path()).is_ok_and(|target| target == path))
    }
}

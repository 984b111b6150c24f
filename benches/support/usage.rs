//! The resource use of a process.

/// The peak memory of a process in KiB, by process id or `self`.
pub(crate) fn peak_kib(process: impl std::fmt::Display) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap_or_default();
    let kib = line.trim().trim_end_matches(" kB");
    kib.parse().unwrap_or_default()
}

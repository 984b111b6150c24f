//! What a process has used.

/// The most memory that a process has had, in KiB: of a number, or of `self`.
pub(crate) fn peak_kib(process: impl std::fmt::Display) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap_or_default();
    let kib = line.trim().trim_end_matches(" kB");
    kib.parse().unwrap_or_default()
}

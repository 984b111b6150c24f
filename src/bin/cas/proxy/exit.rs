//! How a child ended, in words.

use std::process::ExitStatus;

/// How a child ended, as `cas/appServerExit` reports it: its exit code, or the signal that ended
/// it.
pub(super) fn told(status: Option<ExitStatus>) -> (Option<i32>, Option<String>) {
    (status.and_then(|s| s.code()), status.and_then(signal))
}

#[cfg(unix)]
fn signal(status: ExitStatus) -> Option<String> {
    use std::os::unix::process::ExitStatusExt as _;

    let name = match status.signal()? {
        1 => "HUP",
        2 => "INT",
        3 => "QUIT",
        4 => "ILL",
        6 => "ABRT",
        8 => "FPE",
        9 => "KILL",
        11 => "SEGV",
        13 => "PIPE",
        14 => "ALRM",
        15 => "TERM",
        other => return Some(format!("SIG{other}")),
    };
    Some(format!("SIG{name}"))
}

/// This platform has no signals.
#[cfg(not(unix))]
fn signal(_: ExitStatus) -> Option<String> {
    None
}

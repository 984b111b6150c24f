//! How a child ended, in words.

use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus};

/// How a child ended, in the words of the contract.
pub(super) fn told(status: Option<ExitStatus>) -> (Option<i32>, Option<String>) {
    let signal = status.and_then(|s| s.signal()).map(|number| {
        let name = match number {
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
            other => return format!("SIG{other}"),
        };
        format!("SIG{name}")
    });
    (status.and_then(|s| s.code()), signal)
}

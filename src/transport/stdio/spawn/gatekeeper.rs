//! Explains why macOS does not let a downloaded program run. The system itself reports only an
//! error number, or kills the program.

use std::{io, path::Path, process::ExitStatus};

/// Adds the reason and the remedy to the error of a start, if macOS refused the start.
#[cfg(target_os = "macos")]
pub(super) fn explain_start(program: &Path, error: io::Error) -> io::Error {
    let refusal = error.raw_os_error().map(Refusal::Start);
    match refusal.and_then(|refusal| explain(program, refusal, is_quarantined(program))) {
        Some(text) => io::Error::new(error.kind(), format!("{error}: {text}")),
        None => error,
    }
}

/// Why macOS may have killed a process that this process has not killed.
#[cfg(target_os = "macos")]
pub(super) fn explain_end(program: &Path, status: ExitStatus) -> Option<String> {
    use std::os::unix::process::ExitStatusExt as _;

    let killed = status.signal() == Some(rustix::process::Signal::KILL.as_raw());
    killed.then(|| explain(program, Refusal::Killed, is_quarantined(program)))?
}

#[cfg(target_os = "macos")]
fn is_quarantined(program: &Path) -> bool {
    let none: &mut [u8] = &mut [];
    rustix::fs::getxattr(program, "com.apple.quarantine", none).is_ok()
}

#[cfg(not(target_os = "macos"))]
pub(super) fn explain_start(_: &Path, error: io::Error) -> io::Error {
    error
}

#[cfg(not(target_os = "macos"))]
pub(super) fn explain_end(_: &Path, _: ExitStatus) -> Option<String> {
    None
}

/// How macOS refused.
#[cfg(any(target_os = "macos", test))]
#[derive(Debug, Clone, Copy)]
enum Refusal {
    /// The start failed with this error number.
    Start(i32),
    /// The process was killed (SIGKILL), but not by this process.
    Killed,
}

/// The problem and its remedy, if they are known.
#[cfg(any(target_os = "macos", test))]
fn explain(program: &Path, refusal: Refusal, quarantined: bool) -> Option<String> {
    const EPERM: i32 = 1;
    const EBADARCH: i32 = 86;
    const EBADMACHO: i32 = 88;
    let program = program.display();
    match refusal {
        Refusal::Start(EBADARCH) => Some(format!(
            "{program} is built for another processor; install the codex of this one, or Rosetta"
        )),
        Refusal::Start(EPERM) | Refusal::Killed if quarantined => Some(format!(
            "macOS keeps {program} in quarantine because it was downloaded; if you trust it, run: xattr -d com.apple.quarantine '{program}'"
        )),
        Refusal::Start(EBADMACHO) | Refusal::Killed => Some(format!(
            "macOS may not accept the signature of {program}; to check it, run: codesign --verify --verbose '{program}'; to repair it, install codex again"
        )),
        Refusal::Start(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_macos_says_what_is_wrong_and_what_to_do() {
        let codex = Path::new("/opt/codex");
        for (refusal, quarantined, part) in [
            (
                Refusal::Start(1),
                true,
                "xattr -d com.apple.quarantine '/opt/codex'",
            ),
            (
                Refusal::Killed,
                true,
                "xattr -d com.apple.quarantine '/opt/codex'",
            ),
            (
                Refusal::Killed,
                false,
                "codesign --verify --verbose '/opt/codex'",
            ),
            (Refusal::Start(88), true, "codesign"),
            (Refusal::Start(86), true, "another processor"),
        ] {
            let text = explain(codex, refusal, quarantined).unwrap();
            assert!(text.contains(part), "{refusal:?}: {text}");
        }
    }

    #[test]
    fn an_error_with_another_reason_is_left_as_it_is() {
        let codex = Path::new("/opt/codex");
        assert!(explain(codex, Refusal::Start(2), true).is_none());
        assert!(explain(codex, Refusal::Start(1), false).is_none());
    }
}

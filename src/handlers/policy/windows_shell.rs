//! The shells of Windows. Their scripts are not parsed, so what they would run is unknown and a
//! person decides.

/// Whether a program is `cmd`, Windows PowerShell or PowerShell, by whatever path and in whatever case.
///
/// The end of the text decides: a backslash may have been read as a quote, so that the directory and the name are one word.
pub(super) fn is_one(program: &str) -> bool {
    let program = program.to_ascii_lowercase();
    // Windows drops dots and spaces at the end of a name.
    let program = program.trim_end_matches(['.', ' ']);
    let name = [".exe", ".com", ".cmd", ".bat"]
        .iter()
        .find_map(|extension| program.strip_suffix(extension))
        .unwrap_or(program);
    [
        "cmd",
        "powershell",
        "powershell_ise",
        "pwsh",
        "pwsh-preview",
    ]
    .iter()
    .any(|shell| name.ends_with(shell))
}

#[cfg(test)]
mod tests {
    use super::{super::command::plain, *};

    #[test]
    fn a_shell_of_windows_is_known_however_it_is_written() {
        for program in [
            "cmd",
            "CMD.EXE",
            r"C:\Windows\System32\cmd.exe",
            "C:/Windows/System32/cmd.exe",
            "C:WindowsSystem32cmd.exe",
            "powershell",
            "PowerShell.exe",
            r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe",
            "pwsh",
            "pwsh.exe",
            "pwsh.exe.",
            "/usr/bin/pwsh",
        ] {
            assert!(is_one(program), "{program}");
        }
        for program in ["cargo", "git.exe", "bash", "cmdline-tool", "pwsh2"] {
            assert!(!is_one(program), "{program}");
        }
    }

    #[test]
    fn a_script_of_a_windows_shell_is_unknown() {
        for line in [
            "powershell -Command ls",
            "powershell.exe -NoProfile -Command 'git status'",
            "'C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe' -Command 'git status'",
            "C:\\Windows\\System32\\cmd.exe /c dir",
            "\"C:\\Program Files\\PowerShell\\7\\pwsh.exe\" -c ls",
            "cmd /c dir",
            "cmd",
            "/bin/bash -lc 'git status && powershell.exe -c ls'",
        ] {
            assert_eq!(plain(line, &[]), None, "{line}");
        }
        assert!(plain("cargo test", &[]).is_some());
    }
}

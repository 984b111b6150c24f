//! Programs that run others. A rule that accepts one of them without a subcommand accepts
//! everything.

/// Programs that run what their arguments name, at any position.
const RUNNERS: &[&str] = &[
    ".",
    "ash",
    "at",
    "awk",
    "bash",
    "batch",
    "builtin",
    "busybox",
    "chroot",
    "cmake",
    "command",
    "crontab",
    "csh",
    "dash",
    "doas",
    "ed",
    "emacs",
    "env",
    "eval",
    "ex",
    "exec",
    "expect",
    "find",
    "fish",
    "flock",
    "gawk",
    "gdb",
    "gmake",
    "ionice",
    "just",
    "ksh",
    "less",
    "lua",
    "m4",
    "make",
    "man",
    "mawk",
    "more",
    "nice",
    "ninja",
    "node",
    "nohup",
    "nsenter",
    "npx",
    "osascript",
    "parallel",
    "perl",
    "php",
    "pnpx",
    "powershell",
    "pwsh",
    "python",
    "pypy",
    "rsync",
    "ruby",
    "runuser",
    "scp",
    "screen",
    "script",
    "sed",
    "setsid",
    "sftp",
    "sh",
    "socat",
    "source",
    "ssh",
    "stdbuf",
    "strace",
    "su",
    "sudo",
    "systemd-run",
    "taskset",
    "tar",
    "tclsh",
    "tcsh",
    "time",
    "timeout",
    "tmux",
    "trap",
    "unshare",
    "uvx",
    "vi",
    "vim",
    "nvim",
    "view",
    "watch",
    "xargs",
    "xonsh",
    "zsh",
];

/// Programs with subcommands, or options before the subcommand, that run others.
const WITH_SUBCOMMANDS: &[&str] = &[
    "apt",
    "apt-get",
    "aws",
    "brew",
    "bun",
    "bundle",
    "cargo",
    "conda",
    "composer",
    "corepack",
    "deno",
    "docker",
    "docker-compose",
    "gcloud",
    "gem",
    "gh",
    "git",
    "go",
    "gradle",
    "gradlew",
    "helm",
    "hg",
    "kubectl",
    "mix",
    "mvn",
    "mvnw",
    "nix",
    "npm",
    "opam",
    "openssl",
    "pip",
    "pipx",
    "pnpm",
    "podman",
    "poetry",
    "rails",
    "rake",
    "rustup",
    "snap",
    "stack",
    "svn",
    "systemctl",
    "terraform",
    "uv",
    "vagrant",
    "yarn",
];

/// Programs that run what follows their options: the program to check is a later word.
const PREFIXES: &[&str] = &[
    "builtin", "busybox", "chroot", "command", "doas", "env", "exec", "flock", "ionice", "nice",
    "nohup", "parallel", "setsid", "stdbuf", "strace", "sudo", "taskset", "time", "timeout",
    "watch", "xargs",
];

/// Programs that take a script as text or as a file.
const INTERPRETERS: &[&str] = &[
    ".", "ash", "bash", "csh", "dash", "eval", "fish", "ksh", "sh", "source", "tcsh", "trap", "zsh",
];

/// The name of a program without its directory, `.exe` and version, as in `/usr/bin/python3.12`.
fn name(program: &str) -> String {
    let name = program.rsplit('/').next().unwrap_or(program);
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix(".exe").unwrap_or(&name);
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    if bare.is_empty() { name } else { bare }.to_owned()
}

/// Whether the program runs whatever its arguments name.
pub(super) fn runs_anything(program: &str) -> bool {
    RUNNERS.contains(&name(program).as_str())
}

/// Whether commands that begin with these words can run any other program.
pub(super) fn can_run_others(words: &[String]) -> bool {
    let [program, rest @ ..] = words else {
        return false;
    };
    runs_anything(program)
        || WITH_SUBCOMMANDS.contains(&name(program).as_str())
            && rest.first().is_none_or(|word| word.starts_with('-'))
}

pub(super) fn is_prefix(program: &str) -> bool {
    PREFIXES.contains(&name(program).as_str())
}

pub(super) fn is_interpreter(program: &str) -> bool {
    INTERPRETERS.contains(&name(program).as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_program_that_runs_others_is_told_from_one_with_its_subcommand() {
        let wide = |words: &str| {
            let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
            can_run_others(&words)
        };
        for words in [
            "git",
            "/usr/bin/git",
            "git -C",
            "find",
            "find .",
            "tar -tf",
            "awk",
            "xargs",
            "env",
            "ssh",
            "make",
            "make test",
            "cargo",
            "npm",
            "python",
            "python3",
            "python3.12",
            "/usr/bin/python3.12",
            "GIT.exe",
            ".",
            "bash",
            "sudo ls",
        ] {
            assert!(wide(words), "{words}");
        }
        for words in [
            "git status",
            "cargo test",
            "npm run",
            "ls",
            "cat",
            "echo",
            "touch",
            "rg",
        ] {
            assert!(!wide(words), "{words}");
        }
    }
}

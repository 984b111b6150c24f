//! Programs that run others. A rule that accepts one of them without a subcommand accepts
//! everything.

/// Programs that run what their arguments name, at any position.
const RUNNERS: &[&str] = &[
    ".",
    "ant",
    "ash",
    "at",
    "awk",
    "bash",
    "batch",
    "bazel",
    "builtin",
    "bunx",
    "busybox",
    "bwrap",
    "caffeinate",
    "catchsegv",
    "chroot",
    "chrt",
    "cmake",
    "cmd",
    "command",
    "crontab",
    "cscript",
    "csh",
    "dash",
    "dbus-run-session",
    "doas",
    "dotnet",
    "dumb-init",
    "ed",
    "emacs",
    "entr",
    "env",
    "eval",
    "ex",
    "exec",
    "expect",
    "find",
    "firejail",
    "fish",
    "flock",
    "forfiles",
    "gawk",
    "gdb",
    "genv",
    "gfind",
    "git-shell",
    "gmake",
    "gnice",
    "gnohup",
    "gosu",
    "groovy",
    "gsed",
    "gstdbuf",
    "gtimeout",
    "gxargs",
    "hyperfine",
    "i386",
    "ionice",
    "ipython",
    "java",
    "jshell",
    "julia",
    "just",
    "ksh",
    "ld.so",
    "less",
    "linux32",
    "linux64",
    "ltrace",
    "lua",
    "m4",
    "make",
    "man",
    "mawk",
    "meson",
    "more",
    "mshta",
    "msiexec",
    "nawk",
    "newgrp",
    "nice",
    "ninja",
    "node",
    "nodejs",
    "nohup",
    "nox",
    "npx",
    "nsenter",
    "numactl",
    "nvim",
    "osascript",
    "parallel",
    "perf",
    "perl",
    "php",
    "pkexec",
    "pnpx",
    "powershell",
    "proot",
    "pwsh",
    "pypy",
    "pytest",
    "python",
    "r",
    "rake",
    "rlwrap",
    "rscript",
    "rsync",
    "ruby",
    "rundll",
    "runuser",
    "scala",
    "scons",
    "scp",
    "screen",
    "script",
    "sed",
    "setarch",
    "setsid",
    "sftp",
    "sg",
    "sh",
    "socat",
    "source",
    "sqlite",
    "ssh",
    "start",
    "stdbuf",
    "strace",
    "su",
    "su-exec",
    "sudo",
    "systemd-run",
    "tar",
    "taskset",
    "tclsh",
    "tcsh",
    "time",
    "timeout",
    "tini",
    "tmux",
    "tox",
    "trap",
    "ts-node",
    "tsx",
    "unbuffer",
    "unshare",
    "uvx",
    "valgrind",
    "vi",
    "view",
    "vim",
    "watch",
    "wscript",
    "wsl",
    "x86_64",
    "xargs",
    "xonsh",
    "xvfb-run",
    "zsh",
];

/// Programs with subcommands, or options before the subcommand, that run others.
const WITH_SUBCOMMANDS: &[&str] = &[
    "ansible",
    "apt",
    "apt-get",
    "asdf",
    "aws",
    "brew",
    "bun",
    "bundle",
    "cargo",
    "chezmoi",
    "composer",
    "conda",
    "corepack",
    "dart",
    "deno",
    "devbox",
    "direnv",
    "docker",
    "docker-compose",
    "firebase",
    "flatpak",
    "flutter",
    "fly",
    "flyctl",
    "fnm",
    "gcloud",
    "gem",
    "gh",
    "git",
    "go",
    "gradle",
    "gradlew",
    "hatch",
    "helm",
    "heroku",
    "hg",
    "jj",
    "kubectl",
    "lein",
    "lerna",
    "lxc",
    "mamba",
    "micromamba",
    "minikube",
    "mise",
    "mix",
    "multipass",
    "mvn",
    "mvnw",
    "nerdctl",
    "nix",
    "npm",
    "nvm",
    "nx",
    "oc",
    "opam",
    "openssl",
    "pdm",
    "pip",
    "pipx",
    "pixi",
    "pnpm",
    "podman",
    "poetry",
    "pyenv",
    "rails",
    "rake",
    "rbenv",
    "rustup",
    "rye",
    "salt",
    "sbt",
    "snap",
    "stack",
    "svn",
    "swift",
    "systemctl",
    "task",
    "terraform",
    "turbo",
    "uv",
    "vagrant",
    "vercel",
    "volta",
    "yarn",
    "zig",
];

/// Subcommands that run what their arguments name.
const RUN: &[&str] = &[
    "call",
    "develop",
    "dlx",
    "do",
    "eval",
    "exec",
    "repl",
    "run",
    "run-script",
    "shell",
    "ssh",
    "tool",
    "x",
];

/// Programs that read configuration from their working directory, which can name other programs:
/// `git status` runs the `core.fsmonitor` of the repository's configuration each time.
const CONFIGURED: &[&str] = &["git", "hg", "jj"];

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

/// Whether the list has a program, without its directory and `.exe`, and with or without its
/// version: `/usr/bin/python3.12` is `python`, and `m4` is `m4`.
fn is_in(list: &[&str], program: &str) -> bool {
    let name = program.rsplit(['/', '\\']).next().unwrap_or(program);
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix(".exe").unwrap_or(&name);
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    list.contains(&name) || list.contains(&bare)
}

/// Whether the program runs whatever its arguments name.
pub(super) fn runs_anything(program: &str) -> bool {
    is_in(RUNNERS, program)
}

/// Whether commands that begin with these words can run any other program.
pub(super) fn can_run_others(words: &[String]) -> bool {
    let [program, rest @ ..] = words else {
        return false;
    };
    let runs = |rest: &[String]| match rest {
        [] => true,
        [word] if RUN.contains(&word.as_str()) => true,
        [word, ..] => word.starts_with(['-', '+']), // An option, or a toolchain of cargo.
    };
    runs_anything(program) || is_in(WITH_SUBCOMMANDS, program) && runs(rest)
}

/// Whether the working directory of a command decides what it runs, by its configuration or because
/// the path of the program is relative.
pub(super) fn obeys_directory(words: &[String]) -> bool {
    words.first().is_some_and(|program| {
        let is_relative = program.contains('/') && !program.starts_with('/');
        is_relative || is_in(CONFIGURED, program)
    })
}

pub(super) fn is_prefix(program: &str) -> bool {
    is_in(PREFIXES, program)
}

pub(super) fn is_interpreter(program: &str) -> bool {
    is_in(INTERPRETERS, program)
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
            "cargo +nightly",
            "cargo run",
            "npm exec",
            "npm run",
            "docker run",
            "nodejs",
            "java",
            "C:\\\\Python\\\\python.exe",
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
            "m4",
            "x86_64 sh",
            "linux32",
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
            "npm run lint",
            "ls",
            "cat",
            "echo",
            "touch",
            "rg",
        ] {
            assert!(!wide(words), "{words}");
        }
    }

    #[test]
    fn a_program_that_obeys_its_directory_is_told_from_one_that_does_not() {
        let obeys = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            obeys_directory(&words)
        };
        for line in [
            "git status",
            "/usr/bin/git log",
            "./lint.sh",
            "scripts/lint",
        ] {
            assert!(obeys(line), "{line}");
        }
        for line in ["ls", "/bin/ls", "rg TODO"] {
            assert!(!obeys(line), "{line}");
        }
    }
}

//! Programs that run others. A rule that accepts one of them without a subcommand accepts
//! everything.

use super::program_lists::{CONFIGURED, INTERPRETERS, PREFIXES, RUN, RUNNERS, WITH_SUBCOMMANDS};

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

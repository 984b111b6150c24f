//! Parses a command line into plain commands, or not at all.
//!
//! A rule that accepts must know everything that would run. So this parser reads only the plain
//! part of the shell language, words and quotes joined by `&&`, `||`, `;` and `|`. It gives up at
//! anything that could mean more: a substitution, a redirection, a glob, a variable.

use std::path::PathBuf;

use super::windows_shell;

/// A command: its words.
pub(crate) type Words = Vec<String>;

/// The longest line that is parsed. What a longer one would run is unknown.
pub(super) const MAX_LINE: usize = 64 * 1024;

/// The shells whose `-c` script is parsed. The model names the shell of a command, so a program
/// that is merely called `bash` is not one of them.
const SHELLS: [&str; 8] = [
    "/bin/bash",
    "/bin/dash",
    "/bin/sh",
    "/bin/zsh",
    "/usr/bin/bash",
    "/usr/bin/dash",
    "/usr/bin/sh",
    "/usr/bin/zsh",
];

/// The plain commands of a command line in the form of codex: `/bin/bash -lc 'git status && ls'`.
pub(crate) fn plain(line: &str, shells: &[PathBuf]) -> Option<Vec<Words>> {
    // No argument can hold a NUL, so what would run is unknown.
    if line.len() > MAX_LINE || line.contains('\0') {
        return None;
    }
    let argv = argv(line)?;
    let commands = match script(&argv, shells) {
        Some(script) => read(script, true)?,
        None => vec![argv],
    };
    let is_known = |words: &Words| {
        !words
            .first()
            .is_some_and(|name| windows_shell::is_one(name))
    };
    commands.iter().all(is_known).then_some(commands)
}

/// The script that codex gives its shell, or the line itself if its program is no shell.
pub(super) fn unwrapped(line: &str, shells: &[PathBuf]) -> String {
    let argv = argv(line);
    let script = argv.as_deref().and_then(|argv| script(argv, shells));
    script.unwrap_or(line).to_owned()
}

/// The words of a line without shell operators, which is how codex joins an argv.
fn argv(line: &str) -> Option<Words> {
    let mut commands = read(line, false)?;
    commands.pop()
}

/// The script given to a shell.
fn script<'a>(argv: &'a [String], shells: &[PathBuf]) -> Option<&'a str> {
    let [program, flag, script] = argv else {
        return None;
    };
    let is_shell = SHELLS.contains(&program.as_str())
        || shells
            .iter()
            .any(|shell| shell.as_os_str() == program.as_str());
    (is_shell && matches!(flag.as_str(), "-c" | "-lc")).then_some(script)
}

fn read(text: &str, operators: bool) -> Option<Vec<Words>> {
    let mut commands = Vec::new();
    let mut words = Words::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => match chars.next()? {
                            c @ ('$' | '`' | '"' | '\\') => word.push(c),
                            '\n' => return None,
                            c => word.extend(['\\', c]),
                        },
                        '$' | '`' | '!' => return None,
                        c => word.push(c),
                    }
                }
            }
            '\\' => match chars.next()? {
                '\n' => return None,
                c => word.get_or_insert_default().push(c),
            },
            ';' | '|' | '&' if operators => {
                let doubled = chars.next_if_eq(&c).is_some();
                // `a & b`, `a ;; b`, `a |& b` and `a ; ; b` are not plain.
                if (c == '&') != doubled && c != '|' || c == '|' && chars.peek() == Some(&'&') {
                    return None;
                }
                words.extend(word.take());
                commands.push(command(std::mem::take(&mut words))?);
            }
            '=' | '~' if word.is_none() => return None,
            _ if c.is_control() || ";|&$`(){}<>*?[]#!^".contains(c) => return None,
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    commands.push(command(words)?);
    Some(commands)
}

/// Checks that a command has a program.
fn command(words: Words) -> Option<Words> {
    words
        .first()
        .is_some_and(|program| !program.is_empty())
        .then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain_of(line: &str) -> Option<Vec<String>> {
        plain(line, &[]).map(|commands| commands.iter().map(|words| words.join("|")).collect())
    }

    #[test]
    fn a_shells_script_is_read_into_its_commands() {
        for (line, commands) in [
            ("ls -la", vec!["ls|-la"]),
            ("/bin/bash -lc 'touch x'", vec!["touch|x"]),
            (
                "/bin/bash -lc 'git add . && git commit -m \"a b\"; ls | wc -l'",
                vec!["git|add|.", "git|commit|-m|a b", "ls", "wc|-l"],
            ),
            (
                "/usr/bin/sh -c \"echo 'it is' || true\"",
                vec!["echo|it is", "true"],
            ),
            ("/bin/zsh -lc \"echo \\\"\\$5\\\"\"", vec![]),
            ("/bin/bash -lc 'echo a\\ b'", vec!["echo|a b"]),
            ("python3 -c 'import os'", vec!["python3|-c|import os"]),
            ("/bin/bash -lc 'FOO=1 make'", vec!["FOO=1|make"]),
        ] {
            let read = plain_of(line).unwrap_or_default();
            assert_eq!(read, commands, "{line}");
        }
    }

    #[test]
    fn only_a_shell_that_is_known_by_its_path_is_looked_into() {
        for program in [
            "bash",
            "./bash",
            "/tmp/sh",
            "bin/bash",
            "/bin/../tmp/bash",
            "//bin/bash",
            "/BIN/BASH",
            "/bin/fish",
        ] {
            let line = format!("{program} -lc 'git status'");
            assert_eq!(
                plain_of(&line),
                Some(vec![format!("{program}|-lc|git status")]),
                "{line}"
            );
        }
        let own = [PathBuf::from("/opt/bin/bash")];
        let read = plain("/opt/bin/bash -lc 'git status'", &own).unwrap();
        assert_eq!(read, [["git", "status"]]);
        for odd in [
            "/bin/bash -lc 'ls' x",
            "/bin/bash -c",
            "/bin/bash -xc ls",
            "/bin/bash --rcfile x -c ls",
        ] {
            let read = plain_of(odd).unwrap();
            assert!(read[0].starts_with("/bin/bash|"), "{odd}: {read:?}");
        }
    }

    #[test]
    fn a_script_that_could_mean_more_is_not_read() {
        for script in [
            "echo $HOME",
            "echo `id`",
            "echo $(id)",
            "echo \"$(id)\"",
            "ls > out",
            "cat < in",
            "a & b",
            "a &",
            "a ;; b",
            "a |& b",
            "ls *",
            "ls ?",
            "ls [ab]",
            "ls ~",
            "echo {a,b}",
            "(id)",
            "a\nb",
            "a # b",
            "! a",
            "=ls",
            "",
            "  ",
            "''",
            "\"\" x",
            "a && ''",
            ";",
            "a ;",
            "'open",
            "\"open",
            "a &&& b",
            "cat <<EOF",
            "a ||| b",
        ] {
            let quoted = format!("/bin/bash -lc '{}'", script.replace('\'', "'\\''"));
            assert_eq!(plain_of(&quoted), None, "{script}");
        }
        for line in [
            "",
            "''",
            "ls; rm x",
            "ls && rm x",
            "ls | sh",
            "$(id)",
            "/bin/bash -lc 'open",
            "ls 'a\0b'",
            "/bin/bash -lc 'ls a\0b'",
        ] {
            assert_eq!(plain_of(line), None, "{line}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_not_read() {
        let line = |len: usize| format!("ls {}", "a".repeat(len - 3));
        assert!(plain_of(&line(MAX_LINE)).is_some());
        assert!(plain_of(&line(MAX_LINE + 1)).is_none());
    }
}

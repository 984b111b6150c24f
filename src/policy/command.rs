//! Reading a command line as a list of plain commands, or not at all.
//!
//! A rule that accepts must know everything that would run. So this reads the plain part of the shell's language, words
//! and quotes joined by `&&`, `||`, `;` and `|`, and gives up at the first thing that could mean more: a substitution,
//! a redirection, a glob, a variable.

/// A command: its words.
pub(crate) type Words = Vec<String>;

/// The plain commands of a command line as codex writes it, such as `/bin/bash -lc 'git status && ls'`.
pub(crate) fn plain(line: &str) -> Option<Vec<Words>> {
    let argv = argv(line)?;
    match script(&argv) {
        Some(script) => read(script, true),
        None => Some(vec![argv]),
    }
}

/// All that could be words of commands, for rules that refuse: also what `plain` does not read.
pub(crate) fn words(line: &str) -> Words {
    let argv = argv(line);
    let text = argv.as_deref().and_then(script).unwrap_or(line);
    let special = |c: char| c.is_whitespace() || "'\"`\\$(){}[]<>|&;,=*?!#~".contains(c);
    text.split(special)
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The words of a line that has none of the shell's operators: that is how codex joins an argv.
fn argv(line: &str) -> Option<Words> {
    let mut commands = read(line, false)?;
    commands.pop()
}

/// What a shell is asked to run.
fn script(argv: &[String]) -> Option<&str> {
    let [program, flag, script] = argv else {
        return None;
    };
    let name = program.rsplit('/').next().unwrap_or(program);
    (matches!(name, "bash" | "sh" | "zsh" | "dash") && matches!(flag.as_str(), "-c" | "-lc"))
        .then_some(script)
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
                if words.is_empty() {
                    return None;
                }
                commands.push(std::mem::take(&mut words));
            }
            '=' | '~' if word.is_none() => return None,
            _ if c.is_control() || ";|&$`(){}<>*?[]#!^".contains(c) => return None,
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if words.is_empty() {
        return None;
    }
    commands.push(words);
    Some(commands)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain_of(line: &str) -> Option<Vec<String>> {
        plain(line).map(|commands| commands.iter().map(|words| words.join("|")).collect())
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
                "bash -c \"echo 'it is' || true\"",
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
    fn what_could_mean_more_is_not_read() {
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
            "ls; rm x",
            "ls && rm x",
            "ls | sh",
            "$(id)",
            "/bin/bash -lc 'open",
        ] {
            assert_eq!(plain_of(line), None, "{line}");
        }
    }

    #[test]
    fn every_word_is_found_however_it_is_wrapped() {
        let has = |line: &str| words(line).contains(&"rm".to_owned());
        assert!(has("/bin/bash -lc 'sudo rm -rf /'"));
        assert!(has("/bin/bash -lc 'echo $(rm -rf x) > y'"));
        assert!(has("ls; rm x"));
        assert!(!has("/bin/bash -lc 'echo farm'"));
        assert!(
            !words("/bin/bash -lc 'touch x'").contains(&"bash".to_owned()),
            "the wrapper is codex's"
        );
    }
}

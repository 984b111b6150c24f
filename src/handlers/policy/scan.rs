//! Reading everything in a command line that could be a command, for rules that refuse: also what is not plain.
//!
//! What is found is more than what runs. A word counts as it is written and as the shell reads it, wherever it stands,
//! and the text of a quoted word is looked into as if it were a script.

use std::cell::Cell;

use super::{
    command::MAX_LINE,
    condition::Match,
    lexer::{Lexer, Nested, Token, flat, unquoted},
    programs,
};

/// How deep quotes in quotes are looked into, and how many bytes are read in all. What is beyond is unknown.
const DEPTH: usize = 8;
const WORK: usize = 16 * MAX_LINE;

/// How many words are compared for one rule. Beyond that it is unknown whether they occur.
const STEPS: usize = 1 << 20;

/// A command line, read for what could run.
pub(super) struct Scan {
    commands: Vec<Command>,
    /// All of it was read.
    whole: bool,
    budget: usize,
}

struct Command {
    words: Vec<Token>,
    /// The shell runs it. Else it may be text like any other, so that only what is surely in it counts.
    runs: bool,
}

impl Scan {
    pub(super) fn of(script: &str) -> Self {
        let mut scan = Self {
            commands: Vec::new(),
            whole: script.len() <= MAX_LINE,
            budget: WORK,
        };
        if scan.whole {
            scan.read(script, true, 0);
            for text in [script, &unquoted(script)] {
                let (words, runs) = (flat(text), false);
                scan.commands.push(Command { words, runs });
            }
        }
        scan
    }

    /// Whether these words occur as a program, its subcommand and so on, with any options between them.
    pub(super) fn has(&self, words: &[String]) -> Match {
        let mut found = if self.whole {
            Match::No
        } else {
            Match::Unknown
        };
        let steps = Steps(Cell::new(STEPS));
        for command in &self.commands {
            match occurs(&command.words, words, &steps) {
                Match::Yes => return Match::Yes,
                Match::Unknown if command.runs => found = Match::Unknown,
                _ => {}
            }
        }
        found.or(steps.over())
    }

    fn read(&mut self, script: &str, runs: bool, depth: usize) {
        if depth > DEPTH || script.len() > self.budget {
            self.whole = false;
            return;
        }
        self.budget -= script.len();
        let lexer = Lexer::split(script);
        for Nested { text, runs: nested } in lexer.nested {
            self.read(&text, runs && nested, depth + 1);
        }
        for words in lexer.commands {
            let is_shell = |w: &Token| w.text != "." && programs::is_interpreter(&w.text);
            let interpreted = words.iter().any(is_shell);
            let scripts = words
                .iter()
                .filter(|w| has_structure(&w.text) && w.text != script);
            for word in scripts {
                self.read(&word.text, runs && interpreted, depth + 1);
            }
            self.commands.push(Command { words, runs });
        }
    }
}

/// How many words may still be compared.
struct Steps(Cell<usize>);

impl Steps {
    fn next(&self) -> bool {
        self.take(1)
    }

    fn take(&self, steps: usize) -> bool {
        let left = self.0.get();
        self.0.set(left.saturating_sub(steps));
        left >= steps
    }

    /// What is not known because there were too many.
    fn over(&self) -> Match {
        if self.0.get() == 0 {
            Match::Unknown
        } else {
            Match::No
        }
    }
}

/// Whether the text of a word could be a script of its own.
fn has_structure(text: &str) -> bool {
    text.contains(|c: char| c.is_whitespace() || ";|&$`()<>{}'\"\\".contains(c))
}

/// Whether the words of a rule occur in a command.
fn occurs(command: &[Token], words: &[String], steps: &Steps) -> Match {
    let Some((program, rest)) = words.split_first() else {
        return Match::Yes; // A rule that refuses no words in particular refuses all.
    };
    let mut found = opaque(command);
    for (at, token) in command.iter().enumerate().take_while(|_| steps.next()) {
        let behind = &command[at + 1..];
        let mut matches = Vec::new();
        if token.text == *program || token.name().eq_ignore_ascii_case(program) {
            matches.push(follows(behind, rest, steps));
        }
        // `git-push` is `git push`, and `docker-compose` is `docker compose`.
        for joined in 1..=rest.len() {
            let name = words[..=joined].join("-");
            if token.name().eq_ignore_ascii_case(&name) {
                matches.push(follows(behind, &rest[joined..], steps));
            }
        }
        for one in matches {
            match one {
                Match::Yes => return Match::Yes,
                Match::Unknown => found = Match::Unknown,
                Match::No => {}
            }
        }
    }
    found
}

/// Whether what a command runs can't be told from its text.
fn opaque(command: &[Token]) -> Match {
    const KEYWORDS: [&str; 12] = [
        "{", "}", "!", "if", "then", "else", "elif", "while", "until", "do", "time", "coproc",
    ];
    let mut tokens = command
        .iter()
        .skip_while(|t| t.is_assignment() || !t.open && KEYWORDS.contains(&t.text.as_str()))
        .peekable();
    loop {
        let Some(program) = tokens.next() else {
            return Match::No;
        };
        if program.open_name {
            return Match::Unknown;
        }
        if programs::is_interpreter(&program.text) {
            return if tokens.any(|token| token.open) {
                Match::Unknown
            } else {
                Match::No
            };
        }
        if !programs::is_prefix(&program.text) {
            return Match::No;
        }
        // What stands behind the options of `env` or `xargs` is a program too. The word behind an option may be its
        // argument, or the program already.
        while let Some(token) = tokens.peek() {
            let skipped = token.is_option() || token.is_assignment();
            if !skipped {
                break;
            }
            let takes_argument = token.is_option() && !token.text.contains('=');
            tokens.next();
            if takes_argument
                && let Some(argument) = tokens.next_if(|t| !t.is_option() && !t.is_assignment())
            {
                if argument.open_name {
                    return Match::Unknown;
                }
                if programs::is_prefix(&argument.text) || programs::is_interpreter(&argument.text) {
                    return if tokens.any(|token| token.open) {
                        Match::Unknown
                    } else {
                        Match::No
                    };
                }
            }
        }
    }
}

/// Whether the words follow, with nothing but options and their arguments before and between them.
fn follows(tokens: &[Token], words: &[String], steps: &Steps) -> Match {
    let Some((word, rest)) = words.split_first() else {
        return Match::Yes;
    };
    if word.starts_with('-') {
        // An option may stand anywhere.
        if !steps.take(tokens.len()) {
            return Match::Unknown;
        }
        return match option(tokens, word) {
            Match::No => Match::No,
            Match::Yes => follows(tokens, rest, steps),
            Match::Unknown if follows(tokens, rest, steps) == Match::No => Match::No,
            Match::Unknown => Match::Unknown,
        };
    }
    let mut found = Match::No;
    let mut may_be_argument = false;
    for (at, token) in tokens.iter().enumerate().take_while(|_| steps.next()) {
        if token.open {
            found = Match::Unknown;
            may_be_argument = true;
            continue;
        }
        if token.text == *word {
            match follows(&tokens[at + 1..], rest, steps) {
                Match::Yes => return Match::Yes,
                Match::Unknown => found = Match::Unknown,
                Match::No => {}
            }
        }
        if token.is_option() {
            may_be_argument = token.text.starts_with('-') && !token.text.contains('=');
        } else if may_be_argument {
            may_be_argument = false;
        } else if !token.is_assignment() {
            break;
        }
    }
    found
}

/// Whether an option is given: `--force` also as `--force=x`, `-rf` also as `-fr` and as `-r -f`.
fn option(tokens: &[Token], word: &str) -> Match {
    let given = |wanted: &str| {
        tokens.iter().any(|token| {
            token
                .text
                .strip_prefix(wanted)
                .is_some_and(|end| end.is_empty() || end.starts_with('='))
        })
    };
    let short = |letter: char| {
        let mut short = tokens
            .iter()
            .filter_map(|t| t.text.strip_prefix('-').filter(|t| !t.starts_with('-')));
        short.any(|letters| letters.contains(letter))
    };
    let letters = word.trim_start_matches('-');
    if given(word) || !word.starts_with("--") && !letters.is_empty() && letters.chars().all(short) {
        Match::Yes
    } else if tokens.iter().any(|token| token.open) {
        Match::Unknown
    } else {
        Match::No
    }
}

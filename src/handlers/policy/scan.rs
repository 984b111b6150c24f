//! Finds everything in a command line that could be a command, for rules that refuse.
//!
//! The result is more than what runs. A word counts both as written and as the shell reads it, at
//! any position, and the text of a quoted word is scanned as if it were a script.

use std::cell::Cell;

use super::{
    command::MAX_LINE,
    condition::Match,
    lexer::{Lexer, Nested, Token, flat, unquoted},
    programs,
};

/// The deepest nesting of quotes that is scanned. What is deeper is unknown.
const DEPTH: usize = 8;

/// The bytes that are scanned in all. The rest is unknown.
const WORK: usize = 16 * MAX_LINE;

/// The words that are compared for one rule. Beyond that the result is unknown.
const STEPS: usize = 1 << 20;

/// A command line, scanned for what could run.
pub(super) struct Scan {
    commands: Vec<Command>,
    /// The line was scanned completely.
    whole: bool,
    budget: usize,
}

struct Command {
    words: Vec<Token>,
    /// The shell runs it. Otherwise it may be mere text, so only certain matches count.
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

    /// Whether these words occur as a program with subcommands, with any options between them.
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

/// The number of words that may still be compared.
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

    /// `Unknown` if the limit was reached.
    fn over(&self) -> Match {
        if self.0.get() == 0 {
            Match::Unknown
        } else {
            Match::No
        }
    }
}

/// Whether the text of a word could itself be a script.
fn has_structure(text: &str) -> bool {
    text.contains(|c: char| c.is_whitespace() || ";|&$`()<>{}'\"\\".contains(c))
}

/// Whether the words of a rule occur in a command.
fn occurs(command: &[Token], words: &[String], steps: &Steps) -> Match {
    let Some((program, rest)) = words.split_first() else {
        return Match::Yes; // A rule without words refuses every command.
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

/// `Unknown` if the text of a command does not tell what it runs.
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
        // The word after the options of `env` or `xargs` is a program too. The word after an option
        // may be its argument, or already the program.
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

/// Whether the words follow, with only options and their arguments before and between them.
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

/// Whether an option is given: `--force` also as `--force=x`, `-rf` also as `-fr` or `-r -f`.
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

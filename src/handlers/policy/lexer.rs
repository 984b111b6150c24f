//! Splits a shell script into simple commands, generously: words with unknown contents are marked
//! open.

/// A word of a command.
#[derive(Debug, Default, Clone)]
pub(super) struct Token {
    pub(super) text: String,
    /// The shell expands something in it: a variable, a substitution, a glob, braces.
    pub(super) open: bool,
    /// The expansion is after the last slash, so the name of the program is unknown.
    pub(super) open_name: bool,
}

impl Token {
    fn push(&mut self, c: char) {
        if c == '/' {
            self.open_name = false;
        }
        self.text.push(c);
    }

    fn open(&mut self) {
        (self.open, self.open_name) = (true, true);
    }

    /// The name of the program without its directory.
    pub(super) fn name(&self) -> &str {
        let name = self.text.rsplit('/').next().unwrap_or(&self.text);
        match name
            .len()
            .checked_sub(4)
            .map(|at| name.split_at_checked(at))
        {
            Some(Some((name, end))) if end.eq_ignore_ascii_case(".exe") => name,
            _ => name,
        }
    }

    pub(super) fn is_option(&self) -> bool {
        self.text.len() > 1 && self.text.starts_with(['-', '+'])
    }

    pub(super) fn is_assignment(&self) -> bool {
        self.text.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_+[].".contains(&b))
        })
    }
}

/// A script within a script.
pub(super) struct Nested {
    pub(super) text: String,
    /// The shell runs it. Otherwise it may be mere text.
    pub(super) runs: bool,
}

/// Splits a script into simple commands and their words.
#[derive(Default)]
pub(super) struct Lexer<'a> {
    rest: &'a str,
    pub(super) commands: Vec<Vec<Token>>,
    command: Vec<Token>,
    token: Option<Token>,
    next: Next,
    /// The end markers of the here-documents that begin on the next line.
    here: Vec<String>,
    pub(super) nested: Vec<Nested>,
}

/// The role of the next word.
#[derive(Default)]
enum Next {
    #[default]
    Word,
    /// The target of a redirection.
    Target,
    /// The end marker of a here-document.
    HereEnd,
}

impl<'a> Lexer<'a> {
    pub(super) fn split(script: &'a str) -> Self {
        let mut lexer = Self {
            rest: script,
            ..Self::default()
        };
        lexer.run();
        lexer
    }

    fn run(&mut self) {
        while let Some(c) = self.next() {
            match c {
                '\n' => {
                    self.end_command();
                    self.here_documents();
                }
                '\r' | ';' | '|' | '&' | ')' | '(' => self.end_command(),
                c if c.is_whitespace() => self.end_token(),
                '<' | '>' => self.redirect(c),
                '\'' => {
                    let (quoted, rest) = self.rest.split_once('\'').unwrap_or((self.rest, ""));
                    self.rest = rest;
                    self.extend(quoted);
                }
                '"' => self.double_quoted(),
                '\\' => match self.next() {
                    Some('\n') | None => {}
                    Some(c) => self.token().push(c),
                },
                '$' => self.dollar(),
                '`' => self.backquoted(),
                '*' | '?' | '[' => {
                    self.token().push(c);
                    self.token().open();
                }
                '{' if self.token.is_some() || !self.rest.starts_with(char::is_whitespace) => {
                    self.token().push(c);
                    self.token().open();
                }
                c => self.token().push(c),
            }
        }
        self.end_command();
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn token(&mut self) -> &mut Token {
        self.token.get_or_insert_default()
    }

    fn extend(&mut self, text: &str) {
        let token = self.token();
        text.chars().for_each(|c| token.push(c));
    }

    fn end_token(&mut self) {
        let Some(mut token) = self.token.take() else {
            return;
        };
        match std::mem::take(&mut self.next) {
            Next::Target => self.nest(&token.text, false),
            Next::HereEnd => self.here.push(token.text),
            Next::Word => {
                if matches!(token.text.as_str(), "[" | "[[") {
                    (token.open, token.open_name) = (false, false); // A test, not a glob.
                }
                self.command.push(token);
            }
        }
    }

    fn nest(&mut self, text: &str, runs: bool) {
        let text = text.to_owned();
        self.nested.push(Nested { text, runs });
    }

    fn here_documents(&mut self) {
        for end in std::mem::take(&mut self.here) {
            let mut at = 0;
            let lines = self.rest.split_inclusive('\n');
            for line in lines.take_while(|line| line.trim() != end.trim()) {
                at += line.len();
            }
            let (text, rest) = self.rest.split_at(at);
            self.nest(text, false);
            self.rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
        }
    }

    fn end_command(&mut self) {
        self.end_token();
        self.next = Next::Word;
        if !self.command.is_empty() {
            self.commands.push(std::mem::take(&mut self.command));
        }
    }

    fn redirect(&mut self, c: char) {
        // A file descriptor number is not a word.
        if self
            .token
            .as_ref()
            .is_some_and(|t| t.text.bytes().all(|b| b.is_ascii_digit()))
        {
            self.token = None;
        }
        self.end_token();
        if self.rest.starts_with('(') {
            return; // A process substitution: its commands follow.
        }
        let is_here = c == '<' && self.rest.starts_with('<') && !self.rest.starts_with("<<");
        self.rest = self.rest.trim_start_matches(['<', '>', '&', '|', '-']);
        self.next = if is_here { Next::HereEnd } else { Next::Target };
    }

    fn backquoted(&mut self) {
        let (script, rest) = self.rest.split_once('`').unwrap_or((self.rest, ""));
        self.rest = rest;
        self.nest(&script.replace("\\`", "`"), true);
        self.token().open();
    }

    fn double_quoted(&mut self) {
        let whole = self.rest;
        self.token();
        while let Some(c) = self.next() {
            match c {
                '"' => return,
                '\\' => match self.next() {
                    Some('\n') | None => {}
                    Some(c @ ('$' | '`' | '"' | '\\')) => self.token().push(c),
                    Some(c) => self.extend(&format!("\\{c}")),
                },
                '$' if !self.rest.starts_with(['\'', '"']) => self.dollar(),
                '`' => self.backquoted(),
                c => self.token().push(c),
            }
        }
        // The quote is never closed, so the rest is scanned without it.
        self.nest(whole, false);
    }

    fn dollar(&mut self) {
        match self.rest.chars().next() {
            Some('\'') => {
                let (decoded, rest) = ansi(&self.rest[1..]);
                self.rest = rest;
                self.extend(&decoded);
            }
            Some('"') => {
                self.next();
                self.double_quoted();
            }
            Some('(') => {
                let end = closing(self.rest);
                self.nest(&self.rest[1..end], true);
                self.rest = self.rest.get(end + 1..).unwrap_or_default();
                self.token().open();
            }
            Some('{') => {
                let end = self.rest.find('}').unwrap_or(self.rest.len());
                self.nest(&self.rest[1..end], false);
                self.rest = self.rest.get(end + 1..).unwrap_or_default();
                self.token().open();
            }
            Some(c) if c.is_alphanumeric() || "_@*#?$!-".contains(c) => {
                self.next();
                let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                self.rest = self.rest.trim_start_matches(name);
                self.token().open();
            }
            _ => self.token().push('$'),
        }
    }
}

/// The position of the parenthesis that closes the text, or its end.
fn closing(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    text.len()
}
/// The line as one list of words, split wherever the shell might split it.
pub(super) fn flat(text: &str) -> Vec<Token> {
    let special = |c: char| c.is_whitespace() || "'\"`\\$(){}[]<>|&;,=*?!#~".contains(c);
    let words = text.split(special).filter(|word| !word.is_empty());
    words
        .map(|word| Token {
            text: word.to_owned(),
            ..Token::default()
        })
        .collect()
}

/// The line without quotes, as the shell reads its words: `r'm'`, `r\m` and `$'\x72m'` are `rm`.
pub(super) fn unquoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("$'") {
            let (decoded, after) = ansi(after);
            out.push_str(&decoded);
            rest = after;
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => rest = rest.strip_prefix('\n').unwrap_or(rest),
            '\'' | '"' | '\0' => {}
            c => out.push(c),
        }
    }
    out
}

/// Decodes the text of `$'…'` after its opening quote. Returns it with the rest.
fn ansi(text: &str) -> (String, &str) {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\'' => return (out, rest),
            '\\' => {
                let Some(escape) = rest.chars().next() else {
                    break;
                };
                rest = &rest[escape.len_utf8()..];
                let (radix, most) = match escape {
                    'x' => (16, 2),
                    'u' => (16, 4),
                    'U' => (16, 8),
                    '0'..='7' => (8, 3),
                    _ => {
                        out.push(match escape {
                            'n' | 'r' | 'f' | 'v' => '\n',
                            't' => '\t',
                            'a' | 'b' | 'e' | 'E' | 'c' => '\u{7}',
                            other => other,
                        });
                        continue;
                    }
                };
                if radix == 8 {
                    rest = &text[text.len() - rest.len() - 1..];
                }
                let digits = rest
                    .chars()
                    .take(most)
                    .take_while(|c| c.is_digit(radix))
                    .count();
                let code = u32::from_str_radix(&rest[..digits], radix).ok();
                out.extend(code.and_then(char::from_u32));
                rest = &rest[digits..];
            }
            c => out.push(c),
        }
    }
    (out, rest)
}

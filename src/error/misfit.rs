//! Describes why a JSON text does not fit a type, without quoting it: the path, what was found
//! there, and what was expected.
//!
//! serde's own messages quote the string that does not fit, and that string may be a token.

use std::fmt::Write as _;

use serde_json::error::Category;

/// Describes `error`, which came of reading `text`, without any value of the text.
pub(crate) fn describe(text: &str, error: &serde_json::Error) -> String {
    let said = error.to_string();
    let said = said
        .rsplit_once(" at line ")
        .map_or(said.as_str(), |(said, _)| said);
    let what = match error.classify() {
        Category::Data => without_values(said),
        // serde_json has a fixed list of these messages.
        Category::Io | Category::Syntax | Category::Eof => said.to_owned(),
    };
    match place(text, error.line(), error.column()) {
        Some(place) => format!("{place}: {what}"),
        None => what,
    }
}

/// serde's message without what it quotes of the input.
fn without_values(said: &str) -> String {
    // The input may hold these words too, but the type's own words always stand last.
    let expected = said.rsplit_once(", expected ").map(|(_, e)| e);
    let expected = expected.map_or(String::new(), |e| format!(", expected {e}"));
    for prefix in ["invalid type: ", "invalid value: "] {
        if let Some(rest) = said.strip_prefix(prefix) {
            return format!("{}{expected}", kind(rest));
        }
    }
    for prefix in ["invalid length ", "unknown variant ", "unknown field "] {
        if said.starts_with(prefix) {
            return format!("{}{expected}", prefix.trim_end());
        }
    }
    for prefix in ["missing field `", "duplicate field `"] {
        if let Some(name) = said.strip_prefix(prefix)
            && name.strip_suffix('`').is_some_and(is_name)
        {
            return said.to_owned();
        }
    }
    "a value does not fit".to_owned()
}

/// serde's name for what stands there.
fn kind(unexpected: &str) -> &'static str {
    const KINDS: [&str; 16] = [
        "string",
        "integer",
        "floating point",
        "boolean",
        "null",
        "sequence",
        "map",
        "character",
        "byte array",
        "unit value",
        "Option value",
        "newtype struct",
        "enum",
        "unit variant",
        "newtype variant",
        "tuple variant",
    ];
    let found = KINDS.into_iter().find(|kind| unexpected.starts_with(kind));
    found.unwrap_or("another type")
}

/// Whether a key looks like the name of a field, not like a user's data.
fn is_name(key: &str) -> bool {
    (1..=40).contains(&key.len())
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'$')
}

/// The path of the value at this position, such as `thread.items[3].id`; `None` if it is not known.
fn place(text: &str, line: usize, column: usize) -> Option<String> {
    if line == 0 {
        return None;
    }
    let start: usize = text
        .split_inclusive('\n')
        .take(line - 1)
        .map(str::len)
        .sum();
    let read = text
        .as_bytes()
        .get(..start.saturating_add(column).min(text.len()))?;
    let mut path = Path::default();
    path.walk(read);
    path.text()
}

/// The objects and arrays that are open at a position.
#[derive(Default)]
struct Path {
    open: Vec<Level>,
}

enum Level {
    /// An object, and the key whose value is open, if there is one.
    Object(Option<String>),
    List(usize),
}

impl Path {
    fn walk(&mut self, json: &[u8]) {
        let mut at = 0;
        let mut wants_key = false;
        while let Some(&byte) = json.get(at) {
            at += 1;
            match byte {
                b'{' => {
                    self.open.push(Level::Object(None));
                    wants_key = true;
                }
                b'[' => self.open.push(Level::List(0)),
                // An error at the end of a value is about the whole value.
                b'}' | b']' if at == json.len() => {
                    if let Some(Level::Object(key)) = self.open.last_mut() {
                        *key = None;
                    }
                }
                b'}' | b']' => {
                    self.open.pop();
                    wants_key = false;
                }
                b',' => match self.open.last_mut() {
                    Some(Level::List(index)) => *index += 1,
                    Some(Level::Object(key)) => {
                        *key = None;
                        wants_key = true;
                    }
                    None => {}
                },
                b'"' => {
                    let from = at;
                    while let Some(&byte) = json.get(at) {
                        at += if byte == b'\\' { 2 } else { 1 };
                        if byte == b'"' {
                            break;
                        }
                    }
                    if std::mem::take(&mut wants_key)
                        && let Some(Level::Object(key)) = self.open.last_mut()
                    {
                        let end = at.saturating_sub(1).min(json.len()).max(from);
                        *key = Some(String::from_utf8_lossy(&json[from..end]).into_owned());
                    }
                }
                _ => {}
            }
        }
    }

    fn text(&self) -> Option<String> {
        let mut text = String::new();
        for level in &self.open {
            match level {
                Level::Object(Some(key)) => {
                    let dot = if text.is_empty() { "" } else { "." };
                    let key = if is_name(key) { key } else { "*" };
                    let _ = write!(text, "{dot}{key}");
                }
                Level::Object(None) => {}
                Level::List(index) => {
                    let _ = write!(text, "[{index}]");
                }
            }
        }
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
#[path = "misfit_tests.rs"]
mod tests;

//! Why a JSON text is not of a type, said without quoting it: the place, what stands there, and what was expected.
//!
//! What serde says quotes the string that does not fit, and that string may be a token.

use std::fmt::Write as _;

use serde_json::error::Category;

/// What `error` says of `text`, which was read from its beginning, without any of its values.
pub(crate) fn describe(text: &str, error: &serde_json::Error) -> String {
    let said = error.to_string();
    let said = said
        .rsplit_once(" at line ")
        .map_or(said.as_str(), |(said, _)| said);
    let what = match error.classify() {
        Category::Data => without_values(said),
        // Of these serde_json has a fixed list.
        Category::Io | Category::Syntax | Category::Eof => said.to_owned(),
    };
    match place(text, error.line(), error.column()) {
        Some(place) => format!("{place}: {what}"),
        None => what,
    }
}

/// A message of serde's without what it quotes of the input.
fn without_values(said: &str) -> String {
    // The input may hold these words too, but it always stands before the type's own.
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

/// What stands there, as serde calls it.
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

/// Whether it looks like the name of a field rather than like something of the user's.
fn is_name(key: &str) -> bool {
    (1..=40).contains(&key.len())
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'$')
}

/// The path of the value at which a reader stood, such as `thread.items[3].id`; `None` where that is not known.
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

/// Where a reader of JSON stands: the open objects and lists.
#[derive(Default)]
struct Path {
    open: Vec<Level>,
}

enum Level {
    /// An object, and the key whose value is read, as far as there is one.
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
                // At its end the reader complains of the whole.
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

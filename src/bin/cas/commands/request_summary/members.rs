//! The members of a JSON object. Each is taken once; whatever is left was not understood.

use serde_json::{Map, Value};

pub(super) struct Members(Map<String, Value>);

impl Members {
    /// Adds `value` to `unclear` if it is neither an object nor `null`.
    pub(super) fn of(value: Value, unclear: &mut Vec<String>) -> Self {
        match value {
            Value::Object(members) => Self(members),
            Value::Null => Self(Map::new()),
            other => {
                unclear.push(format!("{other} is not known here"));
                Self(Map::new())
            }
        }
    }

    /// Returns `null` if there is no such member.
    pub(super) fn take(&mut self, key: &str) -> Value {
        self.0.remove(key).unwrap_or_default()
    }

    /// Returns a string that is not blank. A value other than a string or `null` is unclear.
    pub(super) fn text(&mut self, key: &str, unclear: &mut Vec<String>) -> Option<String> {
        match self.take(key) {
            Value::Null => None,
            Value::String(text) => Some(text).filter(|text| !text.trim().is_empty()),
            other => {
                unclear.push(format!("`{key}` is {other}, which is not known here"));
                None
            }
        }
    }

    /// Adds the members that were not taken to `unclear`, except those that are empty, `null` or
    /// `false`.
    pub(super) fn unknown(&mut self, unclear: &mut Vec<String>) {
        for (key, value) in std::mem::take(&mut self.0) {
            if !says_nothing(&value) {
                unclear.push(format!("`{key}` is not known here: {value}"));
            }
        }
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) | Value::Number(_) => false,
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.is_empty(),
    }
}

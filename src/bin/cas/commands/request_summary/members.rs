//! The members of a JSON object. Each is taken once; whatever is left was not understood.

use serde_json::{Map, Value};

pub(super) struct Members {
    /// Where the object is in the request, such as `additionalPermissions`; empty for the request.
    path: String,
    all: Map<String, Value>,
}

impl Members {
    /// Adds `value` to `unclear` if it is neither an object nor `null`.
    pub(super) fn of(path: &str, value: Value, unclear: &mut Vec<String>) -> Self {
        let all = match value {
            Value::Object(all) => all,
            Value::Null => Map::new(),
            other => {
                unclear.push(format!("{other} is not known here"));
                Map::new()
            }
        };
        let path = path.to_owned();
        Self { path, all }
    }

    /// Returns `null` if there is no such member.
    pub(super) fn take(&mut self, key: &str) -> Value {
        self.all.remove(key).unwrap_or_default()
    }

    /// Returns a member that is an object.
    pub(super) fn object(&mut self, key: &str, unclear: &mut Vec<String>) -> Self {
        Self::of(&self.path_of(key), self.take(key), unclear)
    }

    /// Returns a string that is not blank. A value other than a string or `null` is unclear.
    pub(super) fn text(&mut self, key: &str, unclear: &mut Vec<String>) -> Option<String> {
        match self.take(key) {
            Value::Null => None,
            Value::String(text) => Some(text).filter(|text| !text.trim().is_empty()),
            other => {
                let path = self.path_of(key);
                unclear.push(format!("`{path}` is {other}, which is not known here"));
                None
            }
        }
    }

    /// Adds the members that were not taken to `unclear`, except those that are empty, `null` or
    /// `false`.
    pub(super) fn unknown(&mut self, unclear: &mut Vec<String>) {
        for (key, value) in std::mem::take(&mut self.all) {
            if !says_nothing(&value) {
                let path = self.path_of(&key);
                let text = format!("this version of cas does not know the field `{path}`: {value}");
                unclear.push(text);
            }
        }
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
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

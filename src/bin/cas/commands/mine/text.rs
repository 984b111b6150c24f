//! The words of an item, for people and for searching.

use serde_json::Value;

/// Members that are names or markers, not text.
const NAMES: [&str; 12] = [
    "id",
    "type",
    "status",
    "phase",
    "callId",
    "processId",
    "source",
    "kind",
    "access",
    "role",
    "clientId",
    "url",
];

/// All text in an item, one piece per line. It knows no item types, so it reads new ones too.
pub(crate) fn text(item: &Value) -> String {
    let mut out = String::new();
    collect(item, &mut out);
    out.truncate(out.trim_end().len());
    out
}

fn collect(value: &Value, out: &mut String) {
    match value {
        Value::String(text) if !text.is_empty() => {
            out.push_str(text);
            out.push('\n');
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, out)),
        Value::Object(members) => members
            .iter()
            .filter(|(key, _)| !NAMES.contains(&key.as_str()))
            .for_each(|(_, value)| collect(value, out)),
        _ => {}
    }
}

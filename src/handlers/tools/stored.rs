//! Compares the tools that a stored thread was started with to the tools that are registered now.
//!
//! No method of the server returns the stored tools: they are in the first line of the thread's
//! file.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
};

use serde::Deserialize;
use serde_json::Value;

use crate::{protocol::pointer::at, transport::private_files::open_regular};

type Key<'a> = (Option<&'a str>, &'a str);

/// The differences between the tools in a thread's file and `specs`, in words. Empty if the file
/// can't be read: it may be on another machine, or have another format in another version of codex.
pub(crate) fn differences(file: &Path, specs: Option<&Value>) -> Vec<String> {
    match read(file) {
        Some(stored) => compare(&stored, specs.unwrap_or(&Value::Null)),
        None => Vec::new(),
    }
}

fn read(file: &Path) -> Option<Value> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Meta {
        dynamic_tools: Value,
    }
    /// The longest line. It holds the instructions too, and this is many times their size.
    const LONGEST: u64 = 4 * 1024 * 1024;
    let mut line = String::new();
    let file = open_regular(file).ok()?;
    BufReader::new(file.take(LONGEST))
        .read_line(&mut line)
        .ok()?;
    let meta: Meta = at(&line, &["payload"]).ok()?;
    Some(meta.dynamic_tools)
}

fn compare(stored: &Value, registered: &Value) -> Vec<String> {
    let (stored, registered) = (by_name(stored), by_name(registered));
    let mut found = Vec::new();
    for (key, spec) in &stored {
        match find(&registered, key) {
            None => found.push(format!(
                "{} was advertised and is not registered",
                show(key)
            )),
            Some(now) if !same(spec, now) => found.push(format!(
                "{} was advertised with another specification",
                show(key)
            )),
            Some(_) => {}
        }
    }
    for (key, _) in &registered {
        if find(&stored, key).is_some() {
            continue;
        }
        found.push(format!(
            "{} is registered but was not advertised, so the model won't call it",
            show(key)
        ));
    }
    found
}

fn show((namespace, name): &Key<'_>) -> String {
    match namespace {
        Some(namespace) => format!("tool {namespace}.{name}"),
        None => format!("tool {name}"),
    }
}

/// Each tool with its name, in the order of the specs.
fn by_name(specs: &Value) -> Vec<(Key<'_>, &Value)> {
    let mut found = Vec::new();
    for spec in specs.as_array().into_iter().flatten() {
        match (spec["name"].as_str(), spec["tools"].as_array()) {
            (Some(namespace), Some(tools)) => {
                for tool in tools {
                    if let Some(name) = tool["name"].as_str() {
                        found.push(((Some(namespace), name), tool));
                    }
                }
            }
            (Some(name), None) => {
                found.push(((spec["namespace"].as_str(), name), spec));
            }
            (None, _) => {}
        }
    }
    found
}

fn find<'a>(tools: &[(Key<'_>, &'a Value)], name: &Key<'_>) -> Option<&'a Value> {
    let tool = tools.iter().find(|(key, _)| key == name);
    tool.map(|(_, spec)| *spec)
}

fn same(a: &Value, b: &Value) -> bool {
    let defer = |v: &Value| v["deferLoading"].as_bool().unwrap_or(false);
    a["description"] == b["description"]
        && a["inputSchema"] == b["inputSchema"]
        && defer(a) == defer(b)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_way_to_differ_is_told_by_name() {
        let f = |name: &str, description: &str| json!({"type": "function", "name": name, "description": description, "inputSchema": {}});
        let stored = json!([f("gone", ""), {"type": "namespace", "name": "n", "tools": [f("same", ""), f("other", "old")]}]);
        let now = json!([f("new", ""), {"type": "namespace", "name": "n", "tools": [f("same", ""), f("other", "new")]}]);
        let found = compare(&stored, &now);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("tool gone was advertised and is not registered"));
        assert!(found[1].starts_with("tool n.other was advertised with another"));
        assert!(found[2].starts_with("tool new is registered but was not advertised"));
        assert_eq!(compare(&stored, &stored), [""; 0]);
        assert_eq!(compare(&Value::Null, &Value::Null), [""; 0]);
    }

    #[test]
    fn a_file_that_is_not_there_differs_in_nothing() {
        assert_eq!(differences(Path::new("/no/such/file"), None), [""; 0]);
    }
}

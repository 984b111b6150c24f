//! The permissions of a profile in plain words.

use std::collections::HashSet;

use serde_json::Value;

use super::members::Members;

/// Returns the permissions that a profile grants, one by one. Anything else in the profile is
/// unclear.
pub(super) fn granted(mut profile: Members, unclear: &mut Vec<String>) -> Vec<String> {
    let mut grants = Vec::new();
    let network = profile.take("network");
    if !network.is_null() {
        let mut network = Members::of(&profile.path_of("network"), network, unclear);
        match network.take("enabled") {
            Value::Bool(false) => {}
            Value::Bool(true) | Value::Null => grants.push("may use the network".to_owned()),
            other => unclear.push(format!("the network is {other}, which is not known here")),
        }
        network.unknown(unclear);
    }
    let mut files = profile.object("fileSystem", unclear);
    for (key, verb) in [("read", "may read"), ("write", "may write to")] {
        for path in list(files.take(key), unclear) {
            match path.as_str() {
                Some(path) => grants.push(format!("{verb} {path}")),
                None => unclear.push(format!("{verb} {path}, which is not known here")),
            }
        }
    }
    for entry in list(files.take("entries"), unclear) {
        let entry = Members::of(&files.path_of("entries"), entry, unclear);
        grants.push(access(entry, unclear));
    }
    match files.take("globScanMaxDepth") {
        Value::Null => {}
        depth => grants.push(format!("patterns reach {depth} directories deep")),
    }
    files.unknown(unclear);
    profile.unknown(unclear);
    // Codex reports paths in two forms at once.
    let mut listed = HashSet::new();
    grants.retain(|grant| listed.insert(grant.clone()));
    grants
}

fn list(value: Value, unclear: &mut Vec<String>) -> Vec<Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(all) => all,
        other => {
            unclear.push(format!("{other} is not known here"));
            Vec::new()
        }
    }
}

/// Describes the access to one place.
fn access(mut entry: Members, unclear: &mut Vec<String>) -> String {
    let verb = match entry.text("access", unclear).as_deref() {
        Some("read") => "may read".to_owned(),
        Some("write") => "may write to".to_owned(),
        Some("deny") => "has no access to".to_owned(),
        other => {
            let access = other.unwrap_or("no access");
            unclear.push(format!("`{access}` is not known here"));
            format!("may {access}")
        }
    };
    let path = entry.take("path");
    let shown = path.to_string();
    let mut path = Members::of(&entry.path_of("path"), path, unclear);
    entry.unknown(unclear);
    let kind = path.text("type", unclear);
    let place = match kind.as_deref() {
        Some("path") => path.text("path", unclear),
        Some("glob_pattern") => {
            let pattern = path.text("pattern", unclear);
            pattern.map(|pattern| format!("all that matches {pattern}"))
        }
        Some("special") => special(path.object("value", unclear), unclear),
        _ => None,
    };
    path.unknown(unclear);
    let place = place.unwrap_or_else(|| {
        unclear.push(format!("{shown} is not known here"));
        shown
    });
    format!("{verb} {place}")
}

/// Describes a place that codex has a name for.
fn special(mut value: Members, unclear: &mut Vec<String>) -> Option<String> {
    let kind = value.text("kind", unclear)?;
    let below = value.text("subpath", unclear);
    let place = match kind.as_str() {
        "root" => "all files",
        "minimal" => "the files that programs need to run",
        "project_roots" => "the roots of the project",
        "tmpdir" => "the directory for temporary files",
        "slash_tmp" => "/tmp",
        _ => return None,
    };
    value.unknown(unclear);
    Some(match below {
        Some(below) => format!("{below} below {place}"),
        None => place.to_owned(),
    })
}

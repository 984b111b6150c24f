//! `Summary`: a schema as a flat list of names with their types, by which two schemas are compared.
//!
//! Compiled into the build script too, which writes the summary of the vendored schema.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Maps `method thread/start` to `ClientRequest(ThreadStartParams)`, `ThreadStartParams.cwd` to
/// `string?`, and `SandboxMode = "read-only"` to nothing.
pub(crate) type Summary = BTreeMap<String, String>;

/// The prefix of the names of methods.
pub(crate) const METHOD: &str = "method ";

const METHOD_ENUMS: [&str; 4] = [
    "ClientRequest",
    "ServerNotification",
    "ServerRequest",
    "ClientNotification",
];

/// Summarises a bundle, or says why it is not one.
pub(crate) fn summarise(bundle: &Value) -> Result<Summary, &'static str> {
    let homes = ["definitions", "$defs"];
    let top = homes
        .iter()
        .find_map(|home| bundle[*home].as_object())
        .ok_or("it has no `definitions`")?;
    let mut summary = Summary::new();
    for group in METHOD_ENUMS {
        let variants = top
            .get(group)
            .and_then(|group| {
                ["oneOf", "anyOf"]
                    .iter()
                    .find_map(|word| group[*word].as_array())
            })
            .ok_or("one of the four lists of methods is missing")?;
        for variant in variants {
            let properties = &variant["properties"];
            let method = &properties["method"];
            if let Some(method) = method["enum"][0].as_str().or(method["const"].as_str()) {
                let params = name_of(&properties["params"]);
                summary.insert(format!("{METHOD}{method}"), format!("{group}({params})"));
            }
        }
    }
    // Namespaces such as `v2`.
    let is_space = |name: &str| name.starts_with(|c: char| c.is_ascii_lowercase());
    let spaces = top.iter().filter(|(name, _)| is_space(name));
    let nested = spaces
        .filter_map(|(_, space)| space.as_object())
        .flat_map(Map::iter);
    for (name, definition) in top.iter().filter(|(name, _)| !is_space(name)).chain(nested) {
        let envelope = METHOD_ENUMS.contains(&name.as_str()) || name.starts_with("JSONRPC");
        if !envelope {
            add(&mut summary, name, definition);
        }
    }
    Ok(summary)
}

/// Adds the contents of `schema` under the name `path`.
fn add(summary: &mut Summary, path: &str, schema: &Value) {
    for value in schema["enum"].as_array().into_iter().flatten() {
        summary.insert(format!("{path} = {value}"), String::new());
    }
    let required = schema["required"].as_array();
    for (field, property) in schema["properties"]
        .as_object()
        .into_iter()
        .flat_map(Map::iter)
    {
        let needed = required.is_some_and(|required| required.iter().any(|name| name == field));
        let mark = if needed { "" } else { "?" };
        let place = format!("{path}.{field}");
        summary.insert(place.clone(), format!("{}{mark}", name_of(property)));
        // A single value is a tag, which the path already has.
        if property["enum"]
            .as_array()
            .is_none_or(|values| values.len() > 1)
        {
            add(summary, &place, property);
        }
    }
    for word in ["oneOf", "anyOf", "allOf"] {
        for branch in schema[word].as_array().into_iter().flatten() {
            match tag(branch) {
                Some(tag) => {
                    let place = format!("{path} {tag}");
                    summary.insert(place.clone(), String::new());
                    add(summary, &place, branch);
                }
                None => add(summary, path, branch),
            }
        }
    }
    for word in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get(word) {
            add(summary, path, inner);
        }
    }
}

/// The field with a single value, which tells a branch from its siblings.
fn tag(branch: &Value) -> Option<String> {
    let (field, property) = branch["properties"]
        .as_object()?
        .iter()
        .find(|(_, property)| {
            property["enum"]
                .as_array()
                .is_some_and(|values| values.len() == 1)
        })?;
    Some(format!("{field}={}", property["enum"][0].as_str()?))
}

/// A short name for a type.
fn name_of(schema: &Value) -> String {
    if let Some(target) = schema["$ref"].as_str() {
        return target.rsplit('/').next().unwrap_or(target).to_owned();
    }
    for word in ["oneOf", "anyOf", "allOf"] {
        if let Some(branches) = schema[word].as_array() {
            let names: Vec<String> = branches.iter().map(name_of).collect();
            return names.join("|");
        }
    }
    let format = schema["format"].as_str();
    let plain = |ty: &str| match ty {
        "array" => format!("[{}]", name_of(&schema["items"])),
        "integer" | "number" => format.unwrap_or(ty).to_owned(),
        "object" if schema["additionalProperties"].is_object() => {
            format!("{{{}}}", name_of(&schema["additionalProperties"]))
        }
        _ => ty.to_owned(),
    };
    match &schema["type"] {
        Value::String(ty) => plain(ty),
        Value::Array(types) => {
            let names: Vec<String> = types.iter().filter_map(Value::as_str).map(plain).collect();
            names.join("|")
        }
        _ => "any".into(),
    }
}

/// Writes one name per line.
pub(crate) fn write(summary: &Summary) -> String {
    let mut text = String::new();
    for (name, what) in summary {
        text.extend([name.as_str(), "\t", what.as_str(), "\n"]);
    }
    text
}

//! Reduces the schema of a field to the few keywords that typify gets. Everything else becomes any
//! JSON value, so that no schema can surprise the later passes.

use serde_json::{Map, Value, json};

use super::{load::reference, normalise::without_null};

const INTEGERS: [&str; 8] = [
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
];
const NUMBERS: [&str; 2] = ["float", "double"];

/// The reduced schema, or `None` if it cannot be reduced. `known` tells which names are types.
pub(crate) fn plain(schema: &Value, known: &dyn Fn(&str) -> bool) -> Option<Value> {
    let (inner, nullable) = without_null(schema);
    let plain = plain_inner(&inner, known)?;
    Some(match (nullable, plain.get("type")) {
        (true, Some(Value::String(ty))) => {
            let mut plain = plain.clone();
            plain["type"] = json!([ty, "null"]);
            plain
        }
        (true, _) if reference(&plain).is_some() => json!({ "anyOf": [plain, { "type": "null" }] }),
        // Any value includes null.
        _ => plain,
    })
}

fn plain_inner(schema: &Value, known: &dyn Fn(&str) -> bool) -> Option<Value> {
    if let Some(name) = reference(schema) {
        return known(name).then(|| json!({ "$ref": format!("#/definitions/{name}") }));
    }
    let object = match schema {
        Value::Bool(true) => return Some(true.into()),
        Value::Object(object) => object,
        _ => return None,
    };
    let format = object.get("format").and_then(Value::as_str);
    let number = |ty: &str, formats: &[&str]| match format.filter(|format| formats.contains(format))
    {
        Some(format) => json!({ "type": ty, "format": format }),
        None => json!({ "type": ty }),
    };
    let only = |keys: &[&str]| object.keys().all(|key| keys.contains(&key.as_str()));
    match object.get("type").and_then(Value::as_str) {
        Some("string") => Some(json!({ "type": "string" })),
        Some("boolean") => Some(json!({ "type": "boolean" })),
        Some("integer") => Some(number("integer", &INTEGERS)),
        Some("number") => Some(number("number", &NUMBERS)),
        Some("array") => match object.get("items") {
            None => Some(json!({ "type": "array", "items": true })),
            Some(items) => Some(json!({ "type": "array", "items": plain(items, known)? })),
        },
        Some("object") => match object.get("additionalProperties") {
            None | Some(Value::Bool(_)) => {
                Some(json!({ "type": "object", "additionalProperties": true }))
            }
            Some(values) => {
                Some(json!({ "type": "object", "additionalProperties": plain(values, known)? }))
            }
        },
        None if only(&["description", "deprecated", "default", "examples"]) => Some(true.into()),
        _ => None,
    }
}

/// Reduces the schemas of properties. One that cannot be reduced becomes any value and is passed to
/// `odd`.
pub(crate) fn properties(
    properties: &Map<String, Value>,
    known: &dyn Fn(&str) -> bool,
    odd: &mut dyn FnMut(&str),
) -> Map<String, Value> {
    let plain = |(name, schema): (&String, &Value)| {
        let plain = plain(&without_null(schema).0, known).unwrap_or_else(|| {
            odd(name);
            true.into()
        });
        (name.clone(), plain)
    };
    properties.iter().map(plain).collect()
}

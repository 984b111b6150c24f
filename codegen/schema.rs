//! Queries on schemas.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{load::reference, model::Variant, names};

/// Calls `visit` with a schema and all schemas inside of it, outer ones first. Values (`default`,
/// `enum`) are not schemas, and names of properties are not keywords.
pub(crate) fn walk(schema: &mut Value, visit: &mut dyn FnMut(&mut Map<String, Value>)) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    visit(object);
    for word in ["items", "additionalProperties", "not"] {
        if let Some(inner) = object.get_mut(word) {
            walk(inner, visit);
        }
    }
    for word in ["oneOf", "anyOf", "allOf", "prefixItems", "items"] {
        for inner in object
            .get_mut(word)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            walk(inner, visit);
        }
    }
    for word in ["properties", "patternProperties", "definitions", "$defs"] {
        let inner = object.get_mut(word).and_then(Value::as_object_mut);
        inner
            .into_iter()
            .flat_map(Map::values_mut)
            .for_each(|inner| walk(inner, visit));
    }
}

pub(crate) fn description(schema: &Value) -> Option<String> {
    let text = schema
        .get("description")
        .and_then(Value::as_str)
        .map(String::from);
    if schema["deprecated"] == true {
        return Some(format!("**Deprecated.** {}", text.unwrap_or_default()));
    }
    text
}

pub(crate) fn required(schema: &Value) -> impl Iterator<Item = &str> {
    schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

pub(crate) fn branches(schema: &Value) -> Option<&Vec<Value>> {
    ["oneOf", "anyOf"]
        .iter()
        .find_map(|word| schema.get(*word)?.as_array())
}

/// The values of a string enum, including one written as alternatives with a description each.
pub(crate) fn words(schema: &Value) -> Option<Vec<Variant>> {
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        let doc = if values.len() == 1 {
            description(schema)
        } else {
            None
        };
        return values
            .iter()
            .map(|value| {
                let wire = value.as_str()?.to_owned();
                Some(Variant {
                    name: names::variant(&wire),
                    wire,
                    payload: None,
                    doc: doc.clone(),
                })
            })
            .collect();
    }
    if let Some(word) = schema.get("const").and_then(Value::as_str) {
        return Some(vec![Variant {
            name: names::variant(word),
            wire: word.into(),
            payload: None,
            doc: description(schema),
        }]);
    }
    branches(schema)?
        .iter()
        .map(words)
        .try_fold(Vec::new(), |mut all, words| {
            all.extend(words?);
            Some(all)
        })
}

pub(crate) fn single_word(schema: &Value) -> Option<&str> {
    match schema
        .get("enum")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
    {
        Some([word]) => word.as_str(),
        Some(_) => None,
        None => schema.get("const")?.as_str(),
    }
}

/// The required property that names the variant in every branch.
pub(crate) fn tag(branches: &[Value]) -> Option<String> {
    let first = branches.first()?;
    required(first)
        .find(|key| {
            let values: Option<BTreeSet<&str>> = branches
                .iter()
                .map(|branch| {
                    let listed = required(branch).any(|other| other == *key);
                    single_word(&branch["properties"][*key]).filter(|_| listed)
                })
                .collect();
            values.is_some_and(|values| values.len() == branches.len())
        })
        .map(String::from)
}

pub(crate) fn is_catch_all(schema: &Value) -> bool {
    let types = schema["type"].as_array().map_or(0, Vec::len);
    types > 1 && schema.get("properties").is_none() && schema.get("enum").is_none()
}

pub(crate) fn is_keyed(branches: &[Value]) -> bool {
    branches
        .iter()
        .all(|branch| words(branch).is_some() || only_property(branch).is_some())
        && branches
            .iter()
            .any(|branch| branch["additionalProperties"] == false)
}

pub(crate) fn only_property(schema: &Value) -> Option<(&String, &Value)> {
    let properties: &Map<String, Value> = schema["properties"].as_object()?;
    let mut both = properties.iter().zip(required(schema));
    match (both.next(), both.next(), properties.len()) {
        (Some(((name, property), required)), None, 1) if name == required => Some((name, property)),
        _ => None,
    }
}

/// Whether an inline schema becomes a type of its own.
pub(crate) fn needs_name(schema: &Value) -> bool {
    reference(schema).is_none()
        && (schema.get("properties").is_some()
            || words(schema).is_some()
            || branches(schema).is_some())
}

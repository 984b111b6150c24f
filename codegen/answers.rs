//! The schemas of responses to server requests, cut out of the bundle. A proxy checks the responses
//! of others against them, for which the generated types are too lenient.

use serde_json::{Map, Value, json};

use super::{
    load::{Definitions, Kind, reference},
    model::Model,
};

/// `{"methods": {method: definition}, "definitions": {…}}`, with only what the methods need.
pub(crate) fn emit(model: &Model, definitions: &Definitions) -> String {
    let mut methods = Map::new();
    let mut needed = Definitions::new();
    for method in model
        .methods
        .iter()
        .filter(|method| method.kind == Kind::ServerRequest)
    {
        if let Some(name) = &method.response
            && collect(name, definitions, &mut needed)
        {
            methods.insert(method.name.clone(), name.clone().into());
        }
    }
    json!({"methods": methods, "definitions": needed}).to_string()
}

/// Adds a definition, and all that it refers to, to `needed`. Returns whether it exists.
fn collect(name: &str, definitions: &Definitions, needed: &mut Definitions) -> bool {
    let Some(definition) = definitions.get(name) else {
        return false;
    };
    if !needed.contains_key(name) {
        let definition = without_text(definition);
        needed.insert(name.to_owned(), definition.clone());
        follow(&definition, definitions, needed);
    }
    true
}

fn follow(schema: &Value, definitions: &Definitions, needed: &mut Definitions) {
    if let Some(name) = reference(schema) {
        collect(name, definitions, needed);
    }
    match schema {
        Value::Object(members) => members
            .values()
            .for_each(|value| follow(value, definitions, needed)),
        Value::Array(items) => items
            .iter()
            .for_each(|value| follow(value, definitions, needed)),
        _ => {}
    }
}

/// A schema without its descriptions.
fn without_text(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => members
            .iter()
            .filter(|(key, value)| *key != "description" || !value.is_string())
            .map(|(key, value)| (key.clone(), without_text(value)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(without_text).collect(),
        other => other.clone(),
    }
}

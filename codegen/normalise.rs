//! Corrects what is wrong in the schema, and simplifies what later passes cannot handle.
//!
//! The server exports its Rust types through schemars, which loses some of what serde does. This
//! pass makes the schema describe the wire, in a form that later passes understand. Each correction
//! is logged. `patch` also logs entries that no longer apply, so that they can be deleted.

use serde_json::{Map, Value, json};

use super::{
    load::{Definitions, reference},
    schema::walk,
};

/// Fields whose wire name differs from the one in the schema: the export loses serde's
/// `rename_all_fields`. The TypeScript export is right; compare the two when renewing the schema.
const WRONG_NAMES: [(&str, &str, &str); 8] = [
    ("AccountSessionsSwitchResponse", "auth_url", "authUrl"),
    ("AccountSessionsSwitchResponse", "login_id", "loginId"),
    ("ThreadRealtimeItem", "item_id", "itemId"),
    ("ThreadRealtimeItem", "turn_id", "turnId"),
    ("ThreadTimelineEntry", "turn_id", "turnId"),
    ("ThreadTimelineEntry", "started_at", "startedAt"),
    ("ThreadTimelineEntry", "completed_at", "completedAt"),
    ("ThreadTimelineEntry", "duration_ms", "durationMs"),
];

/// Maps whose values the export loses: `#[serde(flatten)]` on a map becomes an object without
/// information about its keys.
const LOST_MAPS: [(&str, &str); 3] = [
    ("AppsConfig", "AppConfig"),
    ("AppLinksConfig", "AppLinkConfig"),
    ("AppToolsConfig", "AppToolConfig"),
];

/// Keywords that only constrain values. The server checks what it receives, and what it sends must
/// be readable in any case.
const CONSTRAINTS: [&str; 9] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
];

/// Corrects all definitions. Returns the log.
pub(crate) fn normalise(definitions: &mut Definitions) -> Vec<String> {
    let mut log = Vec::new();
    patch(definitions, &mut log);
    join_all_of(definitions, &mut log);
    for (name, definition) in definitions.iter_mut() {
        simplify(definition);
        push_common_properties(name, definition, &mut log);
        fold_property_sets(name, definition, &mut log);
        open_objects(name, definition);
    }
    log
}

fn patch(definitions: &mut Definitions, log: &mut Vec<String>) {
    for (name, wrong, right) in WRONG_NAMES {
        let renamed = definitions
            .get_mut(name)
            .is_some_and(|definition| rename(definition, wrong, right));
        let verb = if renamed {
            "renamed to"
        } else {
            "fixed upstream, delete the patch to"
        };
        log.push(format!("{name}.{wrong}: {verb} {right}"));
    }
    for (name, value) in LOST_MAPS {
        if !definitions.contains_key(value) {
            continue;
        }
        match definitions.get_mut(name).and_then(Value::as_object_mut) {
            Some(object) if !object.contains_key("additionalProperties") => {
                object.insert(
                    "additionalProperties".into(),
                    json!({ "$ref": format!("#/definitions/{value}") }),
                );
                log.push(format!("{name}: other keys hold {value}"));
            }
            _ => log.push(format!("{name}: fixed upstream, delete the patch")),
        }
    }
}

/// Renames a property everywhere inside a definition.
fn rename(schema: &mut Value, wrong: &str, right: &str) -> bool {
    let mut done = false;
    match schema {
        Value::Object(object) => {
            if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut)
                && let Some(property) = properties.remove(wrong)
            {
                properties.insert(right.into(), property);
                for required in object
                    .get_mut("required")
                    .and_then(Value::as_array_mut)
                    .into_iter()
                    .flatten()
                {
                    if required == wrong {
                        *required = right.into();
                    }
                }
                done = true;
            }
            for value in object.values_mut() {
                done |= rename(value, wrong, right);
            }
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| done |= rename(item, wrong, right)),
        _ => {}
    }
    done
}

/// Turns `allOf` of several objects into one object with all properties, and any other into any
/// value.
fn join_all_of(definitions: &mut Definitions, log: &mut Vec<String>) {
    let all = definitions.clone();
    for (name, definition) in definitions.iter_mut() {
        walk(definition, &mut |schema| {
            let Some(parts) = schema.get("allOf").and_then(Value::as_array) else {
                return;
            };
            if parts.len() < 2 {
                return;
            }
            let mut joined = json!({ "type": "object", "properties": {} });
            let mut own = schema.clone();
            own.remove("allOf");
            let own = Value::Object(own);
            let joins = parts
                .iter()
                .chain([&own])
                .all(|part| join(part, &all, &mut joined, 0));
            schema.remove("allOf");
            if joins {
                log.push(format!("{name}: the parts of an allOf joined"));
                schema.extend(joined.as_object().cloned().unwrap_or_default());
            } else {
                log.push(format!(
                    "{name}: an allOf of what can't be joined is a plain JSON value"
                ));
                schema.retain(|key, _| matches!(key.as_str(), "description" | "deprecated"));
            }
        });
    }
}

/// Adds the properties of an object. Returns `false` if the schema is not an object.
fn join(part: &Value, all: &Definitions, joined: &mut Value, depth: usize) -> bool {
    const PLAIN: [&str; 8] = [
        "type",
        "properties",
        "required",
        "description",
        "additionalProperties",
        "deprecated",
        "allOf",
        "default",
    ];
    let Some(object) = part.as_object() else {
        return part == &Value::Bool(true);
    };
    if let Some(target) = reference(part) {
        // A deeper nesting is a cycle.
        return depth < 8
            && all
                .get(target)
                .is_some_and(|target| join(target, all, joined, depth + 1));
    }
    let is_object = object.get("type").is_none_or(|ty| ty == "object");
    if !is_object || object.keys().any(|key| !PLAIN.contains(&key.as_str())) {
        return false;
    }
    merge(joined, &part["properties"], part.get("required"));
    let parts = part["allOf"].as_array().into_iter().flatten();
    parts
        .into_iter()
        .all(|part| join(part, all, joined, depth + 1))
}

/// Turns an enum of values other than strings into any value, since it cannot be an open type. A
/// `null` among strings makes the enum nullable.
fn plain_values(object: &mut Map<String, Value>) {
    if let Some(value) = object.remove("const") {
        object.insert("enum".into(), json!([value]));
    }
    let Some(values) = object.get_mut("enum").and_then(Value::as_array_mut) else {
        return;
    };
    let before = values.len();
    values.retain(|value| !value.is_null());
    let nullable = values.len() < before;
    let mut seen = Vec::new();
    values.retain(|value| {
        !seen.contains(value) && {
            seen.push(value.clone());
            true
        }
    });
    let values = std::mem::take(values);
    let is_text = object
        .get("type")
        .is_none_or(|ty| ty == "string" || ty.is_array());
    let strings = values.iter().all(Value::is_string) && (is_text || !values.is_empty());
    if strings && !(values.is_empty() && nullable) {
        object.insert("enum".into(), values.into());
        if nullable {
            let plain = json!({ "type": "string", "enum": object.remove("enum") });
            object.remove("type");
            object.insert("anyOf".into(), json!([plain, { "type": "null" }]));
        }
        return;
    }
    // A future value may be of any type.
    for word in ["enum", "type", "format"] {
        object.remove(word);
    }
}

/// Drops constraints, unwraps `allOf` of one schema (a reference with a description), and corrects
/// number formats.
fn simplify(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    if let Some(Value::Array(all)) = object.get_mut("allOf")
        && all.len() == 1
        && let Some(Value::Object(only)) = all.pop()
    {
        object.remove("allOf");
        for (key, value) in only {
            object.entry(key).or_insert(value);
        }
    }
    plain_values(object);
    // An invalid keyword means nothing.
    object.retain(|key, value| match key.as_str() {
        "properties" => value.is_object(),
        "required" => value.is_array(),
        "type" => value.is_string() || value.is_array(),
        _ => true,
    });
    // An empty list of alternatives means nothing either.
    object.retain(|key, value| {
        !(matches!(key.as_str(), "oneOf" | "anyOf") && value.as_array().is_none_or(Vec::is_empty))
    });
    if let Some(Value::Array(types)) = object.get("type")
        && let [only] = types.as_slice()
    {
        let only = only.clone();
        object.insert("type".into(), only);
    }
    object.retain(|key, _| !CONSTRAINTS.contains(&key.as_str()));
    let numeric = type_names(object).any(|name| matches!(name, "integer" | "number"));
    match object.get("format").and_then(Value::as_str) {
        // `usize` on the server is 64 bits wide.
        Some("uint") => drop(object.insert("format".into(), "uint64".into())),
        Some("int") => drop(object.insert("format".into(), "int64".into())),
        Some(_) if !numeric => drop(object.remove("format")),
        _ => {}
    }
    for word in ["items", "additionalProperties"] {
        object.get_mut(word).into_iter().for_each(simplify);
    }
    for word in ["anyOf", "oneOf", "allOf"] {
        object
            .get_mut(word)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
            .for_each(simplify);
    }
    let properties = object.get_mut("properties").and_then(Value::as_object_mut);
    properties
        .into_iter()
        .flat_map(Map::values_mut)
        .for_each(simplify);
}

fn type_names(object: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let ty = object.get("type");
    let list = ty.and_then(Value::as_array).into_iter().flatten();
    ty.into_iter().chain(list).filter_map(Value::as_str)
}

/// Moves `properties` beside `oneOf` (a struct with a flattened enum) into each variant.
fn push_common_properties(name: &str, definition: &mut Value, log: &mut Vec<String>) {
    walk(definition, &mut |object| {
        let is_nullable = object.get("oneOf").is_some_and(|branches| {
            let mut branches = branches.as_array().into_iter().flatten();
            branches.any(|branch| branch["type"] == "null")
        });
        if !object.contains_key("oneOf") || !object.contains_key("properties") || is_nullable {
            return;
        }
        let properties = object.remove("properties").unwrap_or_default();
        let required = object.remove("required").unwrap_or_else(|| json!([]));
        object.remove("type");
        let branches = object.get_mut("oneOf").and_then(Value::as_array_mut);
        for variant in branches
            .into_iter()
            .flatten()
            .filter(|variant| variant.is_object())
        {
            merge(variant, &properties, Some(&required));
        }
        log.push(format!("{name}: common properties moved into each variant"));
    });
}

/// Makes the properties of an `anyOf` beside `properties` (one of several fields is required)
/// optional.
fn fold_property_sets(name: &str, schema: &mut Value, log: &mut Vec<String>) {
    match schema {
        Value::Object(object) => {
            let sets = object.get("anyOf").and_then(Value::as_array);
            if object.contains_key("properties")
                && sets.is_some_and(|sets| sets.iter().all(|set| set.get("properties").is_some()))
                && let Some(Value::Array(sets)) = object.remove("anyOf")
            {
                for set in sets {
                    merge(schema, &set["properties"], None);
                }
                log.push(format!("{name}: alternative properties made optional"));
                return;
            }
            object
                .values_mut()
                .for_each(|value| fold_property_sets(name, value, log));
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| fold_property_sets(name, item, log)),
        _ => {}
    }
}

fn merge(schema: &mut Value, properties: &Value, required: Option<&Value>) {
    for (key, property) in properties.as_object().into_iter().flatten() {
        if !schema["properties"].is_object() {
            schema["properties"] = json!({});
        }
        if schema["properties"].get(key).is_none() {
            schema["properties"][key] = property.clone();
        }
    }
    for key in required.and_then(Value::as_array).into_iter().flatten() {
        match schema["required"].as_array_mut() {
            Some(list) if !list.contains(key) => list.push(key.clone()),
            Some(_) => {}
            None => schema["required"] = json!([key]),
        }
    }
}

/// Decides for each object whether it has other keys.
///
/// `false` is removed: unknown fields are ignored, not refused. `true` becomes the equivalent `{}`.
/// An object without properties is empty if it is a message, else free-form.
fn open_objects(name: &str, definition: &mut Value) {
    let message = ["Params", "Response", "Notification"]
        .iter()
        .any(|end| name.ends_with(end));
    let Some(object) = definition.as_object_mut() else {
        return;
    };
    let bare =
        object.get("type").is_some_and(|ty| ty == "object") && !object.contains_key("properties");
    match object.get("additionalProperties") {
        Some(Value::Bool(false)) => {
            object.remove("additionalProperties");
            if bare {
                object.insert("properties".into(), json!({}));
            }
        }
        Some(Value::Bool(true)) => drop(object.insert("additionalProperties".into(), json!({}))),
        None if bare && message => drop(object.insert("properties".into(), json!({}))),
        None if bare => drop(object.insert("additionalProperties".into(), json!({}))),
        _ => {}
    }
}

/// Removes `null` from a schema. Returns whether it was there.
pub(crate) fn without_null(schema: &Value) -> (Value, bool) {
    let mut schema = schema.clone();
    let mut nullable = false;
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        let before = types.len();
        types.retain(|ty| ty != "null");
        nullable |= types.len() < before;
        if types.len() == 1 {
            schema["type"] = types.remove(0);
        }
    }
    for word in ["anyOf", "oneOf"] {
        if let Some(Value::Array(branches)) = schema.get_mut(word) {
            let before = branches.len();
            branches.retain(|branch| branch["type"] != "null");
            nullable |= branches.len() < before;
            if branches.len() == 1 && before > 1 {
                let only = branches.remove(0);
                return match reference(&only) {
                    Some(_) => (only, nullable),
                    None => (without_null(&only).0, nullable),
                };
            }
        }
    }
    (schema, nullable)
}

//! Tool schemas: made from the type of the arguments in the form that the server accepts, and
//! checked by the server's rules.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// The schema of a tool's arguments, as the model sees it.
pub(super) struct ArgsSchema {
    pub(super) schema: Value,
    /// Whether the type has only one value. That value is written as `null`, while a model writes
    /// an empty object.
    pub(super) is_unit: bool,
}

impl ArgsSchema {
    pub(super) fn of<A: JsonSchema>() -> Self {
        let generator = SchemaSettings::draft07()
            .with(|s| {
                s.meta_schema = None;
                s.inline_subschemas = true;
            })
            .into_generator();
        let mut schema = generator.into_root_schema_for::<A>().to_value();
        let is_unit = schema["type"] == "null";
        if is_unit || !schema.is_object() {
            schema = json!({});
        }
        flatten_tuples(&mut schema);
        if let Some(object) = schema.as_object_mut() {
            object.remove("title"); // The name of a Rust type says nothing to a model.
            object.entry("type").or_insert_with(|| "object".into());
            object.entry("properties").or_insert_with(|| json!({}));
        }
        Self { schema, is_unit }
    }
}

/// Turns a tuple into a list of the tuple's length whose elements have any of the tuple's types,
/// because the server takes one schema for all elements of a list.
fn flatten_tuples(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if let Some(Value::Array(elements)) = object.get_mut("items") {
                let elements = std::mem::take(elements);
                object.remove("additionalItems");
                object.insert("items".to_owned(), json!({"anyOf": elements}));
            }
            object.values_mut().for_each(flatten_tuples);
        }
        Value::Array(elements) => elements.iter_mut().for_each(flatten_tuples),
        _ => {}
    }
}

/// The maximum nesting of a schema, as JSON. The server neither reads nor answers a line that is
/// nested deeper than 127.
const DEEPEST: usize = 100;

/// What the server, or the model behind it, would refuse about a schema.
pub(super) fn problem(schema: &Value) -> Option<String> {
    let Some(object) = schema.as_object() else {
        return Some("must be a JSON object".to_owned());
    };
    let is_object = match object.get("type") {
        None | Some(Value::Null) => true,
        Some(Value::Array(types)) => types.iter().any(|t| t == "object"),
        Some(other) => other == "object",
    };
    if !is_object {
        return Some(format!(
            "must be of an object, which is what a model writes, not of type {}",
            object["type"]
        ));
    }
    if depth(schema, 0) > DEEPEST {
        return Some(format!("must not be nested deeper than {DEEPEST} levels"));
    }
    part(schema, "")
}

/// How deep a value is nested; looks no deeper than needed.
fn depth(value: &Value, so_far: usize) -> usize {
    if so_far > DEEPEST {
        return so_far;
    }
    let inner = |value: &Value| depth(value, so_far + 1);
    let deepest = match value {
        Value::Object(object) => object.values().map(inner).max(),
        Value::Array(elements) => elements.iter().map(inner).max(),
        _ => return so_far,
    };
    deepest.unwrap_or(so_far + 1)
}

/// The problem of a schema inside the schema. `null` counts as absent.
fn part(schema: &Value, at: &str) -> Option<String> {
    let object = match schema {
        Value::Object(object) => object,
        Value::Bool(_) => return None,
        _ => {
            return Some(format!(
                "has {at}, which is neither an object nor a boolean"
            ));
        }
    };
    let given = |key: &str| object.get(key).filter(|value| !value.is_null());
    let under = |key: &str| format!("{at}/{key}");
    for key in ["description", "$ref"] {
        if given(key).is_some_and(|value| !value.is_string()) {
            return Some(format!("has {}, which is not a string", under(key)));
        }
    }
    for key in ["enum", "anyOf", "oneOf", "allOf"] {
        if given(key).is_some_and(|value| !value.is_array()) {
            return Some(format!("has {}, which is not an array", under(key)));
        }
    }
    let strings = |value: &Value| {
        value
            .as_array()
            .is_some_and(|all| all.iter().all(Value::is_string))
    };
    if given("required").is_some_and(|value| !strings(value)) {
        return Some(format!(
            "has {}, which is not an array of names",
            under("required")
        ));
    }
    if given("items").is_some_and(Value::is_array) {
        return Some(format!(
            "has {}, which is an array: a tuple has to be one schema for all its elements, such as an `anyOf`",
            under("items")
        ));
    }
    parts(object, at)
}

fn parts(object: &Map<String, Value>, at: &str) -> Option<String> {
    let given = |key: &str| object.get(key).filter(|value| !value.is_null());
    for key in ["items", "additionalProperties"] {
        let problem = given(key).and_then(|value| part(value, &format!("{at}/{key}")));
        if problem.is_some() {
            return problem;
        }
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        let all = given(key).and_then(Value::as_array).into_iter().flatten();
        let mut problems = all
            .enumerate()
            .filter_map(|(n, value)| part(value, &format!("{at}/{key}/{n}")));
        if let Some(problem) = problems.next() {
            return Some(problem);
        }
    }
    match given("properties") {
        None => None,
        Some(Value::Object(properties)) => properties
            .iter()
            .find_map(|(name, value)| part(value, &format!("{at}/properties/{name}"))),
        Some(_) => Some(format!("has {at}/properties, which is not an object")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "its schema is what is looked at")]
    struct Odd {
        pair: (String, u8),
        nested: Vec<(u8, Option<(bool, String)>)>,
        nothing: (),
        anything: Value,
        map: BTreeMap<String, (u8, u8)>,
        choice: Choice,
        again: Option<Box<Odd>>,
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "its schema is what is looked at")]
    enum Choice {
        Plain,
        Pair(u8, String),
        Named { at: (u8, u8) },
    }

    #[derive(JsonSchema)]
    struct Unit;

    #[test]
    fn arguments_that_are_nothing_are_an_empty_object() {
        for args in [ArgsSchema::of::<()>(), ArgsSchema::of::<Unit>()] {
            assert!(args.is_unit);
            assert_eq!(args.schema, json!({"type": "object", "properties": {}}));
        }
        assert!(!ArgsSchema::of::<Odd>().is_unit);
    }

    #[test]
    fn the_schema_of_any_type_with_fields_is_one_that_the_server_takes() {
        for args in [
            ArgsSchema::of::<Odd>(),
            ArgsSchema::of::<Value>(),
            ArgsSchema::of::<Option<Odd>>(),
            ArgsSchema::of::<BTreeMap<String, (u8, u8)>>(),
        ] {
            assert_eq!(problem(&args.schema), None, "{}", args.schema);
        }
        let args = ArgsSchema::of::<Odd>().schema;
        let pair = &args["properties"]["pair"];
        assert_eq!(
            pair["items"]["anyOf"].as_array().unwrap().len(),
            2,
            "{pair}"
        );
        assert_eq!(
            (&pair["minItems"], &pair["maxItems"]),
            (&json!(2), &json!(2))
        );
    }

    #[test]
    fn a_type_that_is_no_object_is_told_early() {
        for args in [
            ArgsSchema::of::<String>(),
            ArgsSchema::of::<Vec<u8>>(),
            ArgsSchema::of::<(u8, u8)>(),
        ] {
            let problem = problem(&args.schema).unwrap();
            assert!(problem.contains("of an object"), "{problem}");
        }
    }
}

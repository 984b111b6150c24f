//! Types of all kinds, and the schemas that they become.
#![allow(
    dead_code,
    clippy::items_after_statements,
    reason = "the types are here for their schemas, each where it is used"
)]

use std::collections::HashMap;

use serde::Deserialize;

use super::*;

fn ok<T: JsonSchema>() -> Value {
    let strict = schema_of::<T>().unwrap();
    check(&strict.schema, true);
    strict.schema
}

fn refused<T: JsonSchema>() -> String {
    schema_of::<T>().unwrap_err()
}

/// The rules of the subset, as they are documented.
fn check(schema: &Value, is_root: bool) {
    let object = schema.as_object().expect("a schema is an object");
    for key in object.keys() {
        let structural = [
            "properties",
            "required",
            "additionalProperties",
            "items",
            "anyOf",
            "$ref",
            "$defs",
        ];
        assert!(
            KEPT.contains(&key.as_str()) || structural.contains(&key.as_str()),
            "{key} in {schema}"
        );
    }
    if is_root {
        assert_eq!(schema["type"], "object");
        assert!(schema.get("anyOf").is_none());
    }
    if object.contains_key("$ref") {
        assert_eq!(object.len(), 1, "{schema}");
        return;
    }
    if is(object, "object") {
        assert_eq!(schema["additionalProperties"], false);
        let properties = schema["properties"].as_object().unwrap();
        let names: Vec<_> = properties.keys().cloned().map(Value::from).collect();
        assert_eq!(schema["required"], Value::Array(names));
        properties.values().for_each(|p| check(p, false));
    }
    if is(object, "array") {
        check(&schema["items"], false);
    }
    for variant in schema["anyOf"].as_array().into_iter().flatten() {
        check(variant, false);
    }
    for definition in schema["$defs"].as_object().into_iter().flatten() {
        check(definition.1, false);
    }
}

#[derive(Deserialize, JsonSchema)]
struct Report {
    /// How bad it is.
    severity: Severity,
    title: String,
    line: Option<u32>,
    #[serde(default)]
    tags: Vec<String>,
    place: Option<Place>,
    at: Position,
}

#[derive(Deserialize, JsonSchema)]
struct Place {
    /// The file.
    file: String,
}

#[derive(Deserialize, JsonSchema)]
struct Position {
    x: f64,
    #[serde(rename = "Y")]
    y: i8,
}

#[derive(Deserialize, JsonSchema)]
enum Severity {
    /// Not bad.
    Low,
    /// Bad.
    High,
}

#[derive(Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Step {
    Run { command: String },
    Wait,
    Look(Place),
}

#[derive(Deserialize, JsonSchema)]
struct Tree {
    name: String,
    /// Further down.
    children: Vec<Tree>,
    next: Option<Box<Tree>>,
}

#[test]
fn fields_are_required_and_optional_ones_may_be_null() {
    let schema = ok::<Report>();
    assert_eq!(schema["required"].as_array().unwrap().len(), 6);
    assert_eq!(
        schema["properties"]["line"]["type"],
        json!(["integer", "null"])
    );
    assert_eq!(
        schema["properties"]["line"].get("format"),
        None,
        "not one the model knows"
    );
    assert_eq!(schema["properties"]["tags"].get("default"), None);
    assert_eq!(schema["properties"]["at"]["required"], json!(["Y", "x"]));
}

#[test]
fn the_fields_go_out_in_the_order_of_their_declaration() {
    let text = schema_of::<Report>().unwrap().into_raw().unwrap();
    let text = text.get();
    let at = |name: &str| {
        let property = format!("\"{name}\":{{");
        text.find(&property)
            .unwrap_or_else(|| panic!("{name} in {text}"))
    };
    let declared = ["severity", "title", "line", "tags", "place", "at", "x", "Y"];
    assert!(declared.map(at).is_sorted(), "{text}");
    let parsed: Value = serde_json::from_str(text).unwrap();
    assert_eq!(
        parsed,
        schema_of::<Report>().unwrap().schema,
        "nothing else is changed"
    );
}

#[test]
fn descriptions_stay() {
    let schema = ok::<Report>();
    assert_eq!(
        schema["properties"]["severity"]["description"],
        "How bad it is."
    );
    let place = schema["properties"]["place"].to_string();
    assert!(place.contains("The file."), "{place}");
}

#[test]
fn one_of_becomes_any_of() {
    let schema = ok::<Report>();
    let severity = schema["properties"]["severity"]["anyOf"]
        .as_array()
        .unwrap();
    assert_eq!(severity[1]["const"], "High");
    assert_eq!(severity[1]["description"], "Bad.");

    #[derive(Deserialize, JsonSchema)]
    struct Plan {
        steps: Vec<Step>,
    }
    let schema = ok::<Plan>();
    let steps = schema["properties"]["steps"]["items"]["anyOf"]
        .as_array()
        .unwrap();
    assert_eq!(steps.len(), 3);
    assert_eq!(steps[0]["properties"]["kind"]["const"], "run");
    assert_eq!(steps[2]["properties"]["file"]["type"], "string");
}

#[test]
fn a_type_that_is_no_object_is_wrapped_in_one() {
    for schema in [
        ok::<Vec<Place>>(),
        ok::<String>(),
        ok::<Severity>(),
        ok::<Step>(),
        ok::<Option<Place>>(),
    ] {
        assert_eq!(schema["required"], json!([WRAP]));
    }
    assert!(!schema_of::<Place>().unwrap().is_wrapped);
}

#[test]
fn a_type_that_contains_itself_refers_to_itself() {
    let schema = ok::<Tree>();
    let text = schema.to_string();
    assert!(text.contains("$ref"), "{text}");

    #[derive(Deserialize, JsonSchema)]
    struct Forest {
        trees: Vec<Tree>,
    }
    let schema = ok::<Forest>();
    assert!(schema["$defs"]["Tree"].is_object(), "{schema}");
    let wrapped = ok::<Vec<Tree>>();
    assert!(wrapped["$defs"]["Tree"].is_object(), "{wrapped}");
}

#[test]
fn a_type_that_cannot_be_strict_is_named() {
    #[derive(Deserialize, JsonSchema)]
    struct Prices {
        shop: Shop,
    }
    #[derive(Deserialize, JsonSchema)]
    struct Shop {
        prices: Vec<HashMap<String, f64>>,
    }
    let text = refused::<Prices>();
    assert!(
        text.starts_with("Prices: field `shop.prices[]` is a map"),
        "{text}"
    );

    #[derive(Deserialize, JsonSchema)]
    struct Pair {
        both: (String, u8),
    }
    assert!(refused::<Pair>().contains("field `both` is a tuple"));

    #[derive(Deserialize, JsonSchema)]
    struct Anything {
        value: Option<Value>,
    }
    assert!(refused::<Anything>().contains("field `value` may be any value"));

    #[derive(Deserialize, JsonSchema)]
    struct Rest {
        name: String,
        #[serde(flatten)]
        rest: HashMap<String, String>,
    }
    assert!(
        refused::<Rest>().contains("the answer is a map"),
        "{}",
        refused::<Rest>()
    );

    #[derive(Deserialize, JsonSchema)]
    struct Flat {
        name: String,
        #[serde(flatten)]
        step: Step,
    }
    assert!(
        refused::<Flat>().contains("flattened enum"),
        "{}",
        refused::<Flat>()
    );
    assert!(refused::<HashMap<String, u8>>().contains("the answer is a map"));
}

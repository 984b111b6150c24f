//! Tests of the passes from definitions to types.

use serde_json::{Value, json};

use super::super::model::{Form, Presence, Shape};
use super::{field, good_model, reference};

fn words(values: &[&str]) -> Value {
    json!({ "type": "string", "enum": values })
}

fn object(properties: &Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required })
}

#[test]
fn a_string_enum_may_have_a_branch_for_each_value() {
    let branch =
        |word: &str| json!({ "type": "string", "enum": [word], "description": "Says it." });
    let model = good_model(&json!({
        "Plain": words(&["one", "two"]),
        "Told": { "oneOf": [branch("one"), words(&["two"])] },
    }));
    for name in ["Plain", "Told"] {
        let Shape::Words(variants) = &model.types[name].shape else {
            panic!("{:?}", model.types[name].shape);
        };
        let wires: Vec<&str> = variants.iter().map(|v| v.wire.as_str()).collect();
        assert_eq!(wires, ["one", "two"]);
    }
}

#[test]
fn a_union_with_a_tag_has_payloads_without_it() {
    let text = object(
        &json!({ "kind": words(&["text"]), "text": { "type": "string" } }),
        &["kind", "text"],
    );
    let none = object(&json!({ "kind": words(&["none"]) }), &["kind"]);
    let model = good_model(&json!({ "Part": { "oneOf": [text, none] } }));
    let Shape::Tagged { tag, variants } = &model.types["Part"].shape else {
        panic!("{:?}", model.types["Part"].shape);
    };
    assert_eq!(tag, "kind");
    let payloads: Vec<_> = variants.iter().map(|v| v.payload.as_deref()).collect();
    assert_eq!(payloads, [Some("TextPart"), None]);
    assert!(model.types["TextPart"].payload && !model.types["Part"].payload);
    let Shape::Struct { fields, .. } = &model.types["TextPart"].shape else {
        panic!("{:?}", model.types["TextPart"].shape);
    };
    assert_eq!(fields.len(), 1, "the tag is no field: {fields:?}");
}

#[test]
fn strings_and_objects_with_one_key_are_a_keyed_union() {
    let mut keyed = object(&json!({ "deep": { "type": "integer" } }), &["deep"]);
    keyed["additionalProperties"] = false.into();
    let model = good_model(&json!({ "Error": { "oneOf": [words(&["flat"]), keyed] } }));
    let Shape::Keyed(variants) = &model.types["Error"].shape else {
        panic!("{:?}", model.types["Error"].shape);
    };
    let payloads: Vec<_> = variants.iter().map(|v| v.payload.as_deref()).collect();
    assert_eq!(payloads, [None, Some("i64")]);
}

#[test]
fn a_branch_of_an_untagged_union_refuses_what_only_its_sibling_has() {
    let small = object(&json!({ "a": { "type": "string" } }), &["a"]);
    let large = object(
        &json!({ "a": { "type": "string" }, "b": { "type": "string" } }),
        &["a"],
    );
    let mut map = small.clone();
    map["additionalProperties"] = json!({ "type": "string" });
    let anything = json!({ "type": ["string", "object"] });
    let model = good_model(&json!({
        "Small": small, "Large": large, "Map": map,
        "Union": { "anyOf": [reference("Small"), reference("Large"), reference("Map"), anything] },
    }));
    let Shape::Shaped(variants) = &model.types["Union"].shape else {
        panic!("{:?}", model.types["Union"].shape);
    };
    let form = |words: &[&str]| Form::Object {
        keys: vec!["a".into()],
        words: words
            .iter()
            .map(|key| ((*key).to_owned(), Vec::new()))
            .collect(),
    };
    let forms: Vec<_> = variants.iter().map(|(_, forms)| forms.clone()).collect();
    // The branch that takes anything is the schema's own way to say that it is open.
    assert_eq!(
        forms,
        [vec![form(&["b"])], vec![form(&[])], vec![form(&[])]]
    );
}

#[test]
fn an_inline_schema_gets_a_name() {
    let mode = json!({ "anyOf": [words(&["fast"]), { "type": "null" }], "description": "How." });
    let model = good_model(&json!({ "Thing": object(&json!({
        "mode": mode,
        "list": { "type": "array", "items": object(&json!({}), &[]) },
    }), &[]) }));
    let mode = field(&model, "Thing", "mode");
    assert_eq!(
        (mode.ty.as_str(), mode.doc.as_deref()),
        ("ThingMode", Some("How."))
    );
    assert_eq!(mode.presence, Presence::Optional);
    assert_eq!(field(&model, "Thing", "list").ty, "Vec<ThingList>");
    assert!(matches!(model.types["ThingMode"].shape, Shape::Words(_)));
}

#[test]
fn two_variants_or_fields_of_one_name_are_numbered() {
    let text = json!({ "type": "string" });
    let fields = object(&json!({ "a_b": text, "aB": text }), &[]);
    let model = good_model(&json!({ "Mode": words(&["a-b", "a_b"]), "Thing": fields }));
    let Shape::Words(variants) = &model.types["Mode"].shape else {
        panic!("{:?}", model.types["Mode"].shape);
    };
    let names: Vec<_> = variants
        .iter()
        .map(|v| (v.wire.as_str(), v.name.as_str()))
        .collect();
    assert_eq!(names, [("a-b", "AB"), ("a_b", "AB2")]);
    assert_eq!(field(&model, "Thing", "aB").ident, "a_b");
    assert_eq!(field(&model, "Thing", "a_b").ident, "a_b_2");
}

#[test]
fn fields_have_the_types_and_names_of_rust() {
    let integer = |format: &str| json!({ "type": "integer", "format": format });
    let text = json!({ "type": "string" });
    let forms = [
        ("type", text.clone(), "type_", "String"),
        ("isOpen", json!({ "type": "boolean" }), "is_open", "bool"),
        ("plain", json!({ "type": "integer" }), "plain", "i64"),
        ("wide", integer("uint64"), "wide", "u64"),
        ("narrow", integer("uint16"), "narrow", "u16"),
        ("size", integer("uint"), "size", "u64"),
        (
            "ratio",
            json!({ "type": "number", "format": "double" }),
            "ratio",
            "f64",
        ),
        (
            "list",
            json!({ "type": "array", "items": text }),
            "list",
            "Vec<String>",
        ),
        ("any", json!(true), "any", "Value"),
        ("other", reference("Other"), "other", "Other"),
        (
            "map",
            json!({ "type": "object", "additionalProperties": { "type": ["string", "null"] } }),
            "map",
            "BTreeMap<String, Option<String>>",
        ),
        (
            "free",
            json!({ "type": "object", "additionalProperties": true }),
            "free",
            "Map<String, Value>",
        ),
        (
            "either",
            json!({ "type": ["string", "integer"] }),
            "either",
            "Value",
        ),
    ];
    let properties: serde_json::Map<_, _> = forms
        .iter()
        .map(|(wire, schema, ..)| ((*wire).to_owned(), schema.clone()))
        .collect();
    let required: Vec<&str> = forms.iter().map(|(wire, ..)| *wire).collect();
    let model = good_model(&json!({
        "Thing": object(&properties.into(), &required),
        "Other": text,
    }));
    for (wire, _, ident, ty) in forms {
        let field = field(&model, "Thing", wire);
        assert_eq!(
            (field.ident.as_str(), field.ty.as_str()),
            (ident, ty),
            "{wire}"
        );
    }
}

#[test]
fn a_type_that_holds_itself_is_boxed_and_one_that_lists_itself_is_not() {
    let model = good_model(&json!({
        "Node": object(&json!({
            "next": { "anyOf": [reference("Node"), { "type": "null" }] },
            "leaf": reference("Leaf"),
            "children": { "type": "array", "items": reference("Node") },
        }), &[]),
        "Leaf": object(&json!({ "owner": reference("Owner") }), &[]),
        "Owner": object(&json!({ "leaf": reference("Leaf") }), &[]),
    }));
    assert_eq!(field(&model, "Node", "next").ty, "Box<Node>");
    assert_eq!(field(&model, "Node", "children").ty, "Vec<Node>");
    assert_eq!(field(&model, "Node", "leaf").ty, "Leaf");
    assert_eq!(field(&model, "Owner", "leaf").ty, "Box<Leaf>");
}

#[test]
fn presence_says_what_absence_and_null_mean() {
    let nullable = json!({ "type": ["string", "null"] });
    let patch = json!({ "type": ["string", "null"], "description": "Use `null` to clear it." });
    let default = json!({ "type": "integer", "default": 5 });
    let model = good_model(&json!({ "ThingParams": object(&json!({
        "needed": { "type": "string" }, "neededOrNull": nullable, "optional": nullable,
        "patch": patch, "default": default, "anything": true,
    }), &["needed", "neededOrNull"]) }));
    let presence = |wire: &str| field(&model, "ThingParams", wire).presence;
    assert_eq!(presence("needed"), Presence::Required);
    assert_eq!(presence("neededOrNull"), Presence::Nullable);
    assert_eq!(presence("optional"), Presence::Optional);
    assert_eq!(presence("patch"), Presence::Patch);
    assert_eq!(presence("anything"), Presence::Any);
    let default = Presence::Default {
        expr: "5".into(),
        json: "5".into(),
    };
    assert_eq!(presence("default"), default);
}

#[test]
fn a_secret_is_known_by_its_name_unless_it_is_a_flag() {
    let model = good_model(&json!({ "Thing": object(&json!({
        "access_token": { "type": "string" }, "refreshToken": { "type": "boolean" }, "name": { "type": "string" },
        "env": { "type": "object", "additionalProperties": { "type": "string" } },
    }), &[]) }));
    let secret = |wire: &str| field(&model, "Thing", wire).secret;
    assert!(secret("access_token") && secret("env") && !secret("refreshToken") && !secret("name"));
}

//! Mutations of fields: other types, other names, unexpected schemas.

use serde_json::{Map, Value, json};

use super::{Dice, ODD, a_field, a_struct, definitions, method, named, reference, some_reference};

pub(super) fn change_type(bundle: &mut Value, dice: &mut Dice) {
    let types = [
        json!({ "type": "string" }),
        json!({ "type": "integer", "format": "uint8" }),
        json!({ "type": "integer", "format": "int128" }),
        json!({ "type": "number", "format": "float" }),
        json!({ "type": "boolean" }),
        json!({ "type": "array", "items": { "type": ["string", "null"] }, "uniqueItems": true }),
        json!({ "type": "object", "additionalProperties": { "anyOf": [some_reference(bundle, dice), { "type": "null" }] } }),
        some_reference(bundle, dice),
        json!({ "type": "array", "items": some_reference(bundle, dice) }),
        json!(true),
    ];
    for _ in 0..4 {
        *a_field(bundle, dice) = dice.one(&types);
    }
}

pub(super) fn change_presence(bundle: &mut Value, dice: &mut Dice) {
    for _ in 0..6 {
        let owner = a_struct(bundle, dice);
        let fields: Vec<String> = owner["properties"]
            .as_object()
            .expect("fields")
            .keys()
            .cloned()
            .collect();
        let field = Value::from(dice.one(&fields));
        match owner["required"].as_array_mut() {
            Some(required) if required.contains(&field) => required.retain(|name| *name != field),
            Some(required) => required.push(field),
            None => owner["required"] = json!([field]),
        }
    }
}

pub(super) fn change_null(bundle: &mut Value, dice: &mut Dice) {
    for _ in 0..6 {
        let field = a_field(bundle, dice);
        *field = match field["anyOf"].as_array() {
            Some(branches) if !branches.is_empty() => branches[0].clone(),
            _ => {
                json!({ "anyOf": [field.clone(), { "type": "null" }], "description": "Use `null` to clear it." })
            }
        };
    }
}

pub(super) fn odd_default(bundle: &mut Value, dice: &mut Dice) {
    let defaults = [
        json!(-1),
        json!(300),
        json!(1.5),
        json!("text"),
        json!(true),
        json!([1, "a"]),
        json!({ "a": 1 }),
        json!([]),
        json!(18_446_744_073_709_551_615_u64),
        json!(""),
    ];
    for _ in 0..10 {
        if let Some(field) = a_field(bundle, dice).as_object_mut() {
            field.insert("default".into(), dice.one(&defaults));
        }
        let owner = a_struct(bundle, dice);
        owner["properties"]["casDefault"] = json!({
            "type": dice.one(&["integer", "string", "boolean", "number", "array"]), "format": "uint8", "default": dice.one(&defaults),
        });
    }
}

pub(super) fn odd_description(bundle: &mut Value, dice: &mut Dice) {
    let texts = [
        "a bare\rreturn",
        "turned \u{202E}around",
        "*/ {} <b>[x](y) ``` `",
        "\t#![allow]\n    code\n",
        "\\\"",
        "```rust\nbroken(\n",
    ];
    for _ in 0..6 {
        a_struct(bundle, dice)["description"] = dice.one(&texts).into();
        if let Some(field) = a_field(bundle, dice).as_object_mut() {
            field.insert("description".into(), dice.one(&texts).into());
        }
        method(bundle, dice)["description"] = dice.one(&texts).into();
    }
}

/// The fields of a struct, and the name of one of them.
fn fields_and_one<'b>(
    bundle: &'b mut Value,
    dice: &mut Dice,
) -> (&'b mut Map<String, Value>, String) {
    let fields = a_struct(bundle, dice)["properties"]
        .as_object_mut()
        .expect("fields");
    let name = fields.keys().nth(dice.below(fields.len()));
    let name = name.expect("there").clone();
    (fields, name)
}

pub(super) fn rename_field(bundle: &mut Value, dice: &mut Dice) {
    for _ in 0..4 {
        let (fields, name) = fields_and_one(bundle, dice);
        let field = fields.remove(&name).expect("there");
        fields.insert(format!("{name}Anew"), field);
    }
}

pub(super) fn remove_field(bundle: &mut Value, dice: &mut Dice) {
    for _ in 0..8 {
        let (fields, name) = fields_and_one(bundle, dice);
        fields.remove(&name);
    }
}

pub(super) fn odd_fields(bundle: &mut Value, dice: &mut Dice) {
    let text = [
        json!({ "type": "string" }),
        json!({ "type": ["string", "null"], "description": "Use `null` to clear it." }),
    ];
    for _ in 0..2 {
        let owner = a_struct(bundle, dice);
        for odd in ODD {
            owner["properties"][odd] = dice.one(&text);
        }
        owner["properties"]["promptX"] = text[1].clone();
        owner["properties"]["promptXNull"] = text[1].clone();
        if dice.below(2) == 0 {
            owner["required"] = json!(ODD);
        }
    }
}

pub(super) fn all_of(bundle: &mut Value, dice: &mut Dice) {
    for _ in 0..3 {
        let parts = json!({ "allOf": [some_reference(bundle, dice), some_reference(bundle, dice), { "properties": { "mine": { "type": "string" } }, "required": ["mine"] }] });
        *a_field(bundle, dice) = parts.clone();
        definitions(bundle).insert(format!("CasAll{}", dice.below(99)), parts);
    }
}

pub(super) fn odd_schemas(bundle: &mut Value, dice: &mut Dice) {
    let odd = [
        json!(true),
        json!(false),
        json!({}),
        json!({ "not": {} }),
        json!({ "type": "null" }),
        json!({ "type": ["string", "integer"] }),
        json!({ "type": ["object", "null"], "properties": { "a": true } }),
        json!({ "type": "array", "items": [{ "type": "string" }, true] }),
        json!({ "type": "array" }),
        json!({ "type": "array", "items": false }),
        json!({ "$ref": "#/definitions/v2/Nowhere" }),
        json!({ "$ref": "#" }),
        json!({ "$ref": 7 }),
        json!({ "type": "object", "patternProperties": { "^x": { "type": "string" } } }),
        json!({ "type": 7 }),
        json!({ "enum": 7 }),
        json!({ "properties": { "untyped": { "type": "string" } } }),
        json!({ "type": "string", "properties": { "a": true } }),
        json!({ "oneOf": "x" }),
        json!({ "type": "object", "properties": [], "required": "a" }),
        json!({ "if": {}, "then": {} }),
        json!({ "type": "object", "additionalProperties": { "oneOf": [true] } }),
        json!({ "anyOf": [{ "type": "null" }] }),
        json!({ "oneOf": [{ "type": "null" }, { "type": "null" }] }),
        json!({ "type": "array", "items": { "$ref": "#/definitions/v2/Nowhere" } }),
        json!({ "oneOf": [true, false] }),
        json!({ "oneOf": [{ "oneOf": [{ "type": "null" }] }, { "type": "string" }] }),
        json!({ "allOf": [] }),
        json!({ "allOf": [true] }),
        json!({ "type": [] }),
    ];
    for (at, schema) in odd.iter().enumerate() {
        definitions(bundle).insert(format!("CasOdd{at}"), schema.clone());
        a_struct(bundle, dice)["properties"][format!("odd{at}")] = schema.clone();
        a_struct(bundle, dice)["properties"][format!("oddRef{at}")] =
            reference(&format!("CasOdd{at}"));
        let params = named(bundle, "ThreadListParams");
        if let Some(params) = params {
            params["properties"][format!("odd{at}")] = schema.clone();
            params["properties"][format!("oddRef{at}")] = reference(&format!("CasOdd{at}"));
        }
    }
    let schema = dice.one(&odd);
    method(bundle, dice)["properties"]["params"] = schema;
}

pub(super) fn extra(bundle: &mut Value, dice: &mut Dice) {
    let owner = a_struct(bundle, dice);
    owner["properties"]["extra"] = json!({ "type": "string" });
    owner["additionalProperties"] = json!({ "type": "integer" });
    let owner = a_struct(bundle, dice);
    owner["properties"]["extra"] = json!({ "type": "string" });
    owner["additionalProperties"] = json!({ "anyOf": [reference("Thread"), { "type": "null" }] });
}

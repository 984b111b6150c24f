//! Mutations of definitions: removed, moved, colliding, recursive.

use serde_json::{Value, json};

use super::{Dice, a_field, a_struct, definitions, has_fields, named, names, reference};

pub(super) fn recursion(bundle: &mut Value, dice: &mut Dice) {
    let all = definitions(bundle);
    let object = |fields: Value, required: Value| json!({ "type": "object", "properties": fields, "required": required });
    let r = reference;
    all.insert(
        "CasNode".into(),
        object(
            json!({ "next": r("CasNode"), "tree": r("CasTree") }),
            json!(["next", "tree"]),
        ),
    );
    all.insert("CasTree".into(), json!({ "oneOf": [
        { "type": "object", "properties": { "type": { "enum": ["leaf"] } }, "required": ["type"] },
        { "type": "object", "properties": { "type": { "enum": ["fork"] }, "left": r("CasTree"), "node": r("CasNode") }, "required": ["type", "left", "node"] },
    ] }));
    all.insert("CasEither".into(), json!({ "anyOf": [{ "type": "string" }, r("CasEither"), r("CasOther"), { "type": "array", "items": r("CasEither") }] }));
    all.insert(
        "CasOther".into(),
        json!({ "anyOf": [{ "type": "boolean" }, r("CasEither")] }),
    );
    all.insert("CasKeyed".into(), json!({ "oneOf": [
        { "enum": ["end"] },
        { "type": "object", "properties": { "more": r("CasKeyed") }, "required": ["more"], "additionalProperties": false },
    ] }));
    all.insert(
        "CasList".into(),
        json!({ "type": "array", "items": r("CasList") }),
    );
    all.insert("CasA".into(), json!({ "$ref": "#/definitions/v2/CasB" }));
    all.insert("CasB".into(), json!({ "$ref": "#/definitions/v2/CasA" }));
    all.insert(
        "CasMap".into(),
        json!({ "type": "object", "additionalProperties": r("CasMap") }),
    );
    for name in [
        "CasNode",
        "CasTree",
        "CasEither",
        "CasKeyed",
        "CasList",
        "CasA",
        "CasMap",
    ] {
        let _ = dice.next();
        a_struct(bundle, dice)["properties"][name] = r(name);
    }
    let names = names(bundle, has_fields);
    let name = dice.one(&names);
    definitions(bundle)[&name]["properties"]["itself"] = r(&name);
}

pub(super) fn remove_definition(bundle: &mut Value, dice: &mut Dice) {
    for _ in 0..4 {
        let names = names(bundle, |_| true);
        definitions(bundle).remove(&dice.one(&names));
    }
}

pub(super) fn rename_definition(bundle: &mut Value, dice: &mut Dice) {
    let names = names(bundle, |_| true);
    let name = dice.one(&names);
    let text = bundle.to_string();
    let text = text.replace(&format!("/{name}\""), &format!("/{name}Anew\""));
    *bundle = serde_json::from_str(&text).expect("still JSON");
    if let Some(definition) = definitions(bundle).remove(&name) {
        definitions(bundle).insert(format!("{name}Anew"), definition);
    }
}

pub(super) fn odd_definitions(bundle: &mut Value, dice: &mut Dice) {
    const NAMES: &[&str] = &[
        "Option",
        "Vec",
        "String",
        "Box",
        "Value",
        "Map",
        "Result",
        "Default",
        "Clone",
        "Call",
        "Notification",
        "Paged",
        "Empty",
        "Serialize",
        "FieldTuple",
        "Some",
        "None",
        "Send",
        "From",
        "u64",
        "bool",
        "f32",
        "str",
        "lowercase",
        "With_under_score",
        "Generic<String>",
        "Ünï",
        "2nd",
        "S",
        "D",
        "A",
        "M",
        "E",
        "T",
        "T0",
        "T1",
        "PayloadsOfT1",
        "MethodInfo",
        "RequestId2",
        "Writer",
        "Redacted",
        "type",
        "self",
        "Copy",
        "Name",
    ];
    for name in NAMES {
        let definition = match dice.below(4) {
            0 => json!({ "type": "object", "properties": { "a": { "type": "string" } } }),
            1 => json!({ "type": "string", "enum": ["a", "b"] }),
            2 => json!({ "type": "string" }),
            _ => json!({ "type": "array", "items": { "type": "string" } }),
        };
        definitions(bundle).insert((*name).into(), definition);
        a_struct(bundle, dice)["properties"][format!("odd{name}")] = reference(name);
        let params = named(bundle, "TurnStartParams");
        if let Some(params) = params {
            params["properties"][format!("odd{name}")] = reference(name);
        }
    }
}

pub(super) fn two_meanings(bundle: &mut Value, dice: &mut Dice) {
    let names = names(bundle, |_| true);
    let name = dice.one(&names);
    bundle["definitions"][name] =
        json!({ "type": "object", "properties": { "other": { "type": "string" } } });
}

pub(super) fn defs(bundle: &mut Value, _: &mut Dice) {
    let text = bundle
        .to_string()
        .replace("#/definitions/", "#/$defs/")
        .replacen("\"definitions\":", "\"$defs\":", 1);
    *bundle = serde_json::from_str(&text).expect("still JSON");
}

pub(super) fn inner_defs(bundle: &mut Value, dice: &mut Dice) {
    for home in ["$defs", "definitions"] {
        let name = dice.one(&names(bundle, has_fields));
        let owner = &mut definitions(bundle)[&name];
        owner[home] = json!({ "Inner": { "type": "string", "enum": ["x"] }, "Other": { "type": "array", "items": { "$ref": format!("#/{home}/Inner") } } });
        owner["properties"]["inner"] =
            json!({ "$ref": format!("#/definitions/v2/{name}/{home}/Inner") });
        owner["properties"]["other"] = json!({ "$ref": format!("#/{home}/Other") });
    }
}

pub(super) fn newer_namespace(bundle: &mut Value, dice: &mut Dice) {
    let names = names(bundle, has_fields);
    let name = dice.one(&names);
    let mut newer = definitions(bundle)[&name].clone();
    newer["properties"]["newer"] = json!({ "type": "boolean" });
    bundle["definitions"]["v3"] = json!({ name.clone(): newer, "CasNew": { "type": "string" } });
    *a_field(bundle, dice) = json!({ "$ref": format!("#/definitions/v3/{name}") });
    *a_field(bundle, dice) = json!({ "$ref": "#/definitions/v3/CasNew" });
}

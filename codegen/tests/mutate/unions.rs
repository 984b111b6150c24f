//! Mutations of enums and unions: opened, closed, nested, without tags.

use serde_json::{Value, json};

use super::{
    Dice, ODD, a_field, a_struct, a_union, an_enum, definitions, named, reference, some_reference,
};

pub(super) fn open_enum(bundle: &mut Value, dice: &mut Dice) {
    for _ in 0..4 {
        an_enum(bundle, dice)["enum"]
            .as_array_mut()
            .expect("values")
            .push("anew".into());
    }
    let one = an_enum(bundle, dice);
    *one = json!({ "anyOf": [one.clone(), { "type": "string" }] });
}

pub(super) fn close_enum(bundle: &mut Value, dice: &mut Dice) {
    for _ in 0..4 {
        let values = an_enum(bundle, dice)["enum"]
            .as_array_mut()
            .expect("values");
        if !values.is_empty() {
            values.remove(dice.below(values.len()));
        }
    }
}

pub(super) fn odd_words(bundle: &mut Value, dice: &mut Dice) {
    for _ in 0..2 {
        an_enum(bundle, dice)["enum"] = json!(ODD);
    }
    let values = an_enum(bundle, dice);
    values["enum"] = json!(["same", "same", "Same", null, "s-a-m-e"]);
}

pub(super) fn empty_enum(bundle: &mut Value, dice: &mut Dice) {
    an_enum(bundle, dice)["enum"] = json!([]);
    a_union(bundle, dice)["oneOf"] = json!([]);
    *a_field(bundle, dice) = json!({ "enum": [] });
    *a_field(bundle, dice) = json!({ "anyOf": [] });
}

pub(super) fn number_enum(bundle: &mut Value, dice: &mut Dice) {
    *an_enum(bundle, dice) = json!({ "enum": [1, 2] });
    *an_enum(bundle, dice) = json!({ "type": "integer", "enum": [1, null] });
    *an_enum(bundle, dice) = json!({ "enum": ["a", 1, true, null] });
    *a_field(bundle, dice) = json!({ "enum": [null] });
}

pub(super) fn constants(bundle: &mut Value, dice: &mut Dice) {
    *an_enum(bundle, dice) = json!({ "const": "only" });
    *a_field(bundle, dice) = json!({ "const": 1 });
    *a_field(bundle, dice) = json!({ "const": null });
    for branch in a_union(bundle, dice)["oneOf"]
        .as_array_mut()
        .expect("branches")
    {
        let word = branch["properties"]["type"]["enum"][0].clone();
        branch["properties"]["type"] = json!({ "const": word });
    }
}

pub(super) fn struct_to_union(bundle: &mut Value, dice: &mut Dice) {
    let other = some_reference(bundle, dice);
    let one = a_struct(bundle, dice);
    let mut tagged = one.clone();
    tagged["properties"]["type"] = json!({ "type": "string", "enum": ["old"] });
    *one = match dice.below(3) {
        0 => {
            json!({ "oneOf": [tagged, { "type": "object", "properties": { "type": { "enum": ["new"] } }, "required": ["type"] }] })
        }
        1 => json!({ "anyOf": [one.clone(), { "type": "string" }, other] }),
        _ => json!({ "oneOf": [other, { "type": "null" }] }),
    };
}

pub(super) fn union_to_struct(bundle: &mut Value, dice: &mut Dice) {
    let one = a_union(bundle, dice);
    *one = one["oneOf"][0].clone();
}

pub(super) fn nest_union(bundle: &mut Value, dice: &mut Dice) {
    let inner = json!({ "oneOf": [
        { "type": "object", "properties": { "a": { "oneOf": [{ "type": "string" }, { "enum": [1] }] } }, "required": ["a"] },
        { "oneOf": [{ "type": "integer" }, { "type": "array", "items": { "oneOf": [{ "type": "string" }, some_reference(bundle, dice)] } }] },
    ] });
    *a_field(bundle, dice) = inner.clone();
    let branches = a_union(bundle, dice)["oneOf"]
        .as_array_mut()
        .expect("branches");
    branches.push(inner);
}

pub(super) fn nest_in_variant(bundle: &mut Value, dice: &mut Dice) {
    let other = some_reference(bundle, dice);
    let branches = a_union(bundle, dice)["oneOf"]
        .as_array_mut()
        .expect("branches");
    let at = dice.below(branches.len());
    let word = dice.one(&["oneOf", "anyOf"]);
    branches[at][word] = match dice.below(2) {
        0 => {
            json!([{ "properties": { "x": { "type": "string" } } }, { "properties": { "y": { "type": "string" } } }])
        }
        _ => json!([other, { "properties": { "y": { "type": "string" } } }]),
    };
}

pub(super) fn number_tag(bundle: &mut Value, dice: &mut Dice) {
    let branches = a_union(bundle, dice)["oneOf"]
        .as_array_mut()
        .expect("branches");
    let odd = dice.below(2) == 0;
    for (at, branch) in branches.iter_mut().enumerate() {
        branch["properties"]["type"] = if odd {
            json!({ "enum": [at] })
        } else {
            json!({ "const": at % 2 == 0 })
        };
    }
}

pub(super) fn partly_tagged(bundle: &mut Value, dice: &mut Dice) {
    let branches = a_union(bundle, dice)["oneOf"]
        .as_array_mut()
        .expect("branches");
    let at = dice.below(branches.len());
    if let Some(fields) = branches[at]["properties"].as_object_mut() {
        fields.remove("type");
    }
    branches.push(json!({ "type": "string" }));
}

pub(super) fn twins(bundle: &mut Value, dice: &mut Dice) {
    let other = some_reference(bundle, dice);
    definitions(bundle).insert(
        "CasText".into(),
        json!({ "type": "array", "items": { "type": "string" } }),
    );
    let union = json!({ "anyOf": [
        { "type": "string" }, { "type": "string" }, other, other, reference("CasText"), { "type": "array", "items": { "type": "string" } },
    ] });
    definitions(bundle).insert("CasTwins".into(), union);
    let params = named(bundle, "ThreadStartParams");
    if let Some(params) = params {
        params["properties"]["casTwins"] = reference("CasTwins");
    }
    let one = a_union(bundle, dice);
    let first = one["oneOf"][0].clone();
    one["oneOf"].as_array_mut().expect("branches").push(first);
}

//! Mutations of methods: added, removed, renamed, with shared params.

use serde_json::{Value, json};

use super::{Dice, GROUPS, group, method, some_reference};

pub(super) fn rename_method(bundle: &mut Value, dice: &mut Dice) {
    let name = &mut method(bundle, dice)["properties"]["method"]["enum"][0];
    *name = format!("{}/anew", name.as_str().expect("a name")).into();
}

pub(super) fn remove_method(bundle: &mut Value, dice: &mut Dice) {
    let group = group(bundle, "ClientRequest");
    for _ in 0..10 {
        group.remove(dice.below(group.len()));
    }
}

pub(super) fn remove_server_method(bundle: &mut Value, dice: &mut Dice) {
    let group = group(bundle, dice.one(&["ServerRequest", "ServerNotification"]));
    group.remove(dice.below(group.len()));
}

pub(super) fn add_method(bundle: &mut Value, dice: &mut Dice) {
    let params = match dice.below(4) {
        0 => Value::Null,
        1 => json!({ "type": "null" }),
        2 => json!({ "anyOf": [some_reference(bundle, dice), { "type": "null" }] }),
        _ => some_reference(bundle, dice),
    };
    let name = format!("dream/{}", dice.below(1000));
    let variant = json!({ "properties": { "method": { "enum": [name] }, "params": params } });
    group(bundle, dice.one(&GROUPS)).push(variant);
}

pub(super) fn share_params(bundle: &mut Value, dice: &mut Dice) {
    for _ in 0..3 {
        let group = group(bundle, dice.one(&GROUPS));
        let from = group[dice.below(group.len())]["properties"]["params"].clone();
        let to = dice.below(group.len());
        group[to]["properties"]["params"] = from;
    }
}

pub(super) fn share_server_params(bundle: &mut Value, dice: &mut Dice) {
    let group = group(bundle, "ServerRequest");
    if group.is_empty() {
        return;
    }
    let mut twin = group[dice.below(group.len())].clone();
    twin["properties"]["method"] = json!({ "const": "a/twin" });
    group.push(twin);
}

pub(super) fn method_twice(bundle: &mut Value, dice: &mut Dice) {
    let twin = method(bundle, dice).clone();
    group(bundle, "ClientRequest").push(twin);
}

pub(super) fn colliding_methods(bundle: &mut Value, dice: &mut Dice) {
    let params = some_reference(bundle, dice);
    for name in [
        "thing/start",
        "thing_start",
        "thingStart",
        "unknown",
        "self",
        "1/2",
        "é",
        "thread/start/",
    ] {
        let variant = json!({ "properties": { "method": { "enum": [name] }, "params": params } });
        group(bundle, dice.one(&GROUPS)).push(variant.clone());
        group(bundle, "ServerNotification")
            .push(json!({ "properties": { "method": { "enum": [name] } } }));
    }
}

pub(super) fn params_in_place(bundle: &mut Value, dice: &mut Dice) {
    let params = [
        json!({ "type": "object", "properties": { "id": { "type": "string" } }, "required": ["id"] }),
        json!({ "type": "array", "items": { "type": "string" } }),
        json!({ "oneOf": [{ "type": "string" }, { "type": "integer" }] }),
        json!({ "type": "string" }),
        json!(true),
        json!({}),
    ];
    method(bundle, dice)["properties"]["params"] = dice.one(&params);
}

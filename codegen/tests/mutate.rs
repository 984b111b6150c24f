//! The next releases of codex, made up: changes of a schema as they have come, and as they might.

use serde_json::{Map, Value, json};

/// A generator of numbers that gives the same ones for the same seed (SplitMix64).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).expect("it is below a usize")
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

type Mutation = fn(&mut Value, &mut Dice);

/// Every kind of change, by name.
pub(super) const MUTATIONS: &[(&str, Mutation)] = &[
    ("rename a method", rename_method),
    ("remove a method", remove_method),
    ("remove a method of the server", remove_server_method),
    ("add a method", add_method),
    ("share params", share_params),
    ("share params of the server", share_server_params),
    ("a method twice", method_twice),
    ("methods of one name in Rust", colliding_methods),
    ("params in place", params_in_place),
    ("change a field's type", change_type),
    ("change a field's presence", change_presence),
    ("change a field's nullability", change_null),
    ("an odd default", odd_default),
    ("an odd description", odd_description),
    ("rename a field", rename_field),
    ("remove a field", remove_field),
    ("odd field names", odd_fields),
    ("an enum gains a value", open_enum),
    ("an enum loses a value", close_enum),
    ("an enum has odd values", odd_words),
    ("an enum without values", empty_enum),
    ("an enum of numbers", number_enum),
    ("constants", constants),
    ("a struct becomes a union", struct_to_union),
    ("a union becomes a struct", union_to_struct),
    ("a union nests", nest_union),
    ("a union in a variant", nest_in_variant),
    ("a tag is no string", number_tag),
    ("a union is partly tagged", partly_tagged),
    ("a union of twins", twins),
    ("recursive types", recursion),
    ("a definition goes", remove_definition),
    ("a definition is renamed", rename_definition),
    ("definitions have odd names", odd_definitions),
    ("a name stands for two things", two_meanings),
    ("$defs", defs),
    ("inner $defs", inner_defs),
    ("a newer namespace", newer_namespace),
    ("allOf", all_of),
    ("odd schemas", odd_schemas),
    ("an open struct with a field called extra", extra),
];

fn definitions(bundle: &mut Value) -> &mut Map<String, Value> {
    let home = if bundle["definitions"].is_object() {
        "definitions"
    } else {
        "$defs"
    };
    let definitions = bundle[home]
        .as_object_mut()
        .expect("a bundle has definitions");
    if definitions.get("v2").is_some_and(Value::is_object) {
        definitions["v2"].as_object_mut().expect("it is an object")
    } else {
        definitions
    }
}

fn group<'a>(bundle: &'a mut Value, name: &str) -> &'a mut Vec<Value> {
    let home = if bundle["definitions"].is_object() {
        "definitions"
    } else {
        "$defs"
    };
    bundle[home][name]["oneOf"]
        .as_array_mut()
        .expect("a bundle lists its methods")
}

const GROUPS: [&str; 3] = ["ClientRequest", "ServerNotification", "ServerRequest"];

fn method<'a>(bundle: &'a mut Value, dice: &mut Dice) -> &'a mut Value {
    let group = group(bundle, dice.one(&GROUPS));
    let at = dice.below(group.len());
    &mut group[at]
}

/// Names of definitions for which something holds, and that no method list refers to in a way of its own.
fn names(bundle: &mut Value, holds: impl Fn(&Value) -> bool) -> Vec<String> {
    let all = definitions(bundle).iter();
    let named = all.filter(|(name, schema)| !GROUPS.contains(&name.as_str()) && holds(schema));
    named.map(|(name, _)| name.clone()).collect()
}

fn pick<'a>(
    bundle: &'a mut Value,
    dice: &mut Dice,
    spare: Value,
    holds: impl Fn(&Value) -> bool,
) -> &'a mut Value {
    let names = names(bundle, holds);
    // Changes before may have left none.
    let name = if names.is_empty() {
        format!("CasSpare{}", dice.below(1000))
    } else {
        dice.one(&names)
    };
    definitions(bundle).entry(name).or_insert(spare)
}

/// A definition that has fields, if it is there.
fn named<'a>(bundle: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    definitions(bundle)
        .get_mut(name)
        .filter(|schema| has_fields(schema))
}

fn has_fields(schema: &Value) -> bool {
    schema["properties"]
        .as_object()
        .is_some_and(|fields| !fields.is_empty())
}

fn a_struct<'a>(bundle: &'a mut Value, dice: &mut Dice) -> &'a mut Value {
    pick(
        bundle,
        dice,
        json!({ "type": "object", "properties": { "a": { "type": "string" } } }),
        has_fields,
    )
}

fn an_enum<'a>(bundle: &'a mut Value, dice: &mut Dice) -> &'a mut Value {
    pick(
        bundle,
        dice,
        json!({ "type": "string", "enum": ["a", "b"] }),
        |schema| schema["enum"].as_array().is_some_and(|v| !v.is_empty()),
    )
}

fn a_union<'a>(bundle: &'a mut Value, dice: &mut Dice) -> &'a mut Value {
    let is_tagged = |schema: &Value| {
        schema["oneOf"].as_array().is_some_and(|all| {
            !all.is_empty()
                && all
                    .iter()
                    .all(|branch| branch["properties"]["type"]["enum"].is_array())
        })
    };
    let branch = |word: &str| json!({ "type": "object", "properties": { "type": { "enum": [word] }, "a": { "type": "string" } }, "required": ["type"] });
    pick(
        bundle,
        dice,
        json!({ "oneOf": [branch("one"), branch("two")] }),
        is_tagged,
    )
}

fn a_field<'a>(bundle: &'a mut Value, dice: &mut Dice) -> &'a mut Value {
    let fields = a_struct(bundle, dice)["properties"]
        .as_object_mut()
        .expect("it has fields");
    let at = dice.below(fields.len());
    fields.values_mut().nth(at).expect("it is there")
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/definitions/v2/{name}") })
}

fn some_reference(bundle: &mut Value, dice: &mut Dice) -> Value {
    let names = names(bundle, |_| true);
    reference(&dice.one(&names))
}

fn rename_method(bundle: &mut Value, dice: &mut Dice) {
    let name = &mut method(bundle, dice)["properties"]["method"]["enum"][0];
    *name = format!("{}/anew", name.as_str().expect("a name")).into();
}

fn remove_method(bundle: &mut Value, dice: &mut Dice) {
    let group = group(bundle, "ClientRequest");
    for _ in 0..10 {
        group.remove(dice.below(group.len()));
    }
}

fn remove_server_method(bundle: &mut Value, dice: &mut Dice) {
    let group = group(bundle, dice.one(&["ServerRequest", "ServerNotification"]));
    group.remove(dice.below(group.len()));
}

fn add_method(bundle: &mut Value, dice: &mut Dice) {
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

fn share_params(bundle: &mut Value, dice: &mut Dice) {
    for _ in 0..3 {
        let group = group(bundle, dice.one(&GROUPS));
        let from = group[dice.below(group.len())]["properties"]["params"].clone();
        let to = dice.below(group.len());
        group[to]["properties"]["params"] = from;
    }
}

fn share_server_params(bundle: &mut Value, dice: &mut Dice) {
    let group = group(bundle, "ServerRequest");
    if group.is_empty() {
        return;
    }
    let mut twin = group[dice.below(group.len())].clone();
    twin["properties"]["method"] = json!({ "const": "a/twin" });
    group.push(twin);
}

fn method_twice(bundle: &mut Value, dice: &mut Dice) {
    let twin = method(bundle, dice).clone();
    group(bundle, "ClientRequest").push(twin);
}

fn colliding_methods(bundle: &mut Value, dice: &mut Dice) {
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

fn params_in_place(bundle: &mut Value, dice: &mut Dice) {
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

fn change_type(bundle: &mut Value, dice: &mut Dice) {
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

fn change_presence(bundle: &mut Value, dice: &mut Dice) {
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

fn change_null(bundle: &mut Value, dice: &mut Dice) {
    for _ in 0..6 {
        let field = a_field(bundle, dice);
        *field = match field["anyOf"].as_array() {
            Some(branches) => branches[0].clone(),
            None => {
                json!({ "anyOf": [field.clone(), { "type": "null" }], "description": "Use `null` to clear it." })
            }
        };
    }
}

fn odd_default(bundle: &mut Value, dice: &mut Dice) {
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

fn odd_description(bundle: &mut Value, dice: &mut Dice) {
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

fn rename_field(bundle: &mut Value, dice: &mut Dice) {
    for _ in 0..4 {
        let fields = a_struct(bundle, dice)["properties"]
            .as_object_mut()
            .expect("fields");
        let name = fields
            .keys()
            .nth(dice.below(fields.len()))
            .expect("there")
            .clone();
        let field = fields.remove(&name).expect("there");
        fields.insert(format!("{name}Anew"), field);
    }
}

fn remove_field(bundle: &mut Value, dice: &mut Dice) {
    for _ in 0..8 {
        let fields = a_struct(bundle, dice)["properties"]
            .as_object_mut()
            .expect("fields");
        let name = fields
            .keys()
            .nth(dice.below(fields.len()))
            .expect("there")
            .clone();
        fields.remove(&name);
    }
}

/// Keywords, names of macros and of what they declare, names that are one in Rust, and names that are none.
const ODD: &[&str] = &[
    "type",
    "self",
    "Self",
    "crate",
    "super",
    "fn",
    "async",
    "gen",
    "union",
    "",
    "_",
    "__",
    "1st",
    "é",
    "日本",
    "a b",
    "a-b",
    "a_b",
    "aB",
    "$ref",
    "@",
    "object",
    "payload",
    "strings",
    "tagged",
    "keyed",
    "shaped",
    "setters",
    "out",
    "map",
    "read",
    "row",
    "names",
    "value",
    "serializer",
    "deserializer",
    "new",
    "clone",
    "default",
    "into",
    "from",
    "fmt",
    "eq",
    "serialize",
    "deserialize",
    "extra",
    "params",
    "method",
    "unknown",
    "std",
    "core",
    "serde",
    "vec",
    "format",
    "matches",
    "line",
    "include",
    "concat",
    "patch",
    "some",
    "none",
    "ok",
    "definitions",
    "title",
    "properties",
    "type_",
    "r#type",
    "\"quoted\"",
    "back\\slash",
    "new\nline",
    "tab\t",
];

fn odd_fields(bundle: &mut Value, dice: &mut Dice) {
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

fn open_enum(bundle: &mut Value, dice: &mut Dice) {
    for _ in 0..4 {
        an_enum(bundle, dice)["enum"]
            .as_array_mut()
            .expect("values")
            .push("anew".into());
    }
    let one = an_enum(bundle, dice);
    *one = json!({ "anyOf": [one.clone(), { "type": "string" }] });
}

fn close_enum(bundle: &mut Value, dice: &mut Dice) {
    for _ in 0..4 {
        let values = an_enum(bundle, dice)["enum"]
            .as_array_mut()
            .expect("values");
        if !values.is_empty() {
            values.remove(dice.below(values.len()));
        }
    }
}

fn odd_words(bundle: &mut Value, dice: &mut Dice) {
    for _ in 0..2 {
        an_enum(bundle, dice)["enum"] = json!(ODD);
    }
    let values = an_enum(bundle, dice);
    values["enum"] = json!(["same", "same", "Same", null, "s-a-m-e"]);
}

fn empty_enum(bundle: &mut Value, dice: &mut Dice) {
    an_enum(bundle, dice)["enum"] = json!([]);
    a_union(bundle, dice)["oneOf"] = json!([]);
    *a_field(bundle, dice) = json!({ "enum": [] });
    *a_field(bundle, dice) = json!({ "anyOf": [] });
}

fn number_enum(bundle: &mut Value, dice: &mut Dice) {
    *an_enum(bundle, dice) = json!({ "enum": [1, 2] });
    *an_enum(bundle, dice) = json!({ "type": "integer", "enum": [1, null] });
    *an_enum(bundle, dice) = json!({ "enum": ["a", 1, true, null] });
    *a_field(bundle, dice) = json!({ "enum": [null] });
}

fn constants(bundle: &mut Value, dice: &mut Dice) {
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

fn struct_to_union(bundle: &mut Value, dice: &mut Dice) {
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

fn union_to_struct(bundle: &mut Value, dice: &mut Dice) {
    let one = a_union(bundle, dice);
    *one = one["oneOf"][0].clone();
}

fn nest_union(bundle: &mut Value, dice: &mut Dice) {
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

fn nest_in_variant(bundle: &mut Value, dice: &mut Dice) {
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

fn number_tag(bundle: &mut Value, dice: &mut Dice) {
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

fn partly_tagged(bundle: &mut Value, dice: &mut Dice) {
    let branches = a_union(bundle, dice)["oneOf"]
        .as_array_mut()
        .expect("branches");
    let at = dice.below(branches.len());
    if let Some(fields) = branches[at]["properties"].as_object_mut() {
        fields.remove("type");
    }
    branches.push(json!({ "type": "string" }));
}

fn twins(bundle: &mut Value, dice: &mut Dice) {
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

fn recursion(bundle: &mut Value, dice: &mut Dice) {
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

fn remove_definition(bundle: &mut Value, dice: &mut Dice) {
    for _ in 0..4 {
        let names = names(bundle, |_| true);
        definitions(bundle).remove(&dice.one(&names));
    }
}

fn rename_definition(bundle: &mut Value, dice: &mut Dice) {
    let names = names(bundle, |_| true);
    let name = dice.one(&names);
    let text = bundle.to_string();
    let text = text.replace(&format!("/{name}\""), &format!("/{name}Anew\""));
    *bundle = serde_json::from_str(&text).expect("still JSON");
    if let Some(definition) = definitions(bundle).remove(&name) {
        definitions(bundle).insert(format!("{name}Anew"), definition);
    }
}

fn odd_definitions(bundle: &mut Value, dice: &mut Dice) {
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
        "Row",
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

fn two_meanings(bundle: &mut Value, dice: &mut Dice) {
    let names = names(bundle, |_| true);
    let name = dice.one(&names);
    bundle["definitions"][name] =
        json!({ "type": "object", "properties": { "other": { "type": "string" } } });
}

fn defs(bundle: &mut Value, _: &mut Dice) {
    let text = bundle
        .to_string()
        .replace("#/definitions/", "#/$defs/")
        .replacen("\"definitions\":", "\"$defs\":", 1);
    *bundle = serde_json::from_str(&text).expect("still JSON");
}

fn inner_defs(bundle: &mut Value, dice: &mut Dice) {
    for home in ["$defs", "definitions"] {
        let name = dice.one(&names(bundle, has_fields));
        let owner = &mut definitions(bundle)[&name];
        owner[home] = json!({ "Inner": { "type": "string", "enum": ["x"] }, "Other": { "type": "array", "items": { "$ref": format!("#/{home}/Inner") } } });
        owner["properties"]["inner"] =
            json!({ "$ref": format!("#/definitions/v2/{name}/{home}/Inner") });
        owner["properties"]["other"] = json!({ "$ref": format!("#/{home}/Other") });
    }
}

fn newer_namespace(bundle: &mut Value, dice: &mut Dice) {
    let names = names(bundle, has_fields);
    let name = dice.one(&names);
    let mut newer = definitions(bundle)[&name].clone();
    newer["properties"]["newer"] = json!({ "type": "boolean" });
    bundle["definitions"]["v3"] = json!({ name.clone(): newer, "CasNew": { "type": "string" } });
    *a_field(bundle, dice) = json!({ "$ref": format!("#/definitions/v3/{name}") });
    *a_field(bundle, dice) = json!({ "$ref": "#/definitions/v3/CasNew" });
}

fn all_of(bundle: &mut Value, dice: &mut Dice) {
    for _ in 0..3 {
        let parts = json!({ "allOf": [some_reference(bundle, dice), some_reference(bundle, dice), { "properties": { "mine": { "type": "string" } }, "required": ["mine"] }] });
        *a_field(bundle, dice) = parts.clone();
        definitions(bundle).insert(format!("CasAll{}", dice.below(99)), parts);
    }
}

fn odd_schemas(bundle: &mut Value, dice: &mut Dice) {
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

fn extra(bundle: &mut Value, dice: &mut Dice) {
    let owner = a_struct(bundle, dice);
    owner["properties"]["extra"] = json!({ "type": "string" });
    owner["additionalProperties"] = json!({ "type": "integer" });
    let owner = a_struct(bundle, dice);
    owner["properties"]["extra"] = json!({ "type": "string" });
    owner["additionalProperties"] = json!({ "anyOf": [reference("Thread"), { "type": "null" }] });
}

//! Simulated releases of codex: changes of a schema that have happened or might happen.

mod definitions;
mod fields;
mod methods;
mod unions;

use serde_json::{Map, Value, json};

/// A reproducible random number generator (`SplitMix64`).
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
    ("rename a method", methods::rename_method),
    ("remove a method", methods::remove_method),
    (
        "remove a method of the server",
        methods::remove_server_method,
    ),
    ("add a method", methods::add_method),
    ("share params", methods::share_params),
    ("share params of the server", methods::share_server_params),
    ("a method twice", methods::method_twice),
    ("methods of one name in Rust", methods::colliding_methods),
    ("params in place", methods::params_in_place),
    ("change a field's type", fields::change_type),
    ("change a field's presence", fields::change_presence),
    ("change a field's nullability", fields::change_null),
    ("an odd default", fields::odd_default),
    ("an odd description", fields::odd_description),
    ("rename a field", fields::rename_field),
    ("remove a field", fields::remove_field),
    ("odd field names", fields::odd_fields),
    ("an enum gains a value", unions::open_enum),
    ("an enum loses a value", unions::close_enum),
    ("an enum has odd values", unions::odd_words),
    ("an enum without values", unions::empty_enum),
    ("an enum of numbers", unions::number_enum),
    ("constants", unions::constants),
    ("a struct becomes a union", unions::struct_to_union),
    ("a union becomes a struct", unions::union_to_struct),
    ("a union nests", unions::nest_union),
    ("a union in a variant", unions::nest_in_variant),
    ("a tag is no string", unions::number_tag),
    ("a union is partly tagged", unions::partly_tagged),
    ("a union of twins", unions::twins),
    ("recursive types", definitions::recursion),
    ("a definition goes", definitions::remove_definition),
    ("a definition is renamed", definitions::rename_definition),
    ("definitions have odd names", definitions::odd_definitions),
    ("a name stands for two things", definitions::two_meanings),
    ("$defs", definitions::defs),
    ("inner $defs", definitions::inner_defs),
    ("a newer namespace", definitions::newer_namespace),
    ("allOf", fields::all_of),
    ("odd schemas", fields::odd_schemas),
    ("an open struct with a field called extra", fields::extra),
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

/// Names of definitions for which something holds, and that no method list refers to in a way of
/// its own.
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

/// A definition with fields, if there is one.
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

/// Keywords, names of macros and of what they declare, names that are one in Rust, and names that
/// are none.
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

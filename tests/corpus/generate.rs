//! Values from a schema: minimal, full, and one per enum value, union branch and state of a field.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::bundle::Bundle;

/// A value that is not in the schema.
pub(crate) const UNHEARD_OF: &str = "casUnheardOf";

/// A permitted difference at one place of a value after a round trip.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Free {
    /// An optional field was `null` and may be absent. With the type and the field's name.
    Null(String),
    /// A field may appear or vanish with this value, the schema's default.
    Default(Value),
    /// A field that has this default was `null`, which the schema does not allow but means nothing
    /// else.
    NullForDefault(Value),
    /// A field that the schema does not have may vanish; the raw message has it.
    Extra,
}

#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) value: Value,
    /// By path, as in `/turn/items/0`.
    pub(crate) free: BTreeMap<String, Free>,
    /// Whether the value goes beyond the schema.
    pub(crate) mutated: bool,
}

impl Sample {
    fn plain(value: Value) -> Self {
        Self {
            value,
            free: BTreeMap::new(),
            mutated: false,
        }
    }

    fn mutated(value: Value) -> Self {
        Self {
            mutated: true,
            ..Self::plain(value)
        }
    }

    /// The sample under a key of a larger value.
    fn under(self, key: &str, wrap: impl FnOnce(Value) -> Value) -> Self {
        let free = self.free.into_iter();
        Self {
            value: wrap(self.value),
            free: free
                .map(|(path, free)| (format!("/{key}{path}"), free))
                .collect(),
            mutated: self.mutated,
        }
    }
}

/// The position of the generator in the schema.
#[derive(Clone, Default)]
struct Place {
    /// The definitions on the path to here.
    stack: Vec<String>,
}

impl Place {
    fn owner(&self) -> &str {
        self.stack.last().map_or("", String::as_str)
    }

    fn inside(&self, name: &str) -> Self {
        let mut stack = self.stack.clone();
        stack.push(name.to_owned());
        Self { stack }
    }

    fn repeats(&self, name: &str) -> bool {
        self.stack.iter().any(|open| open == name)
    }
}

pub(crate) fn samples(bundle: &Bundle, schema: &Value) -> Vec<Sample> {
    let place = Place::default();
    let mut all = one_by_one(bundle, schema, &place);
    all.extend(fullest(bundle, schema, &place));
    all
}

/// An object schema with its alternatives multiplied out.
fn alternatives(schema: &Value) -> Option<Vec<Value>> {
    let branches = ["oneOf", "anyOf"]
        .iter()
        .find_map(|word| schema[*word].as_array())?;
    let common = schema["properties"].as_object();
    Some(
        branches
            .iter()
            .map(|branch| {
                let mut branch = branch.clone();
                for (key, property) in common.into_iter().flatten() {
                    if branch["properties"].get(key).is_none() {
                        branch["properties"][key] = property.clone();
                    }
                }
                if common.is_some() {
                    branch["type"] = "object".into();
                    let mut required = words(&branch["required"]);
                    required.extend(words(&schema["required"]));
                    branch["required"] = json!(required);
                }
                branch
            })
            .collect(),
    )
}

fn words(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(|word| Some(word.as_str()?.to_owned()))
        .collect()
}

fn types(schema: &Value) -> Vec<String> {
    match &schema["type"] {
        Value::String(only) => vec![only.clone()],
        list => words(list),
    }
}

fn is_null(schema: &Value) -> bool {
    schema["type"] == "null"
}

fn takes_null(schema: &Value) -> bool {
    types(schema).iter().any(|ty| ty == "null")
        || ["oneOf", "anyOf"]
            .iter()
            .filter_map(|word| schema[*word].as_array())
            .flatten()
            .any(is_null)
}

fn only_all_of(schema: &Value) -> Option<&Value> {
    match schema["allOf"].as_array().map(Vec::as_slice) {
        Some([only]) => Some(only),
        Some(_) => panic!("the generator can't do an allOf of several: {schema}"),
        None => None,
    }
}

fn says_nothing(schema: &Value) -> bool {
    schema == &Value::Bool(true)
        || schema.as_object().is_some_and(|schema| {
            schema.keys().all(|key| {
                matches!(
                    key.as_str(),
                    "description" | "default" | "deprecated" | "title"
                )
            })
        })
}

/// The schema of values under keys that are not properties.
fn extra(schema: &Value) -> Option<Value> {
    match schema.get("additionalProperties") {
        Some(Value::Bool(true)) => Some(json!({})),
        Some(extra @ Value::Object(_)) => Some(extra.clone()),
        _ => None,
    }
}

/// The minimal value, or `None` if it would contain itself.
fn least(bundle: &Bundle, schema: &Value, place: &Place) -> Option<Sample> {
    if let Some(target) = schema["$ref"].as_str() {
        let (name, schema) = bundle.resolve(target);
        if place.repeats(name) && place.stack.iter().filter(|open| *open == name).count() > 1 {
            return None;
        }
        return least(bundle, schema, &place.inside(name));
    }
    if let Some(only) = only_all_of(schema) {
        return least(bundle, only, place);
    }
    if let Some(branches) = alternatives(schema) {
        let mut branches = branches.iter().filter(|branch| !is_null(branch));
        return branches.find_map(|branch| least(bundle, branch, place));
    }
    if let Some(values) = schema["enum"].as_array() {
        return Some(Sample::plain(values[0].clone()));
    }
    if says_nothing(schema) {
        return Some(Sample::plain(json!({ "any": [1, null] })));
    }
    let ty = types(schema).into_iter().find(|ty| ty != "null");
    Some(match ty.as_deref() {
        Some("object") => {
            let mut sample = Sample::plain(json!({}));
            let required = words(&schema["required"]);
            for (key, property) in properties(schema) {
                note_default(&mut sample, key, property, &required);
                if required.contains(key) {
                    add(&mut sample, key, least(bundle, property, place)?);
                }
            }
            sample
        }
        Some("array") => Sample::plain(json!([])),
        Some("string") => Sample::plain("/some/text".into()),
        Some("integer") => Sample::plain(7.into()),
        Some("number") => Sample::plain(1.5.into()),
        Some("boolean") => Sample::plain(true.into()),
        _ => Sample::plain(Value::Null),
    })
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"]
        .as_object()
        .into_iter()
        .flat_map(Map::iter)
}

fn default_of(property: &Value) -> Option<&Value> {
    property.get("default").filter(|default| !default.is_null())
}

fn note_default(sample: &mut Sample, key: &str, property: &Value, required: &[String]) {
    if let Some(default) = default_of(property)
        && !required.iter().any(|name| name == key)
    {
        sample
            .free
            .insert(format!("/{key}"), Free::Default(default.clone()));
    }
}

/// Puts a sample under a key of an object.
fn add(object: &mut Sample, key: &str, sample: Sample) {
    let sample = sample.under(key, |value| value);
    object.value[key] = sample.value;
    object.free.extend(sample.free);
    object.mutated |= sample.mutated;
}

/// The value with every field.
fn fullest(bundle: &Bundle, schema: &Value, place: &Place) -> Option<Sample> {
    if let Some(target) = schema["$ref"].as_str() {
        let (name, schema) = bundle.resolve(target);
        if place.repeats(name) {
            return least(bundle, schema, &place.inside(name));
        }
        return fullest(bundle, schema, &place.inside(name));
    }
    if let Some(only) = only_all_of(schema) {
        return fullest(bundle, only, place);
    }
    if let Some(branches) = alternatives(schema) {
        let mut branches = branches.iter().rev().filter(|branch| !is_null(branch));
        return branches.find_map(|branch| fullest(bundle, branch, place));
    }
    if types(schema).iter().any(|ty| ty == "array") {
        let inner = fullest(bundle, &schema["items"], place)?;
        return Some(inner.under("0", |value| json!([value])));
    }
    let mut sample = least(bundle, schema, place)?;
    for (key, property) in properties(schema) {
        if let Some(field) = fullest(bundle, property, place) {
            add(&mut sample, key, field);
        }
    }
    if schema["properties"].is_object()
        && let Some(extra) = extra(schema)
        && let Some(value) = fullest(bundle, &extra, place)
    {
        add(&mut sample, "another-key", value);
    }
    Some(sample)
}

/// One value for each alternative of the schema, each in a minimal context.
fn one_by_one(bundle: &Bundle, schema: &Value, place: &Place) -> Vec<Sample> {
    if let Some(target) = schema["$ref"].as_str() {
        let (name, schema) = bundle.resolve(target);
        let inside = place.inside(name);
        if place.repeats(name) {
            return least(bundle, schema, &inside).into_iter().collect();
        }
        return one_by_one(bundle, schema, &inside);
    }
    if let Some(only) = only_all_of(schema) {
        return one_by_one(bundle, only, place);
    }
    if let Some(branches) = alternatives(schema) {
        let branches = branches.iter().filter(|branch| !is_null(branch));
        return branches
            .flat_map(|branch| one_by_one(bundle, branch, place))
            .collect();
    }
    if let Some(values) = schema["enum"].as_array() {
        let mut samples: Vec<Sample> = values.iter().cloned().map(Sample::plain).collect();
        let unheard_of = match values.iter().filter_map(Value::as_i64).max() {
            Some(largest) => json!(largest + 1),
            None => json!(UNHEARD_OF),
        };
        samples.push(Sample::mutated(unheard_of));
        return samples;
    }
    if says_nothing(schema) {
        let any = [json!({ "any": [1, null] }), json!("text"), json!(1.5)];
        return any.into_iter().map(Sample::plain).collect();
    }
    let mut samples = Vec::new();
    for ty in types(schema) {
        samples.extend(match ty.as_str() {
            "object" => object(bundle, schema, place),
            "array" => {
                let items = one_by_one(bundle, &schema["items"], place).into_iter();
                let mut samples = vec![Sample::plain(json!([]))];
                samples.extend(items.map(|item| item.under("0", |value| json!([value]))));
                samples
            }
            "integer" => integers(schema),
            "number" => vec![Sample::plain(1.5.into()), Sample::plain((-2.0).into())],
            "string" => vec![
                Sample::plain("/some/text".into()),
                Sample::plain("\u{1F41D} \"\\\n\u{0}".into()),
            ],
            "boolean" => vec![Sample::plain(true.into()), Sample::plain(false.into())],
            _ => Vec::new(),
        });
    }
    samples
}

fn integers(schema: &Value) -> Vec<Sample> {
    let edges: [Value; 2] = match schema["format"].as_str() {
        Some("int32") => [i32::MIN.into(), i32::MAX.into()],
        Some("uint16") => [0.into(), u16::MAX.into()],
        Some("uint32") => [0.into(), u32::MAX.into()],
        Some("uint" | "uint64") => [u64::from(schema["minimum"] == 1.0).into(), u64::MAX.into()],
        _ => [i64::MIN.into(), i64::MAX.into()],
    };
    edges.into_iter().map(Sample::plain).collect()
}

fn object(bundle: &Bundle, schema: &Value, place: &Place) -> Vec<Sample> {
    let Some(least) = least(bundle, schema, place) else {
        return Vec::new();
    };
    let required = words(&schema["required"]);
    let mut samples = vec![least.clone()];
    for (key, property) in properties(schema) {
        for field in one_by_one(bundle, property, place) {
            let mut sample = without(&least, key);
            note_default(&mut sample, key, property, &required);
            add(&mut sample, key, field);
            samples.push(sample);
        }
        if takes_null(property) {
            let mut sample = without(&least, key);
            sample.value[key] = Value::Null;
            if !required.contains(key) {
                let name = format!("{}.{key}", place.owner());
                sample.free.insert(format!("/{key}"), Free::Null(name));
            }
            samples.push(sample);
        } else if let Some(default) = default_of(property)
            && !required.contains(key)
        {
            let mut sample = without(&least, key);
            sample.mutated = true;
            sample.value[key] = Value::Null;
            let free = Free::NullForDefault(default.clone());
            sample.free.insert(format!("/{key}"), free);
            samples.push(sample);
        }
    }
    if let Some(extra) = extra(schema) {
        for value in one_by_one(bundle, &extra, place) {
            let mut sample = least.clone();
            add(&mut sample, "another-key", value);
            samples.push(sample);
        }
    } else if schema["properties"].is_object() {
        let mut sample = least.clone();
        sample.mutated = true;
        sample.value[UNHEARD_OF] = json!({ "deep": [1, { "a": null }] });
        sample.free.insert(format!("/{UNHEARD_OF}"), Free::Extra);
        samples.push(sample);
    }
    samples
}

fn without(sample: &Sample, key: &str) -> Sample {
    let mut sample = sample.clone();
    if let Some(object) = sample.value.as_object_mut() {
        object.remove(key);
    }
    let (at, below) = (format!("/{key}"), format!("/{key}/"));
    sample
        .free
        .retain(|path, _| *path != at && !path.starts_with(&below));
    sample
}

//! Converts a type into the strict subset of JSON schema that the model's answers can be
//! constrained to.
//!
//! OpenAI documents the subset for structured outputs: the root is an object; objects have known
//! fields, all required, and no others; `anyOf` but no other composition; a `$ref` has nothing
//! beside it; and a short list of keywords. Keywords that narrow values without changing their form
//! (lengths, defaults, odd formats) are left out, since serde and the type itself judge the answer
//! in the end. A type that the subset can't express at all is an error that names the field.

// `#[inline]` throughout: only callers that ask for typed answers compile this code.

use std::collections::HashMap;

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json, value::RawValue};

/// The field that wraps an answer that is not an object.
pub(crate) const WRAP: &str = "value";

/// Keywords that are passed on as they are.
const KEPT: [&str; 13] = [
    "type",
    "description",
    "enum",
    "const",
    "pattern",
    "multipleOf",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minItems",
    "maxItems",
    "format",
];
const FORMATS: [&str; 9] = [
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uuid",
];
/// Keywords that change the form of a value, and that the subset does not have.
const IMPOSSIBLE: [&str; 10] = [
    "not",
    "if",
    "then",
    "else",
    "dependentRequired",
    "dependentSchemas",
    "patternProperties",
    "propertyNames",
    "prefixItems",
    "unevaluatedProperties",
];

/// A schema in the subset.
#[derive(Debug)]
pub(crate) struct Strict {
    schema: Value,
    order: Order,
    /// Whether the value is in the field [`WRAP`] of an object.
    pub(crate) is_wrapped: bool,
}

/// The schema of `T`, or an error that names the field whose type the subset can't express.
pub(crate) fn schema_of<T: JsonSchema>() -> Result<Strict, String> {
    let settings = SchemaSettings::draft2020_12().with(|s| {
        s.meta_schema = None;
        s.inline_subschemas = true;
    });
    let schema = |settings: SchemaSettings| {
        let generator = settings.into_generator();
        generator.into_root_schema_for::<T>().to_value()
    };
    let mut order = Order::default();
    // Every field of the serialized form is required, in the order of its declaration.
    learn(&schema(settings.clone().for_serialize()), &mut order);
    strict(schema(settings), order).map_err(|problem| format!("{}: {problem}", T::schema_name()))
}

/// The order in which the fields of an object are declared, keyed by their sorted names. The model
/// writes the fields in the order of the schema, so it matters that a field for the reasons stands
/// before the field for the judgement.
type Order = HashMap<Vec<String>, Vec<String>>;

#[inline]
fn learn(schema: &Value, order: &mut Order) {
    if let Some(required) = schema["required"].as_array() {
        let declared = required.iter().filter_map(Value::as_str);
        let declared: Vec<String> = declared.map(str::to_owned).collect();
        let mut sorted = declared.clone();
        sorted.sort_unstable();
        order.insert(sorted, declared);
    }
    match schema {
        Value::Object(object) => object.values().for_each(|value| learn(value, order)),
        Value::Array(items) => items.iter().for_each(|value| learn(value, order)),
        _ => {}
    }
}

impl Strict {
    /// The schema as it is sent, its fields in the order of their declaration.
    #[inline]
    pub(crate) fn into_raw(self) -> Result<Box<RawValue>, serde_json::Error> {
        let mut text = String::new();
        write(&self.schema, &self.order, &mut text);
        RawValue::from_string(text)
    }
}

#[inline]
fn write(schema: &Value, order: &Order, out: &mut String) {
    let mut list = |open, close, items: &mut dyn Iterator<Item = (Option<&String>, &Value)>| {
        out.push(open);
        for (n, (key, value)) in items.enumerate() {
            if n > 0 {
                out.push(',');
            }
            if let Some(key) = key {
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
            }
            write(value, order, out);
        }
        out.push(close);
    };
    match schema {
        Value::Array(items) => list('[', ']', &mut items.iter().map(|item| (None, item))),
        Value::Object(object) => {
            let sorted: Vec<_> = object.keys().cloned().collect();
            match order.get(&sorted) {
                Some(declared) => {
                    let mut fields = declared.iter().map(|key| (Some(key), &object[key]));
                    list('{', '}', &mut fields);
                }
                None => list(
                    '{',
                    '}',
                    &mut object.iter().map(|(key, value)| (Some(key), value)),
                ),
            }
        }
        _ => out.push_str(&schema.to_string()),
    }
}

#[inline]
fn strict(mut schema: Value, order: Order) -> Result<Strict, String> {
    // Only types that contain themselves remain in the definitions.
    let definitions = match schema.as_object_mut().and_then(|o| o.remove("$defs")) {
        Some(Value::Object(definitions)) => definitions,
        _ => Map::new(),
    };
    let is_wrapped = schema["type"] != "object" || schema.get("anyOf").is_some();
    let root = convert(&schema, "")?;
    if is_wrapped && refers_to_root(&root) {
        return Err("it contains itself, and is no object".to_owned());
    }
    let mut root = if is_wrapped {
        object(&Map::from_iter([(WRAP.to_owned(), root)]))
    } else {
        root
    };
    let mut converted = Map::new();
    for (name, definition) in definitions {
        let definition = convert(&definition, &format!("({name})"))?;
        converted.insert(name, definition);
    }
    if !converted.is_empty() {
        root["$defs"] = converted.into();
    }
    Ok(Strict {
        schema: root,
        order,
        is_wrapped,
    })
}

#[inline]
fn object(properties: &Map<String, Value>) -> Value {
    let required: Vec<_> = properties.keys().cloned().collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

#[inline]
fn convert(schema: &Value, at: &str) -> Result<Value, String> {
    let Some(schema) = schema.as_object() else {
        return Err(problem(at, "may be any value"));
    };
    if let Some(keyword) = IMPOSSIBLE
        .iter()
        .find(|keyword| schema.contains_key(**keyword))
    {
        let what = match *keyword {
            "prefixItems" => "is a tuple",
            _ => return Err(problem(at, &format!("has a schema with `{keyword}`"))),
        };
        return Err(problem(at, what));
    }
    if let Some(reference) = schema.get("$ref") {
        // Nothing may stand beside a `$ref`, not even a description.
        if schema.contains_key("properties") {
            return Err(problem(at, "contains itself in a variant with a tag"));
        }
        return Ok(json!({"$ref": reference}));
    }
    if let Some([only]) = schema
        .get("allOf")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
    {
        let mut merged = convert(only, at)?;
        if let (Some(description), None) = (schema.get("description"), merged.get("$ref")) {
            merged["description"] = description.clone();
        }
        return Ok(merged);
    }
    if schema.contains_key("allOf") {
        return Err(problem(at, "has a schema with `allOf`"));
    }
    let mut out: Map<String, Value> = KEPT
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), schema.get(*key)?.clone())))
        .collect();
    if out
        .get("format")
        .is_some_and(|format| !FORMATS.iter().any(|known| format == known))
    {
        out.remove("format");
    }
    if let Some(variants) = schema.get("anyOf").or_else(|| schema.get("oneOf")) {
        if schema.contains_key("properties") {
            return Err(problem(at, "is an object with a flattened enum"));
        }
        let variants = variants.as_array().into_iter().flatten();
        let variants: Result<Vec<_>, _> = variants.map(|v| convert(v, at)).collect();
        out.remove("type");
        out.insert("anyOf".to_owned(), variants?.into());
        return Ok(out.into());
    }
    if is(schema, "object") {
        out.extend(fields(schema, at)?);
    }
    if is(schema, "array") {
        let items = schema.get("items").unwrap_or(&Value::Null);
        out.insert("items".to_owned(), convert(items, &format!("{at}[]"))?);
    }
    if !["type", "enum", "const"]
        .iter()
        .any(|key| out.contains_key(*key))
    {
        return Err(problem(at, "may be any value"));
    }
    Ok(out.into())
}

/// Converts the fields of an object, and makes the object strict.
#[inline]
fn fields(schema: &Map<String, Value>, at: &str) -> Result<Map<String, Value>, String> {
    match schema.get("additionalProperties") {
        None | Some(Value::Bool(false)) => {}
        Some(_) => return Err(problem(at, "is a map with keys of its own")),
    }
    let mut properties = Map::new();
    let given = schema.get("properties").and_then(Value::as_object);
    for (name, property) in given.into_iter().flatten() {
        let at = if at.is_empty() {
            name.clone()
        } else {
            format!("{at}.{name}")
        };
        properties.insert(name.clone(), convert(property, &at)?);
    }
    let Value::Object(mut strict) = object(&properties) else {
        return Ok(Map::new());
    };
    strict.remove("type"); // It may be nullable.
    Ok(strict)
}

#[inline]
fn is(schema: &Map<String, Value>, name: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(one)) => one == name,
        Some(Value::Array(several)) => several.iter().any(|one| one == name),
        _ => false,
    }
}

#[inline]
fn refers_to_root(schema: &Value) -> bool {
    match schema {
        Value::Object(object) => {
            object.get("$ref").is_some_and(|to| to == "#") || object.values().any(refers_to_root)
        }
        Value::Array(items) => items.iter().any(refers_to_root),
        _ => false,
    }
}

#[inline]
fn problem(at: &str, what: &str) -> String {
    let hint = "which the strict subset of JSON schema for answers does not have";
    if at.is_empty() {
        format!("the answer {what}, {hint}")
    } else {
        format!("field `{at}` {what}, {hint}")
    }
}

#[cfg(test)]
#[path = "strict_schema_tests.rs"]
mod tests;

//! Shapes → Rust types.
//!
//! By now a field's schema is one of a dozen forms: a reference, a scalar, or a list or a map of such. All else was given
//! a name of its own in `shape`.

use std::collections::{BTreeMap, BTreeSet};

use heck::ToSnakeCase;
use serde_json::Value;

use super::{
    Error, Result, fields,
    load::reference,
    model::{Field, Shape, Type, Variant},
    names,
    normalise::without_null,
    schema::{description, required},
    shape::{Kind, Shaped},
};

pub(crate) fn build(shapes: &BTreeMap<String, Shaped>) -> Result<BTreeMap<String, Type>> {
    let boxes = Boxes::new(shapes);
    let mut types = shapes
        .iter()
        .map(|(name, shaped)| Ok((name.clone(), one(name, shaped, shapes, &boxes)?)))
        .collect::<Result<BTreeMap<_, _>>>()?;
    for shaped in shapes.values() {
        if let Kind::Tagged { variants, .. } = &shaped.kind {
            for payload in variants
                .iter()
                .filter_map(|variant| variant.payload.as_ref())
            {
                types
                    .entry(payload.clone())
                    .and_modify(|ty| ty.payload = true);
            }
        }
    }
    Ok(types)
}

fn one(name: &str, shaped: &Shaped, all: &BTreeMap<String, Shaped>, boxes: &Boxes) -> Result<Type> {
    let with = |variant: &Variant, payload: Option<&Value>| Variant {
        payload: payload.map(|schema| boxes.around(name, schema)),
        ..variant.clone()
    };
    let shape = match &shaped.kind {
        Kind::Struct(schema) => Shape::Struct {
            fields: struct_fields(name, schema, all, boxes)?,
            extra: schema.get("additionalProperties").map(rust),
        },
        Kind::Words(variants) => Shape::Words(variants.clone()),
        Kind::Tagged { tag, variants } => Shape::Tagged {
            tag: tag.clone(),
            variants: variants.clone(),
        },
        Kind::Keyed(variants) => Shape::Keyed(
            variants
                .iter()
                .map(|(variant, payload)| with(variant, payload.as_ref()))
                .collect(),
        ),
        Kind::Shaped(variants) => Shape::Shaped(
            variants
                .iter()
                .map(|(variant, forms, payload)| (with(variant, Some(payload)), forms.clone()))
                .collect(),
        ),
        Kind::Text => Shape::Text,
        Kind::Alias(schema) => Shape::Alias(rust(schema)),
    };
    Ok(Type {
        name: name.into(),
        doc: shaped.doc.clone(),
        area: names::area(&shaped.home),
        sent: false,
        payload: false,
        shape,
    })
}

fn struct_fields(
    owner: &str,
    schema: &Value,
    all: &BTreeMap<String, Shaped>,
    boxes: &Boxes,
) -> Result<Vec<Field>> {
    let needed: BTreeSet<&str> = required(schema).collect();
    let mut idents = BTreeSet::new();
    let properties = schema["properties"].as_object().into_iter().flatten();
    properties
        .map(|(wire, property)| {
            let ident = ident(wire);
            if !idents.insert(ident.clone()) {
                return Err(Error::new(format!(
                    "two fields of {owner} want the name {ident}"
                )));
            }
            let ty = boxes.around(owner, &without_null(property).0);
            Ok(Field {
                presence: fields::presence(
                    owner,
                    wire,
                    property,
                    needed.contains(wire.as_str()),
                    all,
                ),
                doc: description(property),
                secret: fields::is_secret(owner, wire, &ty),
                wire: wire.clone(),
                ident,
                ty,
            })
        })
        .collect()
}

/// The Rust type for what a schema describes. What has no type of its own is any JSON value: that decodes whatever comes.
pub(crate) fn rust(schema: &Value) -> String {
    let (plain, nullable) = without_null(schema);
    let ty = not_null(&plain);
    if nullable {
        format!("Option<{ty}>")
    } else {
        ty
    }
}

fn not_null(schema: &Value) -> String {
    if let Some(target) = reference(schema) {
        return target.to_owned();
    }
    let format = schema["format"].as_str();
    match schema["type"].as_str() {
        Some("string") => "String".into(),
        Some("boolean") => "bool".into(),
        Some("integer") => match format {
            Some("int8") => "i8",
            Some("uint8") => "u8",
            Some("int16") => "i16",
            Some("uint16") => "u16",
            Some("int32") => "i32",
            Some("uint32") => "u32",
            Some("uint64") => "u64",
            _ => "i64",
        }
        .into(),
        Some("number") if format == Some("float") => "f32".into(),
        Some("number") => "f64".into(),
        Some("array") => format!("Vec<{}>", rust(&schema["items"])),
        Some("object") => match schema.get("additionalProperties") {
            Some(values) if !fields::is_anything(values) => {
                format!("BTreeMap<String, {}>", rust(values))
            }
            _ => "Map<String, Value>".into(),
        },
        _ => "Value".into(),
    }
}

/// The name of a field as Rust writes it.
fn ident(wire: &str) -> String {
    let name = wire.to_snake_case();
    if KEYWORDS.contains(&name.as_str()) {
        format!("{name}_")
    } else if name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() {
        format!("_{name}")
    } else {
        name
    }
}

/// The keywords of edition 2024, those that are only reserved included.
const KEYWORDS: [&str; 52] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "union", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// Which types hold themselves, which takes a box somewhere on the way round.
struct Boxes {
    /// What each type holds in place: not in a list or a map, which are boxes already.
    holds: BTreeMap<String, BTreeSet<String>>,
}

impl Boxes {
    fn new(shapes: &BTreeMap<String, Shaped>) -> Self {
        let holds = shapes.iter().map(|(name, shaped)| {
            let held: BTreeSet<String> = match &shaped.kind {
                Kind::Struct(schema) => schema["properties"]
                    .as_object()
                    .into_iter()
                    .flatten()
                    .filter_map(|(_, property)| held(property))
                    .collect(),
                Kind::Tagged { variants, .. } => variants
                    .iter()
                    .filter_map(|variant| variant.payload.clone())
                    .collect(),
                Kind::Keyed(variants) => variants
                    .iter()
                    .filter_map(|(_, payload)| held(payload.as_ref()?))
                    .collect(),
                Kind::Shaped(variants) => variants
                    .iter()
                    .filter_map(|(.., payload)| held(payload))
                    .collect(),
                Kind::Alias(schema) => held(schema).into_iter().collect(),
                Kind::Words(_) | Kind::Text => BTreeSet::new(),
            };
            (name.clone(), held)
        });
        Self {
            holds: holds.collect(),
        }
    }

    /// The type of something that `owner` holds.
    fn around(&self, owner: &str, schema: &Value) -> String {
        match reference(schema) {
            Some(target) if self.leads(target, owner) => format!("Box<{target}>"),
            _ => rust(schema),
        }
    }

    /// Whether a value of `from` holds a value of `to`, however deep.
    fn leads(&self, from: &str, to: &str) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![from];
        while let Some(name) = open.pop() {
            if name == to {
                return true;
            }
            if seen.insert(name) {
                open.extend(
                    self.holds
                        .get(name)
                        .into_iter()
                        .flatten()
                        .map(String::as_str),
                );
            }
        }
        false
    }
}

/// The type that a schema refers to without a list or a map between.
fn held(schema: &Value) -> Option<String> {
    reference(&without_null(schema).0).map(String::from)
}

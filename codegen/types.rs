//! Shapes → Rust types. The mapping from a field's schema to its Rust type is typify's.
//!
//! typify gets every struct with all properties required and none nullable, because what may be absent or null is
//! decided in `fields`; every other shape is handed over as a replacement, a name it takes on trust. Payloads of unions
//! travel in a struct made up for the purpose. Of what typify knows then, the types of fields are asked for, with the
//! boxes that break cycles; its output is never written: conversions, embedded schemas and derives would triple the size
//! of the crate.

use std::collections::{BTreeMap, BTreeSet};

use heck::ToSnakeCase;
use serde_json::{Map, Value, json};
use typify::{MapType, TypeDetails, TypeSpace, TypeSpaceSettings};

use super::{
    Error, Result, fields,
    model::{Field, Shape, Type, Variant},
    names,
    normalise::without_null,
    schema::{description, required},
    shape::{Kind, Shaped},
};

/// What the structs that carry payloads are called.
const CARRIER: &str = "PayloadsOf";

pub(crate) fn build(shapes: &BTreeMap<String, Shaped>) -> Result<BTreeMap<String, Type>> {
    let spelled = Spelled::new(shapes)?;
    let mut types = shapes
        .iter()
        .map(|(name, shaped)| Ok((name.clone(), one(name, shaped, shapes, &spelled)?)))
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

fn one(
    name: &str,
    shaped: &Shaped,
    all: &BTreeMap<String, Shaped>,
    spelled: &Spelled,
) -> Result<Type> {
    let with = |variant: &Variant, payload: Option<String>| Variant {
        payload,
        ..variant.clone()
    };
    let carrier = format!("{CARRIER}{name}");
    let payload_type =
        |index: usize| -> Result<String> { Ok(spelled.field(&carrier, &place(index))?.to_owned()) };
    let shape = match &shaped.kind {
        Kind::Struct(schema) => Shape::Struct {
            fields: struct_fields(name, schema, all, spelled)?,
            extra: schema
                .get("additionalProperties")
                .map(|_| spelled.extra(name))
                .transpose()?,
        },
        Kind::Words(variants) => Shape::Words(variants.clone()),
        Kind::Tagged { tag, variants } => Shape::Tagged {
            tag: tag.clone(),
            variants: variants.clone(),
        },
        Kind::Keyed(variants) => Shape::Keyed(
            variants
                .iter()
                .enumerate()
                .map(|(index, (variant, payload))| {
                    let payload = payload.as_ref().map(|_| payload_type(index)).transpose()?;
                    Ok(with(variant, payload))
                })
                .collect::<Result<_>>()?,
        ),
        Kind::Shaped(variants) => Shape::Shaped(
            variants
                .iter()
                .enumerate()
                .map(|(index, (variant, forms, _))| {
                    Ok((with(variant, Some(payload_type(index)?)), forms.clone()))
                })
                .collect::<Result<_>>()?,
        ),
        Kind::Text => Shape::Text,
        Kind::Alias(_) => Shape::Alias(payload_type(0)?),
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
    spelled: &Spelled,
) -> Result<Vec<Field>> {
    let needed: BTreeSet<&str> = required(schema).collect();
    let mut idents = BTreeSet::new();
    properties(schema)
        .map(|(wire, property)| {
            let ident = ident(wire);
            if !idents.insert(ident.clone()) {
                return Err(Error::new(format!(
                    "two fields of {owner} want the name {ident}"
                )));
            }
            let ty = spelled.field(owner, wire)?.to_owned();
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

/// The types of the fields of all structs and carriers, by struct and wire name. Where a struct keeps unknown keys, the
/// map of them is under the empty name.
struct Spelled(BTreeMap<String, BTreeMap<String, String>>);

impl Spelled {
    fn new(shapes: &BTreeMap<String, Shaped>) -> Result<Self> {
        let mut settings = TypeSpaceSettings::default();
        settings.with_map_type(MapType::new("::std::collections::BTreeMap"));
        let mut structs = BTreeMap::new();
        let mut definitions = Map::new();
        for (name, shaped) in shapes {
            if let Kind::Struct(schema) = &shaped.kind {
                structs.insert(name.clone(), plain(schema));
                continue;
            }
            if let Some(carrier) = carrier(&shaped.kind) {
                structs.insert(format!("{CARRIER}{name}"), plain(&carrier));
            }
            settings.with_replacement(name, name, std::iter::empty());
            definitions.insert(name.clone(), Value::Bool(true));
        }
        definitions.extend(
            structs
                .iter()
                .map(|(name, (schema, _))| (name.clone(), schema.clone())),
        );
        let definitions: BTreeMap<String, schemars08::schema::Schema> =
            serde_json::from_value(definitions.into())
                .map_err(|error| Error::new(format!("typify's reader of schemas: {error}")))?;
        let mut space = TypeSpace::new(&settings);
        space
            .add_ref_types(definitions)
            .map_err(|error| refused(&error))?;
        let mut spelled = BTreeMap::new();
        for ty in space.iter_types() {
            let (TypeDetails::Struct(details), Some((_, wires))) =
                (ty.details(), structs.get(&ty.name()))
            else {
                continue;
            };
            let mut wires: Vec<&str> = wires.iter().map(String::as_str).collect();
            let types: Vec<_> = details.properties().map(|(_, id)| id).collect();
            if types.len() > wires.len() {
                wires.push(""); // What is flattened comes last.
            }
            let mut own = BTreeMap::new();
            for (wire, id) in wires.into_iter().zip(types) {
                let ty = space
                    .get_type(&id)
                    .map_err(|error| refused(&error))?
                    .ident()
                    .to_string();
                own.insert(wire.to_owned(), known(short(&ty), shapes));
            }
            spelled.insert(ty.name(), own);
        }
        Ok(Self(spelled))
    }

    fn field(&self, owner: &str, wire: &str) -> Result<&str> {
        let found = self.0.get(owner).and_then(|fields| fields.get(wire));
        let found = found.map(String::as_str);
        found.ok_or_else(|| Error::new(format!("typify gave no field {wire:?} for {owner}")))
    }

    /// The type of the values under keys that a struct does not name.
    fn extra(&self, owner: &str) -> Result<String> {
        let map = self.field(owner, "")?;
        let value = map
            .strip_prefix("BTreeMap<String, ")
            .and_then(|rest| rest.strip_suffix('>'));
        // Without such a prefix it is typify's own name for a map of anything.
        Ok(value.unwrap_or("Value").to_owned())
    }
}

fn refused(error: &typify::Error) -> Error {
    Error::new(format!("typify: {error}"))
}

/// The name of the property in this place.
fn place(index: usize) -> String {
    format!("p{index:03}")
}

/// A struct with the payloads of a union, or with what an alias stands for.
fn carrier(kind: &Kind) -> Option<Value> {
    let payloads: Vec<Option<&Value>> = match kind {
        Kind::Keyed(variants) => variants
            .iter()
            .map(|(_, payload)| payload.as_ref())
            .collect(),
        Kind::Shaped(variants) => variants.iter().map(|(.., payload)| Some(payload)).collect(),
        Kind::Alias(schema) => vec![Some(schema)],
        Kind::Struct(_) | Kind::Words(_) | Kind::Tagged { .. } | Kind::Text => return None,
    };
    let properties: Map<String, Value> = payloads
        .into_iter()
        .enumerate()
        .filter_map(|(index, payload)| Some((place(index), payload?.clone())))
        .collect();
    Some(json!({ "properties": properties }))
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flatten()
}

/// The schema of a struct as typify is to see it: everything there, nothing null, no defaults, and the properties called by
/// their places, since typify gives fields in the order of its own names for them. Also their names, in that order.
fn plain(schema: &Value) -> (Value, Vec<String>) {
    let mut plain = json!({ "type": "object", "properties": {}, "required": [] });
    let mut wires = Vec::new();
    for (name, property) in properties(schema) {
        let mut property = without_null(property).0;
        if let Some(object) = property.as_object_mut() {
            object
                .retain(|key, _| !matches!(key.as_str(), "default" | "description" | "deprecated"));
        }
        let place = place(wires.len());
        plain["properties"][&place] = property;
        wires.push(name.clone());
    }
    plain["required"] = (0..wires.len()).map(place).collect();
    // Without this typify takes an object without properties for a map.
    let extra = schema.get("additionalProperties");
    plain["additionalProperties"] = extra.cloned().unwrap_or(false.into());
    (plain, wires)
}

/// A type, or any JSON value in the place of one that only typify's own output would have: that decodes whatever comes.
fn known(ty: String, shapes: &BTreeMap<String, Shaped>) -> String {
    const COMMON: [&str; 18] = [
        "BTreeMap", "Box", "Map", "Option", "String", "Value", "Vec", "bool", "f32", "f64", "i16",
        "i32", "i64", "i8", "u16", "u32", "u64", "u8",
    ];
    let mut words = ty.split(|c: char| !c.is_alphanumeric() && c != '_');
    let is_known =
        |word: &str| word.is_empty() || COMMON.contains(&word) || shapes.contains_key(word);
    if words.all(is_known) {
        ty
    } else {
        "Value".into()
    }
}

/// A type with its paths cut to their last segment (everything is imported), as one would write it.
fn short(tokens: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    let mut chars = tokens.chars().filter(|c| *c != ' ').peekable();
    while let Some(c) = chars.next() {
        match c {
            ':' => {
                chars.next_if_eq(&':');
                word.clear();
            }
            c if c.is_alphanumeric() || c == '_' => word.push(c),
            c => {
                out.push_str(&word);
                word.clear();
                out.push(c);
                if c == ',' {
                    out.push(' ');
                }
            }
        }
    }
    out + &word
}

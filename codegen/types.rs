//! Turns shapes into Rust types. typify maps the schema of a field to its Rust type.
//!
//! typify gets every struct with all properties required and not nullable, since `fields` decides
//! which may be absent or null. Every other shape is a replacement, a name that typify takes on
//! trust. Payloads of unions are fields of an artificial struct. From typify we take the types of
//! fields, with the boxes that break cycles. Its output is never written: its conversions, embedded
//! schemas and derives would triple the size of the crate.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use typify::{MapType, TypeDetails, TypeSpace, TypeSpaceSettings};

use super::{
    Error, Result, fields,
    model::{Field, Shape, Type, Variant},
    names::{self, Names},
    schema::{description, required, walk},
    shape::{Kind, Shaped},
};

/// The prefix of the artificial structs that carry payloads.
const CARRIER: &str = "PayloadsOf";

/// Builds the types of all shapes. Warns of what they cannot express.
pub(crate) fn build(
    shapes: &BTreeMap<String, Shaped>,
    warnings: &mut Vec<String>,
) -> Result<BTreeMap<String, Type>> {
    let spelled = Spelled::new(shapes, warnings)?;
    let mut types = BTreeMap::new();
    for (name, shaped) in shapes {
        types.insert(name.clone(), one(name, shaped, shapes, &spelled, warnings)?);
    }
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
    warnings: &mut Vec<String>,
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
            fields: struct_fields(name, schema, all, spelled, warnings)?,
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
    warnings: &mut Vec<String>,
) -> Result<Vec<Field>> {
    let needed: BTreeSet<&str> = required(schema).collect();
    // The map of all other keys is a field as well.
    let extra = schema.get("additionalProperties").map(|_| EXTRA.to_owned());
    let mut idents = Names::of(extra.iter());
    let mut fields = Vec::new();
    for (wire, property) in properties(schema) {
        let wanted = names::field(wire);
        let ident = idents.take(&wanted);
        if ident != wanted {
            warnings.push(format!(
                "{owner}: two fields want the name {wanted}; `{wire}` is {ident}"
            ));
        }
        let ty = spelled.field(owner, wire)?.to_owned();
        let required = needed.contains(wire.as_str());
        fields.push(Field {
            presence: fields::presence((owner, wire), property, &ty, required, all),
            doc: description(property),
            secret: fields::is_secret(owner, wire, &ty),
            wire: wire.clone(),
            ident,
            ty,
        });
    }
    Ok(fields)
}

/// The name of the field for all other keys.
const EXTRA: &str = "extra";

/// The types of the fields of all structs and carriers, by struct and wire name. The map of unknown
/// keys has the empty name.
struct Spelled(BTreeMap<String, BTreeMap<String, String>>);

impl Spelled {
    fn new(shapes: &BTreeMap<String, Shaped>, warnings: &mut Vec<String>) -> Result<Self> {
        // typify derives its own names from those it gets, so it gets numbers.
        let numbers: BTreeMap<&str, String> = shapes
            .keys()
            .enumerate()
            .map(|(number, name)| (name.as_str(), format!("T{number}")))
            .collect();
        let mut settings = TypeSpaceSettings::default();
        settings.with_map_type(MapType::new("::std::collections::BTreeMap"));
        let mut structs = BTreeMap::new();
        let mut definitions = Map::new();
        for (name, shaped) in shapes {
            let number = &numbers[name.as_str()];
            if let Kind::Struct(schema) = &shaped.kind {
                structs.insert(
                    number.clone(),
                    (name.clone(), plain(name, schema, &numbers, warnings)),
                );
                continue;
            }
            if let Some(carrier) = carrier(&shaped.kind) {
                let schema = plain(name, &carrier, &numbers, warnings);
                structs.insert(
                    format!("{CARRIER}{number}"),
                    (format!("{CARRIER}{name}"), schema),
                );
            }
            settings.with_replacement(number, number, std::iter::empty());
            definitions.insert(number.clone(), Value::Bool(true));
        }
        let names: BTreeMap<&str, &str> = numbers
            .iter()
            .map(|(name, number)| (number.as_str(), *name))
            .collect();
        definitions.extend(
            structs
                .iter()
                .map(|(number, (_, (schema, _)))| (number.clone(), schema.clone())),
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
            let (TypeDetails::Struct(details), Some((owner, (_, wires)))) =
                (ty.details(), structs.get(&ty.name()))
            else {
                continue;
            };
            let mut wires: Vec<&str> = wires.iter().map(String::as_str).collect();
            let types: Vec<_> = details.properties().map(|(_, id)| id).collect();
            if types.len() > wires.len() {
                wires.push(""); // The flattened map comes last.
            }
            let mut own = BTreeMap::new();
            for (wire, id) in wires.into_iter().zip(types) {
                let ty = space
                    .get_type(&id)
                    .map_err(|error| refused(&error))?
                    .ident()
                    .to_string();
                own.insert(wire.to_owned(), known(&short(&ty), &names));
            }
            spelled.insert(owner.clone(), own);
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
        // Without this prefix it is typify's own name for a map of any values.
        Ok(value.unwrap_or("Value").to_owned())
    }
}

fn refused(error: &typify::Error) -> Error {
    Error::new(format!("typify: {error}"))
}

/// The name of the property at this position.
fn place(index: usize) -> String {
    format!("p{index:03}")
}

/// A struct with the payloads of a union, or with the target of an alias.
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

/// The schema of a struct for typify: all properties required, not nullable, without defaults, and
/// named by their position, since typify orders fields by its own names for them. Also returns
/// their names, in that order.
fn plain(
    owner: &str,
    schema: &Value,
    numbers: &BTreeMap<&str, String>,
    warnings: &mut Vec<String>,
) -> (Value, Vec<String>) {
    let known = |name: &str| numbers.contains_key(name);
    let mut odd = |field: &str| {
        warnings.push(format!(
            "{owner}: the schema of {field:?} is none that the generator knows; it is a plain JSON value"
        ));
    };
    let own = schema["properties"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    let own = super::plain::properties(&own, &known, &mut odd);
    let wires: Vec<String> = own.keys().cloned().collect();
    let properties: Map<String, Value> = own
        .into_values()
        .enumerate()
        .map(|(index, property)| (place(index), property))
        .collect();
    // Without `false` typify takes an object without properties for a map.
    let extra = schema
        .get("additionalProperties")
        .map_or(Value::Bool(false), |extra| {
            super::plain::plain(extra, &known).unwrap_or_else(|| {
                odd("additionalProperties");
                json!({})
            })
        });
    let extra = if extra == Value::Bool(true) {
        json!({})
    } else {
        extra
    };
    let required: Vec<String> = properties.keys().cloned().collect();
    let mut plain = json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": extra,
    });
    walk(&mut plain, &mut |schema| {
        if let Some(number) = schema
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|target| target.rsplit('/').next())
            .and_then(|name| numbers.get(name))
        {
            schema.insert("$ref".into(), format!("#/definitions/{number}").into());
        }
    });
    (plain, wires)
}

/// A type in terms of names of the schema. A type that only typify's output would have becomes any
/// JSON value, which decodes everything.
fn known(ty: &str, names: &BTreeMap<&str, &str>) -> String {
    const COMMON: [&str; 18] = [
        "BTreeMap", "Box", "Map", "Option", "String", "Value", "Vec", "bool", "f32", "f64", "i16",
        "i32", "i64", "i8", "u16", "u32", "u64", "u8",
    ];
    let mut out = String::new();
    for part in ty.split_inclusive(|c: char| !c.is_alphanumeric() && c != '_') {
        let word = part.trim_end_matches(|c: char| !c.is_alphanumeric() && c != '_');
        match names.get(word) {
            Some(name) => out.push_str(name),
            None if word.is_empty() || COMMON.contains(&word) => out.push_str(word),
            None => return "Value".into(),
        }
        out.push_str(&part[word.len()..]);
    }
    out
}

/// A type with its paths cut to their last segment, since everything is imported.
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

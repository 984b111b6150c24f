//! Shapes → Rust types. The mapping from a field's schema to its Rust type is typify's.
//!
//! typify gets every struct with all properties required and none nullable, because what may be absent or null is
//! decided in `fields`; every other shape is handed over as a replacement, a name it takes on trust. Payloads of unions
//! travel in a struct made up for the purpose. From typify's output we take field names, types and the boxes that break
//! cycles, and leave the rest (conversions, embedded schemas, derives), which would triple the size of the crate.

use std::collections::{BTreeMap, BTreeSet};

use quote::ToTokens;
use serde_json::{Value, json};
use typify::{MapType, TypeSpace, TypeSpaceSettings};

use super::{
    Error, Result, fields,
    model::{Field, Shape, Type, Variant},
    names,
    normalise::without_null,
    shape::{self, Kind, Shaped},
};

/// What the structs that carry payloads are called.
const CARRIER: &str = "PayloadsOf";

pub(crate) fn build(shapes: &BTreeMap<String, Shaped>) -> Result<BTreeMap<String, Type>> {
    let structs = rust_structs(shapes)?;
    shapes
        .iter()
        .map(|(name, shaped)| Ok((name.clone(), one(name, shaped, shapes, &structs)?)))
        .collect()
}

/// A field of a struct as typify has it: identifier and type by wire name.
type Fields = BTreeMap<String, (String, String)>;

fn one(
    name: &str,
    shaped: &Shaped,
    all: &BTreeMap<String, Shaped>,
    structs: &BTreeMap<String, Fields>,
) -> Result<Type> {
    let lookup = |owner: &str, wire: &str| {
        let found = structs.get(owner).and_then(|fields| fields.get(wire));
        found
            .cloned()
            .ok_or_else(|| Error::new(format!("typify gave no field {wire} for {owner}")))
    };
    let carried = |index: usize| Ok(lookup(&format!("{CARRIER}{name}"), &format!("p{index}"))?.1);
    let with = |variant: &Variant, payload| Variant {
        payload,
        ..variant.clone()
    };
    let shape = match &shaped.kind {
        Kind::Struct(schema) => {
            let required: BTreeSet<&str> = shape::required(schema).collect();
            let mut list = Vec::new();
            for (wire, property) in schema["properties"].as_object().into_iter().flatten() {
                let (ident, ty) = lookup(name, wire)?;
                list.push(Field {
                    presence: fields::presence(
                        name,
                        wire,
                        property,
                        required.contains(wire.as_str()),
                        all,
                    ),
                    doc: shape::description(property),
                    secret: fields::is_secret(name, wire, &ty),
                    wire: wire.clone(),
                    ident,
                    ty,
                });
            }
            let extra = schema
                .get("additionalProperties")
                .map(|_| lookup(name, "").map(|(_, ty)| ty))
                .transpose()?;
            Shape::Struct {
                fields: list,
                extra,
            }
        }
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
                    Ok(with(
                        variant,
                        payload.as_ref().map(|_| carried(index)).transpose()?,
                    ))
                })
                .collect::<Result<_>>()?,
        ),
        Kind::Shaped(variants) => Shape::Shaped(
            variants
                .iter()
                .enumerate()
                .map(|(index, (variant, forms, _))| {
                    Ok((with(variant, Some(carried(index)?)), forms.clone()))
                })
                .collect::<Result<_>>()?,
        ),
        Kind::Text => Shape::Text,
        Kind::Alias(_) => Shape::Alias(carried(0)?),
    };
    Ok(Type {
        name: name.into(),
        doc: shaped.doc.clone(),
        area: names::area(&shaped.home),
        sent: false,
        shape,
    })
}

/// Runs typify over all structs and carriers.
fn rust_structs(shapes: &BTreeMap<String, Shaped>) -> Result<BTreeMap<String, Fields>> {
    let mut settings = TypeSpaceSettings::default();
    settings.with_map_type(MapType::new("::std::collections::BTreeMap"));
    let mut definitions = BTreeMap::new();
    for (name, shaped) in shapes {
        let carry = |payloads: Vec<(usize, &Value)>| {
            let properties = payloads
                .into_iter()
                .map(|(index, schema)| (format!("p{index}"), schema.clone()));
            json!({ "type": "object", "properties": properties.collect::<serde_json::Map<_, _>>() })
        };
        let carrier = match &shaped.kind {
            Kind::Struct(schema) => {
                definitions.insert(name.clone(), plain(schema));
                continue;
            }
            Kind::Keyed(variants) => carry(
                variants
                    .iter()
                    .enumerate()
                    .filter_map(|(i, (_, payload))| Some((i, payload.as_ref()?)))
                    .collect(),
            ),
            Kind::Shaped(variants) => carry(
                variants
                    .iter()
                    .enumerate()
                    .map(|(i, (.., payload))| (i, payload))
                    .collect(),
            ),
            Kind::Alias(schema) => carry(vec![(0, schema)]),
            Kind::Words(_) | Kind::Tagged { .. } | Kind::Text => Value::Null,
        };
        if !carrier.is_null() {
            definitions.insert(format!("{CARRIER}{name}"), plain(&carrier));
        }
        settings.with_replacement(name, name, std::iter::empty());
        definitions.insert(name.clone(), Value::Bool(true));
    }
    let definitions: Vec<_> = definitions
        .into_iter()
        .map(|(name, schema)| {
            Ok((
                name,
                serde_json::from_value::<schemars08::schema::Schema>(schema)?,
            ))
        })
        .collect::<std::result::Result<_, serde_json::Error>>()
        .map_err(|error| Error::new(format!("typify's reader of schemas: {error}")))?;
    let mut space = TypeSpace::new(&settings);
    space
        .add_ref_types(definitions)
        .map_err(|error| Error::new(format!("typify: {error}")))?;
    let file: syn::File = syn::parse2(space.to_stream())
        .map_err(|error| Error::new(format!("typify's output: {error}")))?;
    file.items
        .iter()
        .filter_map(|item| match item {
            syn::Item::Struct(item) => Some(Ok((item.ident.to_string(), rust_fields(item)))),
            _ => None,
        })
        .collect()
}

/// The schema of a struct as typify is to see it: everything there, nothing null, no defaults.
fn plain(schema: &Value) -> Value {
    let mut plain = json!({ "type": "object" });
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let mut property = without_null(property).0;
        if let Some(object) = property.as_object_mut() {
            object
                .retain(|key, _| !matches!(key.as_str(), "default" | "description" | "deprecated"));
        }
        plain["properties"][name] = property;
    }
    match schema.get("additionalProperties") {
        Some(extra) => plain["additionalProperties"] = extra.clone(),
        // Without this typify takes an object without properties for a map.
        None => plain["additionalProperties"] = false.into(),
    }
    plain["required"] = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect();
    plain
}

fn rust_fields(item: &syn::ItemStruct) -> Fields {
    let mut fields = Fields::new();
    for field in &item.fields {
        let Some(ident) = &field.ident else { continue };
        let mut wire = ident.to_string();
        for attr in field
            .attrs
            .iter()
            .filter(|attr| attr.path().is_ident("serde"))
        {
            // `flatten` has no wire name, and is found under the empty one.
            let _ = attr.parse_nested_meta(|meta| {
                if meta.path.is_ident("rename") {
                    wire = meta.value()?.parse::<syn::LitStr>()?.value();
                } else if meta.path.is_ident("flatten") {
                    wire = String::new();
                } else if meta.input.peek(syn::Token![=]) {
                    meta.value()?.parse::<syn::Expr>()?;
                }
                Ok(())
            });
        }
        let ty = if wire.is_empty() {
            map_value(&field.ty)
        } else {
            short(&field.ty)
        };
        fields.insert(wire, (ident.to_string(), ty));
    }
    fields
}

/// The value type of a map.
fn map_value(ty: &syn::Type) -> String {
    let text = short(ty);
    match text
        .strip_prefix("BTreeMap<String, ")
        .and_then(|rest| rest.strip_suffix('>'))
    {
        Some(value) => value.to_owned(),
        // typify's own name for a map of anything.
        None => "Value".to_owned(),
    }
}

/// A type with its paths cut to their last segment (everything is imported), as one would write it.
fn short(ty: &syn::Type) -> String {
    let text = ty.to_token_stream().to_string().replace(' ', "");
    let mut out = String::new();
    let mut word = String::new();
    let mut chars = text.chars().peekable();
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

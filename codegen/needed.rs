//! The generated types that the crate's own code uses, and their substitutes for schemas without
//! them.
//!
//! **[`list`] is the only list.** Code in `src/` may use a generated type that is listed there, with
//! the listed fields and variants, as if every schema had it. If another schema (`CAS_SCHEMA_DIR`,
//! `CAS_CODEX`) lacks it or has something else under its name, the build takes it from the schema
//! in the repository and warns. Run time is unaffected: the server refuses a method that it does
//! not know, does not send a field that it does not have, and ignores one that it does not read.
//! `schema::contract` tells beforehand.
//!
//! Code in `src/` must not name a type that is not listed; `tests/needed.rs` checks that. When the
//! renewed schema in the repository lacks something listed, the build ends with an error that names
//! it.

mod list;

use std::collections::BTreeSet;

pub(crate) use list::{METHODS, TYPES};
use serde_json::{Value, json};

use super::{
    Error, Result,
    load::{Bundle, Definitions, Method, Params, reference},
    methods,
    model::{self, Model, Shape, Type},
    normalise,
    schema::{branches, walk, words},
};

/// The schema in the repository, which substitutes what another one lacks.
pub(crate) struct Ours {
    bundle: Bundle,
    model: Model,
}

impl Ours {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let bundle = Bundle::parse(text, "schema/")?;
        let model = model_of(&bundle)?;
        check(&bundle, &model)?;
        Ok(Self { bundle, model })
    }
}

/// The needed part that a schema lacks of a type.
enum Lack {
    /// The type is missing or of another kind.
    All,
    /// These fields or variants are missing.
    Parts(Vec<String>),
}

/// Checks that the schema in the repository has everything listed.
pub(crate) fn check(bundle: &Bundle, model: &Model) -> Result<()> {
    let missing = |what: &str| {
        Error::new(format!(
            "codegen/needed/list.rs lists {what}, which the schema no longer has: remove its uses from src/ and take it off the \
             list"
        ))
    };
    for (name, parts) in TYPES {
        let ty = model.types.get(name).ok_or_else(|| missing(name))?;
        let known = parts_of(ty);
        if let Some(part) = parts
            .iter()
            .find(|part| **part != "*" && !known.contains(**part))
        {
            return Err(missing(&format!("{name}.{part}")));
        }
    }
    match METHODS
        .iter()
        .find(|name| !bundle.methods.iter().any(|method| method.name == **name))
    {
        Some(method) => Err(missing(method)),
        None => Ok(()),
    }
}

/// How often missing types are put back before the schema counts as one that the crate cannot be built with.
const ROUNDS: usize = 8;

/// Adds to a schema what it lacks and the crate's own code uses. Returns warnings.
pub(crate) fn keep(theirs: &mut Bundle, ours: &Ours, origin: &str) -> Result<Vec<String>> {
    let Ours {
        bundle: ours,
        model: our_model,
    } = ours;
    let mut warnings = Vec::new();
    keep_methods(theirs, ours, &mut warnings);
    // A method may name another response there, but the code in `src/` makes the one of the schema in the repository.
    let names = TYPES.iter().map(|(name, _)| *name);
    let made = names.filter(|name| our_model.types.get(*name).is_some_and(|ty| ty.sent));
    theirs.made.extend(made.map(str::to_owned));
    // A part that needs further definitions makes the next round put back the whole type, and that may change others.
    let mut lacking = Vec::new();
    for round in 0..ROUNDS {
        let their_model = model_of(theirs)?;
        let lacks: Vec<(&str, Lack)> = TYPES
            .iter()
            .filter_map(|(name, parts)| {
                let ours = our_model.types.get(*name)?;
                Some((*name, lack(ours, their_model.types.get(*name), parts)?))
            })
            .collect();
        if lacks.is_empty() {
            return Ok(warnings);
        }
        lacking = lacks.iter().map(|(name, _)| *name).collect();
        for (name, lack) in lacks {
            let what = match &lack {
                Lack::Parts(parts) if round == 0 && ours.definitions.contains_key(name) => {
                    put_back_parts(&mut theirs.definitions, &ours.definitions, name, parts);
                    format!("{name} ({})", parts.join(", "))
                }
                _ => {
                    let definition = defined_by(name, &ours.definitions);
                    put_back(&mut theirs.definitions, &ours.definitions, definition);
                    name.to_owned()
                }
            };
            warnings.push(format!(
                "{origin}: the crate's own code needs {what} as in its own schema, from which it is taken; the server may \
                 know nothing of it"
            ));
        }
        fill_in(&mut theirs.definitions, &ours.definitions);
    }
    Err(Error::new(format!(
        "{}: the crate's own code can't be built with these types: {}; build with the schema in the repository (unset \
         CAS_SCHEMA_DIR and CAS_CODEX), which serves other versions of codex too",
        origin,
        lacking.join(", ")
    )))
}

/// The definition that a type comes from: its own, or for a member of a union that of the union, whose name ends it.
fn defined_by<'n>(name: &'n str, definitions: &'n Definitions) -> &'n str {
    if definitions.contains_key(name) {
        return name;
    }
    let unions = definitions.keys().filter(|union| name.ends_with(*union));
    unions
        .max_by_key(|union| union.len())
        .map_or(name, String::as_str)
}

pub(crate) fn model_of(bundle: &Bundle) -> Result<Model> {
    let mut definitions = bundle.definitions.clone();
    normalise::normalise(&mut definitions);
    let mut model = model::of(&definitions, &mut Vec::new())?;
    methods::bind(bundle, &BTreeSet::new(), &mut model);
    Ok(model)
}

fn keep_methods(theirs: &mut Bundle, ours: &Bundle, warnings: &mut Vec<String>) {
    for name in METHODS {
        let Some(needed) = ours.methods.iter().find(|method| method.name == name) else {
            continue;
        };
        let is_it = |method: &&mut Method| method.name == name && method.kind == needed.kind;
        match theirs.methods.iter_mut().find(is_it) {
            Some(method) if method.params == needed.params => {}
            Some(method) => {
                warnings.push(format!(
                    "the params of {name} are not those that the crate's own code sends; the server may refuse them"
                ));
                method.params = needed.params.clone();
            }
            None => {
                warnings.push(format!(
                    "the schema has no {name}, which the crate's own code calls; the server will refuse it"
                ));
                theirs.methods.push(Method {
                    kept: true,
                    ..needed.clone()
                });
            }
        }
        if let Params::Type { name: params, .. } = &needed.params {
            let stem = params.strip_suffix("Params").unwrap_or(params);
            for name in [params.clone(), format!("{stem}Response")] {
                if !theirs.definitions.contains_key(&name) && ours.definitions.contains_key(&name) {
                    put_back(&mut theirs.definitions, &ours.definitions, &name);
                }
            }
        }
    }
    fill_in(&mut theirs.definitions, &ours.definitions);
}

/// The wire names of the fields or variants of a type.
fn parts_of(ty: &Type) -> BTreeSet<&str> {
    match &ty.shape {
        Shape::Struct { fields, .. } => fields.iter().map(|field| field.wire.as_str()).collect(),
        Shape::Words(variants) | Shape::Keyed(variants) | Shape::Tagged { variants, .. } => {
            variants
                .iter()
                .map(|variant| variant.wire.as_str())
                .collect()
        }
        Shape::Shaped(variants) => variants.iter().map(|(v, _)| v.name.as_str()).collect(),
        Shape::Text | Shape::Newtype(_) | Shape::Alias(_) => BTreeSet::new(),
    }
}

fn lack(ours_type: &Type, theirs: Option<&Type>, parts: &[&str]) -> Option<Lack> {
    let Some(theirs) = theirs else {
        return Some(Lack::All);
    };
    let wanted = |wire: &str| parts.contains(&"*") || parts.contains(&wire);
    let variants = |ours: &[model::Variant], theirs: &[model::Variant]| {
        let same = |a: &model::Variant, b: &model::Variant| {
            (&a.name, &a.wire, &a.payload) == (&b.name, &b.wire, &b.payload)
        };
        ours.iter()
            .filter(|ours| wanted(&ours.wire) && !theirs.iter().any(|theirs| same(ours, theirs)))
            .map(|variant| variant.wire.clone())
            .collect()
    };
    let missing: Vec<String> = match (&ours_type.shape, &theirs.shape) {
        (Shape::Struct { fields: ours, .. }, Shape::Struct { fields: theirs, .. }) => {
            let sent = ours_type.sent;
            let same = |a: &model::Field, b: &model::Field| {
                let needed = !sent || a.needed() == b.needed();
                needed && (&a.wire, &a.ident, a.full_type()) == (&b.wire, &b.ident, b.full_type())
            };
            // Every use includes the fields that the constructor takes.
            let surplus = theirs.iter().filter(|theirs| {
                sent && theirs.needed()
                    && !parts.is_empty()
                    && !ours.iter().any(|ours| ours.wire == theirs.wire)
            });
            let surplus = surplus.map(|field| field.wire.clone());
            ours.iter()
                .filter(|ours| {
                    wanted(&ours.wire) && !theirs.iter().any(|theirs| same(ours, theirs))
                })
                .map(|field| field.wire.clone())
                .chain(surplus)
                .collect()
        }
        (Shape::Words(ours), Shape::Words(theirs)) | (Shape::Keyed(ours), Shape::Keyed(theirs)) => {
            variants(ours, theirs)
        }
        (
            Shape::Tagged {
                tag: a,
                variants: ours,
            },
            Shape::Tagged {
                tag: b,
                variants: theirs,
            },
        ) if a == b => variants(ours, theirs),
        (Shape::Text, Shape::Text) => Vec::new(),
        (Shape::Alias(ours), Shape::Alias(theirs)) if ours == theirs => Vec::new(),
        (Shape::Shaped(ours), Shape::Shaped(theirs)) => {
            let list = |variants: &[(model::Variant, Vec<model::Form>)]| -> Vec<model::Variant> {
                variants
                    .iter()
                    .map(|(variant, _)| model::Variant {
                        wire: variant.name.clone(),
                        ..variant.clone()
                    })
                    .collect()
            };
            variants(&list(ours), &list(theirs))
        }
        _ => return Some(Lack::All),
    };
    (!missing.is_empty()).then_some(Lack::Parts(missing))
}

fn put_back(theirs: &mut Definitions, ours: &Definitions, name: &str) {
    if let Some(definition) = ours.get(name) {
        theirs.insert(name.to_owned(), definition.clone());
    }
}

/// Adds missing fields or variants to a definition.
fn put_back_parts(theirs: &mut Definitions, ours: &Definitions, name: &str, parts: &[String]) {
    let (Some(own), Some(definition)) = (ours.get(name), theirs.get_mut(name)) else {
        return put_back(theirs, ours, name);
    };
    for part in parts {
        let property = own["properties"].get(part);
        if let (Some(own_branches), None) = (branches(own), property) {
            let has = |branch: &&Value| branch.to_string().contains(&json!(part).to_string());
            let word = ["oneOf", "anyOf"]
                .into_iter()
                .find(|word| definition[*word].is_array());
            match (own_branches.iter().find(has), word) {
                (Some(branch), Some(word)) => {
                    if let Some(branches) = definition[word].as_array_mut() {
                        branches.retain(|other| tag_is(other, part).is_none());
                        branches.push(branch.clone());
                    }
                }
                _ => definition.clone_from(own),
            }
        } else if let Some(values) = definition["enum"].as_array_mut() {
            values.push(part.as_str().into());
        } else {
            put_back_property(definition, own, part);
        }
    }
}

/// Whether a branch is that of this variant.
fn tag_is(branch: &Value, part: &str) -> Option<()> {
    let properties = branch["properties"].as_object()?;
    properties
        .values()
        .any(|property| words(property).is_some_and(|w| w.len() == 1 && w[0].wire == part))
        .then_some(())
}

fn put_back_property(definition: &mut Value, own: &Value, part: &str) {
    let is_required = |schema: &Value| {
        schema["required"]
            .as_array()
            .is_some_and(|names| names.iter().any(|name| name == part))
    };
    let required = is_required(own);
    let Some(property) = own["properties"].get(part) else {
        // A required field that our code does not know, and so cannot pass to the constructor.
        if let Some(names) = definition["required"].as_array_mut() {
            names.retain(|name| name != part);
        }
        return;
    };
    let mut property = property.clone();
    if let Some(names) = definition.get_mut("required").and_then(Value::as_array_mut) {
        names.retain(|name| name != part);
    }
    let is_new = definition["properties"].get(part).is_none();
    // A server that does not know the field does not send it. Received values get the blank value.
    let blank = blank(&property).filter(|_| is_new);
    if let (true, Some(blank), Some(object)) = (required, blank.clone(), property.as_object_mut()) {
        object.insert("default".into(), blank);
    } else if required {
        match definition.get_mut("required").and_then(Value::as_array_mut) {
            Some(names) => names.push(part.into()),
            None => definition["required"] = json!([part]),
        }
    }
    if let Some(object) = property.as_object_mut() {
        object.remove("title");
    }
    if !definition["properties"].is_object() {
        definition["properties"] = json!({});
    }
    definition["properties"][part] = property;
}

fn blank(property: &Value) -> Option<Value> {
    Some(match property["type"].as_str()? {
        "string" => "".into(),
        "boolean" => false.into(),
        "integer" => 0.into(),
        "array" => json!([]),
        _ => return None,
    })
}

/// Copies missing definitions until every reference is resolved.
fn fill_in(theirs: &mut Definitions, ours: &Definitions) {
    loop {
        let mut missing = BTreeSet::new();
        for definition in theirs.values_mut() {
            walk(definition, &mut |schema| {
                let schema = Value::Object(schema.clone());
                if let Some(name) = reference(&schema)
                    && ours.contains_key(name)
                {
                    missing.insert(name.to_owned());
                }
            });
        }
        missing.retain(|name| !theirs.contains_key(name));
        if missing.is_empty() {
            return;
        }
        for name in missing {
            put_back(theirs, ours, &name);
        }
    }
}

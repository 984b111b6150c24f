//! Classifies definitions into shapes, the kinds of Rust types, and gives inline types names.
//!
//! Openness is decided here: every string enum and every union becomes a shape with room for values
//! that the schema does not have.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};

use super::{
    forms,
    load::{Definitions, reference},
    model::{Form, Variant},
    names::{self, Names},
    normalise::without_null,
    schema::{
        branches, description, is_catch_all, is_keyed, needs_name, only_property, required,
        single_word, tag, words,
    },
};

/// A classified definition, whose inner schemas refer to names only.
#[derive(Clone, Debug)]
pub(crate) struct Shaped {
    pub(crate) doc: Option<String>,
    /// The name that decides the module: the payload of a variant is beside its union.
    pub(crate) home: String,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// The schema of an object with `properties`.
    Struct(Value),
    Words(Vec<Variant>),
    Tagged {
        tag: String,
        variants: Vec<Variant>,
    },
    /// With the schema of each payload.
    Keyed(Vec<(Variant, Option<Value>)>),
    Shaped(Vec<(Variant, Vec<Form>, Value)>),
    Text,
    Alias(Value),
}

/// Names for variants that the schema does not name.
const NAMES: [(&str, &str, &str); 1] = [("AccountSessionsSwitchResponse", "AuthUrl", "Login")];

/// Classifies all definitions. Warns of what the types cannot express.
pub(crate) fn classify(
    definitions: &Definitions,
    warnings: &mut Vec<String>,
) -> BTreeMap<String, Shaped> {
    let mut pass = Pass {
        definitions,
        names: Names::of(definitions.keys()),
        warnings,
        queue: VecDeque::new(),
        done: BTreeMap::new(),
    };
    pass.queue.extend(
        definitions
            .iter()
            .map(|(name, schema)| (name.clone(), name.clone(), schema.clone())),
    );
    while let Some((name, home, schema)) = pass.queue.pop_front() {
        let doc = description(&schema);
        let kind = pass.kind(&name, &home, schema);
        pass.done.insert(name, Shaped { doc, home, kind });
    }
    pass.done
}

struct Pass<'a> {
    definitions: &'a Definitions,
    /// Of all types.
    names: Names,
    queue: VecDeque<(String, String, Value)>,
    done: BTreeMap<String, Shaped>,
    warnings: &'a mut Vec<String>,
}

impl Pass<'_> {
    fn kind(&mut self, name: &str, home: &str, mut schema: Value) -> Kind {
        if let Some(words) = words(&schema) {
            return Kind::Words(self.unique(name, words, wire));
        }
        if let Some(branches) = branches(&schema) {
            if schema["properties"]
                .as_object()
                .is_some_and(|own| !own.is_empty())
            {
                self.warnings.push(format!(
                    "{name}: properties beside alternatives that can't have them; it is a plain JSON value"
                ));
                return Kind::Alias(true.into());
            }
            // A branch for any string or any object is the schema's way to say "and others".
            let branches: Vec<Value> = branches
                .iter()
                .filter(|branch| !is_catch_all(branch))
                .cloned()
                .collect();
            // Only a variant with properties of its own can be a variant of a tagged union.
            let is_flat = |branch: &Value| super::schema::branches(branch).is_none();
            if let Some(tag) = tag(&branches).filter(|_| branches.iter().all(is_flat)) {
                return self.tagged(name, home, &tag, &branches);
            }
            if is_keyed(&branches) {
                return self.keyed(name, home, &branches);
            }
            return self.shaped(name, home, &branches);
        }
        if schema["type"] == "string" {
            return Kind::Text;
        }
        let is_object = schema.get("type").is_none_or(|ty| ty == "object");
        if is_object && schema["properties"].is_object() {
            for (field, property) in schema["properties"].as_object_mut().into_iter().flatten() {
                self.lift(name, home, field, property);
            }
            if let Some(extra) = schema.get_mut("additionalProperties") {
                self.lift(name, home, "extra", extra);
            }
            return Kind::Struct(schema);
        }
        let (plain, nullable) = without_null(&schema);
        if needs_name(&plain) && !nullable {
            // Otherwise naming inline types would never end.
            self.warnings.push(format!(
                "{name}: neither an object nor alternatives, but with properties; it is a plain JSON value"
            ));
            return Kind::Alias(true.into());
        }
        self.lift(name, home, "item", &mut schema);
        Kind::Alias(schema)
    }

    fn tagged(&mut self, name: &str, home: &str, tag: &str, branches: &[Value]) -> Kind {
        let mut variants = Vec::new();
        for branch in branches {
            let wire = single_word(&branch["properties"][tag]).unwrap_or_default();
            let mut variant = Variant {
                name: names::variant(wire),
                wire: wire.into(),
                payload: None,
                doc: description(branch),
            };
            let mut fields = branch.clone();
            if let Some(properties) = fields["properties"].as_object_mut() {
                properties.remove(tag);
            }
            if let Some(required) = fields["required"].as_array_mut() {
                required.retain(|field| field != tag);
            }
            if let Some(object) = fields.as_object_mut() {
                object.remove("additionalProperties");
            }
            if fields["properties"]
                .as_object()
                .is_some_and(|properties| !properties.is_empty())
            {
                variant.payload = Some(self.name_payload(name, home, &variant.name, fields));
            }
            variants.push(variant);
        }
        Kind::Tagged {
            tag: tag.into(),
            variants: self.unique(name, variants, wire),
        }
    }

    fn keyed(&mut self, name: &str, home: &str, branches: &[Value]) -> Kind {
        let mut variants = Vec::new();
        for branch in branches {
            if let Some(words) = words(branch) {
                variants.extend(words.into_iter().map(|word| (word, None)));
            } else if let Some((wire, payload)) = only_property(branch) {
                let variant = Variant {
                    name: names::variant(wire),
                    wire: wire.clone(),
                    payload: None,
                    doc: description(branch),
                };
                let mut payload = payload.clone();
                if needs_name(&payload) {
                    let lifted = self.name_payload(name, home, &variant.name, payload);
                    payload = to(&lifted);
                } else {
                    self.lift(name, home, wire, &mut payload);
                }
                variants.push((variant, Some(payload)));
            }
        }
        let mut seen = BTreeSet::new();
        variants.retain(|(variant, _)| seen.insert(variant.wire.clone()));
        Kind::Keyed(self.unique(name, variants, |(variant, _)| variant))
    }

    fn shaped(&mut self, name: &str, home: &str, branches: &[Value]) -> Kind {
        // A union that is its own alternative consists of the others.
        let others: Vec<Value> = branches
            .iter()
            .filter(|branch| reference(branch) != Some(name))
            .cloned()
            .collect();
        let branches = &others;
        let names = shaped_names(name, branches);
        let mut variants = Vec::new();
        let forms = forms::of(self.definitions, branches);
        for ((branch, variant_name), forms) in branches.iter().zip(names).zip(forms) {
            let mut payload = branch.clone();
            if needs_name(&payload) {
                payload = to(&self.name_payload(name, home, &variant_name, payload));
            } else {
                self.lift(name, home, &variant_name, &mut payload);
            }
            let variant = Variant {
                name: variant_name,
                wire: String::new(),
                payload: None,
                doc: description(branch),
            };
            variants.push((variant, forms, payload));
        }
        Kind::Shaped(self.unique(name, variants, |(variant, ..)| variant))
    }

    /// Gives each variant a unique name.
    fn unique<T>(
        &mut self,
        union: &str,
        mut variants: Vec<T>,
        variant: impl Fn(&mut T) -> &mut Variant,
    ) -> Vec<T> {
        let mut taken = Names::of([String::from("Unknown")].iter());
        for entry in &mut variants {
            let variant = variant(entry);
            let name = taken.take(&variant.name);
            if name != variant.name {
                self.warnings.push(format!(
                    "{union}: two variants want the name {}; `{}` is {name}",
                    variant.name, variant.wire
                ));
                variant.name = name;
            }
        }
        variants
    }

    fn name_payload(&mut self, union: &str, home: &str, variant: &str, schema: Value) -> String {
        let mut name = names::payload(variant, union);
        if self.definitions.contains_key(&name) {
            name = format!("{variant}{union}");
        }
        let name = self.names.take(&names::ty(&name));
        self.queue.push_back((name.clone(), home.into(), schema));
        name
    }

    /// Moves every inline schema that needs a Rust type of its own into a definition.
    fn lift(&mut self, owner: &str, home: &str, field: &str, schema: &mut Value) {
        let (plain, nullable) = without_null(schema);
        if needs_name(&plain) {
            let name = self.names.take(&names::nested(owner, field));
            let mut reference = to(&name);
            self.queue.push_back((name, home.into(), plain));
            if nullable {
                reference = json!({ "anyOf": [reference, { "type": "null" }] });
            }
            for word in ["description", "default"] {
                if let Some(value) = schema.get(word) {
                    reference[word] = value.clone();
                }
            }
            *schema = reference;
            return;
        }
        for word in ["items", "additionalProperties"] {
            if let Some(inner) = schema.get_mut(word) {
                self.lift(owner, home, field, inner);
            }
        }
    }
}

fn to(name: &str) -> Value {
    json!({ "$ref": format!("#/definitions/{name}") })
}

fn shaped_names(union: &str, branches: &[Value]) -> Vec<String> {
    let all: Vec<&str> = branches
        .iter()
        .filter_map(reference)
        .chain([union])
        .collect();
    let mut referenced = names::without_common_ends(&all).into_iter();
    let keys: Vec<BTreeSet<&str>> = branches
        .iter()
        .map(|branch| required(branch).collect())
        .collect();
    let name = |(index, branch): (usize, &Value)| match branch["type"].as_str() {
        _ if reference(branch).is_some() => referenced.next().unwrap_or_default(),
        Some("string") => "Text".into(),
        Some("integer") => "Integer".into(),
        Some("number") => "Number".into(),
        Some("boolean") => "Flag".into(),
        Some("array") => "List".into(),
        _ => {
            let others = |key: &&&str| {
                keys.iter()
                    .enumerate()
                    .all(|(other, keys)| other == index || !keys.contains(**key))
            };
            let name = keys[index]
                .iter()
                .find(others)
                .map_or_else(|| format!("Form{index}"), |key| names::variant(key));
            NAMES
                .iter()
                .find(|(owner, old, _)| *owner == union && *old == name)
                .map_or(name, |(.., new)| (*new).into())
        }
    };
    branches.iter().enumerate().map(name).collect()
}

/// The only variant of a list of one.
fn wire(variant: &mut Variant) -> &mut Variant {
    variant
}

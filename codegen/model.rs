//! The model that the passes build and the emitters read: every type of the protocol, in terms of
//! Rust.

use std::collections::{BTreeMap, BTreeSet};

use super::{Result, load, shape, types};

/// Everything to emit.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) types: BTreeMap<String, Type>,
    pub(crate) methods: Vec<Method>,
}

/// The types of normalised definitions, without methods.
pub(crate) fn of(definitions: &load::Definitions, warnings: &mut Vec<String>) -> Result<Model> {
    let shapes = shape::classify(definitions, warnings);
    Ok(Model {
        types: types::build(&shapes, warnings)?,
        methods: Vec::new(),
    })
}

/// A method with its types.
#[derive(Clone, Debug)]
pub(crate) struct Method {
    pub(crate) name: String,
    pub(crate) kind: load::Kind,
    /// `None` only for client notifications without a payload.
    pub(crate) params: Option<String>,
    /// Whether `params` is a generated unit struct.
    pub(crate) no_params: bool,
    /// `serde_json::Value` if nothing is known (foreign schemas only); `None` for notifications.
    pub(crate) response: Option<String>,
    pub(crate) experimental: bool,
    pub(crate) doc: Option<String>,
    /// The name of the variant in the enums of methods.
    pub(crate) variant: String,
    /// Whether only the crate's own code needs it; see `needed`.
    pub(crate) kept: bool,
}

/// A named type.
#[derive(Clone, Debug)]
pub(crate) struct Type {
    pub(crate) name: String,
    pub(crate) doc: Option<String>,
    pub(crate) area: &'static str,
    /// Whether users build values of it, since it occurs in what a client sends.
    pub(crate) sent: bool,
    /// Whether it holds the fields of one variant of a tagged union and occurs nowhere else.
    pub(crate) payload: bool,
    pub(crate) shape: Shape,
}

#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// `extra` is the type of values under keys that are not in `fields`, if these are kept.
    Struct {
        fields: Vec<Field>,
        extra: Option<String>,
    },
    /// A string with known values.
    Words(Vec<Variant>),
    /// An object whose field `tag` holds the name of the variant.
    Tagged { tag: String, variants: Vec<Variant> },
    /// A bare string, or an object whose only key is the name of the variant.
    Keyed(Vec<Variant>),
    /// Told apart by JSON type or by required keys.
    Shaped(Vec<(Variant, Vec<Form>)>),
    /// A newtype of a string.
    Text,
    /// A newtype for the params of a method that shares another method's type.
    Newtype(String),
    /// An alias.
    Alias(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Variant {
    pub(crate) wire: String,
    pub(crate) name: String,
    pub(crate) payload: Option<String>,
    pub(crate) doc: Option<String>,
}

/// The form of the values of a [`Shape::Shaped`] variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Null,
    Bool,
    Integer,
    Number,
    Text,
    List,
    /// Required keys, and keys that must have one of some strings. A key without strings must be
    /// absent.
    Object {
        keys: Vec<String>,
        words: Vec<(String, Vec<String>)>,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) wire: String,
    pub(crate) ident: String,
    /// The type without the `Option`s that `presence` adds.
    pub(crate) ty: String,
    pub(crate) presence: Presence,
    pub(crate) doc: Option<String>,
    pub(crate) secret: bool,
}

/// Whether a field may be absent or `null`, and the meaning of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Required,
    /// Required, and may be `null`.
    Nullable,
    /// Absent and `null` mean the same.
    Optional,
    /// Optional, with any JSON value, including `null`.
    Any,
    /// Absent and `null` have different meanings.
    Patch,
    /// Absent means this value, a Rust expression. `json` is the value in the schema.
    Default {
        expr: String,
        json: String,
    },
}

impl Field {
    /// The type in the struct, including `Option`s.
    pub(crate) fn full_type(&self) -> String {
        let ty = &self.ty;
        match self.presence {
            Presence::Required | Presence::Default { .. } => ty.clone(),
            Presence::Nullable | Presence::Optional | Presence::Any => format!("Option<{ty}>"),
            Presence::Patch => format!("Option<Option<{ty}>>"),
        }
    }

    /// Whether a constructor takes a value for it.
    pub(crate) fn needed(&self) -> bool {
        self.presence == Presence::Required
    }
}

impl Type {
    /// The named types that this one mentions, in order.
    pub(crate) fn mentions(&self) -> Vec<&str> {
        let types: Vec<&String> = match &self.shape {
            Shape::Struct { fields, extra } => {
                fields.iter().map(|field| &field.ty).chain(extra).collect()
            }
            Shape::Words(_) | Shape::Text => Vec::new(),
            Shape::Tagged { variants, .. } | Shape::Keyed(variants) => variants
                .iter()
                .filter_map(|variant| variant.payload.as_ref())
                .collect(),
            Shape::Shaped(variants) => variants
                .iter()
                .filter_map(|(variant, _)| variant.payload.as_ref())
                .collect(),
            Shape::Alias(ty) | Shape::Newtype(ty) => vec![ty],
        };
        let mut seen = BTreeSet::new();
        types
            .into_iter()
            .flat_map(|ty| ty.split(|c: char| !c.is_alphanumeric() && c != '_'))
            .filter(|word| !word.is_empty() && seen.insert(*word))
            .collect()
    }
}

impl Model {
    /// All types that can be reached from `roots`.
    pub(crate) fn reachable<'a>(
        &'a self,
        roots: impl IntoIterator<Item = &'a str>,
    ) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&str> = roots.into_iter().collect();
        while let Some(name) = open.pop() {
            if let Some(ty) = self.types.get(name)
                && found.insert(ty.name.as_str())
            {
                open.extend(ty.mentions());
            }
        }
        found
    }

    /// The types that mention each type, for the documentation of types without a description.
    pub(crate) fn users(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut users: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for ty in self.types.values() {
            for mentioned in ty.mentions() {
                if self.types.contains_key(mentioned) {
                    users.entry(mentioned).or_default().push(&ty.name);
                }
            }
        }
        users
    }
}

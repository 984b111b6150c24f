//! Loads methods and flat definitions from a bundle. Knows the layout of the schema, not Rust.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    Error, Result, flat, names,
    schema::{branches, single_word},
};

/// Definitions by name.
pub(crate) type Definitions = Map<String, Value>;

const METHOD_ENUMS: [(&str, Kind); 4] = [
    ("ClientRequest", Kind::Request),
    ("ServerNotification", Kind::Notification),
    ("ServerRequest", Kind::ServerRequest),
    ("ClientNotification", Kind::ClientNotification),
];

/// The sender of a method, and whether it has a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Request,
    ServerRequest,
    Notification,
    ClientNotification,
}

/// The schema of `params`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Params {
    /// A type. With `nullable`, the server also accepts `null`.
    Type { name: String, nullable: bool },
    /// No params, sent as `null`.
    None,
}

/// One method of the schema.
#[derive(Clone, Debug)]
pub(crate) struct Method {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) params: Params,
    pub(crate) doc: Option<String>,
    /// Whether the schema lacks it and only the crate's own code needs it; see `needed`.
    pub(crate) kept: bool,
}

/// The whole schema.
#[derive(Debug)]
pub(crate) struct Bundle {
    pub(crate) methods: Vec<Method>,
    pub(crate) definitions: Definitions,
    /// Types that the crate's own code makes, whether a method is sent with them or not; see `needed`.
    pub(crate) made: BTreeSet<String>,
    /// Descriptions of the parts that the types cannot express.
    pub(crate) warnings: Vec<String>,
}

impl Bundle {
    pub(crate) fn parse(text: &str, origin: &str) -> Result<Self> {
        let bad = |what: String| {
            Error::new(format!(
                "{origin}: not a codex app-server schema bundle: {what}"
            ))
        };
        let root: Value = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
        let mut warnings = Vec::new();
        let mut definitions = flat::flatten(&root, &mut warnings)
            .ok_or_else(|| bad("it has no `definitions`".into()))?;
        let mut methods = Methods::default();
        for (name, kind) in METHOD_ENUMS {
            // A bundle without its v1 half has the methods of the client only.
            let group = definitions.remove(name).ok_or_else(|| {
                bad(format!(
                    "`{name}` is missing; take {} as written by `codex app-server generate-json-schema --experimental`",
                    super::source::BUNDLE,
                ))
            })?;
            let variants = branches(&group)
                .ok_or_else(|| bad(format!("`{name}` is no list of alternatives")))?;
            for variant in variants {
                if let Err(what) = methods.add(variant, kind, &mut definitions) {
                    warnings.push(format!("{name}: {what}; it is left out"));
                }
            }
        }
        // The engine handles the envelope, and `Nullable…` only wraps types that the methods name.
        definitions.retain(|name, _| !name.starts_with("JSONRPC"));
        drop_unused_wrappers(&mut definitions, &methods.0);
        Ok(Self {
            methods: methods.0,
            definitions,
            made: BTreeSet::new(),
            warnings,
        })
    }
}

#[derive(Default)]
struct Methods(Vec<Method>);

impl Methods {
    fn add(
        &mut self,
        variant: &Value,
        kind: Kind,
        definitions: &mut Definitions,
    ) -> std::result::Result<(), String> {
        let variant = match reference(variant) {
            Some(target) => definitions.get(target).cloned().unwrap_or_default(),
            None => variant.clone(),
        };
        let properties = &variant["properties"];
        let name = single_word(&properties["method"])
            .filter(|name| !name.is_empty())
            .ok_or_else(|| format!("a variant names no method: {variant}"))?
            .to_owned();
        if self
            .0
            .iter()
            .any(|other| other.kind == kind && other.name == name)
        {
            return Err(format!("{name} is there twice"));
        }
        let params = match &properties["params"] {
            Value::Null => Params::None,
            params if params["type"] == "null" => Params::None,
            params => {
                let branches = params["anyOf"].as_array().map_or(&[][..], Vec::as_slice);
                let is_null = |branch: &&Value| branch["type"] == "null";
                let nullable = branches.iter().any(|branch| is_null(&branch));
                let others: Vec<&Value> =
                    branches.iter().filter(|branch| !is_null(branch)).collect();
                let target = match others[..] {
                    [only] => reference(only),
                    _ => reference(params),
                };
                // An inline type gets a name.
                let name = target.map_or_else(
                    || {
                        let wanted = names::params(&name);
                        let mut taken = names::Names::of(definitions.keys());
                        let given = taken.take(&wanted);
                        definitions.insert(given.clone(), params.clone());
                        given
                    },
                    str::to_owned,
                );
                Params::Type { name, nullable }
            }
        };
        self.0.push(Method {
            name,
            kind,
            params,
            doc: variant["description"].as_str().map(String::from),
            kept: false,
        });
        Ok(())
    }
}

/// Removes wrappers that nothing refers to.
fn drop_unused_wrappers(definitions: &mut Definitions, methods: &[Method]) {
    let text = json!(definitions).to_string();
    let named = |name: &str| {
        let is_named = |method: &Method| matches!(&method.params, Params::Type { name: params, .. } if params == name);
        methods.iter().any(is_named) || text.contains(&format!("\"#/definitions/{name}\""))
    };
    definitions.retain(|name, _| !name.starts_with("Nullable") || named(name));
}

/// The name of the definition that a `{"$ref": …}` refers to.
pub(crate) fn reference(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/definitions/")
}

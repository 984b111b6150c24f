//! Bundle → methods and flat definitions. Knows how the schema file is laid out, and nothing of Rust.

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

/// Who sends a method, and whether it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Request,
    ServerRequest,
    Notification,
    ClientNotification,
}

/// What stands under `params`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Params {
    /// A type; with `nullable` the server also takes `null`.
    Type { name: String, nullable: bool },
    /// Nothing, sent as `null`.
    None,
}

/// One method as the schema has it.
#[derive(Clone, Debug)]
pub(crate) struct Method {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) params: Params,
    pub(crate) doc: Option<String>,
    /// Whether the schema lacks it, and it is only there for the crate's own code: see `needed`.
    pub(crate) kept: bool,
}

/// The whole schema.
#[derive(Debug)]
pub(crate) struct Bundle {
    pub(crate) methods: Vec<Method>,
    pub(crate) definitions: Definitions,
    /// What of it has no place in the types, in words.
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
            // Without a v1 half, it has the methods of the client only.
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
        // The envelope is the engine's business, and `Nullable…` only wraps what the methods name anyway.
        definitions.retain(|name, _| !name.starts_with("JSONRPC"));
        drop_unused_wrappers(&mut definitions, &methods.0);
        Ok(Self {
            methods: methods.0,
            definitions,
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
                // What is written in place gets a name.
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

/// Wrappers are only left where something refers to them.
fn drop_unused_wrappers(definitions: &mut Definitions, methods: &[Method]) {
    let text = json!(definitions).to_string();
    let named = |name: &str| {
        let is_named = |method: &Method| matches!(&method.params, Params::Type { name: params, .. } if params == name);
        methods.iter().any(is_named) || text.contains(&format!("\"#/definitions/{name}\""))
    };
    definitions.retain(|name, _| !name.starts_with("Nullable") || named(name));
}

/// The definition that a `{"$ref": …}` names.
pub(crate) fn reference(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/definitions/")
}

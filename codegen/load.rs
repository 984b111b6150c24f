//! Bundle → methods and flat definitions. Knows how the schema file is laid out, and nothing of Rust.

use serde_json::{Map, Value};

use super::{Error, Result};

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
}

/// The whole schema.
#[derive(Debug)]
pub(crate) struct Bundle {
    pub(crate) methods: Vec<Method>,
    pub(crate) definitions: Definitions,
}

impl Bundle {
    pub(crate) fn parse(text: &str, origin: &str) -> Result<Self> {
        let bad = |what: String| {
            Error::new(format!(
                "{origin}: not a codex app-server schema bundle: {what}"
            ))
        };
        let root: Value = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
        let Some(definitions) = root.get("definitions").and_then(Value::as_object) else {
            return Err(bad("it has no `definitions`".into()));
        };
        let mut definitions = flatten(definitions)?;
        let mut methods = Vec::new();
        for (name, kind) in METHOD_ENUMS {
            let definition = definitions
                .remove(name)
                .ok_or_else(|| bad(format!("`{name}` is missing")))?;
            for variant in definition["oneOf"]
                .as_array()
                .ok_or_else(|| bad(format!("`{name}` is not a oneOf")))?
            {
                methods
                    .push(method(variant, kind).map_err(|what| bad(format!("`{name}`: {what}")))?);
            }
        }
        // The envelope is the engine's business, and `Nullable…` only wraps what the methods name anyway.
        definitions.retain(|name, _| !name.starts_with("JSONRPC") && !name.starts_with("Nullable"));
        Ok(Self {
            methods,
            definitions,
        })
    }
}

/// Lifts `#/definitions/v2/X` to `#/definitions/X`. A name that stands in both must mean the same in both.
fn flatten(definitions: &Definitions) -> Result<Definitions> {
    let mut flat = Definitions::new();
    let nested = definitions
        .get("v2")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    for (name, definition) in definitions
        .iter()
        .filter(|(name, _)| *name != "v2")
        .chain(nested)
    {
        let mut definition = definition.clone();
        tidy(&mut definition);
        match flat.get(name) {
            Some(other) if *other != definition => {
                return Err(Error::new(format!(
                    "`{name}` is defined twice, and differently"
                )));
            }
            Some(_) => {}
            None => drop(flat.insert(name.clone(), definition)),
        }
    }
    Ok(flat)
}

/// Points references at the flat names, and drops titles (they collide, and are no better than our own names).
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.retain(|key, value| {
                !(matches!(key.as_str(), "title" | "$schema") && value.is_string())
            });
            for (key, value) in object {
                match value {
                    Value::String(target) if key == "$ref" => {
                        *target = target.replace("#/definitions/v2/", "#/definitions/");
                    }
                    _ => tidy(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

fn method(variant: &Value, kind: Kind) -> std::result::Result<Method, String> {
    let properties = &variant["properties"];
    let name = properties["method"]["enum"][0]
        .as_str()
        .ok_or("a variant names no method")?
        .to_owned();
    let params = match &properties["params"] {
        Value::Null => Params::None,
        params if params["type"] == "null" => Params::None,
        params => {
            let branches = params["anyOf"].as_array().map_or(&[][..], Vec::as_slice);
            let target = std::iter::once(params).chain(branches).find_map(reference);
            let name = target
                .ok_or_else(|| format!("the params of {name} are not a named type: {params}"))?;
            Params::Type {
                name: name.to_owned(),
                nullable: !branches.is_empty(),
            }
        }
    };
    Ok(Method {
        name,
        kind,
        params,
        doc: variant["description"].as_str().map(String::from),
    })
}

/// The definition that a `{"$ref": …}` names.
pub(crate) fn reference(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/definitions/")
}

//! Collects the definitions of a bundle into one flat list, under names that Rust types can have.
//!
//! Definitions are under `definitions` or `$defs`, in a namespace such as `v2`, or inside of other
//! definitions. References are rewritten; a dangling one becomes "any value".

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    load::Definitions,
    names::{self, Names},
    schema::walk,
};

const HOMES: [&str; 2] = ["definitions", "$defs"];

/// The definitions of a bundle, or `None` if it has none.
pub(crate) fn flatten(root: &Value, warnings: &mut Vec<String>) -> Option<Definitions> {
    let mut found = Vec::new();
    for home in HOMES {
        for (name, definition) in root
            .get(home)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let path = format!("#/{home}/{}", escape(name));
            match namespace(name, definition) {
                Some(members) => found.extend(members.iter().map(|(name, definition)| {
                    let path = format!("{path}/{}", escape(name));
                    (path, name.clone(), definition.clone())
                })),
                None => found.push((path, name.clone(), definition.clone())),
            }
        }
        if !found.is_empty() {
            break;
        }
    }
    (!found.is_empty()).then(|| rename(hoisted(found), warnings))
}

/// The contents of a namespace such as `v2`. Another name counts if all its contents have type
/// names.
fn namespace<'a>(name: &str, definition: &'a Value) -> Option<&'a Map<String, Value>> {
    let members = definition.as_object()?;
    let is_type = |name: &str| name.starts_with(|c: char| c.is_ascii_uppercase());
    let is_version = name
        .strip_prefix('v')
        .is_some_and(|number| number.parse::<u32>().is_ok());
    let holds_types = !is_type(name)
        && !members.is_empty()
        && members
            .iter()
            .all(|(key, value)| is_type(key) && (value.is_object() || value.is_boolean()));
    (is_version || holds_types).then_some(members)
}

type Found = Vec<(String, String, Value)>;

/// Moves definitions inside of definitions to the top.
fn hoisted(mut open: Found) -> Found {
    let mut done = Found::new();
    while let Some((path, name, mut definition)) = open.pop() {
        for home in HOMES {
            let inner = definition.as_object_mut().and_then(|d| d.remove(home));
            for (inner, definition) in inner
                .as_ref()
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
            {
                let path = format!("{path}/{home}/{}", escape(inner));
                open.push((path, inner.clone(), definition.clone()));
            }
        }
        done.push((path, name, definition));
    }
    // The newest namespace first, so that its types have the plain names, whatever the order in the
    // file.
    done.sort_by(|(a, ..), (b, ..)| {
        let depth = |path: &str| path.matches('/').count();
        (depth(b), b).cmp(&(depth(a), a))
    });
    done
}

fn rename(found: Found, warnings: &mut Vec<String>) -> Definitions {
    let mut taken = Names::default();
    let mut by_path: BTreeMap<String, String> = BTreeMap::new();
    let mut same: BTreeMap<String, Vec<(String, Value)>> = BTreeMap::new();
    for (path, name, definition) in &found {
        let wanted = names::ty(name);
        // Two definitions that differ only in titles are one.
        let bare = without_titles(definition);
        let twins = same.entry(wanted.clone()).or_default();
        if let Some((name, _)) = twins.iter().find(|(_, other)| *other == bare) {
            by_path.insert(path.clone(), name.clone());
            continue;
        }
        let given = taken.take(&wanted);
        if !twins.is_empty() {
            warnings.push(format!(
                "`{name}` is defined twice, and differently: the one at {path} is the type {given}"
            ));
        }
        twins.push((given.clone(), bare));
        by_path.insert(path.clone(), given);
    }
    let mut flat = Definitions::new();
    for (path, _, mut definition) in found {
        let name = by_path[&path].clone();
        if flat.contains_key(&name) {
            continue;
        }
        let context = Context {
            path: &path,
            name: &name,
            by_path: &by_path,
        };
        walk(&mut definition, &mut |schema| {
            context.tidy(schema, warnings);
        });
        flat.insert(name, definition);
    }
    flat
}

/// The place of a reference, and the definitions that it may refer to.
struct Context<'a> {
    path: &'a str,
    name: &'a str,
    by_path: &'a BTreeMap<String, String>,
}

impl Context<'_> {
    /// Points references to the flat names and drops titles, which collide.
    fn tidy(&self, schema: &mut Map<String, Value>, warnings: &mut Vec<String>) {
        schema.remove("title");
        schema.remove("$schema");
        let Some(target) = schema.get("$ref") else {
            return;
        };
        if let Some(name) = target.as_str().and_then(|target| self.resolve(target)) {
            let target = format!("#/definitions/{name}");
            schema.insert("$ref".into(), target.into());
        } else {
            warnings.push(format!(
                "{}: {target} leads nowhere; it is a plain JSON value",
                self.name
            ));
            schema.remove("$ref");
        }
    }

    fn resolve(&self, target: &str) -> Option<&String> {
        let inside = target
            .strip_prefix('#')
            .map(|rest| format!("{}{rest}", self.path));
        let last = target.rsplit('/').next()?.trim_end_matches(".json");
        self.by_path
            .get(target)
            .or_else(|| self.by_path.get(&inside?))
            .or_else(|| {
                // A file beside the bundle, or another place for definitions.
                let end = format!("/{last}");
                let named = |path: &String| path.ends_with(&end) && !path.contains("/properties/");
                let is_file = !target.starts_with('#') || target.matches('/').count() <= 3;
                self.by_path
                    .iter()
                    .find(|(path, _)| is_file && named(path))
                    .map(|(_, name)| name)
            })
    }
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A schema for comparison: without titles, and with references by their last part.
fn without_titles(definition: &Value) -> Value {
    let mut bare = definition.clone();
    walk(&mut bare, &mut |schema| {
        schema.remove("title");
        schema.remove("$schema");
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let last = target.rsplit('/').next().unwrap_or(target).to_owned();
            schema.insert("$ref".into(), last.into());
        }
    });
    bare
}

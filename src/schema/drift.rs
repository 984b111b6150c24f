//! The differences between two schemas.

use std::fmt;

use super::summary::{METHOD, Summary};

/// What an installed codex has that this crate was not built with, and the other way round. Prints as a report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drift {
    /// Methods, as in `thread/start`.
    pub methods: Changes,
    /// Fields, as in `ThreadStartParams.cwd`; values, as in `SandboxMode = "read-only"`; variants of unions, as in
    /// `ThreadItem type=plan`.
    pub fields: Changes,
}

/// Names, each list sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changes {
    /// The installed codex has them, the crate does not.
    pub added: Vec<String>,
    /// The crate has them, the installed codex does not.
    pub removed: Vec<String>,
    /// Both have them, with another type.
    pub changed: Vec<Changed>,
}

/// A name that means something else.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changed {
    /// The method or field.
    pub name: String,
    /// Its type in this crate's schema; a `?` at the end says that it may be absent.
    pub was: String,
    /// Its type in the installed codex.
    pub is: String,
}

impl Drift {
    /// Whether the two schemas have the same methods, fields and values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.methods.is_empty() && self.fields.is_empty()
    }
}

impl Changes {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// The lists come out sorted because summaries are.
pub(super) fn compare(ours: &Summary, theirs: &Summary) -> Drift {
    let mut drift = Drift::default();
    for (name, is) in theirs {
        let (list, name_alone) = drift.list(name);
        match ours.get(name) {
            None => list.added.push(name_alone),
            Some(was) if was != is => list.changed.push(Changed {
                name: name_alone,
                was: was.clone(),
                is: is.clone(),
            }),
            Some(_) => {}
        }
    }
    for name in ours.keys().filter(|name| !theirs.contains_key(*name)) {
        let (list, name) = drift.list(name);
        list.removed.push(name);
    }
    drift
}

impl Drift {
    fn list(&mut self, name: &str) -> (&mut Changes, String) {
        match name.strip_prefix(METHOD) {
            Some(method) => (&mut self.methods, method.to_owned()),
            None => (&mut self.fields, name.to_owned()),
        }
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("no drift: the same methods and fields");
        }
        let mut first = true;
        for (what, changes) in [("methods", &self.methods), ("fields", &self.fields)] {
            let changed: Vec<String> = changes
                .changed
                .iter()
                .map(|changed| format!("{}: was {}, is {}", changed.name, changed.was, changed.is))
                .collect();
            for (verb, names) in [
                ("added", &changes.added),
                ("removed", &changes.removed),
                ("changed", &changed),
            ] {
                if names.is_empty() {
                    continue;
                }
                if !std::mem::take(&mut first) {
                    f.write_str("\n")?;
                }
                write!(f, "{what} {verb}: {}", names.len())?;
                for name in names {
                    write!(f, "\n  {name}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::schema::{built_in, summary::summarise};

    fn bundle() -> Value {
        serde_json::from_str(include_str!(
            "../../schema/codex_app_server_protocol.schemas.json"
        ))
        .unwrap()
    }

    fn summary(bundle: &Value) -> Summary {
        summarise(bundle).unwrap()
    }

    #[test]
    fn a_schema_does_not_differ_from_itself() {
        let ours = summary(&bundle());
        let drift = compare(&ours, &ours);
        assert!(drift.is_empty(), "{drift}");
        assert_eq!(drift.to_string(), "no drift: the same methods and fields");
        assert!(ours.len() > 3000, "{}", ours.len());
    }

    #[test]
    fn every_method_of_the_inventory_is_in_the_built_in_summary() {
        let ours = built_in();
        for method in crate::protocol::inventory() {
            assert!(
                ours.contains_key(&format!("{METHOD}{}", method.method)),
                "{}",
                method.method
            );
        }
    }

    #[test]
    fn what_was_added_removed_and_changed_is_named() {
        let mut theirs = bundle();
        let requests = theirs["definitions"]["ClientRequest"]["oneOf"]
            .as_array_mut()
            .unwrap();
        requests.retain(|request| request["properties"]["method"]["enum"][0] != "thread/archive");
        requests.push(json!({ "properties": {
            "method": { "enum": ["thread/dream"] }, "params": { "$ref": "#/definitions/v2/X" },
        } }));
        let start = &mut theirs["definitions"]["v2"]["ThreadStartParams"]["properties"];
        start["dream"] = json!({ "type": "boolean" });
        start["cwd"] = json!({ "type": "integer", "format": "int64" });
        start.as_object_mut().unwrap().remove("model");
        let mode = &mut theirs["definitions"]["v2"]["SandboxMode"]["enum"];
        mode.as_array_mut().unwrap().push("dream".into());

        let drift = compare(&summary(&bundle()), &summary(&theirs));
        assert_eq!(drift.methods.added, ["thread/dream"]);
        assert_eq!(drift.methods.removed, ["thread/archive"]);
        assert_eq!(
            drift.fields.added,
            ["SandboxMode = \"dream\"", "ThreadStartParams.dream"]
        );
        assert_eq!(drift.fields.removed, ["ThreadStartParams.model"]);
        assert_eq!(
            drift.to_string(),
            "methods added: 1\n  thread/dream\nmethods removed: 1\n  thread/archive\nfields added: 2\n  \
             SandboxMode = \"dream\"\n  ThreadStartParams.dream\nfields removed: 1\n  ThreadStartParams.model\n\
             fields changed: 1\n  ThreadStartParams.cwd: was string|null?, is int64?"
        );
    }

    #[test]
    fn what_is_no_bundle_is_refused() {
        assert!(summarise(&json!({})).is_err());
        assert!(summarise(&json!({ "definitions": {} })).is_err());
    }
}

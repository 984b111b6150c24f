//! `Drift`: the differences between two schemas.

use std::fmt;

use super::summary::{METHOD, Summary};

/// The differences between the schema of an installed codex and the one that this crate was built
/// with. Its `Display` is a report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drift {
    /// Methods, such as `thread/start`.
    pub methods: Changes,
    /// Fields, such as `ThreadStartParams.cwd`; values, such as `SandboxMode = "read-only"`;
    /// variants of unions, such as `ThreadItem type=plan`.
    pub fields: Changes,
}

/// Names that differ between two schemas. Each list is sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changes {
    /// Names that only the installed codex has.
    pub added: Vec<String>,
    /// Names that only this crate has.
    pub removed: Vec<String>,
    /// Names that both have with different types.
    pub changed: Vec<Changed>,
}

/// A name whose type differs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changed {
    /// The method or field.
    pub name: String,
    /// Its type in this crate's schema. A `?` at the end marks an optional field.
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
    /// Whether no name differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// The lists are sorted because summaries are.
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
    fn additions_removals_and_changes_are_named() {
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
    fn json_that_is_no_bundle_is_refused() {
        assert!(summarise(&json!({})).is_err());
        assert!(summarise(&json!({ "definitions": {} })).is_err());
    }
}

//! The forms of values by which the branches of an untagged union are told apart.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    load::{Definitions, reference},
    model::Form,
    schema::{branches, required, words},
};

/// The forms of each branch. A branch refuses keys that only its siblings have. Otherwise it would
/// match their values and lose those keys.
pub(crate) fn of(definitions: &Definitions, union: &[Value]) -> Vec<Vec<Form>> {
    let pass = Pass { definitions };
    let keys: Vec<BTreeSet<&str>> = union
        .iter()
        .map(|branch| pass.keys(branch, &mut BTreeSet::new()))
        .collect();
    let all = |(index, branch)| {
        let siblings = keys.iter().enumerate().filter(|(other, _)| *other != index);
        let foreign = siblings.flat_map(|(_, keys)| keys).copied().collect();
        pass.forms(branch, &foreign, &mut BTreeSet::new())
    };
    union.iter().enumerate().map(all).collect()
}

#[derive(Clone, Copy)]
struct Pass<'a> {
    definitions: &'a Definitions,
}

impl<'a> Pass<'a> {
    fn target(self, schema: &Value) -> Option<&'a Value> {
        self.definitions.get(reference(schema)?)
    }

    /// All named keys that values of a branch may have, references included, each once.
    fn keys(self, schema: &'a Value, seen: &mut BTreeSet<&'a str>) -> BTreeSet<&'a str> {
        if let Some(name) = reference(schema) {
            return match self.target(schema).filter(|_| seen.insert(name)) {
                Some(target) => self.keys(target, seen),
                None => BTreeSet::new(),
            };
        }
        if let Some(branches) = branches(schema) {
            let keys = branches.iter().map(|branch| self.keys(branch, seen));
            return keys.flatten().collect();
        }
        let properties = schema["properties"].as_object().into_iter().flatten();
        properties.map(|(key, _)| key.as_str()).collect()
    }

    fn forms<'s>(
        self,
        schema: &'s Value,
        foreign: &BTreeSet<&str>,
        seen: &mut BTreeSet<&'s str>,
    ) -> Vec<Form>
    where
        'a: 's,
    {
        if let Some(name) = reference(schema) {
            return match self.target(schema).filter(|_| seen.insert(name)) {
                Some(target) => self.forms(target, foreign, seen),
                None => Vec::new(),
            };
        }
        if let Some(branches) = branches(schema) {
            let forms = branches
                .iter()
                .map(|branch| self.forms(branch, foreign, seen));
            return forms.flatten().collect();
        }
        let form = match schema["type"].as_str() {
            Some("null") => Form::Null,
            Some("boolean") => Form::Bool,
            Some("integer") => Form::Integer,
            Some("number") => Form::Number,
            Some("string") => Form::Text,
            Some("array") => Form::List,
            _ => self.object(schema, foreign),
        };
        vec![form]
    }

    fn object(self, schema: &Value, foreign: &BTreeSet<&str>) -> Form {
        let keys = required(schema).map(String::from).collect();
        let properties = schema["properties"].as_object();
        let mut words: Vec<(String, Vec<String>)> = properties
            .into_iter()
            .flatten()
            .filter_map(|(key, property)| {
                let words = words(self.target(property).unwrap_or(property))?;
                let words = words.into_iter().map(|word| word.wire);
                Some((key.clone(), words.collect()))
            })
            .collect();
        // A map may have any key.
        if schema.get("additionalProperties").is_none() {
            let own = |key: &str| properties.is_some_and(|own| own.contains_key(key));
            let refused = foreign.iter().filter(|key| !own(key));
            words.extend(refused.map(|key| ((*key).to_owned(), Vec::new())));
        }
        Form::Object { keys, words }
    }
}

//! Differences of a value after a round trip through a type.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::generate::Free;

/// The outcome for one value.
#[derive(Default)]
pub(crate) struct Outcome {
    /// A description with the place.
    pub(crate) differences: Vec<String>,
    /// Optional fields whose `null` came back as `null`: those with three states.
    pub(crate) kept_nulls: BTreeSet<String>,
    /// Optional fields whose `null` came back as absence.
    pub(crate) dropped_nulls: BTreeSet<String>,
}

pub(crate) fn compare(
    before: &Value,
    after: &Value,
    free: &BTreeMap<String, Free>,
    path: &str,
    outcome: &mut Outcome,
) {
    match (before, after) {
        (Value::Object(was), Value::Object(is)) => {
            for (key, value) in was {
                let path = format!("{path}/{key}");
                match (is.get(key), free.get(&path)) {
                    (now, Some(Free::NullForDefault(default))) if value.is_null() => {
                        if now.is_some_and(|now| now != default) {
                            outcome
                                .differences
                                .push(format!("{path}: null became {now:?}"));
                        }
                    }
                    (Some(now), note) => {
                        if let (Value::Null, Some(Free::Null(name))) = (now, note) {
                            outcome.kept_nulls.insert(name.clone());
                        }
                        compare(value, now, free, &path, outcome);
                    }
                    (None, Some(Free::Null(name))) if value.is_null() => {
                        outcome.dropped_nulls.insert(name.clone());
                    }
                    (None, Some(Free::Default(default))) if value == default => {}
                    (None, Some(Free::Extra)) => {}
                    (None, _) => outcome.differences.push(format!("{path}: {value} is lost")),
                }
            }
            for (key, value) in is.iter().filter(|(key, _)| !was.contains_key(*key)) {
                let path = format!("{path}/{key}");
                if free.get(&path) != Some(&Free::Default(value.clone())) {
                    outcome.differences.push(format!("{path}: {value} is new"));
                }
            }
        }
        (Value::Array(was), Value::Array(is)) if was.len() == is.len() => {
            for (index, (was, is)) in was.iter().zip(is).enumerate() {
                compare(was, is, free, &format!("{path}/{index}"), outcome);
            }
        }
        // 2 and 2.0 are the same number in JSON.
        (Value::Number(was), Value::Number(is))
            if (was.is_f64() || is.is_f64()) && was.as_f64() == is.as_f64() => {}
        _ if before == after => {}
        _ => outcome
            .differences
            .push(format!("{path}: was {before}, is {after}")),
    }
}

/// JSON with the keys of every object reversed, so that the tag of a union is elsewhere.
pub(crate) fn backwards(value: &Value) -> String {
    match value {
        Value::Object(object) => {
            let fields: Vec<String> = object
                .iter()
                .rev()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), backwards(value)))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(backwards).collect();
            format!("[{}]", items.join(","))
        }
        other => other.to_string(),
    }
}

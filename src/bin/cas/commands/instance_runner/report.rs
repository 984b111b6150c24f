//! The report of `cas instance-runner`, for programs and for people.

use std::path::Path;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Value, json, value::RawValue};

use crate::output::{Result, cell, field, line};

/// The report of `cas_instance_runner.mjs`, field by field and in its order.
#[derive(Debug, Serialize)]
pub(crate) struct Report<'a> {
    pub(crate) demo: &'static str,
    pub(crate) cwd: &'a Path,
    pub(crate) state_file_dir: Option<&'a Path>,
    pub(crate) method: &'a str,
    pub(crate) params: &'a Value,
    pub(crate) instances_requested: usize,
    pub(crate) instances_started: usize,
    pub(crate) start_failures: Vec<StartFailure<'a>>,
    pub(crate) requests_ok: usize,
    pub(crate) requests_failed: usize,
    pub(crate) timing_ms: Timing,
    pub(crate) sample_results: Vec<Sample<'a>>,
}

#[derive(Debug, Serialize)]
pub(crate) struct StartFailure<'a> {
    pub(crate) instance: usize,
    pub(crate) error: &'a str,
}

#[derive(Debug, Serialize)]
pub(crate) struct Timing {
    pub(crate) start_all_clients: u64,
    pub(crate) run_all_requests: u64,
    pub(crate) total: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Sample<'a> {
    pub(crate) instance: usize,
    pub(crate) ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) summary: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<&'a str>,
    /// Only if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<&'a RawValue>,
}

impl<'a> Sample<'a> {
    pub(crate) fn new(
        instance: usize,
        answer: &'a Result<Box<RawValue>, String>,
        method: &str,
        full: bool,
    ) -> Self {
        let result = answer.as_deref().ok();
        Self {
            instance,
            ok: answer.is_ok(),
            summary: result.map(|result| summary(method, result.get())),
            error: answer.as_ref().err().map(String::as_str),
            result: result.filter(|_| full),
        }
    }
}

impl Report<'_> {
    pub(crate) fn show(&self) -> Result {
        let Timing {
            start_all_clients,
            run_all_requests,
            ..
        } = self.timing_ms;
        line(format_args!(
            "{} of {} instances started in {start_all_clients} ms; {} requests of {} answered, {} failed in {run_all_requests} ms",
            self.instances_started,
            self.instances_requested,
            self.requests_ok,
            self.instances_started,
            self.requests_failed,
        ))?;
        for StartFailure { instance, error } in &self.start_failures {
            line(format_args!(
                "  instance {instance} did not start: {}",
                field(error)
            ))?;
        }
        for sample in &self.sample_results {
            let text = match (sample.error, &sample.summary) {
                (Some(error), _) => error.to_owned(),
                (None, summary) => summary.clone().unwrap_or_default().to_string(),
            };
            // An unknown method is refused with the list of all that are known.
            let short = cell(&text, 200);
            let word = if sample.ok { "ok" } else { "failed" };
            line(format_args!(
                "  instance {}: {word} {short}",
                sample.instance
            ))?;
        }
        Ok(())
    }
}

/// A summary of a result, by the rules of the original.
fn summary(method: &str, result: &str) -> Value {
    let value: Value = serde_json::from_str(result).unwrap_or_default();
    let count = |list: &Value| list.as_array().map(Vec::len);
    match (method, &value) {
        ("thread/list", _) => json!({
            "firstThreadId": value["data"][0]["id"],
            "rows": count(&value["data"]).unwrap_or_default(),
        }),
        ("thread/read", _) => json!({
            "threadId": value["thread"]["id"],
            "turns": count(&value["turns"]),
        }),
        (_, Value::Object(_)) => {
            let Keys(keys) = serde_json::from_str(result).unwrap_or_default();
            json!({ "keys": keys })
        }
        (_, Value::Array(items)) => {
            let keys: Vec<String> = (0..items.len().min(KEYS)).map(|n| n.to_string()).collect();
            json!({ "keys": keys })
        }
        _ => json!({ "value": value }),
    }
}

/// How many keys a summary names.
const KEYS: usize = 8;

/// The first keys of an object, in its order.
#[derive(Debug, Default)]
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Keys;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, IgnoredAny)) = map.next_entry::<String, _>()? {
                    if keys.len() < KEYS && !keys.contains(&key) {
                        keys.push(key);
                    }
                }
                Ok(Keys(keys))
            }
        }
        deserializer.deserialize_map(Visit)
    }
}

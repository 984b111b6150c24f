//! Every line of recorded sessions with codex decodes to a known type without loss.

#[path = "common/round_trips.rs"]
mod round_trips;

use std::{collections::HashMap, fs, path::Path};

use cas_sdk::protocol::{ServerNotification, ServerRequest};
use round_trips::calls;
use serde_json::{Value, value::RawValue};

/// The places where `after` does not say what `before` said. A null may go, and so may a default,
/// which is always false or an empty list in these sessions.
fn lost(before: &Value, after: &Value, path: &str) -> Vec<String> {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => before
            .iter()
            .flat_map(|(key, value)| {
                lost(
                    value,
                    after.get(key).unwrap_or(&Value::Null),
                    &format!("{path}.{key}"),
                )
            })
            .collect(),
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => before
            .iter()
            .zip(after)
            .flat_map(|(before, after)| lost(before, after, &format!("{path}[]")))
            .collect(),
        (before, after) if before == after => Vec::new(),
        (Value::Null | Value::Bool(false), Value::Null) => Vec::new(),
        (Value::Array(items), Value::Null) if items.is_empty() => Vec::new(),
        (before, after) => vec![format!("{path}: was {before}, is {after}")],
    }
}

fn server_message(method: &str, params: &Value, request: bool) -> Result<Value, String> {
    let raw = RawValue::from_string(params.to_string()).map_err(|error| error.to_string())?;
    let value = if request {
        match ServerRequest::decode(method, raw.get()) {
            Ok(ServerRequest::Unknown { .. }) => return Err("unknown request".into()),
            decoded => decoded.and_then(serde_json::to_value),
        }
    } else {
        match ServerNotification::decode(method, raw.get()) {
            Ok(ServerNotification::Unknown { .. }) => return Err("unknown notification".into()),
            decoded => decoded.and_then(serde_json::to_value),
        }
    };
    value
        .map(|value| value["params"].clone())
        .map_err(|error| error.to_string())
}

#[test]
fn every_recorded_line_decodes_to_a_known_type() {
    let calls = calls();
    let mut lines = 0;
    let mut problems = Vec::new();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    for entry in fs::read_dir(dir).expect("the transcripts are in the repository") {
        let path = entry.expect("a readable directory").path();
        let mut pending = HashMap::new();
        for (number, line) in fs::read_to_string(&path)
            .expect("a readable file")
            .lines()
            .enumerate()
        {
            let line: Value = serde_json::from_str(line).expect("a line is JSON");
            let (message, from_client) = (&line["msg"], line["dir"] == "c2s");
            let Some(message) = message.as_object() else {
                continue;
            };
            let method = message.get("method").and_then(Value::as_str);
            let id = message.get("id").map(ToString::to_string);
            let body = message
                .get("params")
                .or(message.get("result"))
                .cloned()
                .unwrap_or_default();
            let decoded = match (method, id) {
                (Some(method), id) if !from_client => {
                    if let Some(id) = &id {
                        pending.insert((from_client, id.clone()), method.to_owned());
                    }
                    server_message(method, &body, id.is_some())
                }
                // Requests of a client may be wrong on purpose; only its responses are checked,
                // below.
                (Some(method), Some(id)) => {
                    pending.insert((from_client, id), method.to_owned());
                    continue;
                }
                (None, Some(id)) if message.contains_key("result") => {
                    match pending.remove(&(!from_client, id)) {
                        Some(method) if calls.contains_key(method.as_str()) && !from_client => {
                            calls[method.as_str()][1](&body.to_string())
                                .map_err(|error| format!("{method}: {error}"))
                        }
                        _ => continue,
                    }
                }
                _ => continue,
            };
            lines += 1;
            let place = format!(
                "{}:{}",
                path.file_name().unwrap_or_default().display(),
                number + 1
            );
            let method = method.unwrap_or("response");
            match decoded {
                Err(error) => problems.push(format!("{place}: {method} {error}")),
                Ok(again) => {
                    problems.extend(
                        lost(&body, &again, "")
                            .into_iter()
                            .map(|lost| format!("{place}: {method}{lost}")),
                    );
                }
            }
        }
    }
    assert!(
        problems.is_empty(),
        "{} of {lines}:\n{}",
        problems.len(),
        problems.join("\n")
    );
    assert!(lines > 1500, "only {lines} lines were looked at");
}

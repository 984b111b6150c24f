//! Reads from a rollout file what the server does not report: the tokens of each response, and the
//! model of each turn.
//!
//! The format is codex's own and may change; unknown lines are skipped.

use std::{
    collections::HashMap,
    io::{self, BufRead as _, BufReader},
    path::Path,
};

use cas_sdk::internal::open_regular;
use jiff::Timestamp;
use serde_json::Value;

/// The tokens of a response of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spent {
    /// Seconds since the epoch.
    pub(super) at: i64,
    pub(super) model: Option<String>,
    pub(super) input: u64,
    pub(super) cached: u64,
    pub(super) output: u64,
}

#[derive(Debug, Default)]
pub(super) struct Rollout {
    pub(super) spent: Vec<Spent>,
    models: HashMap<String, String>,
}

impl Rollout {
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let mut this = Self::default();
        let mut model = None;
        let mut total = Value::Null;
        for line in BufReader::new(open_regular(path)?).lines() {
            let line = line?;
            if !line.contains("token_count") && !line.contains("turn_context") {
                continue;
            }
            let Ok(line) = serde_json::from_str::<Value>(&line) else {
                continue;
            };
            let payload = &line["payload"];
            if line["type"] == "turn_context" {
                model = payload["model"].as_str().map(str::to_owned);
                if let (Some(turn), Some(model)) = (payload["turn_id"].as_str(), &model) {
                    this.models.insert(turn.to_owned(), model.clone());
                }
            } else if payload["type"] == "token_count" && payload["info"].is_object() {
                // The same count is written again when only the limits have changed.
                let now = &payload["info"]["total_token_usage"];
                if *now == total {
                    continue;
                }
                total = now.clone();
                this.spent.extend(spent(&line, model.clone()));
            }
        }
        Ok(this)
    }

    pub(super) fn model_of(&self, turn: &str) -> Option<&str> {
        self.models.get(turn).map(String::as_str)
    }
}

fn spent(line: &Value, model: Option<String>) -> Option<Spent> {
    let at: Timestamp = line["timestamp"].as_str()?.parse().ok()?;
    let last = &line["payload"]["info"]["last_token_usage"];
    let count = |key: &str| last[key].as_u64().unwrap_or_default();
    Some(Spent {
        at: at.as_second(),
        model,
        input: count("input_tokens"),
        cached: count("cached_input_tokens"),
        output: count("output_tokens"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_rollout_that_is_a_pipe_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn({
            let path = path.clone();
            move || tell.send(Rollout::read(&path).is_err())
        });
        let refused = told.recv_timeout(std::time::Duration::from_secs(20));
        // A reader that waits gets a writer, so that it does not keep the test from ending.
        let other = std::fs::File::options().read(true).write(true).open(path);
        assert!(refused.expect("a pipe was waited for"));
        drop(other);
    }

    #[test]
    fn each_response_is_counted_once_with_the_model_of_its_turn() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rollout.jsonl");
        let count = |total: u64, last: u64| {
            format!(
                r#"{{"timestamp":"2026-01-31T12:00:00.5Z","type":"event_msg","payload":{{"type":"token_count","info":{{"total_token_usage":{{"input_tokens":{total}}},"last_token_usage":{{"input_tokens":{last},"cached_input_tokens":2,"output_tokens":3}}}}}}}}"#
            )
        };
        let lines = [
            r#"{"type":"turn_context","payload":{"turn_id":"t","model":"m"}}"#.to_owned(),
            count(10, 10),
            count(10, 10),
            "token_count, torn".to_owned(),
            r#"{"type":"event_msg","payload":{"type":"token_count","info":null}}"#.to_owned(),
            count(30, 20),
        ];
        std::fs::write(&file, lines.join("\n")).unwrap();
        let rollout = Rollout::read(&file).unwrap();
        let spent = |input| Spent {
            at: 1_769_860_800,
            model: Some("m".into()),
            input,
            cached: 2,
            output: 3,
        };
        assert_eq!(rollout.spent, [spent(10), spent(20)]);
        assert_eq!(rollout.model_of("t"), Some("m"));
    }
}

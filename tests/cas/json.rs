//! `docs/json.md`: every example in it has the form of what is emitted, and everything that is
//! emitted has an example.

use std::{collections::BTreeMap, fmt, fs};

use cas_sdk::testing::{Reply, Usage};
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, json};

use crate::{
    common::{codex_test, codex_test_with, scenes::escalation, within},
    people::{lines, piped, run, stderr},
};

/// The examples: those of a command's events by `event`, those of reports by the heading above
/// them.
pub fn examples() -> BTreeMap<String, Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/json.md");
    let text = fs::read_to_string(path).unwrap();
    let mut examples = BTreeMap::new();
    let mut heading = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("## ") {
            name.trim_matches('`').clone_into(&mut heading);
        }
        if line == "```json" {
            for line in lines.by_ref().take_while(|line| *line != "```") {
                let example: Value = serde_json::from_str(line).expect(line);
                let name = match example["event"].as_str() {
                    Some(event) => format!("{heading} {event}"),
                    None => heading.clone(),
                };
                let is_new = examples.insert(name.clone(), example).is_none();
                assert!(is_new, "{name} has two examples");
            }
        }
    }
    examples
}

/// What the server or a schema says is its own matter.
const FOREIGN: [&str; 8] = [
    "item",
    "usage",
    "account",
    "drift",
    "contract",
    "params",
    "sample_results",
    "rate_limits",
];

pub fn assert_same_form(example: &Value, actual: &Value, at: &str) {
    match (example, actual) {
        (Value::Object(example), Value::Object(actual)) => {
            let keys = |object: &serde_json::Map<String, Value>| {
                object.keys().cloned().collect::<Vec<_>>()
            };
            assert_eq!(keys(example), keys(actual), "{at}");
            for (key, value) in example {
                if !FOREIGN.contains(&key.as_str()) {
                    assert_same_form(value, &actual[key], &format!("{at}.{key}"));
                }
            }
        }
        (Value::Array(example), Value::Array(actual)) => {
            if let (Some(example), Some(actual)) = (example.first(), actual.first()) {
                assert_same_form(example, actual, &format!("{at}[0]"));
            }
        }
        (Value::Null, _) | (_, Value::Null) => {}
        (example, actual) => assert_eq!(
            std::mem::discriminant(example),
            std::mem::discriminant(actual),
            "{at}: {example} and {actual}"
        ),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_ask_are_those_of_the_documentation() {
    let Some(rig) = crate::ask::asking().await else {
        return;
    };
    let mut examples = examples();
    within(180, async {
        let call = escalation("touch x");
        rig.model
            .reply(
                Reply::new()
                    .reasoning("Let me see.")
                    .function_call("c", "exec_command", call),
            );
        rig.model.reply(
            Reply::new()
                .delta("It was ")
                .delta("declined.")
                .usage(Usage::default()),
        );
        let done = run(&rig, &["ask", "--json", "go"]).await;
        let failed = run(&rig, &["ask", "--json", "--thread", "ffffffff", "go"]).await;
        assert_eq!(failed.status.code(), Some(1), "{}", stderr(&failed));
        let mut seen = std::collections::BTreeSet::new();
        for event in lines(&done).iter().chain(&lines(&failed)) {
            let name = format!("cas ask {}", event["event"].as_str().unwrap());
            let example = examples
                .get(&name)
                .unwrap_or_else(|| panic!("{name} has no example: {event}"));
            assert_same_form(example, event, &name);
            seen.insert(name);
        }
        examples.retain(|name, _| name.starts_with("cas ask ") && !seen.contains(name));
        // These need a command that runs, a plan, a server that fails, is too fast, or asks
        // something.
        let unseen: Vec<_> = examples.keys().map(String::as_str).collect();
        assert_eq!(
            unseen,
            [
                "cas ask agent",
                "cas ask commandOutput",
                "cas ask diff",
                "cas ask goalEnded",
                "cas ask lagged",
                "cas ask plan",
                "cas ask planDelta",
                "cas ask question",
                "cas ask retrying"
            ]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reports_are_those_of_the_documentation() {
    codex_test(120, async |rig| {
        let examples = examples();
        rig.model.otherwise(Reply::text("the flaky test"));
        within(240, async {
            let asked = run(&rig, &["ask", "--json", "go"]).await;
            let thread = lines(&asked)[0]["threadId"].as_str().unwrap().to_owned();
            let work = rig.home.work_dir();
            let mined = run(&rig, &["mine", "--include-turns", "--sqlite", "s.db"]).await;
            assert!(mined.status.success(), "{}", stderr(&mined));
            for (name, args) in [
                ("cas doctor", &["doctor", "--json"][..]),
                ("cas preflight", &["preflight", "--json"]),
                ("cas stats", &["stats", "--sqlite", "s.db", "--json"]),
                (
                    "cas mine search",
                    &["mine", "search", "flaky", "--sqlite", "s.db", "--json"],
                ),
                (
                    "cas threads compact",
                    &["threads", "compact", &thread, "--json"],
                ),
                (
                    "cas smoke-check",
                    &["smoke-check", "--cwd", work.to_str().unwrap(), "--json"],
                ),
                (
                    "cas instance-runner",
                    &[
                        "instance-runner",
                        "--cwd",
                        work.to_str().unwrap(),
                        "--instances",
                        "1",
                        "--read-only",
                        "--json",
                    ],
                ),
            ] {
                let out = run(&rig, args).await;
                let text = crate::people::stdout(&out);
                let report: Value = serde_json::from_str(&text)
                    .or_else(|_| serde_json::from_str(text.lines().next().unwrap_or_default()))
                    .unwrap_or_else(|e| panic!("{name}: {e}: {text} {}", stderr(&out)));
                let example = examples
                    .get(name)
                    .unwrap_or_else(|| panic!("{name} has no example"));
                assert_same_form(example, &report, name);
                if text.lines().count() == 1 {
                    assert_known_order(&text);
                }
            }
            let server = rig.builder().serve("unix://").await.unwrap();
            let loaded = server.resume_thread(thread.as_str()).await.unwrap();
            for (name, args) in [
                ("cas live", &["live", "--json"][..]),
                ("cas post", &["post", &thread, "hello", "--json"]),
            ] {
                let report = &lines(&run(&rig, args).await)[0];
                assert_same_form(&examples[name], report, name);
            }
            drop((server, loaded));
            let out = run(&rig, &["doctor", "--json", "--codex", "/no/such/codex"]).await;
            assert_eq!(out.status.code(), Some(1));
            let report = &lines(&out)[0];
            assert_same_form(
                &examples["cas doctor"],
                report,
                "cas doctor of a codex that is not there",
            );
            assert!(
                report["error"].as_str().unwrap().contains("/no/such/codex"),
                "{report}"
            );
        })
        .await;
    })
    .await;
}

/// The members of an object in the order in which they stand in the text.
fn members(text: &str) -> Vec<String> {
    struct Members;
    impl<'de> Visitor<'de> for Members {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut names = Vec::new();
            while let Some((name, IgnoredAny)) = map.next_entry()? {
                names.push(name);
            }
            Ok(names)
        }
    }
    let mut json = serde_json::Deserializer::from_str(text);
    json.deserialize_map(Members).expect(text)
}

/// The members of the examples, in their order.
fn orders() -> Vec<Vec<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/json.md");
    let text = fs::read_to_string(path).unwrap();
    let examples = text.lines().filter(|line| line.starts_with("{\""));
    examples.map(members).collect()
}

/// Fails unless an example has these members in this order.
fn assert_known_order(text: &str) {
    let text = text.lines().last().unwrap();
    let names = members(text);
    assert!(
        orders().contains(&names),
        "no example has the order of {text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reports_of_reviews_goals_and_stops_are_those_of_the_documentation() {
    codex_test(180, async |rig| {
        let examples = examples();
        let finding = json!({"title": "[P1] Off by one", "body": "It ends early.", "confidence_score": 0.9, "priority": 1,
            "code_location": {"absolute_file_path": "/a.py", "line_range": {"start": 2, "end": 3}}});
        let verdict = json!({"findings": [finding], "overall_correctness": "patch is incorrect",
            "overall_explanation": "It breaks.", "overall_confidence_score": 0.8});
        rig.model.reply(Reply::text(verdict.to_string()));
        let reviewed = run(&rig, &["review", "--json", "--instructions", "look"]).await;
        rig.model.otherwise(Reply::text("still going"));
        let asked = run(&rig, &["ask", "--goal", "--turns", "1", "--json", "Talk"]).await;
        let end = lines(&asked).pop().unwrap();
        let thread = end["threadId"].as_str().unwrap().to_owned();
        let set = run(&rig, &["goal", "set", &thread, "Talk", "--turns", "1", "--json"]).await;
        let got = run(&rig, &["goal", "get", &thread, "--json"]).await;
        let client = rig.client().await;
        let params = json!({"threadId": thread, "status": "active"});
        client.call::<Value>("thread/goal/set", &params).await.unwrap();
        client.shutdown().await;
        let stopped = run(&rig, &["threads", "stop", &thread, "--json"]).await;
        for (name, out) in [
            ("cas review", &reviewed),
            ("cas ask goalEnded", &asked),
            ("cas goal set", &set),
            ("cas goal get", &got),
            ("cas threads stop", &stopped),
        ] {
            let report = lines(out).pop().unwrap_or_else(|| panic!("{name}: {}", stderr(out)));
            assert_same_form(&examples[name], &report, name);
            assert_known_order(&crate::people::stdout(out));
        }
        assert_eq!(lines(&stopped)[0]["goals"], json!([thread]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_of_a_login_is_that_of_the_documentation() {
    let home = cas_sdk::testing::CodexHomeBuilder::chatgpt_auth;
    codex_test_with(home, 60, async |rig| {
        let out = piped(&rig, &["login", "--api-key", "--json"], "sk-test\n").await;
        assert_same_form(&examples()["cas login"], &lines(&out)[0], "cas login");
        assert_known_order(&crate::people::stdout(&out));
    })
    .await;
}

//! Thousands of messages generated from the schema, each decoded and encoded again.
//!
//! What may differ afterwards, and nothing else: an optional field that was `null` may be absent,
//! unless it is one of the three-state fields below; a field may appear or vanish if its value is
//! the default that the schema gives for its absence; and a field that the schema does not have may
//! vanish from the typed value (the raw message keeps it). A `null` where the schema has a default
//! instead is read as that default.

#[path = "../common/built_from.rs"]
mod built_from;
mod bundle;
mod compare;
mod generate;
#[path = "../common/round_trips.rs"]
mod round_trips;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cas_sdk::protocol::{
    ClientRequest, MethodKind, ServerNotification, ServerRequest, ThreadStartParams, inventory,
};
use serde_json::{Value, json};

use bundle::Bundle;
use compare::{Outcome, backwards, compare};
use generate::{Sample, UNHEARD_OF, samples};
use round_trips::calls;

/// The result for one kind of message.
#[derive(Default)]
struct Tally {
    plain: usize,
    mutated: usize,
    errors: Vec<String>,
    outcome: Outcome,
}

impl Tally {
    fn check(
        &mut self,
        what: &str,
        sample: &Sample,
        decode: impl Fn(&str) -> Result<Value, serde_json::Error>,
    ) {
        if sample.mutated {
            self.mutated += 1;
        } else {
            self.plain += 1;
        }
        for text in [sample.value.to_string(), backwards(&sample.value)] {
            match decode(&text) {
                Err(error) => self.errors.push(format!("{what}: {error} in {text}")),
                Ok(after) => {
                    let mut outcome = Outcome::default();
                    compare(&sample.value, &after, &sample.free, "", &mut outcome);
                    let differences = outcome.differences.iter();
                    self.outcome
                        .differences
                        .extend(differences.map(|found| format!("{what}{found} in {text}")));
                    if !sample.mutated {
                        self.outcome.kept_nulls.extend(outcome.kept_nulls);
                        self.outcome.dropped_nulls.extend(outcome.dropped_nulls);
                    }
                }
            }
        }
    }
}

fn params_of(message: Result<Value, serde_json::Error>) -> Result<Value, serde_json::Error> {
    message.map(|mut message| message["params"].take())
}

fn notification(method: &str, params: &str) -> Result<Value, serde_json::Error> {
    params_of(ServerNotification::decode(method, params).and_then(serde_json::to_value))
}

fn client_request(method: &str, params: &str) -> Result<Value, serde_json::Error> {
    params_of(ClientRequest::decode(method, params).and_then(serde_json::to_value))
}

fn server_request(method: &str, params: &str) -> Result<Value, serde_json::Error> {
    params_of(ServerRequest::decode(method, params).and_then(serde_json::to_value))
}

/// Runs the whole corpus.
fn tallies() -> BTreeMap<&'static str, Tally> {
    let bundle = Bundle::load();
    let calls = calls();
    let responses: HashMap<&str, &str> = inventory()
        .iter()
        .filter_map(|method| Some((method.method, method.response?)))
        .collect();
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    let values = |schema: Option<Value>| match schema {
        Some(schema) => samples(&bundle, &schema),
        None => Vec::new(),
    };
    for message in bundle.messages("ServerNotification") {
        for sample in values(message.params) {
            let decode = |text: &str| notification(&message.method, text);
            let tally = tallies.entry("notifications").or_default();
            tally.check(&message.method, &sample, decode);
        }
    }
    for (group, params, answers) in [
        ("ClientRequest", "requests", "responses"),
        ("ServerRequest", "server requests", "answers"),
    ] {
        for message in bundle.messages(group) {
            let method = message.method.as_str();
            let [by_params, by_response] = calls[method];
            for sample in values(message.params) {
                let tally = tallies.entry(params).or_default();
                tally.check(method, &sample, by_params);
                let in_enum = |text: &str| match group {
                    "ServerRequest" => server_request(method, text),
                    _ => client_request(method, text),
                };
                tally.check(method, &sample, in_enum);
            }
            let response = bundle.named(responses[method]);
            // Some responses of a foreign schema are unknown.
            let untyped = cfg!(foreign_schema) && responses[method] == "Value";
            assert!(
                response.is_some() || untyped,
                "{method} has no response in the schema"
            );
            for sample in values(response) {
                let tally = tallies.entry(answers).or_default();
                tally.check(&format!("{method} response"), &sample, by_response);
            }
        }
    }
    tallies
}

/// Optional fields where absent and `null` differ: `null` clears, absence leaves alone.
const THREE_STATE: &[&str] = &[
    "CollaborationModeMask.reasoning_effort",
    "ProcessSpawnParams.outputBytesCap",
    "ProcessSpawnParams.timeoutMs",
    "ThreadForkParams.serviceTier",
    "ThreadGoalSetParams.tokenBudget",
    "ThreadListParams.projectId",
    "ThreadListParams.sectionId",
    "ThreadMetadataGitInfoUpdateParams.branch",
    "ThreadMetadataGitInfoUpdateParams.originUrl",
    "ThreadMetadataGitInfoUpdateParams.sha",
    "ThreadRealtimeStartParams.prompt",
    "ThreadResumeParams.serviceTier",
    "ThreadSectionUpdateParams.appearance",
    "ThreadSettingsUpdateParams.serviceTier",
    "ThreadStartParams.serviceTier",
    "TurnSettingsUpdateParams.serviceTier",
    "TurnStartParams.serviceTier",
];

#[test]
fn every_message_of_the_schema_and_beyond_it_comes_back_as_it_was() {
    let tallies = tallies();
    let mut problems = Vec::new();
    let (mut plain, mut mutated) = (0, 0);
    let (mut kept, mut dropped) = (BTreeSet::new(), BTreeSet::new());
    for (kind, tally) in tallies {
        println!(
            "{kind}: {} messages, {} mutated, {} errors, {} differences",
            tally.plain,
            tally.mutated,
            tally.errors.len(),
            tally.outcome.differences.len(),
        );
        plain += tally.plain;
        mutated += tally.mutated;
        problems.extend(tally.errors);
        problems.extend(tally.outcome.differences);
        kept.extend(tally.outcome.kept_nulls);
        dropped.extend(tally.outcome.dropped_nulls);
    }
    println!("{plain} messages and {mutated} mutated ones, each in two orders of keys");
    let shown: Vec<&str> = problems
        .iter()
        .take(40)
        .map(|problem| problem.get(..400).unwrap_or(problem))
        .collect();
    assert!(
        problems.is_empty(),
        "{} problems:\n{}",
        problems.len(),
        shown.join("\n")
    );
    let expected: BTreeSet<String> = THREE_STATE.iter().map(ToString::to_string).collect();
    if !cfg!(foreign_schema) {
        assert!(plain > 20_000 && mutated > 4000, "the corpus has shrunk");
        assert_eq!(kept, expected, "these keep a null, those should");
    }
    let both: Vec<_> = kept.intersection(&dropped).collect();
    assert!(both.is_empty(), "kept here, dropped there: {both:?}");
}

#[test]
fn a_new_method_keeps_its_name_and_its_params() {
    let params = json!({ "threadId": "t", "deep": [null, 1.5, { "a": "b" }] });
    let text = params.to_string();
    let method = format!("cas/{UNHEARD_OF}");
    let decoded = ServerNotification::decode(&method, &text).unwrap();
    let again = serde_json::to_value(&decoded).unwrap();
    assert_eq!(again, json!({ "method": method, "params": params }));
    let decoded = ServerRequest::decode(&method, &text).unwrap();
    let again = serde_json::to_value(&decoded).unwrap();
    assert_eq!(again, json!({ "method": method, "params": params }));
    let decoded = ClientRequest::decode(&method, &text).unwrap();
    assert!(matches!(decoded, ClientRequest::Unknown { .. }));
    assert_eq!(decoded.method(), method);
    let again = serde_json::to_value(&decoded).unwrap();
    assert_eq!(again, json!({ "method": method, "params": params }));
}

#[test]
fn every_request_of_the_client_decodes_to_its_own_variant_and_null_params_mean_no_fields() {
    for method in inventory()
        .iter()
        .filter(|method| method.kind == MethodKind::Request)
    {
        // Params without a required field are refused, and never mistaken for another method's.
        if let Ok(request) = ClientRequest::decode(method.method, "{}") {
            assert_eq!(request.method(), method.method);
            assert!(
                !matches!(request, ClientRequest::Unknown { .. }),
                "{}",
                method.method
            );
            let null = ClientRequest::decode(method.method, "null").unwrap();
            assert_eq!(
                serde_json::to_value(null).unwrap(),
                serde_json::to_value(request).unwrap()
            );
        }
    }
    let request = ClientRequest::from(ThreadStartParams::default().cwd("/repo"));
    let ClientRequest::ThreadStart(params) = &request else {
        panic!("{request:?}");
    };
    assert_eq!(params.cwd.as_deref(), Some("/repo"));
    assert_eq!(
        serde_json::to_value(&request).unwrap(),
        json!({ "method": "thread/start", "params": { "cwd": "/repo" } })
    );
}

#[test]
fn every_method_of_the_inventory_is_in_the_corpus() {
    let bundle = Bundle::load();
    for (group, kind) in [
        ("ClientRequest", MethodKind::Request),
        ("ServerRequest", MethodKind::ServerRequest),
        ("ServerNotification", MethodKind::Notification),
    ] {
        let count = inventory().iter().filter(|method| method.kind == kind);
        assert_eq!(bundle.messages(group).len(), count.count(), "{group}");
    }
}

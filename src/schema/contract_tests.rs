//! Needs against the built-in schema, and against schemas that lack something.

use serde_json::json;

use super::*;
use crate::schema::{Profile, built_in};

fn report(needs: impl Into<Needs>, change: impl FnOnce(&mut Summary)) -> String {
    let ours = built_in();
    let mut theirs = ours.clone();
    change(&mut theirs);
    check(&needs.into(), &theirs, &ours).to_string()
}

#[test]
#[cfg_attr(foreign_schema, ignore = "an older schema lacks some of it")]
fn every_profile_is_met_by_the_schema_in_the_repository() {
    for profile in Profile::ALL {
        let report = report(profile, |_| {});
        assert!(report.starts_with("all "), "{profile:?}: {report}");
    }
}

#[test]
fn a_method_that_is_missing_is_named_with_the_version_it_went() {
    let gone = report(Needs::new().method("currentTime/read"), |theirs| {
        theirs.remove("method currentTime/read");
    });
    assert_eq!(
        gone,
        "1 of 1 needs are not met\n  currentTime/read is missing (gone since codex 0.171.0)"
    );
    let not_yet = report(Needs::new().method("thread/search/stream"), |theirs| {
        theirs.remove("method thread/search/stream");
    });
    assert!(
        not_yet.ends_with("is missing (there since codex 0.171.0)"),
        "{not_yet}"
    );
}

#[test]
fn a_method_or_field_that_was_renamed_is_named_with_what_it_may_be_now() {
    let needs = Needs::new()
        .method("turn/interrupt")
        .field("TurnSteerParams", "expectedTurnId");
    let report = report(needs, |theirs| {
        for (old, new) in [
            ("method turn/interrupt", "method turn/interruptNow"),
            ("TurnSteerParams.expectedTurnId", "TurnSteerParams.turnId"),
        ] {
            let what = theirs.remove(old).unwrap();
            theirs.insert(new.to_owned(), what);
        }
    });
    assert_eq!(
        report,
        "2 of 2 needs are not met\n  turn/interrupt is missing; it may now be turn/interruptNow\n  \
         TurnSteerParams.expectedTurnId is missing; it may now be TurnSteerParams.turnId"
    );
}

#[test]
fn a_value_that_the_server_no_longer_takes_is_refused_with_those_that_it_takes() {
    let report = report(Needs::new().value("AskForApproval", "on-failure"), |_| {});
    assert_eq!(
        report,
        "1 of 1 needs are not met\n  AskForApproval = \"on-failure\" is refused; the server takes \"never\", \
         \"on-request\", \"untrusted\""
    );
}

#[test]
fn a_request_is_looked_up_with_every_field_and_value_in_it() {
    let params = json!({
        "threadId": "t", "approvalPolicy": "on-failure", "sandboxPolicy": {"type": "readOnly"}, "dream": 1,
        "input": [{"type": "text", "text": "hi"}, {"type": "smell", "text": "?"}],
    });
    let report = report(Needs::new().request("turn/start", &params), |_| {});
    assert!(
        report.contains("AskForApproval = \"on-failure\" is refused"),
        "{report}"
    );
    assert!(
        report.contains("TurnStartParams.dream is missing"),
        "{report}"
    );
    assert!(
        report.contains("UserInput type=smell is missing"),
        "{report}"
    );
    assert!(report.starts_with("3 of "), "{report}");
    let missing = self::report(Needs::new().request("turn/begin", &params), |_| {});
    assert_eq!(missing, "1 of 1 needs are not met\n  turn/begin is missing");
}

#[test]
fn a_running_server_is_judged_by_the_methods_it_names_and_by_its_version() {
    let ours = built_in();
    let refusal = "Invalid request: unknown variant `cas/probe`, expected one of `initialize`, `thread/start`, `turn/start`";
    let methods = methods_in(refusal);
    assert_eq!(methods.len(), 3);
    let needs = Needs::new()
        .method("thread/start")
        .method("turn/steer")
        .method("thread/search/partial")
        .method("turn/started")
        .value("AskForApproval", "on-failure");
    let contract = check_running(&needs, &methods, Some("0.169.0"), &ours);
    let unmet: Vec<&str> = contract
        .unmet
        .iter()
        .map(|unmet| unmet.need.as_str())
        .collect();
    // The notification is no method of the client's, and came after that version.
    assert_eq!(
        unmet,
        [
            "turn/steer",
            "thread/search/partial",
            "AskForApproval = \"on-failure\""
        ]
    );
    assert_eq!(methods_in("overloaded"), BTreeSet::new());
}

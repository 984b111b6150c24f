//! What a person is told of a decision about an approval: why it is not taken, and what it has
//! accepted.

use serde_json::json;

use crate::{
    common::eventually,
    request_summary::PERMISSIONS,
    screens::shown,
    scripted::{COMMAND, in_ask, in_attach},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_to_a_field_of_a_newer_codex_is_refused_by_the_name_of_the_field() {
    const WHY: &str = "this version of cas does not know the field `sandbox`: true";
    let params = json!({"command": "ls", "sandbox": true});
    in_attach(60, async |terminal, server| {
        server.asks(100, COMMAND, &params);
        terminal.shows("[n/t]").await;
        terminal.enter("y").await;
        let refused = format!("it can't be accepted here, so only n/t is taken: {WHY}");
        terminal.shows(&refused).await;
    })
    .await;
    in_ask(60, async |terminal, server| {
        server.asks(100, COMMAND, &params);
        terminal.shows("[n]o, no and s[t]op the turn?").await;
        terminal.enter("y").await;
        let refused = format!("it can't be accepted here, since {WHY}: n or t: [n]o");
        terminal.shows(&refused).await;
        terminal.enter("n").await;
        assert_eq!(server.answered(100).await["decision"], "decline");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ask_says_after_a_decision_what_was_accepted_with_all_that_it_grants() {
    in_ask(60, async |terminal, server| {
        let wide = json!({"network": {"enabled": true}, "fileSystem": {"write": ["/out"]}});
        let network = json!({"host": "example.org", "protocol": "https"});
        for (id, method, params, remark) in [
            (
                100,
                PERMISSIONS,
                json!({"cwd": "/repo", "permissions": wide, "reason": "to build"}),
                "permissions: may use the network; may write to /out; because: to build",
            ),
            (
                101,
                COMMAND,
                json!({"command": "ls", "additionalPermissions": wide}),
                "ls; may use the network; may write to /out",
            ),
            (
                102,
                COMMAND,
                json!({"networkApprovalContext": network}),
                "may reach the host example.org by https",
            ),
        ] {
            for (id, typed, word) in [(id, "y", "accepted"), (id + 100, "n", "declined")] {
                server.asks(id, method, &params);
                eventually("it is asked", || {
                    shown(terminal)
                        .last()
                        .is_some_and(|line| line.ends_with("turn?"))
                })
                .await;
                terminal.enter(typed).await;
                terminal.shows(&format!("cas: {word}: {remark}")).await;
            }
        }
    })
    .await;
}

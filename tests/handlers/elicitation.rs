//! `mcpServer/elicitation/request`, of a small MCP server.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use cas_sdk::{
    Builder,
    handlers::{
        Decision, Elicitation, ElicitationAnswer, ElicitationAsk, ElicitationRequest, HandlerError,
        Persist, RequestContext, UnclaimedRequest,
    },
    policy::{Audit, DecidedBy, Policy, Rule},
    protocol::TurnStatus,
    testing::{CodexHomeBuilder, Reply},
};
use serde_json::{Value, json};

use crate::{
    common::raw::RawServer,
    common::{Rig, codex_test_with, eventually},
    ended, item, start, told, turn,
};

fn config(home: CodexHomeBuilder) -> CodexHomeBuilder {
    home.model("gpt-5.5")
        .approval_policy("on-request")
        .mcp_server("tiny", "sh", ["-c", include_str!("tiny_mcp.sh")])
}

/// One turn in which the model calls a tool of the MCP server. Returns the item and what the model was told.
async fn call(rig: &Rig, builder: Builder, tool: &str) -> (Value, String) {
    rig.model
        .reply(Reply::new().namespaced_call("c-1", "mcp__tiny", tool, json!({})));
    rig.model.reply(Reply::text("done"));
    let client = builder.spawn().await.unwrap();
    let outcome = turn(&start(&client).await).await;
    assert_eq!(
        (&outcome.status, outcome.text.as_str()),
        (&TurnStatus::Completed, "done")
    );
    client.shutdown().await;
    (item(&outcome, "c-1"), told(rig, "c-1"))
}

/// What the MCP server was answered.
fn answered(item: &Value) -> Value {
    let text = item["result"]["content"][0]["text"]
        .as_str()
        .unwrap_or_else(|| panic!("{item}"));
    serde_json::from_str::<Value>(text).unwrap()["result"].clone()
}

#[tokio::test]
async fn a_tool_that_the_server_denies_without_asking_is_told_with_the_setting_that_allows_it() {
    codex_test_with(
        |home| {
            home.model("gpt-5.5").approval_policy("never").mcp_server(
                "tiny",
                "sh",
                ["-c", include_str!("tiny_mcp.sh")],
            )
        },
        60,
        async |rig| {
            let seen = Arc::new(Mutex::new(Vec::new()));
            let audit = {
                let seen = seen.clone();
                move |audit: &Audit| seen.lock().unwrap().push(audit.clone())
            };
            let (item, _) = call(
                &rig,
                rig.builder()
                    .handlers(cas_sdk::Handlers::new().audit(audit.clone())),
                "rw",
            )
            .await;
            assert_eq!(item["status"], "failed", "{item}");
            let told = std::mem::take(&mut *seen.lock().unwrap());
            assert_eq!(told.len(), 1, "{told:?}");
            let DecidedBy::Settings(text) = &told[0].by else {
                panic!("{told:?}")
            };
            assert_eq!(told[0].method, "item/completed");
            assert_eq!(told[0].item_id.as_deref(), Some("c-1"));
            assert!(
                told[0].answer.contains("approval policy is never"),
                "{told:?}"
            );
            assert!(told[0].thread_id.is_some() && told[0].turn_id.is_some());

            // What the text names does allow it.
            for setting in [
                "mcp_servers.tiny.tools.rw.approval_mode",
                "mcp_servers.tiny.default_tools_approval_mode",
            ] {
                assert!(text.contains(&format!("{setting} = \"approve\"")), "{text}");
                let builder = rig
                    .builder()
                    .handlers(cas_sdk::Handlers::new().audit(audit.clone()));
                let (item, said) = call(&rig, builder.config(setting, "\"approve\""), "rw").await;
                assert_eq!(item["status"], "completed", "{item}");
                assert!(said.contains("did it"), "{said}");
                assert!(seen.lock().unwrap().is_empty());
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_form_is_filled_in() {
    struct Form;
    impl Elicitation for Form {
        async fn elicit(
            &self,
            request: ElicitationRequest,
            cx: RequestContext,
        ) -> Result<ElicitationAnswer, HandlerError> {
            assert_eq!(
                (request.server.as_str(), request.turn_id == cx.turn_id),
                ("tiny", true)
            );
            let ElicitationAsk::Form { message, schema } = request.ask else {
                panic!("{request:?}")
            };
            assert_eq!(
                (message.as_str(), &schema["required"][0]),
                ("Confirm please", &json!("confirmed"))
            );
            Ok(ElicitationAnswer::accept(json!({"confirmed": true})))
        }
    }
    codex_test_with(config, 60, async |rig| {
        let (item, _) = call(
            &rig,
            rig.builder()
                .handlers(cas_sdk::Handlers::new().elicitation(Form)),
            "ask",
        )
        .await;
        assert_eq!(
            answered(&item),
            json!({"action": "accept", "content": {"confirmed": true}})
        );
    })
    .await;
}

#[tokio::test]
async fn every_failure_of_an_elicitation_is_a_refusal_and_the_turn_goes_on() {
    codex_test_with(config, 180, async |rig| {
        let no = |_: ElicitationRequest, _cx| async { Ok(ElicitationAnswer::decline()) };
        let cancel = |_: ElicitationRequest, _cx| async { Ok(ElicitationAnswer::cancel()) };
        let failing = |_: ElicitationRequest, _cx| async { Err(HandlerError::new("no window")) };
        let panicking = |_: ElicitationRequest, _cx| async { panic!("boom") };
        let silent = |_: ElicitationRequest, _cx| std::future::pending();
        let nonsense = |_: UnclaimedRequest, _cx| async { Ok(json!({"decision": "accept"})) };
        let error = |_: UnclaimedRequest, _cx| async { Err(HandlerError::new("no")) };
        let soon = Duration::from_millis(200);
        for (builder, action) in [
            (rig.builder(), "decline"),
            (
                rig.builder()
                    .handlers(cas_sdk::Handlers::new().elicitation(no)),
                "decline",
            ),
            (
                rig.builder()
                    .handlers(cas_sdk::Handlers::new().elicitation(cancel)),
                "cancel",
            ),
            (
                rig.builder()
                    .handlers(cas_sdk::Handlers::new().elicitation(failing)),
                "decline",
            ),
            (
                rig.builder()
                    .handlers(cas_sdk::Handlers::new().elicitation(panicking)),
                "decline",
            ),
            (
                rig.builder().handlers(
                    cas_sdk::Handlers::new()
                        .elicitation(silent)
                        .elicitation_limit(soon, ElicitationAnswer::cancel()),
                ),
                "cancel",
            ),
            (
                rig.builder()
                    .handlers(cas_sdk::Handlers::new().fallback(nonsense)),
                "decline",
            ),
            (
                rig.builder()
                    .handlers(cas_sdk::Handlers::new().fallback(error)),
                "decline",
            ),
        ] {
            let (item, _) = call(&rig, builder, "ask").await;
            assert_eq!(answered(&item)["action"], action);
        }
    })
    .await;
}

#[tokio::test]
async fn a_page_is_opened() {
    codex_test_with(config, 60, async |rig| {
        let open = |request: ElicitationRequest, _cx| async move {
            let ElicitationAsk::Url {
                url,
                elicitation_id,
                ..
            } = request.ask
            else {
                panic!("{request:?}")
            };
            assert_eq!(
                (url.as_str(), elicitation_id.as_str()),
                ("http://127.0.0.1:1/x", "el-1")
            );
            Ok(ElicitationAnswer::accept(()))
        };
        let (item, _) = call(
            &rig,
            rig.builder()
                .handlers(cas_sdk::Handlers::new().elicitation(open)),
            "ask_url",
        )
        .await;
        assert_eq!(answered(&item)["action"], "accept");
    })
    .await;
}

#[tokio::test]
async fn a_tool_call_is_approved_by_the_handler_or_by_a_rule() {
    codex_test_with(config, 120, async |rig| {
        let yes = |request: ElicitationRequest, _cx| async move {
            let ElicitationAsk::ToolCall(tool) = request.ask else {
                panic!("{request:?}")
            };
            assert_eq!(
                (tool.tool.as_str(), tool.description.as_deref()),
                ("rw", Some("Destroys."))
            );
            assert_eq!(tool.annotations["destructiveHint"], true);
            assert_eq!(tool.persist, [Persist::Session, Persist::Always]);
            Ok(Decision::Accept.into())
        };
        let rule = Policy::decline().rule(Rule::accept().mcp_server("tiny").mcp_tool("r*"));
        for builder in [
            rig.builder()
                .handlers(cas_sdk::Handlers::new().elicitation(yes)),
            rig.builder().approvals(rule),
        ] {
            let (item, told) = call(&rig, builder, "rw").await;
            assert_eq!(item["status"], "completed");
            assert!(told.contains("did it"), "{told}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_tool_call_is_refused_by_default_by_a_rule_and_by_the_handler() {
    codex_test_with(config, 120, async |rig| {
        let no = |_: ElicitationRequest, _cx| async { Ok(ElicitationAnswer::decline()) };
        let cancel = |_: ElicitationRequest, _cx| async { Ok(Decision::Cancel.into()) };
        for (builder, text) in [
            (rig.builder(), "rejected"),
            (rig.builder().approvals(Policy::read_only()), "rejected"),
            (rig.builder().approvals(Policy::auto()), "rejected"),
            (
                rig.builder()
                    .handlers(cas_sdk::Handlers::new().elicitation(no)),
                "rejected",
            ),
            (
                rig.builder()
                    .handlers(cas_sdk::Handlers::new().elicitation(cancel)),
                "cancelled",
            ),
        ] {
            let (item, told) = call(&rig, builder, "rw").await;
            assert_eq!(item["status"], "failed");
            assert!(
                told.contains(&format!("user {text} MCP tool call")),
                "{told}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn an_approval_for_the_session_is_not_asked_again() {
    codex_test_with(config, 60, async |rig| {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let yes = move |_: ElicitationRequest, _cx| {
            count.fetch_add(1, Ordering::SeqCst);
            std::future::ready(Ok(
                ElicitationAnswer::accept(json!({})).persist(Persist::Session)
            ))
        };
        let client = rig
            .builder()
            .handlers(cas_sdk::Handlers::new().elicitation(yes))
            .spawn()
            .await
            .unwrap();
        let thread = start(&client).await;
        for id in ["c-1", "c-2"] {
            rig.model
                .reply(Reply::new().namespaced_call(id, "mcp__tiny", "rw", json!({})));
            rig.model.reply(Reply::text("done"));
            assert_eq!(item(&turn(&thread).await, id)["status"], "completed");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn an_interrupt_takes_the_elicitation_back() {
    codex_test_with(config, 60, async |rig| {
        rig.model
            .reply(Reply::new().namespaced_call("c-1", "mcp__tiny", "ask", json!({})));
        let (gone, seen) = tokio::sync::oneshot::channel::<()>();
        let gone = Arc::new(Mutex::new(Some(gone)));
        let silent = move |_: ElicitationRequest, _cx| {
            let gone = gone.lock().unwrap().take();
            async move {
                let _gone = gone; // Dropped with this future.
                std::future::pending().await
            }
        };
        let client = rig
            .builder()
            .handlers(cas_sdk::Handlers::new().elicitation(silent))
            .spawn()
            .await
            .unwrap();
        let running = start(&client).await.ask("go").await.unwrap();
        eventually("the user is asked", || {
            !client.pending_requests().is_empty()
        })
        .await;
        running.interrupt().await.unwrap();
        assert_eq!(ended(running).await.status, TurnStatus::Interrupted);
        assert!(seen.await.is_err(), "the handler is dropped");
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn extended_forms_are_announced_only_by_a_handler_that_shows_them() {
    struct Forms;
    impl Elicitation for Forms {
        async fn elicit(
            &self,
            _request: ElicitationRequest,
            _cx: RequestContext,
        ) -> Result<ElicitationAnswer, HandlerError> {
            Ok(ElicitationAnswer::decline())
        }
        fn openai_forms(&self) -> bool {
            true
        }
    }
    let announced = |peer: &RawServer| {
        peer.initialize["capabilities"]["mcpServerOpenaiFormElicitation"].clone()
    };
    let builder = || cas_sdk::CasClient::builder();
    let (_client, peer) =
        RawServer::connect(builder().handlers(cas_sdk::Handlers::new().elicitation(Forms))).await;
    assert_eq!(announced(&peer), true);
    let no = |_: ElicitationRequest, _cx| async { Ok(ElicitationAnswer::decline()) };
    let (_client, peer) =
        RawServer::connect(builder().handlers(cas_sdk::Handlers::new().elicitation(no))).await;
    assert_eq!(announced(&peer), Value::Null);
    assert_eq!(
        peer.initialize["capabilities"]["requestAttestation"],
        Value::Null
    );
    let token = |_: RequestContext| async { Ok("v1".to_owned()) };
    let (_client, peer) =
        RawServer::connect(builder().handlers(cas_sdk::Handlers::new().attestation(token))).await;
    assert_eq!(peer.initialize["capabilities"]["requestAttestation"], true);
}

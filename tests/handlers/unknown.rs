//! Threads that are not known, params that can't be read, and whose policy decides then.

use cas_sdk::{
    CasClient, Handlers,
    handlers::{
        ApprovalRequest, Decision, Elicitation, ElicitationAnswer, ElicitationRequest,
        HandlerError, RequestContext,
    },
    policy::{Policy, Rule},
    protocol::{ThreadForkParams, ThreadResumeParams, ThreadStartParams},
};
use serde_json::{Value, json};

use crate::{
    common::raw::RawServer,
    common::within,
    threads::{decision, open},
};

const COMMAND: &str = "item/commandExecution/requestApproval";

fn with(client: &CasClient, policy: Policy) -> CasClient {
    client.with_handlers(Handlers::new().approvals(policy))
}

/// A client that accepts everything.
async fn lax() -> (CasClient, RawServer) {
    RawServer::connect(CasClient::builder().approvals(Policy::auto())).await
}

fn spawn(tool: &str, status: &str, children: &[&str]) -> Value {
    json!({"type": "collabAgentToolCall", "id": "i", "tool": tool, "status": status, "receiverThreadIds": children})
}

async fn completed(peer: &mut RawServer, thread: &str, item: Value) {
    let params = json!({"threadId": thread, "turnId": "u", "item": item});
    peer.notify("item/completed", params).await;
}

async fn turn_started(peer: &mut RawServer, thread: &str, turn: &str, root: &str) {
    let params = json!({"threadId": thread, "turn": {"id": turn, "rootTurnId": root}});
    peer.notify("turn/started", params).await;
}

/// What is answered to params that are written out.
async fn answer(peer: &mut RawServer, params: &str) -> Value {
    let line = format!(r#"{{"id":1,"method":"{COMMAND}","params":{params}}}"#);
    peer.send_line(&line).await;
    peer.next().await["result"]["decision"].clone()
}

#[tokio::test]
async fn an_agent_that_speaks_to_a_thread_does_not_hand_it_its_policy() {
    within(30, async {
        for strict_is_the_clients in [true, false] {
            let base = if strict_is_the_clients { Policy::decline() } else { Policy::auto() };
            let (client, mut peer) = RawServer::connect(CasClient::builder().approvals(base)).await;
            let trusted = with(&client, Policy::auto());
            let careful = with(&client, Policy::decline());
            let opener = if strict_is_the_clients { &client } else { &careful };
            open(opener, &mut peer, "STRICT").await;
            open(&trusted, &mut peer, "LAX").await;
            turn_started(&mut peer, "LAX", "u-1", "u-1").await;
            for tool in ["sendInput", "resumeAgent", "wait", "closeAgent", "sendMessage", "followupTask", "interruptAgent", "listAgents", "spawnAgent", ""] {
                completed(&mut peer, "LAX", spawn(tool, "completed", &["STRICT"])).await;
                assert_eq!(decision(&mut peer, "STRICT").await, "decline", "{tool}");
            }
            let activity = json!({"type": "subAgentActivity", "id": "i", "kind": "started", "agentThreadId": "STRICT"});
            completed(&mut peer, "LAX", activity).await;
            turn_started(&mut peer, "STRICT", "u-2", "u-1").await;
            let child = json!({"thread": {"id": "STRICT", "parentThreadId": "LAX"}});
            peer.notify("thread/started", child).await;
            assert_eq!(decision(&mut peer, "STRICT").await, "decline");
            peer.notify("thread/closed", json!({"threadId": "STRICT"})).await;
            completed(&mut peer, "LAX", spawn("spawnAgent", "completed", &["STRICT"])).await;
            assert_eq!(decision(&mut peer, "STRICT").await, "decline", "it was closed");
            assert_eq!(decision(&mut peer, "LAX").await, "acceptForSession");
        }
    })
    .await;
}

#[tokio::test]
async fn only_a_completed_spawn_makes_a_child() {
    within(30, async {
        let (client, mut peer) = RawServer::connect(CasClient::builder().approvals(Policy::decline())).await;
        let trusted = with(&client, Policy::auto());
        open(&trusted, &mut peer, "LAX").await;
        turn_started(&mut peer, "LAX", "u-1", "u-1").await;
        for (child, item) in [
            ("sent", spawn("sendInput", "completed", &["sent"])),
            ("failed", spawn("spawnAgent", "failed", &["failed"])),
            ("begun", spawn("spawnAgent", "inProgress", &["begun"])),
            ("interrupted", spawn("spawnAgent", "interrupted", &["interrupted"])),
            ("interacted", json!({"type": "subAgentActivity", "id": "i", "kind": "interacted", "agentThreadId": "interacted"})),
            ("other", json!({"type": "commandExecution", "id": "i", "tool": "spawnAgent", "status": "completed", "receiverThreadIds": ["other"]})),
            ("odd", json!({"type": "collabAgentToolCall", "id": "i", "tool": ["spawnAgent"], "status": "completed", "receiverThreadIds": ["odd"]})),
        ] {
            completed(&mut peer, "LAX", item).await;
            assert_eq!(decision(&mut peer, child).await, "decline", "{child}");
        }
        turn_started(&mut peer, "by-turn", "u-2", "u-1").await;
        assert_eq!(decision(&mut peer, "by-turn").await, "decline", "it may be anybody's");
        completed(&mut peer, "LAX", spawn("spawnAgent", "completed", &["child", "by-turn"])).await;
        completed(&mut peer, "child", spawn("spawnAgent", "completed", &["grandchild"])).await;
        let activity = json!({"type": "subAgentActivity", "id": "i", "kind": "started", "agentThreadId": "v2"});
        completed(&mut peer, "LAX", activity).await;
        for child in ["child", "by-turn", "grandchild", "v2"] {
            assert_eq!(decision(&mut peer, child).await, "acceptForSession", "{child}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_thread_has_the_handlers_of_the_handle_that_opened_it_by_whatever_method() {
    within(30, async {
        let (client, mut peer) = lax().await;
        let careful = with(&client, Policy::decline());
        let opened = |id: &str| json!({"thread": {"id": id}, "approvalPolicy": "on-request"});
        macro_rules! opens {
            ($id:literal, $method:literal, $request:expr) => {
                let (_, _) = tokio::join!(
                    async { $request.await.map(drop) },
                    peer.expect($method, opened($id))
                );
                assert_eq!(decision(&mut peer, $id).await, "decline", $id);
            };
        }
        opens!(
            "typed",
            "thread/start",
            careful.request(ThreadStartParams::default())
        );
        opens!(
            "text",
            "thread/start",
            careful.request(ThreadStartParams::default()).raw()
        );
        opens!(
            "resumed",
            "thread/resume",
            careful.request(ThreadResumeParams::new("resumed"))
        );
        opens!(
            "forked",
            "thread/fork",
            careful.request(ThreadForkParams::new("x"))
        );
        opens!(
            "raw",
            "thread/start",
            careful.call::<Value>("thread/start", &json!({}))
        );
        opens!(
            "raw-resumed",
            "thread/resume",
            careful.call::<Value>("thread/resume", &json!({"threadId": "raw-resumed"}))
        );
        opens!(
            "raw-forked",
            "thread/fork",
            careful.call::<Value>("thread/fork", &json!({"threadId": "x"}))
        );
        let params = json!({"threadId": "typed"});
        let by_client = client.call::<Value>("thread/resume", &params);
        let (_, _) = tokio::join!(by_client, peer.expect("thread/resume", opened("typed")));
        assert_eq!(
            decision(&mut peer, "typed").await,
            "acceptForSession",
            "the last one decides"
        );
    })
    .await;
}

#[tokio::test]
async fn a_thread_that_nobody_opened_has_the_strictest_of_all_policies() {
    within(30, async {
        let (client, mut peer) = lax().await;
        assert_eq!(decision(&mut peer, "anybody's").await, "acceptForSession", "there is one policy");
        let careful = with(&client, Policy::decline());
        open(&careful, &mut peer, "STRICT").await;
        open(&client, &mut peer, "LAX").await;
        assert_eq!(decision(&mut peer, "LAX").await, "acceptForSession");
        assert_eq!(decision(&mut peer, "unknown").await, "decline");
        for params in [
            r#"{"turnId":"u","itemId":"i","startedAtMs":1,"command":"ls"}"#,
            r#"{"threadId":null,"turnId":"u","itemId":"i","startedAtMs":1,"command":"ls"}"#,
            r#"{"threadId":7,"turnId":"u","itemId":"i","startedAtMs":1,"command":"ls"}"#,
            r#"{"threadId":["LAX"],"turnId":"u","itemId":"i","startedAtMs":1,"command":"ls"}"#,
            r#"{"threadId":"","turnId":"u","itemId":"i","startedAtMs":1,"command":"ls"}"#,
            r#"{"threadId":" LAX","turnId":"u","itemId":"i","startedAtMs":1,"command":"ls"}"#,
            r#"{"threadId":"lax","turnId":"u","itemId":"i","startedAtMs":1,"command":"ls"}"#,
            r#"{"thread":{"id":"LAX"},"turnId":"u","itemId":"i","startedAtMs":1,"command":"ls"}"#,
            r#"{"threadId":"LAX","threadId":"STRICT","turnId":"u","itemId":"i","startedAtMs":1,"command":"ls"}"#,
            r#"{"threadId":"STRICT","threadId":"LAX","turnId":"u","itemId":"i","startedAtMs":1,"command":"ls"}"#,
            r#"{"threadId":"\u0053TRICT","turnId":"u","itemId":"i","startedAtMs":1,"command":"ls"}"#,
            r#"{"thread\u0049d":"STRICT","turnId":"u","itemId":"i","startedAtMs":1,"command":"ls"}"#,
            r#"{"threadId":"LAX","thread\u0049d":"STRICT","turnId":"u","itemId":"i","startedAtMs":1,"command":"ls"}"#,
        ] {
            assert_eq!(answer(&mut peer, params).await, "decline", "{params}");
        }
        let escaped = r#"{"threadId":"\u004cAX","turnId":"u","itemId":"i","startedAtMs":1,"command":"ls"}"#;
        assert_eq!(answer(&mut peer, escaped).await, "acceptForSession");
    })
    .await;
}

#[tokio::test]
async fn a_child_whose_parent_is_closed_does_not_fall_back_to_a_laxer_policy() {
    within(60, async {
        let (client, mut peer) = lax().await;
        let careful = with(
            &client,
            Policy::decline().rule(Rule::accept().command("true")),
        );
        open(&careful, &mut peer, "parent").await;
        turn_started(&mut peer, "parent", "u-0", "u-0").await;
        completed(
            &mut peer,
            "parent",
            spawn("spawnAgent", "completed", &["child"]),
        )
        .await;
        for turn in 0..1100 {
            let (id, thread) = (format!("v-{turn}"), format!("other-{turn}"));
            turn_started(&mut peer, &thread, &id, &id).await;
        }
        turn_started(&mut peer, "late", "u-1", "u-0").await;
        peer.notify("thread/closed", json!({"threadId": "parent"}))
            .await;
        turn_started(&mut peer, "later", "u-2", "u-0").await;
        for thread in ["child", "late", "later", "unknown", "parent"] {
            assert_eq!(decision(&mut peer, thread).await, "decline", "{thread}");
        }
        peer.notify("thread/closed", json!({"threadId": "child"}))
            .await;
        assert_eq!(
            decision(&mut peer, "unknown").await,
            "decline",
            "no thread is open"
        );
        // More policies than are remembered.
        for n in 0..80 {
            let id = format!("t-{n}");
            let rule = Rule::accept().command("ls").named(id.as_str());
            let handle = with(&client, Policy::decline().rule(rule));
            open(&handle, &mut peer, &id).await;
            peer.notify("thread/closed", json!({"threadId": id})).await;
        }
        assert_eq!(decision(&mut peer, "unknown").await, "decline");
    })
    .await;
}

#[tokio::test]
async fn an_unknown_threads_request_goes_to_a_handler_only_if_all_threads_share_it() {
    within(30, async {
        let person = |_: ApprovalRequest, _cx| async { Ok(Decision::Accept) };
        let (client, mut peer) = RawServer::connect(CasClient::builder().approvals(person)).await;
        let same = client.with_handlers(Handlers::new());
        open(&same, &mut peer, "same").await;
        assert_eq!(decision(&mut peer, "unknown").await, "accept");
        peer.notify("thread/closed", json!({"threadId": "same"}))
            .await;
        assert_eq!(decision(&mut peer, "unknown").await, "accept");
        let another = |_: ApprovalRequest, _cx| async { Ok(Decision::AcceptForSession) };
        open(&with(&client, Policy::from(another)), &mut peer, "other").await;
        assert_eq!(decision(&mut peer, "unknown").await, "decline");
        assert_eq!(decision(&mut peer, "other").await, "acceptForSession");
    })
    .await;
}

#[tokio::test]
async fn an_unknown_threads_elicitation_is_answered_by_no_other_threads_handler() {
    struct Yes;
    impl Elicitation for Yes {
        async fn elicit(
            &self,
            _: ElicitationRequest,
            _: RequestContext,
        ) -> Result<ElicitationAnswer, HandlerError> {
            Ok(ElicitationAnswer::accept(json!({})))
        }
    }
    within(30, async {
        let (client, mut peer) = RawServer::connect(CasClient::builder().handlers(cas_sdk::Handlers::new().elicitation(Yes))).await;
        let no = |_: ElicitationRequest, _cx| async { Ok(ElicitationAnswer::decline()) };
        let careful = client.with_handlers(Handlers::new().elicitation(no));
        let action = async |peer: &mut RawServer| {
            let params = json!({"threadId": "unknown", "serverName": "s", "mode": "form", "message": "?", "requestedSchema": {}});
            peer.request(1, "mcpServer/elicitation/request", params).await;
            peer.next().await["result"]["action"].clone()
        };
        assert_eq!(action(&mut peer).await, "accept");
        open(&careful, &mut peer, "STRICT").await;
        assert_eq!(action(&mut peer).await, "decline");
    })
    .await;
}

#[tokio::test]
async fn an_unreadable_request_is_declined_whatever_the_handler_says() {
    within(30, async {
        let yes = |_: ApprovalRequest, _cx| async { Ok(Decision::AcceptAlways) };
        let (_client, mut peer) = RawServer::connect(CasClient::builder().approvals(yes)).await;
        let known = r#""threadId":"t","turnId":"u","itemId":"i","startedAtMs":1"#;
        let deep = "[".repeat(200) + &"]".repeat(200);
        for odd in [
            r#""command":["ls"]"#.to_owned(),
            r#""command":"ls","command":"ls""#.to_owned(),
            r#""command":"ls","availableDecisions":"accept""#.to_owned(),
            r#""command":"ls","availableDecisions":{"0":"accept"}"#.to_owned(),
            r#""command":"ls","proposedExecpolicyAmendment":"ls""#.to_owned(),
            r#""command":"ls","cwd":7"#.to_owned(),
            format!(r#""command":"ls","x":{deep}"#),
        ] {
            let params = format!("{{{known},{odd}}}");
            assert_eq!(answer(&mut peer, &params).await, "decline", "{params}");
        }
        assert_eq!(answer(&mut peer, &format!(r#"{{{known},"command":"ls"}}"#)).await, "acceptForSession");
        for (method, params) in [
            ("item/fileChange/requestApproval", format!(r#"{{{known},"grantRoot":"/a","grantRoot":"/b"}}"#)),
            ("skill/requestApproval", r#"{"itemId":"i","skillName":"a","skillName":"b"}"#.to_owned()),
        ] {
            peer.send_line(&format!(r#"{{"id":1,"method":"{method}","params":{params}}}"#)).await;
            assert_eq!(peer.next().await["result"], json!({"decision": "decline"}), "{params}");
        }
        let params = format!(r#"{{{known},"cwd":"/","permissions":{{"network":{{"enabled":true}}}},"permissions":{{"network":{{"enabled":true}}}}}}"#);
        peer.send_line(&format!(r#"{{"id":1,"method":"item/permissions/requestApproval","params":{params}}}"#)).await;
        assert_eq!(peer.next().await["result"], json!({"permissions": {}}));
    })
    .await;
}

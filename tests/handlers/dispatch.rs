//! Each request is answered exactly once, or by nobody if the server has settled it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use cas_sdk::{
    CasClient, Filter, ToolContext, ToolError,
    handlers::{ApprovalRequest, Approvals, Decision, HandlerError, RequestContext, SkillApproval},
    policy::Policy,
    protocol::ThreadLoadedListParams,
    tools::DynamicTool,
};
use serde_json::{Value, json};

use crate::{
    common::raw::RawServer,
    common::{eventually, within},
};

const COMMAND: &str = "item/commandExecution/requestApproval";

fn command(item: &str) -> Value {
    json!({"threadId": "t", "turnId": "u", "itemId": item, "startedAtMs": 1, "command": "ls"})
}

/// How many handlers were started, and how many were dropped or done.
#[derive(Clone, Default)]
struct Counts(Arc<(AtomicUsize, AtomicUsize)>);

struct Running(Counts);

impl Counts {
    fn start(&self) -> Running {
        self.0.0.fetch_add(1, Ordering::SeqCst);
        Running(self.clone())
    }
    fn started(&self) -> usize {
        self.0.0.load(Ordering::SeqCst)
    }
    fn ended(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.1.fetch_add(1, Ordering::SeqCst);
    }
}

/// A client whose handlers never answer.
async fn silent() -> (CasClient, RawServer, Counts) {
    let counts = Counts::default();
    let (asked, called) = (counts.clone(), counts.clone());
    let tool = DynamicTool::new("t", "d", move |_: Value, _cx: ToolContext| {
        let running = called.start();
        async move {
            let _running = running;
            std::future::pending::<Result<String, ToolError>>().await
        }
    });
    let builder = CasClient::builder()
        .tool(tool.input_schema(json!({})))
        .approvals(move |_: ApprovalRequest, _cx| {
            let running = asked.start();
            async move {
                let _running = running;
                std::future::pending().await
            }
        });
    let (client, peer) = RawServer::connect(builder).await;
    (client, peer, counts)
}

/// Nothing was sent before this request of the client.
async fn nothing_was_sent(client: &CasClient, peer: &mut RawServer) {
    let (answer, _) = tokio::join!(
        client.request(ThreadLoadedListParams::default()),
        peer.expect(
            "thread/loaded/list",
            json!({"data": [], "nextCursor": null})
        )
    );
    answer.unwrap();
}

#[tokio::test]
async fn a_request_that_is_settled_elsewhere_drops_its_handler_and_sends_nothing() {
    within(30, async {
        let call = json!({"threadId": "t", "turnId": "u", "callId": "c-1", "tool": "t", "arguments": {}});
        for (method, params, end, why) in [
            (COMMAND, command("i"), "serverRequest/resolved", json!({"threadId": "t", "requestId": 7})),
            (COMMAND, command("i"), "turn/completed", json!({"threadId": "t", "turn": {"id": "u"}})),
            (COMMAND, command("i"), "thread/closed", json!({"threadId": "t"})),
            ("item/tool/call", call, "item/completed", json!({"threadId": "t", "turnId": "u", "item": {"type": "dynamicToolCall", "id": "c-1"}})),
        ] {
            let (client, mut peer, counts) = silent().await;
            peer.request(7, method, params).await;
            eventually("it is asked", || counts.started() == 1).await;
            assert_eq!(client.pending_requests().len(), 1);
            // The same of others is none of its business.
            peer.notify("serverRequest/resolved", json!({"threadId": "t", "requestId": "7"})).await;
            peer.notify("turn/completed", json!({"threadId": "t", "turn": {"id": "other"}})).await;
            peer.notify("turn/completed", json!({"threadId": "other", "turn": {"id": "u"}})).await;
            peer.notify("thread/closed", json!({"threadId": "other"})).await;
            nothing_was_sent(&client, &mut peer).await;
            assert_eq!((client.pending_requests().len(), counts.ended()), (1, 0), "{end}");
            peer.notify(end, why).await;
            eventually("the handler is dropped", || counts.ended() == 1).await;
            assert!(client.pending_requests().is_empty(), "{end}");
            nothing_was_sent(&client, &mut peer).await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_end_of_the_connection_drops_all_handlers() {
    within(30, async {
        let (client, mut peer, counts) = silent().await;
        for id in 0..3 {
            peer.request(id, COMMAND, command("i")).await;
        }
        eventually("they are asked", || counts.started() == 3).await;
        drop(peer);
        eventually("they are dropped", || counts.ended() == 3).await;
        client.closed().await;
        assert!(client.pending_requests().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_request_that_is_sent_again_while_it_is_open_is_answered_once() {
    within(30, async {
        let (decide, decision) = tokio::sync::watch::channel(false);
        let asked = Counts::default();
        let count = asked.clone();
        let handler = move |_: ApprovalRequest, _cx| {
            let (mut decision, running) = (decision.clone(), count.start());
            async move {
                let _running = running;
                decision.wait_for(|d| *d).await?;
                Ok(Decision::Accept)
            }
        };
        let (client, mut peer) = RawServer::connect(CasClient::builder().approvals(handler)).await;
        peer.request(7, COMMAND, command("i")).await;
        peer.request(7, COMMAND, command("i")).await;
        nothing_was_sent(&client, &mut peer).await;
        decide.send_replace(true);
        assert_eq!(
            peer.next().await,
            json!({"id": 7, "result": {"decision": "accept"}})
        );
        nothing_was_sent(&client, &mut peer).await;
        assert_eq!(asked.started(), 1);
    })
    .await;
}

#[tokio::test]
async fn more_than_256_at_once_are_told_to_come_later_and_nothing_else_is_held_up() {
    within(60, async {
        let (client, mut peer, counts) = silent().await;
        let mut events = client.events(Filter::all().method("warning"));
        for id in 0..256 {
            peer.request(id, COMMAND, command("i")).await;
        }
        eventually("they are asked", || counts.started() == 256).await;
        peer.request(256, COMMAND, command("i")).await;
        let answer = peer.next().await;
        assert_eq!(
            (&answer["id"], &answer["error"]["code"]),
            (&json!(256), &json!(-32001))
        );
        peer.notify("warning", json!({"message": "hello"})).await;
        events.next().await.unwrap().unwrap();
        nothing_was_sent(&client, &mut peer).await;

        let waiting = client.pending_requests();
        assert_eq!(waiting.len(), 256);
        assert!(waiting.is_sorted_by_key(|r| r.since));
        peer.notify(
            "serverRequest/resolved",
            json!({"threadId": "t", "requestId": 0}),
        )
        .await;
        peer.request(257, COMMAND, command("i")).await;
        eventually("there is room again", || counts.started() == 257).await;
    })
    .await;
}

#[tokio::test]
async fn a_request_that_nobody_handles_is_refused_in_the_methods_own_words() {
    within(30, async {
        let (_client, mut peer) = RawServer::connect(CasClient::builder()).await;
        let base = json!({"threadId": "t", "turnId": "u", "itemId": "i", "startedAtMs": 1, "cwd": "/", "permissions": {}, "isBlocking": true, "questions": [], "serverName": "s", "mode": "form", "message": "", "requestedSchema": {}});
        for (method, result) in [
            (COMMAND, json!({"decision": "decline"})),
            ("item/fileChange/requestApproval", json!({"decision": "decline"})),
            ("item/permissions/requestApproval", json!({"permissions": {}})),
            ("skill/requestApproval", json!({"decision": "decline"})),
            ("item/tool/requestUserInput", json!({"answers": {}})),
            ("mcpServer/elicitation/request", json!({"action": "decline"})),
        ] {
            peer.request("a", method, base.clone()).await;
            assert_eq!(peer.next().await, json!({"id": "a", "result": result}), "{method}");
        }
        for method in ["execCommandApproval", "applyPatchApproval"] {
            peer.request(1, method, json!({})).await;
            let error = json!({"code": -32602, "message": format!("Unsupported deprecated server request: {method}"), "data": {"supportedMode": "v2-only"}});
            assert_eq!(peer.next().await, json!({"id": 1, "error": error}));
        }
        for method in ["account/chatgptAuthTokens/refresh", "attestation/generate", "something/new"] {
            peer.request(1, method, json!({})).await;
            let error = json!({"code": -32601, "message": format!("no handler for {method}")});
            assert_eq!(peer.next().await, json!({"id": 1, "error": error}));
        }
        peer.request(1, "currentTime/read", json!({"threadId": "t"})).await;
        assert!(peer.next().await["result"]["currentTimeAt"].as_i64().unwrap() > 1_700_000_000);
    })
    .await;
}

#[tokio::test]
async fn params_that_cannot_be_decoded_are_refused_and_no_handler_sees_them() {
    within(30, async {
        let builder = CasClient::builder()
            .approvals(|_: ApprovalRequest, _cx| async { Ok(Decision::Accept) })
            .handlers(cas_sdk::Handlers::new().user_input(
                |_: cas_sdk::protocol::ToolRequestUserInputParams, _cx| async {
                    Ok(cas_sdk::handlers::Answers::new().answer("a", "b"))
                },
            ));
        let (_client, mut peer) = RawServer::connect(builder).await;
        for (method, result) in [
            (COMMAND, json!({"decision": "decline"})),
            (
                "item/fileChange/requestApproval",
                json!({"decision": "decline"}),
            ),
            (
                "item/permissions/requestApproval",
                json!({"permissions": {}}),
            ),
            ("item/tool/requestUserInput", json!({"answers": {}})),
        ] {
            for params in [json!({"threadId": 7}), json!(null), json!([1])] {
                peer.request(1, method, params).await;
                assert_eq!(
                    peer.next().await,
                    json!({"id": 1, "result": result}),
                    "{method}"
                );
            }
        }
        peer.request(1, "item/tool/call", json!({"arguments": {}}))
            .await;
        assert_eq!(peer.next().await["error"]["code"], -32602);
    })
    .await;
}

#[tokio::test]
async fn an_unknown_kind_of_command_approval_is_for_the_handler_alone() {
    within(30, async {
        let mut odd = command("i");
        odd["kind"] = "telepathy".into();
        let (_client, mut peer) =
            RawServer::connect(CasClient::builder().approvals(Policy::auto())).await;
        peer.request(1, COMMAND, odd.clone()).await;
        assert_eq!(peer.next().await["result"]["decision"], "decline");
        let yes = |_: ApprovalRequest, _cx| async { Ok(Decision::Accept) };
        let (_client, mut peer) =
            RawServer::connect(CasClient::builder().approvals(Policy::auto().handler(yes))).await;
        peer.request(1, COMMAND, odd).await;
        assert_eq!(peer.next().await["result"]["decision"], "accept");
    })
    .await;
}

#[tokio::test]
async fn a_skill_of_an_older_server_is_approved_by_the_handler_or_the_policy() {
    struct Deploys;
    impl Approvals for Deploys {
        async fn skill(
            &self,
            request: SkillApproval,
            _cx: RequestContext,
        ) -> Result<Decision, HandlerError> {
            Ok(if request.skill_name == "deploy" {
                Decision::Accept
            } else {
                Decision::Cancel
            })
        }
    }
    within(30, async {
        let skill = |name: &str| json!({"itemId": "i", "skillName": name});
        let builder = CasClient::builder().approvals(Deploys);
        let (_client, mut peer) = RawServer::connect(builder).await;
        for (name, decision) in [("deploy", "approve"), ("destroy", "decline")] {
            peer.request(1, "skill/requestApproval", skill(name)).await;
            assert_eq!(peer.next().await["result"], json!({"decision": decision}));
        }
        let (_client, mut peer) =
            RawServer::connect(CasClient::builder().approvals(Policy::auto())).await;
        peer.request(1, "skill/requestApproval", skill("any")).await;
        assert_eq!(peer.next().await["result"], json!({"decision": "approve"}));
    })
    .await;
}

#[tokio::test]
async fn the_id_is_echoed_as_it_came() {
    within(30, async {
        let (_client, mut peer) = RawServer::connect(CasClient::builder()).await;
        for id in [
            json!(0),
            json!(-1),
            json!("14"),
            json!("a \"b\" \\ ä"),
            json!(9_007_199_254_740_993_i64),
        ] {
            peer.request(id.clone(), COMMAND, command("i")).await;
            assert_eq!(peer.next().await["id"], id);
        }
    })
    .await;
}

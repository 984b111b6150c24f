//! What no handler claims: the fallback, and the stream of responders.

use cas_sdk::{
    CasClient,
    handlers::{ApprovalRequest, Decision, HandlerError, UnclaimedRequest},
    policy::Policy,
    protocol::{RequestId, ServerRequest, ThreadStartParams, TurnStatus},
    testing::Reply,
};
use serde_json::{Value, json};

use crate::{
    approvals,
    common::raw::RawServer,
    common::{codex_test, codex_test_with, within},
    ended, item, told,
};

const COMMAND: &str = "item/commandExecution/requestApproval";

fn command() -> Value {
    json!({"threadId": "t", "turnId": "u", "itemId": "i", "startedAtMs": 1, "command": "ls"})
}

#[tokio::test]
async fn the_fallback_answers_methods_that_nobody_knows() {
    within(30, async {
        let fallback = |request: UnclaimedRequest, _cx| async move {
            match request.method() {
                "something/new" => Ok(
                    json!({"echo": request.params_as::<Value>()?, "thread": request.thread_id()}),
                ),
                "something/broken" => Err(HandlerError::rpc(-32099, "broken")),
                _ => request.refuse(),
            }
        };
        let (_client, mut peer) = RawServer::connect(
            CasClient::builder().handlers(cas_sdk::Handlers::new().fallback(fallback)),
        )
        .await;
        peer.request(1, "something/new", json!({"threadId": "t", "n": 1}))
            .await;
        assert_eq!(
            peer.next().await["result"],
            json!({"echo": {"threadId": "t", "n": 1}, "thread": "t"})
        );
        peer.request(1, "something/broken", json!({})).await;
        assert_eq!(
            peer.next().await["error"],
            json!({"code": -32099, "message": "broken"})
        );
        peer.request(1, COMMAND, command()).await;
        assert_eq!(peer.next().await["result"], json!({"decision": "decline"}));
        peer.request(1, "something/else", json!({})).await;
        assert_eq!(peer.next().await["error"]["code"], -32601);
    })
    .await;
}

#[tokio::test]
async fn a_request_that_a_handler_or_a_policy_claims_does_not_reach_the_fallback() {
    within(30, async {
        let fallback = |_: UnclaimedRequest, _cx| async { Ok(json!({"decision": "accept"})) };
        let handler = |_: ApprovalRequest, _cx| async { Ok(Decision::Decline) };
        let decided = async |builder: cas_sdk::Builder| {
            let (_client, mut peer) =
                RawServer::connect(builder.handlers(cas_sdk::Handlers::new().fallback(fallback)))
                    .await;
            peer.request(1, COMMAND, command()).await;
            peer.next().await["result"]["decision"].clone()
        };
        assert_eq!(decided(CasClient::builder()).await, "accept");
        assert_eq!(
            decided(CasClient::builder().approvals(Policy::rules([]))).await,
            "accept",
            "it leaves it open"
        );
        assert_eq!(
            decided(CasClient::builder().approvals(Policy::decline())).await,
            "decline"
        );
        assert_eq!(
            decided(CasClient::builder().approvals(handler)).await,
            "decline"
        );
    })
    .await;
}

#[tokio::test]
async fn responders_answer_when_it_suits_and_in_any_order() {
    within(30, async {
        let (client, mut peer) = RawServer::connect(CasClient::builder()).await;
        let mut requests = client.unclaimed_requests();
        peer.request("a", COMMAND, command()).await;
        peer.request(2, "something/new", json!({})).await;
        peer.request(3, "something/new", json!({})).await;
        peer.request(4, "item/tool/requestUserInput", json!({"threadId": "t", "turnId": "u", "itemId": "i", "isBlocking": true, "questions": []})).await;
        let mut taken = Vec::new();
        for _ in 0..4 {
            taken.push(requests.next().await.unwrap());
        }
        assert_eq!(client.pending_requests().len(), 4);
        taken.sort_by_key(|r| r.request().received_at());
        let first = taken.iter().position(|r| r.request().id() == RequestId::from("a")).unwrap();
        let first = taken.remove(first);
        assert!(matches!(first.request().typed(), Ok(ServerRequest::ItemCommandExecutionRequestApproval(_))));
        assert_eq!((first.request().thread_id(), first.request().turn_id(), first.request().item_id()), (Some("t"), Some("u"), Some("i")));
        for responder in taken {
            match responder.request().id() {
                RequestId::Integer(2) => responder.respond(&json!({"ok": true})).unwrap(),
                RequestId::Integer(3) => drop(responder),
                _ => responder.refuse(),
            }
        }
        let mut answers = [peer.next().await, peer.next().await, peer.next().await];
        answers.sort_by_key(|a| a["id"].as_i64());
        assert_eq!(answers[0]["result"], json!({"ok": true}));
        assert_eq!(answers[1]["error"], json!({"code": -32603, "message": "the responder was dropped"}));
        assert_eq!(answers[2]["result"], json!({"answers": {}}));
        first.error(-32000, "no", Some(json!({"why": 1})));
        assert_eq!(peer.next().await, json!({"id": "a", "error": {"code": -32000, "message": "no", "data": {"why": 1}}}));
        assert!(client.pending_requests().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_responder_learns_that_nobody_waits_any_more() {
    within(30, async {
        let (client, mut peer) = RawServer::connect(CasClient::builder()).await;
        let mut requests = client.unclaimed_requests();
        peer.request(1, COMMAND, command()).await;
        let mut responder = requests.next().await.unwrap();
        peer.notify(
            "serverRequest/resolved",
            json!({"threadId": "t", "requestId": 1}),
        )
        .await;
        responder.withdrawn().await;
        responder.respond(&json!({"decision": "accept"})).unwrap(); // Too late: it goes nowhere.
        peer.request(2, "something/new", json!({})).await;
        requests
            .next()
            .await
            .unwrap()
            .respond(&json!(null))
            .unwrap();
        assert_eq!(peer.next().await, json!({"id": 2, "result": null}));
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_is_dropped_refuses_what_is_in_it_and_what_comes() {
    within(30, async {
        let (client, mut peer) = RawServer::connect(CasClient::builder()).await;
        let first = client.unclaimed_requests();
        let mut second = client.unclaimed_requests();
        peer.request(1, COMMAND, command()).await;
        second
            .next()
            .await
            .expect("the one asked for last has them")
            .refuse();
        assert_eq!(peer.next().await["result"], json!({"decision": "decline"}));
        drop(first);
        peer.request(2, COMMAND, command()).await;
        crate::common::eventually("it waits", || client.pending_requests().len() == 1).await;
        drop(second);
        assert_eq!(peer.next().await["result"], json!({"decision": "decline"}));
        peer.request(3, COMMAND, command()).await;
        assert_eq!(peer.next().await["result"], json!({"decision": "decline"}));
        let mut third = client.unclaimed_requests();
        drop(peer);
        assert!(third.next().await.is_none(), "the connection has ended");
    })
    .await;
}

#[tokio::test]
async fn a_stream_of_responders_drives_a_real_turn() {
    codex_test_with(approvals::config, 60, async |rig| {
        rig.model.reply(Reply::new().function_call("c-1", "nobody_has_it", json!({"n": 1})));
        rig.model.reply(approvals::escalated("c-2", "touch here"));
        rig.model.reply(Reply::text("done"));
        let client = rig.client().await;
        let mut requests = client.unclaimed_requests();
        let spec = json!([{"type": "function", "name": "nobody_has_it", "description": "d", "inputSchema": {"type": "object", "properties": {}}}]);
        let params: ThreadStartParams = serde_json::from_value(json!({"dynamicTools": spec})).unwrap();
        let thread = client.start_thread(params).await.unwrap();
        let running = thread.ask("go").await.unwrap();
        let call = requests.next().await.unwrap();
        assert_eq!(call.request().method(), "item/tool/call");
        call.respond(&json!({"contentItems": [{"type": "inputText", "text": "by hand"}], "success": true})).unwrap();
        let approval = requests.next().await.unwrap();
        assert_eq!(approval.request().item_id(), Some("c-2"));
        approval.respond(&json!({"decision": "accept"})).unwrap();
        let outcome = ended(running).await;
        assert_eq!(outcome.status, TurnStatus::Completed);
        assert_eq!(told(&rig, "c-1"), "by hand");
        assert_eq!(item(&outcome, "c-2")["status"], "completed");
        client.shutdown().await;
    }).await;
}

#[tokio::test]
async fn a_malformed_answer_to_a_tool_call_is_the_servers_to_report() {
    codex_test(60, async |rig| {
        let spec = json!([{"type": "function", "name": "t", "description": "d", "inputSchema": {"type": "object", "properties": {}}}]);
        for (answer, text) in [
            (Ok(json!({"output": "old"})), "dynamic tool response was invalid"),
            (Err("no"), "dynamic tool request failed"),
        ] {
            rig.model.reply(Reply::new().function_call("c-1", "t", json!({})));
            rig.model.reply(Reply::text("done"));
            let fallback = move |_: UnclaimedRequest, _cx| std::future::ready(answer.clone().map_err(HandlerError::new));
            let client = rig.builder().handlers(cas_sdk::Handlers::new().fallback(fallback)).spawn().await.unwrap();
            let params: ThreadStartParams = serde_json::from_value(json!({"dynamicTools": spec})).unwrap();
            let thread = client.start_thread(params).await.unwrap();
            let outcome = crate::turn(&thread).await;
            assert_eq!(told(&rig, "c-1"), text);
            assert_eq!(item(&outcome, "c-1")["status"], "failed");
            client.shutdown().await;
        }
    }).await;
}

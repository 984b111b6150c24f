//! Handlers of single threads.

use cas_sdk::{
    CasClient, Handlers, ToolContext,
    policy::Policy,
    protocol::{ThreadForkParams, ThreadStartParams},
    testing::{ModelRequest, Reply},
    tools::DynamicTool,
};
use serde_json::{Value, json};

use crate::{
    approvals::{config, escalated},
    common::raw::RawServer,
    common::{codex_test, codex_test_with, within},
    item, start, told, turn,
};

const COMMAND: &str = "item/commandExecution/requestApproval";

fn tool(name: &str, says: &'static str) -> DynamicTool {
    DynamicTool::new(
        name,
        "A tool.",
        move |_: Value, _cx: ToolContext| async move { Ok(says) },
    )
    .input_schema(json!({"type": "object", "properties": {}}))
}

#[tokio::test]
async fn a_thread_has_its_own_handlers_and_the_clients_for_the_rest() {
    codex_test_with(config, 60, async |rig| {
        rig.model
            .respond_with(|request: &ModelRequest| match request.tool_output("c-1") {
                Some(_) => Reply::text("done"),
                None => escalated("c-1", "touch here")
                    .function_call("c-2", "t", json!({}))
                    .function_call("c-3", "base", json!({})),
            });
        let client = rig
            .builder()
            .tool(tool("base", "of the client"))
            .tool(tool("t", "of the client"))
            .spawn()
            .await
            .unwrap();
        let own = Handlers::new()
            .approvals(Policy::auto())
            .tool(tool("t", "of the thread"))
            .tool(tool("more", "of the thread"));
        let trusted = client.with_handlers(own);
        let (one, two) = (start(&client).await, start(&trusted).await);
        let outcome = turn(&one).await;
        assert_eq!(item(&outcome, "c-1")["status"], "declined");
        assert_eq!(told(&rig, "c-2"), "of the client");
        let outcome = turn(&two).await;
        assert_eq!(item(&outcome, "c-1")["status"], "completed");
        assert_eq!(told(&rig, "c-2"), "of the thread");
        assert_eq!(told(&rig, "c-3"), "of the client");
        let requests = rig.model.requests();
        let shown = |request: &ModelRequest| request.tools().contains(&"more".to_owned());
        assert!(!shown(&requests[0]) && shown(requests.last().unwrap()));
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_resumed_or_forked_thread_has_the_handlers_it_was_opened_with() {
    codex_test(60, async |rig| {
        let client = rig
            .builder()
            .tool(tool("t", "before"))
            .spawn()
            .await
            .unwrap();
        rig.model.reply(Reply::text("hello"));
        let thread = start(&client).await;
        turn(&thread).await;
        client.shutdown().await;

        let client = rig.client().await;
        let handle = client.with_handlers(Handlers::new().tool(tool("t", "after")));
        let resumed = handle.resume_thread(thread.id()).await.unwrap();
        let forked = handle
            .fork_thread(ThreadForkParams::new(thread.id()))
            .await
            .unwrap();
        for thread in [&resumed, &forked] {
            rig.model
                .reply(Reply::new().function_call("c-1", "t", json!({})));
            rig.model.reply(Reply::text("done"));
            turn(thread).await;
            assert_eq!(told(&rig, "c-1"), "after");
        }
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn the_handlers_of_a_thread_are_checked_before_anything_is_sent() {
    within(30, async {
        let (client, _peer) = RawServer::connect(CasClient::builder()).await;
        let handle = client.with_handlers(Handlers::new().tool(tool("a.b", "")));
        let error = handle
            .start_thread(ThreadStartParams::default())
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("\"a.b\" must be 1 to 128"),
            "{error}"
        );
        let error = handle.resume_thread("t").await.unwrap_err();
        assert!(
            error.to_string().contains("\"a.b\" must be 1 to 128"),
            "{error}"
        );
    })
    .await;
}

/// Starts the thread `id` through a handle.
pub(crate) async fn open(handle: &CasClient, peer: &mut RawServer, id: &str) {
    let (thread, _) = tokio::join!(
        handle.start_thread(ThreadStartParams::default()),
        peer.expect(
            "thread/start",
            json!({"thread": {"id": id}, "approvalPolicy": "on-request"})
        )
    );
    assert_eq!(thread.unwrap().id(), id);
}

pub(crate) async fn decision(peer: &mut RawServer, thread: &str) -> Value {
    let params = json!({"threadId": thread, "turnId": "u", "itemId": "i", "startedAtMs": 1, "command": "ls"});
    peer.request(1, COMMAND, params).await;
    peer.next().await["result"]["decision"].clone()
}

#[tokio::test]
async fn the_threads_that_a_thread_spawns_have_its_handlers() {
    within(30, async {
        let (client, mut peer) =
            RawServer::connect(CasClient::builder().approvals(Policy::auto())).await;
        let careful = client.with_handlers(Handlers::new().approvals(Policy::decline()));
        open(&careful, &mut peer, "parent").await;
        let child =
            |id: &str, parent: Value| json!({"thread": {"id": id, "parentThreadId": parent}});
        peer.notify("thread/started", child("child", json!("parent")))
            .await;
        peer.notify("thread/started", child("grandchild", json!("child")))
            .await;
        peer.notify("thread/started", child("other", Value::Null))
            .await;
        for (thread, word) in [
            ("parent", "decline"),
            ("child", "decline"),
            ("grandchild", "decline"),
            ("other", "decline"),
        ] {
            assert_eq!(decision(&mut peer, thread).await, word, "{thread}");
        }
        for thread in ["child", "parent"] {
            peer.notify("thread/closed", json!({"threadId": thread}))
                .await;
            assert_eq!(decision(&mut peer, thread).await, "decline", "it is closed");
        }
    })
    .await;
}

#[tokio::test]
async fn the_handle_that_opened_a_thread_last_decides() {
    within(30, async {
        let (client, mut peer) = RawServer::connect(CasClient::builder()).await;
        let trusted = client.with_handlers(Handlers::new().approvals(Policy::auto()));
        open(&trusted, &mut peer, "t").await;
        assert_eq!(decision(&mut peer, "t").await, "acceptForSession");
        open(&client, &mut peer, "t").await;
        assert_eq!(decision(&mut peer, "t").await, "decline");
    })
    .await;
}

#[tokio::test]
async fn a_request_right_behind_the_answer_that_opens_the_thread_finds_its_handlers() {
    within(30, async {
        let (client, mut peer) = RawServer::connect(CasClient::builder()).await;
        let trusted = client.with_handlers(Handlers::new().approvals(Policy::auto()));
        let (thread, ()) = tokio::join!(trusted.resume_thread("t"), async {
            let request = peer.next().await;
            let params = json!({"threadId": "t", "turnId": "u", "itemId": "i", "startedAtMs": 1, "command": "ls"});
            // In one write, as the server does when it replays what waits for an answer.
            let answer = json!({"id": request["id"], "result": {"thread": {"id": "t"}}});
            peer.send_all(&[answer, json!({"id": 9, "method": COMMAND, "params": params})]).await;
        });
        thread.unwrap();
        assert_eq!(peer.next().await, json!({"id": 9, "result": {"decision": "acceptForSession"}}));
    })
    .await;
}

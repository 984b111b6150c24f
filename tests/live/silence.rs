//! What the real server does not produce, or not in this order, played by a fake one.

use cas_sdk::{
    CasClient, Error, ToolOutput,
    client::Role,
    handlers::{Decision, ElicitationAnswer, Grant, PendingRequest, Settled},
    protocol::{
        MethodKind, PermissionsRequestApprovalParams, ThreadLoadedListParams, ThreadStartParams,
        inventory,
    },
};
use serde_json::{Value, json};

use crate::{
    common::raw::RawServer,
    common::{eventually, within},
    waiting,
};

const COMMAND: &str = "item/commandExecution/requestApproval";

async fn client(role: Role) -> (CasClient, RawServer) {
    RawServer::connect(CasClient::builder().role(role)).await
}

fn of(thread: &str, more: &Value) -> Value {
    let mut params = json!({"threadId": thread, "turnId": "u", "itemId": "i", "startedAtMs": 1});
    let more = more.as_object().unwrap().clone();
    params.as_object_mut().unwrap().extend(more);
    params
}

/// The next message of the client, which must be this request and not an answer before it.
async fn nothing_was_answered(client: &CasClient, server: &mut RawServer) {
    let request = client.request(ThreadLoadedListParams::default());
    let (listed, ()) = tokio::join!(async { request.await }, async {
        let heard = server.next().await;
        assert_eq!(heard["method"], "thread/loaded/list", "{heard}");
        let answer = json!({"id": heard["id"], "result": {"data": [], "nextCursor": null}});
        server.send(&answer).await;
    });
    listed.unwrap();
}

#[tokio::test]
async fn no_request_of_others_of_whatever_method_gets_an_answer() {
    within(60, async {
        for role in [Role::Observer, Role::Driver] {
            let (client, mut server) = client(role).await;
            let requests = inventory()
                .iter()
                .filter(|m| m.kind == MethodKind::ServerRequest);
            let methods: Vec<_> = requests.map(|m| m.method).chain(["x/newMethod"]).collect();
            assert!(methods.len() > 6, "{methods:?}");
            for (id, method) in methods.iter().enumerate() {
                server.request(id, method, of("others", &json!({}))).await;
                server.request(1000 + id, method, json!({})).await;
            }
            // One that can't be read, since it is too long, and one that is no object.
            server
                .send_line(r#"{"id":"odd","method":"item/tool/call","params":[1]}"#)
                .await;
            nothing_was_answered(&client, &mut server).await;
            assert_eq!(client.pending_requests().len(), 2 * methods.len() + 1);
        }
    })
    .await;
}

#[tokio::test]
async fn a_sub_agent_that_asks_before_its_spawn_is_complete_is_answered_after_it() {
    within(60, async {
        let (client, mut server) = client(Role::Observer).await;
        let (parent, ()) = tokio::join!(client.start_thread(ThreadStartParams::default()), async {
            let start = server.next().await;
            let thread = json!({"id": "parent", "status": {"type": "idle"}, "turns": []});
            server.send(&json!({"id": start["id"], "result": {"thread": thread}})).await;
        });
        parent.unwrap();
        server.request(7, COMMAND, of("child", &json!({"command": "ls"}))).await;
        server.request(8, COMMAND, of("stranger", &json!({"command": "ls"}))).await;
        eventually("both wait", || client.pending_requests().len() == 2).await;
        assert!(client.pending_requests().iter().all(|request| !request.is_ours()));
        nothing_was_answered(&client, &mut server).await;
        let item = json!({"type": "collabAgentToolCall", "id": "s", "tool": "spawnAgent", "status": "completed",
            "senderThreadId": "parent", "receiverThreadIds": ["child"], "agentsStates": {}});
        let spawned = json!({"threadId": "parent", "turnId": "u", "item": item});
        server.notify("item/completed", spawned).await;
        let answer = server.next().await;
        assert_eq!(answer, json!({"id": 7, "result": {"decision": "decline"}}));
        nothing_was_answered(&client, &mut server).await;
        assert_eq!(waiting(&client).await.thread_id.as_deref(), Some("stranger"));
    })
    .await;
}

async fn asked(
    client: &CasClient,
    server: &mut RawServer,
    method: &str,
    params: Value,
) -> PendingRequest {
    server.request(5, method, of("others", &params)).await;
    waiting(client).await
}

fn is_invalid(answered: &Result<(), Error>) -> bool {
    matches!(answered, Err(Error::Invalid(_)))
}

#[tokio::test]
async fn an_explicit_answer_is_of_the_requests_kind_and_no_wider_than_the_request() {
    within(60, async {
        let (client, mut server) = client(Role::Driver).await;

        let available = json!(["accept", "cancel"]);
        let params = json!({"command": "ls", "availableDecisions": available});
        let request = asked(&client, &mut server, COMMAND, params).await;
        assert_eq!(
            request.offers(),
            [Decision::Accept, Decision::Decline, Decision::Cancel]
        );
        request.answer(Decision::AcceptForSession).await.unwrap();
        let once = json!({"id": 5, "result": {"decision": "accept"}});
        assert_eq!(server.next().await, once, "the next stricter one");

        let params = json!({"command": "ls", "availableDecisions": ["decline"]});
        let request = asked(&client, &mut server, COMMAND, params).await;
        assert!(is_invalid(&request.accept().await));
        request.answer(Decision::Cancel).await.unwrap();
        assert_eq!(server.next().await["result"]["decision"], "cancel");

        let params = json!({"command": {"odd": 1}});
        let request = asked(&client, &mut server, COMMAND, params).await;
        assert_eq!(
            request.offers(),
            [Decision::Decline, Decision::Cancel],
            "it is unreadable"
        );
        assert!(is_invalid(&request.accept().await));
        request.decline().await.unwrap();
        assert_eq!(server.next().await["result"]["decision"], "decline");

        let permissions = json!({"fileSystem": {"read": ["/a"], "write": ["/b"]}});
        let params = json!({"cwd": "/", "permissions": permissions});
        let request = asked(
            &client,
            &mut server,
            "item/permissions/requestApproval",
            params,
        )
        .await;
        let typed: PermissionsRequestApprovalParams = serde_json::from_str(request.json()).unwrap();
        let mut wider = typed.permissions.clone();
        wider.file_system.as_mut().unwrap().write =
            serde_json::from_value(json!(["/b", "/c"])).unwrap();
        assert!(is_invalid(&request.answer(Grant::of(wider)).await));
        let mut narrower = typed.permissions.clone();
        narrower.file_system.as_mut().unwrap().write = None;
        request.answer(Grant::of(narrower)).await.unwrap();
        let granted = server.next().await["result"]["permissions"].clone();
        assert_eq!(granted["fileSystem"]["read"], json!(["/a"]));
        assert!(granted["fileSystem"]["write"].is_null());

        let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}});
        let params =
            json!({"serverName": "s", "mode": "form", "message": "?", "requestedSchema": schema});
        let request = asked(
            &client,
            &mut server,
            "mcpServer/elicitation/request",
            params,
        )
        .await;
        assert!(is_invalid(&request.accept().await), "it asks for content");
        assert_eq!(request.offers(), [Decision::Decline, Decision::Cancel]);
        let content = ElicitationAnswer::accept(json!({"name": "x"}));
        request.answer(content).await.unwrap();
        assert_eq!(server.next().await["result"]["content"]["name"], "x");

        let params = json!({"callId": "c", "tool": "t", "arguments": {}});
        let request = asked(&client, &mut server, "item/tool/call", params).await;
        assert!(is_invalid(&request.decline().await));
        request.answer(ToolOutput::from("output")).await.unwrap();
        assert_eq!(server.next().await["result"]["success"], true);
        assert_eq!(request.settled(), Some(Settled::Answered));
    })
    .await;
}

#[tokio::test]
async fn the_audit_knows_of_an_explicit_answer_before_it_is_sent_even_if_its_future_is_dropped() {
    within(60, async {
        let (told, mut audited) = tokio::sync::mpsc::unbounded_channel();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        let handlers = cas_sdk::Handlers::new().audit(move |audit| {
            told.send(format!("{} {}", audit.by, audit.answer)).unwrap();
            wait.lock().unwrap().recv().unwrap();
        });
        let builder = CasClient::builder().role(Role::Driver).handlers(handlers);
        let (client, mut server) = RawServer::connect(builder).await;
        let request = asked(&client, &mut server, COMMAND, json!({"command": "ls"})).await;
        tokio::select! {
            biased;
            answered = request.accept() => panic!("the audit holds it up: {answered:?}"),
            () = std::future::ready(()) => {}
        }
        let audit = audited.recv().await.unwrap();
        assert_eq!(audit, r#"explicit answer {"decision":"accept"}"#);
        let second = request.decline().await.unwrap_err();
        assert!(matches!(second, Error::NotPending { .. }), "{second:?}");
        nothing_was_answered(&client, &mut server).await;
        go.send(()).unwrap();
        assert_eq!(server.next().await["result"]["decision"], "accept");
    })
    .await;
}

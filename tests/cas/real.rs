//! The proxy in front of the real codex.

use cas_sdk::testing::{Gate, Reply};
use serde_json::json;

use crate::{
    common::{Rig, codex_test, scenes::escalated, within},
    instance::{Instance, command},
};

fn instance(rig: &Rig, flags: &[&str]) -> Instance {
    let dir = tempfile::tempdir().unwrap();
    let mut command = command(rig.codex(), dir.path());
    command
        .env_clear()
        .envs(rig.home.env())
        .arg("--cwd")
        .arg(rig.home.work_dir())
        .args(flags);
    Instance::run(command, dir)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_goes_through_and_every_message_of_it_is_an_event() {
    codex_test(120, async |rig| {
    rig.model.reply(Reply::new().delta("hel").delta("lo"));
    within(60, async {
        let mut cas = instance(&rig, &[]);
        let ready = cas.ready();
        assert!(ready["appServerUserAgent"].as_str().unwrap().starts_with("cas/"), "{ready}");
        cas.send(&json!({"type": "cas/request", "method": "thread/start", "clientRequestId": "start"}).to_string());
        let started = cas.event(|e| e["clientRequestId"] == "start" && e["type"] == "cas/fromServer");
        let thread = started["threadId"].as_str().unwrap().to_owned();
        assert_eq!(started["msg"]["result"]["thread"]["id"], *thread);
        let input = json!([{"type": "text", "text": "hi"}]);
        cas.send(&json!({"type": "cas/request", "method": "turn/start", "params": {"threadId": thread, "input": input}}).to_string());
        let mut text = String::new();
        loop {
            let event = cas.event(|e| e["kind"] == "notification" && e["threadId"] == *thread);
            match event["method"].as_str().unwrap() {
                "item/agentMessage/delta" => text.push_str(event["msg"]["params"]["delta"].as_str().unwrap()),
                "turn/completed" => {
                    assert_eq!(event["turnId"], event["msg"]["params"]["turn"]["id"]);
                    break;
                }
                _ => {}
            }
        }
        assert_eq!(text, "hello");
        cas.send(r#"{"type":"cas/exit"}"#);
        let events = cas.rest();
        let exit = events.iter().find(|e| e["type"] == "cas/appServerExit").unwrap();
        assert_eq!(exit["code"], 0, "{exit}");
        assert_eq!(cas.wait().code(), Some(0));
    })
    .await;
}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_approved_by_policy_and_runs_or_is_declined_and_does_not() {
    for (flags, ran) in [(&[][..], true), (&["--read-only"][..], false)] {
        let Some(rig) = Rig::with(|home| {
            home.model("gpt-5.5")
                .approval_policy("on-request")
                .sandbox_mode("read-only")
        })
        .await
        else {
            return;
        };
        rig.model
            .reply(escalated("call-1", "touch made-by-the-agent"));
        rig.model.reply(Reply::text("done"));
        within(60, async {
            let mut cas = instance(&rig, flags);
            cas.ready();
            cas.send(r#"{"type":"cas/request","method":"thread/start"}"#);
            let thread = cas.event(|e| e["requestMethod"] == "thread/start")["threadId"].clone();
            let input = json!([{"type": "text", "text": "go"}]);
            cas.send(&json!({"type": "cas/request", "method": "turn/start", "params": {"threadId": thread, "input": input}}).to_string());
            let answer = cas.event(|e| e["reason"] == "autoApproval");
            assert_eq!(answer["method"], "item/commandExecution/requestApproval");
            assert_eq!(answer["threadId"], thread);
            cas.event(|e| e["method"] == "turn/completed");
            assert_eq!(rig.home.work_dir().join("made-by-the-agent").exists(), ran, "{answer}");
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_call_is_for_the_orchestrator_and_its_answer_reaches_the_model() {
    codex_test(120, async |rig| {
    rig.model
        .reply(Reply::new().function_call("call-1", "weather", json!({"city": "Paris"})));
    rig.model.reply(Reply::text("sunny, then").hold(&{
        let open = Gate::new();
        open.open();
        open
    }));
    within(60, async {
        let mut cas = instance(&rig, &[]);
        cas.ready();
        let tool = json!({"name": "weather", "description": "d", "inputSchema": {"type": "object", "properties": {}}});
        cas.send(&json!({"type": "cas/request", "method": "thread/start", "params": {"dynamicTools": [tool]}}).to_string());
        let thread = cas.event(|e| e["requestMethod"] == "thread/start")["threadId"].clone();
        let input = json!([{"type": "text", "text": "go"}]);
        cas.send(&json!({"type": "cas/request", "method": "turn/start", "params": {"threadId": thread, "input": input}}).to_string());
        let call = cas.event(|e| e["type"] == "cas/serverRequest");
        assert_eq!((&call["method"], &call["timeoutMs"]), (&"item/tool/call".into(), &30_000.into()));
        assert_eq!(call["msg"]["params"]["arguments"]["city"], "Paris");
        let result = json!({"contentItems": [{"type": "inputText", "text": "sunny"}], "success": true});
        cas.send(&json!({"type": "cas/respond", "id": call["id"], "result": result}).to_string());
        cas.event(|e| e["method"] == "turn/completed");
        assert_eq!(rig.model.requests()[1].tool_output("call-1").unwrap(), "sunny");
    })
    .await;
}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_commands_waits_for_the_turn_that_runs() {
    codex_test(120, async |rig| {
    let open = Gate::new();
    rig.model
        .reply(Reply::new().delta("hel").hold(&open).delta("lo"));
    within(60, async {
        let mut cas = instance(&rig, &[]);
        cas.ready();
        cas.send(r#"{"type":"cas/request","method":"thread/start"}"#);
        let thread = cas.event(|e| e["requestMethod"] == "thread/start")["threadId"].clone();
        let input = json!([{"type": "text", "text": "go"}]);
        cas.send(&json!({"type": "cas/request", "method": "turn/start", "params": {"threadId": thread, "input": input}}).to_string());
        cas.close_stdin();
        // All that was asked is answered, and the model has not finished.
        cas.event(|e| e["method"] == "item/agentMessage/delta");
        open.open();
        let events = cas.rest();
        let at = |found: &dyn Fn(&serde_json::Value) -> bool| events.iter().position(found);
        let completed = at(&|e| e["method"] == "turn/completed").unwrap();
        let exiting = at(&|e| e["type"] == "cas/exiting").unwrap();
        assert!(completed < exiting);
        assert_eq!(events[completed]["msg"]["params"]["turn"]["status"], "completed");
        assert_eq!(events[exiting]["reason"], "stdinClosed");
        assert_eq!(cas.wait().code(), Some(0));
    })
    .await;
}).await;
}

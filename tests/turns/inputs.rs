//! What a user says, in parts, and how a turn is to be done.

use cas_sdk::{
    Input,
    protocol::{AskForApproval, ReasoningEffort, SandboxPolicy, UserInput},
    testing::Reply,
};
use serde_json::{Value, json};

use crate::common::codex_test;

/// One red pixel.
const PNG: &[u8] = &[
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0x0d, 0x49, 0x48, 0x44, 0x52, 0, 0, 0,
    1, 0, 0, 0, 1, 8, 2, 0, 0, 0, 0x90, 0x77, 0x53, 0xde, 0, 0, 0, 0x0c, 0x49, 0x44, 0x41, 0x54,
    0x08, 0xd7, 0x63, 0xf8, 0xcf, 0xc0, 0, 0, 3, 1, 1, 0, 0x18, 0xdd, 0x8d, 0xb0, 0, 0, 0, 0, 0x49,
    0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82,
];
const PIXEL: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVQI12P4z8AAAAMBAQAY3Y2wAAAAAElFTkSuQmCC";

#[tokio::test]
async fn all_parts_of_an_input_reach_the_model() {
    codex_test(60, async |rig| {
        let file = rig.home.work_dir().join("pixel.png");
        std::fs::write(&file, PNG).unwrap();
        let skill = rig.home.path().join("skills/dancing/SKILL.md");
        std::fs::create_dir_all(skill.parent().unwrap()).unwrap();
        let text = "---\nname: dancing\ndescription: How to dance.\n---\nLeft foot first.\n";
        std::fs::write(&skill, text).unwrap();
        let (client, thread) = rig.thread().await;
        rig.model.reply(Reply::text("seen"));
        let input = Input::from("Look at these.")
            .image_url(PIXEL)
            .local_image(&file)
            .skill("dancing", &skill)
            .mention("some app", "app://some-app")
            .text("And at this.");
        let outcome = thread.ask(input).await.unwrap().finish().await.unwrap();
        assert_eq!(outcome.text, "seen");
        let request = rig.model.next_request().await;
        let said = Value::from(request.input().to_vec()).to_string();
        assert_eq!(said.matches("input_image").count(), 2, "{said}");
        for part in ["Look at these.", "Left foot first.", "And at this."] {
            assert!(said.contains(part), "{part} in {said}");
        }
        client.shutdown().await;
    })
    .await;
}

#[test]
fn parts_convert_to_and_from_the_types_of_the_protocol() {
    let input = Input::from("a").image_url(PIXEL).mention("n", "app://n");
    let parts: Vec<UserInput> = input.into();
    assert_eq!(parts.len(), 3);
    assert!(matches!(&parts[0], UserInput::Text(t) if t.text == "a"));
    let back: Vec<UserInput> = Input::from(parts.clone()).into();
    assert_eq!(back, parts);
}

#[tokio::test]
async fn the_overrides_of_a_turn_reach_the_server_and_stay_for_the_next() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        let dir = rig.home.work_dir().join("elsewhere");
        std::fs::create_dir(&dir).unwrap();
        let sandbox: SandboxPolicy =
            serde_json::from_value(json!({"type": "dangerFullAccess"})).unwrap();
        rig.model.reply(Reply::text("one"));
        rig.model.reply(Reply::text("two"));
        thread
            .ask("hi")
            .model("gpt-5.5")
            .effort(ReasoningEffort::from("high"))
            .cwd(&dir)
            .approval_policy(AskForApproval::OnRequest)
            .sandbox_policy(sandbox)
            .await
            .unwrap()
            .finish()
            .await
            .unwrap();
        thread.ask("again").await.unwrap().finish().await.unwrap();
        let requests = rig.model.requests();
        assert_eq!(requests[0].model(), "gpt-5.5");
        assert_eq!(requests[0].body()["reasoning"]["effort"], "high");
        let said = Value::from(requests[0].input().to_vec()).to_string();
        assert!(said.contains(dir.to_str().unwrap()), "{said}");
        assert!(said.contains("danger-full-access"), "{said}");
        assert_eq!(requests[1].model(), "gpt-5.5", "it stays");
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn the_model_may_ask_the_user_in_plan_mode() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        let mode = json!({"mode": "plan", "settings": {"model": "mock-model", "reasoning_effort": null, "developer_instructions": null}});
        let questions = json!({"questions": [{"id": "q", "header": "Sure?", "question": "Are you sure?", "options": [{"label": "Yes", "description": "Go."}]}]});
        rig.model.reply(Reply::new().function_call("c-1", "request_user_input", questions));
        rig.model.reply(Reply::text("planned"));
        let ask = thread.ask("plan it").collaboration_mode(serde_json::from_value(mode).unwrap());
        assert_eq!(ask.await.unwrap().finish().await.unwrap().text, "planned");
        let output = rig.model.requests()[1].tool_output("c-1").unwrap().to_string();
        assert!(!output.contains("unavailable"), "{output}");
        client.shutdown().await;
    }).await;
}

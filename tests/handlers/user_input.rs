//! `item/tool/requestUserInput`.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use cas_sdk::{
    Builder, TurnOutcome,
    handlers::{Answers, HandlerError, RequestContext, UnclaimedRequest, UserInput},
    protocol::{ToolRequestUserInputParams, TurnStatus},
    testing::{CodexHomeBuilder, Reply},
};
use serde_json::{Value, json};

use crate::{
    common::{Rig, codex_test_with, eventually},
    ended, start, told, turn,
};

fn config(home: CodexHomeBuilder) -> CodexHomeBuilder {
    home.feature("default_mode_request_user_input", true)
}

fn question() -> Value {
    let option = |label: &str| json!({"label": label, "description": "A colour."});
    json!({"questions": [{"id": "colour", "header": "Colour", "question": "Which colour?", "options": [option("red"), option("blue")]}]})
}

/// One turn in which the model asks which colour. Returns what it was told.
async fn ask(rig: &Rig, builder: Builder) -> (Value, TurnOutcome) {
    rig.model
        .reply(Reply::new().function_call("c-1", "request_user_input", question()));
    rig.model.reply(Reply::text("done"));
    let client = builder.spawn().await.unwrap();
    let outcome = turn(&start(&client).await).await;
    assert_eq!(
        (&outcome.status, outcome.text.as_str()),
        (&TurnStatus::Completed, "done")
    );
    client.shutdown().await;
    (serde_json::from_str(&told(rig, "c-1")).unwrap(), outcome)
}

#[tokio::test]
async fn the_answers_reach_the_model() {
    struct Blue(Arc<Mutex<Option<ToolRequestUserInputParams>>>);
    impl UserInput for Blue {
        async fn answer(
            &self,
            request: ToolRequestUserInputParams,
            cx: RequestContext,
        ) -> Result<Answers, HandlerError> {
            assert_eq!(cx.thread_id.as_deref(), Some(request.thread_id.as_str()));
            let answers = Answers::new().answer(&request.questions[0].id, "blue");
            *self.0.lock().unwrap() = Some(request);
            Ok(answers)
        }
    }
    codex_test_with(config, 60, async |rig| {
        let asked = Arc::new(Mutex::new(None));
        let (told, _) = ask(
            &rig,
            rig.builder()
                .handlers(cas_sdk::Handlers::new().user_input(Blue(asked.clone()))),
        )
        .await;
        assert_eq!(told, json!({"answers": {"colour": {"answers": ["blue"]}}}));
        let asked = asked.lock().unwrap().take().unwrap();
        assert_eq!(asked.questions[0].question, "Which colour?");
        let options = asked.questions[0].options.as_deref().unwrap();
        assert_eq!(options[1].label, "blue");
    })
    .await;
}

#[tokio::test]
async fn a_closure_answers_too() {
    codex_test_with(config, 60, async |rig| {
        let builder = rig.builder().handlers(cas_sdk::Handlers::new().user_input(
            |request: ToolRequestUserInputParams, _cx| async move {
                let first = &request.questions[0];
                Ok(Answers::new()
                    .answer(&first.id, "red")
                    .answer(&first.id, "and blue"))
            },
        ));
        let (told, _) = ask(&rig, builder).await;
        assert_eq!(
            told,
            json!({"answers": {"colour": {"answers": ["red", "and blue"]}}})
        );
    })
    .await;
}

#[tokio::test]
async fn the_model_goes_on_without_an_answer_of_the_user() {
    codex_test_with(config, 120, async |rig| {
        let failing =
            |_: ToolRequestUserInputParams, _cx| async { Err(HandlerError::new("no terminal")) };
        let panicking = |_: ToolRequestUserInputParams, _cx| async { panic!("boom") };
        let refusing = |_: ToolRequestUserInputParams, _cx| async { Ok(Answers::new()) };
        let nonsense = |_: UnclaimedRequest, _cx| async { Ok(json!({"answers": "blue"})) };
        let error = |_: UnclaimedRequest, _cx| async { Err(HandlerError::rpc(-32000, "no")) };
        for builder in [
            rig.builder(),
            rig.builder()
                .handlers(cas_sdk::Handlers::new().user_input(failing)),
            rig.builder()
                .handlers(cas_sdk::Handlers::new().user_input(panicking)),
            rig.builder()
                .handlers(cas_sdk::Handlers::new().user_input(refusing)),
            rig.builder()
                .handlers(cas_sdk::Handlers::new().fallback(nonsense)),
            rig.builder()
                .handlers(cas_sdk::Handlers::new().fallback(error)),
        ] {
            let (told, _) = ask(&rig, builder).await;
            assert_eq!(told, json!({"answers": {}}));
        }
    })
    .await;
}

#[tokio::test]
async fn a_silent_user_has_no_limit_but_the_one_that_is_set() {
    codex_test_with(config, 60, async |rig| {
        let silent = |_: ToolRequestUserInputParams, _cx| std::future::pending();
        let outcome = Answers::new().answer("colour", "whichever");
        let builder = rig.builder().handlers(
            cas_sdk::Handlers::new()
                .user_input(silent)
                .user_input_limit(Duration::from_millis(200), outcome),
        );
        let (told, _) = ask(&rig, builder).await;
        assert_eq!(
            told,
            json!({"answers": {"colour": {"answers": ["whichever"]}}})
        );
    })
    .await;
}

#[tokio::test]
async fn an_interrupt_takes_the_question_back() {
    codex_test_with(config, 60, async |rig| {
        rig.model
            .reply(Reply::new().function_call("c-1", "request_user_input", question()));
        let (gone, seen) = tokio::sync::oneshot::channel::<()>();
        let gone = Arc::new(Mutex::new(Some(gone)));
        let silent = move |_: ToolRequestUserInputParams, _cx| {
            let gone = gone.lock().unwrap().take();
            async move {
                let _gone = gone; // Dropped with this future.
                std::future::pending().await
            }
        };
        let client = rig
            .builder()
            .handlers(cas_sdk::Handlers::new().user_input(silent))
            .spawn()
            .await
            .unwrap();
        let running = start(&client).await.ask("go").await.unwrap();
        eventually("the user is asked", || {
            !client.pending_requests().is_empty()
        })
        .await;
        assert_eq!(client.pending_requests()[0].item_id.as_deref(), Some("c-1"));
        running.interrupt().await.unwrap();
        assert_eq!(ended(running).await.status, TurnStatus::Interrupted);
        assert!(seen.await.is_err(), "the handler is dropped");
        assert!(client.pending_requests().is_empty());
        client.shutdown().await;
    })
    .await;
}

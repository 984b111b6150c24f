//! A turn from its start to its end, its tools and its failures included.

use std::time::Duration;

use crate::{
    answers,
    common::{codex_test, codex_test_with, eventually, is_alive},
    interrupted,
};
use cas_sdk::{
    Error, Tool, ToolContext, ToolError, TurnEvent,
    protocol::{CodexErrorInfo, ThreadItem, ThreadStartParams, TurnStatus},
    testing::{Gate, Reply},
    turn::TurnErrorKind,
};
use serde_json::json;

#[tokio::test]
async fn the_text_streams_and_the_outcome_has_it_whole() {
    codex_test(60, async |rig| {
        rig.model.reply(
            Reply::new()
                .reasoning("thinking")
                .delta("he")
                .delta("llo")
                .delta(" there"),
        );
        let (client, thread) = rig.thread().await;
        let mut turn = thread.ask("hi").await.unwrap();
        let (mut text, mut reasoning, mut outcome) = (Vec::new(), String::new(), None);
        while let Some(event) = turn.next().await {
            match event.unwrap() {
                TurnEvent::Text { delta, .. } => text.push(delta),
                TurnEvent::Reasoning { delta, .. } => reasoning.push_str(&delta),
                TurnEvent::Completed(done) => outcome = Some(done),
                _ => {}
            }
        }
        let outcome = outcome.unwrap();
        assert_eq!(text, ["he", "llo", " there"]);
        assert_eq!(reasoning, "thinking");
        assert_eq!(
            (outcome.text.as_str(), &outcome.status),
            ("hello there", &TurnStatus::Completed)
        );
        assert!(outcome.items.iter().all(|i| i.completed));
        assert!(matches!(outcome.items[0].item, ThreadItem::UserMessage(_)));
        assert!(outcome.usage.is_some() && outcome.failure.is_none());
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_steer_right_after_the_start_reaches_the_model_in_the_same_turn() {
    codex_test(60, async |rig| {
        let gate = Gate::new();
        rig.model.reply(Reply::new().delta("one").hold(&gate));
        rig.model.reply(Reply::text("two"));
        let (client, thread) = rig.thread().await;
        let turn = thread.ask("first").await.unwrap();
        turn.steer("second").await.unwrap();
        gate.open();
        let outcome = turn.finish().await.unwrap();
        assert_eq!(outcome.text, "two");
        let requests = rig.model.requests();
        assert_eq!(requests.len(), 2);
        assert!(requests[1].user_texts().contains(&"second"));
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn an_interrupt_right_after_the_start_lands() {
    codex_test(60, async |rig| {
        rig.model
            .otherwise(Reply::new().delta("working").hold(&Gate::new()));
        let (client, thread) = rig.thread().await;
        for _ in 0..5 {
            let turn = thread.ask("go").await.unwrap();
            assert_eq!(turn.interrupt().await.unwrap(), TurnStatus::Interrupted);
            let error = turn.finish().await.unwrap_err();
            assert!(
                matches!(&error, Error::Turn(e) if matches!(e.kind, TurnErrorKind::Interrupted)),
                "{error:?}"
            );
        }
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_dropped_turn_is_interrupted_and_a_detached_one_is_not() {
    codex_test(60, async |rig| {
        let gate = Gate::new();
        rig.model
            .otherwise(Reply::new().delta("working").hold(&gate));
        let (client, thread) = rig.thread().await;
        let mut ends = client.events(cas_sdk::Filter::all().method("turn/completed"));
        drop(thread.ask("go").await.unwrap());
        interrupted(&mut ends).await;

        let control = thread.ask("again").await.unwrap().detach();
        gate.open();
        let end = ends.next().await.unwrap().unwrap();
        assert_eq!(end.turn_id(), Some(control.turn_id()));
        assert!(
            end.line().contains(r#""status":"completed""#),
            "{}",
            end.line()
        );
        client.shutdown().await;
    })
    .await;
}

struct Weather;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct WeatherArgs {
    /// The city to look at.
    city: String,
}

impl Tool for Weather {
    const NAME: &'static str = "weather";
    const DESCRIPTION: &'static str = "Tells the weather of a city.";
    type Args = WeatherArgs;
    type Output = String;

    async fn call(&self, args: WeatherArgs, cx: ToolContext) -> Result<String, ToolError> {
        assert!(!cx.thread_id.is_empty() && !cx.turn_id.is_empty());
        match args.city.as_str() {
            "Atlantis" => Err(ToolError::new("Atlantis is under water")),
            "Pompeii" => panic!("Vesuvius"),
            city => Ok(format!("sunny in {city}")),
        }
    }
}

#[tokio::test]
async fn a_tool_call_is_answered_and_its_failures_reach_the_model_as_text() {
    codex_test(60, async |rig| {
        let calls = [
            ("c-1", "weather", json!({"city": "Paris"}), "sunny in Paris"),
            (
                "c-2",
                "weather",
                json!({"city": "Atlantis"}),
                "Atlantis is under water",
            ),
            (
                "c-3",
                "weather",
                json!({"city": "Pompeii"}),
                "the tool weather failed unexpectedly",
            ),
            (
                "c-4",
                "weather",
                json!({"town": "Paris"}),
                "invalid arguments for weather: missing field `city`",
            ),
        ];
        for (id, tool, args, _) in &calls {
            rig.model
                .reply(Reply::new().function_call(id, tool, args.clone()));
        }
        rig.model.reply(Reply::text("done"));
        let client = rig.builder().tool(Weather).spawn().await.unwrap();
        let thread = client
            .start_thread(ThreadStartParams::default())
            .await
            .unwrap();
        let outcome = thread
            .ask("weather?")
            .await
            .unwrap()
            .finish()
            .await
            .unwrap();
        assert_eq!(outcome.text, "done");
        let requests = rig.model.requests();
        assert!(requests[0].tools().contains(&"weather".to_owned()));
        for (n, (id, _, _, answer)) in calls.iter().enumerate() {
            let output = requests[n + 1]
                .tool_output(id)
                .and_then(|o| o.as_str())
                .unwrap_or_default();
            assert!(output.starts_with(answer), "{id}: {output}");
        }
        let items: Vec<_> = outcome
            .items
            .iter()
            .filter(|i| matches!(i.item, ThreadItem::DynamicToolCall(_)))
            .collect();
        assert_eq!(items.len(), calls.len());
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_thread_is_resumed_after_a_restart_of_the_process() {
    codex_test(60, async |rig| {
        rig.model.reply(Reply::text("I remember"));
        rig.model.reply(Reply::text("you said 4711"));
        let (client, thread) = rig.thread().await;
        thread
            .ask("remember 4711")
            .await
            .unwrap()
            .finish()
            .await
            .unwrap();
        client.shutdown().await;

        let client = rig.client().await;
        let resumed = client.resume_thread(thread.id()).await.unwrap();
        assert_eq!(resumed.id(), thread.id());
        let outcome = resumed
            .ask("what did I say?")
            .await
            .unwrap()
            .finish()
            .await
            .unwrap();
        assert_eq!(outcome.text, "you said 4711");
        assert!(
            rig.model.requests()[1]
                .user_texts()
                .contains(&"remember 4711")
        );
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_failed_turn_tells_the_servers_reason_and_what_there_was() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model
            .reply(Reply::status(500, json!({"error": "boom"})));
        let Err(Error::Turn(error)) = thread.ask("one").await.unwrap().finish().await else {
            panic!("it failed")
        };
        assert!(matches!(error.kind, TurnErrorKind::Failed));
        assert_eq!(error.info(), Some(&CodexErrorInfo::InternalServerError));
        assert_eq!(error.outcome.status, TurnStatus::Failed);
        assert_eq!(
            error.outcome.items.len(),
            1,
            "the user's message: {:?}",
            error.outcome.items
        );

        rig.model
            .reply(Reply::new().delta("half an ans").drop_connection());
        let Err(Error::Turn(error)) = thread.ask("two").await.unwrap().finish().await else {
            panic!("it failed")
        };
        assert!(error.to_string().contains("stream disconnected"), "{error}");
        assert_eq!(error.outcome.text, "half an ans");

        answers(&rig, &thread).await;
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn retries_of_the_server_are_progress() {
    codex_test_with(
        |home| home.retries(0, 2),
        60,
        async |rig| {
            let (client, thread) = rig.thread().await;
            rig.model
                .reply(Reply::new().delta("lost").drop_connection());
            rig.model.reply(Reply::text("found"));
            let mut turn = thread.ask("one").await.unwrap();
            let mut retries = 0;
            let outcome = loop {
                match turn.next().await.unwrap().unwrap() {
                    TurnEvent::Retrying(failure) => {
                        assert!(failure.message.contains("1/2"), "{failure}");
                        retries += 1;
                    }
                    TurnEvent::Completed(outcome) => break outcome,
                    _ => {}
                }
            };
            assert_eq!(
                (retries, outcome.status, outcome.text.as_str()),
                (1, TurnStatus::Completed, "found")
            );
            client.shutdown().await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_client_dropped_in_the_middle_of_a_turn_leaves_no_process() {
    codex_test(60, async |rig| {
        rig.model
            .reply(Reply::new().delta("working").hold(&Gate::new()));
        let (client, thread) = rig.thread().await;
        let pid = client.pid().unwrap();
        let mut turn = thread.ask("go").await.unwrap();
        while !matches!(turn.next().await.unwrap().unwrap(), TurnEvent::Text { .. }) {}
        drop((client, thread));
        assert!(is_alive(pid), "the turn keeps it");
        drop(turn);
        eventually("the process is gone", || !is_alive(pid)).await;
    })
    .await;
}

#[tokio::test]
async fn the_end_of_the_process_ends_the_turn_with_what_there_was() {
    codex_test(60, async |rig| {
        rig.model
            .reply(Reply::new().delta("so far").hold(&Gate::new()));
        let (client, thread) = rig.thread().await;
        let mut turn = thread.ask("go").await.unwrap();
        while !matches!(turn.next().await.unwrap().unwrap(), TurnEvent::Text { .. }) {}
        client.shutdown().await;
        let error = tokio::time::timeout(Duration::from_secs(5), turn.finish())
            .await
            .unwrap()
            .unwrap_err();
        let Error::Turn(error) = error else {
            panic!("{error:?}")
        };
        assert!(matches!(error.kind, TurnErrorKind::Closed(_)));
        assert_eq!(error.outcome.text, "so far");
    })
    .await;
}

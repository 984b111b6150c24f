//! Plan mode, and the last word of a turn.

use cas_sdk::{
    Error,
    handlers::Answers,
    protocol::{ThreadStartParams, ToolRequestUserInputParams},
    testing::{Gate, Reply},
    turn::{Plan, StartedBy},
};
use serde_json::json;

use crate::common::{codex_test, within};

const BLOCK: &str = "<proposed_plan>\n# Plan\n1. Measure.\n2. Fix.\n</proposed_plan>\n";

#[tokio::test]
async fn a_turn_in_plan_mode_has_a_plan_which_the_next_one_carries_out() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model.reply(Reply::text(BLOCK));
        let planned = thread
            .ask("Make it faster.")
            .plan()
            .await
            .unwrap()
            .finish()
            .await
            .unwrap();
        let plan = planned.plan().unwrap();
        assert_eq!(planned.text, "", "it says nothing else");
        assert!(
            plan.text.contains("1. Measure.") && plan.is_complete,
            "{plan:?}"
        );
        assert_eq!(
            (&plan.thread_id, &plan.turn_id),
            (&planned.thread_id, &planned.turn_id)
        );

        // The mode sticks.
        rig.model
            .reply(Reply::text(format!("Once more:\n{BLOCK}That is it.")));
        let again = thread.ask("Sure?").await.unwrap().finish().await.unwrap();
        assert!(again.plan().is_some());
        assert!(
            again.text.contains("Once more:") && !again.text.contains("Measure"),
            "{}",
            again.text
        );

        rig.model.reply(Reply::text(format!("Done.\n{BLOCK}")));
        let turn = thread.implement(&plan).await.unwrap();
        assert_eq!(turn.started_by(), StartedBy::Us);
        let done = turn.finish().await.unwrap();
        assert!(
            done.plan().is_none() && done.text.contains("<proposed_plan>"),
            "plan mode was left"
        );
        let requests = rig.model.requests();
        assert!(
            requests
                .iter()
                .all(|request| request.body()["model"] == "mock-model")
        );
        assert!(requests[2].user_texts().contains(&"Implement the plan."));

        // Another thread gets the plan into its context.
        let other = client
            .start_thread(ThreadStartParams::default())
            .await
            .unwrap();
        rig.model.reply(Reply::text("Done."));
        other
            .implement(&plan)
            .await
            .unwrap()
            .finish()
            .await
            .unwrap();
        rig.model.reply(Reply::text("Done."));
        other
            .implement(&Plan::new("My own plan"))
            .await
            .unwrap()
            .finish()
            .await
            .unwrap();
        let bodies: Vec<_> = rig
            .model
            .requests()
            .iter()
            .map(|r| r.body().to_string())
            .collect();
        assert!(bodies[3].contains("1. Measure.") && bodies[4].contains("My own plan"));
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_plan_that_was_cut_off_says_so_and_questions_are_asked_in_plan_mode() {
    codex_test(60, async |rig| {
        let builder = rig.builder().handlers(cas_sdk::Handlers::new().user_input(|asked: ToolRequestUserInputParams, _cx| async move {
            Ok(Answers::new().answer(&asked.questions[0].id, "the second"))
        }));
        let client = builder.spawn().await.unwrap();
        let thread = client.start_thread(ThreadStartParams::default()).await.unwrap();
        let question = json!({"questions": [{"id": "q", "header": "Which", "question": "Which one?",
            "options": [{"label": "the first", "description": "1"}, {"label": "the second", "description": "2"}]}]});
        rig.model.reply(Reply::new().function_call("ask", "request_user_input", question));
        rig.model.reply(Reply::text(BLOCK));
        let planned = thread.ask("Plan").plan().await.unwrap().finish().await.unwrap();
        assert!(planned.plan().is_some());
        let output = rig.model.requests()[1].tool_output("ask").unwrap().to_string();
        assert!(output.contains("the second"), "{output}");

        rig.model.reply(Reply::new().delta("<proposed_plan>\n").delta("# Half\n").delta("1. Me").hold(&Gate::new()));
        let mut turn = thread.ask("Plan").await.unwrap();
        while turn.partial_outcome().plan().is_none_or(|plan| !plan.text.contains("Half")) {
            turn.next().await.unwrap().unwrap();
        }
        turn.interrupt().await.unwrap();
        let Err(Error::Turn(error)) = turn.finish().await else { panic!("it was interrupted") };
        let plan = error.outcome.plan().unwrap();
        assert!(!plan.is_complete && plan.text.contains("Half"), "{plan:?}");
        client.shutdown().await;
    }).await;
}

#[tokio::test]
async fn a_mode_is_not_changed_without_a_model() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        let named = client.thread(thread.id());
        let error = named.ask("Plan").plan().await.unwrap_err();
        assert!(
            matches!(&error, Error::Invalid(text) if text.contains(".model(")),
            "{error:?}"
        );
        rig.model.reply(Reply::text(BLOCK));
        let planned = named.ask("Plan").plan().model("mock-model").await.unwrap();
        assert!(planned.finish().await.unwrap().plan().is_some());
        rig.model.reply(Reply::text("fine"));
        let turn = named
            .ask("Go")
            .execute()
            .await
            .expect("its settings were told meanwhile");
        assert_eq!(turn.finish().await.unwrap().text, "fine");
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_message_that_was_sent_on_the_way_is_not_the_answer() {
    within(20, async {
        let (client, server) = cas_sdk::testing::FakeServer::connect(cas_sdk::CasClient::builder()).await.unwrap();
        server.opens("thr");
        server.starts("turn");
        let thread = client.resume_thread("thr").await.unwrap();
        let turn = thread.ask("go").await.unwrap();
        server.turn_started("thr", "turn");
        let message = |id: &str, text: &str, delivery: serde_json::Value| {
            let item = json!({"type": "agentMessage", "id": id, "text": text, "phase": "final_answer", "delivery": delivery});
            server.item_completed("thr", "turn", item);
        };
        message("m1", "the answer", json!(null));
        message("m2", "by the way", json!("async"));
        server.turn_completed("thr", "turn", "completed");
        let outcome = turn.finish().await.unwrap();
        assert_eq!((outcome.text.as_str(), outcome.items.len()), ("the answer", 2));
    })
    .await;
}

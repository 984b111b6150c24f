//! Answers as values of a type.

use std::collections::HashMap;

use cas_sdk::{
    Error, ErrorClass, RpcErrorKind,
    testing::{Gate, Reply},
    turn::TurnErrorKind,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::common::codex_test;

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Verdict {
    /// Why.
    reasons: Vec<String>,
    broken: bool,
    commit: Option<String>,
}

#[tokio::test]
async fn an_answer_comes_as_a_value_and_its_schema_went_out_strict() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        let text = json!({"reasons": ["a", "b"], "broken": true, "commit": null}).to_string();
        // A remark of the same form is not the answer.
        let remark = json!({"reasons": [], "broken": false, "commit": null}).to_string();
        rig.model
            .reply(Reply::new().commentary(remark).final_answer(text));
        let turn = thread.ask("Who broke it?").structured::<Verdict>().await;
        let (verdict, _) = turn.unwrap().finish().await.unwrap();
        let expected = Verdict {
            reasons: vec!["a".into(), "b".into()],
            broken: true,
            commit: None,
        };
        assert_eq!(verdict, expected);
        let format = rig.model.next_request().await.body()["text"]["format"].clone();
        assert_eq!(
            (&format["type"], &format["strict"]),
            (&json!("json_schema"), &json!(true))
        );
        let schema = &format["schema"];
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["required"].as_array().unwrap().len(), 3);
        assert_eq!(
            schema["properties"]["commit"]["type"],
            json!(["string", "null"])
        );
        assert_eq!(schema["properties"]["reasons"]["description"], "Why.");

        // And it is of this turn only.
        rig.model.reply(Reply::text("plain"));
        thread
            .ask("And in prose?")
            .await
            .unwrap()
            .finish()
            .await
            .unwrap();
        assert!(rig.model.next_request().await.body()["text"]["format"].is_null());
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_is_no_object_is_unwrapped() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model
            .reply(Reply::text(json!({"value": ["x", "y"]}).to_string()));
        let turn = thread.ask("Name two.").structured::<Vec<String>>().await;
        let (list, _) = turn.unwrap().finish().await.unwrap();
        assert_eq!(list, ["x", "y"]);
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_turn_with_a_schema_can_be_watched_and_overridden_like_any_other() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        let text = json!({"reasons": [], "broken": false, "commit": "c0ffee"}).to_string();
        rig.model.reply(Reply::text(text));
        let ask = thread
            .ask("Who?")
            .model("another-model")
            .structured::<Verdict>();
        let mut turn = ask.await.unwrap();
        assert!(turn.next().await.unwrap().is_ok());
        let (verdict, outcome) = turn.finish().await.unwrap();
        assert_eq!(verdict.commit.as_deref(), Some("c0ffee"));
        assert!(outcome.usage.is_some());
        assert_eq!(rig.model.next_request().await.model(), "another-model");
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_an_error_with_the_outcome_and_its_tokens() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        for text in ["I'd rather not say.", r#"{"reasons": "none"}"#] {
            rig.model.reply(Reply::text(text));
            let turn = thread.ask("Who?").structured::<Verdict>().await.unwrap();
            let error = turn.finish().await.unwrap_err();
            assert_eq!(error.class(), ErrorClass::Decode);
            let Error::Turn(error) = error else {
                panic!("{error:?}")
            };
            assert!(
                matches!(&error.kind, TurnErrorKind::AnswerMismatch { reason } if !reason.is_empty()),
                "{error:?}"
            );
            assert_eq!(error.outcome.text, text);
            assert!(error.outcome.usage.is_some());
        }
        client.shutdown().await;
    }).await;
}

#[tokio::test]
async fn a_type_that_cannot_be_asked_for_is_refused_before_anything_is_sent() {
    #[derive(Debug, Deserialize, JsonSchema)]
    struct Prices {
        #[expect(dead_code, reason = "it is here for its type")]
        by_city: HashMap<String, f64>,
    }
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        let error = thread
            .ask("How much?")
            .structured::<Prices>()
            .await
            .unwrap_err();
        assert!(
            matches!(&error, Error::Invalid(text) if text.contains("field `by_city` is a map")),
            "{error:?}"
        );
        // A turn that had been sent would have come first.
        rig.model.reply(Reply::text("x"));
        thread.ask("hi").await.unwrap().finish().await.unwrap();
        assert_eq!(rig.model.requests().len(), 1);
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_turn_that_answers_in_another_form_is_not_joined() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        let gate = Gate::new();
        rig.model.reply(Reply::new().hold(&gate).message("prose"));
        let turn = thread.ask("hi").await.unwrap();
        rig.model.next_request().await;
        let error = thread
            .ask("Who?")
            .structured::<Verdict>()
            .await
            .unwrap_err();
        assert_eq!(
            error.rpc_kind(),
            Some(RpcErrorKind::OutputSchemaMismatch),
            "{error:?}"
        );
        gate.open();
        assert_eq!(turn.finish().await.unwrap().text, "prose");
        client.shutdown().await;
    })
    .await;
}

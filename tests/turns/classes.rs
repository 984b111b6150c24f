//! How a turn failed, by class.

use std::time::{Duration, UNIX_EPOCH};

use cas_sdk::{ErrorClass, testing::Reply};
use serde_json::json;

use crate::common::codex_test;

#[tokio::test]
async fn a_failure_of_the_model_has_a_class_and_a_limit_the_time_of_its_reset() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        let at = 4_000_000_000;
        let resets_at = Some(UNIX_EPOCH + Duration::from_secs(at));
        let limit = json!({ "error": { "type": "usage_limit_reached", "message": "limit" } });
        for (reply, class) in [
            (
                Reply::status(429, limit).primary_window(100.0, 300, at),
                ErrorClass::RateLimited { resets_at },
            ),
            (
                Reply::status(401, json!({ "error": { "message": "no auth" } })),
                ErrorClass::Auth,
            ),
            (
                Reply::status(503, json!({ "error": { "code": "server_is_overloaded" } })),
                ErrorClass::Overloaded,
            ),
            (Reply::status(500, json!({})), ErrorClass::Unavailable),
            (
                Reply::new().fail("context_length_exceeded", "too long"),
                ErrorClass::ContextWindow,
            ),
            (
                Reply::new().delta("half").end_early(),
                ErrorClass::Unavailable,
            ),
        ] {
            rig.model.reply(reply);
            let turn = thread.ask("x").await.unwrap();
            let error = turn.finish().await.unwrap_err();
            assert_eq!(error.class(), class, "{error}");
        }
        client.shutdown().await;
    })
    .await;
}

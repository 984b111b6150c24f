//! The examples do what they claim.

#[path = "../examples/approvals.rs"]
mod approvals;
#[path = "../examples/auth_refresh.rs"]
mod auth_refresh;
#[path = "../examples/elicitation.rs"]
mod elicitation;
#[path = "../examples/tool.rs"]
mod tool;
#[path = "../examples/user_input.rs"]
mod user_input;

use std::{future::Future, time::Duration};

/// Runs an example, if there is a codex to run it with.
async fn run<T>(example: impl Future<Output = anyhow::Result<T>>) -> Option<T> {
    cas_sdk::testing::codex_or_skip().await?;
    let ended = tokio::time::timeout(Duration::from_secs(60), example).await;
    Some(ended.expect("in time").expect("it succeeds"))
}

#[tokio::test]
async fn tool() {
    if let Some(told) = run(tool::run()).await {
        assert_eq!(told[..2], ["3.5", "nothing divides by zero"]);
        assert!(told[2].starts_with("invalid arguments for divide: "));
    }
}

#[tokio::test]
async fn approvals() {
    if let Some(audits) = run(approvals::run()).await {
        let decisions = [
            r#"harmless: {"decision":"accept"}"#,
            r#"nothing is removed: {"decision":"decline"}"#,
            r#"handler: {"decision":"accept"}"#,
        ];
        assert_eq!(audits, decisions);
    }
}

#[tokio::test]
async fn user_input() {
    if let Some(told) = run(user_input::run()).await {
        assert_eq!(told, r#"{"answers":{"colour":{"answers":["blue"]}}}"#);
    }
}

#[tokio::test]
async fn auth_refresh() {
    if let Some(text) = run(auth_refresh::run()).await {
        assert_eq!(text, "welcome back");
    }
}

#[tokio::test]
async fn elicitation() {
    if let Some(told) = run(elicitation::run()).await {
        assert!(told[0].contains("confirmed"), "{told:?}");
        assert!(told[1].contains("did it"), "{told:?}");
    }
}

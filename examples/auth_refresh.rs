//! ChatGPT tokens that this program manages. `cargo run --example auth_refresh` (real codex,
//! scripted model).

use cas_sdk::{
    CasClient, Filter,
    handlers::{ChatgptTokens, RefreshRequest},
    protocol::ThreadStartParams,
    testing::{self, CodexHome, MockModel, Reply, jwt},
};
use serde_json::{Value, json};

#[tokio::main]
#[allow(dead_code, reason = "the test calls `run`")]
async fn main() -> anyhow::Result<()> {
    println!("the answer with the new token: {}", run().await?);
    Ok(())
}

pub(crate) async fn run() -> anyhow::Result<String> {
    let (codex, model) = (testing::codex().await?, MockModel::start().await);
    let (old, new) = (jwt("org-1", "pro"), jwt("org-1", "pro"));
    model.require_bearer(&new); // The model answers the old, expired one with 401.
    model.reply(Reply::text("welcome back"));
    let home = CodexHome::builder(&model).chatgpt_auth().build()?;

    let client = CasClient::builder()
        .codex(codex)
        .env_clear()
        .envs(home.env())
        .cwd(home.work_dir())
        .handlers(
            cas_sdk::Handlers::new().auth_refresh(move |request: RefreshRequest, _cx| {
                // A program would ask its identity provider.
                let account = request.previous_account_id.unwrap_or_default();
                std::future::ready(Ok(ChatgptTokens::new(new.clone(), account).plan("pro")))
            }),
        )
        .spawn()
        .await?;
    let mut completed = client.events(Filter::all().method("account/login/completed"));
    let login =
        json!({"type": "chatgptAuthTokens", "accessToken": old, "chatgptAccountId": "org-1"});
    client.call::<Value>("account/login/start", &login).await?;
    completed.next().await.transpose()?;

    let thread = client.start_thread(ThreadStartParams::default()).await?;
    let outcome = thread.ask("Hello?").await?.finish().await?;
    client.shutdown().await;
    Ok(outcome.text)
}

//! The model asks the user. `cargo run --example user_input` (the real codex, a scripted model).

use cas_sdk::{
    CasClient,
    handlers::Answers,
    protocol::{ThreadStartParams, ToolRequestUserInputParams},
    testing::{self, CodexHome, MockModel, Reply},
};
use serde_json::json;

#[tokio::main]
#[allow(dead_code, reason = "the test calls `run`")]
async fn main() -> anyhow::Result<()> {
    println!("the model was told: {}", run().await?);
    Ok(())
}

pub(crate) async fn run() -> anyhow::Result<String> {
    let (codex, model) = (testing::codex().await?, MockModel::start().await);
    let option = |label: &str| json!({"label": label, "description": "A colour."});
    let question = json!({"id": "colour", "header": "Colour", "question": "Which?", "options": [option("red"), option("blue")]});
    model.reply(Reply::new().function_call(
        "a",
        "request_user_input",
        json!({"questions": [question]}),
    ));
    model.reply(Reply::text("Blue it is."));
    let home = CodexHome::builder(&model)
        .feature("default_mode_request_user_input", true)
        .build()?;

    let client = CasClient::builder()
        .codex(codex)
        .env_clear()
        .envs(home.env())
        .cwd(home.work_dir())
        .handlers(cas_sdk::Handlers::new().user_input(
            |request: ToolRequestUserInputParams, _cx| async move {
                let mut answers = Answers::new();
                for question in request.questions {
                    // A program would ask its user; this one takes the last option.
                    let last = question.options.unwrap_or_default().pop();
                    answers =
                        answers.answer(question.id, last.map_or_else(String::new, |o| o.label));
                }
                Ok(answers)
            },
        ))
        .spawn()
        .await?;
    let thread = client.start_thread(ThreadStartParams::default()).await?;
    thread.ask("Paint it.").await?.finish().await?;
    client.shutdown().await;
    let last = model.requests().pop().expect("the model was asked");
    Ok(last
        .tool_output("a")
        .and_then(|o| o.as_str())
        .unwrap_or_default()
        .to_owned())
}

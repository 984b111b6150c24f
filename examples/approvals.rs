//! Approvals of commands: first by rules, then by you. `cargo run --example approvals` (real codex,
//! scripted model).

use cas_sdk::{
    CasClient,
    handlers::{ApprovalRequest, Decision},
    policy::{Policy, Rule},
    protocol::ThreadStartParams,
    testing::{self, CodexHome, MockModel, Reply},
};
use serde_json::json;

#[tokio::main]
#[allow(dead_code, reason = "the test calls `run`")]
async fn main() -> anyhow::Result<()> {
    println!("{:#?}", run().await?);
    Ok(())
}

pub(crate) async fn run() -> anyhow::Result<Vec<String>> {
    let (codex, model) = (testing::codex().await?, MockModel::start().await);
    for (id, command) in [("a", "echo hi"), ("b", "rm -rf x"), ("c", "date")] {
        let args = json!({"cmd": command, "sandbox_permissions": "require_escalated", "justification": "May I?"});
        model.reply(Reply::new().function_call(id, "exec_command", args));
    }
    model.reply(Reply::text("done"));
    let home = CodexHome::builder(&model)
        .model("gpt-5.5")
        .approval_policy("on-request")
        .build()?;

    // The handler for what no rule decides. A program would ask its user.
    let ask = |request: ApprovalRequest, _cx| async move {
        println!("you are asked: {request:?}");
        Ok(Decision::Accept)
    };
    // What is accepted runs outside of the sandbox, and what follows the words of a rule is free.
    // So a rule names a program that runs no other, or a subcommand: `git status`, not `git`, and
    // only in an `exact_cwd`, since a repository's own configuration can name programs.
    // `exact_command` takes nothing behind its words.
    let policy = Policy::from(ask)
        .rule(Rule::decline().command("rm").named("nothing is removed"))
        .rule(Rule::accept_for_session().command("echo").named("harmless"));
    let (told, audits) = std::sync::mpsc::channel();
    let told = std::sync::Mutex::new(told);
    let client = CasClient::builder()
        .codex(codex)
        .env_clear()
        .envs(home.env())
        .cwd(home.work_dir())
        .approvals(policy)
        .handlers(cas_sdk::Handlers::new().audit(move |audit| {
            let line = format!("{}: {}", audit.by, audit.answer);
            let _ = told.lock().map(|told| told.send(line));
        }))
        .spawn()
        .await?;
    let thread = client.start_thread(ThreadStartParams::default()).await?;
    thread.ask("Go.").await?.finish().await?;
    client.shutdown().await;
    Ok(audits.try_iter().collect())
}

//! Asks for work by several agents and says what each did: `cargo run --example agents -- "Compare the three designs"`

use std::time::Duration;

use cas_sdk::{CasClient, protocol::ThreadStartParams, turn::SubAgentStatus};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let task = std::env::args().nth(1).ok_or("usage: agents TASK")?;
    let client = CasClient::builder().spawn().await?;
    let thread = client.start_thread(ThreadStartParams::default()).await?;

    let prompt = format!("{task}\nGive the parts to sub-agents, and wait for them.");
    let outcome = thread.ask(prompt).await?.finish().await?;
    println!("{}", outcome.text);
    for agent in &outcome.agents {
        let name = agent.nickname.as_deref().unwrap_or(&agent.thread_id);
        println!("- {name}: {:?}, {} tokens", agent.status, agent.usage.total);
    }
    if let Some(usage) = outcome.usage_with_agents {
        println!("{} tokens together", usage.total);
    }

    // An agent may outlive the turn that spawned it.
    if outcome
        .agents
        .iter()
        .any(|agent| agent.status == SubAgentStatus::Running)
    {
        let report = thread.stop_all(Duration::from_secs(5)).await;
        println!(
            "{} agents were still at work and are stopped",
            report.turns.len()
        );
    }

    client.shutdown().await;
    Ok(())
}

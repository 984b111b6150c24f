//! Has an agent plan, shows the plan, and has it carried out if you agree: `cargo run --example plan -- "Make it faster"`

use std::io::Write as _;

use cas_sdk::{CasClient, protocol::ThreadStartParams};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let task = std::env::args().nth(1).ok_or("usage: plan TASK")?;
    let client = CasClient::builder().spawn().await?;
    let thread = client.start_thread(ThreadStartParams::default()).await?;

    let planned = thread.ask(task).plan().await?.finish().await?;
    let Some(plan) = planned.plan() else {
        println!("{}\nno plan was proposed", planned.text);
        client.shutdown().await;
        return Ok(());
    };
    print!("{}\n\nCarry it out? [y/N] ", plan.text);
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if answer.trim() == "y" {
        println!("{}", thread.implement(&plan).await?.finish().await?.text);
    }

    client.shutdown().await;
    Ok(())
}

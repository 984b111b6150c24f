//! Gives an agent a goal and shows its turns: `cargo run --example goal -- "Make the tests pass" 10`
//!
//! The second argument is how many turns it may take. Ctrl-C stops it; nothing of it is left running.

use cas_sdk::{CasClient, TurnEvent, protocol::ThreadStartParams, turn::GoalEvent};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let objective = args.next().ok_or("usage: goal OBJECTIVE [TURNS]")?;
    let turns = args.next().map_or(Ok(10), |turns| turns.parse())?;
    let client = CasClient::builder().spawn().await?;
    let thread = client.start_thread(ThreadStartParams::default()).await?;

    let mut goal = thread.set_goal(objective).max_turns(turns).await?;
    loop {
        let event = tokio::select! {
            event = goal.next() => event,
            _ = tokio::signal::ctrl_c() => {
                let report = goal.stop().await;
                println!("\nstopped: {} turns ended", report.turns.len());
                break;
            }
        };
        match event.transpose()? {
            Some(GoalEvent::TurnStarted(id)) => println!("-- turn {id}"),
            Some(GoalEvent::Turn {
                event: TurnEvent::Text { delta, .. },
                ..
            }) => print!("{delta}"),
            Some(GoalEvent::TurnEnded(_)) => println!(),
            Some(GoalEvent::Dormant) => println!("it is active, but nothing will run"),
            Some(GoalEvent::Ended(outcome)) => {
                let used = outcome.goal.tokens_used;
                println!(
                    "{:?} after {} turns and {used} tokens",
                    outcome.end, outcome.turns
                );
            }
            Some(_) => {}
            None => break,
        }
    }

    client.shutdown().await;
    Ok(())
}

//! `cas steer`: more input for a running turn.

use serde_json::{json, value::RawValue};

use crate::{
    input::{given, text},
    output::{Result, field, line, raw_json},
    running::has_thread,
    server::{Server, close, thread_named},
};

/// Add input to a running turn.
///
/// The turn has to run on a server that can be joined: the background server of a plain `codex`, or
/// the one of --connect. `cas post` reaches other processes too. Steering cuts off the answer that
/// is being written.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit status: 0 done, 1 failed, 2 wrong usage.")]
pub(crate) struct Args {
    /// The thread, given by its id or the beginning of its id
    #[arg(value_parser = given, add = crate::completion::threads())]
    thread: String,
    /// The turn that is expected to run
    #[arg(value_parser = given)]
    turn: String,
    /// What to say; `-` reads it from stdin
    text: String,
    /// Print the server's answer as JSON
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
    #[command(flatten)]
    server: Server,
}

pub(crate) async fn run(args: Args) -> Result {
    let text = text("the text", &args.text).await?;
    let has_it = |server: &_| has_thread(server, &args.thread);
    let client = args.server.near(has_it).await?;
    let steered = async {
        let thread = thread_named(&client, &args.thread).await?;
        if client.connection_kind().is_own_server() {
            client.resume_thread(thread.as_str()).await?;
        }
        let input = json!([{"type": "text", "text": text, "text_elements": []}]);
        let params = json!({"threadId": thread, "expectedTurnId": args.turn, "input": input});
        let answer: Box<RawValue> = client.call("turn/steer", &params).await?;
        if args.json {
            raw_json(answer.get())
        } else {
            line(format_args!("steered turn {}", field(&args.turn)))
        }
    };
    let done = steered.await;
    close(&client).await;
    done
}

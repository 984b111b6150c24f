//! `cas post`: a message into a session, whichever process runs it.

use std::{fs, path::PathBuf, time::Duration};

use cas_sdk::{
    CasClient, Error, RpcErrorKind,
    turn::{Message, QueueState, Queued, Receipt},
};
use serde::Serialize;
use tokio::time::timeout;

use crate::{
    failure::{DONE, FAILED},
    input::{given, piped, text},
    output::{Failure, Result, field, json as json_line, line},
    server::{Server, close, thread_named},
    when::duration,
};

/// Post a message into a session: the user's next input, a correction, or a message of an agent.
///
/// The session may be that of a `codex` in another terminal. It is reached through the server that
/// has it loaded: the background server of `codex`, or the one of --connect. If neither has it, the
/// message goes to its queue. The process that has the session loaded looks at the queue at the end
/// of each turn, and every ten seconds while it is idle.
///
/// Nothing is sent twice, and nothing that runs is stopped. Messages of an agent and patches do not
/// have the user's authority: the model reads them as the output of a tool. They are limited to
/// 10,000 bytes; put longer texts into a file, and name the file in the message.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The thread, given by its id or the beginning of its id
    #[arg(value_parser = given, add = crate::completion::threads())]
    thread: String,
    /// What to say; `-` reads it from stdin
    #[arg(required_unless_present = "patch")]
    text: Option<String>,
    /// Post this patch, a unified diff, for the agent to review and apply; `-` reads it from stdin
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, conflicts_with_all = ["text", "now"])]
    patch: Option<PathBuf>,
    /// Speak as this agent, not as the user [default with --patch: cas]
    #[arg(long = "as", value_name = "NAME", help_heading = "How")]
    name: Option<String>,
    /// Steer the running turn; this cuts off the answer that is being written
    #[arg(long, conflicts_with_all = ["next", "name"], help_heading = "How")]
    now: bool,
    /// Queue the message for a turn of its own, as a message of the user even with --as [default
    /// without --as and --patch]
    #[arg(long, conflicts_with = "patch", help_heading = "How")]
    next: bool,
    /// Wait at most this long until a turn has taken the message from the queue
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "How")]
    wait: Option<Duration>,
    /// Print the receipt as JSON
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
    #[command(flatten)]
    server: Server,
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  cas post 019a2b3c-4d5e \"And then run the tests.\"
  cas post 019a2b3c-4d5e --now \"Stop, that is the wrong branch.\"
  gh run view --log-failed | cas post 019a2b3c-4d5e --as ci -
  git diff | cas post 019a2b3c-4d5e --as reviewer --patch -
  cas post 019a2b3c-4d5e --wait 1m \"Say when you are done.\"

Exit status: 0 a turn has it, 1 it was not delivered, 2 wrong usage, 4 it waits in the queue,
5 the answer was lost, so the message may have been delivered.";

/// It waits in the queue.
const QUEUED: u8 = 4;
/// It may have been delivered.
const UNKNOWN: u8 = 5;

/// What became of the message.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    receipt: &'static str,
    thread_id: String,
    turn_id: Option<String>,
    queue_id: Option<String>,
    message_id: String,
    error: Option<String>,
}

/// Returns the exit status.
pub(crate) async fn run(args: Args) -> Result<u8> {
    let message = args.message().await?;
    // Any server of the same home has the same queues.
    let client = args.server.near(|_| true).await?;
    let done = post(&client, &args, message).await;
    close(&client).await;
    done
}

impl Args {
    async fn message(&self) -> Result<Message> {
        let patch = self.patch.is_some();
        let text = match (&self.text, &self.patch) {
            (Some(given), _) => text("the message", given).await?,
            (None, Some(file)) if file.as_os_str() != "-" => {
                let wrong = |e| Failure::Usage(format!("{}: {e}", file.display()));
                fs::read_to_string(file).map_err(wrong)?
            }
            (None, _) => piped().await?,
        };
        if text.trim().is_empty() {
            return Err(Failure::Usage("the patch is empty".to_owned()));
        }
        let message = match &self.name {
            name if patch => Message::patch(name.as_deref().unwrap_or("cas"), text),
            Some(name) if name.trim().is_empty() => {
                return Err(Failure::Usage("the agent needs a name".to_owned()));
            }
            Some(name) if self.next => {
                Message::next_turn(format!("Message from {name}:\n\n{text}"))
            }
            Some(name) => Message::from_agent(name, text),
            None if self.now => Message::now(text),
            None => Message::next_turn(text),
        };
        Ok(message)
    }
}

async fn post(client: &CasClient, args: &Args, message: Message) -> Result<u8> {
    let id = thread_named(client, &args.thread).await?;
    let thread = client.thread(id.as_str());
    let mut report = Report {
        receipt: "unknown",
        thread_id: id,
        turn_id: None,
        queue_id: None,
        message_id: message.id().to_owned(),
        error: None,
    };
    let receipt = match thread.deliver(message).await {
        Ok(receipt) => receipt,
        Err(error @ Error::Indeterminate { .. }) => {
            report.error = Some(error.to_string());
            return report.finish(args, UNKNOWN);
        }
        Err(error) if error.rpc_kind() == Some(RpcErrorKind::ThreadMissing) => {
            return Err(unreached(args, &report.thread_id).into());
        }
        Err(error) => return Err(error.into()),
    };
    let turn_id = receipt.turn_id().map(str::to_owned);
    report.turn_id = turn_id;
    match receipt {
        Receipt::Steered { .. } => report.receipt = "steered",
        Receipt::Started { .. } => report.receipt = "started",
        Receipt::Posted { .. } => report.receipt = "posted",
        Receipt::Queued(queued) => return report.follow(args, queued).await,
        _ => {}
    }
    report.finish(args, DONE)
}

/// Why an agent's message can't reach a thread.
fn unreached(args: &Args, thread: &str) -> String {
    let thread = field(thread);
    if args.name.is_none() && args.patch.is_none() {
        return format!("there is no thread {thread}");
    }
    format!(
        "no server that can be reached has thread {thread} loaded, and its queue takes messages of the user only: \
         --as NAME --next posts it there with the user's authority; `cas live` lists what runs"
    )
}

impl Report {
    /// Waits for a message in the queue, as long as the flags say.
    async fn follow(mut self, args: &Args, mut queued: Queued) -> Result<u8> {
        self.queue_id = Some(queued.id().to_owned());
        self.receipt = "queued";
        let Some(wait) = args.wait else {
            return self.finish(args, QUEUED);
        };
        match timeout(wait, queued.wait()).await {
            Ok(Ok(QueueState::Taken(turn))) => {
                self.turn_id = Some(turn.id().to_owned());
                self.receipt = "taken";
                self.finish(args, DONE)
            }
            Ok(Ok(QueueState::TakenUnseen { turn })) => {
                self.turn_id = Some(turn);
                self.receipt = "taken";
                self.finish(args, DONE)
            }
            Ok(Ok(QueueState::Held)) => {
                self.receipt = "held";
                self.finish(args, QUEUED)
            }
            Ok(Ok(_)) => {
                self.receipt = "gone";
                self.finish(args, FAILED)
            }
            Ok(Err(error)) => {
                self.error = Some(error.to_string());
                self.finish(args, QUEUED)
            }
            Err(_) => self.finish(args, QUEUED),
        }
    }

    fn finish(self, args: &Args, status: u8) -> Result<u8> {
        if args.json {
            json_line(&self)?;
            return Ok(status);
        }
        let turn = self.turn_id.as_deref().unwrap_or_default();
        let turn = field(turn);
        let text = match self.receipt {
            "steered" => format!("steered turn {turn}"),
            "started" => format!("started turn {turn}"),
            "posted" => format!("posted to turn {turn}, which reads it at its next step"),
            "taken" => format!("taken from the queue by turn {turn}"),
            "queued" => "queued: a turn takes it when nothing else runs".to_owned(),
            "held" => "queued, and held: the queue goes on after the next turn".to_owned(),
            "gone" => "no longer in the queue, and no turn has taken it".to_owned(),
            _ => format!(
                "unknown: the answer was lost; look for message {} before you send it again",
                self.message_id
            ),
        };
        line(text)?;
        if let Some(error) = &self.error {
            crate::output::complain(error);
        }
        Ok(status)
    }
}

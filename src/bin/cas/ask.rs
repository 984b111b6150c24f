//! `cas ask`: a question to the agent, and what it does about it as it comes.

use std::{
    fs,
    io::{self, IsTerminal as _, Read as _},
    path::PathBuf,
    time::Duration,
};

use cas_sdk::{
    CasClient, Deadline, Error, Policy, Turn, TurnEvent, TurnOutcome,
    protocol::{ThreadItem, ThreadStartParams},
};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    connect::{Server, duration},
    out::{Failure, Result, complain, field, json as json_line, line, part},
};

/// Ask the agent something and see what it does.
///
/// The answer streams to stdout, the steps in between to stderr. What a terminal would obey or not show is shown, as `^[`
/// or `<U+202E>`; --json has it to the letter. Ctrl-C interrupts the turn.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
#[command(
    after_help = "Examples:\n  cas ask \"Why is the build red?\"\n  git diff | cas ask -\n  cas ask --thread 0199… \"And now?\" --timeout 5m --on-timeout \"Say what you have.\""
)]
pub(crate) struct Args {
    /// What to ask; `-` reads it from stdin
    prompt: String,
    #[command(flatten)]
    server: Server,
    /// Go on with this thread [default: a new one]
    #[arg(long, value_name = "ID")]
    thread: Option<String>,
    /// Emit everything as JSON lines instead of text
    #[arg(long)]
    json: bool,
    /// A file with the JSON schema that the answer has to fit
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// The model to ask
    #[arg(long)]
    model: Option<String>,
    /// How long the turn may take, as in 90s, 5m, 1h [default: as long as it takes]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
    /// At the time-out, steer the turn with this and give it another chance
    #[arg(long, value_name = "TEXT", requires = "timeout")]
    on_timeout: Option<String>,
    /// How long that chance lasts
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30s")]
    grace: Duration,
    /// What is answered when the agent asks whether it may do something
    #[arg(long, value_enum, default_value = "decline")]
    approvals: Approvals,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Approvals {
    /// No.
    Decline,
    /// No to whatever changes something.
    ReadOnly,
    /// Yes, for this session, to commands and changes: what is accepted runs outside of the sandbox.
    Auto,
}

pub(crate) async fn run(args: Args) -> Result {
    let prompt = prompt(&args)?;
    let schema = args.schema.as_ref().map(schema).transpose()?;
    let policy = match args.approvals {
        Approvals::Decline => Policy::decline(),
        Approvals::ReadOnly => Policy::read_only(),
        Approvals::Auto => Policy::auto(),
    };
    let client = args.server.builder().approvals(policy).spawn().await?;
    let done = ask(&client, &args, prompt, schema).await;
    client.shutdown().await;
    done
}

async fn ask(client: &CasClient, args: &Args, prompt: String, schema: Option<Value>) -> Result {
    let thread = match &args.thread {
        Some(id) => client.resume_thread(id.as_str()).await?,
        None => client.start_thread(ThreadStartParams::default()).await?,
    };
    let mut ask = thread.ask(prompt);
    if let Some(schema) = schema {
        ask = ask.output_schema(schema);
    }
    if let Some(model) = &args.model {
        ask = ask.model(model);
    }
    let turn = ask.await?;
    let control = turn.control();
    let mut show = Show::new(args);
    show.began(&turn)?;
    let watched = turn.follow();
    let work = async {
        match args.timeout {
            None => turn.finish().await,
            Some(after) => {
                let mut deadline = Deadline::after(after);
                if let Some(text) = &args.on_timeout {
                    deadline = deadline.steer(text.as_str()).grace(args.grace);
                }
                turn.finish_by(deadline).await
            }
        }
    };
    let outcome = tokio::select! {
        outcome = both(work, show.all(watched)) => outcome?,
        _ = tokio::signal::ctrl_c() => {
            // It may be over by now; then there is nothing to interrupt.
            let _ = control.interrupt().await;
            complain("interrupted");
            return Err(Failure::Exit(130));
        }
    };
    show.end(outcome)
}

/// Waits for the outcome, and until all that belongs to it has been shown. What can't be shown ends both.
async fn both(
    work: impl Future<Output = Result<TurnOutcome, Error>>,
    shown: impl Future<Output = Result>,
) -> Result<Result<TurnOutcome, Error>> {
    let (mut work, mut shown) = (std::pin::pin!(work), std::pin::pin!(shown));
    let mut all_shown = false;
    loop {
        tokio::select! {
            outcome = &mut work => {
                if !all_shown {
                    // The end is on its way; if a turn that was given up does not come to one, that is no matter.
                    let _ = timeout(LAST_EVENTS, shown).await;
                }
                return Ok(outcome);
            }
            done = &mut shown, if !all_shown => {
                done?;
                all_shown = true;
            }
        }
    }
}

const LAST_EVENTS: Duration = Duration::from_secs(5);

fn prompt(args: &Args) -> Result<String> {
    if args.prompt != "-" {
        return Ok(args.prompt.clone());
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

fn schema(file: &PathBuf) -> Result<Value> {
    let wrong = |e: &dyn std::fmt::Display| Failure::Usage(format!("{}: {e}", file.display()));
    let text = fs::read_to_string(file).map_err(|e| wrong(&e))?;
    serde_json::from_str(&text).map_err(|e| wrong(&e))
}

/// Shows a turn, as text or as JSON lines.
struct Show {
    json: bool,
    /// Whether there is somebody to show the spinner to.
    spins: bool,
    /// `None` while text is written: both may be on one terminal.
    spinner: Option<ProgressBar>,
    /// Whether stdout stands in the middle of a line.
    mid_line: bool,
}

impl Show {
    fn new(args: &Args) -> Self {
        let mut show = Self {
            json: args.json,
            spins: !args.json && io::stderr().is_terminal(),
            spinner: None,
            mid_line: false,
        };
        show.spin();
        show
    }

    fn spin(&mut self) {
        if self.spins && self.spinner.is_none() {
            let spinner = ProgressBar::new_spinner().with_message("thinking");
            spinner.enable_steady_tick(Duration::from_millis(100));
            self.spinner = Some(spinner);
        }
    }

    /// Takes the spinner away, so that what is written next stands where it was.
    fn clear(&mut self) {
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
    }

    /// A remark in a line of its own, with the spinner after it.
    fn remark(&mut self, text: &str) -> Result {
        self.clear();
        self.new_line()?;
        complain(text);
        self.spin();
        Ok(())
    }

    fn began(&mut self, turn: &Turn) -> Result {
        let thread = turn.thread().id();
        if self.json {
            return json_line(
                &json!({"event": "started", "threadId": thread, "turnId": turn.id()}),
            );
        }
        self.remark(&format!("thread {}", field(thread)))
    }

    async fn all(&mut self, mut turn: Turn) -> Result {
        while let Some(event) = turn.next().await {
            match event {
                Ok(event) if self.json => as_json(event)?,
                Ok(event) => self.as_text(event)?,
                // Whoever waits for the outcome is told.
                Err(_) => break,
            }
        }
        Ok(())
    }

    fn as_text(&mut self, event: TurnEvent) -> Result {
        match event {
            TurnEvent::Text(delta) if delta.is_empty() => Ok(()),
            TurnEvent::Text(delta) => {
                self.clear();
                self.mid_line = !delta.ends_with('\n');
                part(&delta)
            }
            TurnEvent::ItemStarted(item) => match step(&item) {
                Some(text) => self.remark(&text),
                None => Ok(()),
            },
            TurnEvent::Retrying(failure) => self.remark(&failure.message),
            _ => Ok(()),
        }
    }

    fn new_line(&mut self) -> Result {
        if std::mem::take(&mut self.mid_line) {
            line("")?;
        }
        Ok(())
    }

    fn end(&mut self, outcome: Result<TurnOutcome, Error>) -> Result {
        self.clear();
        self.new_line()?;
        let (outcome, failed) = match outcome {
            Ok(outcome) => (outcome, None),
            Err(Error::Turn(error)) => {
                let text = error.to_string();
                (error.outcome, Some(text))
            }
            Err(other) => return Err(other.into()),
        };
        if self.json {
            json_line(&json!({
                "event": "completed",
                "threadId": outcome.thread_id,
                "turnId": outcome.turn_id,
                "status": outcome.status,
                "text": outcome.text,
                "error": failed,
            }))?;
        }
        match failed {
            None => Ok(()),
            Some(_) if self.json => Err(Failure::Exit(1)),
            Some(text) => Err(text.into()),
        }
    }
}

fn as_json(event: TurnEvent) -> Result {
    json_line(&match event {
        TurnEvent::Text(delta) => json!({"event": "text", "delta": delta}),
        TurnEvent::Reasoning(delta) => json!({"event": "reasoning", "delta": delta}),
        TurnEvent::ItemStarted(item) => json!({"event": "itemStarted", "item": item}),
        TurnEvent::ItemCompleted(item) => json!({"event": "itemCompleted", "item": item}),
        TurnEvent::Usage(usage) => json!({"event": "usage", "usage": usage}),
        TurnEvent::Retrying(failure) => {
            json!({"event": "retrying", "message": failure.message})
        }
        TurnEvent::Lagged(skipped) => json!({"event": "lagged", "skipped": skipped}),
        _ => return Ok(()),
    })
}

/// A step worth a line while it goes on.
fn step(item: &ThreadItem) -> Option<String> {
    let item = serde_json::to_value(item).ok()?;
    // In one line each: what runs is not to hide below what is shown, or to look like a remark of another.
    let text = |key: &str| field(item[key].as_str().unwrap_or_default()).into_owned();
    Some(match item["type"].as_str()? {
        "commandExecution" => format!("runs {}", text("command")),
        "fileChange" => {
            let changes = item["changes"].as_array().map_or(&[][..], Vec::as_slice);
            let paths = changes.iter().filter_map(|change| change["path"].as_str());
            format!(
                "changes {}",
                paths.map(field).collect::<Vec<_>>().join(", ")
            )
        }
        "mcpToolCall" => format!("calls {} of {}", text("tool"), text("server")),
        "dynamicToolCall" => format!("calls {}", text("tool")),
        "webSearch" => format!("searches the web for \"{}\"", text("query")),
        _ => return None,
    })
}

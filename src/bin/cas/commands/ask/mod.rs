//! `cas ask`: a question to the agent, and what it does about it as it comes.

mod asides;
mod both;
mod consent;
mod events;
mod goal;
mod input;
mod notes;
mod show;
mod steps;
mod verdict;

pub(super) use self::{
    events::Line,
    steps::{paths, step},
};

use std::{path::PathBuf, sync::Arc, time::Duration};

use cas_sdk::{
    Ask, CasClient, Error, Handlers, Thread, Turn, TurnOutcome,
    policy::Policy,
    protocol::{SandboxMode, ThreadForkParams, ThreadResumeParams},
    thread::GoalOnResume,
    turn::{Deadline, TurnErrorKind},
};
use clap::ArgGroup;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use self::{
    both::both, consent::Consent, events::Ended, input::Prepared, notes::Notes, show::Show,
};
use crate::{
    failure::{DECLINED, DONE, FAILED, INTERRUPTED, TIMED_OUT},
    input::given,
    output::{Failure, Result},
    server::{Server, close_in_time, every_thread, list, parsed, thread_named},
    signals::{Caught, INTERRUPT, STOP, Signals},
    when::duration,
};

/// Ask the agent something and see what it does.
///
/// The answer streams to stdout, the steps in between to stderr. Characters that a terminal would
/// obey or not show are made visible, as `^[` or `<U+202E>`; --json has them unchanged. Ctrl-C
/// interrupts the turn; a second Ctrl-C ends the command at once.
///
/// Piped input is part of the question: it is appended to PROMPT, or is the prompt if there is
/// none.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
#[command(group = ArgGroup::new("stored").args(["thread", "last"]))]
#[allow(clippy::struct_excessive_bools, reason = "they are flags")]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What to ask; `-` reads it from stdin
    prompt: Option<String>,
    /// Append this file to the question; may be given several times
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: Vec<PathBuf>,
    /// Show the agent this picture; may be given several times
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    image: Vec<PathBuf>,

    /// Continue this thread, given by its id or the beginning of its id [default: a new thread]
    #[arg(long, short, value_name = "ID", value_parser = given, add = crate::completion::threads(), help_heading = "Thread")]
    thread: Option<String>,
    /// Continue the most recently updated thread of this directory
    #[arg(long, help_heading = "Thread")]
    last: bool,
    /// Continue in a copy, which works even while another program has the thread open
    #[arg(long, requires = "stored", help_heading = "Thread")]
    fork: bool,
    /// Do not store the new thread
    #[arg(long, conflicts_with_all = ["thread", "last", "fork"], help_heading = "Thread")]
    ephemeral: bool,

    /// The model to ask
    #[arg(long, short, value_parser = given, help_heading = "Agent")]
    model: Option<String>,
    /// How much the model reasons, such as low, medium or high
    #[arg(long, value_name = "EFFORT", value_parser = given, help_heading = "Agent")]
    effort: Option<String>,
    /// What its commands may do without asking
    #[arg(long, short, value_enum, value_name = "MODE", help_heading = "Agent")]
    sandbox: Option<Sandbox>,
    /// Another directory, besides the working directory, that its commands may write to; may be
    /// given several times
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath, conflicts_with = "connect", help_heading = "Agent")]
    add_dir: Vec<PathBuf>,
    /// How to answer when the agent asks for approval
    #[arg(
        long,
        short,
        value_enum,
        default_value = "decline",
        help_heading = "Agent"
    )]
    approvals: Approvals,

    /// Make the agent propose a plan and do nothing; the thread stays in plan mode until --execute
    #[arg(long, help_heading = "Mode")]
    plan: bool,
    /// Leave plan mode, as in: cas ask --last --execute "Implement the plan."
    #[arg(long, conflicts_with = "plan", help_heading = "Mode")]
    execute: bool,
    /// Make the question a goal: turn follows turn until the agent says that the goal is reached
    #[arg(long, help_heading = "Mode",
        conflicts_with_all = ["plan", "execute", "image", "effort", "schema", "on_timeout", "ephemeral"])]
    goal: bool,
    /// How many turns the goal may take
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..),
        requires = "goal", help_heading = "Mode")]
    turns: u32,
    /// How many tokens the goal may use
    #[arg(long, value_name = "N", requires = "goal", help_heading = "Mode")]
    tokens: Option<u64>,

    /// How long the turn may take, as in 90s, 5m, 1h; 0 means no limit
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "0", help_heading = "Time")]
    timeout: Duration,
    /// At the timeout, steer the turn with this text and give it more time to end
    #[arg(long, value_name = "TEXT", requires = "timeout", help_heading = "Time")]
    on_timeout: Option<String>,
    /// How much more time it gets
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30s", requires = "on_timeout", help_heading = "Time")]
    grace: Duration,

    /// Emit everything as JSON lines instead of text
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
    /// A file with the JSON schema that the answer has to fit
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, help_heading = "Output")]
    schema: Option<PathBuf>,
    /// Also write the answer to this file
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath, help_heading = "Output")]
    output: Option<PathBuf>,
    /// Replace the file of --output if it exists
    #[arg(long, requires = "output", help_heading = "Output")]
    force: bool,
    /// On a terminal: show each message once it is complete, rendered as Markdown
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    markdown: bool,
    /// Print only the answer and errors
    #[arg(long, short, help_heading = "Output")]
    quiet: bool,
    #[command(flatten)]
    server: Server,
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  cas ask \"Why is the build red?\"
  git diff | cas ask \"Review this.\"
  cas ask --last \"And now?\" --timeout 5m --on-timeout \"Say what you have.\"
  cas ask --approvals ask --sandbox workspace-write \"Fix it.\"
  cas ask --plan \"Make it faster.\"; cas ask --last --execute \"Implement the plan.\"
  cas ask --goal --turns 10 --sandbox workspace-write \"Make the tests pass.\"
  cas ask --json --schema answer.json -f notes.txt \"Summarise.\" | tail -1 | jq .text

Exit status: 0 done, 1 failed or the goal was not reached, 2 wrong usage, 3 something was declined
or the answer does not fit the schema, 124 the time or another limit was up, 130 interrupted.";

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Approvals {
    /// Decline everything
    Decline,
    /// Decline everything that changes something
    ReadOnly,
    /// Ask you on the terminal
    Ask,
    /// Accept commands and changes for this session: accepted commands run outside of the sandbox
    Auto,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Sandbox {
    /// Read files
    ReadOnly,
    /// Change files in the working directory
    WorkspaceWrite,
    /// Everything
    DangerFullAccess,
}

/// How long the last output may take to write if the reader is slow.
const LAST_WORDS: Duration = Duration::from_millis(300);

pub(crate) async fn run(args: Args, signals: &mut Signals) -> Result<u8> {
    let prepared = signals.or(Prepared::new(&args)).await?;
    let notes = Arc::new(Notes::default());
    let (consent, questions) = Consent::new(args.approvals == Approvals::Ask, notes.clone());
    let policy = match args.approvals {
        Approvals::Decline => Policy::decline(),
        Approvals::ReadOnly => Policy::read_only(),
        Approvals::Auto => Policy::auto(),
        Approvals::Ask => Policy::decline().handler(consent.clone().approvals()),
    };
    let audited = notes.clone();
    let handlers = Handlers::new()
        .approvals(policy)
        .audit(move |audit| audited.decided(audit))
        .user_input(consent);
    let mut builder = args.server.builder().handlers(handlers);
    if !args.add_dir.is_empty() {
        let dirs: Result<Vec<_>, _> = args.add_dir.iter().map(std::path::absolute).collect();
        let dirs = serde_json::to_string(&dirs?)?;
        builder = builder.config("sandbox_workspace_write.writable_roots", &dirs);
    }
    let client = signals.or(args.server.open(builder)).await?;
    let mut show = Show::new(&args, notes, questions)?;
    let done = ask(&client, &args, prepared, &mut show, signals).await;
    let is_cut_off = match &done {
        Ok(status) => *status >= TIMED_OUT,
        Err(failure) => matches!(failure, Failure::Signal(_)),
    };
    close_in_time(&client, is_cut_off, signals).await?;
    done
}

async fn ask(
    client: &CasClient,
    args: &Args,
    prepared: Prepared,
    show: &mut Show,
    signals: &mut Signals,
) -> Result<u8> {
    let thread = signals.or(thread(client, args)).await?;
    if args.goal {
        return goal::run(&thread, args, prepared, show, signals).await;
    }
    let mut ask = thread.ask(prepared.input.clone());
    if let Some(schema) = &prepared.schema {
        ask = ask.output_schema(schema.value.clone());
    }
    ask = with_flags(ask, args)?;
    let turn = signals
        .or(async { ask.await.map_err(Failure::from) })
        .await?;
    show.began(thread.id(), turn.id(), 1).await?;
    if turn.has_active_goal() {
        show.warn("the thread has an active goal: its turns go on until this command ends");
    }
    let end = follow(turn, args, show, signals).await?;
    show.finish(end, prepared).await
}

fn with_flags(mut ask: Ask, args: &Args) -> Result<Ask> {
    if let Some(model) = &args.model {
        ask = ask.model(model);
    }
    if let Some(effort) = &args.effort {
        ask = ask.field("effort", effort);
    }
    if args.plan {
        ask = ask.plan();
    } else if args.execute {
        ask = ask.execute();
    }
    let is_stored = args.thread.is_some() || args.last;
    if let (Some(dir), true) = (args.server.other_dir()?, is_stored) {
        ask = ask.cwd(dir);
    }
    if !args.timeout.is_zero() {
        let mut deadline = Deadline::after(args.timeout);
        if let Some(text) = &args.on_timeout {
            deadline = deadline.steer(text.as_str()).grace(args.grace);
        }
        ask = ask.deadline(deadline);
    }
    Ok(ask)
}

async fn thread(client: &CasClient, args: &Args) -> Result<Thread> {
    let sandbox = args.sandbox.map(|sandbox| match sandbox {
        Sandbox::ReadOnly => SandboxMode::ReadOnly,
        Sandbox::WorkspaceWrite => SandboxMode::WorkspaceWrite,
        Sandbox::DangerFullAccess => SandboxMode::DangerFullAccess,
    });
    // A turn started here names its own model and directory; the turns of a goal use the thread's.
    let (model, cwd) = if args.goal {
        (args.model.clone(), args.server.other_dir()?)
    } else {
        (None, None)
    };
    let id = match &args.thread {
        Some(name) => Some(thread_named(client, name).await?),
        None if args.last => Some(last(client, args).await?),
        None => None,
    };
    let Some(id) = id else {
        let mut params = args.server.new_thread()?;
        params.sandbox = sandbox;
        params.model = model;
        params.ephemeral = args.ephemeral.then_some(true);
        return Ok(client.start_thread(params).await?);
    };
    if args.fork {
        let mut params = ThreadForkParams::new(id);
        params.sandbox = sandbox;
        (params.model, params.cwd) = (model, cwd);
        return Ok(client.fork_thread(params).await?);
    }
    let mut params = ThreadResumeParams::new(id);
    params.sandbox = sandbox;
    (params.model, params.cwd) = (model, cwd);
    let resume = client.resume_thread(params);
    Ok(if args.goal {
        // It is replaced, and should not begin before that.
        resume.goal(GoalOnResume::Pause).await?
    } else {
        resume.await?
    })
}

/// The thread of the directory that was updated last.
async fn last(client: &CasClient, args: &Args) -> Result<String> {
    let here = args.server.dir()?;
    let mut params = every_thread(false);
    params.insert("cwd".into(), here.display().to_string().into());
    let found = list(client, "thread/list", params, 1).await?;
    let thread: Value = found
        .first()
        .map(|thread| parsed(thread))
        .unwrap_or_default();
    match thread["id"].as_str() {
        Some(id) => Ok(id.to_owned()),
        None => Err(format!("no thread is stored for {}", here.display()).into()),
    }
}

/// How following a turn ended.
enum End {
    Turn(Box<Result<TurnOutcome, Error>>),
    Late(Duration),
    Signal(Caught),
}

/// Shows the turn until it ends, the time is up, or a signal comes.
async fn follow(turn: Turn, args: &Args, show: &mut Show, signals: &mut Signals) -> Result<End> {
    let thread = turn.thread().clone();
    let (control, is_others) = (turn.control(), turn.joined());
    let stop = async |within: Duration| {
        if !args.server.connect.is_given() {
            let _ = timeout(within, thread.stop_all(within)).await;
        } else if !is_others {
            // What else runs there belongs to the sessions of the server.
            let _ = timeout(within, control.interrupt()).await;
        }
    };
    let watched = turn.follow();
    let chance = if args.on_timeout.is_some() {
        args.grace
    } else {
        Duration::ZERO
    };
    let too_late = async {
        match args.timeout {
            Duration::ZERO => std::future::pending().await,
            // Asks the server for the status of the turn, and does not wait for a server that
            // hangs.
            after => sleep(after.saturating_add(chance).saturating_add(STOP)).await,
        }
    };
    let caught = tokio::select! {
        biased;
        caught = signals.next() => caught,
        () = too_late => {
            stop(STOP).await;
            return Ok(End::Late(args.timeout));
        }
        outcome = both(turn.finish(), show.all(watched)) => return Ok(End::Turn(Box::new(outcome?))),
    };
    // On our own server the sub-agents and all shells too: nobody is left to watch them.
    tokio::select! {
        () = stop(INTERRUPT) => {}
        _ = signals.next() => {}
    }
    Ok(End::Signal(caught))
}

/// The last line, and the exit status.
impl End {
    fn last_line(self, show: &Show) -> Result<Ended> {
        let (outcome, kind) = match self {
            Self::Turn(end) => match *end {
                Ok(outcome) => (outcome, None),
                Err(Error::Turn(error)) => {
                    let text = error.to_string();
                    (error.outcome, Some((error.kind, text)))
                }
                Err(other) => return Err(other.into()),
            },
            Self::Late(after) => {
                let text = format!("the turn did not end within {}", crate::when::length(after));
                return Ok(show.cut_off("timedOut", TIMED_OUT, text));
            }
            Self::Signal(caught) => {
                let text = format!("the turn was interrupted by {}", caught.name());
                return Ok(show.cut_off("interrupted", caught.status(), text));
            }
        };
        let mut ended = show.ended(outcome);
        (ended.status, ended.exit_status, ended.error) = match kind {
            None => ("completed", DONE, None),
            Some((TurnErrorKind::DeadlinePassed { .. }, text)) => {
                ("timedOut", TIMED_OUT, Some(text))
            }
            Some((TurnErrorKind::Interrupted, text)) => ("interrupted", INTERRUPTED, Some(text)),
            Some((_, text)) => ("failed", FAILED, Some(text)),
        };
        if ended.declined > 0 && matches!(ended.exit_status, DONE | INTERRUPTED) {
            ended.exit_status = DECLINED;
        }
        Ok(ended)
    }
}

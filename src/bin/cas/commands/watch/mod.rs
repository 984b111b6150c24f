//! `cas watch` and `cas attach`: what happens in a session that others run, as it happens.

mod asking;
mod attach;
mod events;
mod form;
mod items;
mod link;
mod live;
mod missed;
mod requests;
mod roster;
mod seen;
mod session;
mod view;

pub(crate) use attach::Args as AttachArgs;
pub(super) use attach::run as attach;

use cas_sdk::client::Role;

use self::{session::Session, view::View};
use crate::{
    input::given, output::Result, running::Reconnect, server::Server, signals::Signals,
    typing::Input,
};

/// Show what happens in a running session, or which sessions begin, work, wait and end. Ctrl-C
/// leaves.
///
/// The session may be that of a `codex` in another terminal. Nothing is sent to the session, and
/// its questions are left to those who run it. When the connection is lost, `watch` connects again
/// and shows what was missed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The thread, given by its id or the beginning of its id [default: all threads of the server]
    #[arg(value_parser = given, add = crate::completion::threads())]
    thread: Option<String>,
    /// Emit everything as JSON lines
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    reconnect: Reconnect,
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  cas watch
  cas watch 019a2b3c-4d5e
  cas watch 019a2b3c-4d5e --json | jq -r 'select(.event == \"text\").delta'

Exit status: 0 left by Ctrl-C, 1 the session or its server has ended or can't be reached, 2 wrong usage.";

/// Returns the exit status.
pub(crate) async fn run(args: Args, signals: &mut Signals) -> Result<u8> {
    let Some(name) = &args.thread else {
        return roster::run(&args, signals).await;
    };
    let view = View::new(args.json)?;
    let session = Session::join(&args.server, args.reconnect, Role::Observer, name, view);
    let mut session = signals.or(session).await?;
    session.follow(Input::Nobody, signals).await
}

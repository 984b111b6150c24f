//! `cas attach`: watch a session, and take part in it.

use std::io::{self, IsTerminal as _};

use cas_sdk::client::Role;

use super::{session::Session, view::View};
use crate::{
    input::given,
    output::{Failure, Result},
    running::Reconnect,
    server::Server,
    signals::Signals,
    typing::Input,
};

/// Watch a running session, and type into it. Ctrl-C leaves, and stops nothing.
///
/// A line is the user's next input: it waits in the queue of the session for a turn of its own. A
/// line that begins with `!` steers the running turn, which cuts off the answer that is being
/// written.
///
/// Letters answer the oldest pending approval, as far as the server offers them: `y` yes, this
/// once; `s` yes, for the session; `n` no; `t` no, and stop the turn. Before, everything is shown
/// that the request grants; if not all of it is known here, it can only be declined. A letter that
/// was typed before its request was shown answers nothing.
///
/// While a question of the agent or of an MCP server is shown, a line answers it with the number of
/// an option or with your own words; `/skip` leaves the question open, `/decline` all of them. A
/// line that begins with `>` is the next input even then. The first answer wins, and those who run
/// the session may be asked too.
///
/// When the connection is lost, `attach` connects again and shows what was missed. Nothing is sent
/// twice.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The thread, given by its id or the beginning of its id
    #[arg(value_parser = given, add = crate::completion::threads())]
    thread: String,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    reconnect: Reconnect,
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  cas attach 019a2b3c-4d5e
  cas attach 019a2b3c-4d5e --connect unix:///run/user/1000/agent/codex.sock

Exit status: 0 left, 1 the session or its server has ended or can't be reached, 2 wrong usage.";

/// Returns the exit status.
pub(crate) async fn run(args: Args, signals: &mut Signals) -> Result<u8> {
    if !io::stdout().is_terminal() {
        let text = "attach needs a terminal; `cas watch` and `cas post` work without one";
        return Err(Failure::Usage(text.to_owned()));
    }
    let input = Input::open()?;
    let view = View::new(false)?;
    let session = Session::join(
        &args.server,
        args.reconnect,
        Role::Driver,
        &args.thread,
        view,
    );
    let mut session = signals.or(session).await?;
    session.follow(input, signals).await
}

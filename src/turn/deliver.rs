//! `Thread::deliver`: delivers a message to a thread, whoever runs the thread, and returns a
//! receipt that says what became of the message.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    by_id,
    message::{Content, Message, tool_output},
    message_record::began_with,
    queue::Queued,
};
use crate::{
    client::tracker::StartedBy,
    error::{Error, RpcErrorKind},
    protocol::{TurnStartParams, TurnSteerParams, TurnToolOutput, UserInput},
    thread::{Thread, status::is_active},
};

/// How often a steer follows the server to another turn. Each refusal says that nothing was done.
const STEERS: usize = 4;
/// How long a turn may take until its first message is on record.
const RECORDED: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);

/// What the server did with a [`Message`].
#[derive(Debug)]
#[non_exhaustive]
#[must_use = "it says what became of the message"]
#[expect(clippy::large_enum_variant, reason = "it is taken apart at once")]
pub enum Receipt {
    /// The running turn has been steered with it. The answer that was being streamed is aborted.
    Steered {
        /// The id of the turn.
        turn: String,
    },
    /// It has started a turn.
    Started {
        /// The id of the turn.
        turn: String,
    },
    /// The running turn has it as the output of a tool, and reads it at its next step. Nothing is
    /// aborted.
    Posted {
        /// The id of the turn.
        turn: String,
    },
    /// It is in the durable queue of the thread. [`Queued::wait`] follows it.
    Queued(Queued),
}

impl Receipt {
    /// The id of the turn that has the message; `None` if the message is in the queue.
    #[must_use]
    pub fn turn_id(&self) -> Option<&str> {
        match self {
            Self::Steered { turn } | Self::Started { turn } | Self::Posted { turn } => Some(turn),
            Self::Queued(_) => None,
        }
    }
}

impl Thread {
    /// Delivers a message to this thread, and says what became of it. The thread may be idle or
    /// busy, somebody else's, or loaded in another process; this connection need not follow it. The
    /// kind of [`Message`] decides when the agent reads it.
    ///
    /// A thread that this server has not loaded is reached through its durable queue, whichever
    /// process has it, and the receipt is [`Receipt::Queued`]. A process that has the thread loaded
    /// takes the message at the end of the running turn; if it is idle, within ten seconds. If no
    /// process has the thread loaded, the message waits until somebody resumes it.
    ///
    /// On a server that this client joined, delivering to the threads of others needs the role
    /// [`Driver`](crate::client::Role::Driver).
    ///
    /// Dropping the future or the receipt never interrupts a turn that the message has started.
    ///
    /// ```no_run
    /// # async fn run(thread: cas_sdk::Thread) -> Result<(), cas_sdk::Error> {
    /// use cas_sdk::turn::{Message, Receipt};
    /// let message = Message::from_agent("ci", "The build of 4fe1 is red.");
    /// match thread.deliver(message).await? {
    ///     Receipt::Posted { turn } => println!("turn {turn} reads it next"),
    ///     Receipt::Started { turn } => println!("turn {turn} begins with it"),
    ///     other => println!("{other:?}"),
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Cancel safety
    /// A message is sent at most once. If the future is dropped midway, the message may or may not
    /// have been delivered: [`find_message`](Self::find_message) tells, by [`Message::id`].
    ///
    /// # Errors
    /// [`Error::Indeterminate`] if the message was sent and the answer lost: look it up with
    /// [`find_message`](Self::find_message) before it is sent again. After any other error, the
    /// message was not delivered: [`Error::Invalid`] for an agent's message that is too long,
    /// [`Error::Rpc`] of kind `NotSteerable` while a review or a compaction runs, of kind
    /// `ThreadMissing` if there is no such thread, or if an agent's message has no way to it;
    /// otherwise the same errors as [`CasClient::request`](crate::CasClient::request).
    pub async fn deliver(&self, message: Message) -> Result<Receipt, Error> {
        let Message {
            id,
            content,
            queue_elsewhere,
        } = message;
        content.check()?;
        match content {
            Content::NextTurn(input) => self.add_to_queue(&id, input).await.map(Receipt::Queued),
            Content::Now(input) => match self.steer_or_start(&id, &input).await {
                Err(error) if is_missing(&error) => {
                    self.add_to_queue(&id, input).await.map(Receipt::Queued)
                }
                done => done,
            },
            Content::Agent { name, parts } => {
                let output = tool_output(&id, name.clone(), parts.clone());
                match self.post(&id, output).await {
                    Err(error) if is_missing(&error) && queue_elsewhere => {
                        let input = Content::Agent { name, parts }.into_input();
                        self.add_to_queue(&id, input).await.map(Receipt::Queued)
                    }
                    done => done,
                }
            }
        }
    }

    async fn steer_or_start(&self, id: &str, input: &[UserInput]) -> Result<Receipt, Error> {
        let mut running = self.running_id().await?;
        for _ in 0..STEERS {
            let Some(turn) = running else { break };
            let params =
                TurnSteerParams::new(self.id(), turn, input.to_vec()).client_user_message_id(id);
            match self.send_once(params, id).await {
                Ok(steered) => {
                    return Ok(Receipt::Steered {
                        turn: steered.turn_id,
                    });
                }
                Err(error) => match error.rpc_kind() {
                    Some(RpcErrorKind::TurnMismatch { actual, .. }) => running = Some(actual),
                    Some(RpcErrorKind::NoActiveTurn) => running = None,
                    _ => return Err(error),
                },
            }
        }
        // The server itself steers a turn that has begun in the meantime.
        let params = TurnStartParams::new(self.id(), input.to_vec()).client_user_message_id(id);
        let turn = self.send_once(params, id).await?.turn.id;
        Ok(if self.is_new(&turn, None, id).await {
            self.began(&turn);
            Receipt::Started { turn }
        } else {
            Receipt::Steered { turn }
        })
    }

    /// `turn/start` with the output of a tool, which a running turn takes without being steered.
    async fn post(&self, id: &str, output: TurnToolOutput) -> Result<Receipt, Error> {
        let running = self.running_id().await?;
        let params = TurnStartParams::new(self.id(), Vec::new()).tool_output(output);
        let turn = self.send_once(params, id).await?.turn.id;
        Ok(if self.is_new(&turn, running.as_deref(), id).await {
            self.began(&turn);
            Receipt::Started { turn }
        } else {
            Receipt::Posted { turn }
        })
    }

    /// Records that this client has started a turn.
    fn began(&self, turn: &str) {
        if self.is_followed() {
            let tracker = self.client().tracker();
            tracker.began(self.id(), turn, StartedBy::Us);
        }
    }

    /// The id of the running turn, as far as it can be known: the server is asked if this
    /// connection does not see the turns.
    async fn running_id(&self) -> Result<Option<String>, Error> {
        if self.is_followed() {
            let tracker = self.client().tracker();
            let known = tracker.running(self.id());
            if known.is_some() || tracker.is_at_rest(self.id()) {
                return Ok(known);
            }
        }
        if !is_active(self).await? {
            return Ok(None);
        }
        by_id::newest_running(self).await
    }

    /// Whether a message has started the turn that the server named for it. Another client may have
    /// started it just before, so the turn's first message decides.
    async fn is_new(&self, turn: &str, running: Option<&str>, id: &str) -> bool {
        if running == Some(turn) {
            return false;
        }
        let until = Instant::now() + RECORDED;
        while Instant::now() < until {
            match began_with(self, turn, id).await {
                Ok(Some(is_first)) => return is_first,
                Ok(None) => sleep(LOOK).await,
                // An ephemeral thread has no record.
                Err(_) => break,
            }
        }
        true
    }
}

/// Whether this server has not loaded the thread, so that nothing was done.
fn is_missing(error: &Error) -> bool {
    error.rpc_kind() == Some(RpcErrorKind::ThreadMissing)
}

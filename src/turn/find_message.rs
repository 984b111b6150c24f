//! `Thread::find_message`: what became of a message whose receipt was lost.

use std::time::Duration;

use tokio::time::sleep;

use super::{message_record::turn_of, queue::Queued};
use crate::{
    error::Error,
    thread::{Thread, status::is_active},
};

/// The pause before a message that was not found is looked up once more. A message is on record
/// some 40 ms after it has left the queue.
const PAUSE: Duration = Duration::from_millis(300);

/// The state of a message; see [`Thread::find_message`].
#[derive(Debug)]
#[non_exhaustive]
#[must_use = "it says whether the message was delivered"]
pub enum MessageState {
    /// This turn has it.
    Delivered {
        /// The id of the turn.
        turn: String,
    },
    /// It is in the queue of the thread.
    Queued(Box<Queued>),
    /// It is not on record, but a turn runs that may have it and record it at its next step. Look
    /// again later.
    Pending,
    /// It was not found, and nothing runs that could have it: it was not delivered, or it was
    /// withdrawn from the queue.
    Missing,
}

impl Thread {
    /// Looks for a message by its [id](crate::turn::Message::id), or the `clientUserMessageId` of
    /// any other client: in the queue of the thread, and in the last 1,000 items of its record. The
    /// thread need not be loaded.
    ///
    /// Use this on the next connection, after a request has failed with [`Error::Indeterminate`].
    ///
    /// ```no_run
    /// # async fn run(lost: cas_sdk::Error, supervisor: cas_sdk::Supervisor, thread: &str) -> Result<(), cas_sdk::Error> {
    /// use cas_sdk::{Error, turn::MessageState};
    /// if let Error::Indeterminate { id: Some(id), .. } = lost {
    ///     let thread = supervisor.thread(thread).await?; // On the next connection.
    ///     match thread.find_message(&id).await? {
    ///         MessageState::Delivered { turn } => println!("turn {turn} has it"),
    ///         MessageState::Queued(queued) => println!("it waits as {}", queued.id()),
    ///         MessageState::Missing => println!("it was not delivered"),
    ///         _ => println!("a turn runs: look again later"),
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// Give the server the time to read the message: one that is still on its way is
    /// [`MessageState::Missing`]. If another process runs the thread, it records messages as its
    /// turns read them, and this server does not know whether one of those turns runs.
    ///
    /// # Errors
    /// Same errors as [`CasClient::request`](crate::CasClient::request). An ephemeral thread has
    /// neither a queue nor a record.
    pub async fn find_message(&self, id: &str) -> Result<MessageState, Error> {
        for attempt in 0..2 {
            // NB. The queue first: a message that leaves it meanwhile is on record.
            let queue = self.queue().await?;
            let queued = queue.into_iter().find(|queued| queued.message_id() == id);
            if let Some(queued) = queued {
                return Ok(MessageState::Queued(Box::new(queued)));
            }
            if let Some(turn) = turn_of(self, id).await? {
                return Ok(MessageState::Delivered { turn });
            }
            if attempt == 0 {
                sleep(PAUSE).await;
            }
        }
        Ok(if is_active(self).await? {
            MessageState::Pending
        } else {
            MessageState::Missing
        })
    }
}

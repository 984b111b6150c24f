//! The queue of a thread: input that is sent now and starts a turn when nothing else runs.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{message_id::message_id, message_record::turn_of};
use crate::{
    error::{Error, RpcErrorKind},
    protocol::pointer::at,
    protocol::{
        QueuedSubmission, ThreadQueueAddParams, ThreadQueueDeleteParams, ThreadQueueListParams,
        ThreadQueueStartParams, ThreadStatus, UserInput,
    },
    thread::Input,
    thread::Thread,
    thread::status::is_active,
    turn::by_id::Found,
    turn::by_id::Turns,
    turn::reader::Turn,
};

/// How long nothing may happen before the server is asked whether the queue is held.
const PATIENCE: Duration = Duration::from_secs(1);
/// The pause between two checks of a thread that should take from its queue any moment.
const LOOK: Duration = Duration::from_millis(200);
/// The pause between two checks of a thread whose turns this connection does not see.
const POLL: Duration = Duration::from_millis(500);
/// How long a message may take from the queue to the record of its turn.
const RECORDED: Duration = Duration::from_secs(5);

/// An input that waits in the queue of a thread; see [`Thread::enqueue`]. Dropping the handle
/// leaves the input in the queue.
#[derive(Debug)]
#[must_use = "the input stays in the queue; `wait` says which turn has taken it"]
pub struct Queued {
    thread: Thread,
    turns: Turns,
    id: String,
    message_id: String,
    /// The turn that began last; the next message may belong to this turn.
    begun: Option<Turn>,
}

/// The state of an input in the queue.
#[derive(Debug)]
#[non_exhaustive]
#[must_use = "it has the turn"]
#[expect(clippy::large_enum_variant, reason = "it is taken apart at once")]
pub enum QueueState {
    /// This turn has taken the input. Dropping the turn doesn't interrupt it.
    Taken(Turn),
    /// This turn has taken the input, in another process or on a thread that this connection does
    /// not follow, so its events are not seen here.
    TakenUnseen {
        /// The id of the turn.
        turn: String,
    },
    /// The input waits, though nothing runs that it could wait for. The server holds the queue
    /// after a turn was interrupted and after a restart, until another turn has ended or
    /// [`Queued::release`] is called.
    Held,
    /// The input is no longer in the queue, and no turn that was seen here has taken it: the input
    /// was withdrawn, or taken before this handle was made.
    Gone,
}

impl Thread {
    /// `thread/queue/add`: adds an input to the queue of the thread. A turn takes the input when
    /// nothing else runs on the thread, at once if nothing does. The queue is the server's and
    /// outlives this client. Experimental; an ephemeral thread has no queue.
    ///
    /// ```no_run
    /// # async fn run(thread: cas_sdk::Thread) -> Result<(), cas_sdk::Error> {
    /// use cas_sdk::turn::QueueState;
    /// let mut queued = thread.enqueue("And then run the tests.").await?;
    /// if let QueueState::Taken(turn) = queued.wait().await? {
    ///     println!("{}", turn.finish().await?.text);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotFollowed`] if this connection would not see the turn; [`Error::Indeterminate`]
    /// if the input was sent and the answer lost; otherwise the same errors as
    /// [`CasClient::request`](crate::CasClient::request).
    pub async fn enqueue(&self, input: impl Into<Input>) -> Result<Queued, Error> {
        self.check_followed()?;
        self.add_to_queue(&message_id(), input.into().into()).await
    }

    /// `thread/queue/add`, for a thread that this connection need not follow.
    pub(super) async fn add_to_queue(
        &self,
        message: &str,
        input: Vec<UserInput>,
    ) -> Result<Queued, Error> {
        // NB. Subscribe before the request is sent: an idle thread takes the input before the
        // response is here.
        let turns = self.turns();
        let tracker = self.is_followed().then(|| self.client().tracker());
        if let Some(tracker) = tracker {
            tracker.enqueued(self.id(), message);
        }
        let params = ThreadQueueAddParams::new(self.id(), message, input);
        match self.send_once(params, message).await {
            Ok(added) => Ok(Queued::new(turns, added.queued_submission)),
            Err(error) => {
                if let (Some(tracker), Some(_)) = (tracker, error.rpc()) {
                    tracker.dequeued(self.id(), message);
                }
                Err(error)
            }
        }
    }

    /// `thread/queue/list`: lists the inputs in the queue of this thread, in its order, whoever put
    /// them there.
    ///
    /// # Errors
    /// Same errors as [`CasClient::request`](crate::CasClient::request).
    pub async fn queue(&self) -> Result<Vec<Queued>, Error> {
        let listed = self.client().pages(ThreadQueueListParams::new(self.id()));
        let listed = listed.all().await?.into_iter();
        let queued = listed.map(|told| Queued::new(self.turns(), told));
        Ok(queued.collect())
    }
}

impl Queued {
    fn new(turns: Turns, told: QueuedSubmission) -> Self {
        Self {
            thread: turns.thread().clone(),
            turns,
            id: told.id,
            message_id: told.client_user_message_id,
            begun: None,
        }
    }

    /// The id of the input in the queue.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The id of the message, which the `userMessage` item of the message has as `clientId`.
    #[must_use]
    pub fn message_id(&self) -> &str {
        &self.message_id
    }

    /// Waits until a turn has taken the input, or until the input is held or gone. A held input can
    /// be waited for again. Cancel safe.
    ///
    /// If this connection does not follow the thread, the server is asked twice a second. If the
    /// server has not loaded the thread, only the process that has loaded it knows whether the
    /// input is held, so `wait` goes on until a turn takes the input or it is gone: give it a limit
    /// of your own. An idle process takes an input within ten seconds.
    ///
    /// # Errors
    /// Same errors as [`CasClient::request`](crate::CasClient::request); [`Error::Closed`] if the
    /// connection ends.
    pub async fn wait(&mut self) -> Result<QueueState, Error> {
        if !self.thread.is_followed() {
            return self.wait_unseen().await;
        }
        loop {
            match timeout(PATIENCE, self.taken()).await {
                Ok(turn) => return turn.map(QueueState::Taken),
                Err(_) if is_active(&self.thread).await? => {}
                Err(_) => {}
            }
            if self.is_listed().await? {
                // Between two turns the thread is idle for a moment, too.
                if !is_active(&self.thread).await? {
                    sleep(LOOK).await;
                    if !is_active(&self.thread).await? && self.is_listed().await? {
                        return Ok(QueueState::Held);
                    }
                }
                continue;
            }
            // The input has just been taken, or is gone.
            return Ok(match timeout(PATIENCE, self.taken()).await {
                Ok(turn) => QueueState::Taken(turn?),
                Err(_) => QueueState::Gone,
            });
        }
    }

    /// Waits on a thread whose turns this connection does not see.
    async fn wait_unseen(&self) -> Result<QueueState, Error> {
        let taken = || turn_of(&self.thread, &self.message_id);
        let mut idle = 0;
        while self.is_listed().await? {
            // Between two turns the thread is idle for a moment, too.
            idle = if is_loaded_and_idle(&self.thread).await? {
                idle + 1
            } else {
                0
            };
            if idle > 2 {
                return Ok(QueueState::Held);
            }
            sleep(if idle > 0 { LOOK } else { POLL }).await;
        }
        let recorded = timeout(RECORDED, async {
            loop {
                if let Some(turn) = taken().await? {
                    return Ok(QueueState::TakenUnseen { turn });
                }
                sleep(LOOK).await;
            }
        });
        recorded.await.unwrap_or(Ok(QueueState::Gone))
    }

    /// `thread/queue/delete`: removes the input from the queue. Returns `false` if the input was no
    /// longer there.
    ///
    /// # Errors
    /// Same errors as [`CasClient::request`](crate::CasClient::request).
    pub async fn withdraw(&self) -> Result<bool, Error> {
        let client = self.thread.client();
        let params = ThreadQueueDeleteParams::new(self.thread.id(), self.id());
        let deleted = client.request(params).urgent().await?.deleted;
        if deleted {
            let tracker = client.tracker();
            tracker.dequeued(self.thread.id(), &self.message_id);
        }
        Ok(deleted)
    }

    /// `thread/queue/start`: starts a turn with the input now, where the queue is held.
    ///
    /// # Errors
    /// [`Error::Rpc`] if a turn runs, or if the input is no longer in the queue.
    pub async fn release(&self) -> Result<(), Error> {
        let client = self.thread.client();
        client
            .tracker()
            .enqueued(self.thread.id(), &self.message_id);
        let params = ThreadQueueStartParams::new(self.thread.id()).queued_submission_id(self.id());
        client.request(params).await.map(drop)
    }

    async fn is_listed(&self) -> Result<bool, Error> {
        let client = self.thread.client();
        let listed = client.pages(ThreadQueueListParams::new(self.thread.id()));
        let listed = listed.all().await?;
        Ok(listed.iter().any(|queued| queued.id == self.id))
    }

    /// The turn with the message. Cancel safe.
    async fn taken(&mut self) -> Result<Turn, Error> {
        loop {
            let found = std::future::poll_fn(|cx| self.turns.poll_found(cx)).await;
            let Some(found) = found else {
                return Err(Error::Closed(self.thread.client().closed().await));
            };
            match found? {
                Found::Turn(turn) => {
                    // The message may be the event that named the turn.
                    self.begun = Some(turn);
                }
                Found::Event(event) if event.item_type() == Some("userMessage") => {
                    let message = at::<String>(event.json(), &["item", "clientId"]);
                    let is_it = message.is_ok_and(|id| id == self.message_id);
                    let turn = event.turn_id().unwrap_or_default();
                    if is_it {
                        let begun = self.begun.take_if(|begun| begun.id() == turn);
                        return Ok(begun.unwrap_or_else(|| self.thread.watch(turn, None)));
                    }
                }
                Found::Event(_) => {}
            }
        }
    }
}

/// Whether this server has loaded the thread, and no turn runs on it.
async fn is_loaded_and_idle(thread: &Thread) -> Result<bool, Error> {
    match thread.fetch().await {
        Ok(fetched) => Ok(!matches!(
            fetched.status,
            ThreadStatus::Active(_) | ThreadStatus::NotLoaded
        )),
        Err(error) if error.rpc_kind() == Some(RpcErrorKind::ThreadMissing) => Ok(false),
        Err(error) => Err(error),
    }
}

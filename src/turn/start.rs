//! Starting a turn on a thread: the input, the overrides of the turn, and the request.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    time::Duration,
};

use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};

use super::{
    deadline::Deadline,
    message_id::message_id,
    mode,
    pending::PendingTurn,
    reader::{IDLE_CHECK, Turn},
};
use crate::{
    error::Error,
    protocol::{self, Call, TurnStartParams},
    thread::{Input, Thread},
};

const METHOD: &str = TurnStartParams::METHOD;

impl Thread {
    /// `turn/start`: gives the thread an input to work on. Awaiting the returned value starts the
    /// turn.
    ///
    /// ```no_run
    /// # async fn run(thread: cas_sdk::Thread) -> Result<(), cas_sdk::Error> {
    /// let answer = thread.ask("Why is the build red?").await?.finish().await?.text;
    /// # Ok(()) }
    /// ```
    ///
    /// While a turn runs, the server adds the input to that turn instead ([`Turn::joined`]);
    /// [`send`](Self::send) is more explicit about this.
    ///
    /// # Errors
    /// [`Error::NotFollowed`] if this connection would not see the turn; [`Error::Rpc`] of kind
    /// `NotSteerable` while a review or a compaction runs; otherwise the same errors as
    /// [`CasClient::request`](crate::CasClient::request).
    pub fn ask(&self, input: impl Into<Input>) -> Ask {
        Ask {
            params: TurnStartParams::new(self.id(), input.into()),
            extra: Map::new(),
            schema: None,
            invalid: None,
            request_timeout: self.client().request_timeout(),
            idle_check: IDLE_CHECK,
            deadline: None,
            thread: self.clone(),
        }
    }
}

/// A turn about to be started; see [`Thread::ask`].
///
/// Most overrides persist: later turns of the thread have them too.
///
/// An `Ask` that is dropped while it is being awaited, or that times out, leaves no turn behind: a
/// turn that starts all the same is interrupted.
#[derive(Debug, Clone)]
#[must_use = "a turn is not started until this is awaited"]
pub struct Ask {
    thread: Thread,
    params: TurnStartParams,
    /// Fields that the params' type does not have.
    extra: Map<String, Value>,
    /// The `outputSchema` as text, since the order of its fields counts.
    schema: Option<Box<RawValue>>,
    /// The first error that makes this turn impossible; returned when the turn is started.
    invalid: Option<Error>,
    request_timeout: Duration,
    idle_check: Duration,
    deadline: Option<Deadline>,
}

impl Ask {
    /// Sets the model, for this turn and later ones.
    pub fn model(self, model: impl Into<String>) -> Self {
        self.params(|params| params.model(model))
    }

    /// Sets how hard the model should think, for this turn and later ones.
    pub fn effort(self, effort: protocol::ReasoningEffort) -> Self {
        self.params(|params| params.effort(effort))
    }

    /// Sets the working directory, for this turn and later ones.
    pub fn cwd(self, dir: impl AsRef<std::path::Path>) -> Self {
        let dir = dir.as_ref().to_string_lossy().into_owned();
        self.params(|params| params.cwd(dir))
    }

    /// Sets when the agent must ask for approval, for this turn and later ones.
    pub fn approval_policy(self, policy: protocol::AskForApproval) -> Self {
        self.params(|params| params.approval_policy(policy))
    }

    /// Sets what commands may touch, for this turn and later ones.
    pub fn sandbox_policy(self, policy: protocol::SandboxPolicy) -> Self {
        self.params(|params| params.sandbox_policy(policy))
    }

    /// Sets the collaboration mode, such as planning before doing, for this turn and later ones.
    /// Experimental.
    pub fn collaboration_mode(self, mode: protocol::CollaborationMode) -> Self {
        self.params(|params| params.collaboration_mode(mode))
    }

    /// Sets a JSON schema that the final answer of this turn has to fit;
    /// [`structured`](Self::structured) makes a schema from a type. The model takes a strict subset
    /// only, and fails the turn for any other schema.
    pub fn output_schema(mut self, schema: Value) -> Self {
        self.schema = None;
        self.params(|params| params.output_schema(schema))
    }

    pub(super) fn raw_schema(mut self, schema: Box<RawValue>) -> Self {
        self.params.output_schema = None;
        self.schema = Some(schema);
        self
    }

    /// Changes any of the params of `turn/start`.
    ///
    /// ```no_run
    /// # async fn run(thread: cas_sdk::Thread) -> Result<(), cas_sdk::Error> {
    /// let turn = thread.ask("Hello").params(|params| params.permissions("workspace")).await?;
    /// # Ok(()) }
    /// ```
    pub fn params(mut self, change: impl FnOnce(TurnStartParams) -> TurnStartParams) -> Self {
        self.params = change(self.params);
        self
    }

    /// Sets a field of the params by its wire name, for servers newer than [`TurnStartParams`].
    pub fn field(mut self, name: &str, value: impl Serialize) -> Self {
        match serde_json::to_value(value) {
            Ok(value) => {
                self.extra.insert(name.to_owned(), value);
                self
            }
            Err(e) => self.refuse(Error::encode(METHOD, &e)),
        }
    }

    /// Limits the time of the request that starts the turn. Default: the builder's
    /// [`request_timeout`](crate::Builder::request_timeout). [`deadline`](Self::deadline) limits
    /// the turn itself.
    pub fn request_timeout(mut self, after: Duration) -> Self {
        self.request_timeout = after;
        self
    }

    /// Limits the time of the turn. Default: no limit.
    ///
    /// At the deadline the turn is steered, if the deadline says so, and given its grace period.
    /// Then the server is asked whether the turn has ended without a report, for 5 s at most if the
    /// server does not answer. Only then [`Turn::next`](crate::Turn::next) and
    /// [`Turn::finish`](crate::Turn::finish) fail with
    /// [`TurnErrorKind::DeadlinePassed`](crate::turn::TurnErrorKind::DeadlinePassed) and everything
    /// that was collected. The turn is interrupted when it is dropped.
    ///
    /// ```no_run
    /// # async fn run(thread: cas_sdk::Thread) -> Result<(), cas_sdk::Error> {
    /// use std::time::Duration;
    /// use cas_sdk::turn::Deadline;
    /// let deadline = Deadline::after(Duration::from_secs(60));
    /// let outcome = thread.ask("Why is the build red?").deadline(deadline).await?.finish().await?;
    /// # Ok(()) }
    /// ```
    pub fn deadline(mut self, deadline: Deadline) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Sets after how long without an event the server is asked for the status of the turn.
    /// Default: 60 s; `Duration::MAX` means never.
    ///
    /// If the turn is over, its outcome follows, marked as recovered. If the turn goes on, the
    /// stream yields [`TurnEvent::Idle`](crate::TurnEvent::Idle) and
    /// [`Turn::wait`](crate::Turn::wait) returns `None`. An agent may well be idle for minutes
    /// while it thinks, or while an approval waits for a person, so being idle ends nothing.
    pub fn idle_check(mut self, after: Duration) -> Self {
        self.idle_check = after;
        self
    }

    pub(super) fn refuse(mut self, error: Error) -> Self {
        self.invalid.get_or_insert(error);
        self
    }

    async fn start(self) -> Result<Turn, Error> {
        if let Some(error) = self.invalid {
            return Err(error);
        }
        let encode = |e| Error::encode(METHOD, &e);
        let mut fields = match protocol::to_value(&self.params).map_err(encode)? {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        fields.extend(self.extra);
        fields
            .entry("clientUserMessageId")
            .or_insert_with(|| message_id().into());
        mode::complete(&self.thread, &mut fields)?;
        let params = Params {
            fields: &fields,
            output_schema: self.schema.as_deref(),
        };
        let params = serde_json::to_string(&params).map_err(encode)?;
        let begun = self
            .thread
            .begin(METHOD, params, self.request_timeout, false);
        let mut turn = begun.await?;
        turn.set_idle_check(self.idle_check);
        if let Some(deadline) = self.deadline {
            turn.set_deadline(deadline);
        }
        Ok(turn)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Params<'a> {
    #[serde(flatten)]
    fields: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_schema: Option<&'a RawValue>,
}

impl IntoFuture for Ask {
    type Output = Result<Turn, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

impl Thread {
    /// Makes a request whose response names the turn that it starts; `fresh` if the turn can't join
    /// another.
    pub(crate) async fn begin(
        &self,
        method: &'static str,
        params: String,
        timeout: Duration,
        fresh: bool,
    ) -> Result<Turn, Error> {
        self.check_followed()?;
        // NB. Subscribe before anything is sent: events of the turn may come before the response
        // that names it.
        let mut pending = PendingTurn::new(self, fresh);
        let hook = pending.hook();
        let reply = self
            .client()
            .send(method.into(), params.into(), Some(timeout), false, hook)
            .await?;
        pending.into_turn().ok_or_else(|| Error::Decode {
            method: method.to_owned(),
            raw: reply.result().into(),
            reason: "it names no turn".to_owned(),
        })
    }

    /// Refuses a turn that would run unseen.
    pub(crate) fn check_followed(&self) -> Result<(), Error> {
        if let Some(reason) = self.client().close_reason() {
            return Err(Error::Closed(reason));
        }
        if self.client().tracker().follows(self.id()) {
            return Ok(());
        }
        Err(Error::NotFollowed {
            thread_id: self.id().to_owned(),
        })
    }
}

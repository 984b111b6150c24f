//! Asking something of a thread: the input, what is to be different about the turn, and the start of it.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    time::Duration,
};

use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};

use crate::{
    Input, Thread,
    error::Error,
    protocol,
    turn::{self, Binding, Turn},
};

const METHOD: &str = "turn/start";

impl Thread {
    /// `turn/start`: gives the thread something to do. Awaiting the returned value starts the turn.
    ///
    /// ```no_run
    /// # async fn run(thread: cas_sdk::Thread) -> Result<(), cas_sdk::Error> {
    /// let answer = thread.ask("Why is the build red?").await?.finish().await?.text;
    /// # Ok(()) }
    /// ```
    ///
    /// While a turn runs, the server adds the input to that turn instead ([`Turn::joined`]); [`send`](Self::send) is
    /// clearer about it.
    ///
    /// # Errors
    /// [`Error::NotFollowed`] if the turn could not be seen from this connection; [`Error::Rpc`] of kind `NotSteerable`
    /// while a review or a compaction runs; and as of [`CasClient::request`](crate::CasClient::request).
    pub fn ask(&self, input: impl Into<Input>) -> Ask {
        let timeout = self.client().request_timeout();
        Ask {
            thread: self.clone(),
            input: input.into(),
            fields: Map::new(),
            schema: None,
            invalid: None,
            timeout,
            silence: turn::SILENCE,
        }
    }
}

/// A turn about to be started; see [`Thread::ask`].
///
/// Most overrides persist: later turns of the thread have them too.
///
/// Dropped while it is being awaited, or timed out, it leaves no turn behind: one that starts all the same is interrupted.
#[derive(Debug, Clone)]
#[must_use = "a turn is not started until this is awaited"]
pub struct Ask {
    thread: Thread,
    input: Input,
    fields: Map<String, Value>,
    /// The `outputSchema` as text, since the order of its fields counts.
    schema: Option<Box<RawValue>>,
    /// The first thing that makes this impossible; told when the turn is started.
    invalid: Option<Error>,
    timeout: Duration,
    silence: Duration,
}

impl Ask {
    /// The model, for this turn and later ones.
    pub fn model(self, model: impl Into<String>) -> Self {
        self.field("model", model.into())
    }

    /// How hard the model should think, for this turn and later ones.
    #[inline]
    pub fn effort(self, effort: protocol::ReasoningEffort) -> Self {
        self.field("effort", effort)
    }

    /// The working directory, for this turn and later ones.
    pub fn cwd(self, dir: impl AsRef<std::path::Path>) -> Self {
        self.field("cwd", dir.as_ref())
    }

    /// What is asked before it is done, for this turn and later ones.
    #[inline]
    pub fn approval_policy(self, policy: protocol::AskForApproval) -> Self {
        self.field("approvalPolicy", policy)
    }

    /// What commands may touch, for this turn and later ones.
    #[inline]
    pub fn sandbox_policy(self, policy: protocol::SandboxPolicy) -> Self {
        self.field("sandboxPolicy", policy)
    }

    /// The mode of working together, such as planning before doing, for this turn and later ones. Experimental.
    #[inline]
    pub fn collaboration_mode(self, mode: protocol::CollaborationMode) -> Self {
        self.field("collaborationMode", mode)
    }

    /// A JSON schema that the final answer of this turn has to fit; [`output_of`](Self::output_of) makes one of a type.
    /// The model takes a strict subset only, and fails the turn for any other schema.
    pub fn output_schema(mut self, schema: Value) -> Self {
        self.schema = None;
        self.field("outputSchema", schema)
    }

    pub(crate) fn raw_schema(mut self, schema: Box<RawValue>) -> Self {
        self.fields.remove("outputSchema");
        self.schema = Some(schema);
        self
    }

    /// Any field of `TurnStartParams` by its wire name.
    pub fn field(mut self, name: &str, value: impl Serialize) -> Self {
        match serde_json::to_value(value) {
            Ok(value) => {
                self.fields.insert(name.to_owned(), value);
                self
            }
            Err(e) => self.refuse(Error::encode(METHOD, &e)),
        }
    }

    /// The deadline of the request itself; the turn may take as long as it takes, see
    /// [`Turn::finish_by`](crate::Turn::finish_by).
    pub fn timeout(mut self, after: Duration) -> Self {
        self.timeout = after;
        self
    }

    /// After how long a silence of the turn the server is asked how it stands. Default: 60 s; `Duration::MAX` is never.
    ///
    /// If the turn turns out to be over, its outcome follows, marked as recovered. If it goes on, that is
    /// [`TurnEvent::Silent`](crate::TurnEvent::Silent) and `None` of [`Turn::wait`](crate::Turn::wait): an agent may
    /// well be silent for minutes while it thinks, or while an approval waits for a person, so a silence ends nothing.
    pub fn silence(mut self, after: Duration) -> Self {
        self.silence = after;
        self
    }

    pub(crate) fn refuse(mut self, error: Error) -> Self {
        self.invalid.get_or_insert(error);
        self
    }

    pub(crate) async fn start(self) -> Result<Turn, Error> {
        let Self {
            thread,
            input,
            mut fields,
            schema,
            invalid,
            timeout,
            silence,
        } = self;
        if let Some(error) = invalid {
            return Err(error);
        }
        fields.insert("threadId".to_owned(), thread.id().into());
        fields.insert("input".to_owned(), input.as_value());
        let params = Params {
            fields: &fields,
            output_schema: schema.as_deref(),
        };
        let params = serde_json::to_string(&params).map_err(|e| Error::encode(METHOD, &e))?;
        let mut turn = thread.begin(METHOD, &params, timeout, false).await?;
        turn.set_silence(silence);
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
    /// Makes a request whose answer names the turn that it starts; `fresh` if it can't join another.
    pub(crate) async fn begin(
        &self,
        method: &str,
        params: &str,
        timeout: Duration,
        fresh: bool,
    ) -> Result<Turn, Error> {
        self.check_followed()?;
        // NB. Before anything is sent: events of the turn may come before the answer that names it.
        let mut binding = Binding::new(self, fresh);
        let hook = binding.hook();
        let reply = self
            .client()
            .send(method, params, Some(timeout), false, hook)
            .await?;
        binding.into_turn().ok_or_else(|| Error::Decode {
            method: method.to_owned(),
            raw: reply.result().into(),
            reason: "it names no turn".to_owned(),
        })
    }

    /// Refuses what would run unseen.
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

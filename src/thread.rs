//! Threads: conversations that the server keeps. Starting, resuming, and asking something of one.

use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    CasClient, Events, Filter, Input,
    error::Error,
    protocol::{self, Call, ThreadForkParams, ThreadResumeParams, ThreadStartParams},
    turn::{Binding, Turn},
};

/// A thread that this connection follows. Clones are the same thread.
#[derive(Clone)]
pub struct Thread(Arc<Inner>);

struct Inner {
    client: CasClient,
    id: String,
    /// The result that opened it, as the server wrote it.
    opened: String,
}

impl CasClient {
    /// `thread/start`: begins a thread and follows it. The registered tools are advertised on it.
    ///
    /// # Errors
    /// As of [`request`](Self::request); [`Error::Invalid`] if there are tools but the experimental API is off.
    pub async fn start_thread(&self, params: ThreadStartParams) -> Result<Thread, Error> {
        let mut fields = object(ThreadStartParams::METHOD, &params)?;
        if let Some(tools) = self.advertised()? {
            // A list that the caller gave goes first; what is answered is what is registered.
            match fields.get_mut("dynamicTools").and_then(Value::as_array_mut) {
                Some(given) => given.extend(tools.as_array().cloned().unwrap_or_default()),
                None => {
                    fields.insert("dynamicTools".to_owned(), tools);
                }
            }
        }
        self.open::<ThreadStartParams>(fields).await
    }

    /// `thread/resume`: loads a stored thread and follows it; a plain id converts. The history is not sent along unless
    /// the params say `exclude_turns(false)`; page through it with `thread/turns/list`.
    ///
    /// # Errors
    /// As of [`request`](Self::request); of the refusals, `NoRollout` means that the thread doesn't exist or has had no
    /// turn, `ActiveWriter` that another process has it (forking it works), `Archived` that it has to be unarchived.
    pub async fn resume_thread(
        &self,
        params: impl Into<ThreadResumeParams>,
    ) -> Result<Thread, Error> {
        let mut fields = object(ThreadResumeParams::METHOD, &params.into())?;
        fields.entry("excludeTurns").or_insert(true.into());
        self.open::<ThreadResumeParams>(fields).await
    }

    /// `thread/fork`: a new thread with the history of another, which may belong to another process.
    ///
    /// # Errors
    /// As of [`request`](Self::request).
    pub async fn fork_thread(&self, params: impl Into<ThreadForkParams>) -> Result<Thread, Error> {
        let mut fields = object(ThreadForkParams::METHOD, &params.into())?;
        fields.entry("excludeTurns").or_insert(true.into());
        self.open::<ThreadForkParams>(fields).await
    }

    async fn open<C: Call>(&self, params: Map<String, Value>) -> Result<Thread, Error> {
        #[derive(Deserialize)]
        struct Opened {
            thread: Id,
        }
        #[derive(Deserialize)]
        struct Id {
            id: String,
        }
        self.check::<C>()?;
        self.handlers().tools.check()?;
        let params = Value::Object(params).to_string();
        // NB. The thread has its handlers before anything else of it is routed.
        let opening = self.dispatch().threads().opening(self.own_handlers());
        let reply = self
            .send(
                C::METHOD,
                &params,
                Some(self.request_timeout()),
                false,
                Some(opening),
            )
            .await?;
        self.look_over(C::METHOD, reply.result()).await;
        let opened: Opened = serde_json::from_str(reply.result())
            .map_err(|e| Error::decode(C::METHOD, reply.result(), &e))?;
        let inner = Inner {
            client: self.clone(),
            id: opened.thread.id,
            opened: reply.result().to_owned(),
        };
        Ok(Thread(Arc::new(inner)))
    }
}

fn object(method: &str, params: &impl Serialize) -> Result<Map<String, Value>, Error> {
    match serde_json::to_value(params) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Ok(Map::new()),
        Err(e) => Err(Error::encode(method, &e)),
    }
}

impl Thread {
    /// The id, to resume it by.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The client it was opened with.
    #[must_use]
    pub fn client(&self) -> &CasClient {
        &self.0.client
    }

    /// What the server said when the thread was opened: the JSON text of the response.
    #[must_use]
    pub fn opened(&self) -> &str {
        &self.0.opened
    }

    /// The state of the thread when it was opened.
    ///
    /// # Errors
    /// [`Error::Decode`] if it doesn't fit the schema.
    pub fn info(&self) -> Result<protocol::Thread, Error> {
        #[derive(Deserialize)]
        struct Opened {
            thread: protocol::Thread,
        }
        let opened: Opened = serde_json::from_str(self.opened())
            .map_err(|e| Error::decode("thread/start", self.opened(), &e))?;
        Ok(opened.thread)
    }

    /// Everything that the server says about this thread from now on.
    pub fn events(&self) -> Events {
        self.client().events(Filter::all().thread(self.id()))
    }

    /// `turn/start`: gives the thread something to do. Awaiting the returned value starts the turn.
    ///
    /// ```no_run
    /// # async fn run(thread: cas_sdk::Thread) -> Result<(), cas_sdk::Error> {
    /// let answer = thread.ask("Why is the build red?").await?.finish().await?.text;
    /// # Ok(()) }
    /// ```
    pub fn ask(&self, input: impl Into<Input>) -> Ask {
        let timeout = self.client().request_timeout();
        Ask {
            thread: self.clone(),
            input: input.into(),
            fields: Map::new(),
            invalid: None,
            timeout,
        }
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread")
            .field("id", &self.0.id)
            .finish_non_exhaustive()
    }
}

/// A turn about to be started; see [`Thread::ask`].
///
/// Most overrides persist: later turns of the thread have them too.
#[derive(Debug, Clone)]
#[must_use = "a turn is not started until this is awaited"]
pub struct Ask {
    thread: Thread,
    input: Input,
    fields: Map<String, Value>,
    /// The first value that can't be written as JSON; told when the turn is started.
    invalid: Option<Error>,
    timeout: Duration,
}

impl Ask {
    /// The model, for this turn and later ones.
    pub fn model(self, model: impl Into<String>) -> Self {
        self.field("model", model.into())
    }

    /// How hard the model should think, for this turn and later ones.
    pub fn effort(self, effort: protocol::ReasoningEffort) -> Self {
        self.field("effort", effort)
    }

    /// The working directory, for this turn and later ones.
    pub fn cwd(self, dir: impl AsRef<std::path::Path>) -> Self {
        self.field("cwd", dir.as_ref())
    }

    /// What is asked before it is done, for this turn and later ones.
    pub fn approval_policy(self, policy: protocol::AskForApproval) -> Self {
        self.field("approvalPolicy", policy)
    }

    /// What commands may touch, for this turn and later ones.
    pub fn sandbox_policy(self, policy: protocol::SandboxPolicy) -> Self {
        self.field("sandboxPolicy", policy)
    }

    /// A JSON schema that the final answer of this turn has to fit.
    pub fn output_schema(self, schema: Value) -> Self {
        self.field("outputSchema", schema)
    }

    /// Any field of `TurnStartParams` by its wire name.
    pub fn field(mut self, name: &str, value: impl Serialize) -> Self {
        match serde_json::to_value(value) {
            Ok(value) => {
                self.fields.insert(name.to_owned(), value);
            }
            Err(e) => {
                self.invalid = self
                    .invalid
                    .or_else(|| Some(Error::encode("turn/start", &e)));
            }
        }
        self
    }

    /// The deadline of the request itself; the turn may take as long as it takes.
    pub fn timeout(mut self, after: Duration) -> Self {
        self.timeout = after;
        self
    }

    async fn start(self) -> Result<Turn, Error> {
        #[derive(Deserialize)]
        struct Started {
            turn: Id,
        }
        #[derive(Deserialize)]
        struct Id {
            id: String,
        }
        const METHOD: &str = "turn/start";
        let Self {
            thread,
            input,
            mut fields,
            invalid,
            timeout,
        } = self;
        if let Some(error) = invalid {
            return Err(error);
        }
        fields.insert("threadId".to_owned(), thread.id().into());
        fields.insert("input".to_owned(), input.into_value());
        // NB. Before anything is sent: events of the turn may come before the answer that names it.
        let binding = Binding::new(&thread);
        let params = Value::Object(fields).to_string();
        let reply = thread
            .client()
            .send(METHOD, &params, Some(timeout), false, Some(binding.hook()))
            .await?;
        let started: Started = serde_json::from_str(reply.result())
            .map_err(|e| Error::decode(METHOD, reply.result(), &e))?;
        Ok(binding.into_turn(thread, &started.turn.id))
    }
}

impl IntoFuture for Ask {
    type Output = Result<Turn, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

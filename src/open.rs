//! Opening threads: a new one, a stored one, a copy; and what to do where a stored one can't be had.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    CasClient, Origin, Thread,
    error::{Error, RpcErrorKind},
    protocol::{Call, ThreadForkParams, ThreadResumeParams, ThreadStartParams},
    read::at,
};

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
        self.open::<ThreadStartParams>(fields, Origin::Started)
            .await
    }

    /// `thread/resume`: loads a stored thread and follows it; a plain id converts. The history is not sent along unless
    /// the params say `exclude_turns(false)`; page through it with `thread/turns/list`.
    ///
    /// ```no_run
    /// # async fn run(client: cas_sdk::CasClient) -> Result<(), cas_sdk::Error> {
    /// let thread = client.resume_thread("thr_1").or_fork().or_unarchive().await?;
    /// println!("{:?}", thread.origin());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As of [`request`](Self::request). Of the refusals, `NoRollout` means that the thread doesn't exist or has had no
    /// turn yet, `ActiveWriter` that another process has it, `Archived` that it has been put away; [`Resume`] can deal
    /// with each.
    pub fn resume_thread(&self, params: impl Into<ThreadResumeParams>) -> Resume {
        Resume {
            client: self.clone(),
            params: params.into(),
            fork: false,
            unarchive: false,
            start: None,
        }
    }

    /// `thread/fork`: a new thread with the history of another, which may belong to another process.
    ///
    /// # Errors
    /// As of [`request`](Self::request).
    pub async fn fork_thread(&self, params: impl Into<ThreadForkParams>) -> Result<Thread, Error> {
        let mut fields = object(ThreadForkParams::METHOD, &params.into())?;
        fields.entry("excludeTurns").or_insert(true.into());
        self.open::<ThreadForkParams>(fields, Origin::Forked).await
    }

    async fn open<C: Call>(
        &self,
        params: Map<String, Value>,
        origin: Origin,
    ) -> Result<Thread, Error> {
        self.check::<C>()?;
        self.handlers().tools.check()?;
        let params = Value::Object(params).to_string();
        let deadline = Some(self.request_timeout());
        let reply = self.send(C::METHOD, &params, deadline, false, None).await?;
        self.look_over(C::METHOD, reply.result()).await;
        let id = at(reply.result(), &["thread", "id"])
            .map_err(|e| Error::decode(C::METHOD, reply.result(), &e))?;
        let text = reply.result().to_owned();
        Ok(Thread::new(self, id, origin, text))
    }
}

/// A thread about to be resumed, and what to do if it can't be; see [`CasClient::resume_thread`].
/// [`Thread::origin`] tells what was done. Without a word about it, what stands in the way is the error.
#[derive(Debug, Clone)]
#[must_use = "a thread is not resumed until this is awaited"]
pub struct Resume {
    client: CasClient,
    params: ThreadResumeParams,
    fork: bool,
    unarchive: bool,
    start: Option<Box<ThreadStartParams>>,
}

impl Resume {
    /// If another process has the thread, makes a copy of it: only one process at a time can write to a thread.
    #[inline]
    pub fn or_fork(mut self) -> Self {
        self.fork = true;
        self
    }

    /// If the thread is archived, brings it back first.
    #[inline]
    pub fn or_unarchive(mut self) -> Self {
        self.unarchive = true;
        self
    }

    /// If nothing is stored of the thread, because it doesn't exist or has had no turn yet, starts a new one.
    #[inline]
    pub fn or_start(mut self, params: ThreadStartParams) -> Self {
        self.start = Some(Box::new(params));
        self
    }

    async fn run(self) -> Result<Thread, Error> {
        let Self {
            client,
            params,
            fork,
            unarchive,
            start,
        } = self;
        let mut fields = object(ThreadResumeParams::METHOD, &params)?;
        fields.entry("excludeTurns").or_insert(true.into());
        let id = fields.get("threadId").and_then(Value::as_str);
        let id = id.unwrap_or_default().to_owned();
        let resume = |origin| client.open::<ThreadResumeParams>(fields.clone(), origin);
        let mut opened = resume(Origin::Resumed).await;
        if unarchive && is(&opened, &RpcErrorKind::Archived) {
            client.thread(&id).unarchive().await?;
            opened = resume(Origin::Unarchived).await;
        }
        if fork && is(&opened, &RpcErrorKind::ActiveWriter) {
            for field in ["history", "initialTurnsPage", "personality"] {
                fields.remove(field); // Which a fork doesn't have.
            }
            return client
                .open::<ThreadForkParams>(fields, Origin::Forked)
                .await;
        }
        match start {
            Some(start) if is(&opened, &RpcErrorKind::NoRollout) => {
                client.start_thread(*start).await
            }
            _ => opened,
        }
    }
}

fn is(opened: &Result<Thread, Error>, kind: &RpcErrorKind) -> bool {
    opened
        .as_ref()
        .is_err_and(|error| error.rpc_kind().as_ref() == Some(kind))
}

impl IntoFuture for Resume {
    type Output = Result<Thread, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    // Compiled for those who call it: the writers of all that a thread can be resumed with hang on it.
    #[inline]
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

fn object(method: &str, params: &impl Serialize) -> Result<Map<String, Value>, Error> {
    match serde_json::to_value(params) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Ok(Map::new()),
        Err(e) => Err(Error::encode(method, &e)),
    }
}

//! Opening threads: a new one, a stored one, a copy.

use std::time::Duration;

use super::{
    handle::{OpenedBy, Thread},
    resume::Resume,
};
use crate::{
    client::handle::CasClient,
    error::Error,
    protocol::pointer::at,
    protocol::{Call, ThreadForkParams, ThreadResumeParams, ThreadStartParams},
};

impl CasClient {
    /// `thread/start`: begins a thread and follows it. The registered tools are advertised on it.
    ///
    /// # Errors
    /// Same errors as [`request`](Self::request); [`Error::Invalid`] if there are tools but the experimental API is off.
    pub async fn start_thread(&self, params: ThreadStartParams) -> Result<Thread, Error> {
        self.start_thread_within(params, self.request_timeout())
            .await
    }

    pub(super) async fn start_thread_within(
        &self,
        mut params: ThreadStartParams,
        within: Duration,
    ) -> Result<Thread, Error> {
        if let Some(tools) = self.advertised()? {
            // A list that the caller gave goes first; what is answered is what is registered.
            params.dynamic_tools.get_or_insert_default().extend(tools);
        }
        self.open_thread(&params, OpenedBy::Started, within).await
    }

    /// `thread/resume`: loads a stored thread and follows it; a plain id converts. The history is not sent along unless
    /// the params say `exclude_turns(false)`; page through it with `thread/turns/list`.
    ///
    /// ```no_run
    /// # async fn run(client: cas_sdk::CasClient) -> Result<(), cas_sdk::Error> {
    /// let thread = client.resume_thread("thr_1").or_fork().or_unarchive().await?;
    /// println!("{:?}", thread.opened_by());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Same errors as [`request`](Self::request). Of the refusals, `ThreadMissing` means that the thread doesn't exist, is
    /// ephemeral or has had no turn yet, `ActiveWriter` that another process has it, `Archived` that it is archived;
    /// [`Resume`] can deal with each.
    pub fn resume_thread(&self, params: impl Into<ThreadResumeParams>) -> Resume {
        Resume::new(self, params.into())
    }

    /// `thread/fork`: a new thread with the history of another, which may belong to another process.
    ///
    /// # Errors
    /// Same errors as [`request`](Self::request).
    pub async fn fork_thread(&self, params: impl Into<ThreadForkParams>) -> Result<Thread, Error> {
        let mut params = params.into();
        params.exclude_turns.get_or_insert(true);
        self.open_thread(&params, OpenedBy::Forked, self.request_timeout())
            .await
    }

    pub(super) async fn open_thread<C: Call>(
        &self,
        params: &C,
        opened_by: OpenedBy,
        within: Duration,
    ) -> Result<Thread, Error> {
        self.check::<C>()?;
        self.check_tools()?;
        let params = serde_json::to_string(params).map_err(|e| Error::encode(C::METHOD, &e))?;
        let reply = self
            .send(C::METHOD, &params, Some(within), false, None)
            .await?;
        self.warn_of_opened(C::METHOD, reply.result()).await;
        let path = &["thread", "id"];
        let id = at(reply.result(), path)
            .map_err(|e| Error::decode_at(C::METHOD, reply.result(), path, &e))?;
        let text = reply.result().to_owned();
        Ok(Thread::new(self, id, opened_by, text))
    }
}

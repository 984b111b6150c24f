//! Opening threads: new ones, stored ones and copies.

use std::{sync::Arc, time::Duration};

use super::{
    handle::{OpenedBy, Thread},
    resume::Resume,
};
use crate::{
    client::handle::CasClient,
    error::Error,
    protocol::pointer::at,
    protocol::{Call, ThreadForkParams, ThreadResumeParams, ThreadStartParams},
    rpc::reply::OnReply,
};

impl CasClient {
    /// `thread/start`: starts a thread, advertises the registered tools on it, and follows it.
    ///
    /// # Errors
    /// Same errors as [`request`](Self::request); [`Error::Invalid`] if there are tools but the
    /// experimental API is off.
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
            // The caller's own list goes first; only calls of registered tools are answered.
            params.dynamic_tools.get_or_insert_default().extend(tools);
        }
        self.open_thread(&params, OpenedBy::Started, within).await
    }

    /// `thread/resume`: loads a stored thread and follows it. A plain id converts into the params.
    /// The response omits the history unless the params say `exclude_turns(false)`; page through
    /// the history with `thread/turns/list`.
    ///
    /// ```no_run
    /// # async fn run(client: cas_sdk::CasClient) -> Result<(), cas_sdk::Error> {
    /// let thread = client.resume_thread("thr_1").or_fork().or_unarchive().await?;
    /// println!("{:?}", thread.opened_by());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Same errors as [`request`](Self::request). The kind is `ThreadMissing` if the thread doesn't
    /// exist, is ephemeral or has had no turn yet, `ActiveWriter` if another process has the
    /// thread, and `Archived` if the thread is archived. [`Resume`] can deal with each of these
    /// kinds.
    pub fn resume_thread(&self, params: impl Into<ThreadResumeParams>) -> Resume {
        Resume::new(self, params.into())
    }

    /// `thread/fork`: starts a new thread with the history of another thread, which may belong to
    /// another process.
    ///
    /// # Errors
    /// Same errors as [`request`](Self::request).
    pub async fn fork_thread(&self, params: impl Into<ThreadForkParams>) -> Result<Thread, Error> {
        let mut params = params.into();
        params.exclude_turns.get_or_insert(true);
        self.open_thread(&params, OpenedBy::Forked, self.request_timeout())
            .await
    }

    /// `thread/resume` with params of the caller's own. The hook runs in the reader, before any event
    /// that follows the response.
    #[cfg(feature = "ws")]
    pub(crate) async fn resume_with(
        &self,
        params: &str,
        within: Duration,
        hook: OnReply,
    ) -> Result<Thread, Error> {
        self.check_tools()?;
        let (method, opened_by) = (ThreadResumeParams::METHOD, OpenedBy::Resumed);
        self.opened(method, params.into(), opened_by, within, Some(hook))
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
        self.opened(C::METHOD, params.into(), opened_by, within, None)
            .await
    }

    async fn opened(
        &self,
        method: &'static str,
        params: Arc<str>,
        opened_by: OpenedBy,
        within: Duration,
        hook: Option<OnReply>,
    ) -> Result<Thread, Error> {
        let reply = self
            .send(method.into(), params, Some(within), false, hook)
            .await?;
        self.warn_of_opened(method, reply.result()).await;
        let path = &["thread", "id"];
        let id = at(reply.result(), path)
            .map_err(|e| Error::decode_at(method, reply.result(), path, &e))?;
        let text = reply.result().to_owned();
        Ok(Thread::new(self, id, opened_by, text))
    }
}

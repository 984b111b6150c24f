//! Compaction: summarizing the history of a thread.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
};

use super::reader::Turn;
use crate::{
    error::Error,
    protocol::{Call as _, ThreadCompactStartParams},
    thread::Thread,
};

impl Thread {
    /// `thread/compact/start`: summarizes the history of the thread. Awaiting the returned value
    /// starts the compaction, which is a turn that takes no other input.
    ///
    /// # Errors
    /// [`Error::Invalid`] while a turn runs on the thread, unless
    /// [`interrupt_running`](Compact::interrupt_running) was called; [`Error::Timeout`] if the
    /// compaction doesn't begin within the deadline of requests; [`Error::NotFollowed`] if the
    /// thread is closed or no longer followed before that; otherwise the same errors as
    /// [`ask`](Self::ask).
    pub fn compact(&self) -> Compact {
        Compact {
            thread: self.clone(),
            interrupts: false,
        }
    }
}

/// A compaction about to be started; see [`Thread::compact`].
#[derive(Debug, Clone)]
#[must_use = "a compaction is not started until this is awaited"]
pub struct Compact {
    thread: Thread,
    interrupts: bool,
}

impl Compact {
    /// Starts the compaction even if a turn runs on the thread. The server aborts that turn.
    /// Default: the compaction is refused.
    pub fn interrupt_running(mut self) -> Self {
        self.interrupts = true;
        self
    }
}

impl IntoFuture for Compact {
    type Output = Result<Turn, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            self.thread.check_followed()?;
            if !self.interrupts {
                self.thread
                    .check_at_rest(ThreadCompactStartParams::METHOD)
                    .await?;
            }
            self.thread.start_compaction().await
        })
    }
}

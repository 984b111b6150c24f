//! A request to the server for the status of a turn, while the turn is still being read.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, timeout};

use super::{
    reconcile::{self, RECORD, Verdict},
    sync_future::SyncFuture,
    watchdog::Why,
};
use crate::thread::Thread;

/// How long a turn that goes on producing events may delay the verdict that its deadline waits for.
const DRAIN: Duration = Duration::from_secs(1);

/// A pending request for the status of a turn.
pub(super) struct Check {
    pub(super) why: Why,
    verdict: SyncFuture<Verdict>,
    /// The answer, and when it came. The answer is kept until the events before it are read.
    answer: Option<(Verdict, Instant)>,
}

impl Check {
    pub(super) fn new(why: Why, thread: &Thread, turn: &str) -> Self {
        let (thread, turn) = (thread.clone(), turn.to_owned());
        let verdict = async move {
            if why != Why::Gaps {
                return reconcile::verdict(&thread, &turn).await;
            }
            match timeout(RECORD, reconcile::record(&thread, &turn)).await {
                Ok(Ok(record)) => Verdict::Over(record),
                Ok(Err(error)) => Verdict::Unknown(error),
                Err(_) => Verdict::Idle,
            }
        };
        Self {
            why,
            verdict: SyncFuture::new(verdict),
            answer: None,
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) {
        if self.answer.is_none()
            && let Poll::Ready(verdict) = self.verdict.poll(cx)
        {
            self.answer = Some((verdict, Instant::now()));
        }
    }

    /// Takes the answer, once the events before it are read.
    pub(super) fn take_answer(&mut self) -> Option<Verdict> {
        self.answer.take().map(|(verdict, _)| verdict)
    }

    /// Whether a deadline has waited long enough for the events before the answer to be read.
    pub(super) fn is_overdue(&self) -> bool {
        let answered = self.answer.as_ref();
        self.why == Why::Deadline && answered.is_some_and(|(_, at)| at.elapsed() >= DRAIN)
    }
}

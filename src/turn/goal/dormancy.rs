//! Detects an active goal for which nothing will run.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    thread::{Thread, status::is_active},
    turn::sync_future::SyncFuture,
};

/// How long an active goal may go without a turn before the server is asked whether one will begin.
/// The next turn usually begins within 20 ms.
const PATIENCE: Duration = Duration::from_secs(3);

/// Notices that nothing runs although the goal is active.
#[derive(Default)]
pub(super) struct Dormancy {
    timer: Option<Pin<Box<Sleep>>>,
    /// A pending request that asks whether the thread is active.
    asked: Option<SyncFuture<bool>>,
    dormant: bool,
}

impl Dormancy {
    pub(super) fn is_dormant(&self) -> bool {
        self.dormant
    }

    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Becomes ready once, when the goal has become dormant.
    pub(super) fn poll(&mut self, thread: &Thread, cx: &mut Context<'_>) -> Poll<()> {
        if self.dormant {
            return Poll::Pending;
        }
        loop {
            if let Some(asked) = &mut self.asked {
                let Poll::Ready(is_active) = asked.poll(cx) else {
                    return Poll::Pending;
                };
                self.asked = None;
                self.timer = None;
                if !is_active {
                    self.dormant = true;
                    return Poll::Ready(());
                }
            }
            let due = Instant::now() + PATIENCE;
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let thread = thread.clone();
            // A thread whose status is unknown may be active.
            let ask = async move { is_active(&thread).await.unwrap_or(true) };
            self.asked = Some(SyncFuture::new(ask));
        }
    }
}

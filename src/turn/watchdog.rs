//! When to ask the server about a turn: no event has come for long, or the thread rests although
//! the turn has not ended.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// How long the end of a turn may come after the report that its thread rests. The end usually
/// comes in the same moment.
pub(super) const REST: Duration = Duration::from_secs(2);
/// The longest time that is safe to add to an instant.
const NEVER: Duration = Duration::from_secs(60 * 60 * 24 * 365);

#[derive(Debug)]
pub(super) struct Watchdog {
    idle_check: Duration,
    last_event: Instant,
    /// When the server was last asked, or the last event came.
    since: Instant,
    /// Since when the thread rests.
    resting: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// Why the server should be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// No event has come for long.
    Quiet,
    /// The thread rests.
    Rest,
    /// The thread has been closed.
    Gone,
    /// The turn is over, but not all of it was seen.
    Gaps,
    /// The deadline has passed.
    Deadline,
}

impl Watchdog {
    pub(super) fn new(idle_check: Duration) -> Self {
        let now = Instant::now();
        Self {
            idle_check: idle_check.min(NEVER),
            last_event: now,
            since: now,
            resting: None,
            timer: None,
        }
    }

    pub(super) fn set_idle_check(&mut self, idle_check: Duration) {
        self.idle_check = idle_check.min(NEVER);
        self.timer = None;
    }

    /// Records that an event has come.
    pub(super) fn heard(&mut self) {
        // NB. The timer stays as it is: it looks at this time when it fires, so an event costs no
        // timer.
        self.last_event = Instant::now();
        self.since = self.last_event;
    }

    pub(super) fn rests(&mut self, rests: bool) {
        let since = rests.then(Instant::now);
        if self.resting.is_some() != rests {
            self.resting = since;
            self.timer = None;
        }
    }

    /// Starts the waits anew, after the server has been asked.
    pub(super) fn again(&mut self) {
        self.since = Instant::now();
        self.resting = self.resting.map(|_| self.since);
        self.timer = None;
    }

    /// The time since the last event.
    pub(super) fn idle_for(&self) -> Duration {
        self.last_event.elapsed()
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Why> {
        loop {
            let quiet = self.since + self.idle_check;
            let rest = self.resting.map(|since| since + REST);
            let (due, why) = match rest {
                Some(rest) if rest < quiet => (rest, Why::Rest),
                _ => (quiet, Why::Quiet),
            };
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
            ready!(timer.as_mut().poll(cx));
            self.timer = None;
            if Instant::now() >= due {
                return Poll::Ready(why);
            }
        }
    }
}

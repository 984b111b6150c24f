//! The stream of a turn: its events, and what is done when no events come.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use tokio::task::coop::has_budget_remaining;

use super::{
    check::Check,
    deadline::Expiry,
    event::TurnEvent,
    progress::{Heard, Sign},
    reader::Turn,
    reconcile::Verdict,
    watchdog::Why,
};
use crate::error::{Error, SubAgent, TurnError, TurnErrorKind};
use crate::protocol::ThreadItem;

type Told = Result<TurnEvent, Error>;

impl Turn {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Told>> {
        loop {
            if let Some(event) = self.replay.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            self.poll_expiry(cx);
            // NB. The events of the turn come before the server's answer about the turn. So the
            // answer is only looked at once all events are read that were there when the answer
            // came.
            if let Some(check) = &mut self.check {
                check.poll(cx);
            }
            if self.naming.poll(cx) {
                self.tell_names();
                continue;
            }
            let heard = {
                let mut progress = self.progress();
                let over = progress.collector.end().is_some();
                (!over).then(|| progress.poll(self.id(), cx))
            };
            let is_over = heard.is_none();
            match heard {
                Some(Poll::Ready(heard)) => {
                    if let Some(told) = self.hear(heard) {
                        return Poll::Ready(Some(told));
                    }
                    if !self.check.as_ref().is_some_and(Check::is_overdue) {
                        continue;
                    }
                }
                // Events may be queued, but the task has to yield before it may look.
                Some(Poll::Pending) if !has_budget_remaining() => return Poll::Pending,
                Some(Poll::Pending) => {}
                // Once the end is known, only its record is waited for.
                None => drop(self.check.take_if(|check| check.why != Why::Gaps)),
            }
            let told = if let Some(check) = &mut self.check {
                let Some(verdict) = check.take_answer() else {
                    return Poll::Pending;
                };
                let why = check.why;
                self.check = None;
                self.judge(why, verdict)
            } else if is_over {
                // The names of the sub-agents are part of the outcome.
                let agents = self.known_agents();
                self.naming
                    .ask_at_the_end(self.control.thread().client(), agents);
                if self.naming.poll(cx) {
                    self.tell_names();
                    continue;
                }
                if self.naming.is_pending() {
                    return Poll::Pending;
                }
                let news = self.naming.news(self.known_agents());
                if !news.is_empty() {
                    self.tell_of(news);
                    continue;
                }
                self.end()
            } else {
                let why = ready!(self.watchdog.poll(cx));
                self.check(why);
                None
            };
            if told.is_some() {
                return Poll::Ready(told);
            }
        }
    }

    fn hear(&mut self, heard: Result<Option<Heard>, Error>) -> Option<Told> {
        let Heard { told, sign } = match heard {
            Ok(heard) => heard?,
            Err(Error::Lagged { skipped }) => return Some(Ok(TurnEvent::Lagged(skipped))),
            Err(Error::Closed(reason)) => {
                return Some(Err(self.cut_off(TurnErrorKind::Closed(reason))));
            }
            Err(other) => return Some(Err(other)),
        };
        self.watchdog.heard();
        self.check.take_if(|check| check.why == Why::Quiet); // It is not.
        match sign {
            Sign::Rests(rests) => self.watchdog.rests(rests),
            Sign::Gone => self.check(Why::Gone),
            Sign::None => {}
        }
        if let Some(TurnEvent::ItemStarted(item) | TurnEvent::ItemCompleted(item)) = &told
            && let ThreadItem::CollabAgentToolCall(_) | ThreadItem::SubAgentActivity(_) = &**item
        {
            let agents = self.known_agents();
            self.naming.ask(self.control.thread().client(), agents);
        }
        told.map(Ok)
    }

    /// Yields the sub-agents whose names have come, and asks for the names of those that have begun
    /// meanwhile.
    fn tell_names(&mut self) {
        let agents = self.known_agents();
        let news = self.naming.news(agents.clone());
        self.tell_of(news);
        self.naming.ask(self.control.thread().client(), agents);
    }

    fn tell_of(&mut self, agents: Vec<SubAgent>) {
        let events = agents
            .into_iter()
            .map(|agent| TurnEvent::Agent(Box::new(agent)));
        self.replay.extend(events);
    }

    /// Starts a request for the status of the turn.
    pub(super) fn check(&mut self, why: Why) {
        self.check = Some(Check::new(why, self.thread(), self.id()));
    }

    /// Asks the server once the deadline and its grace period have passed: the turn may have ended
    /// without a report.
    fn poll_expiry(&mut self, cx: &mut Context<'_>) {
        let expiry = self.expiry.as_mut();
        let passed = expiry.is_some_and(|expiry| expiry.poll(&self.control, cx));
        let asked = self.check.as_ref();
        let asked = asked.is_some_and(|check| matches!(check.why, Why::Deadline | Why::Gone));
        if passed && !asked && self.progress().collector.end().is_none() {
            self.check(Why::Deadline);
        }
    }

    fn judge(&mut self, why: Why, verdict: Verdict) -> Option<Told> {
        if let Verdict::Unknown(error) = &verdict {
            let turn = self.id();
            tracing::debug!(target: "cas_sdk", turn, %error, "the server can't be asked how the turn stands");
        }
        if !matches!(verdict, Verdict::Idle) {
            self.rests = 0;
        }
        match (why, verdict) {
            (_, Verdict::Over(record)) => {
                self.progress().collector.gaps = false;
                self.recover(record);
                None
            }
            (Why::Gaps, verdict) => {
                if let Verdict::Unknown(error) = &verdict
                    && let Some(reason) = error.close_reason()
                {
                    // The next connection has the record.
                    return Some(Err(self.cut_off(TurnErrorKind::Closed(reason.clone()))));
                }
                self.progress().collector.gaps = false; // What there is has to do.
                None
            }
            // The thread is closed, and nothing says how the turn ended.
            (Why::Gone, _) => Some(Err(self.cut_off(TurnErrorKind::ThreadClosed))),
            // The turn had its time to come to a reported end.
            (Why::Deadline, Verdict::Idle) => {
                self.conclude();
                None
            }
            (Why::Deadline, Verdict::Running | Verdict::Unknown(_)) => {
                let after = self.expiry.as_ref().map(Expiry::after);
                let after = after.unwrap_or_default();
                Some(Err(self.cut_off(TurnErrorKind::DeadlinePassed { after })))
            }
            // The end may still be on its way; the second time it is not.
            (_, Verdict::Idle) => {
                self.rests += 1;
                if self.rests > 1 {
                    self.conclude();
                    return None;
                }
                self.watchdog.rests(true);
                self.watchdog.again();
                None
            }
            (why, Verdict::Running | Verdict::Unknown(_)) => {
                self.watchdog.again();
                if why == Why::Rest {
                    self.watchdog.rests(false);
                    return None;
                }
                Some(Ok(TurnEvent::Idle(self.watchdog.idle_for())))
            }
        }
    }

    /// Yields the known end, unless something is missing that can still be fetched.
    fn end(&mut self) -> Option<Told> {
        if self.progress().collector.gaps {
            self.check(Why::Gaps);
            return None;
        }
        self.ended = true;
        Some(Ok(TurnEvent::Completed(Box::new(self.outcome()))))
    }

    fn cut_off(&mut self, kind: TurnErrorKind) -> Error {
        self.ended = true;
        let outcome = self.outcome();
        Error::from(TurnError { kind, outcome })
    }
}

impl Stream for Turn {
    type Item = Told;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

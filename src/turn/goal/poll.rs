//! The stream of a goal: the events of its turns one after the other, the updates of the goal, and
//! its end.

use std::{
    pin::Pin,
    sync::atomic::Ordering,
    task::{Context, Poll},
};

use super::{Goal, GoalEnd, GoalEvent, GoalState};
use crate::{
    error::Error,
    events::Event,
    protocol::{ThreadGoalStatus, ThreadGoalUpdatedNotification},
    turn::by_id::Found,
    turn::event::TurnEvent,
};
use futures_core::Stream;

type Told = Result<GoalEvent, Error>;

impl Goal {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Told>> {
        loop {
            if let Some(event) = self.told.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            if let Some(turn) = self.running.front_mut()
                && let Poll::Ready(event) = turn.poll(cx)
            {
                let turn_id = turn.id().to_owned();
                match event {
                    Some(Ok(TurnEvent::Completed(outcome))) => {
                        self.running.pop_front();
                        self.dormancy.reset();
                        self.count += 1;
                        if !outcome.text.is_empty() {
                            self.text.clone_from(&outcome.text);
                        }
                        self.last_turn = Some((*outcome).clone());
                        return Poll::Ready(Some(Ok(GoalEvent::TurnEnded(outcome))));
                    }
                    // The updates of the goal are yielded separately.
                    Some(Ok(TurnEvent::Other(event)))
                        if event.method().starts_with("thread/goal/") =>
                    {
                        continue;
                    }
                    Some(Ok(event)) => {
                        return Poll::Ready(Some(Ok(GoalEvent::Turn { turn_id, event })));
                    }
                    Some(Err(error)) => {
                        self.running.pop_front();
                        return Poll::Ready(Some(Err(error)));
                    }
                    None => {
                        self.running.pop_front();
                        continue;
                    }
                }
            }
            match self.turns.poll_found(cx) {
                Poll::Ready(Some(Ok(Found::Turn(turn)))) => {
                    self.dormancy.reset();
                    let turn_id = turn.id().to_owned();
                    self.told.push_back(GoalEvent::TurnStarted(turn_id));
                    self.running.push_back(turn);
                    continue;
                }
                Poll::Ready(Some(Ok(Found::Event(event)))) => {
                    self.hear(&event);
                    continue;
                }
                Poll::Ready(Some(Err(error))) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(None) => {
                    self.ended = true;
                    return Poll::Ready(None);
                }
                Poll::Pending => {}
            }
            // NB. All queued events are read by now, so a turn that has begun is known here.
            if !self.running.is_empty() {
                return Poll::Pending;
            }
            if let Some(end) = self.end() {
                self.ended = true;
                let outcome = self.outcome(end);
                return Poll::Ready(Some(Ok(GoalEvent::Ended(Box::new(outcome)))));
            }
            return self
                .dormancy
                .poll(&self.thread, cx)
                .map(|()| Some(Ok(GoalEvent::Dormant)));
        }
    }

    /// How the goal has ended, once no turn runs.
    fn end(&self) -> Option<GoalEnd> {
        if let Some(end) = &self.cleared {
            return Some(end.clone());
        }
        if self.info.status == ThreadGoalStatus::Active || self.resuming.load(Ordering::Relaxed) {
            return None;
        }
        let state = GoalState::from(&self.info.status);
        let ours = self.reason.get().filter(|_| state == GoalState::Paused);
        Some(ours.unwrap_or(GoalEnd::State(state)))
    }

    fn hear(&mut self, event: &Event) {
        match event.method() {
            "thread/goal/updated" => {
                let Some(Ok(told)) = event.get::<ThreadGoalUpdatedNotification>() else {
                    return;
                };
                if told.goal.created_at != self.info.created_at {
                    if !self.told_of {
                        return;
                    }
                    // From now on the server's updates are about another goal.
                    self.cleared.get_or_insert(GoalEnd::Replaced);
                    return;
                }
                if told.goal.status == ThreadGoalStatus::Active && self.cleared.is_none() {
                    self.dormancy.reset();
                }
                self.told_of = true;
                if told.goal.status == ThreadGoalStatus::Active {
                    self.resuming.store(false, Ordering::Relaxed);
                }
                self.info = told.goal;
                let goal = Box::new(self.info.clone());
                self.told.push_back(GoalEvent::Updated(goal));
            }
            "thread/goal/cleared" if self.told_of => {
                let end = self.reason.get();
                let end = end.unwrap_or(GoalEnd::State(GoalState::Cleared));
                self.cleared.get_or_insert(end);
            }
            "thread/closed" | "thread/archived" | "thread/deleted" => {
                self.cleared.get_or_insert(GoalEnd::ThreadClosed);
            }
            _ => {}
        }
    }
}

impl Stream for Goal {
    type Item = Told;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

//! Gathers a turn from its events. The server's own summary at the end is not enough: it has one
//! message at most.

use std::{borrow::Cow, collections::HashMap, time::Duration};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    event::TurnEvent,
    item::{Piece, Step},
};
use crate::error::{Item, TurnFailure};
use crate::{
    error::Error,
    events::Event,
    protocol::pointer::at,
    protocol::{
        CodexErrorInfo, ThreadItem, ThreadTokenUsage, TurnDiffUpdatedNotification,
        TurnPlanUpdatedNotification, TurnStatus,
    },
};

/// All that is known of a turn so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Collector {
    started: bool,
    /// The ids and the steps, in the order in which the steps began.
    steps: Vec<(String, Step)>,
    at: HashMap<String, usize>,
    thread_usage: Option<ThreadTokenUsage>,
    failure: Option<TurnFailure>,
    end: Option<End>,
    /// Events are missing: they were dropped, or had been sent before this collector began to
    /// listen.
    pub(super) gaps: bool,
    /// Something in here comes from the server's record, not from its events.
    recovered: bool,
}

/// How a turn ended.
#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) status: TurnStatus,
    pub(super) duration: Option<Duration>,
}

/// The server's record of a turn.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) end: Option<End>,
    pub(super) failure: Option<TurnFailure>,
    /// Ids and items, oldest first.
    pub(super) items: Vec<(String, Box<RawValue>)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delta<'a> {
    #[serde(borrow, rename = "delta")]
    text: Cow<'a, str>,
    #[serde(default)]
    summary_index: usize,
    #[serde(default)]
    content_index: usize,
}

/// A `TurnError` on the wire.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Failure {
    message: String,
    codex_error_info: Option<CodexErrorInfo>,
    additional_details: Option<String>,
}

impl From<Failure> for TurnFailure {
    fn from(f: Failure) -> Self {
        Self {
            message: f.message,
            info: f.codex_error_info,
            details: f.additional_details,
            resets_at: None,
        }
    }
}

impl Collector {
    /// Records an event and returns the event that the user gets. An event that can't be decoded
    /// becomes `Other`, with its text. `None` is the end.
    pub(super) fn take(&mut self, event: Event) -> Option<TurnEvent> {
        let known = match event.method() {
            "turn/started" => {
                self.started = true;
                Some(TurnEvent::Started)
            }
            "item/agentMessage/delta" => {
                self.piece(&event, |_| Piece::Message)
                    .map(|(item_id, delta)| {
                        let phase = self.step(&item_id).phase();
                        TurnEvent::Text {
                            item_id,
                            phase,
                            delta,
                        }
                    })
            }
            "item/reasoning/summaryTextDelta" => self
                .piece(&event, |d| Piece::Summary(d.summary_index))
                .map(|(item_id, delta)| TurnEvent::Reasoning { item_id, delta }),
            "item/reasoning/textDelta" => self
                .piece(&event, |d| Piece::Content(d.content_index))
                .map(|(item_id, delta)| TurnEvent::Reasoning { item_id, delta }),
            "item/plan/delta" => self
                .piece(&event, |_| Piece::Plan)
                .map(|(item_id, delta)| TurnEvent::PlanDelta { item_id, delta }),
            "item/commandExecution/outputDelta" => self
                .piece(&event, |_| Piece::Output)
                .map(|(item_id, delta)| TurnEvent::CommandOutput { item_id, delta }),
            "turn/plan/updated" => event
                .get::<TurnPlanUpdatedNotification>()
                .and_then(|updated| {
                    let updated = updated.ok()?;
                    Some(TurnEvent::Plan {
                        explanation: updated.explanation,
                        steps: updated.plan,
                    })
                }),
            "turn/diff/updated" => event
                .get::<TurnDiffUpdatedNotification>()
                .and_then(|updated| Some(TurnEvent::Diff(updated.ok()?.diff))),
            "item/started" => self.item(&event, false).map(TurnEvent::ItemStarted),
            "item/completed" => self.item(&event, true).map(TurnEvent::ItemCompleted),
            "thread/tokenUsage/updated" => self.usage(&event),
            "error" => self.error(&event),
            "turn/completed" => {
                self.completed(&event);
                return None;
            }
            _ => None,
        };
        Some(known.unwrap_or(TurnEvent::Other(event)))
    }

    /// Records a piece of an item. Returns the id of the item, and the piece.
    fn piece(
        &mut self,
        event: &Event,
        piece: impl Fn(&Delta<'_>) -> Piece,
    ) -> Option<(String, String)> {
        let delta: Delta<'_> = event.params_as().ok()?;
        let item = event.item_id()?;
        self.step(item).piece(piece(&delta), &delta.text);
        Some((item.to_owned(), delta.text.into_owned()))
    }

    fn item(&mut self, event: &Event, completed: bool) -> Option<Box<ThreadItem>> {
        self.step(event.item_id()?).told(event, completed);
        Step::decode(event).map(Box::new)
    }

    fn usage(&mut self, event: &Event) -> Option<TurnEvent> {
        let usage: ThreadTokenUsage = at(event.json(), &["tokenUsage"]).ok()?;
        self.thread_usage = Some(usage.clone());
        Some(TurnEvent::Usage(Box::new(usage)))
    }

    fn error(&mut self, event: &Event) -> Option<TurnEvent> {
        let failure: Failure = at(event.json(), &["error"]).ok()?;
        let failure = TurnFailure::from(failure);
        if at(event.json(), &["willRetry"]).unwrap_or(false) {
            return Some(TurnEvent::Retrying(failure));
        }
        self.failure = Some(failure);
        None // The end itself is told by `turn/completed`.
    }

    fn completed(&mut self, event: &Event) {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Ended<'a> {
            status: TurnStatus,
            duration_ms: Option<u64>,
            #[serde(borrow)]
            error: Option<&'a RawValue>,
        }
        match at::<Ended<'_>>(event.json(), &["turn"]) {
            Ok(turn) => {
                let error = turn
                    .error
                    .and_then(|e| serde_json::from_str::<Failure>(e.get()).ok());
                self.failure = error.map(TurnFailure::from).or(self.failure.take());
                self.end = Some(End {
                    status: turn.status,
                    duration: turn.duration_ms.map(Duration::from_millis),
                });
            }
            // A malformed end still ends the turn.
            Err(error) => {
                self.failure = Some(TurnFailure {
                    message: Error::decode_part(event.method(), event.line(), event.json(), &error)
                        .to_string(),
                    info: None,
                    details: None,
                    resets_at: None,
                });
                self.end = Some(End {
                    status: TurnStatus::Failed,
                    duration: None,
                });
            }
        }
    }

    /// Begins in the middle of a turn, with the items that a snapshot has of it.
    #[cfg(feature = "ws")]
    pub(super) fn begin_with(
        &mut self,
        items: impl Iterator<Item = (String, Box<RawValue>, bool)>,
    ) {
        self.started = true;
        self.gaps = true; // The snapshot lacks a message that is being streamed.
        for (id, item, completed) in items {
            self.step(&id).found(item, completed);
        }
    }

    /// Fills in the unseen parts of the turn from the server's record.
    pub(super) fn recover(&mut self, record: Record) {
        self.recovered = true;
        if self.end.is_none() {
            self.end = record.end;
        }
        self.failure = record.failure.or(self.failure.take());
        if record.items.is_empty() {
            return;
        }
        // First the items in the server's order, then the items that the server has no record of:
        // it keeps no message that was cut off.
        let seen = std::mem::take(&mut self.steps);
        let mut seen: Vec<Option<(String, Step)>> = seen.into_iter().map(Some).collect();
        let known: Vec<Option<usize>> = {
            let ids = record.items.iter().map(|(id, _)| self.at.remove(id));
            ids.collect()
        };
        let mut taken: Vec<Option<(String, Step)>> = known
            .into_iter()
            .map(|at| at.and_then(|at| seen[at].take()))
            .collect();
        if record.items.iter().all(|(id, _)| is_legacy(id)) {
            renamed(&record.items, &mut taken, &mut seen);
        }
        for ((id, item), seen) in record.items.into_iter().zip(taken) {
            let (id, mut step) = seen.unwrap_or((id, Step::default()));
            step.record(item);
            self.steps.push((id, step));
        }
        self.steps.extend(seen.into_iter().flatten());
        self.at = self
            .steps
            .iter()
            .enumerate()
            .map(|(at, (id, _))| (id.clone(), at))
            .collect();
    }

    /// Derives the end of the turn from its events, where the server says only that the turn is
    /// over.
    pub(super) fn conclude(&mut self) {
        let last = self.steps.last().map(|(_, step)| step);
        let answered = last.is_some_and(|step| step.is_completed() && step.message().is_some());
        let status = if self.failure.is_some() {
            TurnStatus::Failed
        } else if answered {
            TurnStatus::Completed
        } else {
            TurnStatus::Interrupted
        };
        self.recover(Record {
            end: Some(End {
                status,
                duration: None,
            }),
            failure: None,
            items: Vec::new(),
        });
    }

    /// Sets how the turn ended, as known from elsewhere.
    pub(super) fn ended(&mut self, status: TurnStatus) {
        self.end = Some(End {
            status,
            duration: None,
        });
    }

    pub(super) fn has_started(&self) -> bool {
        self.started || !self.steps.is_empty()
    }

    pub(super) fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    pub(super) fn is_recovered(&self) -> bool {
        self.recovered
    }

    pub(super) fn thread_usage(&self) -> Option<&ThreadTokenUsage> {
        self.thread_usage.as_ref()
    }

    pub(super) fn failure(&self) -> Option<&TurnFailure> {
        let well = self
            .end
            .as_ref()
            .is_some_and(|end| end.status == TurnStatus::Completed);
        self.failure.as_ref().filter(|_| !well)
    }

    /// The last message marked as the answer, or else the last message without a mark. Messages
    /// that were sent on the way to the answer don't count.
    pub(super) fn answer(&self) -> String {
        let mut answer = String::new();
        let mut is_marked = false;
        for (text, phase) in self.messages() {
            let marked = phase.as_deref() == Some("final_answer");
            if marked || (!is_marked && phase.is_none()) {
                answer = text;
                is_marked = marked;
            }
        }
        answer
    }

    fn messages(&self) -> impl Iterator<Item = (String, Option<String>)> {
        let steps = self.steps.iter().filter(|(_, step)| !step.is_aside());
        steps.filter_map(|(_, step)| step.message())
    }

    pub(super) fn items(&self) -> Vec<Item> {
        self.steps
            .iter()
            .filter_map(|(id, step)| step.to_item(id))
            .collect()
    }

    /// The events so far, for a later reader: the pieces of an item are joined.
    pub(super) fn replay(&self) -> Vec<TurnEvent> {
        let mut events = Vec::new();
        events.extend(self.started.then_some(TurnEvent::Started));
        for (id, step) in &self.steps {
            let Some(Item { item, completed }) = step.to_item(id) else {
                continue;
            };
            let item = Box::new(item);
            events.push(TurnEvent::ItemStarted(item.clone()));
            events.extend(step.joined(id));
            if completed {
                events.push(TurnEvent::ItemCompleted(item));
            }
        }
        events
    }

    fn step(&mut self, id: &str) -> &mut Step {
        let at = if let Some(at) = self.at.get(id) {
            *at
        } else {
            self.steps.push((id.to_owned(), Step::default()));
            self.at.insert(id.to_owned(), self.steps.len() - 1);
            self.steps.len() - 1
        };
        &mut self.steps[at].1
    }
}

/// The record of a thread of the mode `legacy` numbers the items and doesn't know their ids.
fn is_legacy(id: &str) -> bool {
    let number = id.strip_prefix("item-");
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Finds the steps of items that the record calls by other ids than the events did: first those
/// that say the same, then those whose end was not seen, in their order.
fn renamed(
    items: &[(String, Box<RawValue>)],
    taken: &mut [Option<(String, Step)>],
    seen: &mut [Option<(String, Step)>],
) {
    for is_same in [Step::says as fn(&Step, &RawValue) -> bool, Step::may_become] {
        for ((_, item), place) in items.iter().zip(&mut *taken) {
            if place.is_none() {
                let mut left = seen.iter_mut();
                let found = left.find(|s| s.as_ref().is_some_and(|(_, s)| is_same(s, item)));
                *place = found.and_then(Option::take);
            }
        }
    }
}

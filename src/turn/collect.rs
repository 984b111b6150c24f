//! Gathers a turn from its events. The server's own summary at the end is not enough: it has one message at most.

use std::{collections::HashMap, time::Duration};

use serde_json::value::RawValue;

use super::{
    Item, TurnEvent, TurnFailure,
    item::{Piece, Step},
};
use crate::{
    Error, Event,
    protocol::pointer::{at, readable},
    protocol::{CodexErrorInfo, Name, ThreadItem, ThreadTokenUsage, TurnStatus},
};

/// All that is known of a turn so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Collector {
    started: bool,
    /// In the order they began, with their ids.
    steps: Vec<(String, Step)>,
    at: HashMap<String, usize>,
    thread_usage: Option<ThreadTokenUsage>,
    failure: Option<TurnFailure>,
    end: Option<End>,
    /// Events are missing: they were dropped, or had been sent before this began to listen.
    pub(super) gaps: bool,
    /// Something in here is from the server's record, not from its events.
    recovered: bool,
}

/// How a turn ended.
#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) status: TurnStatus,
    pub(super) duration: Option<Duration>,
}

/// What the server has on record of a turn.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) end: Option<End>,
    pub(super) failure: Option<TurnFailure>,
    /// Ids and items, oldest first.
    pub(super) items: Vec<(String, Box<RawValue>)>,
}

readable! {
    struct Delta<'de> {
        needed { text: Name<'de> = "delta", }
        maybe { summary_index: usize = "summaryIndex", content_index: usize = "contentIndex", }
    }
}

readable! {
    /// A `TurnError` of the wire.
    pub(super) struct Failure {
        maybe {
            message: String = "message",
            codex_error_info: Option<CodexErrorInfo> = "codexErrorInfo",
            additional_details: Option<String> = "additionalDetails",
        }
    }
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
    /// Takes note of an event and says what it is to the user. What can't be decoded is `Other`, with its text. `None`
    /// is the end.
    pub(super) fn take(&mut self, event: Event) -> Option<TurnEvent> {
        let known = match event.method() {
            "turn/started" => {
                self.started = true;
                Some(TurnEvent::Started)
            }
            "item/agentMessage/delta" => {
                self.piece(&event, |_| Piece::Message).map(TurnEvent::Text)
            }
            "item/reasoning/summaryTextDelta" => self
                .piece(&event, |d| Piece::Summary(d.summary_index))
                .map(TurnEvent::Reasoning),
            "item/reasoning/textDelta" => self
                .piece(&event, |d| Piece::Content(d.content_index))
                .map(TurnEvent::Reasoning),
            "item/plan/delta" => {
                self.piece(&event, |_| Piece::Plan);
                None
            }
            "item/commandExecution/outputDelta" => {
                self.piece(&event, |_| Piece::Output);
                None
            }
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

    fn piece(&mut self, event: &Event, piece: impl Fn(&Delta<'_>) -> Piece) -> Option<String> {
        let delta: Delta<'_> = event.params_as().ok()?;
        if let Some(item) = event.item_id() {
            self.step(item).piece(piece(&delta), &delta.text.0);
        }
        Some(delta.text.0.into_owned())
    }

    fn item(&mut self, event: &Event, completed: bool) -> Option<Box<ThreadItem>> {
        self.step(event.item_id()?).told(event, completed);
        Step::decode(event).map(Box::new)
    }

    fn usage(&mut self, event: &Event) -> Option<TurnEvent> {
        let usage: ThreadTokenUsage = at(event.params(), &["tokenUsage"]).ok()?;
        self.thread_usage = Some(usage.clone());
        Some(TurnEvent::Usage(Box::new(usage)))
    }

    fn error(&mut self, event: &Event) -> Option<TurnEvent> {
        readable! {
            struct Failed {
                needed { error: Failure = "error", }
                maybe { will_retry: bool = "willRetry", }
            }
        }
        let failed = event.params_as::<Failed>().ok()?;
        let failure = TurnFailure::from(failed.error);
        if failed.will_retry {
            return Some(TurnEvent::Retrying(failure));
        }
        self.failure = Some(failure);
        None // The end itself is told by `turn/completed`.
    }

    fn completed(&mut self, event: &Event) {
        readable! {
            struct Ended<'de> {
                needed { status: TurnStatus = "status", }
                maybe { duration_ms: Option<u64> = "durationMs", error: Option<&'de RawValue> = "error", }
            }
        }
        match at::<Ended<'_>>(event.params(), &["turn"]) {
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
            // The end is the end, whatever it looks like.
            Err(error) => {
                self.failure = Some(TurnFailure {
                    message: Error::decode_part(
                        event.method(),
                        event.raw(),
                        event.params(),
                        &error,
                    )
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

    /// Fills in what was not seen from what the server has on record.
    pub(super) fn recover(&mut self, record: Record) {
        self.recovered = true;
        if self.end.is_none() {
            self.end = record.end;
        }
        self.failure = record.failure.or(self.failure.take());
        if record.items.is_empty() {
            return;
        }
        // The server's order, and after it what it has no record of: it keeps no message that was cut off.
        let seen = std::mem::take(&mut self.steps);
        let mut seen: Vec<Option<(String, Step)>> = seen.into_iter().map(Some).collect();
        for (id, item) in record.items {
            let step = self.at.remove(&id).and_then(|at| seen[at].take());
            let mut step = step.unwrap_or_default().1;
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

    /// Ends the turn by what was seen of it, where the server says only that it is over.
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

    /// It is known from elsewhere how the turn ended.
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

    /// The last message marked as the answer, else the last one without a mark.
    pub(super) fn answer(&self) -> String {
        let mut answer = String::new();
        let mut is_marked = false;
        for (text, phase) in self.steps.iter().filter_map(|(_, step)| step.message()) {
            let marked = phase.as_deref() == Some("final_answer");
            if marked || (!is_marked && phase.is_none()) {
                answer = text;
                is_marked = marked;
            }
        }
        answer
    }

    pub(super) fn items(&self) -> Vec<Item> {
        self.steps
            .iter()
            .filter_map(|(id, step)| step.to_item(id))
            .collect()
    }

    /// What has been, for a reader who comes later: the pieces are joined.
    pub(super) fn replay(&self) -> Vec<TurnEvent> {
        let mut events = Vec::new();
        events.extend(self.started.then_some(TurnEvent::Started));
        for (id, step) in &self.steps {
            let Some(Item { item, completed }) = step.to_item(id) else {
                continue;
            };
            events.push(TurnEvent::ItemStarted(Box::new(item)));
            if let Some((text, _)) = step.message().filter(|(text, _)| !text.is_empty()) {
                events.push(TurnEvent::Text(text));
            }
            if let Some(text) = step.reasoning().filter(|text| !text.is_empty()) {
                events.push(TurnEvent::Reasoning(text));
            }
            // Read again and not cloned: the clones of all that an item can be would be compiled for this.
            if completed && let Some(Item { item, .. }) = step.to_item(id) {
                events.push(TurnEvent::ItemCompleted(Box::new(item)));
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

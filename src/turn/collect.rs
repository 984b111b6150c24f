//! Gathers a turn from its events. The server's own summary at the end is not enough: it has one message at most.

use std::{collections::HashMap, time::Duration};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Item, TurnEvent, TurnFailure, TurnOutcome};
use crate::{
    Event,
    protocol::{CodexErrorInfo, ThreadItem, ThreadTokenUsage, TurnStatus},
};

#[derive(Debug)]
pub(super) struct Collector {
    thread: String,
    turn: String,
    /// In the order they began.
    steps: Vec<Step>,
    at: HashMap<String, usize>,
    usage: Option<ThreadTokenUsage>,
    failure: Option<TurnFailure>,
}

#[derive(Debug)]
struct Step {
    /// The latest event that carries the item.
    event: Option<Event>,
    completed: bool,
    /// The pieces of a message's text that have come.
    text: String,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    delta: std::borrow::Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    message: String,
    #[serde(default)]
    codex_error_info: Option<CodexErrorInfo>,
    #[serde(default)]
    additional_details: Option<String>,
}

impl From<Failure> for TurnFailure {
    fn from(f: Failure) -> Self {
        Self {
            message: f.message,
            info: f.codex_error_info,
            details: f.additional_details,
        }
    }
}

/// What is read of an agent's message; leniently, so that the text is never lost to an odd field.
#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    text: String,
    #[serde(default)]
    phase: Option<String>,
}

impl Collector {
    pub(super) fn new(thread: &str, turn: &str) -> Self {
        Self {
            thread: thread.to_owned(),
            turn: turn.to_owned(),
            steps: Vec::new(),
            at: HashMap::new(),
            usage: None,
            failure: None,
        }
    }

    /// Takes note of an event and says what it is to the user. What can't be decoded is `Other`, with its text.
    pub(super) fn take(&mut self, event: Event) -> TurnEvent {
        let known = match event.method() {
            "turn/started" => Some(TurnEvent::Started),
            "item/agentMessage/delta" => self.text(&event),
            "item/reasoning/summaryTextDelta" | "item/reasoning/textDelta" => event
                .params_as::<Delta<'_>>()
                .ok()
                .map(|d| TurnEvent::Reasoning(d.delta.into_owned())),
            "item/started" => self.item(&event, false).map(TurnEvent::ItemStarted),
            "item/completed" => self.item(&event, true).map(TurnEvent::ItemCompleted),
            "thread/tokenUsage/updated" => self.usage(&event),
            "error" => self.error(&event),
            "turn/completed" => Some(TurnEvent::Completed(Box::new(self.completed(&event)))),
            _ => None,
        };
        known.unwrap_or(TurnEvent::Other(event))
    }

    fn text(&mut self, event: &Event) -> Option<TurnEvent> {
        let delta = event.params_as::<Delta<'_>>().ok()?.delta;
        if let Some(item) = event.item_id() {
            self.step(item).text.push_str(&delta);
        }
        Some(TurnEvent::Text(delta.into_owned()))
    }

    fn item(&mut self, event: &Event, completed: bool) -> Option<Box<ThreadItem>> {
        let step = self.step(event.item_id()?);
        step.event = Some(event.clone());
        step.completed |= completed;
        decode_item(event).map(Box::new)
    }

    fn usage(&mut self, event: &Event) -> Option<TurnEvent> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Usage {
            token_usage: ThreadTokenUsage,
        }
        let usage = event.params_as::<Usage>().ok()?.token_usage;
        self.usage = Some(usage.clone());
        Some(TurnEvent::Usage(Box::new(usage)))
    }

    fn error(&mut self, event: &Event) -> Option<TurnEvent> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Failed {
            error: Failure,
            #[serde(default)]
            will_retry: bool,
        }
        let failed = event.params_as::<Failed>().ok()?;
        let failure = TurnFailure::from(failed.error);
        if failed.will_retry {
            return Some(TurnEvent::Retrying(failure));
        }
        self.failure = Some(failure);
        None // The end itself is told by `turn/completed`.
    }

    fn completed(&mut self, event: &Event) -> TurnOutcome {
        #[derive(Deserialize)]
        struct Completed<'a> {
            #[serde(borrow)]
            turn: End<'a>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct End<'a> {
            status: TurnStatus,
            #[serde(default)]
            duration_ms: Option<u64>,
            #[serde(borrow, default)]
            error: Option<&'a RawValue>,
        }
        let mut outcome = self.so_far();
        match event.params_as::<Completed<'_>>() {
            Ok(Completed { turn }) => {
                outcome.status = turn.status;
                outcome.duration = turn.duration_ms.map(Duration::from_millis);
                let error = turn
                    .error
                    .and_then(|e| serde_json::from_str::<Failure>(e.get()).ok());
                outcome.failure = error.map(TurnFailure::from).or(outcome.failure);
            }
            // The end is the end, whatever it looks like.
            Err(error) => {
                outcome.failure = Some(TurnFailure {
                    message: error.to_string(),
                    info: None,
                    details: None,
                });
            }
        }
        if outcome.status == TurnStatus::Completed {
            outcome.failure = None;
        }
        outcome
    }

    /// The outcome if the turn ended now.
    pub(super) fn so_far(&self) -> TurnOutcome {
        let mut answer = String::new();
        let mut answer_is_final = false;
        let mut items = Vec::new();
        for step in &self.steps {
            if let Some((text, phase)) = step.message() {
                let is_final = phase.as_deref() == Some("final_answer");
                if is_final || (!answer_is_final && phase.is_none()) {
                    answer = text;
                    answer_is_final = is_final;
                }
            }
            items.extend(step.to_item());
        }
        TurnOutcome {
            thread_id: self.thread.clone(),
            turn_id: self.turn.clone(),
            status: TurnStatus::InProgress,
            text: answer,
            items,
            usage: self.usage.clone(),
            duration: None,
            failure: self.failure.clone(),
        }
    }

    fn step(&mut self, id: &str) -> &mut Step {
        let at = if let Some(at) = self.at.get(id) {
            *at
        } else {
            self.steps.push(Step {
                event: None,
                completed: false,
                text: String::new(),
            });
            self.at.insert(id.to_owned(), self.steps.len() - 1);
            self.steps.len() - 1
        };
        &mut self.steps[at]
    }
}

impl Step {
    /// The text and the phase, if this is an agent's message.
    fn message(&self) -> Option<(String, Option<String>)> {
        let Some(event) = &self.event else {
            return (!self.text.is_empty()).then(|| (self.text.clone(), None));
        };
        if event.item_type() != Some("agentMessage") {
            return None;
        }
        let message = serde_json::from_str::<Message>(item_text(event)?.get()).ok()?;
        let text = if message.text.is_empty() {
            self.text.clone()
        } else {
            message.text
        };
        Some((text, message.phase))
    }

    fn to_item(&self) -> Option<Item> {
        let event = self.event.as_ref()?;
        let mut item = decode_item(event)?;
        if event.item_type() == Some("agentMessage") && !self.completed {
            // The server never completes a message that was cut off; what it had said by then counts.
            let mut value: serde_json::Value =
                serde_json::from_str(item_text(event)?.get()).ok()?;
            value["text"] = self.text.clone().into();
            item = serde_json::from_value(value).ok()?;
        }
        Some(Item {
            item,
            completed: self.completed,
        })
    }
}

fn item_text(event: &Event) -> Option<&RawValue> {
    #[derive(Deserialize)]
    struct Carrier<'a> {
        #[serde(borrow)]
        item: &'a RawValue,
    }
    event.params_as::<Carrier<'_>>().ok().map(|c| c.item)
}

fn decode_item(event: &Event) -> Option<ThreadItem> {
    serde_json::from_str(item_text(event)?.get()).ok()
}

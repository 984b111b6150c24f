//! One step of a turn, assembled from its beginning, its pieces and its end.

use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

use super::event::TurnEvent;
use crate::{
    error::Item,
    events::Event,
    protocol::pointer::{at, raw_at},
    protocol::{MessagePhase, ThreadItem, from_value},
};

/// How many bytes of a command's output are kept until the command has ended; the latest bytes.
/// Then the server sends the output.
const OUTPUT: usize = 1024 * 1024;

/// A step, as far as it is known.
#[derive(Debug, Clone, Default)]
pub(super) struct Step {
    source: Source,
    completed: bool,
    /// The phase of a message, as its beginning states it.
    phase: Option<MessagePhase>,
    /// The received pieces of a message, a plan or an output.
    text: String,
    summary: Vec<String>,
    content: Vec<String>,
}

/// The latest state of the item that the server has sent.
#[derive(Debug, Clone, Default)]
enum Source {
    /// Only pieces of an item of this type have come, not the item's beginning.
    Pieces(&'static str),
    Event(Event),
    /// From the server's record.
    Record(Box<RawValue>),
    #[default]
    Nothing,
}

/// The part of an item to which a piece is added.
#[derive(Debug, Clone, Copy)]
pub(super) enum Piece {
    Message,
    Plan,
    Output,
    Summary(usize),
    Content(usize),
}

/// The fields that are read from an agent's message; leniently, so that no odd field loses the
/// text.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Message {
    #[serde(rename = "type")]
    kind: String,
    text: String,
    phase: Option<String>,
}

impl Step {
    pub(super) fn told(&mut self, event: &Event, completed: bool) {
        // A late beginning must not undo an end.
        if completed || !self.completed {
            self.source = Source::Event(event.clone());
        }
        if event.item_type() == Some("agentMessage") {
            self.phase = at(event.json(), &["item", "phase"]).unwrap_or_default();
        }
        self.completed |= completed;
        if completed {
            self.let_go();
        }
    }

    /// Takes the item from the server's record. The record counts more than the events of an item
    /// that was not seen to its end.
    pub(super) fn record(&mut self, item: Box<RawValue>) {
        if !self.completed {
            self.source = Source::Record(item);
            self.completed = true;
            self.let_go();
        }
    }

    /// Takes the item from a snapshot of the turn, in which it may be incomplete.
    #[cfg(feature = "ws")]
    pub(super) fn found(&mut self, item: Box<RawValue>, completed: bool) {
        self.source = Source::Record(item);
        self.completed = completed;
    }

    pub(super) fn piece(&mut self, piece: Piece, delta: &str) {
        if self.completed {
            return;
        }
        let (kind, text) = match piece {
            Piece::Message => ("agentMessage", &mut self.text),
            Piece::Plan => ("plan", &mut self.text),
            Piece::Output => ("commandExecution", &mut self.text),
            Piece::Summary(at) => ("reasoning", part(&mut self.summary, at)),
            Piece::Content(at) => ("reasoning", part(&mut self.content, at)),
        };
        text.push_str(delta);
        if matches!(piece, Piece::Output) && text.len() > 2 * OUTPUT {
            let mut from = text.len() - OUTPUT;
            while !text.is_char_boundary(from) {
                from += 1;
            }
            text.drain(..from);
        }
        if matches!(self.source, Source::Nothing) {
            self.source = Source::Pieces(kind);
        }
    }

    /// Frees the pieces of an item whose end contains them.
    fn let_go(&mut self) {
        let Some(item) = self.value() else { return };
        if has_text(&item) {
            self.text = String::new();
        }
        if !is_empty(&item["summary"]) {
            self.summary = Vec::new();
        }
        if !is_empty(&item["content"]) {
            self.content = Vec::new();
        }
    }

    /// Whether this is the item of the record: all that the record has of it but the id is the same.
    pub(super) fn says(&self, item: &RawValue) -> bool {
        let (true, Some(seen), Ok(item)) = (
            self.completed,
            self.value(),
            serde_json::from_str::<Map<_, _>>(item.get()),
        ) else {
            return false;
        };
        let mut fields = item.iter();
        fields.all(|(name, value)| name == "id" || value.is_null() || seen[name] == *value)
    }

    /// Whether this may be the item of the record, as far as it was seen.
    pub(super) fn may_become(&self, item: &RawValue) -> bool {
        let kind: Result<String, _> = at(item.get(), &["type"]);
        let seen = match self.raw() {
            Some(raw) => at(raw.get(), &["type"]).ok(),
            None => self.pieces_of().map(str::to_owned),
        };
        !self.completed && seen.is_some() && seen == kind.ok()
    }

    pub(super) fn is_completed(&self) -> bool {
        self.completed
    }

    /// The text and the phase, if this is an agent's message.
    pub(super) fn message(&self) -> Option<(String, Option<String>)> {
        let told = match self.raw() {
            Some(raw) => serde_json::from_str(raw.get()).ok()?,
            None => Message {
                kind: self.pieces_of()?.to_owned(),
                text: String::new(),
                phase: None,
            },
        };
        if told.kind != "agentMessage" {
            return None;
        }
        let joined = told.text.is_empty() || (!self.completed && !self.text.is_empty());
        Some((
            if joined { self.text.clone() } else { told.text },
            told.phase,
        ))
    }

    /// Whether this is a message that the agent has sent on the way. Such a message is no answer,
    /// though it may be marked as one.
    pub(super) fn is_aside(&self) -> bool {
        let delivery = self.raw().map(|raw| at::<String>(raw.get(), &["delivery"]));
        delivery.is_some_and(|told| told.is_ok_and(|delivery| delivery == "async"))
    }

    pub(super) fn phase(&self) -> Option<MessagePhase> {
        self.phase.clone()
    }

    /// All pieces of the item joined, for a later reader.
    pub(super) fn joined(&self, id: &str) -> Option<TurnEvent> {
        let item = self.patched(id)?;
        let text = |key: &str| item[key].as_str().unwrap_or_default().to_owned();
        let parts = |key: &str| -> String {
            let parts = item[key].as_array().into_iter().flatten();
            parts.filter_map(Value::as_str).collect()
        };
        let kind = item["type"].as_str()?;
        let delta = match kind {
            "agentMessage" | "plan" => text("text"),
            "commandExecution" => text("aggregatedOutput"),
            "reasoning" => parts("summary") + &parts("content"),
            _ => String::new(),
        };
        if delta.is_empty() {
            return None;
        }
        let item_id = id.to_owned();
        Some(match kind {
            "agentMessage" => TurnEvent::Text {
                item_id,
                phase: from_value(&item["phase"]).unwrap_or_default(),
                delta,
            },
            "plan" => TurnEvent::PlanDelta { item_id, delta },
            "commandExecution" => TurnEvent::CommandOutput { item_id, delta },
            _ => TurnEvent::Reasoning { item_id, delta },
        })
    }

    pub(super) fn to_item(&self, id: &str) -> Option<Item> {
        let item = match self.raw() {
            Some(raw) if !self.has_pieces() => serde_json::from_str(raw.get()).ok()?,
            _ => from_value(&self.patched(id)?).ok()?,
        };
        Some(Item {
            item,
            completed: self.completed,
        })
    }

    /// The item of an event, decoded.
    pub(super) fn decode(event: &Event) -> Option<ThreadItem> {
        serde_json::from_str(item_of(event)?.get()).ok()
    }

    fn has_pieces(&self) -> bool {
        !(self.text.is_empty() && self.summary.is_empty() && self.content.is_empty())
    }

    /// The item, with the pieces filled in where the item lacks its text.
    fn patched(&self, id: &str) -> Option<Value> {
        let mut item = match self.pieces_of() {
            Some(kind) => json!({"type": kind, "id": id}),
            None => self.value()?,
        };
        let key = match item["type"].as_str()? {
            "agentMessage" | "plan" => "text",
            "commandExecution" => "aggregatedOutput",
            _ => "",
        };
        let joined = !self.text.is_empty() && (is_empty(&item[key]) || !self.completed);
        if !key.is_empty() && (joined || item.get(key).is_none()) {
            item[key] = self.text.clone().into();
        }
        for (key, parts) in [("summary", &self.summary), ("content", &self.content)] {
            if !parts.is_empty() && (is_empty(&item[key]) || !self.completed) {
                item[key] = parts.clone().into();
            }
        }
        Some(item)
    }

    fn pieces_of(&self) -> Option<&'static str> {
        match self.source {
            Source::Pieces(kind) => Some(kind),
            _ => None,
        }
    }

    fn raw(&self) -> Option<&RawValue> {
        match &self.source {
            Source::Event(event) => item_of(event),
            Source::Record(item) => Some(item),
            Source::Pieces(_) | Source::Nothing => None,
        }
    }

    fn value(&self) -> Option<Value> {
        serde_json::from_str(self.raw()?.get()).ok()
    }
}

fn part(parts: &mut Vec<String>, at: usize) -> &mut String {
    // The index comes from the server; it must not make this function allocate at will.
    let at = at.min(parts.len());
    if at == parts.len() {
        parts.push(String::new());
    }
    &mut parts[at]
}

fn has_text(item: &Value) -> bool {
    ["text", "aggregatedOutput"]
        .iter()
        .any(|key| !is_empty(&item[*key]))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(parts) => parts.is_empty(),
        _ => false,
    }
}

fn item_of(event: &Event) -> Option<&RawValue> {
    raw_at(event.json(), &["item"]).ok()
}

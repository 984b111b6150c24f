//! Turns the steps of a `Reply` into server-sent events.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use axum::body::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use serde_json::{Value, json};

use super::{
    Gate,
    reply::{End, Reply, Step, Usage},
};

/// One action of the connection.
#[derive(Debug)]
pub(super) enum Frame {
    Event(Value),
    Hold(Gate),
    Pause(Duration),
    Drop,
}

/// Plays the frames; a stream error makes the server drop the connection.
pub(super) fn play(frames: Vec<Frame>) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::iter(frames).filter_map(async |frame| match frame {
        Frame::Event(event) => Some(Ok(encode(&event))),
        Frame::Hold(gate) => {
            gate.passed().await;
            None
        }
        Frame::Pause(duration) => {
            tokio::time::sleep(duration).await;
            None
        }
        Frame::Drop => {
            // The server flushes only when the stream is not ready. Without this the events before
            // the drop would be lost with the connection.
            tokio::task::yield_now().await;
            Some(Err(io::Error::other("the script drops the connection")))
        }
    })
}

fn encode(event: &Value) -> Bytes {
    let kind = event["type"].as_str().unwrap_or("message");
    Bytes::from(format!("event: {kind}\ndata: {event}\n\n"))
}

/// Turns a reply into frames. Every call creates fresh ids, since a reply may be played many times.
pub(super) fn frames(reply: Reply) -> Vec<Frame> {
    let response_id = next_id("resp");
    let mut out = Frames {
        list: Vec::with_capacity(reply.steps.len() + 2),
        open: None,
        index: 0,
    };
    out.event(json!({ "type": "response.created", "response": { "id": response_id } }));
    for step in reply.steps {
        out.step(step);
    }
    match reply.end {
        End::Completed => {
            out.close();
            out.event(json!({
                "type": "response.completed",
                "response": { "id": response_id, "usage": usage_json(reply.usage) },
            }));
        }
        End::Failed { code, message } => out.event(json!({
            "type": "response.failed",
            "response": { "id": response_id, "error": { "code": code, "message": message } },
        })),
        End::Incomplete { reason } => out.event(json!({
            "type": "response.incomplete",
            "response": { "id": response_id, "incomplete_details": { "reason": reason } },
        })),
        End::Closed => {}
        End::Dropped => out.list.push(Frame::Drop),
    }
    out.list
}

/// The frames of a reply under construction.
struct Frames {
    list: Vec<Frame>,
    /// The message that further deltas continue: its id and its text so far.
    open: Option<(String, String)>,
    index: usize,
}

impl Frames {
    fn event(&mut self, event: Value) {
        self.list.push(Frame::Event(event));
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Hold(gate) => self.list.push(Frame::Hold(gate)),
            Step::Pause(duration) => self.list.push(Frame::Pause(duration)),
            Step::Delta(text) => self.delta(&text),
            Step::Event(event) => self.event(event),
            Step::Message { phase, text } => {
                self.close();
                let id = next_id("msg");
                self.added(&message_item(&id, phase, None));
                for word in words(&text) {
                    self.text_delta(&id, word);
                }
                self.done(&message_item(&id, phase, Some(&text)));
            }
            Step::Reasoning(text) => {
                self.close();
                let id = next_id("rs");
                self.added(&json!({ "type": "reasoning", "id": id, "summary": [] }));
                for word in words(&text) {
                    self.event(json!({
                        "type": "response.reasoning_summary_text.delta",
                        "item_id": id, "output_index": self.index, "summary_index": 0, "delta": word,
                    }));
                }
                let summary = json!([{ "type": "summary_text", "text": text }]);
                self.done(&json!({ "type": "reasoning", "id": id, "summary": summary }));
            }
            Step::Call { prefix, mut item } => {
                self.close();
                item["id"] = next_id(prefix).into();
                self.done(&item);
            }
        }
    }

    fn delta(&mut self, text: &str) {
        let (id, mut message) = self.open.take().unwrap_or_else(|| {
            let id = next_id("msg");
            self.added(&message_item(&id, None, None));
            (id, String::new())
        });
        self.text_delta(&id, text);
        message.push_str(text);
        self.open = Some((id, message));
    }

    /// Completes the message that deltas opened.
    fn close(&mut self) {
        if let Some((id, text)) = self.open.take() {
            self.done(&message_item(&id, None, Some(&text)));
        }
    }

    fn added(&mut self, item: &Value) {
        self.event(json!({ "type": "response.output_item.added", "output_index": self.index, "item": item }));
    }

    fn text_delta(&mut self, id: &str, delta: &str) {
        self.event(json!({
            "type": "response.output_text.delta",
            "item_id": id, "output_index": self.index, "content_index": 0, "delta": delta,
        }));
    }

    fn done(&mut self, item: &Value) {
        self.event(json!({ "type": "response.output_item.done", "output_index": self.index, "item": item }));
        self.index += 1;
    }
}

fn message_item(id: &str, phase: Option<&str>, text: Option<&str>) -> Value {
    let content: Vec<Value> = text
        .map(|text| json!({ "type": "output_text", "text": text }))
        .into_iter()
        .collect();
    let mut item = json!({ "type": "message", "role": "assistant", "id": id, "content": content });
    if let Some(phase) = phase {
        item["phase"] = phase.into();
    }
    item
}

fn usage_json(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.input_tokens,
        "input_tokens_details": { "cached_tokens": usage.cached_tokens },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": { "reasoning_tokens": usage.reasoning_tokens },
        "total_tokens": usage.input_tokens + usage.output_tokens,
    })
}

/// The words of a text, each with the space that follows it.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(' ')
}

/// An id that is unique in the process, so that no two models, replies or plays of a reply share
/// one.
fn next_id(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{prefix}_mock_{:06}", NEXT.fetch_add(1, Ordering::Relaxed))
}

//! `Reply`: the answer of a scripted model to one request.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::Gate;

/// One answer of the [`MockModel`](super::MockModel): a stream of items, or a failure.
///
/// A reply consists of steps, which are played in the order they were added. One reply answers one
/// model request: after a tool call codex sends the tool's output in the *next* request, which
/// takes the next reply.
///
/// ```
/// use cas_sdk::testing::{Gate, Reply};
/// use serde_json::json;
///
/// // A sentence, streamed word by word.
/// let _ = Reply::text("The build is red because of a typo.");
///
/// // A remark and two tool calls at once. Codex answers both in its next request.
/// let _ = Reply::new()
///     .reasoning("I should look at the weather")
///     .commentary("Let me look.")
///     .function_call("call-1", "weather", json!({ "city": "Paris" }))
///     .function_call("call-2", "weather", json!({ "city": "Oslo" }));
///
/// // Half a sentence. The turn stays open until the test opens the gate.
/// let gate = Gate::new();
/// let _ = Reply::new().delta("I am still").hold(&gate).delta(" here");
/// ```
///
/// # Failures
///
/// The failures that codex reports for them, without
/// [retries](super::CodexHomeBuilder::retries):
///
/// | reply | `codexErrorInfo` of the failed turn |
/// |---|---|
/// | `.fail("server_error", "…")` | `"other"` |
/// | `.fail("context_length_exceeded", "…")` | `"contextWindowExceeded"` |
/// | `.fail("insufficient_quota", "…")` | `"usageLimitExceeded"` |
/// | `.incomplete("max_output_tokens")`, `.end_early()`, `.drop_connection()` | `"other"` |
/// | `Reply::status(500, …)` | `"internalServerError"` |
/// | `Reply::status(503, json!({"error": {"code": "server_is_overloaded"}}))` | `"serverOverloaded"` |
/// | `Reply::status(429, …)` | `{"responseTooManyFailedAttempts": {"httpStatusCode": 429}}` |
/// | `Reply::status(429, json!({"error": {"type": "usage_limit_reached", "resets_at": …}}))` | `"usageLimitExceeded"` |
/// | `Reply::status(400, …)` | `"other"` |
/// | `Reply::status(401, …)` | `{"httpConnectionFailed": {"httpStatusCode": 401}}` |
#[derive(Clone, Debug, Default)]
#[must_use = "a reply does nothing until it is given to a `MockModel`"]
pub struct Reply {
    pub(super) status: Option<(u16, Value)>,
    pub(super) headers: HeaderMap,
    pub(super) steps: Vec<Step>,
    pub(super) usage: Usage,
    pub(super) end: End,
}

/// The token counts that a [`Reply`] reports when it completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the request, including cached ones.
    pub input_tokens: u64,
    /// Tokens of the request that came from the cache.
    pub cached_tokens: u64,
    /// Tokens of the answer, including those of the reasoning.
    pub output_tokens: u64,
    /// Tokens of the reasoning.
    pub reasoning_tokens: u64,
}

impl Default for Usage {
    /// Ten tokens in, five out.
    fn default() -> Self {
        Self {
            input_tokens: 10,
            cached_tokens: 0,
            output_tokens: 5,
            reasoning_tokens: 0,
        }
    }
}

/// One step of a reply.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Message {
        phase: Option<&'static str>,
        text: String,
    },
    Delta(String),
    Reasoning(String),
    /// A tool call: the item without its id, and the prefix of that id.
    Call {
        prefix: &'static str,
        item: Value,
    },
    Event(Value),
    Hold(Gate),
    Pause(Duration),
}

/// The end of the stream of a reply.
#[derive(Clone, Debug, Default)]
pub(super) enum End {
    #[default]
    Completed,
    Failed {
        code: String,
        message: String,
    },
    Incomplete {
        reason: String,
    },
    Closed,
    Dropped,
}

impl Reply {
    /// A reply without items. It completes at once, which ends the turn without an answer.
    pub fn new() -> Self {
        Self::default()
    }

    /// A reply that streams `text`, one delta per word, and completes.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new().message(text)
    }

    /// An HTTP response instead of a stream: `status` with `body` as JSON, or as plain text if
    /// `body` is a JSON string.
    ///
    /// Items of such a reply are not sent. [`hold`](Self::hold) and [`pause`](Self::pause) delay
    /// the response.
    ///
    /// # Panics
    ///
    /// If `status` is not within 100..1000.
    pub fn status(status: u16, body: impl Into<Value>) -> Self {
        assert!(
            (100..1000).contains(&status),
            "{status} is not an HTTP status"
        );
        Self {
            status: Some((status, body.into())),
            ..Self::default()
        }
    }

    /// Adds a message of the assistant, streamed in one delta per word.
    pub fn message(self, text: impl Into<String>) -> Self {
        self.step(Step::Message {
            phase: None,
            text: text.into(),
        })
    }

    /// Adds a message in the phase `commentary`: a remark on the way to the answer.
    pub fn commentary(self, text: impl Into<String>) -> Self {
        self.step(Step::Message {
            phase: Some("commentary"),
            text: text.into(),
        })
    }

    /// Adds a message in the phase `final_answer`.
    pub fn final_answer(self, text: impl Into<String>) -> Self {
        self.step(Step::Message {
            phase: Some("final_answer"),
            text: text.into(),
        })
    }

    /// Adds exactly one delta of text, which codex forwards as one `item/agentMessage/delta`.
    ///
    /// The first delta opens a message and later ones continue it. Any other item, or the end of
    /// the reply, completes it. A hold or a pause does not, so a reply can stop in the middle of a
    /// sentence.
    pub fn delta(self, text: impl Into<String>) -> Self {
        self.step(Step::Delta(text.into()))
    }

    /// Adds a summary of reasoning, streamed in one delta per word.
    pub fn reasoning(self, summary: impl Into<String>) -> Self {
        self.step(Step::Reasoning(summary.into()))
    }

    /// Adds a call of the function `name`: a dynamic tool or a built-in such as `exec_command`.
    ///
    /// The output is in the next request; see
    /// [`ModelRequest::tool_output`](super::ModelRequest::tool_output). A JSON string as
    /// `arguments` is sent verbatim: `json!("{broken")` plays a model that writes invalid
    /// arguments.
    pub fn function_call(self, call_id: &str, name: &str, arguments: impl Into<Value>) -> Self {
        let arguments = arguments_text(arguments.into());
        let item = json!({ "type": "function_call", "call_id": call_id, "name": name, "arguments": arguments });
        self.step(Step::Call { prefix: "fc", item })
    }

    /// Adds a call of a function in a namespace. The namespace of an MCP server named `tiny` is
    /// `mcp__tiny`.
    pub fn namespaced_call(
        self,
        call_id: &str,
        namespace: &str,
        name: &str,
        arguments: impl Into<Value>,
    ) -> Self {
        let arguments = arguments_text(arguments.into());
        let item = json!({
            "type": "function_call", "call_id": call_id, "namespace": namespace, "name": name, "arguments": arguments,
        });
        self.step(Step::Call { prefix: "fc", item })
    }

    /// Adds a call of a freeform tool, whose input is plain text.
    ///
    /// `apply_patch` (offered to `gpt-5.5`) takes a patch from `*** Begin Patch` to `*** End
    /// Patch`; `exec` (the one tool of the code-mode models, such as `gpt-6.1-sol`) takes
    /// JavaScript: `text(await tools.weather({city: "Paris"}))`.
    pub fn custom_tool_call(self, call_id: &str, name: &str, input: impl Into<String>) -> Self {
        let item = json!({ "type": "custom_tool_call", "call_id": call_id, "name": name, "input": input.into() });
        self.step(Step::Call {
            prefix: "ctc",
            item,
        })
    }

    /// Adds an event of the Responses API verbatim.
    pub fn event(self, event: impl Into<Value>) -> Self {
        self.step(Step::Event(event.into()))
    }

    /// Holds the reply at this point until the gate is open or the model is dropped.
    pub fn hold(self, gate: &Gate) -> Self {
        self.step(Step::Hold(gate.clone()))
    }

    /// Waits for `duration` at this point.
    pub fn pause(self, duration: Duration) -> Self {
        self.step(Step::Pause(duration))
    }

    /// Sets the token counts to report. Default: ten in, five out.
    pub fn usage(mut self, usage: Usage) -> Self {
        self.usage = usage;
        self
    }

    /// Adds a header to the HTTP response.
    ///
    /// # Panics
    ///
    /// If `name` or `value` is not valid in a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => self.headers.append(name, value),
            _ => panic!("not a valid HTTP header: {name:?}: {value:?}"),
        };
        self
    }

    /// Reports the short rate-limit window (`x-codex-primary-*`): its use in percent, its length in
    /// minutes, and the Unix time of its reset.
    pub fn primary_window(self, used_percent: f64, minutes: u64, resets_at: u64) -> Self {
        self.window("primary", used_percent, minutes, resets_at)
    }

    /// Reports the long rate-limit window (`x-codex-secondary-*`): its use in percent, its length
    /// in minutes, and the Unix time of its reset.
    pub fn secondary_window(self, used_percent: f64, minutes: u64, resets_at: u64) -> Self {
        self.window("secondary", used_percent, minutes, resets_at)
    }

    /// Ends the stream with `response.failed` and a code such as `server_error`.
    pub fn fail(mut self, code: impl Into<String>, message: impl Into<String>) -> Self {
        self.end = End::Failed {
            code: code.into(),
            message: message.into(),
        };
        self
    }

    /// Ends the stream with `response.incomplete` and a reason such as `max_output_tokens`.
    pub fn incomplete(mut self, reason: impl Into<String>) -> Self {
        self.end = End::Incomplete {
            reason: reason.into(),
        };
        self
    }

    /// Ends the HTTP body without `response.completed`.
    pub fn end_early(mut self) -> Self {
        self.end = End::Closed;
        self
    }

    /// Drops the TCP connection in the middle of the stream.
    pub fn drop_connection(mut self) -> Self {
        self.end = End::Dropped;
        self
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    fn window(self, which: &str, used_percent: f64, minutes: u64, resets_at: u64) -> Self {
        let header = |name| format!("x-codex-{which}-{name}");
        self.header(&header("used-percent"), &used_percent.to_string())
            .header(&header("window-minutes"), &minutes.to_string())
            .header(&header("reset-at"), &resets_at.to_string())
    }
}

fn arguments_text(arguments: Value) -> String {
    match arguments {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

//! `mcpServer/elicitation/request`: an MCP server asks the user something, or wants to run a tool.

use std::{fmt, future::Future};

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    context::RequestContext,
    decision::Decision,
    error::HandlerError,
    user_code::{Asked, Handler},
};

/// Answers `mcpServer/elicitation/request`. There is no time limit unless
/// [`Handlers::elicitation_limit`](super::Handlers::elicitation_limit) sets one.
///
/// A closure `|request: ElicitationRequest, cx| async { … }` is an `Elicitation` too.
pub trait Elicitation: Send + Sync + 'static {
    /// Answers one request; look at its [`ask`](ElicitationRequest::ask).
    ///
    /// # Errors
    /// The elicitation is declined, and the turn goes on.
    fn elicit(
        &self,
        request: ElicitationRequest,
        cx: RequestContext,
    ) -> impl Future<Output = Result<ElicitationAnswer, HandlerError>> + Send;

    /// Whether this handler can show OpenAI's extended forms ([`ElicitationAsk::OpenaiForm`]). If
    /// so, the client announces `mcpServerOpenaiFormElicitation`. Only the builder's handler
    /// counts. Default: no.
    fn openai_forms(&self) -> bool {
        false
    }
}

impl<F, R> Elicitation for F
where
    F: Fn(ElicitationRequest, RequestContext) -> R + Send + Sync + 'static,
    R: Future<Output = Result<ElicitationAnswer, HandlerError>> + Send,
{
    fn elicit(
        &self,
        request: ElicitationRequest,
        cx: RequestContext,
    ) -> impl Future<Output = Result<ElicitationAnswer, HandlerError>> + Send {
        self(request, cx)
    }
}

/// A request of an MCP server.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ElicitationRequest {
    /// The thread that the request belongs to.
    pub thread_id: String,
    /// The turn that the request belongs to, if codex knows it.
    pub turn_id: Option<String>,
    /// The MCP server, by its name in the configuration.
    pub server: String,
    /// The `_meta` of the request; `null` if it has none.
    pub meta: Value,
    /// What the request asks for.
    pub ask: ElicitationAsk,
}

/// What an MCP server asks for; see [`ElicitationRequest`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ElicitationAsk {
    /// A form to fill in. The content of the answer is an object of this schema.
    Form {
        /// The message to show the user.
        message: String,
        /// The JSON schema of the content.
        schema: Value,
    },
    /// OpenAI's extended form, used only if [`Elicitation::openai_forms`] returns true.
    OpenaiForm {
        /// The message to show the user.
        message: String,
        /// The schema of the content.
        schema: Value,
    },
    /// A page to open in a browser.
    Url {
        /// The message to show the user.
        message: String,
        /// The address of the page.
        url: String,
        /// The id by which the MCP server will refer to this elicitation.
        elicitation_id: String,
    },
    /// Approval for a call of one of the MCP server's tools. The rules of a
    /// [`Policy`](crate::policy::Policy) come before the handler. A [`Decision`] converts to the
    /// answer.
    ///
    /// An MCP server can send a form that looks like such a request. So a request counts as a tool
    /// call only if its form has no fields and a call of that tool is in progress whose approval
    /// has not been requested yet. Any other request is a [`Form`](Self::Form).
    ToolCall(McpToolCall),
    /// An approval that the device has to confirm. The content of the answer holds the proof.
    UserVerification {
        /// The title of the prompt.
        title: String,
        /// What the user approves.
        description: String,
        /// The challenge to sign.
        challenge: String,
    },
    /// A mode that this version of the crate does not know.
    Other {
        /// The name of the mode.
        mode: String,
        /// All params.
        params: Value,
    },
}

/// An MCP tool call that needs approval.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct McpToolCall {
    /// The message to show the user.
    pub message: String,
    /// The name of the tool.
    pub tool: String,
    /// The MCP server's description of the tool.
    pub description: Option<String>,
    /// The arguments of the call.
    pub arguments: Value,
    /// The MCP annotations of the tool, such as `destructiveHint`; `null` if it has none.
    pub annotations: Value,
    /// How an approval may be remembered.
    pub persist: Vec<Persist>,
}

/// How long an approval of an MCP tool is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Persist {
    /// Until the session ends.
    Session,
    /// Permanently.
    Always,
}

impl Persist {
    fn word(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Always => "always",
        }
    }

    fn of(word: &str) -> Option<Self> {
        [Self::Session, Self::Always]
            .into_iter()
            .find(|p| p.word() == word)
    }
}

/// The answer to an elicitation.
#[derive(Clone, PartialEq, Serialize)]
#[must_use]
pub struct ElicitationAnswer {
    action: &'static str,
    #[serde(skip_serializing_if = "Value::is_null")]
    content: Value,
    #[serde(rename = "_meta", skip_serializing_if = "Map::is_empty")]
    meta: Map<String, Value>,
}

impl ElicitationAnswer {
    fn new(action: &'static str, content: Value) -> Self {
        Self {
            action,
            content,
            meta: Map::new(),
        }
    }

    /// Accepts. The content of a form is an object of its schema; for the other modes pass `()`.
    pub fn accept(content: impl Into<Value>) -> Self {
        Self::new("accept", content.into())
    }

    /// Declines.
    pub fn decline() -> Self {
        Self::new("decline", Value::Null)
    }

    /// Reports that the user closed the prompt without accepting or declining. The turn goes on.
    pub fn cancel() -> Self {
        Self::new("cancel", Value::Null)
    }

    /// Remembers the approval of an MCP tool, so that the user is not asked again.
    pub fn persist(self, persist: Persist) -> Self {
        self.meta("persist", persist.word())
    }

    /// Sets a member of `_meta`.
    pub fn meta(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.meta.insert(key.into(), value.into());
        self
    }

    pub(crate) fn action(&self) -> &'static str {
        self.action
    }

    /// Removes a `persist` that the server did not offer.
    pub(crate) fn within(mut self, offered: &[Persist]) -> Self {
        let wanted = self.meta.get("persist").and_then(Value::as_str);
        match wanted.and_then(Persist::of) {
            Some(Persist::Always) if !offered.contains(&Persist::Always) => {
                self.meta.remove("persist");
                if offered.contains(&Persist::Session) {
                    self = self.persist(Persist::Session);
                }
            }
            Some(Persist::Session) if !offered.contains(&Persist::Session) => {
                self.meta.remove("persist");
            }
            _ => {}
        }
        self
    }
}

impl From<Decision> for ElicitationAnswer {
    fn from(decision: Decision) -> Self {
        let accept = || Self::accept(json!({}));
        match decision {
            Decision::AcceptAlways => accept().persist(Persist::Always),
            Decision::AcceptForSession => accept().persist(Persist::Session),
            Decision::Cancel => Self::cancel(),
            other if other.accepts() => accept(),
            _ => Self::decline(),
        }
    }
}

impl fmt::Debug for ElicitationAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The content is not shown: it is the user's.
        f.debug_struct("ElicitationAnswer")
            .field("action", &self.action)
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}

impl ElicitationRequest {
    /// Reads the params. No field is required.
    pub(crate) fn parse(params: &str) -> Result<Self, serde_json::Error> {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Wire {
            thread_id: String,
            turn_id: Option<String>,
            server_name: String,
            #[serde(rename = "_meta")]
            meta: Value,
            mode: String,
            message: String,
            requested_schema: Value,
            url: String,
            elicitation_id: String,
            title: String,
            description: String,
            challenge: String,
        }
        let wire: Wire = serde_json::from_str(params)?;
        let message = wire.message;
        let ask = match wire.mode.as_str() {
            "form"
                if wire.meta["codex_approval_kind"] == "mcp_tool_call"
                    && asks_for_nothing(&wire.requested_schema) =>
            {
                ElicitationAsk::ToolCall(McpToolCall::of(message, &wire.meta))
            }
            "form" => ElicitationAsk::Form {
                message,
                schema: wire.requested_schema,
            },
            "openai/form" | "openaiForm" => ElicitationAsk::OpenaiForm {
                message,
                schema: wire.requested_schema,
            },
            "url" => ElicitationAsk::Url {
                message,
                url: wire.url,
                elicitation_id: wire.elicitation_id,
            },
            "openai/userVerification" => ElicitationAsk::UserVerification {
                title: wire.title,
                description: wire.description,
                challenge: wire.challenge,
            },
            mode => ElicitationAsk::Other {
                mode: mode.to_owned(),
                params: serde_json::from_str(params)?,
            },
        };
        Ok(Self {
            thread_id: wire.thread_id,
            turn_id: wire.turn_id,
            server: wire.server_name,
            meta: wire.meta,
            ask,
        })
    }

    /// The same request, not believed to be about a tool call.
    pub(crate) fn into_form(mut self) -> Self {
        if let ElicitationAsk::ToolCall(call) = self.ask {
            self.ask = ElicitationAsk::Form {
                message: call.message,
                schema: json!({"type": "object", "properties": {}}),
            };
        }
        self
    }
}

/// Whether a form has no fields.
pub(crate) fn asks_for_nothing(schema: &Value) -> bool {
    schema.as_object().is_some_and(|schema| {
        schema.iter().all(|(key, value)| match key.as_str() {
            "type" => value == "object",
            "$schema" => true,
            "properties" => value.as_object().is_some_and(Map::is_empty),
            "required" => value.as_array().is_some_and(Vec::is_empty),
            _ => false,
        })
    })
}

impl McpToolCall {
    fn of(message: String, meta: &Value) -> Self {
        let text = |key: &str| meta[key].as_str().map(str::to_owned);
        let persist = match &meta["persist"] {
            Value::String(word) => Persist::of(word).into_iter().collect(),
            Value::Array(words) => words
                .iter()
                .filter_map(|word| Persist::of(word.as_str()?))
                .collect(),
            _ => Vec::new(),
        };
        Self {
            message,
            tool: text("tool_name").unwrap_or_default(),
            description: text("tool_description"),
            arguments: meta["tool_params"].clone(),
            annotations: meta["tool_annotations"].clone(),
            persist,
        }
    }
}

pub(crate) type ElicitationHandler = Handler<ElicitationRequest, ElicitationAnswer>;

impl<H: Elicitation> Asked<ElicitationRequest, ElicitationAnswer> for H {
    fn ask(
        &self,
        request: ElicitationRequest,
        cx: RequestContext,
    ) -> BoxFuture<'_, Result<ElicitationAnswer, HandlerError>> {
        Box::pin(self.elicit(request, cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(answer: &ElicitationAnswer) -> Value {
        serde_json::to_value(answer).unwrap()
    }

    #[test]
    fn answers_have_only_the_members_they_need() {
        assert_eq!(
            wire(&ElicitationAnswer::decline()),
            json!({"action": "decline"})
        );
        assert_eq!(
            wire(&ElicitationAnswer::accept(json!({"a": 1})).persist(Persist::Session)),
            json!({"action": "accept", "content": {"a": 1}, "_meta": {"persist": "session"}})
        );
        assert_eq!(
            wire(&ElicitationAnswer::accept(())),
            json!({"action": "accept"})
        );
    }

    #[test]
    fn a_persistence_that_is_not_offered_is_not_sent() {
        let always = || ElicitationAnswer::from(Decision::AcceptAlways);
        let persist = |answer: ElicitationAnswer| wire(&answer)["_meta"]["persist"].clone();
        assert_eq!(
            persist(always().within(&[Persist::Session, Persist::Always])),
            "always"
        );
        assert_eq!(persist(always().within(&[Persist::Session])), "session");
        assert_eq!(persist(always().within(&[])), Value::Null);
    }

    #[test]
    fn the_approval_of_a_tool_is_told_from_a_form() {
        let params = json!({
            "threadId": "t", "turnId": null, "serverName": "tiny", "mode": "form", "message": "May I?",
            "requestedSchema": {"type": "object", "properties": {}},
            "_meta": {"codex_approval_kind": "mcp_tool_call", "persist": "session", "tool_name": "rw", "tool_params": {"a": 1}},
        });
        let request = ElicitationRequest::parse(&params.to_string()).unwrap();
        let ElicitationAsk::ToolCall(call) = &request.ask else {
            panic!("{request:?}")
        };
        assert_eq!(
            (call.tool.as_str(), &call.persist[..]),
            ("rw", &[Persist::Session][..])
        );
        assert_eq!(call.arguments, json!({"a": 1}));
    }

    #[test]
    fn an_unknown_mode_keeps_its_params() {
        let request = ElicitationRequest::parse(
            r#"{"threadId":"t","serverName":"s","mode":"hologram","x":1}"#,
        );
        let Ok(ElicitationRequest {
            ask: ElicitationAsk::Other { mode, params },
            ..
        }) = request
        else {
            panic!("{request:?}")
        };
        assert_eq!((mode.as_str(), &params["x"]), ("hologram", &json!(1)));
    }
}

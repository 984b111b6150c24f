//! Classifies the server's refusals. Nearly all have the code -32600 and differ only in their text: this is the one table.

use std::fmt;

use serde_json::Value;

use super::shortened::Shortened;
use crate::rpc::error::ErrorObject;

/// A JSON-RPC error object, as the server sent it or as it is sent to the server.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct RpcError {
    /// The JSON-RPC code, such as -32600. 0 if the server sent none.
    pub code: i64,
    /// The text for people. [`kind`](Self::kind) classifies it, since the server has no machine-readable codes.
    pub message: String,
    /// Further data, such as a `TurnError` for a refused steer.
    pub data: Option<Value>,
}

/// The meaning of a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RpcErrorKind {
    /// The server does not know the method: the server is older or newer, or the name is wrong.
    UnknownMethod,
    /// The params lack a field, or a field has the wrong type or value.
    InvalidParams,
    /// The method or the field needs `experimental_api(true)`.
    ExperimentalRequired {
        /// The method or `method.field`.
        what: String,
    },
    /// `initialize` has not been called.
    NotInitialized,
    /// `initialize` was called twice.
    AlreadyInitialized,
    /// The server has no such thread for this request. Where the request runs or changes a thread (`turn/start`,
    /// `thread/compact/start`), the thread is not loaded: `thread/resume` loads one that is stored. Where it reads or loads
    /// one (`thread/read`, `thread/resume`, `thread/fork`, `thread/archive`), nothing is stored under this id: it does not
    /// exist, is ephemeral, or has had no turn yet. `thread/unarchive` says so of a thread that is not archived, too.
    ThreadMissing,
    /// The thread is loaded, but has had no turn yet, so there is none to read.
    NoTurnsYet,
    /// The thread is archived; `thread/unarchive` brings it back.
    Archived,
    /// Another process has the thread; `thread/fork` works.
    ActiveWriter,
    /// No turn is running that could be steered or interrupted.
    NoActiveTurn,
    /// Another turn is running than the one that was named.
    TurnMismatch {
        /// The id that was given.
        expected: String,
        /// The id of the turn that is running.
        actual: String,
    },
    /// The running turn cannot be steered.
    NotSteerable {
        /// The kind of the turn: `review` or `compact`.
        turn_kind: String,
    },
    /// The running turn has to answer in another form than this request asks for. Wait for its end.
    OutputSchemaMismatch,
    /// A login is needed.
    AuthRequired,
    /// The input is too long.
    InputTooLarge {
        /// The server's limit, in characters.
        max_chars: u64,
        /// The length of the input, in characters.
        actual_chars: u64,
    },
    /// The server does not support this for the thread or in its state.
    Unsupported,
    /// The server is shutting down. Reconnect and retry.
    Draining,
    /// The server has too many requests. This one was not carried out and may be retried.
    Overloaded,
    /// Something failed inside the server.
    Internal,
    /// None of the known texts.
    Other,
}

/// How a row of the table recognises a refusal.
enum Text {
    Is(&'static str),
    Starts(&'static str),
    Contains(&'static str),
    /// Contains both, the first before the second.
    Around(&'static str, &'static str),
}

impl Text {
    fn matches(&self, message: &str) -> bool {
        match self {
            Self::Is(t) => message == *t,
            Self::Starts(t) => message.starts_with(t),
            Self::Contains(t) => message.contains(t),
            Self::Around(t, then) => message
                .split_once(t)
                .is_some_and(|(_, rest)| rest.contains(then)),
        }
    }
}

/// Refusals about threads. They have any code, and may be wrapped in other text: one that comes through the thread store as
/// an internal error means the same.
const THREADS: &[(Text, RpcErrorKind)] = &[
    (
        Text::Contains("thread not found: "),
        RpcErrorKind::ThreadMissing,
    ),
    (
        Text::Contains("thread not loaded: "),
        RpcErrorKind::ThreadMissing,
    ),
    (
        Text::Contains("no rollout found for thread id "),
        RpcErrorKind::ThreadMissing,
    ),
    (
        Text::Contains("no archived rollout found for thread id "),
        RpcErrorKind::ThreadMissing,
    ),
    (
        Text::Around("rollout at ", " is empty"),
        RpcErrorKind::ThreadMissing,
    ),
    (
        Text::Contains("empty session file"),
        RpcErrorKind::ThreadMissing,
    ),
    (
        Text::Around("failed to resolve rollout path ", "file does not exist"),
        RpcErrorKind::ThreadMissing,
    ),
    (
        Text::Contains("missing source rollout"),
        RpcErrorKind::ThreadMissing,
    ),
    (
        Text::Contains("list_turns is not supported yet"),
        RpcErrorKind::NoTurnsYet,
    ),
    (
        Text::Contains(" is not materialized yet"),
        RpcErrorKind::NoTurnsYet,
    ),
    (
        Text::Around("session ", " is archived"),
        RpcErrorKind::Archived,
    ),
    (
        Text::Around("thread ", " is archived"),
        RpcErrorKind::Archived,
    ),
    (
        Text::Contains(" already has an active writer"),
        RpcErrorKind::ActiveWriter,
    ),
];

/// Other refusals. Rows are tried in order. Refusals that carry values are read in [`RpcError::kind`].
const TABLE: &[(Text, RpcErrorKind)] = &[
    (Text::Is("Not initialized"), RpcErrorKind::NotInitialized),
    (
        Text::Is("Already initialized"),
        RpcErrorKind::AlreadyInitialized,
    ),
    (Text::Starts("Server is draining"), RpcErrorKind::Draining),
    (
        Text::Is("no active turn to steer"),
        RpcErrorKind::NoActiveTurn,
    ),
    (
        Text::Is("no active turn to interrupt"),
        RpcErrorKind::NoActiveTurn,
    ),
    (
        Text::Contains("authentication required"),
        RpcErrorKind::AuthRequired,
    ),
    (Text::Starts("Invalid "), RpcErrorKind::InvalidParams),
    (Text::Starts("invalid "), RpcErrorKind::InvalidParams),
    (
        Text::Starts("failed to load configuration: "),
        RpcErrorKind::InvalidParams,
    ),
    (
        Text::Contains("input schema is not supported for "),
        RpcErrorKind::InvalidParams,
    ),
    (Text::Contains(" must "), RpcErrorKind::InvalidParams),
    (
        Text::Contains(" exceeds total "),
        RpcErrorKind::InvalidParams,
    ),
    (Text::Contains("do not support"), RpcErrorKind::Unsupported),
    (
        Text::Contains("does not support"),
        RpcErrorKind::Unsupported,
    ),
    (Text::Contains("only supports"), RpcErrorKind::Unsupported),
    (
        Text::Contains("is not supported yet"),
        RpcErrorKind::Unsupported,
    ),
];

fn row(table: &[(Text, RpcErrorKind)], message: &str) -> Option<RpcErrorKind> {
    let row = table.iter().find(|(text, _)| text.matches(message));
    row.map(|(_, kind)| kind.clone())
}

impl RpcError {
    /// An error object with the given parts.
    #[must_use]
    pub fn new(code: i64, message: impl Into<String>, data: Option<Value>) -> Self {
        Self {
            code,
            message: message.into(),
            data,
        }
    }

    /// Classifies the refusal by its code, its data and its text.
    #[must_use]
    pub fn kind(&self) -> RpcErrorKind {
        if self.code == -32001 {
            return RpcErrorKind::Overloaded;
        }
        let by_text = self
            .turn_input()
            .or_else(|| self.data_kind())
            .or_else(|| row(THREADS, &self.message));
        if let Some(kind) = by_text {
            return kind;
        }
        match self.code {
            -32603 => RpcErrorKind::Internal,
            -32601 => RpcErrorKind::Unsupported,
            code => self
                .text_kind()
                .or_else(|| row(TABLE, &self.message))
                .unwrap_or(if code == -32602 {
                    RpcErrorKind::InvalidParams
                } else {
                    RpcErrorKind::Other
                }),
        }
    }

    /// `turn/start` while a turn runs that cannot take the input: an internal error by its code, not by its meaning.
    fn turn_input(&self) -> Option<RpcErrorKind> {
        let reason = self
            .message
            .strip_prefix("failed to submit turn input: ActiveTurn")?;
        if reason == "OutputSchemaMismatch" {
            return Some(RpcErrorKind::OutputSchemaMismatch);
        }
        let kind = reason.strip_prefix("NotSteerable { turn_kind: ")?;
        Some(RpcErrorKind::NotSteerable {
            turn_kind: kind.trim_end_matches(" }").to_lowercase(),
        })
    }

    fn data_kind(&self) -> Option<RpcErrorKind> {
        let data = self.data.as_ref()?;
        if data["input_error_code"] == "input_too_large" {
            return Some(RpcErrorKind::InputTooLarge {
                max_chars: data["max_chars"].as_u64().unwrap_or_default(),
                actual_chars: data["actual_chars"].as_u64().unwrap_or_default(),
            });
        }
        let turn_kind = data["codexErrorInfo"]["activeTurnNotSteerable"]["turnKind"].as_str()?;
        Some(RpcErrorKind::NotSteerable {
            turn_kind: turn_kind.to_owned(),
        })
    }

    fn text_kind(&self) -> Option<RpcErrorKind> {
        let m = self.message.as_str();
        if let Some(what) = m.strip_suffix(" requires experimentalApi capability") {
            return Some(RpcErrorKind::ExperimentalRequired {
                what: what.to_owned(),
            });
        }
        if let Some(ids) = m.strip_prefix("expected active turn id ") {
            // `turn/steer` puts the ids in back-ticks, `turn/interrupt` does not.
            let (expected, actual) = ids.split_once(" but found ")?;
            let plain = |id: &str| id.trim_matches('`').to_owned();
            return Some(RpcErrorKind::TurnMismatch {
                expected: plain(expected),
                actual: plain(actual),
            });
        }
        // A list follows: of all methods, or of the values that a field may have.
        let variants = m.strip_prefix("Invalid request: unknown variant `")?;
        variants
            .contains("`initialize`")
            .then_some(RpcErrorKind::UnknownMethod)
    }
}

impl From<&ErrorObject> for RpcError {
    fn from(error: &ErrorObject) -> Self {
        let data = error.data.as_deref();
        Self {
            code: error.code,
            message: error.message.clone(),
            data: data.and_then(|data| serde_json::from_str(data.get()).ok()),
        }
    }
}

impl From<ErrorObject> for RpcError {
    fn from(error: ErrorObject) -> Self {
        Self::from(&error)
    }
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", Shortened(&self.message), self.code)
    }
}

impl fmt::Debug for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = self.data.as_ref().map(Value::to_string);
        f.debug_struct("RpcError")
            .field("code", &self.code)
            .field("message", &Shortened(&self.message))
            .field("data", &data.as_deref().map(Shortened))
            .finish()
    }
}

impl std::error::Error for RpcError {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kind(message: &str) -> RpcErrorKind {
        RpcError::new(-32600, message, None).kind()
    }

    #[test]
    fn the_ids_of_a_mismatch_are_read_with_and_without_back_ticks() {
        let want = RpcErrorKind::TurnMismatch {
            expected: "A".into(),
            actual: "B".into(),
        };
        assert_eq!(kind("expected active turn id `A` but found `B`"), want);
        assert_eq!(kind("expected active turn id A but found B"), want);
    }

    #[test]
    fn an_unknown_method_is_told_from_an_unknown_value() {
        assert_eq!(
            kind("Invalid request: unknown variant `x/y`, expected one of `initialize`, `a`"),
            RpcErrorKind::UnknownMethod
        );
        assert_eq!(
            kind("Invalid request: unknown variant `x`, expected `a` or `b`"),
            RpcErrorKind::InvalidParams
        );
    }

    #[test]
    fn values_in_data_are_read() {
        let data =
            json!({"input_error_code": "input_too_large", "max_chars": 10, "actual_chars": 11});
        assert_eq!(
            RpcError::new(-32602, "Input exceeds", Some(data)).kind(),
            RpcErrorKind::InputTooLarge {
                max_chars: 10,
                actual_chars: 11
            }
        );
        let data = json!({"message": "m", "codexErrorInfo": {"activeTurnNotSteerable": {"turnKind": "compact"}}});
        assert_eq!(
            RpcError::new(-32600, "cannot steer a compact turn", Some(data)).kind(),
            RpcErrorKind::NotSteerable {
                turn_kind: "compact".into()
            }
        );
    }

    #[test]
    fn an_unheard_of_text_is_other() {
        assert_eq!(kind("the moon is full"), RpcErrorKind::Other);
        assert_eq!(
            RpcError::new(-32001, "", None).kind(),
            RpcErrorKind::Overloaded
        );
    }
}

//! Responses to the server's requests, as they go over the wire.

use serde_json::{Value, json};

use super::{
    error::HandlerError,
    method::ServerMethod,
    policy::{Decided, DecidedBy},
};

/// A response: its member, the member's JSON text, and who decided it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) key: &'static str,
    pub(crate) body: String,
    pub(crate) decided: Option<Decided>,
}

impl Answer {
    pub(crate) fn result(body: impl Into<String>) -> Self {
        Self {
            key: "result",
            body: body.into(),
            decided: None,
        }
    }

    pub(crate) fn error(code: i32, message: &str) -> Self {
        Self::error_with(code, message, None)
    }

    pub(crate) fn error_with(code: i32, message: &str, data: Option<Value>) -> Self {
        let mut error = json!({"code": code, "message": message});
        if let Some(data) = data {
            error["data"] = data;
        }
        Self {
            key: "error",
            body: error.to_string(),
            decided: None,
        }
    }

    pub(crate) fn failure(error: &HandlerError) -> Self {
        Self::error(error.code(), &error.to_string())
    }

    /// The response to a method that nobody answers. A refusal is a valid result of the method, if
    /// the method has one.
    pub(crate) fn refusal(method: &str) -> Self {
        let Some(body) = ServerMethod::of(method).refusal() else {
            return Self::error(-32601, &format!("no handler for {method}"));
        };
        Self::result(body).decided(DecidedBy::Default, "decline")
    }

    /// The response to the deprecated approvals of the first protocol.
    pub(crate) fn deprecated(method: &str) -> Self {
        let text = format!("Unsupported deprecated server request: {method}");
        Self::error_with(-32602, &text, Some(json!({"supportedMode": "v2-only"})))
    }

    pub(crate) fn decided(mut self, by: DecidedBy, what: impl Into<String>) -> Self {
        self.decided = Some(Decided {
            by,
            what: what.into(),
            warning: None,
        });
        self
    }

    /// The same answer with a warning about the rule that decided it.
    pub(crate) fn warned(mut self, warning: Option<String>) -> Self {
        if let Some(decided) = &mut self.decided {
            decided.warning = warning;
        }
        self
    }

    /// The same answer, reported as decided by the fallback.
    pub(crate) fn by_fallback(self) -> Self {
        let what = if self.key == "error" {
            "error"
        } else {
            "answer"
        };
        self.decided(DecidedBy::Fallback, what)
    }

    pub(crate) fn into_result(self) -> Result<Value, HandlerError> {
        let body: Value = serde_json::from_str(&self.body)?;
        if self.key == "result" {
            return Ok(body);
        }
        let code = body["code"].as_i64().and_then(|c| i32::try_from(c).ok());
        let text = body["message"].as_str().unwrap_or_default();
        Err(HandlerError::rpc(code.unwrap_or(-32603), text))
    }
}

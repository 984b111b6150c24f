//! Why a handler failed.

use std::fmt;

/// Why a handler failed. Any error converts with `?`, its sources included.
///
/// What becomes of it depends on the request: approvals and elicitations are refused, user input is left empty (the
/// text goes to `tracing`); where the method has no way to refuse, the server gets a JSON-RPC error with this text.
#[derive(Clone)]
pub struct HandlerError {
    code: Option<i32>,
    text: String,
}

impl HandlerError {
    /// A failure in words.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            code: None,
            text: text.into(),
        }
    }

    /// A failure with the code of the JSON-RPC error, where there is one. Without it the code is -32000.
    pub fn rpc(code: i32, text: impl Into<String>) -> Self {
        Self {
            code: Some(code),
            text: text.into(),
        }
    }

    /// The code of the JSON-RPC error.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.code.unwrap_or(-32000)
    }
}

impl<E: std::error::Error> From<E> for HandlerError {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            text.push_str(": ");
            text.push_str(&inner.to_string());
            source = inner.source();
        }
        Self::new(text)
    }
}

// Not `std::error::Error`: the conversion from all of those would overlap with the one from itself.
impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for HandlerError {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HandlerError").field(&self.text).finish()
    }
}

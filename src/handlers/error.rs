//! Why a handler failed.

use std::{error::Error, fmt};

/// Why a handler failed. `?` converts every error that a `Box<dyn Error + Send + Sync>` can be made
/// from, with its sources: any error that can be sent to another thread, `anyhow::Error`, a
/// `String`, a `&str`.
///
/// ```
/// use cas_sdk::handlers::HandlerError;
///
/// fn port(text: &str) -> Result<u16, HandlerError> {
///     Ok(text.parse::<u16>()?)
/// }
///
/// fn anyhow(text: &str) -> Result<u16, HandlerError> {
///     use anyhow::Context as _;
///     Ok(text.parse::<u16>().context("the port")?)
/// }
///
/// assert_eq!(port("x").unwrap_err().code(), -32000);
/// assert_eq!(anyhow("x").unwrap_err().to_string(), "the port: invalid digit found in string");
/// assert_eq!(HandlerError::from("no terminal").to_string(), "no terminal");
/// ```
///
/// The effect depends on the request. Approvals and elicitations are refused. User input is left
/// empty, and the text goes to `tracing`. For a method that has no way to refuse, the server gets a
/// JSON-RPC error with this text.
#[derive(Clone)]
pub struct HandlerError {
    code: Option<i32>,
    text: String,
}

impl HandlerError {
    /// Makes an error from a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            code: None,
            text: text.into(),
        }
    }

    /// Makes an error with a JSON-RPC code, for requests that are answered with a JSON-RPC error.
    /// Without this, the code is -32000.
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

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::new(with_sources(&*error.into()))
    }
}

/// The text of an error and of its sources.
pub(crate) fn with_sources(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

// Not `std::error::Error`: the conversion from all such errors would overlap with the conversion
// from `HandlerError` itself.
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

//! What the engine has to say of failures. What they mean is for the protocol on top to tell.

use std::{any::Any, sync::Arc};

use serde::Deserialize;
use serde_json::value::RawValue;

/// A JSON-RPC error object as it came.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ErrorObject {
    pub(crate) code: i64,
    pub(crate) message: String,
    pub(crate) data: Option<Box<RawValue>>,
}

impl ErrorObject {
    /// Reads an error object. What is none becomes the message, so that nothing of it is lost.
    pub(crate) fn parse(json: &str) -> Self {
        // A derive reads a struct from an array too.
        let is_object = json.trim_start().starts_with('{');
        let object = is_object.then(|| serde_json::from_str(json).ok()).flatten();
        object.unwrap_or_else(|| Self {
            message: json.to_owned(),
            ..Self::default()
        })
    }
}

/// Why a connection has ended, as its owner put it. The engine passes it on unread.
#[derive(Debug, Clone)]
pub(crate) struct Closed(Arc<dyn Any + Send + Sync>);

impl Closed {
    pub(crate) fn new<T: Any + Send + Sync>(reason: Arc<T>) -> Self {
        Self(reason)
    }

    /// The reason; `None` if it is of another type, or nobody gave one.
    pub(crate) fn reason<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.0.clone().downcast().ok()
    }
}

impl Default for Closed {
    fn default() -> Self {
        Self(Arc::new(()))
    }
}

/// Why a request has no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// The request was sent, and its deadline has passed.
    Timeout,
    /// The deadline passed before the request could be sent; this is what it waited for.
    NotSent(&'static str),
    /// The connection had ended before the request could be sent.
    Closed(Closed),
    /// The request was sent, and the connection has ended without its answer.
    Lost(Closed),
    /// The answer was longer than the limit of a line: its length, and its beginning.
    TooLong(u64, Box<str>),
    /// The request was not sent: it has `len` bytes, and the server takes `max`.
    TooLarge { len: usize, max: usize },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_object_keeps_its_data_raw_and_what_is_none_becomes_the_message() {
        let error = ErrorObject::parse(r#"{"message":"m","code":-5,"more":1,"data":{"a": 1}}"#);
        assert_eq!((error.code, error.message.as_str()), (-5, "m"));
        assert_eq!(error.data.unwrap().get(), r#"{"a": 1}"#);
        let error = ErrorObject::parse(r#"{"data":null}"#);
        assert!(error.data.is_none() && error.message.is_empty());
        for odd in [r#""gone""#, r#"{"code":"x"}"#, "5", "[]"] {
            assert_eq!(ErrorObject::parse(odd).message, odd);
        }
    }

    #[test]
    fn a_reason_comes_back_as_the_type_it_was_given_as() {
        let closed = Closed::new(Arc::new("the end"));
        assert_eq!(closed.reason::<&str>().as_deref(), Some(&"the end"));
        assert!(closed.reason::<u8>().is_none());
        assert!(Closed::default().reason::<&str>().is_none());
    }
}

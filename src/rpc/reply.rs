//! The answer to a request.

use std::ops::Range;

use super::{envelope::Parts, error::ErrorObject};

/// A successful answer: its line, and where the result stands in it.
pub(crate) struct RawReply {
    pub(crate) line: Box<str>,
    pub(crate) result: Range<usize>,
}

/// What the server answered.
pub(crate) type Outcome = Result<RawReply, ErrorObject>;

/// A hook that runs in the reader task when the answer is routed, before the next line is. It must not block.
pub(crate) type OnReply = Box<dyn FnOnce(&Outcome) + Send>;

/// Reads the outcome from the line of an answer.
pub(super) fn outcome(line: &str, parts: Parts<'_>) -> Outcome {
    match parts.error().filter(|error| *error != "null") {
        Some(error) => Err(ErrorObject::parse(error)),
        None => Ok(RawReply {
            line: line.into(),
            result: parts.result_range(),
        }),
    }
}

impl RawReply {
    /// The JSON text of the result.
    pub(crate) fn result(&self) -> &str {
        // An answer without a result has an error, and that is told apart before.
        let result = self.line.get(self.result.clone());
        result.filter(|text| !text.is_empty()).unwrap_or("null")
    }
}

//! JSON texts that are kept and not shown.

use std::{fmt, sync::Arc};

/// A JSON text as it came. `Debug` does not show it: it may hold a token, or be very long.
#[derive(Clone, PartialEq, Eq)]
pub struct RawText(Arc<str>);

impl RawText {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::ops::Deref for RawText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for RawText {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for RawText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawText({} bytes)", self.0.len())
    }
}

//! What a tool gives back: content for the model, or why it failed.

use std::fmt;

use serde::Serialize;

/// What a tool gives back to the model.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[must_use]
pub struct ToolOutput {
    #[serde(rename = "contentItems")]
    items: Vec<Content>,
    success: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
enum Content {
    #[serde(rename = "inputText")]
    Text { text: String },
    #[serde(rename = "inputImage")]
    Image { image_url: String },
    #[serde(rename = "inputAudio")]
    Audio { audio_url: String },
}

impl ToolOutput {
    /// An output with nothing in it yet.
    pub fn new() -> Self {
        Self {
            items: Vec::new(),
            success: true,
        }
    }

    /// Adds a text.
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.items.push(Content::Text { text: text.into() });
        self
    }

    /// Adds an image, as a `data:` URL.
    pub fn image(mut self, url: impl Into<String>) -> Self {
        self.items.push(Content::Image {
            image_url: url.into(),
        });
        self
    }

    /// Adds a piece of audio, as a `data:` URL.
    pub fn audio(mut self, url: impl Into<String>) -> Self {
        self.items.push(Content::Audio {
            audio_url: url.into(),
        });
        self
    }

    /// Adds a value as JSON text.
    ///
    /// # Errors
    /// If the value can't be written as JSON.
    pub fn json(self, value: &impl Serialize) -> Result<Self, ToolError> {
        Ok(self.text(serde_json::to_string(value)?))
    }

    /// Marks the item as failed. The model sees the same content either way.
    pub fn failed(mut self) -> Self {
        self.success = false;
        self
    }
}

impl From<String> for ToolOutput {
    fn from(text: String) -> Self {
        Self::new().text(text)
    }
}

impl From<&str> for ToolOutput {
    fn from(text: &str) -> Self {
        Self::new().text(text)
    }
}

/// Why a tool failed; the text is for the model. Any error converts with `?`, its sources included.
pub struct ToolError(String);

impl ToolError {
    /// An error with a text that helps the model to do better.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl<E: std::error::Error> From<E> for ToolError {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            text.push_str(": ");
            text.push_str(&inner.to_string());
            source = inner.source();
        }
        Self(text)
    }
}

impl fmt::Debug for ToolError {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ToolError").field(&self.0).finish()
    }
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

//! The output of a tool: content for the model, or why the tool failed.

use std::{error::Error, fmt};

use serde::Serialize;

use crate::handlers::with_sources;

/// The output of a tool, for the model.
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
    /// Makes an empty output.
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

/// A value that a [`Tool`](crate::Tool) or the closure of a
/// [`DynamicTool`](crate::tools::DynamicTool) may return.
pub trait IntoToolOutput {
    /// Converts the value to content for the model.
    ///
    /// # Errors
    /// If the value can't be written as JSON. The model gets the error.
    fn into_tool_output(self) -> Result<ToolOutput, ToolError>;
}

impl IntoToolOutput for ToolOutput {
    fn into_tool_output(self) -> Result<ToolOutput, ToolError> {
        Ok(self)
    }
}

impl IntoToolOutput for String {
    fn into_tool_output(self) -> Result<ToolOutput, ToolError> {
        Ok(self.into())
    }
}

impl IntoToolOutput for &str {
    fn into_tool_output(self) -> Result<ToolOutput, ToolError> {
        Ok(self.into())
    }
}

/// No content: the model learns only that the call succeeded.
impl IntoToolOutput for () {
    fn into_tool_output(self) -> Result<ToolOutput, ToolError> {
        Ok(ToolOutput::new())
    }
}

/// A value that the model gets as JSON text.
///
/// ```
/// use cas_sdk::tools::{IntoToolOutput, Json, ToolOutput};
/// let output = Json([1, 2]).into_tool_output().unwrap();
/// assert_eq!(output, ToolOutput::new().text("[1,2]"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoToolOutput for Json<T> {
    fn into_tool_output(self) -> Result<ToolOutput, ToolError> {
        ToolOutput::new().json(&self.0)
    }
}

/// Why a tool failed; the text is for the model. `?` converts every error that a
/// `Box<dyn Error + Send + Sync>` can be made from, with its sources: any error that can be sent to
/// another thread, `anyhow::Error`, a `String`, a `&str`.
///
/// ```
/// use cas_sdk::ToolError;
///
/// fn read(path: &str) -> Result<String, ToolError> {
///     if path.is_empty() {
///         return Err("no path was given".into());
///     }
///     Ok(std::fs::read_to_string(path)?)
/// }
///
/// fn anyhow(path: &str) -> Result<String, ToolError> {
///     use anyhow::Context as _;
///     Ok(std::fs::read_to_string(path).context("the notes")?)
/// }
///
/// assert_eq!(read("").unwrap_err().to_string(), "no path was given");
/// assert!(anyhow("/no/such").unwrap_err().to_string().starts_with("the notes: "));
/// ```
pub struct ToolError(String);

impl ToolError {
    /// Makes an error from a text that helps the model to do better.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for ToolError {
    fn from(error: E) -> Self {
        Self(with_sources(&*error.into()))
    }
}

impl fmt::Debug for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ToolError").field(&self.0).finish()
    }
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

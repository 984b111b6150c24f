//! What a user says to a thread: text, images, skills, mentions.

use serde_json::{Value, json};

use crate::protocol::{UserInput, from_value};

/// The input of a turn or of a steer, in parts. A plain string converts.
///
/// ```
/// use cas_sdk::Input;
/// let input = Input::from("What is wrong in this picture?").local_image("/tmp/screen.png");
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[must_use]
pub struct Input(Vec<Value>);

impl Input {
    /// No input yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text. The server refuses more than 1,048,576 characters.
    pub fn text(self, text: impl Into<String>) -> Self {
        self.push(json!({"type": "text", "text": text.into(), "text_elements": []}))
    }

    /// Adds an image by its URL; a `data:` URL carries the image itself.
    pub fn image_url(self, url: impl Into<String>) -> Self {
        self.push(json!({"type": "image", "url": url.into()}))
    }

    /// Adds an image file that the server can read.
    pub fn local_image(self, path: impl AsRef<std::path::Path>) -> Self {
        self.push(json!({"type": "localImage", "path": path.as_ref()}))
    }

    /// Adds a skill by its name and the path of its `SKILL.md`.
    pub fn skill(self, name: impl Into<String>, path: impl AsRef<std::path::Path>) -> Self {
        self.push(json!({"type": "skill", "name": name.into(), "path": path.as_ref()}))
    }

    /// Adds a mention, such as of an app: `app://<id>`.
    pub fn mention(self, name: impl Into<String>, path: impl Into<String>) -> Self {
        self.push(json!({"type": "mention", "name": name.into(), "path": path.into()}))
    }

    pub(crate) fn as_value(&self) -> Value {
        Value::Array(self.0.clone())
    }

    fn push(mut self, part: Value) -> Self {
        self.0.push(part);
        self
    }
}

impl From<&str> for Input {
    fn from(text: &str) -> Self {
        Self::new().text(text)
    }
}

impl From<String> for Input {
    fn from(text: String) -> Self {
        Self::new().text(text)
    }
}

impl From<&String> for Input {
    fn from(text: &String) -> Self {
        Self::new().text(text.as_str())
    }
}

impl From<Vec<UserInput>> for Input {
    // Compiled for those who call it, as what follows.
    #[inline]
    fn from(parts: Vec<UserInput>) -> Self {
        Self(
            parts
                .iter()
                .filter_map(|part| serde_json::to_value(part).ok())
                .collect(),
        )
    }
}

impl From<Input> for Vec<UserInput> {
    #[inline]
    fn from(input: Input) -> Self {
        // The type is open, so nothing that is a JSON object is refused.
        input
            .0
            .into_iter()
            .filter_map(|part| from_value(&part).ok())
            .collect()
    }
}

//! `Input`: text, images, skills and mentions for a turn.

use std::path::Path;

use crate::protocol::{
    ImageUserInput, LocalImageUserInput, MentionUserInput, SkillUserInput, TextUserInput, UserInput,
};

/// The input of a turn or of a steer, in parts. A plain string converts into it.
///
/// ```
/// use cas_sdk::Input;
/// let input = Input::from("What is wrong in this picture?").local_image("/tmp/screen.png");
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[must_use]
pub struct Input(Vec<UserInput>);

impl Input {
    /// Creates an empty input.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds text. The server refuses more than 1,048,576 characters.
    pub fn text(self, text: impl Into<String>) -> Self {
        self.part(TextUserInput::new(text))
    }

    /// Adds an image by its URL; a `data:` URL carries the image itself.
    pub fn image_url(self, url: impl Into<String>) -> Self {
        self.part(ImageUserInput::default().url(url))
    }

    /// Adds an image file that the server can read.
    pub fn local_image(self, path: impl AsRef<Path>) -> Self {
        self.part(LocalImageUserInput::new(lossy(path)))
    }

    /// Adds a skill by its name and the path of its `SKILL.md`.
    pub fn skill(self, name: impl Into<String>, path: impl AsRef<Path>) -> Self {
        self.part(SkillUserInput::new(name, lossy(path)))
    }

    /// Adds a mention, such as an app with the path `app://<id>`.
    pub fn mention(self, name: impl Into<String>, path: impl Into<String>) -> Self {
        self.part(MentionUserInput::new(name, path))
    }

    /// Adds any part that the protocol has.
    pub fn part(mut self, part: impl Into<UserInput>) -> Self {
        self.0.push(part.into());
        self
    }
}

/// Converts a path into text, as the protocol requires.
fn lossy(path: impl AsRef<Path>) -> String {
    path.as_ref().to_string_lossy().into_owned()
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
    fn from(parts: Vec<UserInput>) -> Self {
        Self(parts)
    }
}

impl From<Input> for Vec<UserInput> {
    fn from(input: Input) -> Self {
        input.0
    }
}

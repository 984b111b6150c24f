//! `ModelRequest`: what codex asked the scripted model.

use std::{fmt, sync::Arc};

use axum::http::HeaderMap;
use serde_json::Value;

/// A request that codex made to the model: one step of one turn. Cheap to clone.
///
/// The helpers read the fields that tests ask for; [`body`](Self::body) has the rest.
#[derive(Clone)]
pub struct ModelRequest(Arc<Recorded>);

struct Recorded {
    headers: HeaderMap,
    body: Value,
    /// How long the body's text was.
    size: usize,
}

impl ModelRequest {
    pub(super) fn new(headers: HeaderMap, body: Value, size: usize) -> Self {
        Self(Arc::new(Recorded {
            headers,
            body,
            size,
        }))
    }

    pub(super) fn size(&self) -> usize {
        self.0.size
    }

    /// The JSON body of the request.
    #[must_use]
    pub fn body(&self) -> &Value {
        &self.0.body
    }

    /// The value of a header, if it is there and is text; `name` in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.headers.get(name)?.to_str().ok()
    }

    /// The token of `authorization: Bearer …`; codex sends none without a login.
    #[must_use]
    pub fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// The model that is asked, such as `mock-model`.
    #[must_use]
    pub fn model(&self) -> &str {
        self.body()["model"].as_str().unwrap_or_default()
    }

    /// The thread on whose behalf codex asks.
    #[must_use]
    pub fn thread_id(&self) -> Option<&str> {
        self.header("thread-id")
            .or_else(|| self.body()["prompt_cache_key"].as_str())
    }

    /// The turn on whose behalf codex asks.
    #[must_use]
    pub fn turn_id(&self) -> Option<String> {
        let metadata: Value = serde_json::from_str(self.header("x-codex-turn-metadata")?).ok()?;
        metadata["turn_id"].as_str().map(str::to_owned)
    }

    /// The items of the conversation so far, oldest first.
    #[must_use]
    pub fn input(&self) -> &[Value] {
        self.body()["input"].as_array().map_or(&[], Vec::as_slice)
    }

    /// The texts of the user's role, oldest first. Codex says things in the user's name, too: the first
    /// text of a thread is its `<environment_context>`, which comes again in the middle of a turn when the
    /// date changes, and an interrupted turn leaves `<turn_aborted>`. Without these they are the
    /// [`prompts`](Self::prompts).
    #[must_use]
    pub fn user_texts(&self) -> Vec<&str> {
        self.texts_of("user")
    }

    /// What the user said, oldest first: the [`user_texts`](Self::user_texts) without those that are one
    /// element, `<name>…</name>`, and without the instructions of an `AGENTS.md`, which are codex's.
    #[must_use]
    pub fn prompts(&self) -> Vec<&str> {
        let mut texts = self.user_texts();
        texts.retain(|text| !is_codexs(text));
        texts
    }

    /// The texts of the developer role, oldest first: codex's instructions come first.
    #[must_use]
    pub fn developer_texts(&self) -> Vec<&str> {
        self.texts_of("developer")
    }

    /// The output of a tool call, as codex sends it: a string if it is exactly one text, else a list of
    /// content items.
    ///
    /// `None` means that the request has no output for this call.
    ///
    /// ```no_run
    /// # async fn example(model: cas_sdk::testing::MockModel) {
    /// let request = model.next_request().await;
    /// assert_eq!(request.tool_output("call-1").unwrap(), "sunny");
    /// # }
    /// ```
    #[must_use]
    pub fn tool_output(&self, call_id: &str) -> Option<&Value> {
        let is_output = |kind: &str| kind.ends_with("_call_output");
        self.input()
            .iter()
            .find(|item| item["call_id"] == call_id && item["type"].as_str().is_some_and(is_output))
            .map(|item| &item["output"])
    }

    /// The names of the tools that the model may call. A tool in a namespace is `namespace.tool`, except in
    /// the namespace `functions`, which is that of the tools without one; a tool without a name
    /// (`web_search`) goes by its type.
    ///
    /// Classic models get their tools in `tools`, code-mode models in the first item of the input; both are
    /// read.
    #[must_use]
    pub fn tools(&self) -> Vec<String> {
        let additional = self
            .input()
            .iter()
            .filter(|item| item["type"] == "additional_tools");
        let lists =
            std::iter::once(&self.body()["tools"]).chain(additional.map(|item| &item["tools"]));
        let mut names = Vec::new();
        for tool in lists.filter_map(Value::as_array).flatten() {
            let name = tool["name"]
                .as_str()
                .or(tool["type"].as_str())
                .unwrap_or_default();
            match tool["tools"].as_array() {
                Some(inner) => {
                    let inner = inner.iter().filter_map(|tool| tool["name"].as_str());
                    names.extend(inner.map(|tool| match name {
                        "functions" => tool.to_owned(),
                        _ => format!("{name}.{tool}"),
                    }));
                }
                None => names.push(name.to_owned()),
            }
        }
        names
    }

    fn texts_of(&self, role: &str) -> Vec<&str> {
        let messages = self.input().iter().filter(|item| item["role"] == role);
        let contents = messages
            .filter_map(|item| item["content"].as_array())
            .flatten();
        contents
            .filter_map(|content| content["text"].as_str())
            .collect()
    }
}

/// Whether codex said this in the user's name.
fn is_codexs(text: &str) -> bool {
    let text = text.trim();
    let is_element = || {
        let (name, _) = text.strip_prefix('<')?.split_once('>')?;
        text.strip_suffix('>')?
            .strip_suffix(name)?
            .strip_suffix("</")
    };
    is_element().is_some() || text.starts_with("# AGENTS.md instructions")
}

impl fmt::Debug for ModelRequest {
    /// Without the instructions and the tools, which are 40 kB and more in every request.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelRequest")
            .field("model", &self.model())
            .field("thread_id", &self.thread_id())
            .field("items", &self.input().len())
            .finish_non_exhaustive()
    }
}

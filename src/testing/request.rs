//! `ModelRequest`: a request of codex to the scripted model.

use std::{fmt, sync::Arc};

use axum::http::HeaderMap;
use serde_json::Value;

/// A request that codex made to the model: one step of one turn. Cheap to clone.
///
/// The methods read the fields that tests need. [`body`](Self::body) has the rest.
#[derive(Clone)]
pub struct ModelRequest(Arc<Recorded>);

struct Recorded {
    headers: HeaderMap,
    body: Value,
    /// The length of the body in bytes.
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

    /// The value of a header, if it is present and is text. The case of `name` does not matter.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.headers.get(name)?.to_str().ok()
    }

    /// The token of `authorization: Bearer …`. Without a login codex sends none.
    #[must_use]
    pub fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// The requested model, such as `mock-model`.
    #[must_use]
    pub fn model(&self) -> &str {
        self.body()["model"].as_str().unwrap_or_default()
    }

    /// The id of the thread that the request belongs to.
    #[must_use]
    pub fn thread_id(&self) -> Option<&str> {
        self.header("thread-id")
            .or_else(|| self.body()["prompt_cache_key"].as_str())
    }

    /// The id of the turn that the request belongs to.
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

    /// The texts with the role `user`, oldest first.
    ///
    /// Codex itself writes some of them: the first text of a thread is its `<environment_context>`,
    /// which is repeated in the middle of a turn when the date changes, and an interrupted turn
    /// leaves `<turn_aborted>`. [`prompts`](Self::prompts) leaves these out.
    #[must_use]
    pub fn user_texts(&self) -> Vec<&str> {
        self.texts_of("user")
    }

    /// The texts that the user wrote, oldest first: the [`user_texts`](Self::user_texts) without
    /// those that consist of one element, `<name>…</name>`, and without the instructions of an
    /// `AGENTS.md`.
    #[must_use]
    pub fn prompts(&self) -> Vec<&str> {
        let mut texts = self.user_texts();
        texts.retain(|text| !is_codexs(text));
        texts
    }

    /// The texts with the role `developer`, oldest first. Codex's instructions come first.
    #[must_use]
    pub fn developer_texts(&self) -> Vec<&str> {
        self.texts_of("developer")
    }

    /// The output of a tool call: a string if it is exactly one text, else a list of content items.
    ///
    /// `None` if the request has no output for this call.
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

    /// The names of the tools that the model may call.
    ///
    /// A tool in a namespace is `namespace.tool`, except in the default namespace `functions`. A
    /// tool without a name (`web_search`) has the name of its type. Classic models get their tools
    /// in `tools`, code-mode models in the first item of the input; both are read.
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

/// Whether codex wrote this text with the user's role.
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
    /// Omits the instructions and the tools, which are 40 kB and more in every request.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelRequest")
            .field("model", &self.model())
            .field("thread_id", &self.thread_id())
            .field("items", &self.input().len())
            .finish_non_exhaustive()
    }
}

//! Dynamic tools: functions of this program that the model may call.

use std::{collections::BTreeMap, fmt, future::Future, pin::Pin, sync::Arc};

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{CasClient, error::Error};

/// A function that the model may call, with typed arguments.
///
/// Register it with [`Builder::tool`](crate::Builder::tool); threads that are started afterwards advertise it
/// (`dynamicTools` of `thread/start`), and `item/tool/call` runs it, in a task of its own.
///
/// ```
/// use cas_sdk::{Tool, ToolContext, ToolError, ToolOutput};
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Args {
///     /// The city to look at.
///     city: String,
/// }
///
/// struct Weather;
///
/// impl Tool for Weather {
///     const NAME: &'static str = "weather";
///     const DESCRIPTION: &'static str = "Tells the weather of a city.";
///     type Args = Args;
///
///     async fn call(&self, args: Args, _cx: ToolContext) -> Result<ToolOutput, ToolError> {
///         Ok(format!("It is sunny in {}.", args.city).into())
///     }
/// }
/// ```
pub trait Tool: Send + Sync + 'static {
    /// What the model calls it: letters, digits, `_` and `-`, at most 128.
    const NAME: &'static str;
    /// What the model is told about it.
    const DESCRIPTION: &'static str;
    /// A namespace to put the tool in, at most 64 characters; none by default.
    const NAMESPACE: Option<&'static str> = None;
    /// Whether the model has to search for the tool before it sees it; only within a namespace.
    const DEFER_LOADING: bool = false;
    /// The arguments. Their JSON schema, with the doc comments as descriptions, is what the model sees.
    type Args: DeserializeOwned + JsonSchema + Send;

    /// Runs the tool. Dropped midway if the call is withdrawn: its turn ended or was interrupted.
    ///
    /// # Errors
    /// Whatever goes wrong is told to the model as text, and the turn goes on.
    fn call(
        &self,
        args: Self::Args,
        cx: ToolContext,
    ) -> impl Future<Output = Result<ToolOutput, ToolError>> + Send;
}

/// Where a tool call comes from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ToolContext {
    /// The thread of the call.
    pub thread_id: String,
    /// The turn of the call.
    pub turn_id: String,
    /// The call itself; the id of its item.
    pub call_id: String,
    /// The client, for calls of its own. It does not keep the connection alive.
    pub client: CasClient,
}

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
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ToolError").field(&self.0).finish()
    }
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

type Running<'a> = Pin<Box<dyn Future<Output = ToolOutput> + Send + 'a>>;

/// The object-safe twin of [`Tool`].
trait DynTool: Send + Sync {
    fn call<'a>(&'a self, args: &str, cx: ToolContext) -> Running<'a>;
}

impl<T: Tool> DynTool for T {
    fn call<'a>(&'a self, args: &str, cx: ToolContext) -> Running<'a> {
        match serde_json::from_str(args) {
            Ok(args) => Box::pin(async move {
                match Tool::call(self, args, cx).await {
                    Ok(output) => output,
                    Err(error) => ToolOutput::from(error.0).failed(),
                }
            }),
            Err(error) => {
                // The server does not check arguments against the schema, so the model learns it from here.
                let text = format!("invalid arguments for {}: {error}", T::NAME);
                Box::pin(async move { ToolOutput::from(text).failed() })
            }
        }
    }
}

/// What is said of a tool on `thread/start`, and what runs it.
#[derive(Clone)]
struct Entry {
    description: String,
    schema: Value,
    defer: bool,
    run: Arc<dyn DynTool>,
}

/// The tools of a client or a thread, by namespace and name.
#[derive(Clone, Default)]
pub(crate) struct Tools {
    entries: BTreeMap<(Option<String>, String), Entry>,
    /// The first thing that is wrong; told before anything is started.
    invalid: Option<String>,
}

impl Tools {
    pub(crate) fn add<T: Tool>(&mut self, tool: T) {
        let schema = SchemaSettings::draft07()
            .with(|s| {
                s.meta_schema = None;
                s.inline_subschemas = true;
            })
            .into_generator();
        let key = (T::NAMESPACE.map(str::to_owned), T::NAME.to_owned());
        let entry = Entry {
            description: T::DESCRIPTION.to_owned(),
            schema: args_schema::<T::Args>(schema),
            defer: T::DEFER_LOADING,
            run: Arc::new(tool),
        };
        let problem = check_name("tool", &key.1, 128)
            .or_else(|| check_name("tool namespace", key.0.as_deref()?, 64))
            .or_else(|| {
                (entry.defer && key.0.is_none())
                    .then(|| format!("tool {}: deferred loading needs a namespace", key.1))
            })
            .or_else(|| {
                self.entries
                    .contains_key(&key)
                    .then(|| format!("tool {} is registered twice", key.1))
            });
        self.invalid = self.invalid.take().or(problem);
        self.entries.insert(key, entry);
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        match &self.invalid {
            Some(problem) => Err(Error::Invalid(problem.clone())),
            None => Ok(()),
        }
    }

    /// The value of `dynamicTools`; `None` if there is nothing to advertise.
    pub(crate) fn specs(&self) -> Option<Value> {
        let mut specs = Vec::new();
        let mut namespaces: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for ((namespace, name), entry) in &self.entries {
            let mut spec = json!({
                "type": "function",
                "name": name,
                "description": entry.description,
                "inputSchema": entry.schema,
            });
            if entry.defer {
                spec["deferLoading"] = true.into();
            }
            match namespace {
                Some(namespace) => namespaces.entry(namespace).or_default().push(spec),
                None => specs.push(spec),
            }
        }
        for (name, tools) in namespaces {
            let names: Vec<_> = tools.iter().filter_map(|t| t["name"].as_str()).collect();
            let description = format!("Tools: {}", names.join(", "));
            specs.push(json!({"type": "namespace", "name": name, "description": description, "tools": tools}));
        }
        (!specs.is_empty()).then_some(Value::Array(specs))
    }

    /// Runs a tool to its end. An unknown one is an answer too: the model can choose another.
    pub(crate) async fn call(
        &self,
        namespace: Option<&str>,
        name: &str,
        args: &str,
        cx: ToolContext,
    ) -> ToolOutput {
        let key = (namespace.map(str::to_owned), name.to_owned());
        match self.entries.get(&key) {
            Some(entry) => entry.run.call(args, cx).await,
            None => ToolOutput::from(format!("there is no tool {name}")).failed(),
        }
    }
}

fn args_schema<A: JsonSchema>(generator: SchemaGenerator) -> Value {
    let mut schema = generator.into_root_schema_for::<A>().to_value();
    if let Some(object) = schema.as_object_mut() {
        object.remove("title"); // The name of a Rust type says nothing to a model.
        object.entry("type").or_insert_with(|| "object".into());
        object.entry("properties").or_insert_with(|| json!({}));
    }
    schema
}

/// The server's rules, so that a mistake is told before anything is started.
fn check_name(what: &str, name: &str, max: usize) -> Option<String> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || name.len() > max || !name.chars().all(good) {
        return Some(format!(
            "{what} name {name:?} must be 1 to {max} letters, digits, `_` or `-`"
        ));
    }
    name.starts_with("mcp__")
        .then(|| format!("{what} name {name:?} is reserved: it begins with `mcp__`"))
}

impl fmt::Debug for Tools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.entries.keys()).finish()
    }
}

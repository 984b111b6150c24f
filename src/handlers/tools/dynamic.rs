//! `DynamicTool`: a registered tool, whatever it was made from.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::{sync::Semaphore, time::timeout};

use super::{
    context::ToolContext,
    output::{IntoToolOutput, ToolError, ToolOutput},
    schema::ArgsSchema,
    tool::Tool,
};
use crate::{error::rounded::Rounded, handlers::user_code::UserCode};

/// Runs a tool with arguments as JSON text.
type Run = UserCode<dyn Fn(&str, ToolContext) -> BoxFuture<'static, ToolOutput> + Send + Sync>;

/// A registered tool: a [`Tool`] or a closure, with limits.
///
/// ```no_run
/// use std::time::Duration;
/// use cas_sdk::{CasClient, ToolContext, tools::DynamicTool};
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Query { text: String }
///
/// let search = DynamicTool::new("search", "Searches the wiki.", |query: Query, _cx: ToolContext| async move {
///     Ok(format!("nothing about {}", query.text))
/// });
/// let builder = CasClient::builder().tool(search.namespace("wiki").time_limit(Duration::from_secs(20)).max_concurrent(4));
/// ```
#[derive(Clone)]
#[must_use = "a tool does nothing until it is registered"]
pub struct DynamicTool {
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) schema: Value,
    pub(super) defer: bool,
    limit: Option<Duration>,
    permits: Option<Arc<Semaphore>>,
    run: Run,
}

impl DynamicTool {
    /// Makes a tool from a closure. The arguments are decoded from what the model writes; the model
    /// sees their JSON schema. The arguments are a struct with named fields, or `()` for a tool
    /// that takes none. The output is a text, a [`Json`](crate::tools::Json) value, a
    /// [`ToolOutput`], or `()`.
    pub fn new<A, O, F, R>(name: impl Into<String>, description: impl Into<String>, run: F) -> Self
    where
        A: DeserializeOwned + JsonSchema + Send + 'static,
        O: IntoToolOutput + 'static,
        F: Fn(A, ToolContext) -> R + Send + Sync + 'static,
        R: Future<Output = Result<O, ToolError>> + Send + 'static,
    {
        let name = name.into();
        let ArgsSchema { schema, is_unit } = ArgsSchema::of::<A>();
        let run = erase(&name, is_unit, move |args, cx| Box::pin(run(args, cx)));
        Self {
            namespace: None,
            name,
            description: description.into(),
            schema,
            defer: false,
            limit: None,
            permits: None,
            run,
        }
    }

    /// Puts the tool in a namespace, at most 64 characters.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Hides the tool until the model searches for it; only within a namespace.
    pub fn defer_loading(mut self) -> Self {
        self.defer = true;
        self
    }

    /// Sets a JSON schema for the arguments, instead of the schema of their type: for a closure
    /// that takes a [`Value`](serde_json::Value). A schema that the server would refuse makes
    /// [`spawn`](crate::Builder::spawn) return [`Error::Invalid`](crate::Error::Invalid).
    pub fn input_schema(mut self, schema: Value) -> Self {
        self.schema = schema;
        self
    }

    /// Limits how long a call may run. A call that takes longer is dropped, and the model gets an
    /// error. Default: no limit.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Limits the calls that run at the same time. Further calls wait; the wait does not count
    /// towards the time limit. Default: no limit but that of the connection, 256.
    pub fn max_concurrent(mut self, calls: usize) -> Self {
        self.permits = Some(Arc::new(Semaphore::new(
            calls.clamp(1, Semaphore::MAX_PERMITS),
        )));
        self
    }

    /// Runs a call to its end. Every failure becomes an output for the model.
    pub(super) async fn call(&self, args: &str, cx: ToolContext) -> ToolOutput {
        let _permit = match &self.permits {
            // The semaphore is never closed.
            Some(calls) => calls.acquire().await.ok(),
            None => None,
        };
        let run = self.run.run(|run| run(args, cx));
        match self.limit {
            None => run.await,
            Some(limit) => timeout(limit, run).await.unwrap_or_else(|_| {
                let text = format!(
                    "the tool {} was stopped: it took longer than {}",
                    self.name,
                    Rounded(limit)
                );
                ToolOutput::from(text).failed()
            }),
        }
    }
}

impl<T: Tool> From<T> for DynamicTool {
    fn from(tool: T) -> Self {
        let tool = Arc::new(tool);
        let ArgsSchema { schema, is_unit } = ArgsSchema::of::<T::Args>();
        let run = erase(T::NAME, is_unit, move |args, cx| {
            let tool = tool.clone();
            Box::pin(async move { tool.call(args, cx).await })
        });
        Self {
            namespace: T::NAMESPACE.map(str::to_owned),
            name: T::NAME.to_owned(),
            description: T::DESCRIPTION.to_owned(),
            schema,
            defer: T::DEFER_LOADING,
            limit: None,
            permits: None,
            run,
        }
    }
}

impl fmt::Debug for DynamicTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamicTool")
            .field("namespace", &self.namespace)
            .field("name", &self.name)
            .field("time_limit", &self.limit)
            .finish_non_exhaustive()
    }
}

fn erase<A: DeserializeOwned, O: IntoToolOutput + 'static>(
    name: &str,
    is_unit: bool,
    run: impl Fn(A, ToolContext) -> BoxFuture<'static, Result<O, ToolError>> + Send + Sync + 'static,
) -> Run {
    let name = name.to_owned();
    UserCode::new(Arc::new(move |args, cx| {
        match serde_json::from_str(if is_unit { "null" } else { args }) {
            Ok(args) => {
                let run = run(args, cx);
                Box::pin(async move {
                    run.await
                        .and_then(O::into_tool_output)
                        .unwrap_or_else(|error| ToolOutput::from(error.to_string()).failed())
                })
            }
            Err(error) => {
                // The server does not check arguments against the schema, so this text is how the
                // model learns the schema.
                let text = format!("invalid arguments for {name}: {error}");
                Box::pin(async move { ToolOutput::from(text).failed() })
            }
        }
    }))
}

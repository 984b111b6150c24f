//! Dynamic tools: functions of this program that the model may call.

mod dynamic;
mod output;
mod registry;
mod schema;
mod stored;

use std::future::Future;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::CasClient;

pub use dynamic::DynamicTool;
pub use output::{ToolError, ToolOutput};
pub(crate) use registry::Tools;
pub(crate) use stored::differences;

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
    /// The arguments: a struct with named fields, or `()` for a tool that takes none. Their JSON schema, with the doc
    /// comments as descriptions, is what the model sees.
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

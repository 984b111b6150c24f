//! `Tool`: a function that the model may call.

use std::{future::Future, sync::Arc};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::{
    context::ToolContext,
    output::{IntoToolOutput, ToolError},
};

/// A function that the model may call, with typed arguments.
///
/// Register a tool with [`Builder::tool`](crate::Builder::tool). Threads that are started
/// afterwards advertise it (`dynamicTools` of `thread/start`), and `item/tool/call` runs it, in a
/// task of its own.
///
/// ```
/// use cas_sdk::{Tool, ToolContext, ToolError};
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
///     type Output = String;
///
///     async fn call(&self, args: Args, _cx: ToolContext) -> Result<String, ToolError> {
///         Ok(format!("It is sunny in {}.", args.city))
///     }
/// }
/// ```
pub trait Tool: Send + Sync + 'static {
    /// The name that the model calls the tool by: letters, digits, `_` and `-`, at most 128.
    const NAME: &'static str;
    /// The description that the model sees.
    const DESCRIPTION: &'static str;
    /// The namespace of the tool, at most 64 characters; none by default.
    const NAMESPACE: Option<&'static str> = None;
    /// Whether the model has to search for the tool before it sees the tool; only within a
    /// namespace.
    const DEFER_LOADING: bool = false;
    /// The arguments: a struct with named fields, or `()` for a tool that takes none. The model
    /// sees their JSON schema, with the doc comments as descriptions.
    type Args: DeserializeOwned + JsonSchema + Send;
    /// The output: a text, a [`Json`](crate::tools::Json) value, a
    /// [`ToolOutput`](crate::tools::ToolOutput), or `()`.
    type Output: IntoToolOutput + 'static;

    /// Runs the tool. The future is dropped midway if the call is withdrawn because its turn ended
    /// or was interrupted.
    ///
    /// # Errors
    /// The model gets every error as text, and the turn goes on.
    fn call(
        &self,
        args: Self::Args,
        cx: ToolContext,
    ) -> impl Future<Output = Result<Self::Output, ToolError>> + Send;
}

impl<T: Tool> Tool for Arc<T> {
    const NAME: &'static str = T::NAME;
    const DESCRIPTION: &'static str = T::DESCRIPTION;
    const NAMESPACE: Option<&'static str> = T::NAMESPACE;
    const DEFER_LOADING: bool = T::DEFER_LOADING;
    type Args = T::Args;
    type Output = T::Output;

    fn call(
        &self,
        args: Self::Args,
        cx: ToolContext,
    ) -> impl Future<Output = Result<Self::Output, ToolError>> + Send {
        T::call(self, args, cx)
    }
}

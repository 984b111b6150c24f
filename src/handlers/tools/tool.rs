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
/// Register it with [`Builder::tool`](crate::Builder::tool); threads that are started afterwards advertise it
/// (`dynamicTools` of `thread/start`), and `item/tool/call` runs it, in a task of its own.
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
    /// The name that the model calls it by: letters, digits, `_` and `-`, at most 128.
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
    /// What the tool gives back: a text, a [`Json`](crate::tools::Json) value, a [`ToolOutput`](crate::tools::ToolOutput), or `()`.
    type Output: IntoToolOutput + 'static;

    /// Runs the tool. Dropped midway if the call is withdrawn: its turn ended or was interrupted.
    ///
    /// # Errors
    /// Whatever goes wrong is told to the model as text, and the turn goes on.
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

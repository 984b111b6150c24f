//! Dynamic tools: functions of this program that the model may call.

mod context;
mod dynamic;
mod output;
mod schema;
mod set;
mod stored;
mod tool;

pub use context::ToolContext;
pub use dynamic::DynamicTool;
pub use output::{IntoToolOutput, Json, ToolError, ToolOutput};
pub(crate) use set::Tools;
pub(crate) use stored::differences;
pub use tool::Tool;

//! Threads: opening them, and working with them.

mod handle;
pub(crate) mod history;
mod input;
mod mcp;
mod open;
mod overrides;
pub(crate) mod resume;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod stored_turns;
pub(crate) mod terminals;

pub use handle::{OpenedBy, Thread};
pub use history::ThreadHistory;
pub use input::Input;
pub use resume::{GoalOnResume, Resume};
pub use stop::{StopFailure, StopReport};
pub use terminals::Terminal;

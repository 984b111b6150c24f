//! Threads: how they are opened, and what is done with one.

mod handle;
mod input;
mod open;
mod resume;

pub use handle::{OpenedBy, Thread};
pub use input::Input;
pub use resume::Resume;

//! The owner of a thread.

use std::{any::Any, sync::Arc};

/// The handlers of a thread or of a client's handle. Only the `handlers` module, which is above
/// this one, knows their type.
pub(crate) type HandlerSet = Arc<dyn Any + Send + Sync>;

/// The owner of a known thread, until `thread/closed`.
pub(super) struct Owner {
    /// The thread's own handlers, if they are not the client's.
    pub(super) handlers: Option<HandlerSet>,
    /// Whether the thread was opened through this client, and not spawned.
    pub(super) opened: bool,
    /// Whether the thread was started or forked through this client, or spawned by such a thread.
    pub(super) started: bool,
}

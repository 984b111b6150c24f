//! The client: how it is made, the task that owns its connection, and the requests made through it.

pub(crate) mod backoff;
pub(crate) mod builder;
pub(crate) mod connection_task;
pub(crate) mod handle;
pub(crate) mod pager;
pub(crate) mod pages;
pub(crate) mod request;
pub(crate) mod retry;
pub(crate) mod time;
pub(crate) mod tracker;

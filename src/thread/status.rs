//! Whether a thread is active, according to the server.

use super::handle::Thread;
use crate::{
    error::{Error, RpcErrorKind},
    protocol::{ThreadReadParams, ThreadStatus},
};

pub(crate) async fn is_active(thread: &Thread) -> Result<bool, Error> {
    let params = ThreadReadParams::new(thread.id());
    match thread.client().request(params).urgent().await {
        Ok(read) => Ok(matches!(read.thread.status, ThreadStatus::Active(_))),
        Err(error) if error.rpc_kind() == Some(RpcErrorKind::ThreadMissing) => Ok(false),
        Err(error) => Err(error),
    }
}

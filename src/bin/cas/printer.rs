//! Standard output for a command that waits for other things too: a slow reader holds up nothing
//! else.

use std::io;

use cas_sdk::terminal::escape_json;
use serde::Serialize;
use tokio::io::AsyncWriteExt as _;

use crate::{
    output::{Failure, Result},
    stdio::{self, Stdout},
};

/// Standard output.
///
/// A write that is cancelled leaves nothing half written: the rest is written before the next text.
pub(crate) struct Printer {
    to: Stdout,
    pending: Vec<u8>,
}

impl Printer {
    /// # Errors
    /// If it is closed.
    pub(crate) fn stdout() -> Result<Self> {
        let to = stdio::stdout().map_err(Failure::Output)?;
        Ok(Self {
            to,
            pending: Vec::new(),
        })
    }

    /// A line of JSON.
    pub(crate) async fn json(&mut self, value: &impl Serialize) -> Result {
        let line = serde_json::to_string(value)?;
        self.verbatim(&format!("{}\n", escape_json(&line))).await
    }

    /// Text that was made safe already.
    pub(crate) async fn verbatim(&mut self, text: &str) -> Result {
        self.pending.extend_from_slice(text.as_bytes());
        while !self.pending.is_empty() {
            let wrote = self
                .to
                .write(&self.pending)
                .await
                .map_err(Failure::Output)?;
            if wrote == 0 {
                return Err(Failure::Output(io::ErrorKind::WriteZero.into()));
            }
            self.pending.drain(..wrote);
        }
        self.to.flush().await.map_err(Failure::Output)
    }
}

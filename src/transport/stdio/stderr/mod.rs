//! The child's stderr: always drained, traced line by line, with its tail kept.

mod ansi;

use std::collections::VecDeque;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tracing::{Level, level_filters::LevelFilter};

use self::ansi::Stripper;
use crate::rpc::{Aside, Lock};

/// The last part of what the child wrote to stderr.
#[derive(Debug, Default)]
pub(crate) struct Tail(Lock<VecDeque<u8>>);

impl Tail {
    /// How many bytes are kept.
    const KEEP: usize = 64 * 1024;

    /// The most bytes of a line in one trace.
    const LINE: usize = 4 * 1024;

    /// Drains stderr until its end, whatever bytes it holds, and traces it line by line, without
    /// escape sequences. Waits for no subscriber, because a server whose stderr is full blocks.
    pub(crate) async fn drain<R: AsyncRead + Unpin>(&self, mut stderr: R, aside: &Aside) {
        let mut buf = vec![0; 8 * 1024];
        let mut line = Vec::new();
        let mut escapes = Stripper::default();
        let mut text = Vec::new();
        while let Ok(n @ 1..) = stderr.read(&mut buf).await {
            text.clear();
            text.extend_from_slice(&buf[..n]);
            escapes.strip(&mut text);
            self.push(&text);
            if Level::DEBUG <= LevelFilter::current() {
                for part in text.split_inclusive(|b| *b == b'\n') {
                    line.extend_from_slice(part);
                    if part.ends_with(b"\n") || line.len() > Self::LINE {
                        let line = std::mem::take(&mut line);
                        aside.trace(Level::DEBUG, move || {
                            tracing::debug!(target: "cas_sdk::stderr", "{}", String::from_utf8_lossy(&line).trim_end());
                        });
                    }
                }
            }
        }
    }

    /// Appends text, as if the child had written it.
    pub(super) fn push(&self, bytes: &[u8]) {
        let mut tail = self.0.lock();
        tail.extend(&bytes[bytes.len().saturating_sub(Self::KEEP)..]);
        let excess = tail.len().saturating_sub(Self::KEEP);
        tail.drain(..excess);
    }

    /// The kept text.
    pub(crate) fn text(&self) -> String {
        let tail = self.0.lock();
        let (a, b) = tail.as_slices();
        String::from_utf8_lossy(&[a, b].concat()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_tail_has_no_colours() {
        let tail = Tail::default();
        let coloured = b"\x1b[2m2026\x1b[0m \x1b[31mERROR\x1b[0m no config\n";
        tail.drain(&coloured[..], &Aside::new()).await;
        assert_eq!(tail.text(), "2026 ERROR no config\n");
    }

    #[tokio::test]
    async fn the_tail_keeps_the_end_of_a_long_stderr_without_newlines() {
        let tail = Tail::default();
        let text = [b"x".repeat(200_000).as_slice(), b"\xff the end"].concat();
        tail.drain(&text[..], &Aside::new()).await;
        assert_eq!(tail.text().len(), Tail::KEEP + "\u{fffd}".len() - 1);
        assert!(tail.text().ends_with("\u{fffd} the end"));
    }
}

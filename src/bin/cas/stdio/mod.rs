//! Standard input and output, and the terminal, for one task.

#[cfg(unix)]
pub(crate) mod mode;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::io;

use tokio::io::AsyncReadExt as _;

#[cfg(unix)]
use unix as platform;
#[cfg(windows)]
use windows as platform;

pub(crate) use platform::{Stdout, Terminal, stdin, stdout, terminal};

/// Sets the terminal to what it was before it was made to hand out keys.
pub(crate) fn give_back_terminal() {
    #[cfg(unix)]
    mode::give_back();
}

/// The lines that are typed on the terminal.
pub(crate) struct Typed {
    terminal: Terminal,
    line: Vec<u8>,
}

impl Typed {
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self {
            terminal: terminal()?,
            line: Vec::new(),
        })
    }

    /// Discards what was typed so far, entered or not: it was not meant for the next question.
    pub(crate) async fn discard(&mut self) {
        self.terminal.discard_input().await;
        self.line.clear();
    }

    /// The next line; `None` at the end. Cancel safe.
    pub(crate) async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.line.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            match self.terminal.read_buf(&mut self.line).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}

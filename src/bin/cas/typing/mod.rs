//! What a person types while other things are shown: a key at a time where the terminal can do
//! that, so that the line stays whole below all that is written; else a line at a time.

#![cfg_attr(
    not(unix),
    allow(dead_code, reason = "there a line at a time is typed")
)]

pub(crate) mod bottom;
pub(crate) mod keys;
pub(crate) mod line;

use std::io;

#[cfg(unix)]
use tokio::io::AsyncReadExt as _;

use self::keys::Key;
use crate::stdio::Typed;

/// Where it comes from.
pub(crate) enum Input {
    Nobody,
    /// The terminal shows what is typed, and hands it out as lines.
    Lines(Typed),
    #[cfg(unix)]
    Keys(Box<Keys>),
}

/// What was typed.
pub(crate) enum Entry {
    Line(String),
    /// A key, and whether the next one is already available.
    Key(Key, bool),
    End,
}

impl Input {
    /// What is typed on the terminal.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn open() -> io::Result<Self> {
        #[cfg(unix)]
        if !crate::screen::is_dumb() {
            return Ok(Self::Keys(Box::new(Keys::open()?)));
        }
        Ok(Self::Lines(Typed::open()?))
    }

    pub(crate) fn has_keys(&self) -> bool {
        !matches!(self, Self::Nobody | Self::Lines(_))
    }

    /// Discards what was typed so far, if it is handed out as lines.
    pub(crate) async fn discard_lines(&mut self) {
        if let Self::Lines(typed) = self {
            typed.discard().await;
        }
    }

    /// What is typed next. Cancel safe.
    pub(crate) async fn next(&mut self) -> Entry {
        match self {
            Self::Nobody => std::future::pending().await,
            Self::Lines(typed) => typed.line().await.map_or(Entry::End, Entry::Line),
            #[cfg(unix)]
            Self::Keys(keys) => keys.next().await,
        }
    }
}

/// The keys of a terminal.
#[cfg(unix)]
pub(crate) struct Keys {
    terminal: crate::stdio::Terminal,
    decoder: keys::Decoder,
    resized: tokio::signal::unix::Signal,
    suspended: tokio::signal::unix::Signal,
    _mode: crate::stdio::mode::KeyMode,
}

#[cfg(unix)]
impl Keys {
    fn open() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let suspend = rustix::process::Signal::TSTP.as_raw();
        Ok(Self {
            terminal: crate::stdio::terminal()?,
            decoder: keys::Decoder::default(),
            resized: signal(SignalKind::window_change())?,
            suspended: signal(SignalKind::from_raw(suspend))?,
            _mode: crate::stdio::mode::KeyMode::new()?,
        })
    }

    async fn next(&mut self) -> Entry {
        let mut bytes = [0; 1024];
        loop {
            if let Some(key) = self.decoder.next() {
                return Entry::Key(key, self.decoder.has_more());
            }
            tokio::select! {
                biased;
                _ = self.resized.recv() => return Entry::Key(Key::Redraw, false),
                _ = self.suspended.recv() => return Entry::Key(Key::Suspend, false),
                // Cancel safe: what was read is fed at once.
                read = self.terminal.read(&mut bytes) => match read {
                    Ok(0) | Err(_) => return Entry::End,
                    Ok(n) => self.decoder.feed(&bytes[..n]),
                },
            }
        }
    }
}

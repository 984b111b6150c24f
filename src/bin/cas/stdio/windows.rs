//! Standard input and output on Windows, where reading and writing them is left to threads: neither
//! a pipe that somebody else has made nor a console can be waited for.
//!
//! A console takes and gives UTF-8, whatever its code page is: the standard library converts.

use std::{
    io::{self, IsTerminal as _},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    time::timeout,
};

/// After this long without input, everything typed earlier has been discarded.
const SILENCE: Duration = Duration::from_millis(50);

/// Standard input.
#[expect(clippy::unnecessary_wraps, reason = "as on Unix")]
pub(crate) fn stdin() -> io::Result<Stdin> {
    Ok(Stdin(tokio::io::stdin()))
}

/// Standard output.
#[expect(clippy::unnecessary_wraps, reason = "as on Unix")]
pub(crate) fn stdout() -> io::Result<Stdout> {
    Ok(Stdout {
        to: tokio::io::stdout(),
        flushing: false,
    })
}

/// The terminal that the user types on: standard input if it is one.
///
/// # Errors
/// If it is none.
pub(crate) fn terminal() -> io::Result<Stdin> {
    if io::stdin().is_terminal() {
        return stdin();
    }
    let text = "standard input is no terminal";
    Err(io::Error::new(io::ErrorKind::Unsupported, text))
}

pub(crate) type Terminal = Stdin;

pub(crate) struct Stdin(tokio::io::Stdin);

/// NB. A write goes to a thread and counts as done at once, so it is flushed before the next one
/// and before the end: what waits stays countable, and an error is told to whoever writes next.
pub(crate) struct Stdout {
    to: tokio::io::Stdout,
    flushing: bool,
}

impl Stdout {
    /// That the other side has closed its end shows only when something is written.
    pub(crate) fn watch_closed(&self) -> io::Result<impl Future<Output = bool> + use<>> {
        Ok(std::future::ready(false))
    }
}

impl Stdin {
    /// Discards what was typed and not read. Only its silence shows that a console has no more
    /// input.
    pub(crate) async fn discard_input(&mut self) {
        let mut bytes = [0; 1024];
        while let Ok(Ok(1..)) = timeout(SILENCE, self.read(&mut bytes)).await {}
    }
}

impl AsyncRead for Stdin {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stdout {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.flushing {
            std::task::ready!(self.as_mut().poll_flush(cx))?;
        }
        let wrote = Pin::new(&mut self.to).poll_write(cx, bytes);
        self.flushing = wrote.is_ready();
        wrote
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.to).poll_flush(cx);
        self.flushing &= flushed.is_pending();
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

//! WebSocket frames between a client and a server in memory, so that the same tests run over both
//! transports.

use std::{
    env, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    Builder, CasClient, Error,
    rpc::Lock,
    transport::websocket::{Reader, Side, Writer, pair},
};

/// Connects as [`Builder::connect`] does. With `CAS_TEST_TRANSPORT=websocket` in the environment,
/// every line passes through WebSocket frames, as over a socket. [`FakeServer`](super::FakeServer)
/// uses this function too.
///
/// Requires the feature `ws`. Nothing runs in the background, so tests with paused time work over
/// both.
///
/// # Errors
/// Same errors as [`Builder::connect`].
///
/// # Panics
/// If the variable has another value than `stdio` or `websocket`.
pub async fn connect(
    builder: Builder,
    output_of_server: impl AsyncRead + Unpin + Send + 'static,
    input_of_server: impl AsyncWrite + Unpin + Send + 'static,
) -> Result<CasClient, Error> {
    match env::var("CAS_TEST_TRANSPORT").as_deref() {
        Err(_) | Ok("stdio") => {
            let connect = builder.connect(output_of_server, input_of_server);
            Box::pin(connect).await
        }
        Ok("websocket") => {
            let (reader, writer) = framed(output_of_server, input_of_server);
            Box::pin(builder.connect(reader, writer)).await
        }
        Ok(other) => panic!("CAS_TEST_TRANSPORT is {other}; set it to stdio or websocket"),
    }
}

/// The client's halves of a connection whose server reads and writes plain lines.
fn framed(
    output: impl AsyncRead + Unpin + Send + 'static,
    input: impl AsyncWrite + Unpin + Send + 'static,
) -> (Reader, Writer) {
    const SELDOM: Duration = Duration::from_secs(3600 * 24 * 365);
    let (sent, heard) = (Pipe::default(), Pipe::default());
    let (reader, writer) = pair(
        Side::Server,
        heard.clone(),
        sent.clone(),
        BytesMut::new(),
        SELDOM,
    );
    let frames = Frames {
        lines: output,
        writer,
        sent,
    };
    let lines = Lines {
        input,
        reader,
        heard,
        unwritten: BytesMut::new(),
    };
    let every = Duration::from_secs(20);
    pair(Side::Client, frames, lines, BytesMut::new(), every)
}

/// Bytes in transit. One of the halves below uses each end, so no waker is needed.
#[derive(Clone, Default)]
struct Pipe(Arc<Lock<BytesMut>>);

impl Pipe {
    fn with<T>(&self, f: impl FnOnce(&mut BytesMut) -> T) -> T {
        f(&mut self.0.lock())
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.with(|bytes| {
            if bytes.is_empty() {
                return Poll::Pending;
            }
            let n = bytes.len().min(out.remaining());
            out.put_slice(&bytes.split_to(n));
            Poll::Ready(Ok(()))
        })
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with(|all| all.extend_from_slice(bytes));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The end that the client reads: the server's lines, framed.
struct Frames<R> {
    lines: R,
    writer: Writer,
    sent: Pipe,
}

impl<R: AsyncRead + Unpin> AsyncRead for Frames<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            ready!(Pin::new(&mut this.writer).poll_flush(cx))?; // Includes pongs.
            if Pin::new(&mut this.sent).poll_read(cx, out)?.is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut chunk = vec![0; 64 * 1024];
            let mut chunk = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.lines).poll_read(cx, &mut chunk))?;
            let mut lines = chunk.filled();
            if lines.is_empty() {
                return Poll::Ready(Ok(()));
            }
            while !lines.is_empty() {
                let n = ready!(Pin::new(&mut this.writer).poll_write(cx, lines))?;
                lines = &lines[n..];
            }
        }
    }
}

/// The end that the client writes: the server gets the lines in the frames.
struct Lines<W> {
    input: W,
    reader: Reader,
    heard: Pipe,
    /// Lines that the server has no room for.
    unwritten: BytesMut,
}

impl<W: AsyncWrite + Unpin> Lines<W> {
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while !self.unwritten.is_empty() {
                let n = ready!(Pin::new(&mut self.input).poll_write(cx, &self.unwritten))?;
                if n == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.unwritten.advance(n);
            }
            let mut chunk = vec![0; 64 * 1024];
            let mut chunk = ReadBuf::new(&mut chunk);
            match Pin::new(&mut self.reader).poll_read(cx, &mut chunk)? {
                Poll::Ready(()) if !chunk.filled().is_empty() => {
                    self.unwritten.extend_from_slice(chunk.filled());
                }
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Lines<W> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        this.heard.with(|all| all.extend_from_slice(bytes));
        match this.poll_drain(cx) {
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            _ => Poll::Ready(Ok(bytes.len())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.input).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.input).poll_shutdown(cx)
    }
}

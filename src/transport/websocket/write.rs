//! Lines in, frames out.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BufMut as _, BytesMut};
use memchr::memchr;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::io::AsyncWrite;
use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

use super::{Side, shared::Shared};

/// The longest frame that is written. The server accepts 16 MiB in one frame.
const FRAGMENT: usize = 4 * 1024 * 1024;
/// How many bytes are packed before they are written.
const PACKED: usize = 256 * 1024;
/// A buffer that a long message has grown beyond this size is freed.
const KEEP: usize = 4 * PACKED;

/// The writing half. Dropping it ends the reading half, unless it is dropped because the connection
/// is broken: what the server said before can then still be read.
pub(crate) struct Writer {
    io: Box<dyn AsyncWrite + Send + Unpin>,
    /// Whole frames. The beginning of the first frame may already be written.
    out: BytesMut,
    /// Whether a message has begun and has not ended.
    in_message: bool,
    masks: Option<Masks>,
    shared: Arc<Shared>,
    broken: bool,
}

impl Writer {
    pub(super) fn new(
        side: Side,
        io: Box<dyn AsyncWrite + Send + Unpin>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            io,
            out: BytesMut::new(),
            in_message: false,
            masks: (side == Side::Client).then(Masks::new),
            shared,
            broken: false,
        }
    }

    /// Packs the next message or a part of it. Returns how many bytes of `lines` were packed.
    fn pack(&mut self, lines: &[u8]) -> io::Result<usize> {
        let kind = if self.in_message {
            Data::Continue
        } else {
            Data::Text
        };
        let reach = lines.len().min(FRAGMENT + 1);
        match memchr(b'\n', &lines[..reach]) {
            Some(0) if !self.in_message => Ok(1),
            Some(end) => {
                self.in_message = false;
                self.frame(OpCode::Data(kind), true, &lines[..end])?;
                Ok(end + 1)
            }
            None => {
                let end = reach.min(FRAGMENT);
                self.in_message = true;
                self.frame(OpCode::Data(kind), false, &lines[..end])?;
                Ok(end)
            }
        }
    }

    fn frame(&mut self, opcode: OpCode, is_final: bool, payload: &[u8]) -> io::Result<()> {
        let mask = self.masks.as_mut().map(Masks::next).transpose()?;
        let header = FrameHeader {
            is_final,
            opcode,
            mask,
            ..FrameHeader::default()
        };
        header
            .format(payload.len() as u64, &mut (&mut self.out).writer())
            .map_err(|e| io::Error::other(e.to_string()))?;
        let begin = self.out.len();
        self.out.extend_from_slice(payload);
        if let Some(mask) = mask {
            apply(mask, &mut self.out[begin..]);
        }
        Ok(())
    }

    /// Writes until no more than `rest` bytes are left.
    fn poll_drain(&mut self, cx: &mut Context<'_>, rest: usize) -> Poll<io::Result<()>> {
        while self.out.len() > rest {
            let written = match ready!(Pin::new(&mut self.io).poll_write(cx, &self.out)) {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                other => other,
            };
            match written {
                Ok(n) => self.out.advance(n),
                Err(e) => {
                    self.broken = true;
                    return Poll::Ready(Err(e));
                }
            }
        }
        if self.out.is_empty() && self.out.capacity() > KEEP {
            self.out = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        lines: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx, PACKED))?;
        let mut packed = 0;
        while packed < lines.len() && this.out.len() <= PACKED {
            packed += this.pack(&lines[packed..])?;
        }
        Poll::Ready(Ok(packed))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let control = this.shared.take_control(cx);
        if let Some(payload) = control.pong {
            this.frame(OpCode::Control(Control::Pong), true, &payload)?;
        }
        if control.ping {
            this.frame(OpCode::Control(Control::Ping), true, &[])?;
        }
        ready!(this.poll_drain(cx, 0))?;
        let flushed = ready!(Pin::new(&mut this.io).poll_flush(cx));
        this.broken |= flushed.is_err();
        Poll::Ready(flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx, 0))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.broken {
            self.shared.close();
        }
    }
}

/// A pool of unpredictable mask keys.
struct Masks {
    random: SystemRandom,
    pool: Vec<[u8; 4]>,
}

impl Masks {
    fn new() -> Self {
        Self {
            random: SystemRandom::new(),
            pool: Vec::new(),
        }
    }

    fn next(&mut self) -> io::Result<[u8; 4]> {
        if let Some(mask) = self.pool.pop() {
            return Ok(mask);
        }
        let mut bytes = [0; 1024];
        self.random
            .fill(&mut bytes)
            .map_err(|_| io::Error::other("the system has no random numbers"))?;
        self.pool.extend_from_slice(bytes.as_chunks().0);
        Ok(self.pool.pop().unwrap_or_default())
    }
}

fn apply(mask: [u8; 4], bytes: &mut [u8]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

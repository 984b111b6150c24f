//! Turns frames into lines. A message passes through in pieces, so its length costs no memory here.

use std::{
    future::Future as _,
    io::{self, Cursor, ErrorKind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf as _, BytesMut};
use memchr::memchr;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, ReadBuf},
    time::{Instant, Sleep, sleep},
};
use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

use super::{Side, shared::Shared};

/// The size of the buffer for one read.
const READ: usize = 256 * 1024;
/// The longest payload of a control frame.
const CONTROL: u64 = 125;

/// The reading half.
pub(crate) struct Reader {
    io: Box<dyn AsyncRead + Send + Unpin>,
    /// Bytes that are not parsed yet.
    raw: BytesMut,
    /// The frame whose payload comes next.
    frame: Option<Frame>,
    /// Whether a message has begun and has not ended.
    in_message: bool,
    /// Whether a message has ended without room for the end of its line.
    line_end: bool,
    side: Side,
    shared: Arc<Shared>,
    silence: Silence,
    /// The error that ended the connection, returned when everything before it has been read.
    failed: Option<io::Error>,
}

struct Frame {
    left: u64,
    last: bool,
    mask: Option<[u8; 4]>,
    /// The position in the mask.
    at: usize,
}

/// Notices a server that vanished without closing the connection.
struct Silence {
    every: Duration,
    timer: Pin<Box<Sleep>>,
    /// Whether anything came since the timer was set.
    heard: bool,
    pinged: bool,
}

impl Reader {
    pub(super) fn new(
        side: Side,
        io: Box<dyn AsyncRead + Send + Unpin>,
        raw: BytesMut,
        shared: Arc<Shared>,
        ping_every: Duration,
    ) -> Self {
        Self {
            io,
            raw,
            frame: None,
            in_message: false,
            line_end: false,
            side,
            shared,
            silence: Silence {
                every: ping_every,
                timer: Box::pin(sleep(ping_every)),
                heard: false,
                pinged: false,
            },
            failed: None,
        }
    }

    /// Parses the available bytes, until they or the room in `out` are used up.
    fn unpack(&mut self, out: &mut ReadBuf<'_>) -> io::Result<()> {
        loop {
            if self.line_end {
                if out.remaining() == 0 {
                    return Ok(());
                }
                out.put_slice(b"\n");
                self.line_end = false;
            }
            let Some(frame) = &mut self.frame else {
                if self.begin()? {
                    continue;
                }
                return Ok(());
            };
            let left = usize::try_from(frame.left).unwrap_or(usize::MAX);
            let n = left.min(self.raw.len()).min(out.remaining());
            if n == 0 && left > 0 {
                return Ok(());
            }
            if let Some(mask) = frame.mask {
                for byte in &mut self.raw[..n] {
                    *byte ^= mask[frame.at % 4];
                    frame.at += 1;
                }
            }
            put(&self.raw[..n], out);
            self.raw.advance(n);
            frame.left -= n as u64;
            if frame.left == 0 {
                self.line_end = frame.last;
                self.in_message = !frame.last;
                self.frame = None;
            }
        }
    }

    /// Reads the header of the next frame, and all of the frame if it carries no data; `false` if
    /// more bytes have to come first.
    fn begin(&mut self) -> io::Result<bool> {
        let mut cursor = Cursor::new(&self.raw[..]);
        let parsed = FrameHeader::parse(&mut cursor).map_err(|e| broken(&e.to_string()))?;
        let used = usize::try_from(cursor.position()).unwrap_or_default();
        let Some((header, length)) = parsed else {
            return Ok(false);
        };
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(broken("a frame uses an extension"));
        }
        if header.mask.is_some() == (self.side == Side::Client) {
            return Err(broken("a frame is masked as those of the other side are"));
        }
        match header.opcode {
            OpCode::Control(kind) => {
                if length > CONTROL || !header.is_final {
                    return Err(broken("a control frame is too long"));
                }
                let end = used + usize::try_from(length).unwrap_or_default();
                if self.raw.len() < end {
                    return Ok(false);
                }
                let mut payload = self.raw.split_to(end).split_off(used);
                for (at, byte) in payload.iter_mut().enumerate() {
                    *byte ^= header.mask.map_or(0, |mask| mask[at % 4]);
                }
                match kind {
                    Control::Ping => self.shared.ask_for_pong(payload.freeze()),
                    Control::Close => return Err(closed(&payload)),
                    _ => {}
                }
            }
            OpCode::Data(kind) => {
                if self.in_message != (kind == Data::Continue) {
                    return Err(broken("the frames of two messages are mixed"));
                }
                self.raw.advance(used);
                self.in_message = true;
                self.frame = Some(Frame {
                    left: length,
                    last: header.is_final,
                    mask: header.mask,
                    at: 0,
                });
            }
        }
        Ok(true)
    }

    fn end(&self) -> io::Result<()> {
        if self.in_message || !self.raw.is_empty() {
            let text = "the connection broke off in the middle of a message";
            return Err(io::Error::new(ErrorKind::UnexpectedEof, text));
        }
        Ok(())
    }
}

/// Writes text to the line. A line end within a message can only be white space between two JSON
/// tokens.
fn put(mut text: &[u8], out: &mut ReadBuf<'_>) {
    while let Some(at) = memchr(b'\n', text) {
        out.put_slice(&text[..at]);
        out.put_slice(b" ");
        text = &text[at + 1..];
    }
    out.put_slice(text);
}

fn broken(what: &str) -> io::Error {
    let text = format!("the server does not keep to the WebSocket protocol: {what}");
    io::Error::new(ErrorKind::InvalidData, text)
}

/// The error for a close frame. Codex sends none; a proxy in between may.
fn closed(payload: &[u8]) -> io::Error {
    let (code, reason) = payload.split_at(payload.len().min(2));
    let reason = String::from_utf8_lossy(reason);
    let text = match code {
        [high, low] => {
            let code = u16::from_be_bytes([*high, *low]);
            format!("the server closed the WebSocket with the code {code} {reason}")
        }
        _ => "the server closed the WebSocket".to_owned(),
    };
    io::Error::new(ErrorKind::ConnectionAborted, text.trim_end().to_owned())
}

impl Silence {
    fn poll(&mut self, shared: &Shared, cx: &mut Context<'_>) -> io::Result<()> {
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.heard {
                self.pinged = false;
            } else if self.pinged {
                let text = format!("the server has not answered a ping for {:?}", self.every);
                return Err(io::Error::new(ErrorKind::TimedOut, text));
            } else {
                self.pinged = true;
                shared.ask_for_ping();
            }
            self.heard = false;
            self.timer.as_mut().reset(Instant::now() + self.every);
        }
        Ok(())
    }
}

impl AsyncRead for Reader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = out.filled().len();
        loop {
            if let Some(error) = this.failed.take() {
                return Poll::Ready(Err(error));
            }
            this.failed = this.unpack(out).err();
            if out.filled().len() > before || out.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            if this.failed.is_some() {
                continue;
            }
            if this.shared.is_closed(cx) {
                return Poll::Ready(Ok(()));
            }
            this.raw.reserve(READ);
            match pin!(this.io.read_buf(&mut this.raw)).poll(cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(this.end()),
                Poll::Ready(Ok(_)) => this.silence.heard = true,
                // This is how a server ends: it closes the socket, even with unread bytes in it.
                Poll::Ready(Err(e))
                    if matches!(
                        e.kind(),
                        ErrorKind::ConnectionReset
                            | ErrorKind::BrokenPipe
                            | ErrorKind::UnexpectedEof
                    ) =>
                {
                    return Poll::Ready(this.end());
                }
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => {
                    this.silence.poll(&this.shared, cx)?;
                    return Poll::Pending;
                }
            }
        }
    }
}

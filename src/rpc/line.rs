//! Framing: bytes in, whole lines out, in place.
//!
//! One read takes as much as the pipe holds, up to 256 KiB. The lines that it completes are handed out as slices of the
//! one buffer, without a copy or an allocation. An unfinished line stays in the buffer, so a cancelled read loses nothing.

use std::{
    future::{Future as _, poll_fn},
    io,
    pin::pin,
};

use bytes::{Buf as _, BufMut as _, BytesMut};
use memchr::memchr;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    task::yield_now,
};

/// The room for one read in bytes, and how much is read before other tasks run.
const READ: usize = 256 * 1024;
/// A larger buffer is given back once the long line that needed it is gone.
const KEEP: usize = 2 * READ;
/// How much is kept of a line that is skipped, in bytes.
const HEAD: usize = 256;

/// One unit of input.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line without its terminator (`\n` or `\r\n`). Empty lines are left out, see [`Lines::keep_empty`].
    Text(&'a [u8]),
    /// A line longer than the limit was skipped.
    TooLong {
        /// Its length in bytes.
        len: u64,
        /// Its first bytes.
        head: Vec<u8>,
    },
}

/// Splits a byte stream into lines.
#[derive(Debug)]
pub struct Lines<R> {
    io: R,
    buf: BytesMut,
    /// The first byte not yet handed out.
    start: usize,
    /// Bytes from `start` up to this one are known to hold no newline.
    searched: usize,
    /// The bytes that were read since the input last made the reader wait.
    unyielded: usize,
    max_line: usize,
    /// A line that is being skipped: its length so far, and its beginning.
    skipping: Option<(u64, Vec<u8>)>,
    /// The skipped part ends with a carriage return, which does not count if the line ends there.
    skipped_return: bool,
    eof: bool,
    keep_empty: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Splits `io`; a line longer than `max_line` bytes is skipped.
    pub fn new(io: R, max_line: usize) -> Self {
        let buf = BytesMut::with_capacity(READ);
        Self {
            io,
            buf,
            start: 0,
            searched: 0,
            unyielded: 0,
            max_line,
            skipping: None,
            skipped_return: false,
            eof: false,
            keep_empty: false,
        }
    }

    /// Has empty lines handed out too.
    pub fn keep_empty(&mut self) {
        self.keep_empty = true;
    }

    /// Reads more; `false` at the end of the input, after which [`next`](Self::next) still yields an unfinished line.
    ///
    /// Lets other tasks run after 256 KiB for which the input has not made it wait. A TCP connection can hold megabytes,
    /// and those who read the lines on the same thread would lose some of them.
    ///
    /// Cancel safe: what was read is in the buffer.
    ///
    /// # Errors
    /// If the input can't be read.
    pub async fn fill(&mut self) -> io::Result<bool> {
        if self.unyielded >= READ {
            self.unyielded = 0;
            yield_now().await;
        }
        self.buf.advance(self.start);
        self.searched -= self.start;
        self.start = 0;
        if self.buf.len() < READ && self.buf.capacity() > KEEP {
            let mut small = BytesMut::with_capacity(self.buf.len() + READ);
            small.extend_from_slice(&self.buf);
            self.buf = small;
        } else if self.buf.capacity() - self.buf.len() < READ {
            // Moves an unfinished line to the front, or doubles the buffer for a long one.
            self.buf.reserve(READ.max(self.buf.len()));
        }
        let read = poll_fn(|cx| {
            let mut room = (&mut self.buf).limit(READ - self.unyielded);
            let read = pin!(self.io.read_buf(&mut room)).poll(cx);
            if read.is_pending() {
                self.unyielded = 0; // Other tasks run now.
            }
            read
        });
        let read = read.await?;
        self.unyielded += read;
        self.eof = read == 0;
        Ok(!self.eof)
    }

    /// The next complete line in the buffer.
    #[allow(clippy::should_implement_trait, reason = "a line borrows the buffer")]
    pub fn next(&mut self) -> Option<Line<'_>> {
        loop {
            if let Some(skipped) = self.skip() {
                return Some(skipped);
            }
            let start = self.start;
            let end = match memchr(b'\n', &self.buf[self.searched..]) {
                Some(found) => {
                    let newline = self.searched + found;
                    self.start = newline + 1;
                    newline
                }
                None if self.eof && start < self.buf.len() && self.skipping.is_none() => {
                    self.start = self.buf.len();
                    self.buf.len()
                }
                None => {
                    self.searched = self.buf.len();
                    // One more than the limit, since a carriage return does not count.
                    if self.buf.len() - start > self.max_line + 1 && self.skipping.is_none() {
                        self.skipping = Some((0, self.head(start, self.buf.len())));
                        continue;
                    }
                    return None;
                }
            };
            self.searched = self.start;
            let end = if end > start && self.buf[end - 1] == b'\r' {
                end - 1
            } else {
                end
            };
            if end == start && !self.keep_empty {
                continue; // An empty line carries nothing.
            }
            if end - start > self.max_line {
                return Some(Line::TooLong {
                    len: (end - start) as u64,
                    head: self.head(start, end),
                });
            }
            return Some(Line::Text(&self.buf[start..end]));
        }
    }

    /// Drops what the buffer holds of a line over the limit. Reports the line once it has ended.
    fn skip(&mut self) -> Option<Line<'static>> {
        let (len, _) = self.skipping.as_mut()?;
        let newline = memchr(b'\n', &self.buf[self.start..]);
        let dropped = newline.unwrap_or(self.buf.len() - self.start);
        *len += dropped as u64;
        if dropped > 0 {
            self.skipped_return = self.buf[self.start + dropped - 1] == b'\r';
        }
        self.start += dropped + usize::from(newline.is_some());
        self.searched = self.start;
        if newline.is_none() && !self.eof {
            return None;
        }
        let (len, head) = self.skipping.take()?;
        let len = len - u64::from(self.skipped_return);
        Some(Line::TooLong { len, head })
    }

    fn head(&self, start: usize, end: usize) -> Vec<u8> {
        self.buf[start..end.min(start + HEAD)].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What came out: a line's text, or the length of one that was skipped.
    async fn all(input: &[u8], step: usize, max_line: usize) -> Vec<Result<String, u64>> {
        let mut builder = tokio_test::io::Builder::new();
        for chunk in input.chunks(step) {
            builder.read(chunk);
        }
        let mut lines = Lines::new(builder.build(), max_line);
        let mut out = Vec::new();
        loop {
            let more = lines.fill().await.unwrap();
            while let Some(line) = lines.next() {
                out.push(match line {
                    Line::Text(text) => Ok(String::from_utf8(text.to_vec()).unwrap()),
                    Line::TooLong { len, head } => {
                        assert!(head.iter().all(|b| *b == b'x'));
                        Err(len)
                    }
                });
            }
            if !more {
                return out;
            }
        }
    }

    #[tokio::test]
    async fn lines_come_out_whole_however_the_input_is_cut() {
        let input = b"{\"a\":1}\n\r\n{\"b\":\"\xc3\xa4\"}\r\n\nlast";
        for step in 1..=input.len() {
            let got = all(input, step, 1024).await;
            assert_eq!(
                got,
                [
                    Ok("{\"a\":1}".to_owned()),
                    Ok("{\"b\":\"ä\"}".to_owned()),
                    Ok("last".to_owned())
                ],
                "step {step}"
            );
        }
    }

    #[tokio::test]
    async fn a_line_over_the_limit_is_skipped_and_reported_and_the_next_one_read() {
        let input = [
            b"x".repeat(5000).as_slice(),
            b"\nok\n",
            b"x".repeat(101).as_slice(),
        ]
        .concat();
        for step in [1, 7, 100, 101, 102, 103, 5000, 5001, 6000] {
            assert_eq!(
                all(&input, step, 100).await,
                [Err(5000), Ok("ok".to_owned()), Err(101)],
                "step {step}"
            );
        }
    }

    #[tokio::test]
    async fn a_line_at_the_limit_is_not_too_long() {
        let line = "x".repeat(100);
        for end in ["\n", "\r\n", ""] {
            for step in [1, 99, 100, 101, 102] {
                let input = format!("{line}{end}");
                assert_eq!(
                    all(input.as_bytes(), step, 100).await,
                    [Ok(line.clone())],
                    "step {step}"
                );
            }
        }
    }

    #[tokio::test]
    async fn the_memory_of_a_long_line_is_given_back_though_every_read_ends_within_a_line() {
        let mut reads = vec![b"x".repeat(8 * 1024 * 1024), b"\nab".to_vec()];
        reads.extend((0..4).map(|_| b"cd\nab".to_vec()));
        let mut builder = tokio_test::io::Builder::new();
        for read in &reads {
            builder.read(read);
        }
        let mut lines = Lines::new(builder.build(), usize::MAX - 1);
        let mut whole = 0;
        while lines.fill().await.unwrap() {
            while let Some(line) = lines.next() {
                whole += usize::from(line == Line::Text(b"abcd"));
            }
        }
        assert_eq!((whole, lines.next()), (4, Some(Line::Text(b"ab"))));
        assert!(lines.buf.capacity() <= KEEP, "{}", lines.buf.capacity());
    }

    #[tokio::test]
    async fn the_memory_of_a_skipped_line_is_never_held() {
        let (mut tx, rx) = tokio::io::duplex(64 * 1024);
        let mut lines = Lines::new(rx, 1024 * 1024);
        let feed = tokio::spawn(async move {
            use tokio::io::AsyncWriteExt as _;
            for _ in 0..1024 {
                tx.write_all(&b"x".repeat(64 * 1024)).await.unwrap();
            }
            tx.write_all(b"\n").await.unwrap();
        });
        let mut peak = 0;
        let len = loop {
            lines.fill().await.unwrap();
            peak = peak.max(lines.buf.capacity());
            if let Some(Line::TooLong { len, .. }) = lines.next() {
                break len;
            }
        };
        feed.await.unwrap();
        assert_eq!(len, 64 * 1024 * 1024);
        assert!(peak <= 4 * 1024 * 1024, "{peak}");
        lines.fill().await.unwrap();
        assert!(lines.buf.capacity() <= KEEP, "{}", lines.buf.capacity());
    }
}

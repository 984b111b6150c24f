//! The two halves against each other, and the frames as they are written.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::BytesMut;
use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tungstenite::protocol::frame::{FrameHeader, coding::OpCode};

use super::*;

const LONG: Duration = Duration::from_secs(3600);

/// What a client writes for these lines, with a server that answers nothing.
async fn written(lines: &[u8]) -> Vec<u8> {
    let (near, mut far) = tokio::io::duplex(64 * 1024 * 1024);
    let (read, write) = tokio::io::split(near);
    let (reader, mut writer) = pair(Side::Client, read, write, BytesMut::new(), LONG);
    writer.write_all(lines).await.unwrap();
    writer.flush().await.unwrap();
    drop((reader, writer));
    let mut bytes = Vec::new();
    far.read_to_end(&mut bytes).await.unwrap();
    bytes
}

/// The frames: kind, whether it is the last one of its message, mask, length.
fn frames(bytes: &[u8]) -> Vec<(u8, bool, [u8; 4], u64)> {
    let mut cursor = std::io::Cursor::new(bytes);
    let mut all = Vec::new();
    while cursor.position() < bytes.len() as u64 {
        let (header, len) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
        let kind: u8 = header.opcode.into();
        assert!(matches!(header.opcode, OpCode::Data(_)));
        all.push((kind, header.is_final, header.mask.unwrap(), len));
        cursor.set_position(cursor.position() + len);
    }
    all
}

#[tokio::test]
async fn a_message_of_more_than_four_mebibytes_is_in_fragments_of_that() {
    const MIB: usize = 1024 * 1024;
    for (len, expected) in [
        (1, vec![(1, true, 1)]),
        (4 * MIB, vec![(1, true, 4 * MIB)]),
        (4 * MIB + 1, vec![(1, false, 4 * MIB), (0, true, 1)]),
        (
            9 * MIB,
            vec![(1, false, 4 * MIB), (0, false, 4 * MIB), (0, true, MIB)],
        ),
    ] {
        let line = [vec![b'x'; len], b"\n".to_vec()].concat();
        let seen = frames(&written(&line).await);
        let seen: Vec<_> = seen
            .into_iter()
            .map(|(kind, last, _, len)| (kind, last, usize::try_from(len).unwrap()))
            .collect();
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn every_frame_has_a_mask_of_its_own_and_empty_lines_are_not_sent() {
    let lines = "x\n\n".repeat(2_000);
    let seen = frames(&written(lines.as_bytes()).await);
    assert_eq!(seen.len(), 2_000);
    let masks: std::collections::HashSet<_> = seen.iter().map(|frame| frame.2).collect();
    assert!(masks.len() > 1_990, "{}", masks.len());
}

#[tokio::test]
async fn the_writing_half_ends_the_reading_half_when_it_is_dropped() {
    let (near, _far) = tokio::io::duplex(64);
    let (read, write) = tokio::io::split(near);
    let (mut reader, writer) = pair(Side::Client, read, write, BytesMut::new(), LONG);
    let end = tokio::spawn(async move { reader.read_u8().await });
    tokio::task::yield_now().await;
    drop(writer);
    let end = tokio::time::timeout(Duration::from_secs(5), end).await;
    assert!(end.unwrap().unwrap().is_err());
}

#[tokio::test]
async fn messages_from_before_a_failed_write_are_read() {
    let (near, far) = tokio::io::duplex(1024);
    let (read, write) = tokio::io::split(near);
    let (mut reader, mut writer) = pair(Side::Client, read, write, BytesMut::new(), LONG);
    let (far_read, far_write) = tokio::io::split(far);
    let (gone, mut server) = pair(Side::Server, far_read, far_write, BytesMut::new(), LONG);
    server.write_all(b"last words\n").await.unwrap();
    server.flush().await.unwrap();
    drop((gone, server));
    writer.write_all(b"hello?\n").await.unwrap();
    assert!(writer.flush().await.is_err());
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "last words\n");
}

/// A reader that returns its bytes in pieces of these sizes, over and over.
struct Pieces {
    bytes: Vec<u8>,
    sizes: Vec<usize>,
    at: usize,
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let size = self.sizes[self.at % self.sizes.len()];
        self.at += 1;
        let n = size.min(self.bytes.len()).min(out.remaining());
        out.put_slice(&self.bytes[..n]);
        self.bytes.drain(..n);
        Poll::Ready(Ok(()))
    }
}

proptest! {
    #[test]
    fn lines_come_out_as_they_went_in_however_the_bytes_are_cut(
        lines in prop::collection::vec("[ -~]{0,300}", 1..20),
        sizes in prop::collection::vec(1_usize..400, 1..6),
        room in 1_usize..600,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let text = lines.join("\n") + "\n";
            let bytes = written(text.as_bytes()).await;
            let pieces = Pieces { bytes, sizes, at: 0 };
            let (mut reader, _writer) =
                pair(Side::Server, pieces, tokio::io::sink(), BytesMut::new(), LONG);
            let mut out = Vec::new();
            let mut buf = vec![0; room];
            while let Ok(n @ 1..) = reader.read(&mut buf).await {
                out.extend_from_slice(&buf[..n]);
            }
            let expected: Vec<_> = lines.iter().filter(|line| !line.is_empty()).collect();
            let out = String::from_utf8(out).unwrap();
            assert_eq!(out.lines().collect::<Vec<_>>(), expected);
            assert!(out.is_empty() || out.ends_with('\n'));
        });
    }

    #[test]
    fn no_bytes_make_it_panic_or_go_round_for_ever(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        sizes in prop::collection::vec(1_usize..50, 1..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let len = bytes.len();
            let pieces = Pieces { bytes, sizes, at: 0 };
            let (mut reader, _writer) =
                pair(Side::Client, pieces, tokio::io::sink(), BytesMut::new(), LONG);
            let mut out = Vec::new();
            let _ = reader.read_to_end(&mut out).await;
            assert!(out.len() <= len);
        });
    }
}

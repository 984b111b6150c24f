//! What is held, measured: the memory of this process while it is flooded. One test at a time, or
//! they would measure each other.

mod common;

use std::{fs, os::unix::fs::PermissionsExt as _};

use cas_sdk::{CasClient, Filter, events::MessageKind};
use common::{eventually, raw::RawServer, within};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

const MIB: usize = 1024 * 1024;

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Memory use since the start of a measurement.
struct Memory {
    before: usize,
    _alone: MutexGuard<'static, ()>,
}

impl Memory {
    async fn measure() -> Self {
        let alone = ONE_AT_A_TIME.lock().await;
        // Resets the high-water mark.
        fs::write("/proc/self/clear_refs", "5").unwrap();
        let before = of_status("VmRSS:");
        Self {
            before,
            _alone: alone,
        }
    }

    /// The peak above the start, in bytes.
    fn peak(&self) -> usize {
        of_status("VmHWM:").saturating_sub(self.before)
    }
}

fn of_status(key: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kb = line.unwrap().trim().strip_suffix(" kB").unwrap();
    kb.parse::<usize>().unwrap() * 1024
}

/// Writes this many bytes of a line in pieces, so that the test does not hold them either.
async fn write_long(far: &mut RawServer, bytes: usize) {
    let piece = vec![b'x'; MIB];
    let mut left = bytes;
    while left > 0 {
        let n = left.min(piece.len());
        far.write(&piece[..n]).await;
        left -= n;
    }
}

#[tokio::test]
async fn a_line_of_128_mib_is_read_and_a_longer_one_is_skipped_without_being_held() {
    within(120, async {
        let memory = Memory::measure().await;
        // Skipped: at most the limit is held.
        let (client, mut far) = RawServer::connect(CasClient::builder().max_line(4 * MIB)).await;
        let mut events = client.events(Filter::all());
        write_long(&mut far, 512 * MIB).await;
        far.write(b"\n").await;
        let event = events.next().await.unwrap().unwrap();
        assert_eq!(
            (event.kind(), event.line().len()),
            (MessageKind::Malformed, 256)
        );
        let peak = memory.peak();
        assert!(peak < 24 * MIB, "{} MiB", peak / MIB);

        // The default limit is 128 MiB without the newline.
        let (client, mut far) = RawServer::connect(CasClient::builder()).await;
        let mut events = client.events(Filter::all());
        let (head, tail) = (r#"{"method":"m","params":""#, "\"}");
        for (over, kind) in [(0, MessageKind::Notification), (1, MessageKind::Malformed)] {
            far.write(head.as_bytes()).await;
            write_long(&mut far, 128 * MIB - head.len() - tail.len() + over).await;
            far.say(tail.as_bytes()).await;
            let event = events.next().await.unwrap().unwrap();
            assert_eq!(event.kind(), kind);
        }
        let peak = memory.peak();
        assert!(peak < 600 * MIB, "{} MiB", peak / MIB);
        // The memory is freed.
        eventually("the memory is given back", || {
            of_status("VmRSS:") < memory.before + 64 * MIB
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_flood_that_nobody_reads_is_held_within_the_bounds_of_the_queues() {
    within(120, async {
        let memory = Memory::measure().await;
        let builder = CasClient::builder().event_queue(100_000, 4 * MIB);
        let (client, mut far) = RawServer::connect(builder).await;
        // Readers of all kinds, none of which reads.
        let _events: Vec<_> = (0..4).map(|_| client.events(Filter::all())).collect();
        let _narrow = client.events(Filter::all().method("item/*"));
        let _typed = client.notifications::<cas_sdk::protocol::ItemCompletedNotification>();
        let text = "x".repeat(4_000);
        let delta = format!(r#"{{"method":"item/agentMessage/delta","params":{{"threadId":"t","turnId":"u","itemId":"i","delta":"{text}"}}}}"#);
        let item = format!(r#"{{"method":"item/completed","params":{{"threadId":"t","turnId":"u","item":{{"type":"agentMessage","id":"i","text":"{text}"}}}}}}"#);
        for _ in 0..60_000 {
            far.say(delta.as_bytes()).await;
            far.say(item.as_bytes()).await;
        }
        far.say(b"{\"id\":0,\"method\":\"m\"}").await;
        far.hear().await;
        // 490 MB were received. All streams share the events of two rings of 4 MiB.
        let peak = memory.peak();
        assert!(peak < 32 * MIB, "{} MiB", peak / MIB);
    })
    .await;
}

#[tokio::test]
async fn a_wire_that_nobody_reads_makes_the_server_wait() {
    within(120, async {
        let memory = Memory::measure().await;
        let (client, mut far) = RawServer::connect(CasClient::builder()).await;
        let wire = client.wire();
        let flood = tokio::spawn(async move {
            loop {
                write_long(&mut far, MIB).await;
                far.write(b"\n").await;
            }
        });
        let mut last = 0;
        eventually("the reader rests", || {
            let now = of_status("VmRSS:");
            let rests = now == last && now > memory.before + 8 * MIB;
            last = now;
            rests
        })
        .await;
        let peak = memory.peak();
        assert!(peak < 40 * MIB, "{} MiB", peak / MIB);
        flood.abort();
        drop(wire);
    })
    .await;
}

#[tokio::test]
async fn a_hundred_megabytes_of_stderr_without_a_newline_are_read_and_their_end_is_kept() {
    within(120, async {
        let memory = Memory::measure().await;
        let dir = tempfile::tempdir().unwrap();
        let codex = dir.path().join("codex");
        let script = "#!/bin/sh\n\
            read -r line\n\
            head -c 100000000 /dev/zero | tr '\\0' x >&2\n\
            printf '\\377 the end' >&2\n\
            echo '{\"id\":1,\"result\":{}}'\n\
            read -r line\n\
            read -r line\n\
            exit 3\n";
        fs::write(&codex, script).unwrap();
        fs::set_permissions(&codex, fs::Permissions::from_mode(0o755)).unwrap();
        let client = CasClient::builder()
            .codex(&codex)
            .handshake_timeout(std::time::Duration::from_secs(60))
            .spawn()
            .await
            .unwrap();
        let error = client.call::<Value>("x", &json!({})).await.unwrap_err();
        assert!(error.close_reason().is_some(), "{error:?}");
        let reason = client.closed().await;
        assert_eq!(reason.status.and_then(|s| s.code()), Some(3));
        assert!(reason.stderr_tail.ends_with("x\u{fffd} the end"));
        assert!(reason.stderr_tail.len() <= 64 * 1024 + 2);
        let peak = memory.peak();
        assert!(peak < 24 * MIB, "{} MiB", peak / MIB);
    })
    .await;
}

//! What is held, measured: the memory of this process while it is flooded. One test at a time, or they would measure each
//! other.

mod common;

use std::{fs, os::unix::fs::PermissionsExt as _};

use cas_sdk::{CasClient, Filter, events::MessageKind};
use common::{eventually, within};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream},
    sync::{Mutex, MutexGuard},
};

const MIB: usize = 1024 * 1024;

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Measures from now on.
struct Memory {
    before: usize,
    _alone: MutexGuard<'static, ()>,
}

impl Memory {
    async fn measure() -> Self {
        let alone = ONE_AT_A_TIME.lock().await;
        // Sets the high-water mark to what is in use now.
        fs::write("/proc/self/clear_refs", "5").unwrap();
        let before = of_status("VmRSS:");
        Self {
            before,
            _alone: alone,
        }
    }

    /// By how many bytes more than at first there were at most.
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

/// A client and the pipe that plays its server.
async fn connected(builder: cas_sdk::Builder) -> (CasClient, BufReader<DuplexStream>) {
    let (near, far) = tokio::io::duplex(256 * 1024);
    let (read, write) = tokio::io::split(near);
    let mut far = BufReader::new(far);
    let (client, ()) = tokio::join!(builder.connect(read, write), async {
        far.read_line(&mut String::new()).await.unwrap();
        far.write_all(b"{\"id\":1,\"result\":{}}\n").await.unwrap();
        far.read_line(&mut String::new()).await.unwrap();
    });
    (client.unwrap(), far)
}

/// Writes so many bytes of a line in pieces, so that the test does not hold it either.
async fn write_long(far: &mut BufReader<DuplexStream>, bytes: usize) {
    let piece = vec![b'x'; MIB];
    let mut left = bytes;
    while left > 0 {
        let n = left.min(piece.len());
        far.write_all(&piece[..n]).await.unwrap();
        left -= n;
    }
}

#[tokio::test]
async fn a_line_of_128_mib_is_read_and_a_longer_one_is_skipped_without_being_held() {
    within(120, async {
        let memory = Memory::measure().await;
        // Skipped: the limit is what is held at most.
        let (client, mut far) = connected(CasClient::builder().max_line(4 * MIB)).await;
        let mut events = client.events(Filter::all());
        write_long(&mut far, 512 * MIB).await;
        far.write_all(b"\n").await.unwrap();
        let event = events.next().await.unwrap().unwrap();
        assert_eq!(
            (event.kind(), event.line().len()),
            (MessageKind::Malformed, 256)
        );
        let peak = memory.peak();
        assert!(peak < 24 * MIB, "{} MiB", peak / MIB);

        // By default the limit is 128 MiB, newline not counted.
        let (client, mut far) = connected(CasClient::builder()).await;
        let mut events = client.events(Filter::all());
        let (head, tail) = (r#"{"method":"m","params":""#, "\"}");
        for (over, kind) in [(0, MessageKind::Notification), (1, MessageKind::Malformed)] {
            far.write_all(head.as_bytes()).await.unwrap();
            write_long(&mut far, 128 * MIB - head.len() - tail.len() + over).await;
            far.write_all(format!("{tail}\n").as_bytes()).await.unwrap();
            let event = events.next().await.unwrap().unwrap();
            assert_eq!(event.kind(), kind);
        }
        let peak = memory.peak();
        assert!(peak < 600 * MIB, "{} MiB", peak / MIB);
        // And it is given back.
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
        let (client, mut far) = connected(builder).await;
        // All kinds of readers, none of which reads.
        let _events: Vec<_> = (0..4).map(|_| client.events(Filter::all())).collect();
        let _narrow = client.events(Filter::all().method("item/*"));
        let _typed = client.notifications::<cas_sdk::protocol::ItemCompletedNotification>();
        let text = "x".repeat(4_000);
        let delta = format!(r#"{{"method":"item/agentMessage/delta","params":{{"threadId":"t","turnId":"u","itemId":"i","delta":"{text}"}}}}"#);
        let item = format!(r#"{{"method":"item/completed","params":{{"threadId":"t","turnId":"u","item":{{"type":"agentMessage","id":"i","text":"{text}"}}}}}}"#);
        for _ in 0..60_000 {
            far.write_all(delta.as_bytes()).await.unwrap();
            far.write_all(b"\n").await.unwrap();
            far.write_all(item.as_bytes()).await.unwrap();
            far.write_all(b"\n").await.unwrap();
        }
        far.write_all(b"{\"id\":0,\"method\":\"m\"}\n").await.unwrap();
        far.read_line(&mut String::new()).await.unwrap();
        // 490 MB went by. Two rings of 4 MiB, whose events all streams share.
        let peak = memory.peak();
        assert!(peak < 32 * MIB, "{} MiB", peak / MIB);
    })
    .await;
}

#[tokio::test]
async fn a_wire_that_nobody_reads_makes_the_server_wait() {
    within(120, async {
        let memory = Memory::measure().await;
        let (client, mut far) = connected(CasClient::builder()).await;
        let wire = client.wire();
        let flood = tokio::spawn(async move {
            loop {
                write_long(&mut far, MIB).await;
                far.write_all(b"\n").await.unwrap();
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
        assert!(matches!(error, cas_sdk::Error::Closed(_)), "{error:?}");
        let reason = client.closed().await;
        assert_eq!(reason.status.and_then(|s| s.code()), Some(3));
        assert!(reason.stderr_tail.ends_with("x\u{fffd} the end"));
        assert!(reason.stderr_tail.len() <= 64 * 1024 + 2);
        let peak = memory.peak();
        assert!(peak < 24 * MIB, "{} MiB", peak / MIB);
    })
    .await;
}

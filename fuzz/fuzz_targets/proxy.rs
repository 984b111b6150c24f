//! Lines of both sides into the proxy's session: those that begin with `<` are the server's, the
//! others the orchestrator's commands.
//!
//! For any input, the output is lines of JSON, numbered without gaps.

#![no_main]

#[allow(dead_code, unused_imports, unreachable_pub)]
#[path = "../../src/bin/cas/proxy/mod.rs"]
mod engine;
#[allow(unreachable_pub)]
#[path = "../../src/bin/cas/reason.rs"]
mod reason;

use engine::fuzzing::Proxy;
use libfuzzer_sys::fuzz_target;
use serde::Deserialize;
use serde::de::IgnoredAny;

#[derive(Deserialize)]
struct Head {
    seq: u64,
}

fuzz_target!(|data: &[u8]| {
    let mut proxy = Proxy::ready();
    for line in data.split(|b| *b == b'\n') {
        match line.strip_prefix(b"<") {
            Some(line) => proxy.server_line(line),
            None => proxy.client_line(line),
        }
    }
    let (events, frames) = proxy.into_output();
    let events = std::str::from_utf8(&events).expect("events are text");
    for (n, event) in (1..).zip(events.lines()) {
        // This check ignores JSON that nests deeper than serde reads.
        match serde_json::from_str::<Head>(event) {
            Ok(head) => assert_eq!(head.seq, n, "{event}"),
            Err(error) => panic!("{error}: {event}"),
        }
    }
    let frames = std::str::from_utf8(&frames).expect("frames are text");
    for frame in frames.lines() {
        assert!(serde_json::from_str::<IgnoredAny>(frame).is_ok(), "{frame}");
    }
});

//! Golden transcripts: each file in `golden/` is a session, `> ` before a command and `< ` before
//! the event that has to come next, to the byte. What differs from run to run stands in angle
//! brackets.
//!
//! A session whose transcript says `# from: ready` begins after the handshake, whose events are in
//! `handshake.txt`.
//!
//! `CAS_BLESS=1 cargo test --test cas golden` writes the events that came instead of comparing
//! them; look at the diff.

use std::{fmt::Write as _, fs, path::Path};

use crate::instance::Instance;

macro_rules! transcripts {
    ($($name:ident)*) => {
        /// Their names, for those who play them otherwise.
        #[allow(dead_code, reason = "this binary plays them as tests")]
        pub const NAMES: &[&str] = &[$(stringify!($name)),*];

        $(#[test] fn $name() { play(stringify!($name)); })*

        #[test]
        fn every_transcript_is_played() {
            let names = [$(stringify!($name)),*];
            for file in fs::read_dir(dir()).unwrap() {
                let name = file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
                assert!(names.contains(&name.as_str()), "{name} is not in the list");
            }
        }
    };
}

transcripts! {
    handshake
    opt_out
    refused_handshake
    requests
    constants_are_added
    responses_and_routing_keys
    messages_of_every_kind
    auto_approvals
    given_approvals
    read_only
    deprecated_requests
    forwarded_requests
    malformed_answers
    malformed_errors
    request_hints
    withdrawn_requests
    timed_out_request
    raw_messages
    malformed_commands
    state_and_stats
    server_exits
    commands_end
}

fn dir() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cas/golden")
}

pub fn play(name: &str) {
    let path = dir().join(format!("{name}.txt"));
    let text = fs::read_to_string(&path).unwrap();
    let setting = |key: &str| {
        text.lines().find_map(|line| {
            line.strip_prefix("# ")?
                .strip_prefix(key)?
                .strip_prefix(": ")
        })
    };
    let flags: Vec<&str> = setting("flags")
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let mode = setting("mode").unwrap_or_default();
    let mut instance = Instance::start("", &flags, &[("FAKE_MODE", mode)]);
    if setting("from") == Some("ready") {
        instance.ready();
    }
    let bless = std::env::var_os("CAS_BLESS").is_some();
    let mut played = String::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            if command == "<end of the commands>" {
                instance.close_stdin();
            } else {
                instance.send(command);
            }
        } else if let Some(expected) = line.strip_prefix("< ") {
            let expected = as_here(expected);
            let event = if expected == "<end>" {
                instance
                    .line()
                    .map_or("<end>".to_owned(), |e| steady(&e, &instance))
            } else {
                steady(&instance.line().expect(&expected), &instance)
            };
            if bless {
                let _ = writeln!(played, "< {event}");
                continue;
            }
            assert_eq!(event, expected, "{name}: after\n{played}");
        } else if let Some(until) = line.strip_prefix("? ") {
            // Only while a transcript is being written: all events up to the one that contains
            // this.
            assert!(bless, "{name}: {line}");
            loop {
                let event = instance
                    .line()
                    .map_or("<end>".to_owned(), |e| steady(&e, &instance));
                let _ = writeln!(played, "< {event}");
                if event.contains(until) {
                    break;
                }
            }
            continue;
        } else if let Some(code) = line.strip_prefix("# exit: ") {
            let status = instance.wait();
            assert_eq!(
                status.code().map(|c| c.to_string()).as_deref(),
                Some(code),
                "{name}"
            );
        }
        let _ = writeln!(played, "{line}");
    }
    if bless {
        fs::write(path, played).unwrap();
    }
}

/// What is expected of a system without signals: there the end of its input ends the app-server.
fn as_here(expected: &str) -> String {
    if cfg!(windows) {
        expected.replace(
            r#""code":null,"signal":"SIGTERM""#,
            r#""code":0,"signal":null"#,
        )
    } else {
        expected.to_owned()
    }
}

/// An event with what differs from run to run replaced.
fn steady(event: &str, instance: &Instance) -> String {
    let start = event.find(r#","ts":"#).expect(event);
    let stamp = &event[start..];
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).count();
    let ts = &stamp[6..];
    let session = ts[digits(ts)..]
        .strip_prefix(r#","sessionId":"cas-"#)
        .expect(event);
    let (uuid, rest) = session.split_at(36);
    assert!(
        uuid.chars().all(|c| c == '-' || c.is_ascii_hexdigit()),
        "{event}"
    );
    let rest = rest.strip_prefix(r#"","pid":"#).expect(event);
    let pid: u32 = rest[..digits(rest)].parse().unwrap();
    assert_eq!(pid, instance.child.id(), "{event}");
    let mut out = format!("{}{}", &event[..start], &rest[digits(rest)..]);
    let dir = instance.dir.path().display().to_string();
    let quoted = serde_json::Value::from(dir).to_string();
    out = out.replace(quoted.trim_matches('"'), "<dir>");
    if cfg!(windows) {
        out = out
            .replace(r"<dir>\\", "<dir>/")
            .replace("/codex.exe", "/codex");
    }
    if !["ready", "stats"]
        .iter()
        .any(|name| out.starts_with(&format!(r#"{{"type":"cas/{name}""#)))
    {
        return out;
    }
    for key in [
        "appServerPid",
        "startedAtMs",
        "uptimeMs",
        "stdoutWrites",
        "stdoutBackpressureCount",
        "outQueueDepth",
        "outQueueHighWater",
    ] {
        let key = format!("\"{key}\":");
        if let Some(at) = out.find(&key) {
            let number = at + key.len();
            let length = digits(&out[number..]);
            assert!(length > 0, "{event}");
            out.replace_range(number..number + length, "<n>");
        }
    }
    out
}

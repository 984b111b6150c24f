//! Fuzzes a whole client with output of a server: framing, envelope, routing, trackers, handlers.
//!
//! Every line is exactly one event or the response to a request. Everything ends with the
//! connection.

#![no_main]

use std::{cell::RefCell, future::Future, time::Duration};

use cas_sdk::{
    CasClient, Error, Event, Filter, Tool, ToolContext, ToolError,
    events::MessageKind,
    handlers::{Answers, ApprovalRequest, Decision, Handlers},
    protocol::ToolRequestUserInputParams,
};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    runtime::Runtime,
};

const MAX_LINE: usize = 4_096;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Args {
    #[expect(dead_code, reason = "it is only decoded")]
    city: String,
}

struct Weather;

impl Tool for Weather {
    const NAME: &'static str = "weather";
    const DESCRIPTION: &'static str = "Tells the weather of a city.";
    type Args = Args;
    type Output = String;

    async fn call(&self, _args: Args, _cx: ToolContext) -> Result<String, ToolError> {
        Ok("rain".to_owned())
    }
}

thread_local! {
    static RUNTIME: RefCell<Runtime> = RefCell::new(
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"),
    );
}

fn run(work: impl Future<Output = ()>) {
    RUNTIME.with_borrow(|runtime| {
        runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(5), work)
                .await
                .expect("it ends");
        });
    });
}

fuzz_target!(|data: &[u8]| {
    run(async {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (output, input) = tokio::io::split(near);
        let (mut heard, mut say) = tokio::io::split(far);
        say.write_all(b"{\"id\":1,\"result\":{}}\n")
            .await
            .expect("room");
        let builder = CasClient::builder()
            .max_line(MAX_LINE)
            .event_queue(1 << 20, 1 << 30)
            .tool(Weather)
            .handlers(
                Handlers::new()
                    .approvals(|_: ApprovalRequest, _| async { Ok(Decision::Accept) })
                    .user_input(|_: ToolRequestUserInputParams, _| async { Ok(Answers::new()) }),
            );
        let client = builder
            .connect(output, input)
            .await
            .expect("the handshake is done");
        let mut events = client.events(Filter::all());
        let asked = tokio::spawn({
            let client = client.clone();
            async move {
                client
                    .call::<Value>("thread/start", &json!({}))
                    .await
            }
        });
        let listener = tokio::spawn(async move {
            let mut all = Vec::new();
            let _ = heard.read_to_end(&mut all).await;
            all
        });
        tokio::task::yield_now().await; // The request has id 2 and is in flight.
        say.write_all(data).await.expect("it is read");
        say.shutdown().await.expect("a pipe in memory");

        // An independent, slow classification of lines.
        let mut lines = data
            .split(|b| *b == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
            .filter(|line| !line.is_empty());
        let mut seq = 0;
        loop {
            let event = match events.next().await {
                Some(Ok(event)) => event,
                Some(Err(Error::Closed(_))) => break,
                other => panic!("{other:?}"),
            };
            assert!(event.seq() > seq, "the numbers rise");
            seq = event.seq();
            while !is_told(lines.next().expect("an event has a line"), &event) {}
            look_at(&event);
        }
        assert!(lines.all(may_be_answer), "lost");
        // The request is answered, or fails with the connection.
        let _ = asked.await.expect("no panic");
        client.closed().await;
        drop(client);
        listener.await.expect("no panic");
    });
});

/// Whether an event is about a line. A line without an event must be a response.
fn is_told(line: &[u8], event: &Event) -> bool {
    let told = if line.len() > MAX_LINE {
        assert_eq!(event.kind(), MessageKind::Malformed);
        &line[..256]
    } else {
        line
    };
    let told = String::from_utf8_lossy(told) == event.line();
    assert!(
        told || may_be_answer(line),
        "lost: {}",
        String::from_utf8_lossy(line)
    );
    told
}

fn may_be_answer(line: &[u8]) -> bool {
    // The key may be written with escapes.
    line.len() <= MAX_LINE && (line.windows(4).any(|w| w == b"\"id\"") || line.contains(&b'\\'))
}

fn look_at(event: &Event) {
    let _ = (
        event.thread_id(),
        event.turn_id(),
        event.item_id(),
        event.item_type(),
    );
    let _ = (event.emitted_at_ms(), event.notification().is_ok());
    // The envelope agrees with serde wherever serde can read the line.
    let Ok(Value::Object(value)) = serde_json::from_str(event.line()) else {
        return;
    };
    assert_ne!(event.kind(), MessageKind::Malformed, "{}", event.line());
    if let MessageKind::Notification | MessageKind::Request = event.kind() {
        assert_eq!(value["method"], event.method());
        assert_eq!(value.contains_key("id"), event.kind() == MessageKind::Request);
        if let Some(params) = value.get("params") {
            assert_eq!(event.params_as::<Value>().ok().as_ref(), Some(params));
            if let Some(thread) = event.thread_id() {
                assert!(
                    params["threadId"] == thread || params["thread"]["id"] == thread,
                    "{value:?}"
                );
            }
        }
    }
}

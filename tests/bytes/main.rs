//! Bytes that nobody should write, floods, slow readers and futures that are dropped: none of them costs more than itself.

#[path = "../common/mod.rs"]
mod common;

mod cancelled;
mod ends;
mod floods;
mod foreign;
mod limits;
mod long;
mod odd;
mod requests;
mod responses;
mod storm;
mod websocket;
mod window;

use cas_sdk::{Builder, CasClient, Error, Event, Events, testing};
use serde_json::{Value, json};
use tokio::io::{
    AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, ReadHalf, WriteHalf,
};

/// A server made of bytes, through a pipe in memory.
struct Peer {
    heard: BufReader<ReadHalf<DuplexStream>>,
    said: WriteHalf<DuplexStream>,
}

impl Peer {
    /// Its pipe holds 256 KiB a direction.
    async fn connect(builder: Builder) -> (CasClient, Self) {
        Self::connect_by(builder, 256 * 1024).await
    }

    async fn connect_by(builder: Builder, pipe: usize) -> (CasClient, Self) {
        let (near, far) = tokio::io::duplex(pipe);
        let (output, input) = tokio::io::split(near);
        let (heard, said) = tokio::io::split(far);
        let heard = BufReader::new(heard);
        let mut peer = Self { heard, said };
        let (client, ()) = tokio::join!(testing::connect(builder, output, input), async {
            peer.hear().await;
            peer.say(br#"{"id":1,"result":{"userAgent":"peer/0.0.0"}}"#)
                .await;
            peer.hear().await;
        });
        (client.unwrap(), peer)
    }

    /// Writes a line.
    async fn say(&mut self, line: &[u8]) {
        self.write(line).await;
        self.write(b"\n").await;
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.said.write_all(bytes).await.unwrap();
    }

    /// The next line of the client, to the letter.
    async fn hear(&mut self) -> String {
        let mut line = String::new();
        self.heard.read_line(&mut line).await.unwrap();
        assert_eq!(line.pop(), Some('\n'), "the client has gone");
        line
    }

    /// The id of the next request of the client, which has to be of this method; answers are passed over.
    async fn asked(&mut self, method: &str) -> u64 {
        let request = loop {
            let message: Value = serde_json::from_str(&self.hear().await).unwrap();
            if message.get("method").is_some() {
                break message;
            }
        };
        assert_eq!(request["method"], method, "{request}");
        request["id"].as_u64().unwrap()
    }

    /// The connection still works, both ways.
    async fn is_well(&mut self, client: &CasClient) {
        let call = ask(client, "ping");
        let pong = async {
            let id = self.asked("ping").await;
            self.say(format!(r#"{{"id":{id},"result":"pong"}}"#).as_bytes())
                .await;
        };
        let (answer, ()) = tokio::join!(call, pong);
        assert_eq!(answer.unwrap(), "pong");
    }
}

async fn ask(client: &CasClient, method: &str) -> Result<Value, Error> {
    client.call(method, &json!({})).await
}

async fn next(events: &mut Events) -> Event {
    events.next().await.expect("the stream goes on").unwrap()
}

/// Brackets that nobody should open.
fn deep(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

/// What may stand in the place of any object.
fn odd_values() -> Vec<String> {
    let mut values: Vec<String> = [
        "null",
        "true",
        "5",
        "-1e400",
        "99999999999999999999",
        "\"x\"",
        "\"\\ud800\"",
        "[]",
        "[1]",
        "{}",
        r#"{"threadId":5,"turnId":{},"itemId":[],"turn":7,"item":[],"thread":"t","requestId":{}}"#,
        r#"{"threadId":"thr-1","turnId":"turn-1","item":{"id":5,"type":7},"turn":{"id":[]}}"#,
        r#"{"threadId":"thr-1","turnId":"turn-1","item":{"id":"i","type":"neverHeardOf"},"turn":{"id":"turn-1","status":"odd"}}"#,
        r#"{"threadId":"thr-1","turnId":null,"questions":5,"decision":{},"arguments":null,"tool":[]}"#,
        r#"{"threadId":"a","threadId":"b","threadId":7}"#,
    ]
    .map(str::to_owned)
    .into();
    values.push(deep(100_000));
    values.push(format!(r#"{{"threadId":"thr-1","x":{}}}"#, deep(1_000)));
    values
}

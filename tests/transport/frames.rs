//! WebSocket frames, against another implementation of the protocol, and byte by byte.

use std::time::Duration;

use cas_sdk::{CasClient, Error, Filter, error::CloseCause};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{Request, Response},
        protocol::{
            CloseFrame,
            frame::{
                Frame,
                coding::{CloseCode, Data, OpCode},
            },
        },
    },
};

use crate::common::within;

/// A WebSocket server that is played by the test.
pub(crate) struct Server {
    listener: TcpListener,
    pub(crate) socket: Option<WebSocketStream<TcpStream>>,
    pub(crate) headers: Vec<(String, String)>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            socket: None,
            headers: Vec::new(),
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("ws://{}", self.listener.local_addr().unwrap())
    }

    pub(crate) async fn accept(&mut self) {
        let (stream, _) = self.listener.accept().await.unwrap();
        let mut headers = Vec::new();
        #[expect(clippy::result_large_err, reason = "the signature is the library's")]
        let look = |request: &Request, response: Response| {
            for (name, value) in request.headers() {
                headers.push((name.to_string(), value.to_str().unwrap().to_owned()));
            }
            Ok(response)
        };
        self.socket = Some(accept_hdr_async(stream, look).await.unwrap());
        self.headers = headers;
    }

    /// Connects a client. The handshake is done on return.
    pub(crate) async fn joined(&mut self) -> CasClient {
        let endpoint: cas_sdk::live::Endpoint = self.address().parse().unwrap();
        let endpoint = endpoint.ping_every(Duration::from_millis(200));
        let join = CasClient::builder().connect_to(endpoint);
        let (client, ()) = tokio::join!(join, self.greets("x/0.0.0"));
        client.unwrap()
    }

    /// Accepts a client and does the handshake.
    pub(crate) async fn greets(&mut self, user_agent: &str) {
        self.accept().await;
        let id = self.hear().await["id"].clone();
        self.say(&json!({"id": id, "result": {"userAgent": user_agent}}))
            .await;
        assert_eq!(self.hear().await["method"], "initialized");
    }

    pub(crate) fn socket(&mut self) -> &mut WebSocketStream<TcpStream> {
        self.socket.as_mut().unwrap()
    }

    /// The next message of the client.
    pub(crate) async fn hear(&mut self) -> Value {
        loop {
            match self.socket().next().await.expect("it is there").unwrap() {
                Message::Text(text) => {
                    assert!(!text.contains('\n'), "{text}");
                    return serde_json::from_str(&text).unwrap();
                }
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) async fn say(&mut self, message: &Value) {
        let text = message.to_string();
        self.socket().send(Message::text(text)).await.unwrap();
    }

    /// Writes raw bytes, outside of the protocol.
    async fn raw(&mut self, bytes: &[u8]) {
        self.socket().get_mut().write_all(bytes).await.unwrap();
    }
}

fn notification(text: &str) -> Value {
    json!({"method": "x/y", "params": {"text": text}})
}

#[tokio::test]
async fn the_upgrade_offers_no_extension_and_names_no_origin() {
    within(20, async {
        let mut server = Server::start().await;
        let _client = server.joined().await;
        let names: Vec<_> = server
            .headers
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        for name in [
            "origin",
            "sec-websocket-extensions",
            "sec-websocket-protocol",
            "authorization",
        ] {
            assert!(!names.contains(&name), "{names:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn messages_arrive_whole_however_they_are_cut_and_whatever_is_in_between() {
    within(60, async {
        let mut server = Server::start().await;
        let client = server.joined().await;
        let mut events = client.events(Filter::all());
        let text = "ä\\n".repeat(1_000);
        let message = format!("{{\"method\":\n\"x/y\",\r\n\"params\":{{\"text\":\"{text}\"}}}}");
        let whole = message.as_bytes();
        for size in [1, 2, 3, 7, 125, 126, 127, 1_000, whole.len()] {
            let mut kind = Data::Text;
            let mut pieces = whole.chunks(size).peekable();
            while let Some(piece) = pieces.next() {
                let last = pieces.peek().is_none();
                let frame = Frame::message(piece.to_vec(), OpCode::Data(kind), last);
                server.socket().feed(Message::Frame(frame)).await.unwrap();
                if size == 7 {
                    server
                        .socket()
                        .feed(Message::Ping("p".into()))
                        .await
                        .unwrap();
                }
                kind = Data::Continue;
            }
            server.socket().flush().await.unwrap();
            let event = events.next().await.unwrap().unwrap();
            let params: Value = serde_json::from_str(event.json()).unwrap();
            assert_eq!(params["text"], text.replace("\\n", "\n"), "{size}");
        }
        // An empty message is nothing, and so is a binary one that is no JSON, apart from the word
        // about it.
        server.socket().send(Message::text("")).await.unwrap();
        server.say(&notification("after")).await;
        let event = events.next().await.unwrap().unwrap();
        assert!(event.json().contains("after"));
    })
    .await;
}

#[tokio::test]
async fn a_large_request_is_in_fragments_of_at_most_four_mebibytes() {
    within(60, async {
        let mut server = Server::start().await;
        let client = server.joined().await;
        let mebibytes = |n: usize| "x".repeat(n * 1024 * 1024);
        for n in [1, 4, 9] {
            let params = json!({"x": mebibytes(n)});
            let ask = client.call::<Value>("x/y", &params);
            let (answer, ()) = tokio::join!(ask, async {
                // The library accepts frames of at most 16 MiB by default; this peer checks each.
                let request = server.hear().await;
                assert_eq!(request["params"], params);
                server.say(&json!({"id": request["id"], "result": n})).await;
            });
            assert_eq!(answer.unwrap(), n);
        }
    })
    .await;
}

#[tokio::test]
async fn a_ping_of_the_server_is_answered_and_the_silence_of_one_that_answers_ends_nothing() {
    within(20, async {
        let mut server = Server::start().await;
        let client = server.joined().await;
        server
            .socket()
            .send(Message::Ping("are you there".into()))
            .await
            .unwrap();
        let (mut answers, mut pings) = (0, 0);
        while answers < 1 || pings < 5 {
            match server.socket().next().await.unwrap().unwrap() {
                Message::Pong(payload) => {
                    assert_eq!(payload, "are you there");
                    answers += 1;
                }
                Message::Ping(_) => pings += 1, // The library answers.
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(client.pending_requests().len(), 0);
        server.say(&notification("still")).await;
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_given_up() {
    within(20, async {
        let mut server = Server::start().await;
        let client = server.joined().await;
        let reason = client.closed().await; // Nobody reads the server's side, so nobody answers.
        assert!(
            matches!(&reason.cause, CloseCause::Read(text) if text.contains("ping")),
            "{reason}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_message_over_the_limit_of_a_line_is_skipped_and_the_next_one_read() {
    within(60, async {
        let mut server = Server::start().await;
        let endpoint: cas_sdk::live::Endpoint = server.address().parse().unwrap();
        let join = CasClient::builder()
            .max_line(1_000_000)
            .connect_to(endpoint);
        let (client, ()) = tokio::join!(join, async {
            server.accept().await;
            let id = server.hear().await["id"].clone();
            server
                .say(&json!({"id": id, "result": {"userAgent": "x/0.0.0"}}))
                .await;
        });
        let client = client.unwrap();
        assert_eq!(server.hear().await["method"], "initialized");
        let mut events = client.events(Filter::all());
        // 70 MB in one frame, as the real server sends them.
        server.say(&notification(&"x".repeat(70_000_000))).await;
        server.say(&notification("after")).await;
        let odd = events.next().await.unwrap().unwrap();
        assert_eq!(odd.kind(), cas_sdk::events::MessageKind::Malformed);
        let after = events.next().await.unwrap().unwrap();
        assert!(after.json().contains("after"));
    })
    .await;
}

#[tokio::test]
async fn a_close_frame_is_reported_with_its_code_after_the_messages_before_it() {
    within(20, async {
        let mut server = Server::start().await;
        let client = server.joined().await;
        let mut events = client.events(Filter::all());
        server.say(&notification("last words")).await;
        let frame = CloseFrame {
            code: CloseCode::Restart,
            reason: "maintenance".into(),
        };
        server
            .socket()
            .send(Message::Close(Some(frame)))
            .await
            .unwrap();
        assert!(
            events
                .next()
                .await
                .unwrap()
                .unwrap()
                .json()
                .contains("last words")
        );
        let reason = client.closed().await;
        let told = reason.to_string();
        assert!(
            told.contains("1012") && told.contains("maintenance"),
            "{told}"
        );
    })
    .await;
}

#[tokio::test]
async fn bytes_that_are_no_frames_end_the_connection_with_the_reason() {
    within(60, async {
        for (bytes, reason) in [
            (&b"\xc1\x00"[..], "extension"),
            (b"\x81\x80\0\0\0\0", "masked"),
            (b"\x83\x00", "opcode"),
            (b"\x80\x00", "mixed"),
            (b"\x01\x01x\x81\x01y", "mixed"),
            (b"\x09\x00", "control frame"),
            (b"\x89\x7e\x00\x7e", "control frame"),
            (b"HTTP/1.1 500 Oh", ""),
        ] {
            let mut server = Server::start().await;
            let client = server.joined().await;
            server.raw(bytes).await;
            let reason_told = client.closed().await;
            assert!(
                matches!(&reason_told.cause, CloseCause::Read(text)
                    if text.contains("WebSocket protocol") && text.to_lowercase().contains(reason)),
                "{bytes:?}: {reason_told}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn an_end_in_the_middle_of_a_message_is_an_error_and_one_between_messages_is_the_end() {
    within(20, async {
        for (bytes, in_the_middle) in [
            (&b""[..], false),
            (b"\x81", true),
            (b"\x81\x05x", true),
            (b"\x01\x01x", true),
        ] {
            let mut server = Server::start().await;
            let client = server.joined().await;
            server.raw(bytes).await;
            server.socket().get_mut().shutdown().await.unwrap();
            let reason = client.closed().await;
            if in_the_middle {
                assert!(
                    matches!(&reason.cause, CloseCause::Read(text) if text.contains("middle")),
                    "{reason}"
                );
            } else {
                assert_eq!(reason.cause, CloseCause::Eof);
            }
            let error = client.call::<Value>("x/y", &json!({})).await.unwrap_err();
            assert!(matches!(error, Error::Closed(_)));
        }
    })
    .await;
}

//! `RawServer`: a server that the test plays line by line or byte by byte, for what a typed fake
//! does not write.

use cas_sdk::{Builder, CasClient, testing};
use serde_json::{Value, json};
use tokio::io::{
    AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, ReadHalf, WriteHalf,
};

/// The server's end of a pipe in memory. Nothing is answered unless the test answers it.
pub struct RawServer {
    input: BufReader<ReadHalf<DuplexStream>>,
    output: WriteHalf<DuplexStream>,
    /// The params of `initialize`.
    pub initialize: Value,
}

impl RawServer {
    /// Connects a client through a pipe of 256 KiB per direction. The handshake is done on return.
    pub async fn connect(builder: Builder) -> (CasClient, Self) {
        Self::connect_as(builder, 256 * 1024, "0.0.0").await
    }

    /// Connects through a pipe of this size.
    pub async fn connect_by(builder: Builder, pipe: usize) -> (CasClient, Self) {
        Self::connect_as(builder, pipe, "0.0.0").await
    }

    /// Connects as this version of codex.
    pub async fn connect_to(builder: Builder, version: &str) -> (CasClient, Self) {
        Self::connect_as(builder, 1024 * 1024, version).await
    }

    async fn connect_as(builder: Builder, pipe: usize, version: &str) -> (CasClient, Self) {
        let (near, far) = tokio::io::duplex(pipe);
        let (client_reads, client_writes) = tokio::io::split(near);
        let (input, output) = tokio::io::split(far);
        let mut server = Self {
            input: BufReader::new(input),
            output,
            initialize: Value::Null,
        };
        let (client, ()) = tokio::join!(
            testing::connect(builder, client_reads, client_writes),
            server.handshake(version)
        );
        (client.expect("the handshake is done"), server)
    }

    async fn handshake(&mut self, version: &str) {
        let request = self.next().await;
        assert_eq!(request["method"], "initialize");
        self.initialize = request["params"].clone();
        let agent = format!("peer/{version}");
        self.send(&json!({"id": request["id"], "result": {"userAgent": agent}}))
            .await;
        assert_eq!(self.next().await["method"], "initialized");
    }

    /// Writes bytes as they are.
    pub async fn write(&mut self, bytes: &[u8]) {
        self.output
            .write_all(bytes)
            .await
            .expect("the client reads");
    }

    /// Writes a line, which need not be JSON or UTF-8.
    pub async fn say(&mut self, line: &[u8]) {
        self.write(line).await;
        self.write(b"\n").await;
    }

    /// Writes a line of text.
    pub async fn send_line(&mut self, line: &str) {
        self.say(line.as_bytes()).await;
    }

    /// Writes a message.
    pub async fn send(&mut self, message: &Value) {
        self.say(message.to_string().as_bytes()).await;
    }

    /// Writes several messages at once.
    pub async fn send_all(&mut self, messages: &[Value]) {
        let lines: Vec<String> = messages.iter().map(ToString::to_string).collect();
        self.say(lines.join("\n").as_bytes()).await;
    }

    /// Sends a request to the client.
    pub async fn request(&mut self, id: impl Into<Value>, method: &str, params: Value) {
        self.send(&json!({"id": id.into(), "method": method, "params": params}))
            .await;
    }

    /// Sends a notification.
    pub async fn notify(&mut self, method: &str, params: Value) {
        self.send(&json!({"method": method, "params": params}))
            .await;
    }

    /// The next line of the client, to the letter.
    pub async fn hear(&mut self) -> String {
        let mut line = String::new();
        self.input.read_line(&mut line).await.expect("a line");
        assert_eq!(line.pop(), Some('\n'), "the client is there");
        line
    }

    /// The next message of the client.
    pub async fn next(&mut self) -> Value {
        serde_json::from_str(&self.hear().await).expect("JSON")
    }

    /// Answers the next request of the client, which must be of this method. Returns its params.
    pub async fn expect(&mut self, method: &str, result: Value) -> Value {
        let request = self.next().await;
        assert_eq!(request["method"], method, "{request}");
        self.send(&json!({"id": request["id"], "result": result}))
            .await;
        request["params"].clone()
    }

    /// The id of the next request of the client, which must be of this method. Skips responses.
    pub async fn asked(&mut self, method: &str) -> u64 {
        let request = loop {
            let message = self.next().await;
            if message.get("method").is_some() {
                break message;
            }
        };
        assert_eq!(request["method"], method, "{request}");
        request["id"].as_u64().expect("the client counts its ids")
    }

    /// Asserts that the connection still works, both ways.
    pub async fn is_well(&mut self, client: &CasClient) {
        let params = json!({});
        let call = client.call::<Value>("ping", &params);
        let pong = async {
            let id = self.asked("ping").await;
            self.send(&json!({"id": id, "result": "pong"})).await;
        };
        let (answer, ()) = tokio::join!(call, pong);
        assert_eq!(answer.expect("an answer"), "pong");
    }

    /// Both directions, for tests that read and write at the same time.
    pub fn into_halves(self) -> (BufReader<ReadHalf<DuplexStream>>, WriteHalf<DuplexStream>) {
        (self.input, self.output)
    }
}

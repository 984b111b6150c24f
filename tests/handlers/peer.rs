//! A scripted server in memory, for what the real one does not do.

use cas_sdk::{Builder, CasClient};
use serde_json::{Value, json};
use tokio::io::{
    AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf,
};

pub(crate) struct Peer {
    lines: Lines<BufReader<ReadHalf<DuplexStream>>>,
    output: WriteHalf<DuplexStream>,
    /// The params of `initialize`.
    pub(crate) initialize: Value,
}

impl Peer {
    /// A client of the builder, and the server it is connected to.
    pub(crate) async fn connect(builder: Builder) -> (CasClient, Self) {
        Self::connect_to(builder, "0.0.0").await
    }

    /// The same, of a version of codex.
    pub(crate) async fn connect_to(builder: Builder, version: &str) -> (CasClient, Self) {
        let (near, far) = tokio::io::duplex(1024 * 1024);
        let (output_of_server, input_of_server) = tokio::io::split(near);
        let (input, output) = tokio::io::split(far);
        let mut peer = Self {
            lines: BufReader::new(input).lines(),
            output,
            initialize: Value::Null,
        };
        let (client, ()) = tokio::join!(
            builder.connect(output_of_server, input_of_server),
            peer.handshake(version)
        );
        (client.expect("the handshake is done"), peer)
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

    pub(crate) async fn send(&mut self, message: &Value) {
        self.send_line(&message.to_string()).await;
    }

    /// A line as it is, for what `Value` does not hold.
    pub(crate) async fn send_line(&mut self, line: &str) {
        self.output
            .write_all(format!("{line}\n").as_bytes())
            .await
            .expect("the client reads");
    }

    /// Several messages in one write.
    pub(crate) async fn send_all(&mut self, messages: &[Value]) {
        let lines: Vec<String> = messages.iter().map(ToString::to_string).collect();
        let lines = lines.join("\n") + "\n";
        self.output
            .write_all(lines.as_bytes())
            .await
            .expect("the client reads");
    }

    pub(crate) async fn request(&mut self, id: impl Into<Value>, method: &str, params: Value) {
        self.send(&json!({"id": id.into(), "method": method, "params": params}))
            .await;
    }

    pub(crate) async fn notify(&mut self, method: &str, params: Value) {
        self.send(&json!({"method": method, "params": params}))
            .await;
    }

    /// The next message of the client.
    pub(crate) async fn next(&mut self) -> Value {
        let line = self.lines.next_line().await.expect("a line");
        serde_json::from_str(&line.expect("the client is there")).expect("JSON")
    }

    /// Answers a request of the client, which has to be of this method. Returns its params.
    pub(crate) async fn expect(&mut self, method: &str, result: Value) -> Value {
        let request = self.next().await;
        assert_eq!(request["method"], method, "{request}");
        self.send(&json!({"id": request["id"], "result": result}))
            .await;
        request["params"].clone()
    }
}

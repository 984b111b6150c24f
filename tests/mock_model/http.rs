//! A plain HTTP client that shows the wire chunk by chunk.

use std::{net::SocketAddr, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};

/// The limit for every wait of a test.
const PATIENCE: Duration = Duration::from_secs(30);

/// The end of a stream of events.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By the rules of HTTP.
    Proper,
    /// In the middle of the stream.
    Dropped,
}

/// A response whose head has arrived.
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    stream: BufReader<TcpStream>,
    /// The part of the next event that has arrived.
    buffer: String,
}

/// Sends a model request.
pub(crate) async fn ask(address: SocketAddr, body: &Value) -> Answer {
    send(address, "POST", "/v1/responses", &[], &body.to_string()).await
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    send(address, "GET", path, &[], "").await
}

pub(crate) async fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let headers: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let headers = headers.concat();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: mock\r\n{headers}content-length: {length}\r\n\r\n{body}"
    );
    let exchange = async {
        let mut stream = TcpStream::connect(address)
            .await
            .expect("the model listens");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("the model reads");
        let mut stream = BufReader::new(stream);
        let status = line(&mut stream).await.expect("there is an answer");
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let mut headers = Vec::new();
        while let Some((name, value)) = line(&mut stream)
            .await
            .expect("the head is whole")
            .split_once(": ")
        {
            headers.push((name.to_owned(), value.to_owned()));
        }
        let status = status.expect("the answer begins with a status");
        Answer {
            status,
            headers,
            stream,
            buffer: String::new(),
        }
    };
    timeout(PATIENCE, exchange)
        .await
        .expect("the model answers in time")
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body of a response that is not a stream.
    pub(crate) async fn text(mut self) -> String {
        let length = self
            .header("content-length")
            .expect("the answer is no stream");
        let mut body = vec![0; length.parse().unwrap()];
        timeout(PATIENCE, self.stream.read_exact(&mut body))
            .await
            .expect("in time")
            .unwrap();
        String::from_utf8(body).unwrap()
    }

    pub(crate) async fn json(self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    /// The next event, or the end of the stream.
    pub(crate) async fn event(&mut self) -> Result<Value, End> {
        let next = async {
            loop {
                if let Some((frame, _)) = self.buffer.split_once("\n\n") {
                    let (kind, data) = frame.split_once('\n').expect("a frame has two lines");
                    let data: Value =
                        serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
                    assert_eq!(kind.strip_prefix("event: "), data["type"].as_str());
                    self.buffer.drain(..frame.len() + 2);
                    return Ok(data);
                }
                let chunk = self.chunk().await?;
                self.buffer.push_str(&chunk);
            }
        };
        timeout(PATIENCE, next)
            .await
            .expect("the stream goes on or ends")
    }

    /// All remaining events, and the end of the stream.
    pub(crate) async fn events(&mut self) -> (Vec<Value>, End) {
        let mut events = Vec::new();
        loop {
            match self.event().await {
                Ok(event) => events.push(event),
                Err(end) => return (events, end),
            }
        }
    }

    /// Reads events up to the first one of this type, and returns it.
    pub(crate) async fn until(&mut self, kind: &str) -> Value {
        loop {
            let event = self.event().await.expect("the stream has such an event");
            if event["type"] == kind {
                return event;
            }
        }
    }

    async fn chunk(&mut self) -> Result<String, End> {
        let size = line(&mut self.stream).await.ok_or(End::Dropped)?;
        let size = usize::from_str_radix(&size, 16).expect("a chunk begins with its size");
        let mut chunk = vec![0; size + 2];
        self.stream
            .read_exact(&mut chunk)
            .await
            .map_err(|_| End::Dropped)?;
        if size == 0 {
            return Err(End::Proper);
        }
        chunk.truncate(size);
        Ok(String::from_utf8(chunk).expect("events are text"))
    }
}

/// A line without its terminator, or `None` if the connection ended before.
async fn line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.strip_suffix("\r\n").map(str::to_owned)
}

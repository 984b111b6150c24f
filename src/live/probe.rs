//! A connection that only asks. What the server asks is left to its other clients, for an answer is a vote.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::{io::AsyncWriteExt as _, time::timeout};

use crate::{
    Error,
    error::{CloseCause, CloseReason, RpcError},
    live::Endpoint,
    rpc::{
        error::ErrorObject,
        line::{Line, Lines},
    },
    transport::{
        Deadline, open,
        websocket::{Reader, Writer},
    },
};

pub(super) struct Probe {
    lines: Lines<Reader>,
    writer: Writer,
    deadline: Deadline,
    next_id: u64,
    /// The server's process, where the system tells.
    pub(super) pid: Option<u32>,
    /// The answer to `initialize`.
    pub(super) greeting: Value,
}

/// The longest message that is read; the answers that are asked for are short.
const LONGEST: usize = 16 * 1024 * 1024;
/// Requests at once. The server drops some above about 160.
const WINDOW: usize = 32;

#[derive(Deserialize)]
struct Message<'a> {
    id: Option<Value>,
    method: Option<serde::de::IgnoredAny>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

impl Probe {
    pub(super) async fn open(endpoint: &Endpoint, deadline: Deadline) -> Result<Self, Error> {
        let opened = open(endpoint, None, deadline).await?;
        let mut this = Self {
            lines: Lines::new(opened.reader, LONGEST),
            writer: opened.writer,
            deadline,
            next_id: 1,
            pid: opened.pid,
            greeting: Value::Null,
        };
        let version = env!("CARGO_PKG_VERSION");
        let info = json!({"name": "cas-sdk", "title": "cas-sdk", "version": version});
        let params = json!({"clientInfo": info, "capabilities": {"experimentalApi": true}});
        this.greeting = match this.call("initialize", params).await {
            Err(Error::Timeout { .. }) => {
                let kind = deadline.passed("the answer to initialize");
                return Err(endpoint.error(kind).into());
            }
            answer => answer?,
        };
        this.write(&json!({"method": "initialized"})).await?;
        Ok(this)
    }

    /// Makes a request; a refusal is an error.
    pub(super) async fn call(
        &mut self,
        method: &'static str,
        params: Value,
    ) -> Result<Value, Error> {
        let answers = self.call_each(method, vec![params]).await?;
        let answer = answers.into_iter().next().unwrap_or(Ok(Value::Null));
        answer.map_err(|source| Error::Rpc {
            method: method.to_owned(),
            source,
        })
    }

    /// Makes the same request with each of the params. The answers are in the order of the params.
    pub(super) async fn call_each(
        &mut self,
        method: &'static str,
        params: Vec<Value>,
    ) -> Result<Vec<Result<Value, RpcError>>, Error> {
        let left = self.deadline.left();
        timeout(left, self.exchange(method, params))
            .await
            .unwrap_or_else(|_| {
                Err(Error::Timeout {
                    method: method.to_owned(),
                    after: left,
                })
            })
    }

    async fn exchange(
        &mut self,
        method: &str,
        params: Vec<Value>,
    ) -> Result<Vec<Result<Value, RpcError>>, Error> {
        let mut answers = Vec::with_capacity(params.len());
        for params in params.chunks(WINDOW) {
            let first = self.next_id;
            for params in params {
                let request = json!({"id": self.next_id, "method": method, "params": params});
                self.next_id += 1;
                self.write(&request).await?;
            }
            let mut waiting: HashMap<u64, _> = HashMap::new();
            while waiting.len() < params.len() {
                let (id, answer) = self.answer().await?;
                if (first..self.next_id).contains(&id) {
                    waiting.insert(id, answer);
                }
            }
            answers.extend((first..self.next_id).filter_map(|id| waiting.remove(&id)));
        }
        Ok(answers)
    }

    async fn write(&mut self, message: &Value) -> Result<(), Error> {
        let line = format!("{message}\n");
        let written = async {
            self.writer.write_all(line.as_bytes()).await?;
            self.writer.flush().await
        };
        written
            .await
            .map_err(|e: std::io::Error| closed(CloseCause::Write(e.to_string())))
    }

    /// The next answer; all else is passed over.
    async fn answer(&mut self) -> Result<(u64, Result<Value, RpcError>), Error> {
        loop {
            while let Some(line) = self.lines.next() {
                let Line::Text(text) = line else { continue };
                let Ok(message) = serde_json::from_slice::<Message>(text) else {
                    continue;
                };
                let id = message.id.as_ref().and_then(Value::as_u64);
                let (Some(id), None) = (id, message.method) else {
                    continue;
                };
                let answer = match message.error {
                    Some(error) => Err(RpcError::from(&ErrorObject::parse(error.get()))),
                    None => Ok(message
                        .result
                        .and_then(|result| serde_json::from_str(result.get()).ok())
                        .unwrap_or_default()),
                };
                return Ok((id, answer));
            }
            match self.lines.fill().await {
                Ok(true) => {}
                Ok(false) => return Err(closed(CloseCause::Eof)),
                Err(e) => return Err(closed(CloseCause::Read(e.to_string()))),
            }
        }
    }
}

fn closed(cause: CloseCause) -> Error {
    Error::Closed(std::sync::Arc::new(CloseReason::new(cause)))
}

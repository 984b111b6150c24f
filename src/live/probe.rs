//! A connection that only makes requests. Requests of the server are left to its other clients,
//! since an answer is a vote.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use tokio::{io::AsyncWriteExt as _, time::timeout};

use crate::{
    Error,
    error::{CloseCause, CloseReason, RpcError},
    live::Endpoint,
    protocol::{Call, ClientInfo, InitializeCapabilities, InitializeParams},
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
    /// The process id of the server, where the system reports it.
    pub(super) pid: Option<u32>,
    /// The result of `initialize`.
    pub(super) greeting: Value,
}

/// The longest message that is read. The expected answers are short.
const LONGEST: usize = 16 * 1024 * 1024;
/// Requests in flight. The server drops some above about 160.
const WINDOW: usize = 32;

#[derive(Serialize)]
struct Request<'a, C> {
    id: u64,
    method: &'static str,
    params: &'a C,
}

#[derive(Serialize)]
struct Notification {
    method: &'static str,
}

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
        let info = ClientInfo::new("cas-sdk", env!("CARGO_PKG_VERSION")).title("cas-sdk");
        let capabilities = InitializeCapabilities::default().experimental_api(true);
        let params = InitializeParams::new(info).capabilities(capabilities);
        this.greeting = match this.call(params).await {
            Err(Error::Timeout { .. }) => {
                let kind = deadline.passed("the answer to initialize");
                return Err(endpoint.error(kind).into());
            }
            answer => answer?,
        };
        this.write(
            "initialized",
            &Notification {
                method: "initialized",
            },
        )
        .await?;
        Ok(this)
    }

    /// Makes a request. A refusal is an error.
    pub(super) async fn call<C: Call>(&mut self, params: C) -> Result<Value, Error> {
        let answers = self.call_each(&[params]).await?;
        let answer = answers.into_iter().next().unwrap_or(Ok(Value::Null));
        answer.map_err(|source| Error::Rpc {
            method: C::METHOD.to_owned(),
            source,
        })
    }

    /// Makes one request for each of the params. The answers are in the order of the params.
    pub(super) async fn call_each<C: Call>(
        &mut self,
        params: &[C],
    ) -> Result<Vec<Result<Value, RpcError>>, Error> {
        let left = self.deadline.left();
        timeout(left, self.exchange(params))
            .await
            .unwrap_or_else(|_| {
                Err(Error::Timeout {
                    method: C::METHOD.to_owned(),
                    after: left,
                })
            })
    }

    async fn exchange<C: Call>(
        &mut self,
        params: &[C],
    ) -> Result<Vec<Result<Value, RpcError>>, Error> {
        let mut answers = Vec::with_capacity(params.len());
        for params in params.chunks(WINDOW) {
            let first = self.next_id;
            for params in params {
                let request = Request {
                    id: self.next_id,
                    method: C::METHOD,
                    params,
                };
                self.next_id += 1;
                self.write(C::METHOD, &request).await?;
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

    async fn write(&mut self, method: &str, message: &impl Serialize) -> Result<(), Error> {
        let mut line = serde_json::to_vec(message).map_err(|e| Error::encode(method, &e))?;
        line.push(b'\n');
        let written = async {
            self.writer.write_all(&line).await?;
            self.writer.flush().await
        };
        written
            .await
            .map_err(|e: std::io::Error| closed(CloseCause::Write(e.to_string())))
    }

    /// The next answer. Skips all other messages.
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

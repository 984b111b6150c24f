//! One instance inside this process: the proxy, and the orchestrator's end of its lines.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::{
    io::{
        AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines, ReadHalf,
        WriteHalf,
    },
    sync::mpsc,
    time::timeout,
};

use crate::proxy::{self, Notice, Options};

/// How many of an app-server's last lines an error shows.
const LAST_WORDS: usize = 5;

fn last_words(stderr: &str) -> String {
    let plain = anstream::adapter::strip_str(stderr).to_string();
    let lines: Vec<&str> = plain.lines().filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(LAST_WORDS)..].join(" | ")
}

/// The size of the pipes between the two sides.
const PIPE: usize = 16 * 1024;

/// An event that carries an answer, whose result is kept as it was written.
#[derive(Deserialize)]
struct Answer {
    msg: Message,
}

#[derive(Deserialize)]
struct Message {
    result: Option<Box<RawValue>>,
    error: Option<Value>,
}

/// How much of an app-server's stderr is kept until it is ready.
const STDERR: usize = 64 * 1024;

/// An instance that did not start.
pub(crate) struct NotReady {
    pub(crate) error: String,
    /// Another attempt may succeed.
    pub(crate) may_pass: bool,
}

/// The orchestrator's end.
pub(crate) struct Instance {
    events: Lines<BufReader<ReadHalf<DuplexStream>>>,
    commands: WriteHalf<DuplexStream>,
}

impl Instance {
    /// An instance and the future that runs it. The instance makes no progress unless the future is
    /// polled.
    pub(crate) fn new(
        options: Options,
        notices: mpsc::Receiver<Notice>,
    ) -> (Self, impl Future<Output = u8> + Send) {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let (events, commands) = tokio::io::split(ours);
        let (their_commands, their_events) = tokio::io::split(theirs);
        let life = proxy::run(options, their_commands, their_events, notices);
        let events = BufReader::with_capacity(PIPE, events).lines();
        (Self { events, commands }, life)
    }

    /// Waits for `cas/ready`.
    pub(crate) async fn ready(&mut self) -> Result<(), NotReady> {
        let mut stderr = String::new();
        let ready = self.event(|event| {
            if event["type"] == "cas/appServerStderr" && stderr.len() < STDERR {
                stderr.push_str(event["line"].as_str().unwrap_or_default());
                stderr.push('\n');
            }
            event["type"] == "cas/ready"
        });
        ready.await.map(drop).map_err(|error| NotReady {
            may_pass: proxy::start_may_pass(&error, &stderr),
            error: match last_words(&stderr) {
                words if words.is_empty() => error,
                words => format!("{error}; stderr: {words}"),
            },
        })
    }

    /// Makes a request and waits for its answer.
    pub(crate) async fn request(
        &mut self,
        method: &str,
        params: &Value,
        within: Option<Duration>,
    ) -> Result<Box<RawValue>, String> {
        let command =
            json!({"type": "cas/request", "id": "the-request", "method": method, "params": params});
        self.send(&command).await?;
        let answer = self.event(|e| {
            e["type"] == "cas/fromServer" && e["kind"] == "response" && e["id"] == "the-request"
        });
        let line = match within {
            Some(within) => timeout(within, answer)
                .await
                .map_err(|_| format!("no answer within {} ms", within.as_millis()))??,
            None => answer.await?,
        };
        let Answer { msg } = serde_json::from_str(&line).map_err(|e| e.to_string())?;
        match (msg.error, msg.result) {
            (None, Some(result)) => Ok(result),
            (error, _) => {
                let error = error.unwrap_or_default();
                let text = error["message"].as_str();
                let text = text.unwrap_or("an error without a message");
                Err(format!("{text} ({})", error["code"]))
            }
        }
    }

    /// Asks for the end and reads until it is there.
    pub(crate) async fn exit(mut self) {
        if self.send(&json!({"type": "cas/exit"})).await.is_ok() {
            while let Ok(Some(_)) = self.events.next_line().await {}
        }
    }

    async fn send(&mut self, command: &Value) -> Result<(), String> {
        let line = format!("{command}\n");
        let sent = self.commands.write_all(line.as_bytes()).await;
        sent.map_err(|_| "the instance has ended".to_owned())
    }

    /// The line of the next event of some kind; an error if the instance ends before.
    async fn event(&mut self, mut wanted: impl FnMut(&Value) -> bool) -> Result<String, String> {
        let (mut errors, mut exit) = (Vec::new(), None);
        while let Ok(Some(line)) = self.events.next_line().await {
            let Ok(event) = serde_json::from_str::<Value>(&line) else {
                continue;
            };
            if wanted(&event) {
                return Ok(line);
            }
            let text = |key: &str| event[key].as_str().map(str::to_owned);
            if event["type"] == "cas/error" {
                errors.extend(text("message"));
                errors.extend(text("error"));
            } else if event["type"] == "cas/appServerExit" {
                let code = event["code"]
                    .as_i64()
                    .map(|code| format!("exit status {code}"));
                exit = code.or_else(|| text("signal"));
            }
        }
        if errors.is_empty() {
            errors.push("the instance has ended".to_owned());
        }
        errors.extend(exit);
        Err(errors.join(": "))
    }
}

//! A server on a port of this machine that a test plays: what it says of requests and turns the
//! real one says to nobody on request.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use cas_sdk::testing::FakeServer;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::mpsc, time::sleep};
use tokio_tungstenite::{accept_async, tungstenite::Message};

use crate::{
    common::{eventually, within},
    tmux::Terminal,
};

pub const THREAD: &str = "019a2b3c-4d5e-7000-8000-000000000001";
pub const TURN: &str = "turn-1";
pub const COMMAND: &str = "item/commandExecution/requestApproval";

pub struct Scripted {
    pub address: String,
    dir: TempDir,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Who follows the thread.
    followers: Mutex<Vec<mpsc::UnboundedSender<Value>>>,
    /// The answers to the requests of the server.
    answers: Mutex<Vec<Value>>,
    /// The requests of the clients.
    requests: Mutex<Vec<Value>>,
    /// The turns that a snapshot has.
    turns: Mutex<Value>,
}

impl Scripted {
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = format!("ws://{}", listener.local_addr().unwrap());
        let shared = Arc::<Shared>::default();
        *shared.turns.lock().unwrap() = json!([]);
        let of_all = shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = of_all.clone();
                tokio::spawn(async move {
                    let mut socket = accept_async(stream).await.unwrap();
                    let (follower, mut said) = mpsc::unbounded_channel();
                    loop {
                        let message = tokio::select! {
                            Some(said) = said.recv() => said,
                            heard = socket.next() => match heard {
                                Some(Ok(Message::Text(text))) => {
                                    let heard = serde_json::from_str(&text).unwrap();
                                    let Some(answer) = shared.hear(heard, &follower) else { continue };
                                    answer
                                }
                                Some(Ok(_)) => continue,
                                _ => return,
                            },
                        };
                        if socket
                            .send(Message::text(message.to_string()))
                            .await
                            .is_err()
                        {
                            return;
                        }
                    }
                });
            }
        });
        let dir = tempfile::tempdir().unwrap();
        Self {
            address,
            dir,
            shared,
        }
    }

    /// The snapshot has this turn.
    pub fn has_turn(&self, status: &str, items: &Value) {
        let turn = json!({"id": TURN, "items": items, "status": status, "error": null});
        *self.shared.turns.lock().unwrap() = json!([turn]);
    }

    /// Says something to whoever follows the thread.
    pub fn says(&self, message: &Value) {
        for follower in &*self.shared.followers.lock().unwrap() {
            let _ = follower.send(message.clone());
        }
    }

    pub fn notifies(&self, method: &str, mut params: Value) {
        params["threadId"] = THREAD.into();
        self.says(&json!({"method": method, "params": params}));
    }

    /// A turn begins, or ends with this status.
    pub fn turn(&self, method: &str, status: &str) {
        let turn = json!({"id": TURN, "items": [], "status": status, "error": null});
        self.notifies(method, json!({"turn": turn}));
    }

    pub fn item(&self, method: &str, item: &Value) {
        let params = json!({"turnId": TURN, "item": item, "startedAtMs": 1, "completedAtMs": 1});
        self.notifies(method, params);
    }

    /// Asks, in the turn.
    pub fn asks(&self, id: u64, method: &str, more: &Value) {
        let mut params =
            json!({"threadId": THREAD, "turnId": TURN, "itemId": "item-1", "startedAtMs": 1});
        for (key, value) in more.as_object().unwrap() {
            params[key] = value.clone();
        }
        self.says(&json!({"id": id, "method": method, "params": params}));
    }

    /// Somebody else has answered.
    pub fn resolved(&self, id: u64) {
        self.notifies("serverRequest/resolved", json!({"requestId": id}));
    }

    /// The answer to a request.
    pub fn answer(&self, id: u64) -> Option<Value> {
        let answers = self.shared.answers.lock().unwrap();
        let answer = answers.iter().find(|answer| answer["id"] == id)?;
        Some(answer["result"].clone())
    }

    pub async fn answered(&self, id: u64) -> Value {
        eventually("an answer", || self.answer(id).is_some()).await;
        self.answer(id).unwrap()
    }

    /// The params of the requests of a method.
    pub fn heard(&self, method: &str) -> Vec<Value> {
        let requests = self.shared.requests.lock().unwrap();
        let of_method = { requests.iter() }.filter(|request| request["method"] == method);
        of_method.map(|request| request["params"].clone()).collect()
    }

    /// Waits until somebody follows the thread and has read what it was told then.
    pub async fn is_followed(&self) {
        eventually("it is followed", || {
            !self.shared.followers.lock().unwrap().is_empty()
        })
        .await;
        sleep(Duration::from_millis(300)).await;
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// `cas` in a terminal, at this server.
    pub fn cas(&self, terminal: &Terminal, env: &[&str], args: &[&str]) {
        let home = self.dir().display();
        let mut words = vec![
            "env".to_owned(),
            "-i".into(),
            "TERM=xterm-256color".into(),
            "NO_COLOR=1".into(),
            format!("HOME={home}"),
            format!("CODEX_HOME={home}"),
        ];
        words.extend(env.iter().map(|one| (*one).to_owned()));
        words.push(env!("CARGO_BIN_EXE_cas").to_owned());
        words.extend(args.iter().map(|one| (*one).to_owned()));
        words.extend(["--connect".to_owned(), self.address.clone()]);
        terminal.start(self.dir(), (140, 40), &words);
    }

    /// `cas attach` in a terminal, which has joined the thread in which a turn runs.
    pub async fn attached(&self, terminal: &Terminal) {
        self.cas(terminal, &[], &["attach", THREAD]);
        self.is_followed().await;
        terminal.shows("thread 019a2b3c").await;
        self.turn("turn/started", "inProgress");
    }
}

/// Runs a test within so many seconds with `cas ask --approvals ask` in a terminal, which follows
/// the thread. Does nothing without a terminal.
pub async fn in_ask(seconds: u64, test: impl AsyncFnOnce(&Terminal, &Scripted)) {
    let Some(terminal) = Terminal::new() else {
        return;
    };
    within(seconds, async {
        let server = Scripted::start().await;
        server.cas(&terminal, &[], &["ask", "--approvals", "ask", "go"]);
        server.is_followed().await;
        test(&terminal, &server).await;
    })
    .await;
}

/// Runs a test within so many seconds with `cas attach` in a terminal, see [`Scripted::attached`].
/// Does nothing without a terminal.
pub async fn in_attach(seconds: u64, test: impl AsyncFnOnce(&Terminal, &Scripted)) {
    let Some(terminal) = Terminal::new() else {
        return;
    };
    within(seconds, async {
        let server = Scripted::start().await;
        server.attached(&terminal).await;
        test(&terminal, &server).await;
    })
    .await;
}

impl Shared {
    fn hear(&self, heard: Value, follower: &mpsc::UnboundedSender<Value>) -> Option<Value> {
        let Some(method) = heard["method"].as_str() else {
            self.answers.lock().unwrap().push(heard);
            return None;
        };
        let id = heard.get("id")?.clone();
        let mut result = json!({});
        match method {
            "initialize" => {
                result = json!({
                    "userAgent": "cas/0.171.0 (Linux)", "codexHome": "/home", "platformFamily": "unix", "platformOs": "linux",
                });
            }
            "thread/loaded/list" => result = json!({"data": [THREAD], "nextCursor": null}),
            "thread/read" => result = json!({"thread": FakeServer::thread(THREAD, "idle")}),
            "thread/resume" | "thread/start" => {
                result = FakeServer::thread_opened(THREAD);
                let turns = self.turns.lock().unwrap().clone();
                result["initialTurnsPage"] = json!({"data": turns, "nextCursor": null});
                self.followers.lock().unwrap().push(follower.clone());
            }
            "turn/start" => {
                result["turn"] = json!({"id": TURN, "items": [], "status": "inProgress"});
            }
            method if method.ends_with("list") => result = json!({"data": [], "nextCursor": null}),
            _ => {}
        }
        self.requests.lock().unwrap().push(heard);
        Some(json!({"id": id, "result": result}))
    }
}

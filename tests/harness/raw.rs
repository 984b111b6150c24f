//! Codex without a client: the process and its lines.

use std::{process::Stdio, time::Duration};

use cas_sdk::testing::{CodexHome, codex_or_skip};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// The limit for every wait of a test.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Codex {
    child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
    /// Messages that have arrived and are not taken.
    backlog: Vec<Value>,
    last_id: u64,
    user_agent: String,
}

impl Codex {
    /// Starts codex and does the handshake. `None` if there is no codex to test with.
    pub(crate) async fn start(home: &CodexHome) -> Option<Self> {
        let mut child = Command::new(codex_or_skip().await?)
            .arg("app-server")
            .env_clear()
            .envs(home.env())
            .current_dir(home.work_dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("codex starts");
        let stdin = child.stdin.take().expect("stdin is piped");
        let stdout = child.stdout.take().expect("stdout is piped");
        let stdout = BufReader::new(stdout).lines();
        let mut codex = Self {
            child,
            stdin,
            stdout,
            backlog: Vec::new(),
            last_id: 0,
            user_agent: String::new(),
        };
        let client = json!({ "name": "cas-sdk-harness", "version": "0.1.0" });
        let params = json!({ "clientInfo": client, "capabilities": { "experimentalApi": true } });
        let server = codex.request("initialize", params).await;
        codex.user_agent = server["userAgent"].as_str().unwrap_or_default().to_owned();
        codex.send(&json!({ "method": "initialized" })).await;
        Some(codex)
    }

    /// Starts a thread and returns its id.
    pub(crate) async fn start_thread(&mut self, params: Value) -> String {
        let result = self.request("thread/start", params).await;
        result["thread"]["id"]
            .as_str()
            .expect("a thread has an id")
            .to_owned()
    }

    /// Starts a turn and returns its id.
    pub(crate) async fn start_turn(&mut self, thread: &str, text: &str) -> String {
        let input = json!([{ "type": "text", "text": text }]);
        let result = self
            .request("turn/start", json!({ "threadId": thread, "input": input }))
            .await;
        result["turn"]["id"]
            .as_str()
            .expect("a turn has an id")
            .to_owned()
    }

    /// Waits for the end of the running turn, and returns the turn.
    pub(crate) async fn end_of_turn(&mut self) -> Value {
        self.notification("turn/completed").await["turn"].take()
    }

    /// Runs a whole turn and returns it.
    pub(crate) async fn turn(&mut self, thread: &str, text: &str) -> Value {
        self.start_turn(thread, text).await;
        self.end_of_turn().await
    }

    /// Makes a request that must succeed, and returns its result.
    pub(crate) async fn request(&mut self, method: &str, params: Value) -> Value {
        let mut answer = self.ask(method, params).await;
        assert!(
            answer.get("error").is_none(),
            "{method} was refused: {answer}"
        );
        answer["result"].take()
    }

    /// Makes a request that must be refused, and returns the reason.
    pub(crate) async fn refused(&mut self, method: &str, params: Value) -> String {
        let answer = self.ask(method, params).await;
        let reason = answer["error"]["message"].as_str();
        reason
            .unwrap_or_else(|| panic!("{method} was not refused: {answer}"))
            .to_owned()
    }

    async fn ask(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        self.send(&json!({ "id": id, "method": method, "params": params }))
            .await;
        let is_answer = |message: &Value| message["id"] == id && message.get("method").is_none();
        self.message(method, is_answer).await
    }

    /// Whether this codex asks the client for the time. 0.169 is the last one.
    pub(crate) fn asks_for_the_time(&self) -> bool {
        let (_, version) = self
            .user_agent
            .split_once('/')
            .expect("it names its version");
        let minor = version
            .split('.')
            .nth(1)
            .expect("a version has three parts");
        minor.parse::<u32>().expect("a number") < 171
    }

    /// The params of the next notification of this method.
    pub(crate) async fn notification(&mut self, method: &str) -> Value {
        let wanted = |message: &Value| message["method"] == method && message.get("id").is_none();
        self.message(method, wanted).await["params"].take()
    }

    /// The next server request of this method: its id and its params.
    pub(crate) async fn server_request(&mut self, method: &str) -> (Value, Value) {
        let wanted = |message: &Value| message["method"] == method && message.get("id").is_some();
        let mut request = self.message(method, wanted).await;
        (request["id"].take(), request["params"].take())
    }

    /// The next message of one of these methods.
    pub(crate) async fn next_of(&mut self, methods: &[&str]) -> Value {
        let wanted = |message: &Value| {
            message["method"]
                .as_str()
                .is_some_and(|method| methods.contains(&method))
        };
        self.message(methods[0], wanted).await
    }

    pub(crate) async fn answer(&mut self, id: Value, result: Value) {
        self.send(&json!({ "id": id, "result": result })).await;
    }

    /// The notifications of this method that have arrived and are not taken.
    pub(crate) fn arrived(&self, method: &str) -> Vec<&Value> {
        let arrived = self
            .backlog
            .iter()
            .filter(|message| message["method"] == method);
        arrived.map(|message| &message["params"]).collect()
    }

    /// Closes stdin and waits for codex to end.
    pub(crate) async fn end(mut self) {
        drop(self.stdin);
        let status = timeout(PATIENCE, self.child.wait()).await;
        let status = status
            .expect("codex ends in time")
            .expect("codex can be waited for");
        assert!(status.success(), "codex ended with {status}");
    }

    async fn send(&mut self, message: &Value) {
        let line = format!("{message}\n");
        self.stdin
            .write_all(line.as_bytes())
            .await
            .expect("codex reads its stdin");
    }

    async fn message(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(position) = self.backlog.iter().position(&wanted) {
            return self.backlog.remove(position);
        }
        let next = async {
            loop {
                let line = self.stdout.next_line().await.expect("codex writes text");
                let line = line.unwrap_or_else(|| panic!("codex ended before {what}"));
                let message: Value = serde_json::from_str(&line).expect("codex writes JSON");
                if wanted(&message) {
                    return message;
                }
                self.backlog.push(message);
            }
        };
        if let Ok(message) = timeout(PATIENCE, next).await {
            return message;
        }
        let methods: Vec<&Value> = self
            .backlog
            .iter()
            .map(|message| &message["method"])
            .collect();
        panic!("waited {PATIENCE:?} for {what}; there were {methods:?}");
    }
}

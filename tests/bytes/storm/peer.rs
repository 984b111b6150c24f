//! The peer of the storm: plays many turns at once, interleaved and cut at random.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hasher as _},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, ReadHalf, WriteHalf},
    sync::mpsc,
};

/// Reproducible random numbers.
#[derive(Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn of(what: impl std::hash::Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        Self(hasher.finish() | 1)
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % n as u64).unwrap()
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            all.swap(at, self.below(at + 1));
        }
    }
}

/// The deltas of the answer to a prompt.
fn pieces(said: &str) -> Vec<String> {
    let mut dice = Dice::of(said);
    let count = [1, 3, 20, 40, 150, 600][dice.below(6)];
    let piece = |n| {
        let odd = match dice.below(60) {
            0..8 => "\"\\\n\u{1}",
            8..12 => "größer ☃ 𝕊",
            12 => &"long ".repeat(2_000),
            _ => "",
        };
        format!("{said}/{n}{odd} ")
    };
    (0..count).map(piece).collect()
}

pub(super) fn text(said: &str) -> String {
    pieces(said).concat()
}

/// A turn of the peer, with its remaining messages.
struct Script {
    thread: String,
    turn: String,
    lines: VecDeque<String>,
    dice: Dice,
    messages: usize,
    layout: usize,
}

impl Script {
    fn new(thread: &str, turn: &str, said: &str) -> Self {
        let mut script = Self {
            thread: thread.to_owned(),
            turn: turn.to_owned(),
            lines: VecDeque::new(),
            dice: Dice::of(turn),
            messages: 0,
            layout: 0,
        };
        script.status("active");
        script.say(
            "turn/started",
            json!({"turn": {"id": turn, "items": [], "status": "inProgress"}}),
        );
        let user = json!({"type": "userMessage", "id": format!("{turn}-u"), "content": []});
        script.say(
            "item/started",
            json!({"turnId": turn, "item": user, "startedAtMs": 1}),
        );
        script.say(
            "item/completed",
            json!({"turnId": turn, "item": user, "completedAtMs": 1}),
        );
        script.message(said);
        script.end("completed");
        script
    }

    fn message(&mut self, said: &str) {
        self.messages += 1;
        let (turn, item) = (
            self.turn.clone(),
            format!("{}-{}", self.turn, self.messages),
        );
        let message = |text: &str| json!({"type": "agentMessage", "id": item, "text": text});
        self.say(
            "item/started",
            json!({"turnId": turn, "item": message(""), "startedAtMs": 1}),
        );
        for piece in pieces(said) {
            let params = json!({"turnId": turn, "itemId": item, "delta": piece});
            self.say("item/agentMessage/delta", params);
        }
        let whole = message(&text(said));
        self.say(
            "item/completed",
            json!({"turnId": turn, "item": whole, "completedAtMs": 1}),
        );
    }

    fn end(&mut self, status: &str) {
        self.status("idle");
        let turn = json!({"id": self.turn, "items": [], "status": status, "durationMs": 1});
        self.say("turn/completed", json!({"turn": turn}));
    }

    fn status(&mut self, status: &str) {
        let status = json!({"type": status, "activeFlags": []});
        self.say("thread/status/changed", json!({"status": status}));
    }

    /// The members are in random order, which mostly stays the same for a while.
    fn say(&mut self, method: &str, mut params: Value) {
        params["threadId"] = self.thread.as_str().into();
        if self.dice.below(30) == 0 {
            self.layout = self.dice.below(100);
        }
        let mut order = Dice::of(self.layout);
        let mut members: Vec<_> = params.as_object().unwrap().iter().map(member).collect();
        order.shuffle(&mut members);
        let mut message = [
            format!("\"method\":\"{method}\""),
            format!("\"params\":{{{}}}", members.join(",")),
            format!("\"emittedAtMs\":{}", 1_763_841_600_000 + self.lines.len()),
        ];
        order.shuffle(&mut message);
        self.lines.push_back(format!("{{{}}}\n", message.join(",")));
    }
}

fn member((key, value): (&String, &Value)) -> String {
    format!("\"{key}\":{value}")
}

/// The peer. All output goes through `out`, which is cut at random.
pub(super) struct Peer {
    scripts: Vec<Script>,
    out: Vec<u8>,
    dice: Dice,
    threads: usize,
    turns: usize,
}

impl Peer {
    pub(super) fn new(dice: Dice) -> Self {
        Self {
            scripts: Vec::new(),
            out: Vec::new(),
            dice,
            threads: 0,
            turns: 0,
        }
    }

    pub(super) async fn run(
        mut self,
        heard: BufReader<ReadHalf<DuplexStream>>,
        mut said: WriteHalf<DuplexStream>,
    ) {
        let (tx, mut requests) = mpsc::channel(1_000);
        // Reading must not wait for writing.
        let reader = tokio::spawn(async move {
            let mut lines = heard.lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if tx.send(serde_json::from_str(&line).unwrap()).await.is_err() {
                    return;
                }
            }
        });
        loop {
            let next = if self.scripts.is_empty() && self.out.is_empty() {
                requests.recv().await
            } else {
                match requests.try_recv() {
                    Err(mpsc::error::TryRecvError::Empty) => Some(Value::Null),
                    request => request.ok(),
                }
            };
            let Some(request) = next else { break };
            self.hear(&request);
            self.go_on();
            let mut rest = &self.out[..];
            // The rest follows with the next line.
            while rest.len() > self.dice.below(400) {
                let most = [10, 1_000, 50_000][self.dice.below(3)];
                let n = 1 + self.dice.below(rest.len().min(most));
                if said.write_all(&rest[..n]).await.is_err() {
                    return;
                }
                rest = &rest[n..];
            }
            let left = rest.len();
            let done = self.out.len() - left;
            self.out.drain(..done);
            if self.scripts.is_empty() {
                let _ = said.write_all(&std::mem::take(&mut self.out)).await;
            }
        }
        reader.await.unwrap();
    }

    fn hear(&mut self, request: &Value) {
        let (id, params) = (&request["id"], &request["params"]);
        let of = |key: &str| params[key].as_str().unwrap_or_default().to_owned();
        match request["method"].as_str() {
            Some("thread/start") => {
                self.threads += 1;
                let thread = json!({"id": format!("thread-{:03}", self.threads)});
                self.answer(id, &json!({"thread": thread}));
            }
            Some("turn/start") => {
                self.turns += 1;
                let turn = format!("turn-{:07}", self.turns);
                let mut script = Script::new(&of("threadId"), &turn, &input(params));
                // Some events precede the response.
                for _ in 0..[0, 0, 2, 10, 1_000][self.dice.below(5)] {
                    self.out
                        .extend(script.lines.pop_front().unwrap_or_default().bytes());
                }
                self.answer(
                    id,
                    &json!({"turn": {"id": turn, "items": [], "status": "inProgress"}}),
                );
                self.scripts.push(script);
            }
            Some("turn/steer") => {
                let turn = of("expectedTurnId");
                let running = self
                    .scripts
                    .iter_mut()
                    .find(|s| s.turn == turn && s.lines.len() > 2);
                if let Some(script) = running {
                    let end = script.lines.len() - 2;
                    script.lines.truncate(end);
                    script.message(&input(params));
                    script.end("completed");
                    self.answer(id, &json!({"turnId": turn}));
                } else {
                    self.refuse(id, "no active turn to steer");
                }
            }
            Some("turn/interrupt") => {
                let turn = of("turnId");
                if let Some(script) = self
                    .scripts
                    .iter_mut()
                    .find(|s| s.turn == turn && s.lines.len() > 2)
                {
                    script.lines.clear();
                    script.end("interrupted");
                    self.answer(id, &json!({}));
                } else {
                    self.refuse(id, "no active turn to interrupt");
                }
            }
            Some(_) if !id.is_null() => self.refuse(id, "not in this test"),
            _ => {}
        }
    }

    /// Some lines of some turns.
    fn go_on(&mut self) {
        for _ in 0..self.dice.below(10) {
            if self.scripts.is_empty() {
                return;
            }
            let at = self.dice.below(self.scripts.len());
            for _ in 0..[1, 1, 5, 100][self.dice.below(4)] {
                let Some(line) = self.scripts[at].lines.pop_front() else {
                    self.scripts.swap_remove(at);
                    break;
                };
                self.out.extend(line.bytes());
            }
        }
    }

    fn answer(&mut self, id: &Value, result: &Value) {
        self.out
            .extend(format!("{{\"id\":{id},\"result\":{result}}}\n").bytes());
    }

    fn refuse(&mut self, id: &Value, message: &str) {
        let error = json!({"code": -32600, "message": message});
        self.out
            .extend(format!("{{\"error\":{error},\"id\":{id}}}\n").bytes());
    }
}

fn input(params: &Value) -> String {
    params["input"][0]["text"].as_str().unwrap().to_owned()
}

//! Coming back to a server that the test plays: what the real one does only by chance.

use std::pin::pin;

use cas_sdk::{
    CasClient, Supervisor, Thread,
    client::Role,
    protocol::TurnStatus,
    supervisor::{Gap, Recovered, Restart, ServerState, ThreadEvent, ThreadEvents},
    testing::FakeServer,
};
use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::{back::quick, common::within, frames::Server};

const AGENT: &str = "x/0.171.0";
pub(crate) const THREAD: &str = "t1";

impl Server {
    /// Answers requests until the client is done. The messages after an answer come in one read
    /// with it.
    pub(crate) async fn plays<T>(
        &mut self,
        mut answer: impl FnMut(&str, &Value) -> Answer,
        client: impl IntoFuture<Output = T>,
    ) -> T {
        let mut client = pin!(client.into_future());
        loop {
            let heard = tokio::select! {
                done = &mut client => return done,
                heard = self.hear() => heard,
            };
            let method = heard["method"].as_str().unwrap();
            let Answer { said, then } = answer(method, &heard["params"]);
            let (key, value) = match said {
                Ok(result) => ("result", result),
                Err(error) => ("error", error),
            };
            let first = json!({"id": heard["id"], key: value});
            for message in [first].into_iter().chain(then) {
                let text = Message::text(message.to_string());
                self.socket().feed(text).await.unwrap();
            }
            self.socket().flush().await.unwrap();
        }
    }

    /// Sends notifications about the thread.
    pub(crate) async fn notifies(&mut self, all: impl IntoIterator<Item = Value>) {
        for notification in all {
            self.say(&notification).await;
        }
    }

    /// Loses the connection, and accepts the next one.
    pub(crate) async fn comes_back(&mut self) {
        self.socket = None;
        self.greets(AGENT).await;
    }
}

pub(crate) struct Answer {
    pub(crate) said: Result<Value, Value>,
    pub(crate) then: Vec<Value>,
}

impl From<Value> for Answer {
    fn from(result: Value) -> Self {
        Self {
            said: Ok(result),
            then: Vec::new(),
        }
    }
}

fn refuses(message: &str) -> Answer {
    Answer {
        said: Err(json!({"code": -32600, "message": message})),
        then: Vec::new(),
    }
}

/// What a server with an empty record answers.
pub(crate) fn plain(method: &str) -> Answer {
    match method {
        "thread/resume" => FakeServer::thread_opened(THREAD),
        "thread/items/list" | "thread/turns/list" => page(&[], None),
        other => panic!("{other} is not expected"),
    }
    .into()
}

fn page(data: &[Value], cursor: Option<&str>) -> Value {
    json!({"data": data, "nextCursor": null, "backwardsCursor": cursor})
}

fn entry(turn: &str, item: &str) -> Value {
    json!({"turnId": turn, "createdAt": 1, "item": message(item)})
}

fn message(item: &str) -> Value {
    json!({"type": "agentMessage", "id": item, "text": item})
}

fn turn(id: &str, status: &str) -> Value {
    json!({"id": id, "items": [], "status": status})
}

fn notification(method: &str, mut params: Value) -> Value {
    params["threadId"] = json!(THREAD);
    json!({"method": method, "params": params})
}

pub(crate) fn completed(turn: &str, item: &str) -> Value {
    let params = json!({"turnId": turn, "item": message(item), "completedAtMs": 1});
    notification("item/completed", params)
}

fn turn_ends(id: &str) -> Value {
    notification("turn/completed", json!({"turn": turn(id, "completed")}))
}

pub(crate) async fn supervised(server: &mut Server, policy: Restart) -> (Supervisor, Thread) {
    let address = server.address();
    let driver = CasClient::builder().role(Role::Driver);
    let supervising = driver.supervise_connection(&*address, policy);
    let (supervisor, ()) = tokio::join!(supervising, server.greets(AGENT));
    let supervisor = supervisor.unwrap();
    let client = supervisor.client().await.unwrap();
    let resumed = client.resume_thread(THREAD);
    let thread = server.plays(|method, _| plain(method), resumed).await;
    let thread = thread.unwrap();
    supervisor.keep(&thread);
    (supervisor, thread)
}

/// The events of the thread, of which nothing is on record.
pub(crate) async fn opened(server: &mut Server, supervisor: &Supervisor) -> ThreadEvents {
    let opening = supervisor.thread_events(THREAD);
    let opened = server.plays(|method, _| plain(method), opening).await;
    opened.unwrap()
}

/// What is told until the stream has come back.
pub(crate) async fn until_back(events: &mut ThreadEvents) -> Vec<ThreadEvent> {
    let mut told = Vec::new();
    loop {
        told.push(events.next().await.unwrap().unwrap());
        if matches!(told.last(), Some(ThreadEvent::Reconnected { .. })) {
            return told;
        }
    }
}

/// The gap that was told last.
fn last_gap(told: &[ThreadEvent]) -> &Gap {
    match told.last() {
        Some(ThreadEvent::Reconnected { gap, .. }) => gap,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn lives(events: &mut ThreadEvents) -> String {
    match events.next().await.unwrap().unwrap() {
        ThreadEvent::Live { event, .. } => event.item_id().unwrap_or_default().to_owned(),
        other => panic!("{other:?}"),
    }
}

/// The ids of the recovered items, with their turns, and of the recovered turns.
fn recovered(told: &[ThreadEvent]) -> (Vec<(String, String)>, Vec<String>) {
    let (mut items, mut turns) = (Vec::new(), Vec::new());
    for event in told {
        match event {
            ThreadEvent::Recovered(Recovered::Item(entry)) => {
                let item = serde_json::to_value(&entry.item).unwrap();
                items.push((
                    entry.turn_id.clone(),
                    item["id"].as_str().unwrap().to_owned(),
                ));
            }
            ThreadEvent::Recovered(Recovered::Turn(turn)) => turns.push(turn.id.clone()),
            _ => {}
        }
    }
    (items, turns)
}

#[tokio::test]
async fn events_that_follow_the_answer_to_the_first_request_at_once_are_told() {
    within(30, async {
        let mut server = Server::start().await;
        let (supervisor, _thread) = supervised(&mut server, quick()).await;
        // When the stream is opened, and when its thread is resumed.
        let follows = |at: &'static str, item: &'static str| {
            move |method: &str, _: &Value| {
                let mut answer = plain(method);
                if method == at {
                    answer.then.push(completed("u1", item));
                }
                answer
            }
        };
        let opening = supervisor.thread_events(THREAD);
        let opened = server.plays(follows("thread/items/list", "i1"), opening);
        let mut events = opened.await.unwrap();
        assert_eq!(lives(&mut events).await, "i1");
        server.comes_back().await;
        let back = until_back(&mut events);
        server.plays(follows("thread/resume", "i2"), back).await;
        assert_eq!(lives(&mut events).await, "i2");
    })
    .await;
}

#[tokio::test]
async fn a_long_stream_forgets_what_it_told_and_reads_the_record_from_the_last_mark_but_one() {
    within(60, async {
        let mut server = Server::start().await;
        let (supervisor, _thread) = supervised(&mut server, quick()).await;
        let mut marks = 0;
        let mut mark = |method: &str, _: &Value| -> Answer {
            assert_eq!(method, "thread/items/list");
            marks += 1;
            page(&[], Some(&format!("mark {marks}"))).into()
        };
        let opening = supervisor.thread_events(THREAD);
        let mut events = server.plays(&mut mark, opening).await.unwrap();
        for item in 0..1_200 {
            let id = format!("i{item}");
            server.notifies([completed("u1", &id)]).await;
            let live = server.plays(&mut mark, lives(&mut events)).await;
            assert_eq!(live, id);
        }
        assert_eq!(
            marks, 3,
            "one for the beginning, and one for each 512 items"
        );
        server.comes_back().await;
        let mut cursors = Vec::new();
        let answer = |method: &str, params: &Value| {
            if method == "thread/items/list" {
                cursors.push(params["cursor"].clone());
            }
            plain(method)
        };
        server.plays(answer, until_back(&mut events)).await;
        // An item may be on record before its event comes, so the newest mark could skip it.
        assert_eq!(cursors, ["mark 2"]);
    })
    .await;
}

#[tokio::test]
async fn the_end_of_a_turn_is_told_once_though_its_last_item_is_recovered_after_it() {
    within(30, async {
        let mut server = Server::start().await;
        let (supervisor, _thread) = supervised(&mut server, quick()).await;
        let mut events = opened(&mut server, &supervisor).await;
        server
            .notifies([completed("u1", "i1"), turn_ends("u1")])
            .await;
        lives(&mut events).await;
        lives(&mut events).await;
        server.comes_back().await;
        // The next turn has an item of the same name.
        let record = [entry("u1", "i1"), entry("u1", "i2"), entry("u2", "i1")];
        let answer = |method: &str, _: &Value| match method {
            "thread/items/list" => page(&record, None).into(),
            "thread/turns/list" => {
                page(&[turn("u2", "failed"), turn("u1", "completed")], None).into()
            }
            other => plain(other),
        };
        let told = server.plays(answer, until_back(&mut events)).await;
        let (items, turns) = recovered(&told);
        let own = |turn: &str, item: &str| (turn.to_owned(), item.to_owned());
        assert_eq!(items, [own("u1", "i2"), own("u2", "i1")]);
        assert_eq!(turns, ["u2"]);
    })
    .await;
}

#[tokio::test]
async fn a_record_that_cannot_be_read_or_is_too_long_leaves_a_gap_that_says_so() {
    within(60, async {
        let mut server = Server::start().await;
        let (supervisor, _thread) = supervised(&mut server, quick()).await;
        let mut events = opened(&mut server, &supervisor).await;
        server.comes_back().await;
        let answer = |method: &str, _: &Value| match method {
            "thread/items/list" => refuses("the record is broken"),
            other => plain(other),
        };
        let told = server.plays(answer, until_back(&mut events)).await;
        let gap = last_gap(&told);
        let reason = gap.incomplete.as_ref().unwrap().to_string();
        assert!(reason.contains("the record is broken"), "{reason}");

        server.comes_back().await;
        let mut pages = 0;
        let answer = |method: &str, _: &Value| -> Answer {
            if method != "thread/items/list" {
                return plain(method);
            }
            let items = (0..100).map(|item| entry("u1", &format!("i{pages}-{item}")));
            let items: Vec<_> = items.collect();
            pages += 1;
            json!({"data": items, "nextCursor": pages.to_string()}).into()
        };
        let told = server.plays(answer, until_back(&mut events)).await;
        let gap = last_gap(&told);
        assert_eq!(gap.items, 10_000);
        let reason = gap.incomplete.as_ref().unwrap().to_string();
        assert!(reason.contains("more than 10000"), "{reason}");
        assert_eq!(recovered(&told).0.len(), 10_000);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_drains_costs_no_attempt() {
    within(30, async {
        let mut server = Server::start().await;
        let (supervisor, _thread) = supervised(&mut server, quick().attempts(1)).await;
        for _ in 0..3 {
            server.comes_back().await;
            let resume = server.hear().await;
            assert_eq!(resume["method"], "thread/resume");
            let refusal = json!({"code": -32600, "message": "Server is draining; retry after reconnecting",
                "data": {"reason": "serverShuttingDown"}});
            server
                .say(&json!({"id": resume["id"], "error": refusal}))
                .await;
            let mut states = supervisor.states();
            while !matches!(
                states.next().await,
                Some(ServerState::Reconnecting { error, .. }) if error.rpc().is_some()
            ) {}
        }
        server.comes_back().await;
        let thread = supervisor.thread(THREAD);
        let thread = server.plays(|method, _| plain(method), thread).await;
        assert_eq!(thread.unwrap().id(), THREAD);
    })
    .await;
}

#[tokio::test]
async fn a_turn_that_is_written_down_a_moment_after_the_reconnection_is_found() {
    within(30, async {
        let mut server = Server::start().await;
        let (supervisor, thread) = supervised(&mut server, quick()).await;
        let starts = |method: &str, _: &Value| match method {
            "turn/start" => json!({"turn": turn("u1", "inProgress")}).into(),
            other => plain(other),
        };
        let asked = server.plays(starts, thread.ask("go")).await.unwrap();
        supervisor.forget(THREAD); // `finish` keeps it.
        server.comes_back().await;
        let mut looked = 0;
        let answer = |method: &str, _: &Value| -> Answer {
            if method != "thread/turns/list" {
                return plain(method);
            }
            looked += 1;
            if looked == 1 {
                return plain(method);
            }
            page(&[turn("u1", "completed")], None).into()
        };
        let outcome = server.plays(answer, supervisor.finish(asked)).await;
        let outcome = outcome.unwrap();
        assert_eq!(outcome.turn_id, "u1");
        assert_eq!(outcome.status, TurnStatus::Completed);
        assert!(outcome.recovered);
    })
    .await;
}

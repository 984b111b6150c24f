//! The sessions of a server: which begin, work, wait and end.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use cas_sdk::{CasClient, Error, Event, Events, Filter, Supervisor, client::Role};
use serde_json::{Map, Value, json};

use super::{
    Args,
    events::VERSION,
    link::{Change, Link, over},
};
use crate::{
    output::{Result, cell, complain, json as json_line, line},
    running::Running,
    server::{list, parsed, short, title},
    signals::Signals,
    waiting::or_never,
};

/// Returns the exit status.
pub(super) async fn run(args: &Args, signals: &mut Signals) -> Result<u8> {
    let opened = Roster::open(args);
    let mut roster = signals.or(opened).await?;
    loop {
        tokio::select! {
            biased;
            caught = signals.next() => return caught.leaves(),
            done = roster.step() => done?,
        }
    }
}

struct Roster {
    json: bool,
    supervisor: Supervisor,
    link: Link,
    /// `None` while there is no connection.
    events: Option<Events>,
    threads: HashMap<String, Known>,
}

/// What was last shown of a thread.
#[derive(Default)]
struct Known {
    title: String,
    status: &'static str,
}

impl Roster {
    async fn open(args: &Args) -> Result<Self> {
        let running = Running::any(&args.server, Role::Observer).await?;
        let supervisor = running.join(args.reconnect).await?;
        let client = supervisor.client().await?;
        let events = subscribed(&client);
        let mut threads = HashMap::new();
        for thread in loaded(&client).await? {
            threads.insert(id_of(&thread), Known::of(&thread));
        }
        let roster = Self {
            json: args.json,
            link: Link::new(&supervisor),
            supervisor,
            events: Some(events),
            threads,
        };
        roster.watching(roster.threads.len())?;
        Ok(roster)
    }

    fn watching(&self, threads: usize) -> Result {
        if self.json {
            return json_line(&json!({"event": "watching", "v": VERSION, "threads": threads}));
        }
        line(format_args!("{threads} threads are loaded"))
    }

    /// Waits for what happens next, and shows it.
    async fn step(&mut self) -> Result {
        tokio::select! {
            biased;
            event = or_never(self.events.as_mut().map(Events::next)) => match event {
                Some(Ok(event)) => self.event(&event),
                Some(Err(Error::Lagged { skipped })) => {
                    complain(&format!("{skipped} events were dropped"));
                    Ok(())
                }
                Some(Err(_)) | None => {
                    self.events = None;
                    Ok(())
                }
            },
            change = self.link.next() => match change? {
                Change::Lost(attempt) => self.lost(&attempt),
                Change::Connected => self.back().await,
            },
        }
    }

    fn lost(&self, attempt: &super::link::Attempt) -> Result {
        if self.json {
            return attempt.events().iter().try_for_each(json_line);
        }
        line(format_args!("{}", attempt.text()))
    }

    /// Goes on with the next connection, and shows the threads whose status or title has changed.
    async fn back(&mut self) -> Result {
        let client = match self.supervisor.client().await {
            Ok(client) => client,
            Err(error) => return Err(over(&error)),
        };
        let events = subscribed(&client);
        let threads = match loaded(&client).await {
            Ok(threads) => threads,
            // The connection was lost again, which is reported next.
            Err(_) if is_closed(&client).await => return Ok(()),
            Err(failure) => return Err(failure),
        };
        self.events = Some(events);
        self.link.is_lost = false;
        if self.json {
            let none = Value::Null;
            json_line(
                &json!({"event": "reconnected", "items": none, "turns": none, "incomplete": none}),
            )?;
        } else {
            line("back")?;
        }
        self.watching(threads.len())?;
        self.unloaded(&threads)?;
        for thread in threads {
            let (id, now) = (id_of(&thread), Known::of(&thread));
            let before = self.threads.get(&id);
            let is_same = before
                .is_some_and(|before| before.status == now.status && before.title == now.title);
            if !is_same {
                let params = json!({"threadId": id, "status": thread["status"]});
                self.show("thread/read", &id, now.status, &now.title, &params)?;
                self.threads.insert(id, now);
            }
        }
        Ok(())
    }

    /// Shows which threads are no longer among those that are loaded, and forgets them.
    fn unloaded(&mut self, loaded: &[Value]) -> Result {
        let loaded: HashSet<_> = loaded.iter().map(id_of).collect();
        let status = json!({"type": "notLoaded"});
        let gone = self.threads.extract_if(|id, _| !loaded.contains(id));
        for (id, known) in gone.collect::<Vec<_>>() {
            let params = json!({"threadId": id, "status": status});
            self.show(
                "thread/read",
                &id,
                status_text(&status),
                &known.title,
                &params,
            )?;
        }
        Ok(())
    }

    fn event(&mut self, event: &Event) -> Result {
        let params: Value = serde_json::from_str(event.json()).unwrap_or_default();
        let thread = &params["thread"];
        let id = event
            .thread_id()
            .map_or_else(|| id_of(thread), str::to_owned);
        let what = match event.method() {
            "thread/started" => "begins",
            "thread/name/updated" => "is named",
            "thread/status/changed" => status_text(&params["status"]),
            "thread/closed" => "is closed",
            "thread/archived" => "is archived",
            "thread/deleted" => "is deleted",
            _ => return Ok(()),
        };
        let known = self.threads.entry(id.clone()).or_default();
        match event.method() {
            "thread/started" => *known = Known::of(thread),
            "thread/name/updated" => known.title = text(&params["threadName"]),
            "thread/status/changed" => known.status = what,
            _ => {}
        }
        let title = known.title.clone();
        if matches!(event.method(), "thread/closed" | "thread/deleted") {
            self.threads.remove(&id);
        }
        self.show(event.method(), &id, what, &title, &params)
    }

    fn show(&self, method: &str, id: &str, what: &str, title: &str, params: &Value) -> Result {
        if self.json {
            return json_line(&json!({
                "event": "thread", "method": method, "threadId": id, "params": params,
            }));
        }
        let (id, title) = (cell(short(id), 40), cell(title, 60));
        line(format_args!("{id}  {what:<21}  {title}"))
    }
}

impl Known {
    /// By what `thread/read` and `thread/started` say of a thread.
    fn of(thread: &Value) -> Self {
        Self {
            title: title(thread).to_owned(),
            status: status_text(&thread["status"]),
        }
    }
}

fn subscribed(client: &CasClient) -> Events {
    client.events(Filter::all().method("thread/*"))
}

async fn is_closed(client: &CasClient) -> bool {
    let closed = client.closed();
    tokio::time::timeout(Duration::ZERO, closed).await.is_ok()
}

/// The threads that the server has loaded.
async fn loaded(client: &CasClient) -> Result<Vec<Value>> {
    let mut threads = Vec::new();
    for id in list(client, "thread/loaded/list", Map::new(), usize::MAX).await? {
        let params = json!({"threadId": parsed(&id)});
        match client.call::<Value>("thread/read", &params).await {
            Ok(mut read) => threads.push(read["thread"].take()),
            // It was closed in this moment.
            Err(error) if error.rpc().is_some() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(threads)
}

fn id_of(thread: &Value) -> String {
    text(&thread["id"])
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// What the thread does, for people.
fn status_text(status: &Value) -> &'static str {
    let flags = status["activeFlags"].as_array();
    let waits = |flag: &str| flags.is_some_and(|flags| flags.iter().any(|one| one == flag));
    match status["type"].as_str() {
        _ if waits("waitingOnApproval") => "waits for an approval",
        _ if waits("waitingOnUserInput") => "waits for an answer",
        Some("active") => "runs",
        Some("idle") => "is idle",
        Some("systemError") => "failed",
        Some("notLoaded") => "is unloaded",
        _ => "changed",
    }
}

//! The sessions of a server: which begin, work, wait and end.

use std::collections::HashMap;

use cas_sdk::{Error, Event, Filter, client::Role, live::LiveServer};
use serde_json::{Value, json};

use super::{Args, view::VERSION};
use crate::{
    failure::{DONE, FAILED},
    output::{Failure, Result, cell, complain, json as json_line, line},
    server::short,
    signals::{Caught, Signals},
};

/// Returns the exit status.
pub(super) async fn run(args: &Args, signals: &mut Signals) -> Result<u8> {
    let (client, server) = signals.or(args.server.any_running(Role::Observer)).await?;
    let mut titles = HashMap::new();
    let mut events = client.events(Filter::all().method("thread/*"));
    if let Some(LiveServer { threads, .. }) = &server {
        for thread in threads {
            titles.insert(thread.id.clone(), thread.title().to_owned());
        }
    }
    if args.json {
        json_line(&json!({"event": "watching", "v": VERSION, "threads": titles.len()}))?;
    } else {
        line(format_args!("{} threads are loaded", titles.len()))?;
    }
    loop {
        let event = tokio::select! {
            biased;
            caught = signals.next() => return match caught {
                Caught::Interrupt => Ok(DONE),
                other => Err(Failure::Signal(other)),
            },
            event = events.next() => event,
        };
        match event {
            Some(Ok(event)) => show(args, &event, &mut titles)?,
            Some(Err(Error::Lagged { skipped })) => {
                complain(&format!("{skipped} events were dropped"));
            }
            Some(Err(_)) | None => {
                let reason = client.closed().await;
                complain(&format!("the server can't be watched any more: {reason}"));
                return Ok(FAILED);
            }
        }
    }
}

fn show(args: &Args, event: &Event, titles: &mut HashMap<String, String>) -> Result {
    let params: Value = serde_json::from_str(event.json()).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let thread = &params["thread"];
    let id = match event.thread_id() {
        Some(id) => id.to_owned(),
        None => text(&thread["id"]),
    };
    let what = match event.method() {
        "thread/started" => {
            titles.insert(id.clone(), text(&thread["preview"]));
            "begins"
        }
        "thread/name/updated" => {
            titles.insert(id.clone(), text(&params["threadName"]));
            "is named"
        }
        "thread/status/changed" => status(&params["status"]),
        "thread/closed" => "is closed",
        "thread/archived" => "is archived",
        "thread/deleted" => "is deleted",
        _ => return Ok(()),
    };
    if args.json {
        return json_line(&json!({
            "event": "thread", "method": event.method(), "threadId": id, "params": params,
        }));
    }
    let title = titles.get(&id).map_or("", String::as_str);
    line(format_args!(
        "{}  {what:<21}  {}",
        cell(short(&id), 40),
        cell(title, 60)
    ))
}

fn status(status: &Value) -> &'static str {
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

//! Turns and threads against the real codex and a scripted model.

#[path = "../common/mod.rs"]
mod common;

mod agents;
mod answers;
mod basics;
mod by_id;
mod classes;
mod deliver;
mod deliver_played;
mod goal;
mod history;
mod inputs;
mod login;
mod midnight;
mod odd;
mod opening;
mod outside;
mod plan;
mod queue;
mod readers;
mod review;
mod special;
mod stop;
mod storm;
mod threads;

use cas_sdk::{Events, Thread, testing::Reply};
use common::Rig;

/// The thread can be asked, and the answer is the model's.
async fn answers(rig: &Rig, thread: &Thread) {
    rig.model.reply(Reply::text("here I am"));
    let turn = thread.ask("are you there?").await.unwrap();
    assert_eq!(turn.finish().await.unwrap().text, "here I am");
}

/// The next end of a turn is that it was interrupted.
async fn interrupted(ends: &mut Events) {
    let end = ends.next().await.unwrap().unwrap();
    let status = r#""status":"interrupted""#;
    assert!(end.json().contains(status), "{}", end.line());
}

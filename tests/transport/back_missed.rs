//! Coming back: what happened while the connection was lost.

use std::{collections::HashMap, time::Duration};

use cas_sdk::{
    Error, Supervisor, Thread,
    client::Role,
    protocol::{ThreadItemsListParams, TurnStatus},
    supervisor::{Gap, Recovered, ThreadEvent, ThreadEvents},
    testing::{Gate, Reply},
    turn::TurnErrorKind,
};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    back::{begun, epoch, supervise},
    common::{Rig, codex_test, eventually},
    cut::Cut,
    listener::{Listener, builder, socket},
};

/// What a stream has told.
#[derive(Default)]
struct Told {
    /// How often each item was told as complete, by its turn and id.
    items: HashMap<String, usize>,
    recovered: usize,
    /// The turns whose end was told, and how often.
    turns: HashMap<String, usize>,
    gaps: Vec<Gap>,
    pieces: String,
}

impl Told {
    /// Reads on until the end of a turn is told.
    async fn until_end_of(&mut self, events: &mut ThreadEvents, turn: &str) {
        while !self.turns.contains_key(turn) {
            self.read(events).await;
        }
    }

    async fn until_gap(&mut self, events: &mut ThreadEvents) {
        let before = self.gaps.len();
        while self.gaps.len() == before {
            self.read(events).await;
        }
    }

    async fn read(&mut self, events: &mut ThreadEvents) {
        match events.next().await.unwrap().unwrap() {
            ThreadEvent::Live { event, epoch } => {
                assert_eq!(epoch, u64::try_from(self.gaps.len()).unwrap());
                let params: Value = serde_json::from_str(event.json()).unwrap();
                match event.method() {
                    "item/completed" => self.item(event.turn_id().unwrap(), &params["item"]),
                    "turn/completed" => {
                        let turn = event.turn_id().unwrap().to_owned();
                        *self.turns.entry(turn).or_default() += 1;
                    }
                    "item/agentMessage/delta" => {
                        self.pieces.push_str(params["delta"].as_str().unwrap());
                    }
                    _ => {}
                }
            }
            ThreadEvent::Recovered(Recovered::Item(entry)) => {
                self.recovered += 1;
                let item = serde_json::to_value(&entry.item).unwrap();
                self.item(&entry.turn_id, &item);
            }
            ThreadEvent::Recovered(Recovered::Turn(turn)) => {
                *self.turns.entry(turn.id).or_default() += 1;
            }
            ThreadEvent::Reconnected { gap, epoch } => {
                self.gaps.push(gap);
                assert_eq!(epoch, u64::try_from(self.gaps.len()).unwrap());
            }
            _ => {}
        }
    }

    fn item(&mut self, turn: &str, item: &Value) {
        let key = format!("{turn} {}", item["id"].as_str().unwrap());
        *self.items.entry(key).or_default() += 1;
    }

    /// Everything on record since these items was told once.
    async fn is_whole(&self, thread: &Thread, before: usize) {
        let params = ThreadItemsListParams::new(thread.id());
        let record = thread.client().pages(params).all().await.unwrap();
        for entry in &record[before..] {
            let item = serde_json::to_value(&entry.item).unwrap();
            let key = format!("{} {}", entry.turn_id, item["id"].as_str().unwrap());
            assert_eq!(self.items.get(&key), Some(&1), "{item}");
        }
        assert!(
            self.items.values().all(|told| *told == 1),
            "{:?}",
            self.items
        );
        assert!(
            self.turns.values().all(|told| *told == 1),
            "{:?}",
            self.turns
        );
    }
}

struct Scene {
    listener: Listener,
    cut: Cut,
    supervisor: Supervisor,
    thread: Thread,
    events: ThreadEvents,
    before: usize,
}

async fn scene(rig: &Rig) -> Scene {
    let listener = Listener::unix(rig).await;
    let cut = Cut::before(&socket(rig));
    let supervisor = supervise(rig, &cut.address).await;
    let thread = begun(rig, &supervisor).await;
    let events = supervisor.thread_events(thread.id()).await.unwrap();
    let params = ThreadItemsListParams::new(thread.id());
    let before = thread.client().pages(params).all().await.unwrap().len();
    Scene {
        listener,
        cut,
        supervisor,
        thread,
        events,
        before,
    }
}

fn command(call: &str) -> Reply {
    Reply::new().function_call(call, "exec_command", json!({"cmd": "true"}))
}

#[tokio::test]
async fn a_turn_whose_connection_is_cut_while_it_streams_goes_on_after_the_next_one() {
    codex_test(60, async |rig| {
        let mut s = scene(&rig).await;
        let gate = Gate::new();
        rig.model
            .reply(Reply::new().delta("half").hold(&gate).delta(" and whole"));
        let turn = s.thread.ask("go").await.unwrap();
        let id = turn.id().to_owned();
        let mut told = Told::default();
        while told.pieces != "half" {
            told.read(&mut s.events).await;
        }
        s.cut.cut();
        told.until_gap(&mut s.events).await;
        let gap = &told.gaps[0];
        assert!(gap.incomplete.is_none(), "{gap:?}");
        assert_eq!((gap.items, gap.turns), (0, 0));
        let running = gap.running.as_ref().expect("the turn runs");
        assert_eq!(
            (&running.id, &running.status),
            (&id, &TurnStatus::InProgress)
        );
        gate.open();
        let outcome = s.supervisor.finish(turn).await.unwrap();
        assert_eq!(outcome.text, "half and whole");
        told.until_end_of(&mut s.events, &id).await;
        assert_eq!(told.recovered, 0);
        let thread = s.supervisor.thread(s.thread.id()).await.unwrap();
        told.is_whole(&thread, s.before).await;
        assert_eq!(rig.model.request_count(), 2);
        s.listener.end().await;
    })
    .await;
}

#[tokio::test]
async fn items_and_turns_that_ended_meanwhile_are_recovered_once() {
    codex_test(60, async |rig| {
        let mut s = scene(&rig).await;
        let gate = Gate::new();
        let mut reply = Reply::new().commentary("before").hold(&gate);
        // Enough for several pages of the record.
        for message in 0..250 {
            reply = reply.commentary(message.to_string());
        }
        rig.model.reply(reply.message("done"));
        let turn = s.thread.ask("go").await.unwrap();
        let id = turn.id().to_owned();
        let mut told = Told::default();
        while told.items.len() < 2 {
            told.read(&mut s.events).await;
        }
        s.cut.close(true);
        s.cut.cut();
        gate.open();
        // Another client starts the next turn, which ends as well.
        let other = builder(&rig).role(Role::Driver);
        let other = other.connect_to(&s.listener.address).await.unwrap();
        let theirs = other.resume_thread(s.thread.id()).await.unwrap();
        if let Some(running) = theirs.running_turn().await.unwrap() {
            running.finish().await.unwrap();
        }
        rig.model.reply(Reply::text("more"));
        let next = theirs.ask("and more").await.unwrap();
        let next_id = next.id().to_owned();
        next.finish().await.unwrap();
        s.cut.close(false);
        let outcome = s.supervisor.finish(turn).await.unwrap();
        assert_eq!(outcome.text, "done");
        assert!(outcome.recovered);
        told.until_gap(&mut s.events).await;
        let gap = &told.gaps[0];
        assert!(gap.incomplete.is_none() && gap.running.is_none(), "{gap:?}");
        assert_eq!((gap.items, gap.turns), (told.recovered, 2));
        assert_eq!(gap.items, 250 + 1 + 2, "{gap:?}");
        assert!(told.turns.contains_key(&id) && told.turns.contains_key(&next_id));
        let thread = s.supervisor.thread(s.thread.id()).await.unwrap();
        told.is_whole(&thread, s.before).await;
        s.listener.end().await;
    })
    .await;
}

#[tokio::test]
async fn the_end_of_a_turn_that_left_nothing_else_on_record_is_recovered() {
    codex_test(60, async |rig| {
        let mut s = scene(&rig).await;
        rig.model
            .reply(Reply::new().delta("half").hold(&Gate::new()));
        let turn = s.thread.ask("go").await.unwrap();
        let mut told = Told::default();
        while told.pieces != "half" {
            told.read(&mut s.events).await;
        }
        // This one has seen nothing of the turn.
        let mut late = s.supervisor.thread_events(s.thread.id()).await.unwrap();
        s.cut.close(true);
        s.cut.cut();
        let other = builder(&rig).role(Role::Driver);
        let other = other.connect_to(&s.listener.address).await.unwrap();
        let theirs = other.resume_thread(s.thread.id()).await.unwrap();
        let running = theirs.running_turn().await.unwrap().unwrap();
        running.interrupt().await.unwrap();
        let _ = running.finish().await;
        s.cut.close(false);
        for events in [&mut s.events, &mut late] {
            let mut told = Told::default();
            told.until_gap(events).await;
            let gap = &told.gaps[0];
            assert_eq!((gap.items, gap.turns), (0, 1), "{gap:?}");
            assert!(gap.incomplete.is_none() && gap.running.is_none(), "{gap:?}");
            assert_eq!(told.turns.get(turn.id()), Some(&1));
        }
        s.listener.end().await;
    })
    .await;
}

#[tokio::test]
async fn nothing_is_missed_or_told_twice_however_often_the_connection_is_cut() {
    codex_test(120, async |rig| {
        let mut s = scene(&rig).await;
        let mut reply = Reply::new();
        // More than a stream remembers.
        for message in 0..1_500 {
            let pause = Duration::from_millis(2);
            reply = reply.commentary(message.to_string()).pause(pause);
        }
        rig.model.reply(reply.message("done"));
        let turn = s.thread.ask("go").await.unwrap();
        let id = turn.id().to_owned();
        let mut told = Told::default();
        let mut next_cut = 5;
        while !told.turns.contains_key(&id) {
            told.read(&mut s.events).await;
            if told.items.len() >= next_cut {
                next_cut += 100;
                s.cut.cut();
            }
        }
        assert!(told.gaps.len() > 3, "{}", told.gaps.len());
        assert_eq!(s.supervisor.finish(turn).await.unwrap().text, "done");
        let thread = s.supervisor.thread(s.thread.id()).await.unwrap();
        told.is_whole(&thread, s.before).await;
        assert_eq!(rig.model.request_count(), 2);
        s.listener.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_turn_that_ended_with_its_server_is_interrupted_with_what_it_had_done() {
    codex_test(60, async |rig| {
        let mut s = scene(&rig).await;
        rig.model.reply(command("c-1"));
        rig.model
            .reply(Reply::new().delta("half").hold(&Gate::new()));
        let turn = s.thread.ask("go").await.unwrap();
        let id = turn.id().to_owned();
        rig.model.wait_for_requests(3).await;
        s.listener.kill().await;
        let listener = Listener::unix(&rig).await;
        let error = s.supervisor.finish(turn).await.unwrap_err();
        let Error::Turn(end) = error else {
            panic!("{error:?}")
        };
        assert!(matches!(end.kind, TurnErrorKind::Interrupted), "{end:?}");
        assert!(end.outcome.items.len() >= 2, "{:?}", end.outcome.items);
        let mut told = Told::default();
        told.until_gap(&mut s.events).await;
        assert!(told.turns.contains_key(&id));
        let thread = s.supervisor.thread(s.thread.id()).await.unwrap();
        told.is_whole(&thread, s.before).await;
        assert_eq!(rig.model.request_count(), 3, "nothing was asked again");
        listener.end().await;
    })
    .await;
}

#[tokio::test]
async fn thirty_two_supervisors_come_back_to_one_server_and_see_the_next_turn() {
    codex_test(120, async |rig| {
        let mut listener = Listener::unix(&rig).await;
        let address = listener.address.clone();
        let owner = supervise(&rig, &address).await;
        let thread = begun(&rig, &owner).await;
        let join = || async {
            let supervisor = supervise(&rig, &address).await;
            let client = supervisor.client().await.unwrap();
            let joined = client.resume_thread(thread.id()).await.unwrap();
            supervisor.keep(&joined);
            let events = supervisor.thread_events(thread.id()).await.unwrap();
            (supervisor, events)
        };
        let joined = join_all((0..32).map(|_| join())).await;
        listener.kill().await;
        let listener = Listener::unix(&rig).await;
        epoch(&owner, 1).await;
        let mut streams = Vec::new();
        for (supervisor, mut events) in joined {
            epoch(&supervisor, 1).await;
            let mut told = Told::default();
            told.until_gap(&mut events).await;
            streams.push((supervisor, events, told));
        }
        rig.model.reply(Reply::text("second"));
        let again = owner.thread(thread.id()).await.unwrap();
        let turn = again.ask("go on").await.unwrap();
        let id = turn.id().to_owned();
        turn.finish().await.unwrap();
        for (_supervisor, mut events, mut told) in streams {
            told.until_end_of(&mut events, &id).await;
            assert_eq!((told.gaps.len(), told.recovered), (1, 0));
            assert_eq!(told.items.len(), 2, "the question and the answer");
        }
        eventually("the model was asked twice", || {
            rig.model.request_count() == 2
        })
        .await;
        listener.end().await;
    })
    .await;
}

//! Turns on many threads at once, from a peer that is as fast as memory: its lines are mixed and
//! cut at random, some come before the answer that names their turn, and subscriptions come and go
//! meanwhile. No reader misses anything, gets anything twice, out of order or of another turn.

mod peer;

use std::{
    collections::HashMap,
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use cas_sdk::{
    CasClient, Error, Events, Filter, RpcErrorKind, Thread, Turn, TurnEvent, TurnOutcome,
    protocol::{ThreadItem, ThreadStartParams, TurnStatus},
    turn::TurnErrorKind,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::common::{raw::RawServer, within};
use peer::{Dice, Peer, text};

const THREADS: u64 = 20;
/// The number of subscriptions besides those of the turns.
const WATCHERS: u64 = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_reader_gets_every_delta_of_turns_at_full_speed_once_and_in_order() {
    // `CAS_STORM_SECONDS=300` runs longer; a printed `CAS_STORM_SEED` repeats the lines and plans.
    let number = |name: &str| env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let time = Duration::from_secs(number("CAS_STORM_SECONDS").unwrap_or(3));
    let seed = number("CAS_STORM_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("CAS_STORM_SEED={seed}");
    within(time.as_secs() + 60, async {
        let (client, server) = RawServer::connect_by(CasClient::builder(), 32 * 1024).await;
        let (heard, said) = server.into_halves();
        let peer = tokio::spawn(Peer::new(Dice::of(seed)).run(heard, said));
        let over = Arc::new(AtomicBool::new(false));
        let until = Instant::now() + time;
        let watchers: Vec<_> = (0..WATCHERS)
            .map(|at| {
                tokio::spawn(watch(
                    client.clone(),
                    Dice::of((seed, "watcher", at)),
                    over.clone(),
                ))
            })
            .collect();
        let workers: Vec<_> = (0..THREADS)
            .map(|at| tokio::spawn(work(client.clone(), at, Dice::of((seed, at)), until)))
            .collect();
        let mut turns = 0;
        for worker in workers {
            turns += worker.await.unwrap();
        }
        over.store(true, Ordering::Relaxed);
        let ask: Result<Value, _> = client.call("wake/up", json!({})).await;
        assert!(ask.is_err());
        client.shutdown().await;
        let mut events = 0;
        for watcher in watchers {
            events += watcher.await.unwrap();
        }
        peer.await.unwrap();
        eprintln!("{turns} turns, {events} events watched");
        assert!(turns > THREADS && events > 0);
    })
    .await;
}

/// Runs turn after turn. Returns their number.
async fn work(client: CasClient, at: u64, mut dice: Dice, until: Instant) -> u64 {
    let thread = client
        .start_thread(ThreadStartParams::default())
        .await
        .unwrap();
    let mut count = 0;
    while Instant::now() < until {
        let said = format!("{at:02}-{count:06}");
        let plan = dice.below(10);
        if let Err(wrong) = one(&thread, plan, &said, &mut dice).await {
            panic!("{said}, plan {plan}: {wrong}");
        }
        count += 1;
    }
    count
}

async fn one(thread: &Thread, plan: usize, said: &str, dice: &mut Dice) -> Result<(), String> {
    let mut expected = text(said);
    let mut record = thread.events();
    let mut turn = thread.ask(said).await.map_err(wrong)?;
    ensure(!turn.joined(), || "it joined".to_owned())?;
    let mut others = Vec::new();
    match plan {
        // Several readers, which start at different times.
        0 | 1 => others.push(tokio::spawn(all_of(turn.follow()))),
        2 => {
            let control = turn.control();
            others.push(tokio::spawn(async move { all_of(control.follow()).await }));
        }
        3 => {
            let more = format!("{said}+");
            match turn.steer(more.as_str()).await {
                Ok(()) => expected = text(&more),
                Err(error) if error.rpc_kind() == Some(RpcErrorKind::NoActiveTurn) => {}
                Err(error) => return Err(wrong(error)),
            }
        }
        4 => {
            let _ = turn.interrupt().await.map_err(wrong)?;
            return match turn.finish().await {
                Ok(outcome) => whole(&outcome, None, &expected),
                Err(Error::Turn(e)) if matches!(e.kind, TurnErrorKind::Interrupted) => {
                    let so_far = &e.outcome.text;
                    ensure(expected.starts_with(so_far.as_str()), || {
                        format!("{so_far:?} is no beginning of {expected:?}")
                    })
                }
                Err(error) => Err(wrong(error)),
            };
        }
        5 => {
            let id = turn.id().to_owned();
            drop(turn);
            // It ends either way.
            loop {
                let event = record.next().await.ok_or("no end")?.map_err(wrong)?;
                if event.method() == "turn/completed" && event.turn_id() == Some(&id) {
                    return Ok(());
                }
            }
        }
        _ => {}
    }
    let mut streamed = String::new();
    let (outcome, seen) = read(&mut turn, &mut streamed, &mut others, dice).await?;
    let before = text(said);
    let all = if expected == before {
        before
    } else {
        before + &expected
    };
    ensure(streamed == all, || {
        format!("streamed {streamed:?} instead of {all:?} in {seen} events")
    })?;
    whole(&outcome, Some(&all), &expected)?;
    for other in others {
        let (outcome, text) = other.await.map_err(wrong)??;
        ensure(text == all, || {
            format!("another reader got {text:?} instead of {all:?}")
        })?;
        whole(&outcome, Some(&all), &expected)?;
    }
    recorded(&mut record, turn.id(), &all)
}

/// The outcome and the streamed text.
type Got = (TurnOutcome, String);

/// The same from another reader.
async fn all_of(mut turn: Turn) -> Result<Got, String> {
    let mut text = String::new();
    while let Some(event) = turn.next().await {
        match event.map_err(wrong)? {
            TurnEvent::Text { delta, .. } => text.push_str(&delta),
            TurnEvent::Completed(outcome) => return Ok((*outcome, text)),
            _ => {}
        }
    }
    Err("no end for another reader".to_owned())
}

/// Reads a turn to its end. Sometimes another reader joins in the middle.
async fn read(
    turn: &mut Turn,
    streamed: &mut String,
    others: &mut Vec<JoinHandle<Result<Got, String>>>,
    dice: &mut Dice,
) -> Result<(TurnOutcome, usize), String> {
    let mut seen = 0;
    while let Some(event) = turn.next().await {
        seen += 1;
        match event.map_err(wrong)? {
            TurnEvent::Text { delta, .. } => streamed.push_str(&delta),
            TurnEvent::Completed(outcome) => return Ok((*outcome, seen)),
            TurnEvent::Lagged(n) => return Err(format!("lagged by {n}")),
            _ => {}
        }
        if dice.below(200) == 0 {
            others.push(tokio::spawn(all_of(turn.follow())));
        }
        if dice.below(200) == 0 {
            tokio::task::yield_now().await;
        }
    }
    Err("no end".to_owned())
}

fn whole(outcome: &TurnOutcome, all: Option<&str>, expected: &str) -> Result<(), String> {
    let well = outcome.status == TurnStatus::Completed && !outcome.recovered;
    ensure(well && outcome.text == expected, || {
        format!("instead of {expected:?}: {outcome:#?}")
    })?;
    let messages = outcome.items.iter().filter_map(|item| match &item.item {
        ThreadItem::AgentMessage(m) if item.completed => Some(m.text.as_str()),
        _ => None,
    });
    let messages: String = messages.collect();
    ensure(all.is_none_or(|all| all == messages), || {
        format!("instead of {all:?} the items have {messages:?}")
    })
}

/// The same from the events of the thread.
fn recorded(record: &mut Events, turn: &str, all: &str) -> Result<(), String> {
    use futures_util::FutureExt as _;
    let mut text = String::new();
    while let Some(Some(event)) = record.next().now_or_never() {
        let event = event.map_err(wrong)?;
        if event.method() == "item/agentMessage/delta" {
            ensure(event.turn_id() == Some(turn), || event.line().to_owned())?;
            let params: Value = serde_json::from_str(event.json()).map_err(wrong)?;
            text.push_str(params["delta"].as_str().unwrap_or_default());
        }
    }
    ensure(text == all, || {
        format!("the events of the thread have {text:?} instead of {all:?}")
    })
}

/// Subscribes to various events, for a while each. Returns the number of events.
async fn watch(client: CasClient, mut dice: Dice, over: Arc<AtomicBool>) -> u64 {
    let count = AtomicU64::new(0);
    while !over.load(Ordering::Relaxed) {
        let filter = match dice.below(5) {
            0 => Filter::all(),
            1 => Filter::all().method("turn/*"),
            2 => Filter::all().method("item/agentMessage/delta"),
            _ => Filter::all().thread(format!("thread-{:03}", 1 + dice.below(25))),
        };
        let mut events = client.events(filter);
        let (mut last, mut at) = (0, HashMap::new());
        for _ in 0..dice.below(3_000) {
            // A thread may be quiet or not exist.
            let Ok(next) = tokio::time::timeout(Duration::from_millis(20), events.next()).await
            else {
                break;
            };
            let event = match next {
                Some(Ok(event)) => event,
                Some(Err(Error::Lagged { .. })) => {
                    at.clear();
                    continue;
                }
                _ => return count.into_inner(),
            };
            count.fetch_add(1, Ordering::Relaxed);
            assert!(event.seq() > last, "{} after {last}", event.seq());
            last = event.seq();
            if event.method() == "item/agentMessage/delta" {
                let params: Value = serde_json::from_str(event.json()).unwrap();
                let piece = params["delta"].as_str().unwrap();
                let digits: String = piece
                    .split('/')
                    .nth(1)
                    .unwrap()
                    .chars()
                    .take_while(char::is_ascii_digit)
                    .collect();
                let n: usize = digits.parse().unwrap();
                let before = at.insert(event.item_id().unwrap().to_owned(), n);
                assert!(
                    before.is_none_or(|before| before + 1 == n),
                    "{n} after {before:?}: {}",
                    event.line()
                );
            }
        }
    }
    count.into_inner()
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn wrong(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

//! Coming back under load: a server that is killed again and again, and a reader that does not read.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use cas_sdk::{
    Error, Filter, Supervisor, Turn,
    error::TurnOutcome,
    protocol::ModelListParams,
    testing::{ModelRequest, Reply},
    turn::{MessageState, TurnErrorKind},
};
use futures_util::future::join_all;
use tokio::time::sleep;

use crate::{
    back::{begun, epoch, supervise},
    common::codex_test,
    listener::{Listener, builder},
};

const KILLS: u64 = 50;
const THREADS: usize = 4;

/// How often each outcome was seen.
#[derive(Debug, Default)]
struct Count {
    completed: Vec<String>,
    interrupted: usize,
    /// The server ended before it had written anything down.
    unwritten: usize,
    found: usize,
    absent: usize,
    not_sent: usize,
}

fn is_lost(error: &Error) -> bool {
    error.close_reason().is_some()
}

/// Asks, and finds out what has become of a question whose answer was lost. `None` if the server
/// has not heard it.
async fn ask(supervisor: &Supervisor, thread: &str, text: &str, count: &mut Count) -> Option<Turn> {
    let id = match supervisor.thread(thread).await.unwrap().ask(text).await {
        Ok(turn) => return Some(turn),
        Err(Error::Indeterminate { id, .. }) => id.expect("a question has an id"),
        Err(Error::Closed(_) | Error::NotFollowed { .. }) => {
            count.not_sent += 1;
            return None;
        }
        Err(error) => panic!("{error:?}"),
    };
    loop {
        let thread = match supervisor.thread(thread).await {
            Ok(thread) => thread,
            Err(error) if is_lost(&error) => continue,
            Err(error) => panic!("{error:?}"),
        };
        let state = match thread.find_message(&id).await {
            Ok(MessageState::Delivered { turn }) => thread.turn(turn).await.map(Ok),
            other => other.map(Err),
        };
        match state {
            Ok(Ok(turn)) => {
                count.found += 1;
                return Some(turn);
            }
            Ok(Err(MessageState::Missing)) => {
                count.absent += 1;
                return None;
            }
            Ok(Err(MessageState::Pending)) => sleep(Duration::from_millis(20)).await,
            Ok(Err(other)) => panic!("{other:?}"),
            Err(error) if is_lost(&error) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

async fn finish(supervisor: &Supervisor, turn: Turn) -> Result<TurnOutcome, TurnErrorKind> {
    match supervisor.finish(turn).await {
        Ok(outcome) => Ok(outcome),
        Err(Error::Turn(end)) => Err(end.kind),
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn a_server_killed_fifty_times_under_load_leaves_every_turn_accounted_for_and_none_done_twice()
 {
    codex_test(540, async |rig| {
        let mut listener = Listener::unix(&rig).await;
        let supervisor = supervise(&rig, &listener.address).await;
        let mut threads = Vec::new();
        for _ in 0..THREADS {
            threads.push(begun(&rig, &supervisor).await.id().to_owned());
        }
        rig.model.clear_requests();
        rig.model.respond_with(|request: &ModelRequest| {
            let question = request.prompts().last().copied().unwrap_or_default();
            Reply::new().delta("about ").delta(question)
        });
        let over = Arc::new(AtomicBool::new(false));
        let work = threads.iter().enumerate().map(|(worker, thread)| {
            let (supervisor, over) = (&supervisor, &over);
            async move {
                let (mut count, mut asked) = (Count::default(), 0);
                while !over.load(Ordering::SeqCst) {
                    let text = format!("question {worker}.{asked}");
                    let Some(turn) = ask(supervisor, thread, &text, &mut count).await else {
                        continue; // Asked again, since nobody has heard it.
                    };
                    asked += 1;
                    match finish(supervisor, turn).await {
                        Ok(outcome) => {
                            assert_eq!(outcome.text, format!("about {text}"), "{outcome:?}");
                            count.completed.push(text);
                        }
                        Err(TurnErrorKind::Interrupted) => count.interrupted += 1,
                        Err(TurnErrorKind::Closed(_)) => count.unwritten += 1,
                        Err(kind) => panic!("{text}: {kind:?}"),
                    }
                }
                count
            }
        });
        let killing = async {
            for kill in 1..=KILLS {
                // Now and then there is time for turns to end.
                let pause = if kill % 3 == 0 {
                    1_500
                } else {
                    37 * kill % 200
                };
                sleep(Duration::from_millis(pause)).await;
                listener.kill().await;
                listener = Listener::unix(&rig).await;
                epoch(&supervisor, kill).await;
            }
            over.store(true, Ordering::SeqCst);
        };
        let (counts, ()) = tokio::join!(join_all(work), killing);
        let sum = |of: fn(&Count) -> usize| counts.iter().map(of).sum::<usize>();
        assert!(
            sum(|c| c.completed.len()) > 0 && sum(|c| c.interrupted) > 0,
            "{counts:?}"
        );
        let mut asked = HashMap::<String, usize>::new();
        for request in rig.model.requests() {
            let question = request.prompts().last().copied().unwrap_or_default();
            *asked.entry(question.to_owned()).or_default() += 1;
        }
        for (question, times) in &asked {
            assert_eq!(*times, 1, "{question}");
        }
        let mut completed = counts.iter().flat_map(|count| &count.completed);
        assert!(completed.all(|question| asked.contains_key(question)));
        supervisor.shutdown().await;
        listener.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_does_not_read_does_not_cost_the_connection() {
    codex_test(120, async |rig| {
        let listener = Listener::unix(&rig).await;
        let supervisor = supervise(&rig, &listener.address).await;
        let thread = begun(&rig, &supervisor).await;
        let (_unread, _too) = (
            thread.events(),
            supervisor.thread_events(thread.id()).await.unwrap(),
        );
        let watcher = builder(&rig).connect_to(&listener.address).await.unwrap();
        let _all = watcher.events(Filter::all());
        watcher.resume_thread(thread.id()).await.unwrap();
        // The server cuts a client with 32,768 unread messages.
        let pieces = 40_000;
        let mut reply = Reply::new();
        for _ in 0..pieces {
            reply = reply.delta("x");
        }
        rig.model.reply(reply);
        let outcome = thread.ask("go").await.unwrap().finish().await.unwrap();
        assert_eq!(outcome.text.len(), pieces);
        epoch(&supervisor, 0).await;
        watcher.request(ModelListParams::default()).await.unwrap();
        listener.end().await;
    })
    .await;
}

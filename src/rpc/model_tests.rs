//! Random interleavings of all that can happen to requests, against a model.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use proptest::{collection::vec, prelude::*, sample::Index};
use tokio::io::AsyncWrite;

use super::{
    Connection, Limits, Router,
    aside::Aside,
    connection::Write,
    error::{Closed, NoAnswer},
    outbox::Outbox,
    outgoing::OutgoingRequest,
    reader::{Reader, ReaderState},
    reply::Outcome,
    test_protocol::{Deaf, PROTOCOL},
    window::{Lane, Window},
};

/// Runs what never has to wait for anything but itself.
pub(super) fn now<T>(future: impl Future<Output = T>) -> T {
    futures_util::FutureExt::now_or_never(future).expect("nothing to wait for")
}

pub(super) fn many() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(2_000)
    }
}

/// What a caller or the server may do next. An index picks among those that there are.
#[derive(Debug, Clone)]
enum Op {
    Ask {
        urgent: bool,
        hooked: bool,
    },
    Poll(Index),
    Drop(Index),
    /// Of those that the server has heard of, answered before or not.
    Answer {
        of: Index,
        refuse: bool,
    },
    AnswerTooLong(Index),
    AnswerNobody(u64),
    /// The pipe takes this many bytes more.
    Write(usize),
    Close,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        10 => (any::<bool>(), any::<bool>()).prop_map(|(urgent, hooked)| Op::Ask { urgent, hooked }),
        10 => any::<Index>().prop_map(Op::Poll),
        5 => any::<Index>().prop_map(Op::Drop),
        10 => (any::<Index>(), any::<bool>()).prop_map(|(of, refuse)| Op::Answer { of, refuse }),
        1 => any::<Index>().prop_map(Op::AnswerTooLong),
        1 => any::<u64>().prop_map(Op::AnswerNobody),
        10 => (1..200_usize).prop_map(Op::Write),
        1 => Just(Op::Close),
    ]
}

/// A pipe that takes as many bytes as it is told.
#[derive(Clone, Default)]
struct Pipe(Arc<Mutex<(Vec<u8>, usize)>>);

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock().unwrap();
        let n = buf.len().min(state.1);
        state.1 -= n;
        state.0.extend_from_slice(&buf[..n]);
        if n == 0 {
            Poll::Pending
        } else {
            Poll::Ready(Ok(n))
        }
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

type Running<'a> = Pin<Box<dyn Future<Output = Result<Outcome, NoAnswer>> + 'a>>;

const LIMITS: Limits = Limits {
    in_flight: 3,
    urgent: 1,
    line: 1_000,
    outgoing: None,
};

fn poll_once<T>(future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Option<T> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// The ids of the whole frames that the server has heard, in order, with the names of the requests.
fn heard(pipe: &Pipe) -> Vec<(u64, String)> {
    let state = pipe.0.lock().unwrap();
    let whole = state
        .0
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |end| end + 1);
    let text = std::str::from_utf8(&state.0[..whole]).expect("frames are text");
    text.lines()
        .map(|line| {
            let frame: serde_json::Value = serde_json::from_str(line).expect("frames are whole");
            let id = frame["id"].as_u64().expect("an id");
            (id, frame["method"].as_str().expect("a method").to_owned())
        })
        .collect()
}

fn say(connection: &Connection, line: &str) {
    Reader::new(&connection.router, &mut ReaderState::new(&PROTOCOL)).line(line.as_bytes());
    connection.send_ready(Write::Now);
}

/// A connection to a pipe that takes nothing yet.
fn rig(limits: Limits) -> (Connection, Pipe) {
    let window = Window::new(limits.in_flight, limits.urgent);
    let router = Router::new(&PROTOCOL, Arc::new(Deaf), Aside::new(), window);
    let pipe = Pipe::default();
    let outbox = Outbox::new(Box::pin(pipe.clone()));
    (Connection::new(Arc::new(router), outbox, limits), pipe)
}

async fn ask(connection: &Connection, outgoing: OutgoingRequest) -> Result<Outcome, NoAnswer> {
    let mut slot = connection.request(outgoing)?;
    connection.answer(&mut slot, None).await
}

#[test]
fn whatever_happens_in_whatever_order_each_request_ends_once_and_by_its_own_answer() {
    proptest!(many(), |(ops in vec(op(), 0..80))| interleaved(&ops)?);
}

/// Every request ends once at most, by its own answer and no other; the server never holds more than the window, whoever
/// gives up what; at the end nothing waits and all places are free.
#[expect(
    clippy::too_many_lines,
    reason = "one interleaving is read from its beginning to its end"
)]
fn interleaved(ops: &[Op]) -> Result<(), TestCaseError> {
    // Its clock stands still, so no place is given back for the time that has passed.
    let clock = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let _within = clock.enter();
    let (connection, pipe) = rig(LIMITS);
    let router = connection.router.clone();
    let mut driver: Pin<Box<dyn Future<Output = _>>> = Box::pin(connection.outbox.drive());
    let (mut driving, mut closed) = (true, false);
    let hooks = Arc::new(Mutex::new(BTreeMap::<usize, usize>::new()));
    // The name of each request is its method, so that the server can tell it in the answer.
    let names: Vec<String> = (0..ops.len()).map(|n| format!("r{n}")).collect();
    let mut running: Vec<(usize, Running<'_>)> = Vec::new();
    // The model: what the server has answered first, by request.
    let mut answers = BTreeMap::<String, &str>::new();
    let mut polled = BTreeSet::new();

    for (n, op) in ops.iter().enumerate() {
        match op {
            Op::Ask { urgent, hooked } => {
                let on_reply = hooked.then(|| {
                    let hooks = hooks.clone();
                    Box::new(move |_: &Outcome| *hooks.lock().unwrap().entry(n).or_default() += 1)
                        as _
                });
                running.push((
                    n,
                    Box::pin(ask(
                        &connection,
                        OutgoingRequest {
                            method: names[n].clone().into(),
                            params: "{}".into(),
                            lane: if *urgent {
                                Lane::Urgent
                            } else {
                                Lane::Ordinary
                            },
                            on_reply,
                        },
                    )),
                ));
            }
            Op::Poll(which) if !running.is_empty() => {
                let at = which.index(running.len());
                polled.insert(running[at].0);
                if let Some(end) = poll_once(running[at].1.as_mut()) {
                    let (n, _) = running.swap_remove(at);
                    let told = match end {
                        Ok(Ok(reply)) => {
                            prop_assert_eq!(reply.result(), format!("\"{}\"", names[n]));
                            "result"
                        }
                        Ok(Err(error)) => {
                            prop_assert_eq!(error.message, names[n].as_str());
                            "error"
                        }
                        Err(NoAnswer::TooLong(..)) => "too long",
                        Err(NoAnswer::TooLarge { .. }) => unreachable!("nothing large is sent"),
                        Err(NoAnswer::Closed(_) | NoAnswer::Lost(_)) => {
                            prop_assert!(closed);
                            "closed"
                        }
                        Err(NoAnswer::Timeout | NoAnswer::NotSent(_)) => "timeout",
                    };
                    prop_assert_eq!(told, answers.get(&names[n]).copied().unwrap_or("closed"));
                }
            }
            Op::Drop(which) if !running.is_empty() => {
                drop(running.swap_remove(which.index(running.len())));
            }
            Op::Answer { of, refuse } => {
                let heard = heard(&pipe);
                if !heard.is_empty() && !closed {
                    let (id, name) = &heard[of.index(heard.len())];
                    if *refuse {
                        say(
                            &connection,
                            &format!(r#"{{"id":{id},"error":{{"code":1,"message":"{name}"}}}}"#),
                        );
                    } else {
                        say(&connection, &format!(r#"{{"id":{id},"result":"{name}"}}"#));
                    }
                    answers
                        .entry(name.clone())
                        .or_insert(if *refuse { "error" } else { "result" });
                }
            }
            Op::AnswerTooLong(of) => {
                let heard = heard(&pipe);
                if !heard.is_empty() && !closed {
                    let (id, name) = &heard[of.index(heard.len())];
                    let begun = format!(r#"{{"id":{id},"result":"xxxx"#);
                    Reader::new(&router, &mut ReaderState::new(&PROTOCOL))
                        .too_long(5_000, begun.as_bytes());
                    connection.send_ready(Write::Now);
                    answers.entry(name.clone()).or_insert("too long");
                }
            }
            Op::AnswerNobody(id) => say(
                &connection,
                &format!(r#"{{"id":{},"result":1}}"#, id.saturating_add(1_000)),
            ),
            Op::Write(bytes) => {
                pipe.0.lock().unwrap().1 += bytes;
                if driving {
                    driving = poll_once(driver.as_mut()).is_none();
                }
            }
            Op::Close => {
                closed = true;
                connection.close(&Closed::default());
            }
            Op::Poll(_) | Op::Drop(_) => {}
        }
        let waits = router.requests.sent();
        prop_assert!(waits <= polled.len(), "only what was polled can wait");
        let heard = heard(&pipe);
        let held = heard.iter().filter(|(_, name)| !answers.contains_key(name));
        prop_assert!(closed || held.count() <= LIMITS.in_flight + LIMITS.urgent);
        prop_assert!(!closed || waits == 0);
        prop_assert!(!router.requests.is_ready(), "what has a place is sent");
    }

    // An id is one request's for ever.
    let heard = heard(&pipe);
    let ids: BTreeSet<_> = heard.iter().map(|(id, _)| *id).collect();
    let asked: BTreeSet<_> = heard.iter().map(|(_, name)| name.clone()).collect();
    prop_assert_eq!((ids.len(), asked.len()), (heard.len(), heard.len()));
    prop_assert!(
        hooks.lock().unwrap().values().all(|runs| *runs == 1),
        "a hook runs once"
    );

    drop(running);
    if !closed {
        // The server answers what it has not answered yet, given up or not.
        pipe.0.lock().unwrap().1 = usize::MAX;
        prop_assert!(poll_once(driver.as_mut()).is_none());
        for (id, _) in self::heard(&pipe) {
            say(&connection, &format!(r#"{{"id":{id},"result":0}}"#));
        }
        prop_assert!(router.requests.is_empty());
        // All places are free again: as many as there are can be taken at once.
        let mut places: Vec<_> = (0..=LIMITS.in_flight)
            .map(|_| {
                Box::pin(ask(
                    &connection,
                    OutgoingRequest {
                        method: "place".into(),
                        params: "{}".into(),
                        lane: Lane::Ordinary,
                        on_reply: None,
                    },
                ))
            })
            .collect();
        for place in &mut places {
            prop_assert!(poll_once(place.as_mut()).is_none());
        }
        prop_assert_eq!(router.requests.sent(), LIMITS.in_flight);
        prop_assert!(!router.requests.is_ready() && !router.requests.is_empty());
        drop(places);
        connection.close(&Closed::default());
    }
    prop_assert!(router.requests.is_empty());
    Ok(())
}

#[test]
fn hooks_whose_caller_has_gone_wait_for_an_answer_but_not_in_any_number() {
    let limits = Limits {
        in_flight: 20_000,
        ..LIMITS
    };
    let (connection, _) = rig(limits);
    let requests = &connection.router.requests;
    let dropped = Arc::new(());
    for _ in 0..10_000 {
        let held = dropped.clone();
        let slot = connection.request(OutgoingRequest {
            method: "m".into(),
            params: "{}".into(),
            lane: Lane::Ordinary,
            on_reply: Some(Box::new(move |_| drop(held))),
        });
        drop(slot.expect("open"));
    }
    assert_eq!(requests.sent(), 1_024);
    assert_eq!(Arc::strong_count(&dropped), 1_025);
    // The newest are those that are kept.
    say(&connection, r#"{"id":10000,"result":1}"#);
    say(&connection, r#"{"id":1,"result":1}"#);
    assert_eq!(
        (requests.sent(), Arc::strong_count(&dropped)),
        (1_023, 1_024)
    );
}

#[test]
fn requests_of_one_caller_are_written_in_their_order_whoever_sends_them() {
    const MANY: u64 = 20_000;
    let limits = Limits {
        in_flight: 2,
        ..LIMITS
    };
    let (connection, pipe) = rig(limits);
    pipe.0.lock().unwrap().1 = usize::MAX;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..MANY {
                let slot = connection.request(OutgoingRequest {
                    method: "m".into(),
                    params: "{}".into(),
                    lane: Lane::Ordinary,
                    on_reply: None,
                });
                std::mem::forget(slot);
            }
        });
        let mut answered = 0;
        while answered < MANY {
            connection.outbox.flush(); // There is no writer task here.
            let frames = std::mem::take(&mut pipe.0.lock().unwrap().0);
            for frame in frames.split_inclusive(|byte| *byte == b'\n') {
                answered += 1;
                let frame: serde_json::Value = serde_json::from_slice(frame).expect("whole");
                assert_eq!(frame["id"], answered);
                say(&connection, &format!(r#"{{"id":{answered},"result":1}}"#));
            }
        }
    });
}

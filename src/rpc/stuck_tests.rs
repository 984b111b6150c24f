//! Requests that wait: for what neither a caller nor an answer brings, which is time or room in a tap, and in vain.

use std::{future::poll_fn, pin::pin, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader, DuplexStream, duplex},
    time::timeout,
};

use super::{
    Connection, Limits, Router,
    aside::Aside,
    connection::{OutgoingRequest, Write},
    error::{Closed, NoAnswer},
    outbox::Outbox,
    pending::Slot,
    reader::{Reader, ReaderState},
    test_protocol::{Deaf, PROTOCOL},
    window::{Lane, Window},
};

/// A connection with one place, which is looked after, and what the server reads.
fn rig() -> (Arc<Connection>, BufReader<DuplexStream>) {
    let limits = Limits {
        in_flight: 1,
        urgent: 1,
        line: 1_000,
        outgoing: None,
    };
    let window = Window::new(limits.in_flight, limits.urgent);
    let router = Router::new(&PROTOCOL, Arc::new(Deaf), Aside::new(), window);
    let (near, far) = duplex(1_000);
    let outbox = Outbox::new(Box::pin(near));
    let connection = Arc::new(Connection::new(Arc::new(router), outbox, limits));
    let looking_after = connection.clone();
    tokio::spawn(async move { looking_after.send_stuck().await });
    (connection, BufReader::new(far))
}

fn request(connection: &Connection) -> Slot {
    let slot = connection.request(OutgoingRequest {
        method: "m".into(),
        params: "{}".into(),
        lane: Lane::Ordinary,
        on_reply: None,
    });
    slot.expect("open")
}

/// Whether the server gets a frame within this time.
async fn hears(server: &mut BufReader<DuplexStream>, within: u64) -> bool {
    let mut line = String::new();
    let read = server.read_line(&mut line);
    let heard = timeout(Duration::from_secs(within), read).await;
    heard.is_ok_and(|read| read.is_ok_and(|bytes| bytes > 0))
}

/// Has the task that looks after what is stuck find nothing to do.
async fn settled() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_made_after_another_was_given_up_is_sent_once_that_ones_time_is_up() {
    let (connection, mut server) = rig();
    let first = request(&connection);
    assert!(hears(&mut server, 1).await);
    drop(first);
    settled().await;
    let _second = request(&connection);
    assert!(!hears(&mut server, 3).await);
    assert!(hears(&mut server, 3).await);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_when_another_is_given_up_is_sent_once_that_ones_time_is_up() {
    let (connection, mut server) = rig();
    let first = request(&connection);
    assert!(hears(&mut server, 1).await);
    let _second = request(&connection);
    settled().await;
    drop(first);
    assert!(!hears(&mut server, 3).await);
    assert!(hears(&mut server, 3).await);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_a_full_tap_is_sent_once_that_is_read() {
    let (connection, mut server) = rig();
    settled().await;
    let tap = connection.taps.open(1);
    connection.taps.note(false, b"full\n").wake();
    let _slot = request(&connection);
    assert!(!hears(&mut server, 60).await);
    assert!(poll_fn(|cx| tap.poll(cx)).await.is_some());
    assert!(hears(&mut server, 1).await);
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_request_that_was_not_sent_yet_is_none() {
    let (connection, mut server) = rig();
    let _first = request(&connection);
    let mut second = request(&connection);
    let mut state = ReaderState::new(&PROTOCOL);
    let mut say = |id: u64| {
        let line = format!(r#"{{"id":{id},"result":{id}}}"#);
        Reader::new(&connection.router, &mut state).line(line.as_bytes());
        connection.send_ready(Write::Now);
    };
    say(2);
    {
        let answer = pin!(second.answer());
        assert!(timeout(Duration::from_secs(1), answer).await.is_err());
    }
    assert!(hears(&mut server, 1).await && !hears(&mut server, 1).await);
    say(1);
    assert!(hears(&mut server, 1).await, "it is sent in its turn");
    say(2);
    let answer = second.answer().await.expect("an answer");
    assert_eq!(answer.expect("no error").result(), "2");
}

#[tokio::test]
async fn the_end_of_a_connection_tells_a_request_that_was_sent_from_one_that_was_not() {
    let (connection, _server) = rig();
    let (mut first, mut second) = (request(&connection), request(&connection));
    connection.close(&Closed::default());
    assert!(matches!(first.answer().await, Err(NoAnswer::Lost(_))));
    assert!(matches!(second.answer().await, Err(NoAnswer::Closed(_))));
}

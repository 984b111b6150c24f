//! Requests that wait: for what neither a caller nor an answer brings, which is time or room in a tap, and in vain.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::{Arc, Mutex, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWrite, BufReader, DuplexStream, duplex},
    time::timeout,
};

use super::{
    Connection, Limits, Router,
    aside::Aside,
    connection::Write,
    envelope::MessageKind,
    error::{Closed, NoAnswer},
    outbox::{Outbox, Sink},
    outgoing::OutgoingRequest,
    pending::Slot,
    queue::{Bounds, Next},
    reader::{Reader, ReaderState},
    test_protocol::{Deaf, PROTOCOL, only},
    window::{Lane, Window},
};

/// A connection with one place, which is looked after, and what the server reads.
fn rig() -> (Arc<Connection>, BufReader<DuplexStream>) {
    rig_with(1)
}

/// The same with this many places.
fn rig_with(in_flight: usize) -> (Arc<Connection>, BufReader<DuplexStream>) {
    let (near, far) = duplex(1_000_000);
    let connection = connection_to(in_flight, Box::pin(near));
    let (looking_after, writing) = (connection.clone(), connection.clone());
    tokio::spawn(async move { looking_after.send_stuck().await });
    tokio::spawn(async move { writing.outbox.drive().await });
    (connection, BufReader::new(far))
}

fn connection_to(in_flight: usize, sink: Sink) -> Arc<Connection> {
    let limits = Limits {
        in_flight,
        urgent: 1,
        line: 1_000,
        outgoing: None,
    };
    let window = Window::new(limits.in_flight, limits.urgent);
    let router = Router::new(&PROTOCOL, Arc::new(Deaf), Aside::new(), window);
    let outbox = Outbox::new(sink);
    Arc::new(Connection::new(Arc::new(router), outbox, limits))
}

fn request(connection: &Connection) -> Slot {
    request_in(Lane::Ordinary, connection)
}

fn request_in(lane: Lane, connection: &Connection) -> Slot {
    let slot = connection.request(OutgoingRequest {
        method: "m".into(),
        params: "{}".into(),
        lane,
        on_reply: None,
    });
    slot.expect("open")
}

/// Has the server answer a request.
fn answer(connection: &Connection, id: u64) {
    let line = format!(r#"{{"id":{id},"result":{id}}}"#);
    Reader::new(&connection.router, &mut ReaderState::new(&PROTOCOL)).line(line.as_bytes());
    connection.send_ready(Write::Now);
}

/// Calls a function on drop.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
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
async fn requests_that_only_a_hook_waits_for_keep_no_place_for_ever() {
    let (connection, mut server) = rig();
    for _ in 0..2 {
        connection.send_hooked("interrupt", "{}", Box::new(|_| ()));
        assert!(hears(&mut server, 1).await);
    }
    let _request = request(&connection);
    assert!(!hears(&mut server, 3).await);
    assert!(hears(&mut server, 3).await);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_when_a_hooked_one_takes_the_place_is_sent_in_time() {
    let (connection, mut server) = rig();
    let _first = request(&connection);
    let _urgent = request_in(Lane::Urgent, &connection);
    let _second = request(&connection);
    connection.send_hooked("interrupt", "{}", Box::new(|_| ()));
    assert!(hears(&mut server, 1).await && hears(&mut server, 1).await);
    settled().await;
    answer(&connection, 1);
    assert!(hears(&mut server, 1).await && !hears(&mut server, 3).await);
    assert!(
        hears(&mut server, 3).await,
        "the interrupt gives its place back"
    );
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_ends_the_pause_that_a_silent_server_is_given() {
    let (connection, mut server) = rig();
    // Each is given up once it is sent, so the pauses become 5, 10 and 20 s.
    for _ in 0..3 {
        let slot = request(&connection);
        assert!(hears(&mut server, 60).await);
        drop(slot);
        settled().await;
    }
    let _waits = request(&connection);
    assert!(!hears(&mut server, 2).await);
    answer(&connection, 1);
    assert!(!hears(&mut server, 2).await);
    assert!(
        hears(&mut server, 3).await,
        "5 s after the one before was given up"
    );
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_given_up_for_newer_ones_leave_their_places() {
    let (connection, _server) = rig_with(2_000);
    for _ in 0..2_000 {
        drop(request(&connection));
    }
    let requests = connection.router.requests.clone();
    assert_eq!(requests.sent(), 1_024);
    let slots: Vec<_> = (0..976).map(|_| request(&connection)).collect();
    assert_eq!(requests.sent(), 2_000, "all places are taken");
    let _waits = request(&connection);
    assert_eq!(requests.sent(), 2_000);
    drop(slots);
}

#[tokio::test(start_paused = true)]
async fn an_answered_request_is_not_counted_among_those_whose_callers_have_gone() {
    let (connection, _server) = rig_with(64);
    let held = Arc::new(());
    let silent = connection.request(OutgoingRequest {
        method: "m".into(),
        params: "{}".into(),
        lane: Lane::Ordinary,
        on_reply: Some(Box::new({
            let held = held.clone();
            move |_| drop(held)
        })),
    });
    drop(silent.expect("open"));
    for id in 2..2_000 {
        if id % 2 == 0 {
            drop(request(&connection));
        } else {
            connection.send_hooked("interrupt", "{}", Box::new(|_| ()));
        }
        answer(&connection, id);
    }
    assert_eq!(Arc::strong_count(&held), 2, "its hook still waits");
}

#[tokio::test]
async fn a_request_made_while_another_is_being_sent_is_sent_after_it() {
    let (connection, mut server) = rig_with(2_000);
    let makes_another = OnDrop({
        let connection = connection.clone();
        move || std::mem::forget(request(&connection))
    });
    // The last of these requests causes the first one's hook to be dropped before it is written.
    connection.send_hooked("m", "{}", Box::new(move |_| drop(makes_another)));
    for _ in 0..1_024 {
        connection.send_hooked("m", "{}", Box::new(|_| ()));
    }
    for id in 1..=1_026 {
        let mut line = String::new();
        server.read_line(&mut line).await.expect("a frame");
        assert!(line.starts_with(&format!(r#"{{"id":{id},"#)), "{line}");
    }
}

/// A pipe that makes a request on its first write.
struct Reentrant {
    connection: Arc<OnceLock<Arc<Connection>>>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl AsyncWrite for Reentrant {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut written = self.written.lock().expect("no panic");
        let is_first = written.is_empty();
        written.extend_from_slice(buf);
        drop(written);
        if is_first && let Some(connection) = self.connection.get() {
            std::mem::forget(request(connection));
        }
        Poll::Ready(Ok(buf.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_request_made_while_others_are_written_is_sent_without_another_push() {
    let cell = Arc::new(OnceLock::new());
    let written = Arc::<Mutex<Vec<u8>>>::default();
    let pipe = Reentrant {
        connection: cell.clone(),
        written: written.clone(),
    };
    let connection = connection_to(64, Box::pin(pipe));
    let _ = cell.set(connection.clone());
    let _first = request(&connection);
    // The second request is queued for the writer, which nobody drives here.
    connection.outbox.flush();
    let written = String::from_utf8(written.lock().expect("no panic").clone()).expect("text");
    assert_eq!(written.lines().count(), 2, "{written}");
}

#[tokio::test]
async fn the_end_of_a_connection_drops_hooks_on_another_thread() {
    let (connection, _server) = rig();
    let (tell, told) = std::sync::mpsc::channel();
    for _ in 0..3 {
        let tell = tell.clone();
        let held = OnDrop(move || {
            let _ = tell.send(std::thread::current().id());
        });
        connection.send_hooked("m", "{}", Box::new(move |_| drop(held)));
    }
    connection.close(&Closed::default());
    for _ in 0..3 {
        let thread = told.recv_timeout(Duration::from_secs(60));
        assert_ne!(thread.expect("dropped"), std::thread::current().id());
    }
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
    answer(&connection, 2);
    {
        let waits = pin!(second.answer());
        assert!(timeout(Duration::from_secs(1), waits).await.is_err());
    }
    assert!(hears(&mut server, 1).await && !hears(&mut server, 1).await);
    answer(&connection, 1);
    assert!(hears(&mut server, 1).await, "it is sent in its turn");
    answer(&connection, 2);
    let reply = second.answer().await.expect("an answer");
    assert_eq!(reply.expect("no error").result(), "2");
}

#[tokio::test]
async fn an_answer_whose_caller_goes_while_it_is_routed_is_an_event() {
    let (connection, _server) = rig();
    let bounds = Bounds {
        events: 10,
        bytes: usize::MAX,
    };
    let all = connection.router.subscribe(only(None, None), bounds);
    let caller = Arc::new(Mutex::new(None));
    let goes = caller.clone();
    let slot = connection.request(OutgoingRequest {
        method: "m".into(),
        params: "{}".into(),
        lane: Lane::Ordinary,
        on_reply: Some(Box::new(move |_| {
            drop(goes.lock().expect("no panic").take());
        })),
    });
    *caller.lock().expect("no panic") = Some(slot.expect("open"));
    answer(&connection, 1);
    let mut out = VecDeque::new();
    poll_fn(|cx| all.queue.poll_take(cx, &mut out, usize::MAX)).await;
    let Some(Next::Messages(mut run)) = out.pop_front() else {
        panic!("no event")
    };
    let event = run.pop().expect("an event");
    assert_eq!(event.kind(), MessageKind::LateResponse);
    assert_eq!(event.parts().method(), Some("m"));
    assert!(run.pop().is_none() && out.is_empty());
}

#[tokio::test]
async fn the_end_of_a_connection_tells_a_request_that_was_sent_from_one_that_was_not() {
    let (connection, _server) = rig();
    let (mut first, mut second) = (request(&connection), request(&connection));
    connection.close(&Closed::default());
    assert!(matches!(first.answer().await, Err(NoAnswer::Lost(_))));
    assert!(matches!(second.answer().await, Err(NoAnswer::Closed(_))));
}

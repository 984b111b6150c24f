//! The rules of delivery, from bytes to streams: random traffic to random subscriptions, cut into random reads.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, Mutex, Weak, mpsc},
    task::{Context, Wake, Waker},
    thread,
    time::Duration,
};

use proptest::{collection::vec, prelude::*};

use super::{
    aside::Aside,
    connection::{Connection, Limits},
    line::{Line, Lines},
    message::Incoming,
    outbox::Outbox,
    outgoing::OutgoingRequest,
    pending::Slot,
    queue::{Bounds, Next},
    reader::{self, Reader, ReaderState},
    reply::OnReply,
    router::{Dialect, Matcher, Router, Subscription},
    tap::Taps,
    test_protocol::{PROTOCOL, only},
    window::{Lane, Window},
};

const BOUNDS: Bounds = Bounds {
    events: 1_000_000,
    bytes: usize::MAX,
};

/// Keeps what it is shown, and may do something then.
#[derive(Default)]
struct Watcher {
    seen: Mutex<Vec<u64>>,
    then: Mutex<Option<Box<dyn FnMut() + Send>>>,
}

impl Watcher {
    fn see(&self, message: &Incoming) {
        self.seen.lock().unwrap().push(message.seq());
        if let Some(then) = &mut *self.then.lock().unwrap() {
            then();
        }
    }
}

impl Dialect for Watcher {
    fn observe(&self, message: &Incoming) {
        self.see(message);
    }
    fn request(&self, message: &Incoming) {
        self.see(message);
    }
    fn skipped(&self, _: &str, _: u64) {}
    fn closed(&self) {}
}

fn rig() -> (Arc<Router>, Arc<Watcher>, ReaderState) {
    let watcher = Arc::<Watcher>::default();
    (
        Arc::new(Router::new(
            &PROTOCOL,
            watcher.clone(),
            Aside::new(),
            Window::new(64, 8),
        )),
        watcher,
        ReaderState::new(&PROTOCOL),
    )
}

/// A request that was sent.
fn sent(router: &Router, on_reply: Option<OnReply>) -> Slot {
    let requests = &router.requests;
    let id = requests.new_id();
    let request = OutgoingRequest {
        method: "m".into(),
        params: "{}".into(),
        lane: Lane::Ordinary,
        on_reply,
    };
    let slot = requests.add(id, request);
    assert!(requests.next().is_some());
    slot.expect("open")
}

fn read(router: &Router, state: &mut ReaderState, lines: &[String]) {
    let mut reader = Reader::new(router, state);
    for line in lines {
        reader.line(line.as_bytes());
    }
}

fn subscribe(router: &Arc<Router>, filter: Matcher) -> Subscription {
    router.subscribe(filter, BOUNDS)
}

fn take(subscription: &Subscription) -> Vec<Incoming> {
    let mut out = VecDeque::new();
    let cx = &mut Context::from_waker(Waker::noop());
    let _ = subscription.queue.poll_take(cx, &mut out, usize::MAX);
    let mut all = Vec::new();
    for next in out {
        match next {
            Next::Messages(mut run) => all.extend(std::iter::from_fn(|| run.pop())),
            Next::Lagged(n) => panic!("lagged {n}"),
            Next::Closed(_) => {}
        }
    }
    all
}

fn seqs(subscription: &Subscription) -> Vec<u64> {
    take(subscription).iter().map(Incoming::seq).collect()
}

const METHODS: [&str; 5] = [
    "delta",
    "delta/more",
    "vital/end",
    "vital/observed",
    "observed",
];

/// A line of the traffic: what it is, whom it is about, how much it says.
#[derive(Debug, Clone)]
struct Said {
    method: usize,
    room: usize,
    is_request: bool,
    is_odd: bool,
    len: usize,
}

impl Said {
    fn line(&self) -> String {
        let Self {
            method,
            room,
            is_request,
            is_odd,
            len,
        } = self;
        let (method, text) = (METHODS[*method], "x".repeat(*len));
        if *is_odd {
            return format!("odd {text}");
        }
        let id = if *is_request { r#""id":5,"# } else { "" };
        format!(r#"{{{id}"method":"{method}","params":{{"roomId":"r{room}","delta":"{text}"}}}}"#)
    }

    fn is_for(&self, wanted: &Wanted) -> bool {
        let (method, room) = wanted;
        let of_method = method.is_none_or(|m| m == self.method);
        let of_room = room.is_none_or(|t| t == self.room);
        if self.is_odd {
            return method.is_none() && room.is_none();
        }
        of_method && of_room
    }
}

type Wanted = (Option<usize>, Option<usize>);

fn filter((method, room): &Wanted) -> Matcher {
    let room = room.map(|room| format!("r{room}"));
    only(method.map(|method| METHODS[method]), room.as_deref())
}

fn said() -> impl Strategy<Value = Said> {
    let len = prop_oneof![20 => 0..200_usize, 1 => 5_000..40_000_usize];
    let odd = prop::bool::weighted(0.05);
    // Mostly the same for a while, as a flood is.
    let method = prop_oneof![6 => Just(0_usize), 1 => 0..METHODS.len()];
    (method, 0..3_usize, prop::bool::weighted(0.05), odd, len).prop_map(
        |(method, room, is_request, is_odd, len)| Said {
            method,
            room,
            is_request,
            is_odd,
            len,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn each_subscription_gets_what_its_filter_takes_in_order_however_it_was_read(
        traffic in vec(said(), 0..300),
        cuts in vec(1..100_usize, 1..10),
        wanted in vec((prop::option::of(0..METHODS.len()), prop::option::of(0..3_usize)), 0..6),
        joins in vec(any::<bool>(), 6),
    ) {
        let (router, watcher, mut state) = rig();
        let mut live: Vec<(&Wanted, u64, Subscription)> = Vec::new();
        let mut waiting = wanted.iter();
        let mut rest = &traffic[..];
        let mut read_so_far = 0;
        for (cut, join) in cuts.iter().cycle().zip(joins.iter().cycle()) {
            if *join && let Some(wanted) = waiting.next() {
                live.push((wanted, read_so_far, subscribe(&router, filter(wanted))));
            }
            let (now, later) = rest.split_at(rest.len().min(*cut));
            read(&router, &mut state, &now.iter().map(Said::line).collect::<Vec<_>>());
            read_so_far += now.len() as u64;
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        for (wanted, since, subscription) in &live {
            let expected = (1..).zip(&traffic).filter(|(seq, said)| seq > since && said.is_for(wanted));
            let expected: Vec<_> = expected.map(|(seq, said)| (seq, said.line())).collect();
            let got = take(subscription);
            let got: Vec<_> = got.iter().map(|m| (m.seq(), m.raw().to_owned())).collect();
            prop_assert_eq!(got, expected);
        }
        let observed = (1..).zip(&traffic).filter(|(_, said)| {
            !said.is_odd && (said.is_request || METHODS[said.method].ends_with("observed"))
        });
        let observed: Vec<u64> = observed.map(|(seq, _)| seq).collect();
        prop_assert_eq!(&*watcher.seen.lock().unwrap(), &observed);
    }
}

fn delta(room: &str) -> String {
    format!(r#"{{"method":"delta","params":{{"roomId":"{room}","delta":"text"}}}}"#)
}

#[test]
fn lines_that_are_read_together_share_what_they_are_kept_in() {
    let (router, _, mut state) = rig();
    let (one, other) = (
        subscribe(&router, only(None, None)),
        subscribe(&router, only(None, None)),
    );
    read(&router, &mut state, &vec![delta("t"); 10]);
    let (first, second) = (take(&one), take(&other));
    assert_eq!((first.len(), second.len()), (10, 10));
    let text = |m: &Incoming| m.raw().as_ptr();
    assert!(first.iter().zip(&second).all(|(a, b)| text(a) == text(b)));
    assert_eq!(
        text(&first[1]),
        text(&first[0]).wrapping_add(first[0].raw().len())
    );
}

#[test]
fn a_dropped_subscription_frees_what_it_held() {
    let (router, _, mut state) = rig();
    let subscription = subscribe(&router, only(None, None));
    read(&router, &mut state, &vec![delta("t"); 100]);
    let queue: Weak<_> = Arc::downgrade(&subscription.queue);
    let kept = {
        let mut out = VecDeque::new();
        let copy = subscription.fork();
        let cx = &mut Context::from_waker(Waker::noop());
        let _ = copy.queue.poll_take(cx, &mut out, 1);
        match out.pop_front() {
            Some(Next::Messages(mut run)) => run.pop().unwrap(),
            other => panic!("{other:?}"),
        }
    };
    assert!(kept.holders() > 1);
    drop(subscription);
    assert!(queue.upgrade().is_none());
    assert_eq!(kept.holders(), 1, "only what somebody still holds is left");
    read(&router, &mut state, &[delta("t")]);
    assert_eq!(kept.holders(), 1);
}

#[test]
fn a_subscription_made_while_a_line_is_looked_at_gets_that_line_and_those_after_it() {
    let (router, watcher, mut state) = rig();
    let early = subscribe(&router, only(None, None));
    let late = Arc::new(Mutex::new(None));
    *watcher.then.lock().unwrap() = Some(Box::new({
        let (router, late) = (router.clone(), late.clone());
        move || {
            let mut late = late.lock().unwrap();
            late.get_or_insert_with(|| subscribe(&router, only(None, None)));
        }
    }));
    let lines = ["delta", "delta", "observed", "delta", "delta"]
        .map(|method| format!(r#"{{"method":"{method}","params":{{"roomId":"t"}}}}"#));
    read(&router, &mut state, &lines);
    assert_eq!(seqs(&early), [1, 2, 3, 4, 5]);
    assert_eq!(seqs(late.lock().unwrap().as_ref().unwrap()), [3, 4, 5]);
}

#[test]
fn a_copy_has_what_is_on_its_way_and_what_comes_after_it() {
    let (router, watcher, mut state) = rig();
    let first = Arc::new(subscribe(&router, only(None, None)));
    let copy = Arc::new(Mutex::new(None));
    *watcher.then.lock().unwrap() = Some(Box::new({
        let (first, copy) = (first.clone(), copy.clone());
        move || {
            copy.lock().unwrap().get_or_insert_with(|| first.fork());
        }
    }));
    // Two of a kind are staged when the copy is made; those after it are of a kind that was seen before.
    let lines = ["delta", "delta", "observed", "delta", "delta"]
        .map(|method| format!(r#"{{"method":"{method}","params":{{"roomId":"t"}}}}"#));
    read(&router, &mut state, &lines);
    assert_eq!(seqs(&first), [1, 2, 3, 4, 5]);
    assert_eq!(
        seqs(copy.lock().unwrap().as_ref().unwrap()),
        [1, 2, 3, 4, 5]
    );
}

#[test]
fn a_subscription_that_an_answer_binds_has_what_came_before_and_nothing_foreign() {
    let (router, _, mut state) = rig();
    let subscription = subscribe(&router, only(None, None));
    let rebind = subscription.rebind();
    let hook: OnReply = Box::new(move |_| rebind.to(&only(None, Some("b"))));
    let slot = sent(&router, Some(hook));
    let answer = format!(r#"{{"id":{},"result":{{}}}}"#, slot.id);
    let lines = [
        delta("a"),
        delta("b"),
        answer,
        delta("b"),
        delta("a"),
        delta("b"),
    ];
    read(&router, &mut state, &lines);
    assert_eq!(seqs(&subscription), [2, 4, 6]);
}

#[tokio::test]
async fn events_before_an_answer_are_queued_when_the_caller_wakes() {
    let (router, _, mut state) = rig();
    let subscription = subscribe(&router, only(None, None));
    let mut slot = sent(&router, None);
    let mut reader = Reader::new(&router, &mut state);
    reader.line(delta("t").as_bytes());
    reader.line(format!(r#"{{"id":{},"result":{{}}}}"#, slot.id).as_bytes());
    // The reader is still in the middle of its batch.
    slot.answer().await.unwrap().unwrap();
    assert_eq!(seqs(&subscription), [1]);
    drop(reader);
}

#[test]
fn a_thousand_subscriptions_get_what_is_theirs() {
    let (router, _, mut state) = rig();
    let all: Vec<_> = (0..1_000)
        .map(|n| subscribe(&router, only(None, Some(&format!("r{n}")))))
        .collect();
    for _ in 0..3 {
        let lines: Vec<_> = (0..1_000).map(|n| delta(&format!("r{n}"))).collect();
        read(&router, &mut state, &lines);
    }
    for (n, subscription) in (1..).zip(&all) {
        assert_eq!(seqs(subscription), [n, n + 1_000, n + 2_000]);
    }
}

#[test]
fn the_waker_of_a_tap_may_call_the_router() {
    struct Subscribes(Arc<Router>, Mutex<Option<Subscription>>);
    impl Wake for Subscribes {
        fn wake(self: Arc<Self>) {
            let subscription = subscribe(&self.0, only(None, None));
            self.1.lock().unwrap().replace(subscription);
        }
    }
    let reading = || {
        let (router, _, mut state) = rig();
        let taps = Arc::<Taps>::default();
        let tap = taps.open(100);
        let text = format!("{0}\n{0}\n", delta("a"));
        let mut lines = Lines::new(std::io::Cursor::new(text.into_bytes()), 1_000);
        let more = futures_util::FutureExt::now_or_never(lines.fill());
        assert!(more.unwrap().unwrap());
        let _all = subscribe(&router, only(None, None));
        // The reader holds the lock when it notes the second line.
        assert!(matches!(lines.next(), Some(Line::Text(_))));
        let mut reader = Reader::new(&router, &mut state);
        reader.line(delta("a").as_bytes());
        let waker = Arc::new(Subscribes(router.clone(), Mutex::default()));
        let foreign = Waker::from(waker.clone());
        assert!(tap.poll(&mut Context::from_waker(&foreign)).is_pending());
        reader.read(&mut lines, &taps);
        let late = waker.1.lock().unwrap().take().unwrap();
        seqs(&late)
    };
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(reading()));
    let late = told.recv_timeout(Duration::from_secs(30));
    assert_eq!(late.expect("the reader waits for its own lock"), [2]);
}

/// The input never makes the reader wait, as a TCP connection that holds megabytes.
#[tokio::test(flavor = "current_thread")]
async fn a_subscriber_on_the_readers_own_thread_keeps_up_with_an_input_that_is_always_ready() {
    const LINES: usize = 100_000;
    let (router, _, _) = rig();
    let bounds = Bounds {
        events: 8_192,
        bytes: usize::MAX,
    };
    let all = router.subscribe(only(None, None), bounds);
    let text = format!("{}\n", delta("a")).repeat(LINES);
    let reader = tokio::spawn(async move {
        let lines = Lines::new(std::io::Cursor::new(text.into_bytes()), 1_000);
        let outbox = Outbox::new(Box::pin(tokio::io::sink()));
        let limits = Limits {
            in_flight: 64,
            urgent: 8,
            line: 1_000,
            outgoing: None,
        };
        let connection = Connection::new(router, outbox, limits);
        reader::read(lines, &connection).await
    });
    let (mut taken, mut out) = (0, VecDeque::new());
    while taken < LINES {
        let queue = &all.queue;
        poll_fn(|cx| queue.poll_take(cx, &mut out, usize::MAX)).await;
        for next in out.drain(..) {
            match next {
                Next::Messages(mut run) => taken += std::iter::from_fn(|| run.pop()).count(),
                Next::Lagged(n) => panic!("lagged {n} after {taken}"),
                Next::Closed(end) => panic!("{end:?} after {taken}"),
            }
        }
    }
    reader.await.unwrap().unwrap();
}

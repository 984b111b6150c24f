//! Every request ends once, whatever happens in whatever order, and the server is never given more
//! than it takes.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::*;

/// What the server takes without refusing or dropping anything.
const SERVER_TAKES: usize = 160;
const WITHIN: Duration = Duration::from_secs(60);
const NOW: Duration = Duration::ZERO;
/// Just before the first ones are due.
const BEFORE: Duration = Duration::from_secs(59);

fn request(id: usize, method: &str) -> Request {
    Request {
        id: id.to_string().into(),
        method: method.into(),
        client_request_id: None,
        origin: Origin::Request,
        lane: Lane::of(method),
        keys: OwnedKeys::default(),
    }
}

fn taken(requests: &mut Requests, ids: std::ops::Range<usize>, method: &str, now: Duration) {
    for id in ids {
        let frame = id.to_string();
        assert_eq!(
            requests.take(request(id, method), frame, now),
            Admission::Yes
        );
    }
}

/// The ids of all that may be sent now.
fn sent(requests: &mut Requests, now: Duration) -> Vec<usize> {
    std::iter::from_fn(|| requests.next(now))
        .map(|next| next.frame.parse().unwrap())
        .collect()
}

#[test]
fn of_many_requests_the_server_gets_a_window_and_the_next_with_each_answer() {
    let mut requests = Requests::new(Some(WITHIN));
    taken(&mut requests, 0..5_000, "\"thread/list\"", NOW);
    let mut held = sent(&mut requests, NOW);
    assert_eq!(held, (0..64).collect::<Vec<_>>());
    for id in 0..5_000 {
        let (answered, late) = requests.answered(&id.to_string(), true, NOW).unwrap();
        assert_eq!((&*answered.id, late), (id.to_string().as_str(), false));
        held.extend(sent(&mut requests, NOW));
    }
    assert_eq!(held, (0..5_000).collect::<Vec<_>>(), "in their order");
    assert_eq!(requests.len(), 0);
}

#[test]
fn what_is_urgent_goes_past_what_waits_and_what_lasts_is_in_nobodys_way() {
    let mut requests = Requests::new(Some(WITHIN));
    taken(&mut requests, 0..100, "\"command/exec\"", NOW);
    taken(&mut requests, 100..200, "\"thread/list\"", NOW);
    taken(&mut requests, 200..201, "\"turn/interrupt\"", NOW);
    let first = sent(&mut requests, NOW);
    assert_eq!(first[0], 200);
    assert_eq!(first[1..65], (100..164).collect::<Vec<_>>());
    assert_eq!(first[65..], (0..48).collect::<Vec<_>>());
    // An answer to what was sent after them: the server has read the long ones, and they take no
    // place.
    assert_eq!(
        requests.answered("200", true, NOW).unwrap().0.lane,
        Lane::Urgent
    );
    requests.answered("163", true, NOW).unwrap();
    taken(&mut requests, 201..202, "\"turn/steer\"", NOW);
    assert_eq!(sent(&mut requests, NOW), [201, 164]);
    requests.answered("201", true, NOW).unwrap();
    assert_eq!(sent(&mut requests, NOW), (48..96).collect::<Vec<_>>());
}

#[test]
fn a_request_without_an_answer_is_told_and_its_late_answer_is_marked() {
    let mut requests = Requests::new(Some(WITHIN));
    taken(&mut requests, 0..3, "\"thread/list\"", NOW);
    sent(&mut requests, NOW);
    requests.answered("1", true, NOW).unwrap();
    assert_eq!(requests.next_expiry(), Some(WITHIN));
    assert!(requests.expire(BEFORE).is_empty());
    let over: Vec<_> = requests
        .expire(WITHIN)
        .into_iter()
        .map(|(request, how)| (request.id.to_string(), how))
        .collect();
    let told = |id: &str| (id.to_owned(), Unanswered::NoAnswer);
    assert_eq!(over, [told("0"), told("2")]);
    assert_eq!(requests.len(), 0);
    // Its id is not free while an answer may come that bears it.
    let again = requests.take(request(2, "\"thread/list\""), "2".to_owned(), WITHIN);
    assert_eq!(again, Admission::IdInUse);
    assert!(requests.answered("2", true, WITHIN).unwrap().1, "late");
    assert!(requests.answered("2", true, WITHIN).is_none());
}

#[test]
fn a_server_that_stands_still_gets_little_more_and_all_are_told() {
    let mut requests = Requests::new(Some(WITHIN));
    taken(&mut requests, 0..5_000, "\"thread/list\"", NOW);
    let mut held = sent(&mut requests, NOW).len();
    let (mut now, mut over) = (NOW, Vec::new());
    while let Some(at) = requests.next_expiry() {
        assert!(at >= now && at <= now + WITHIN);
        now = at;
        over.extend(requests.expire(now));
        held += sent(&mut requests, now).len();
    }
    assert!(held < SERVER_TAKES, "{held}");
    assert_eq!(over.len(), 5_000);
    let unsent = over.iter().filter(|(_, how)| *how == Unanswered::NotSent);
    assert_eq!(unsent.count(), 5_000 - held);
    // It wakes up and answers the last that it has: it has read all of them, and all goes on.
    let last = (held - 1).to_string();
    assert!(requests.answered(&last, true, now).unwrap().1);
    taken(&mut requests, 5_000..5_100, "\"thread/list\"", now);
    assert_eq!(sent(&mut requests, now).len(), 64);
}

#[test]
fn one_that_waits_does_so_for_as_long_as_something_moves() {
    let mut requests = Requests::new(Some(WITHIN));
    taken(&mut requests, 0..66, "\"thread/list\"", NOW);
    sent(&mut requests, NOW);
    requests.answered("0", true, BEFORE).unwrap();
    assert_eq!(sent(&mut requests, BEFORE), [64]);
    let over = requests.expire(WITHIN);
    assert_eq!(over.len(), 63, "those that were sent at first");
    assert!(over.iter().all(|(_, how)| *how == Unanswered::NoAnswer));
    assert_eq!(sent(&mut requests, WITHIN), [65]);
}

#[test]
fn requests_that_are_never_answered_do_not_take_those_that_wait_with_them() {
    let mut requests = Requests::new(Some(WITHIN));
    taken(&mut requests, 0..100, "\"never/answered\"", NOW);
    taken(&mut requests, 100..101, "\"thread/list\"", NOW);
    let (mut now, mut over) = (NOW, 0);
    let mut held = sent(&mut requests, now);
    while !held.contains(&100) {
        now = requests.next_expiry().unwrap();
        over += requests.expire(now).len();
        // The server goes on with other things.
        taken(&mut requests, 200..201, "\"turn/steer\"", now);
        held.extend(sent(&mut requests, now));
        requests.answered("200", true, now).unwrap();
        held.extend(sent(&mut requests, now));
    }
    assert_eq!(over, 64);
    assert!(!requests.answered("100", true, now).unwrap().1);
}

#[test]
fn what_is_not_answered_at_the_end_is_told_in_its_order_and_not_twice() {
    let mut requests = Requests::new(Some(WITHIN));
    taken(&mut requests, 0..1, "\"thread/list\"", NOW);
    sent(&mut requests, NOW);
    requests.expire(WITHIN);
    taken(&mut requests, 1..101, "\"thread/list\"", WITHIN);
    sent(&mut requests, WITHIN);
    let left = requests.drain();
    let ids: Vec<usize> = left.iter().map(|(r, _)| r.id.parse().unwrap()).collect();
    assert_eq!(ids, (1..101).collect::<Vec<_>>());
    let unsent = left.iter().filter(|(_, how)| *how == Unanswered::NotSent);
    assert_eq!(unsent.count(), 100 - 64);
    assert_eq!(requests.len(), 0);
}

#[test]
fn too_many_or_too_large_ones_are_refused_or_left_in_the_pipe() {
    let mut requests = Requests::new(None);
    taken(&mut requests, 0..MAX_WAITING, "\"thread/list\"", NOW);
    let more = request(MAX_WAITING, "\"thread/list\"");
    assert_eq!(requests.take(more, String::new(), NOW), Admission::TooMany);
    let mut requests = Requests::new(None);
    assert!(!requests.is_full());
    let large = "x".repeat(MAX_WAITING_BYTES);
    requests.take(request(0, "\"thread/list\""), large, NOW);
    assert!(requests.is_full());
    requests.next(NOW).unwrap();
    assert!(!requests.is_full());
    assert_eq!(requests.next_expiry(), None, "no limit was set");
}

#[test]
fn answers_that_were_long_ago_leave_nothing() {
    let mut requests = Requests::new(Some(WITHIN));
    for id in 0..100_000 {
        taken(&mut requests, id..id + 1, "\"thread/list\"", NOW);
        sent(&mut requests, NOW);
        requests.answered(&id.to_string(), true, NOW).unwrap();
    }
    assert!(requests.due.len() < 200, "{}", requests.due.len());
    assert!(requests.entries.is_empty());
    let mut now = NOW;
    for id in 0..2_000 {
        taken(&mut requests, id..id + 1, "\"thread/list\"", now);
        sent(&mut requests, now);
        now += WITHIN;
        assert_eq!(requests.expire(now).len(), 1);
        // Something else is answered, so it is known to have been read.
        taken(&mut requests, 9_999..10_000, "\"turn/steer\"", now);
        sent(&mut requests, now);
        requests.answered("9999", true, now).unwrap();
    }
    assert_eq!(requests.entries.len(), REMEMBERED);
}

/// A step of a random session.
#[derive(Debug, Clone)]
enum Step {
    Take(usize, &'static str),
    /// Answers one of those that the server holds.
    Answer(prop::sample::Index, bool),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let method = prop::sample::select(vec![
        "\"thread/list\"",
        "\"command/exec\"",
        "\"turn/interrupt\"",
    ]);
    let step = prop_oneof![
        3 => (1_usize..120, method).prop_map(|(n, method)| Step::Take(n, method)),
        6 => (any::<prop::sample::Index>(), prop::bool::weighted(0.9))
            .prop_map(|(which, read)| Step::Answer(which, read)),
        1 => (1_u64..90).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..300)
}

#[test]
fn whatever_happens_in_whatever_order_each_ends_once_and_the_server_is_not_overrun() {
    proptest!(ProptestConfig::with_cases(64), |(steps in steps())| {
        let mut requests = Requests::new(Some(WITHIN));
        let mut now = NOW;
        let mut ends: BTreeMap<usize, usize> = BTreeMap::new();
        // What the server has not answered, in the order it got them; and how much of that it may
        // not have read.
        let (mut held, mut unread): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
        let mut count = 0;
        for step in steps {
            match step {
                Step::Take(n, method) => {
                    taken(&mut requests, count..count + n, method, now);
                    ends.extend((count..count + n).map(|id| (id, 0)));
                    count += n;
                }
                Step::Answer(which, read) if !held.is_empty() => {
                    let at = which.index(held.len());
                    let id = held.remove(at);
                    match unread.iter().position(|other| *other == id) {
                        Some(at) if read => drop(unread.drain(..=at)),
                        Some(at) => drop(unread.remove(at)),
                        None => {}
                    }
                    if let Some((answered, late)) = requests.answered(&id.to_string(), read, now) {
                        prop_assert_eq!(answered.id.parse::<usize>().unwrap(), id);
                        *ends.get_mut(&id).unwrap() += usize::from(!late);
                    }
                }
                Step::Answer(..) => {}
                Step::Wait(seconds) => {
                    now += Duration::from_secs(seconds);
                    for (request, _) in requests.expire(now) {
                        *ends.get_mut(&request.id.parse().unwrap()).unwrap() += 1;
                    }
                }
            }
            let more = sent(&mut requests, now);
            held.extend(&more);
            unread.extend(&more);
            prop_assert!(unread.len() <= SERVER_TAKES, "{}", unread.len());
        }
        for (request, _) in requests.drain() {
            *ends.get_mut(&request.id.parse().unwrap()).unwrap() += 1;
        }
        prop_assert!(ends.values().all(|times| *times == 1), "{ends:?}");
    });
}

//! Blocks and runs, and the value that is made once.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::*;
use crate::rpc::{
    block::{Draft, LINES, TEXT},
    test_protocol::scan,
};

fn block(lines: &[(u64, &str)]) -> Run {
    let mut draft = Draft::default();
    for (seq, line) in lines {
        let (kind, env) = scan(line);
        draft.push(*seq, line, kind, env);
    }
    Run::whole(draft.finish(Instant::now()).unwrap())
}

fn seqs(mut run: Run) -> Vec<u64> {
    std::iter::from_fn(|| run.pop()).map(|m| m.seq()).collect()
}

#[test]
fn readers_who_race_share_one_decoding() {
    let lines: Vec<_> = (0..LINES as u64)
        .map(|n| (n, format!(r#"{{"method":"m","id":{n}}}"#)))
        .collect();
    let lines: Vec<_> = lines.iter().map(|(n, line)| (*n, line.as_str())).collect();
    for _ in 0..20 {
        let run = block(&lines);
        let made: Vec<_> = lines.iter().map(|_| AtomicUsize::new(0)).collect();
        let start = Barrier::new(4);
        thread::scope(|scope| {
            for _ in 0..4 {
                let mut run = run.clone();
                let (made, start) = (&made, &start);
                scope.spawn(move || {
                    start.wait();
                    while let Some(message) = run.pop() {
                        let at = usize::try_from(message.seq()).unwrap();
                        let value = message.memo(|parts, spare| {
                            assert!(spare.is_none());
                            let n: usize = parts.id().unwrap().parse().unwrap();
                            made[n].fetch_add(1, Ordering::Relaxed);
                            thread::yield_now(); // So that others come while it is being made.
                            Box::new(n)
                        });
                        assert_eq!(value, Some(&at));
                    }
                });
            }
        });
        assert!(made.iter().all(|n| n.load(Ordering::Relaxed) == 1));
    }
}

#[test]
fn a_value_that_was_made_as_another_type_is_not_made_again() {
    let message = Incoming::new(
        1,
        Instant::now(),
        "x",
        MessageKind::Malformed,
        Envelope::default(),
    );
    assert_eq!(message.memo(|_, _| Box::new(1_u8)), Some(&1_u8));
    assert_eq!(message.memo::<&str>(|_, _| Box::new("one")), None);
    assert_eq!(message.clone().memo(|_, _| Box::new(2_u8)), Some(&1_u8));
}

/// Makes numbers, each of one that is to spare if there is one.
fn number(parts: Parts<'_>, spare: Option<Value>) -> Value {
    let mut value = spare.map_or_else(Box::default, |spare| spare.downcast::<Vec<u64>>().unwrap());
    value.push(parts.id().unwrap().parse().unwrap());
    value
}

fn numbered(count: usize) -> Run {
    let lines: Vec<_> = (0..count as u64)
        .map(|n| (n, format!(r#"{{"method":"m","id":{n}}}"#)))
        .collect();
    block(
        &lines
            .iter()
            .map(|(n, line)| (*n, line.as_str()))
            .collect::<Vec<_>>(),
    )
}

#[test]
fn a_value_that_nobody_has_any_more_is_made_into_the_next_one() {
    let mut run = numbered(4);
    for told in [vec![0_u64], vec![0, 1], vec![0, 1, 2]] {
        assert_eq!(run.pop().unwrap().memo(number), Some(&told));
    }
}

#[test]
fn a_value_that_somebody_has_stays_as_it_is() {
    let mut run = numbered(4);
    let first = run.pop().unwrap();
    assert_eq!(first.memo(number), Some(&vec![0_u64]));
    assert_eq!(run.pop().unwrap().memo(number), Some(&vec![1_u64]));
    assert_eq!(
        first.memo::<Vec<u64>>(|_, _| unreachable!()),
        Some(&vec![0])
    );
    let (mut one, mut other) = (numbered(2), None::<Run>);
    other.replace(one.clone());
    assert_eq!(one.pop().unwrap().memo(number), Some(&vec![0_u64]));
    assert_eq!(
        one.pop().unwrap().memo(number),
        Some(&vec![1_u64]),
        "the other reader is to have it"
    );
    assert_eq!(
        other
            .unwrap()
            .pop()
            .unwrap()
            .memo::<Vec<u64>>(|_, _| unreachable!()),
        Some(&vec![0])
    );
}

#[test]
fn the_values_of_a_full_block_serve_a_later_one() {
    let mut draft = Draft::default();
    let mut made = Vec::new();
    for round in 0..3_u64 {
        for n in 0..LINES as u64 {
            let line = format!(r#"{{"method":"m","id":{}}}"#, round * 100 + n);
            let (kind, env) = scan(&line);
            draft.push(n, &line, kind, env);
        }
        let mut run = Run::whole(draft.finish(Instant::now()).unwrap());
        let held = run.clone();
        while let Some(message) = run.pop() {
            made.push(message.memo::<Vec<u64>>(number).unwrap().len());
        }
        drop((run, held));
    }
    // The second block had been begun before the first one went.
    assert_eq!(made, [[1; LINES], [1; LINES], [2; LINES]].concat());
}

#[test]
fn each_line_of_a_block_is_itself() {
    let lines = [
        (3, r#"{"method":"a","params":{"roomId":"t"}}"#),
        (4, "{\"method\":\"ä\"}"),
        (9, "no json"),
    ];
    let mut run = block(&lines);
    assert_eq!(
        run.bytes(),
        lines.iter().map(|(_, line)| line.len()).sum::<usize>()
    );
    for (seq, line) in lines {
        let message = run.pop().unwrap();
        assert_eq!((message.seq(), message.raw()), (seq, line));
    }
    assert!(run.pop().is_none());
}

#[test]
fn a_run_is_split_before_a_number_and_after_so_many() {
    let lines: Vec<_> = [1, 2, 5, 6, 9].map(|seq| (seq, "x")).to_vec();
    let split = |seq, max| {
        let mut run = block(&lines);
        let front = run.split(seq, max);
        (seqs(front), seqs(run))
    };
    assert_eq!(split(u64::MAX, 100), (vec![1, 2, 5, 6, 9], vec![]));
    assert_eq!(split(u64::MAX, 2), (vec![1, 2], vec![5, 6, 9]));
    assert_eq!(split(5, 100), (vec![1, 2], vec![5, 6, 9]));
    assert_eq!(split(6, 2), (vec![1, 2], vec![5, 6, 9]));
    assert_eq!(split(9, 100), (vec![1, 2, 5, 6], vec![9]));
}

#[test]
fn a_filtered_run_keeps_its_order() {
    let lines: Vec<_> = [1, 2, 3, 4, 5].map(|seq| (seq, "x")).to_vec();
    let kept = block(&lines).filter(|m| m.seq() != 3);
    assert_eq!(
        kept.into_iter().map(seqs).collect::<Vec<_>>(),
        [[1, 2], [4, 5]]
    );
}

#[test]
fn a_block_is_small_whatever_comes() {
    let mut draft = Draft::default();
    let line = "x".repeat(TEXT / 2 + 1);
    assert!(draft.has_room(line.len()));
    draft.push(1, &line, MessageKind::Malformed, Envelope::default());
    assert!(!draft.has_room(line.len()));
    let mut draft = Draft::default();
    for seq in 0..LINES as u64 {
        assert!(draft.has_room(1));
        draft.push(seq, "x", MessageKind::Malformed, Envelope::default());
    }
    assert!(!draft.has_room(1));
    assert_eq!(
        Run::whole(draft.finish(Instant::now()).unwrap()).len(),
        LINES
    );
    assert!(draft.has_room(1) && draft.finish(Instant::now()).is_none());
}

//! Random cuts of random bytes, against a model of framing.

use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*, sample::Index};

use super::{
    line::{Line, Lines},
    model_tests::{many, now},
};

/// Each line as text, or as the length of one that was skipped.
type Told = Vec<Result<Vec<u8>, u64>>;

/// What framing has to come to, said without haste.
fn framed(input: &[u8], max_line: usize) -> Told {
    let mut pieces: Vec<_> = input.split(|b| *b == b'\n').collect();
    let last = pieces.pop().unwrap_or_default();
    let pieces = pieces.into_iter().chain((!last.is_empty()).then_some(last));
    pieces
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.is_empty())
        .map(|line| {
            if line.len() > max_line {
                Err(line.len() as u64)
            } else {
                Ok(line.to_vec())
            }
        })
        .collect()
}

fn read_in(chunks: &[&[u8]], max_line: usize) -> Told {
    let mut builder = tokio_test::io::Builder::new();
    for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
        builder.read(chunk);
    }
    let mut lines = Lines::new(builder.build(), max_line);
    let mut told = Vec::new();
    loop {
        let more = now(lines.fill()).expect("no error");
        while let Some(line) = lines.next() {
            told.push(match line {
                Line::Text(text) => Ok(text.to_vec()),
                Line::TooLong { len, .. } => Err(len),
            });
        }
        if !more {
            return told;
        }
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => vec(any::<u8>(), 0..20),
        4 => Just(b"\n".to_vec()),
        2 => Just(b"\r".to_vec()),
        2 => Just(b"\r\n".to_vec()),
        1 => vec(Just(b'x'), 30..80),
    ];
    vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

#[test]
fn any_cuts_of_any_bytes_give_the_same_lines() {
    proptest!(many(), |(
        input in bytes(),
        cuts in vec(any::<Index>(), 0..12),
        max_line in 1..60_usize,
    )| {
        let cuts: BTreeSet<_> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        let (mut chunks, mut start) = (Vec::new(), 0);
        for end in cuts.into_iter().chain([input.len()]) {
            chunks.push(&input[start..end]);
            start = end;
        }
        prop_assert_eq!(read_in(&chunks, max_line), framed(&input, max_line));
    });
}

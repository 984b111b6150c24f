//! The wake-ups written by hand, in every interleaving: `cargo run --manifest-path tests/loom/Cargo.toml`.
//!
//! The outbox keeps its writer task's waker. A caller takes the pipe and writes its frame itself if nothing else waits,
//! polling the pipe with that waker, or wakes the writer; the pipe and the wake-ups are used without the lock. If a wake-up
//! could be lost, the writer would sleep for ever in one of the interleavings, which loom reports as a deadlock.
//!
//! The taps keep the wakers of their readers, and make the reader and the requests wait. They come and go while lines are
//! written: nobody may wait for one that is gone, lose a line of one that is there, or lock what it holds itself.

#![allow(
    dead_code,
    reason = "the crate uses more of the file than these models do"
)]

#[path = "."]
mod rpc {
    #[path = "../../../src/rpc/lock.rs"]
    mod lock;
    #[path = "../../../src/rpc/outbox.rs"]
    pub(crate) mod outbox;
    #[path = "../../../src/rpc/tap.rs"]
    pub(crate) mod tap;

    pub(crate) mod sync {
        pub(crate) use loom::sync::{
            Mutex, MutexGuard,
            atomic::{AtomicBool, Ordering},
        };
    }
}

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll, Waker},
};

use loom::{
    future::block_on,
    sync::{Arc, Condvar, Mutex},
    thread,
};
use rpc::{
    outbox::{Lane, Outbox},
    tap::{Tap, Taps},
};
use tokio::io::AsyncWrite;

/// What a caller does.
#[derive(Clone, Copy)]
enum Call {
    /// Queues an answer, and writes it itself if it can.
    Reply(&'static [u8]),
    /// The same for a request.
    Write(&'static [u8]),
    /// Queues a request, and leaves it to the writer.
    Leave(&'static [u8]),
    /// Queues two requests, and writes both.
    WriteTwo(&'static [u8], &'static [u8]),
}
use Call::{Leave, Reply, Write, WriteTwo};

impl Call {
    fn run(self, outbox: &Outbox) {
        match self {
            Self::Reply(frame) => outbox.send(Lane::Reply, frame),
            Self::Write(frame) => outbox.send(Lane::Request, frame),
            Self::Leave(frame) => {
                outbox.queue(Lane::Request, frame);
                outbox.wake_writer();
            }
            Self::WriteTwo(one, two) => {
                outbox.queue(Lane::Request, one);
                outbox.queue(Lane::Request, two);
                outbox.flush();
            }
        }
    }

    fn frames(self) -> Vec<u8> {
        match self {
            Self::Reply(frame) | Self::Write(frame) | Self::Leave(frame) => frame.to_vec(),
            Self::WriteTwo(one, two) => [one, two].concat(),
        }
    }
}

/// A pipe with so much room, whose reader makes more of it.
#[derive(Clone)]
struct Pipe(Arc<(Mutex<State>, Condvar)>);

struct State {
    room: usize,
    written: Vec<u8>,
    waker: Option<Waker>,
}

impl Pipe {
    fn new(room: usize) -> Self {
        let state = State {
            room,
            written: Vec::new(),
            waker: None,
        };
        Self(Arc::new((Mutex::new(state), Condvar::new())))
    }

    fn make_room(&self, room: usize) {
        let mut state = self.0.0.lock().expect("no panic");
        state.room += room;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits for so many bytes. What comes is whole frames, in whatever order.
    fn frames(&self, bytes: usize) -> Vec<u8> {
        let mut state = self.0.0.lock().expect("no panic");
        while state.written.len() < bytes {
            state = self.0.1.wait(state).expect("no panic");
        }
        state.written.clone()
    }
}

/// The frames, sorted.
fn sorted(bytes: &[u8]) -> Vec<&[u8]> {
    let mut frames: Vec<_> = bytes.split_inclusive(|b| *b == b'\n').collect();
    frames.sort_unstable();
    frames
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.0.lock().expect("no panic");
        let n = buf.len().min(state.room);
        if n == 0 {
            state.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.room -= n;
        state.written.extend_from_slice(&buf[..n]);
        self.0.1.notify_one();
        Poll::Ready(Ok(n))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn model(name: &str, work: impl Fn() + Send + Sync + 'static) {
    let runs = std::sync::Arc::new(AtomicUsize::new(0));
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check({
        let runs = runs.clone();
        move || {
            runs.fetch_add(1, Ordering::Relaxed);
            work();
        }
    });
    println!("{name}: {} interleavings", runs.load(Ordering::Relaxed));
}

/// An outbox on a pipe, with its writer, callers, and a reader that makes room. All that is sent has to arrive before
/// anything else happens: the end, too, would wake the writer.
fn run(room: usize, callers: &'static [&'static [Call]], more_room: usize) {
    let pipe = Pipe::new(room);
    let outbox = std::sync::Arc::new(Outbox::new(Box::pin(pipe.clone())));
    let writer = thread::spawn({
        let outbox = outbox.clone();
        move || block_on(outbox.drive()).expect("the pipe is whole")
    });
    let (last, others) = callers.split_last().expect("a caller");
    let send = |outbox: &Outbox, calls: &[Call]| calls.iter().for_each(|call| call.run(outbox));
    let threads: Vec<_> = others
        .iter()
        .map(|frames| {
            let outbox = outbox.clone();
            thread::spawn(move || send(&outbox, frames))
        })
        .collect();
    send(&outbox, last);
    if more_room > 0 {
        pipe.make_room(more_room);
    }
    let sent: Vec<u8> = callers
        .iter()
        .flat_map(|calls| calls.iter())
        .flat_map(|call| call.frames())
        .collect();
    assert_eq!(sorted(&pipe.frames(sent.len())), sorted(&sent));
    outbox.close();
    for thread in threads {
        thread.join().expect("no panic");
    }
    writer.join().expect("no panic");
}

fn main() {
    every_wake_up_arrives();
    taps_come_and_go_and_lose_nothing();
}

/// The lines that a tap has, up to its end.
fn rest(tap: &Tap) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Some(line) = block_on(poll_fn(|cx| tap.poll(cx))) {
        numbers.push(line.number);
    }
    numbers
}

/// Writes so many lines as the reader does: each waits for room.
fn read(taps: &Taps, lines: u64) {
    for _ in 0..lines {
        taps.note(false, b"x\n").wake();
        block_on(taps.room());
    }
}

fn taps_come_and_go_and_lose_nothing() {
    model("a tap that goes while a line is written", || {
        let taps = std::sync::Arc::new(Taps::default());
        let tap = taps.open(1);
        let dropping = thread::spawn(move || drop(tap));
        read(&taps, 1);
        dropping.join().expect("no panic");
        assert!(!taps.is_full());
    });
    model(
        "a tap that goes while the reader waits for it and a request comes",
        || {
            let taps = std::sync::Arc::new(Taps::default());
            let tap = taps.open(1);
            let request = thread::spawn({
                let taps = taps.clone();
                move || {
                    block_on(taps.room());
                    taps.note(true, b"r\n").wake();
                }
            });
            let dropping = thread::spawn(move || drop(tap));
            read(&taps, 1);
            dropping.join().expect("no panic");
            request.join().expect("no panic");
        },
    );
    model("a tap that is read to its end, and holds one line", || {
        let taps = std::sync::Arc::new(Taps::default());
        let tap = taps.open(1);
        let reading = thread::spawn(move || rest(&tap));
        read(&taps, 2);
        taps.end();
        assert_eq!(reading.join().expect("no panic"), [1, 2]);
    });
    model("the end while a tap is read and another one goes", || {
        let taps = std::sync::Arc::new(Taps::default());
        let (tap, other) = (taps.open(8), taps.open(8));
        let reading = thread::spawn(move || rest(&tap));
        let dropping = thread::spawn(move || drop(other));
        taps.note(true, b"x\n").wake();
        taps.end();
        dropping.join().expect("no panic");
        assert_eq!(reading.join().expect("no panic"), [1]);
    });
    model("a tap that goes while the outbox writes", || {
        let pipe = Pipe::new(100);
        let outbox = Outbox::new(Box::pin(pipe.clone()));
        let tap = outbox.taps().open(8);
        let dropping = thread::spawn(move || drop(tap));
        outbox.send(Lane::Request, b"a\n");
        dropping.join().expect("no panic");
        assert_eq!(pipe.frames(2), b"a\n");
    });
}

fn every_wake_up_arrives() {
    model("a caller that writes by itself", || {
        run(100, &[&[Write(b"a\n")]], 0)
    });
    model("a caller that leaves it to the writer", || {
        run(100, &[&[Leave(b"a\n")]], 0)
    });
    model("one after the other", || {
        run(100, &[&[Write(b"a\n"), Leave(b"b\n"), Reply(b"c\n")]], 0)
    });
    model("two callers at once", || {
        run(100, &[&[Write(b"a\n")], &[Leave(b"b\n")]], 0)
    });
    model("a pipe that is full at first", || {
        run(0, &[&[Write(b"a\n")]], 100)
    });
    model("a pipe that is full in the middle of a frame", || {
        run(3, &[&[Write(b"aaaa\n"), Reply(b"b\n")]], 100)
    });
    model(
        "two that are written together while another caller writes",
        || run(100, &[&[WriteTwo(b"a\n", b"b\n")], &[Write(b"c\n")]], 0),
    );
    model(
        "two that are written together to a pipe that is full",
        || run(1, &[&[WriteTwo(b"a\n", b"b\n")]], 100),
    );
    model("two callers and a pipe that is full", || {
        run(1, &[&[Write(b"a\n")], &[Leave(b"b\n")]], 100)
    });
}

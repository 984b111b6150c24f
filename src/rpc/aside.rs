//! The door for foreign code out of the reader task and from under locks: subscribers of `tracing`, and the drops of
//! values that users gave.
//!
//! Both may block, or call the client. Here they run on a thread of the runtime's blocking pool, one after the other. So
//! code that runs in the reader task or holds a lock never calls a macro of `tracing` itself: it calls [`Aside::trace`].

use std::{
    any::Any,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, MutexGuard},
};

use tokio::runtime::Handle;
use tracing::{Dispatch, Level, dispatcher, level_filters::LevelFilter};

use super::lock::Lock;

/// How many traces may wait for a slow subscriber. Further ones are dropped and counted.
const MAX_TRACES: usize = 1_024;

/// Runs foreign code aside. Clones share one thread.
#[derive(Clone)]
pub(crate) struct Aside(Arc<Inner>);

struct Inner {
    /// Without one, foreign code runs at once, where it is handed in.
    runtime: Option<Handle>,
    state: Lock<State>,
}

#[derive(Default)]
struct State {
    traces: VecDeque<Trace>,
    /// How many traces were dropped since the last one that says so.
    lost: u64,
    /// Values to be dropped. Not bounded: each was held before.
    gone: Vec<Box<dyn Any + Send>>,
    /// A thread is at work.
    running: bool,
}

struct Trace {
    /// The subscriber of the thread that traced.
    subscriber: Dispatch,
    emit: Box<dyn FnOnce() + Send>,
}

impl Aside {
    /// Uses the runtime of the caller.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            runtime: Handle::try_current().ok(),
            state: Lock::default(),
        }))
    }

    /// Runs `emit`, which is one call of a macro of `tracing`, if a subscriber is interested in this level.
    pub(crate) fn trace(&self, level: Level, emit: impl FnOnce() + Send + 'static) {
        if level > LevelFilter::current() {
            return;
        }
        let trace = Trace {
            subscriber: dispatcher::get_default(Dispatch::clone),
            emit: Box::new(emit),
        };
        let mut state = self.0.state.lock();
        if state.traces.len() < MAX_TRACES {
            state.traces.push_back(trace);
            self.start(state);
        } else {
            state.lost += 1;
            drop(state);
            drop(trace);
        }
    }

    /// Drops a value whose `Drop` may be a user's.
    pub(crate) fn let_go(&self, what: impl Any + Send) {
        let mut state = self.0.state.lock();
        state.gone.push(Box::new(what));
        self.start(state);
    }

    fn start(&self, mut state: MutexGuard<'_, State>) {
        if std::mem::replace(&mut state.running, true) {
            return;
        }
        drop(state);
        let drain = Drain(Some(self.0.clone()));
        match &self.0.runtime {
            // A runtime that shuts down does not run it; what waits is dropped with the last clone.
            Some(runtime) => drop(runtime.spawn_blocking(move || drain.run())),
            None => drain.run(),
        }
    }
}

/// The work of the thread; `None` once it has begun.
struct Drain(Option<Arc<Inner>>);

impl Drain {
    fn run(mut self) {
        let Some(inner) = self.0.take() else { return };
        loop {
            let mut state = inner.state.lock();
            let gone = std::mem::take(&mut state.gone);
            let trace = state.traces.pop_front();
            let lost = if trace.is_some() {
                std::mem::take(&mut state.lost)
            } else {
                0
            };
            if gone.is_empty() && trace.is_none() {
                state.running = false;
                return;
            }
            drop(state);
            for gone in gone {
                guarded(move || drop(gone));
            }
            if let Some(Trace { subscriber, emit }) = trace {
                guarded(move || {
                    dispatcher::with_default(&subscriber, || {
                        emit();
                        if lost > 0 {
                            tracing::warn!(target: "cas_sdk", lost, "traces were dropped: the subscriber of tracing is too slow");
                        }
                    });
                });
            }
        }
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        if let Some(never_run) = self.0.take() {
            never_run.state.lock().running = false;
        }
    }
}

/// Runs foreign code. A panic ends that code only; the panic hook has reported it.
fn guarded(run: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(run));
}

#[cfg(test)]
mod tests {
    use std::{
        fmt::Write as _,
        sync::{Mutex, mpsc},
        time::Duration,
    };

    use tokio::sync::oneshot;
    use tracing::{Metadata, Subscriber, field::Visit, span};

    use super::*;

    /// A subscriber that waits for a word before the first event, and keeps what it is told.
    struct Slow {
        go: Mutex<Option<mpsc::Receiver<()>>>,
        told: Arc<Mutex<Vec<String>>>,
    }

    struct Text(String);

    /// Says when it is dropped.
    struct Tells(Option<oneshot::Sender<()>>);

    impl Drop for Tells {
        fn drop(&mut self) {
            let _ = self.0.take().unwrap().send(());
        }
    }

    impl Visit for Text {
        fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
            let _ = write!(self.0, "{}={value:?} ", field.name());
        }
    }

    impl Subscriber for Slow {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }
        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn event(&self, event: &tracing::Event<'_>) {
            if let Some(go) = self.go.lock().unwrap().take() {
                go.recv().unwrap();
            }
            let mut text = Text(String::new());
            event.record(&mut text);
            self.told.lock().unwrap().push(text.0);
        }
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    #[tokio::test]
    async fn a_slow_subscriber_is_told_how_many_traces_it_missed() {
        let (say_go, go) = mpsc::channel();
        let told = Arc::<Mutex<Vec<String>>>::default();
        let slow = Slow {
            go: Mutex::new(Some(go)),
            told: told.clone(),
        };
        let _listening = tracing::subscriber::set_default(slow);
        let aside = Aside::new();
        for n in 0..MAX_TRACES + 100 {
            aside.trace(Level::WARN, move || {
                tracing::warn!(target: "cas_sdk", n);
            });
        }
        say_go.send(()).unwrap();
        let (over, is_over) = oneshot::channel();
        // All that was queued is told in the end, and then this.
        while !aside.0.state.lock().traces.is_empty() {
            tokio::task::yield_now().await;
        }
        aside.let_go(Tells(Some(over)));
        is_over.await.unwrap();
        let told = told.lock().unwrap();
        let number = |text: &String| {
            let (_, lost) = text.split_once("lost=")?;
            lost.split(' ').next()?.parse::<usize>().ok()
        };
        let lost: usize = told.iter().filter_map(number).sum();
        let got = told.iter().filter(|t| t.starts_with("n=")).count();
        assert_eq!(got + lost, MAX_TRACES + 100);
        assert!(lost >= 98, "{lost}");
    }

    #[tokio::test]
    async fn a_panic_of_foreign_code_stops_nothing() {
        struct Panics;
        impl Drop for Panics {
            fn drop(&mut self) {
                panic!("on purpose");
            }
        }
        let aside = Aside::new();
        let (tell, told) = oneshot::channel();
        aside.let_go(Panics);
        while !aside.0.state.lock().gone.is_empty() {
            tokio::task::yield_now().await;
        }
        aside.let_go(Tells(Some(tell)));
        let told = tokio::time::timeout(Duration::from_secs(30), told).await;
        told.expect("the thread goes on, or another one").unwrap();
    }
}

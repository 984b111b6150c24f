//! Many turns: every one ends, every text is whole, every interrupt lands.

use std::{
    collections::HashMap, fmt::Write as _, future::IntoFuture as _, sync::Arc, time::Instant,
};

use cas_sdk::{
    Error, Events, Filter, Thread, TurnEvent, TurnOutcome,
    protocol::{ThreadItem, ThreadStartParams, TurnStatus},
    testing::{Gate, MockModel, ModelRequest, Reply},
    turn::{SendOutcome, TurnErrorKind},
};
use futures_util::FutureExt as _;

use crate::{common::codex_test, interrupted};

#[tokio::test]
async fn two_hundred_interrupts_right_after_the_start_all_land() {
    codex_test(120, async |rig| {
        let begun = Instant::now();
        rig.model
            .otherwise(Reply::new().delta("working").hold(&Gate::new()));
        let client = rig.client().await;
        let workers = (0..4).map(|_| {
            let client = client.clone();
            async move {
                let thread = client.start_thread(ThreadStartParams::default()).await.unwrap();
                let mut landed = 0;
                for _ in 0..50 {
                    let turn = thread.ask("go").await.unwrap();
                    assert!(!turn.joined());
                    assert_eq!(turn.interrupt().await.unwrap(), TurnStatus::Interrupted);
                    let error = turn.finish().await.unwrap_err();
                    assert!(
                        matches!(&error, Error::Turn(e) if matches!(e.kind, TurnErrorKind::Interrupted) && !e.outcome.recovered),
                        "{error:?}"
                    );
                    landed += 1;
                }
                landed
            }
        });
        let landed: usize = futures_util::future::join_all(workers).await.iter().sum();
        eprintln!("{landed} interrupts landed in {:?}", begun.elapsed());
        assert_eq!(landed, 200);
        client.shutdown().await;
    }).await;
}

#[tokio::test]
async fn two_hundred_turns_dropped_right_after_the_start_are_all_interrupted() {
    codex_test(120, async |rig| {
        rig.model
            .otherwise(Reply::new().delta("working").hold(&Gate::new()));
        let client = rig.client().await;
        let mut ends = client.events(Filter::all().method("turn/completed"));
        let threads = futures_util::future::join_all(
            (0..4).map(|_| client.start_thread(ThreadStartParams::default())),
        )
        .await;
        let threads: Vec<Thread> = threads.into_iter().map(Result::unwrap).collect();
        for _ in 0..50 {
            let turns = futures_util::future::join_all(
                threads.iter().map(|thread| thread.ask("go").into_future()),
            )
            .await;
            drop(turns); // Each is an `Ok`: see the count below.
            for _ in &threads {
                interrupted(&mut ends).await;
            }
        }
        client.shutdown().await;
    })
    .await;
}

/// What happens in one turn of the storm, and what has to come of it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Plan {
    /// Asked, streamed, done.
    Plain,
    /// Steered right after the start; the model answers once more.
    Steered,
    /// Steered through the thread, as if by somebody else.
    Sent,
    /// Interrupted right after the start.
    Interrupted,
    /// Dropped right after the start.
    Dropped,
    /// Read by two.
    Followed,
}

impl Plan {
    fn of(n: usize) -> Self {
        [
            Self::Plain,
            Self::Steered,
            Self::Plain,
            Self::Interrupted,
            Self::Followed,
            Self::Sent,
            Self::Plain,
            Self::Dropped,
            Self::Plain,
            Self::Steered,
        ][n % 10]
    }
}

/// The text that the model says to the last thing that the user said.
fn text(said: &str) -> String {
    let words: Vec<String> = (0..20).map(|n| format!("{said}/{n} ")).collect();
    words.concat()
}

fn answer(request: &ModelRequest, gates: &HashMap<String, Gate>) -> Reply {
    let prompts = request.prompts();
    let said = prompts.last().copied().unwrap_or_default();
    let mut reply = Reply::new();
    for n in 0..20 {
        reply = reply.delta(format!("{said}/{n} "));
        // So that there is time for a steer or an interrupt in the middle of the sentence.
        if n == 10
            && let Some(gate) = gates.get(said)
        {
            reply = reply.hold(gate);
        }
    }
    reply
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_a_thousand_turns_on_twenty_threads_ends_with_its_whole_text() {
    const THREADS: usize = 20;
    const TURNS: usize = 50;
    codex_test(480, async |rig| {
        let begun = Instant::now();
        let mut gates = HashMap::new();
        for thread in 0..THREADS {
            for n in 0..TURNS {
                if matches!(
                    Plan::of(thread + n),
                    Plan::Steered | Plan::Sent | Plan::Interrupted | Plan::Dropped
                ) {
                    gates.insert(format!("{thread}-{n}"), Gate::new());
                }
            }
        }
        let gates = Arc::new(gates);
        rig.model.respond_with({
            let gates = gates.clone();
            move |request: &ModelRequest| answer(request, &gates)
        });
        let client = rig.client().await;
        let model = Arc::new(rig.model);
        let workers = (0..THREADS).map(|at| {
            let (client, model, gates) = (client.clone(), model.clone(), gates.clone());
            tokio::spawn(async move {
                let thread = client
                    .start_thread(ThreadStartParams::default())
                    .await
                    .unwrap();
                let mut counts = HashMap::new();
                for n in 0..TURNS {
                    let plan = Plan::of(at + n);
                    let said = format!("{at}-{n}");
                    let record = thread.events();
                    if let Err(wrong) = one(&thread, plan, &said, &gates).await {
                        let told = told(record, &model);
                        panic!("{said}, {plan:?}: {wrong}\n{told}");
                    }
                    *counts.entry(format!("{plan:?}")).or_insert(0) += 1;
                }
                counts
            })
        });
        let mut counts: HashMap<String, usize> = HashMap::new();
        for worker in workers.collect::<Vec<_>>() {
            for (plan, n) in worker.await.unwrap() {
                *counts.entry(plan).or_default() += n;
            }
        }
        eprintln!("{counts:?} in {:?}", begun.elapsed());
        assert_eq!(counts.values().sum::<usize>(), 1000);
        assert_eq!(model.unexpected(), [""; 0]);
        client.shutdown().await;
    })
    .await;
}

/// `Err` says what is wrong with the turn.
async fn one(
    thread: &Thread,
    plan: Plan,
    said: &str,
    gates: &HashMap<String, Gate>,
) -> Result<(), String> {
    let mut turn = thread.ask(said).await.map_err(wrong)?;
    // After a drop the next turn may come before the interrupt has ended the one before; then this joins that.
    ensure(!turn.joined(), || "it joined a turn".to_owned())?;
    let more = format!("{said}+");
    let mut streamed = String::new();
    match plan {
        Plan::Interrupted => {
            let status = turn.interrupt().await.map_err(wrong)?;
            ensure(status == TurnStatus::Interrupted, || status.to_string())?;
            return match turn.finish().await {
                Err(Error::Turn(e)) if matches!(e.kind, TurnErrorKind::Interrupted) => Ok(()),
                other => Err(format!("interrupted, and then: {other:?}")),
            };
        }
        Plan::Dropped => {
            let id = turn.id().to_owned();
            let mut ends = thread
                .client()
                .events(Filter::all().method("turn/completed").turn(id));
            drop(turn);
            let end = ends.next().await.ok_or("no end")?.map_err(wrong)?;
            return ensure(end.json().contains("interrupted"), || end.line().to_owned());
        }
        Plan::Steered => {
            turn.steer(more.as_str()).await.map_err(wrong)?;
            gates[said].open();
        }
        Plan::Sent => {
            // In the middle of the sentence.
            while !matches!(turn.next().await, Some(Ok(TurnEvent::Text { delta: t, .. })) if { streamed.push_str(&t); true })
            {
            }
            let sent = thread.send(more.as_str()).await.map_err(wrong)?;
            ensure(
                matches!(&sent, SendOutcome::Steered(c) if c.turn_id() == turn.id()),
                || format!("{sent:?}"),
            )?;
            gates[said].open();
        }
        Plan::Plain | Plan::Followed => {}
    }
    let other = (plan == Plan::Followed).then(|| tokio::spawn(turn.follow().finish()));
    let mut outcome = None;
    while let Some(event) = turn.next().await {
        match event.map_err(wrong)? {
            TurnEvent::Text { delta, .. } => streamed.push_str(&delta),
            TurnEvent::Completed(done) => outcome = Some(done),
            TurnEvent::Lagged(n) => return Err(format!("lagged by {n}")),
            _ => {}
        }
    }
    let outcome = outcome.ok_or("no end")?;
    whole(plan, said, &outcome, &streamed)?;
    if let Some(other) = other {
        let other = other.await.map_err(wrong)?.map_err(wrong)?.text;
        ensure(other == outcome.text, || {
            format!("the second reader got another text: {other:?}")
        })?;
    }
    Ok(())
}

/// Whether the outcome and what was streamed are what the model said.
fn whole(plan: Plan, said: &str, outcome: &TurnOutcome, streamed: &str) -> Result<(), String> {
    let well = outcome.status == TurnStatus::Completed && !outcome.recovered;
    ensure(well, || format!("{outcome:#?}"))?;
    let last = match plan {
        Plan::Steered | Plan::Sent => format!("{said}+"),
        _ => said.to_owned(),
    };
    let (first, last) = (text(said), text(&last));
    ensure(outcome.text == last, || {
        format!("expected {last:?}, got {outcome:#?}")
    })?;
    // A steer cuts off what the model is saying, and makes it answer again in the same turn; what it had said by then
    // is there all the same.
    let before = streamed.strip_suffix(&last);
    ensure(
        before.is_some_and(|before| first.starts_with(before)),
        || format!("expected a beginning of {first:?}, then {last:?}; streamed {streamed:?}"),
    )?;
    let messages = outcome.items.iter().filter_map(|item| match &item.item {
        ThreadItem::AgentMessage(m) => Some((m.text.as_str(), item.completed)),
        _ => None,
    });
    let messages: Vec<_> = messages.collect();
    let joined: String = messages.iter().map(|(text, _)| *text).collect();
    ensure(joined == streamed, || {
        format!("streamed {streamed:?}, but the items are {messages:#?}")
    })?;
    let is_whole = |(text, completed): &(&str, bool)| !completed || *text == last || *text == first;
    ensure(messages.iter().all(is_whole), || format!("{messages:#?}"))
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn wrong(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

/// All that the server has said of the thread since the turn was asked for, and what it has asked the model meanwhile.
fn told(mut record: Events, model: &MockModel) -> String {
    let mut told = String::new();
    let mut thread = None;
    while let Some(Some(event)) = record.next().now_or_never() {
        match event {
            Ok(event) => {
                thread = thread.or_else(|| event.thread_id().map(str::to_owned));
                let _ = writeln!(told, "{} {}", event.seq(), event.line());
            }
            Err(error) => {
                let _ = writeln!(told, "{error:?}");
            }
        }
    }
    for request in model.requests() {
        if request.thread_id() == thread.as_deref() {
            let texts = request.user_texts();
            let latest = &texts[texts.len().saturating_sub(4)..];
            let _ = writeln!(told, "asked for {:?}: {latest:?}", request.turn_id());
        }
    }
    told
}

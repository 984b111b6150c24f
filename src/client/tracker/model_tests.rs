//! Random orders of events, responses and handles, and what has to hold after each.

use std::{collections::HashMap, sync::Arc};

use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::json;

use super::{GuardRole, PendingStart, Phase, StartedBy, Tracker, TurnGuard};
use crate::{protocol::TurnStatus, rpc::Aside};

#[derive(Debug, Clone)]
enum Op {
    Started,
    Item,
    Completed,
    Recovered,
    LostEnd,
    Status(&'static str),
    Closed,
    Follow { is_active: bool },
    Unfollow,
    Request,
    Response(Index),
    Refusal(Index),
    Guard(GuardRole),
    Detach(Index),
    Drop(Index),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => Just(Op::Started),
        3 => Just(Op::Item),
        4 => Just(Op::Completed),
        1 => Just(Op::Recovered),
        1 => Just(Op::LostEnd),
        2 => prop_oneof![Just("idle"), Just("active"), Just("notLoaded")].prop_map(Op::Status),
        1 => Just(Op::Closed),
        2 => any::<bool>().prop_map(|is_active| Op::Follow { is_active }),
        1 => Just(Op::Unfollow),
        2 => Just(Op::Request),
        2 => any::<Index>().prop_map(Op::Response),
        1 => any::<Index>().prop_map(Op::Refusal),
        2 => prop_oneof![Just(GuardRole::Reader), Just(GuardRole::Control)].prop_map(Op::Guard),
        1 => any::<Index>().prop_map(Op::Detach),
        3 => any::<Index>().prop_map(Op::Drop),
    ]
}

/// Takes the element that an index picks; `None` if there is none.
fn pick<T>(of: &mut Vec<T>, index: Index) -> Option<T> {
    let at = (!of.is_empty()).then(|| index.index(of.len()))?;
    Some(of.swap_remove(at))
}

struct Run {
    tracker: Arc<Tracker>,
    seq: u64,
    requests: Vec<PendingStart>,
    guards: Vec<TurnGuard>,
}

impl Run {
    fn apply(&mut self, op: &Op, thread: &str, turn: &str) {
        let tracker = self.tracker.clone();
        self.seq += 1;
        let turn_params = json!({"turn": {"id": turn, "status": "completed"}}).to_string();
        match op {
            Op::Started => tracker.started(thread, turn, &turn_params, self.seq),
            Op::Item => {
                tracker.lock().thread(thread).seen(turn, self.seq);
            }
            Op::Completed => tracker.completed(thread, turn, &turn_params, self.seq),
            Op::Recovered => tracker.recovered(thread, turn, &TurnStatus::Failed),
            Op::LostEnd => tracker.lost_end(thread, turn),
            Op::Status(status) => {
                tracker.status(thread, &json!({"status": {"type": status}}).to_string());
            }
            Op::Closed => {
                let mut state = tracker.lock();
                let (entry, changes) = state.thread_and_changes(thread);
                entry.close(changes);
            }
            Op::Follow { is_active } => {
                let status = if *is_active { "active" } else { "idle" };
                let response = json!({"thread": {"id": thread, "status": {"type": status}}});
                let followed = tracker.follow(&response.to_string(), false);
                assert_eq!(followed.as_deref(), Some(thread));
            }
            Op::Unfollow => tracker.unfollow(thread),
            Op::Request => self.requests.push(tracker.starting(thread)),
            Op::Response(index) => {
                if let Some(request) = pick(&mut self.requests, *index) {
                    self.guards
                        .push(request.claim(turn, StartedBy::Us, false).0);
                }
            }
            Op::Refusal(index) => drop(pick(&mut self.requests, *index)),
            Op::Guard(role) => self.guards.push(tracker.guard(thread, turn, *role)),
            Op::Detach(index) => {
                if let Some(guard) = pick(&mut self.guards, *index) {
                    guard.detach();
                    self.guards.push(guard);
                }
            }
            Op::Drop(index) => drop(pick(&mut self.guards, *index)),
        }
    }

    /// What has to hold at any moment.
    fn check(&self) -> Result<(), TestCaseError> {
        let mut guards: HashMap<(&str, &str), (usize, usize)> = HashMap::new();
        for guard in &self.guards {
            let (all, readers) = guards.entry((&guard.thread, &guard.turn)).or_default();
            *all += 1;
            *readers += usize::from(guard.role() == GuardRole::Reader);
        }
        let state = self.tracker.lock();
        for (id, thread) in &state.threads {
            for turn in &thread.turns {
                let held = turn.held.as_ref();
                let counted = held.map_or((0, 0), |held| (held.guards, held.readers));
                let expected = guards.remove(&(&**id, &*turn.id)).unwrap_or_default();
                prop_assert_eq!(counted, expected, "guards of {} {}", id, turn.id);
                if let Some(held) = held.filter(|held| held.guards == 0) {
                    let waits_for_end = (held.ours || held.unwanted) && !held.is_over();
                    prop_assert!(waits_for_end, "{:?} is kept for nobody", turn);
                }
            }
        }
        prop_assert!(guards.is_empty(), "guards without a turn: {:?}", guards);
        Ok(())
    }

    /// What has to hold right after an event.
    fn check_after(&self, op: &Op, thread: &str, turn: &str) -> Result<(), TestCaseError> {
        let running = self.tracker.running(thread);
        let mut phases = self.guards.iter().filter(|guard| guard.thread == thread);
        match op {
            Op::Started => prop_assert!(self.tracker.lock().threads[thread].followed),
            Op::Completed | Op::Recovered => {
                prop_assert_ne!(running.as_deref(), Some(turn));
                let mut phases = phases.filter(|guard| guard.turn == turn);
                prop_assert!(phases.all(|guard| guard.phase().is_over()));
            }
            Op::LostEnd => prop_assert_ne!(running.as_deref(), Some(turn)),
            Op::Closed | Op::Status("notLoaded") => {
                prop_assert_eq!(running, None);
                prop_assert!(phases.all(|guard| guard.phase().is_over()));
                prop_assert!(!self.tracker.follows(thread));
            }
            _ => {}
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn whatever_happens_no_guard_is_lost_and_nothing_is_kept_for_nobody(
        ops in vec((op(), 0..2_usize, 0..3_usize), 0..60)
    ) {
        let tracker = Tracker::new(Aside::new());
        let mut run = Run { tracker, seq: 0, requests: Vec::new(), guards: Vec::new() };
        for (op, thread, turn) in &ops {
            let (thread, turn) = (["a", "b"][*thread], ["1", "2", "3"][*turn]);
            run.apply(op, thread, turn);
            run.check()?;
            run.check_after(op, thread, turn)?;
        }
        run.tracker.close();
        for guard in &run.guards {
            prop_assert!(guard.phase().is_over(), "{:?}", guard);
            prop_assert!(guard.phase() != Phase::Started);
        }
        run.guards.clear();
        run.requests.clear();
        run.check()?;
        let state = run.tracker.lock();
        prop_assert!(state.threads.values().all(|thread| !thread.is_needed()));
    }
}

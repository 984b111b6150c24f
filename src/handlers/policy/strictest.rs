//! The strictest of several policies, for a request that may belong to any of several threads.

use super::{Facts, Policy, Ruling};
use crate::handlers::decision::Decision;

/// The name of a refusal for an unknown thread.
const UNKNOWN: &str = "unknown thread";

impl Policy {
    /// A policy that accepts only what all of these accept. A request that some leave to a handler
    /// goes to it if all have the same handler, else it is declined.
    pub(crate) fn strictest(policies: Vec<Self>) -> Self {
        let mut handlers = policies.iter().map(|policy| policy.handler.as_ref());
        let first = handlers.next().flatten();
        let same = first.is_some_and(|first| {
            handlers.all(|other| other.is_some_and(|other| first.ptr_eq(other)))
        });
        Self {
            handler: first.filter(|_| same).cloned(),
            closed: true,
            all_of: policies,
            ..Self::with_preset(Vec::new())
        }
    }

    /// This policy without its handler, for when the user's code is gone.
    pub(crate) fn without_handler(&self) -> Self {
        Self {
            handler: None,
            closed: true,
            ..self.clone()
        }
    }

    /// Whether it decides as another one does.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let handlers = match (&self.handler, &other.handler) {
            (Some(one), Some(two)) => one.ptr_eq(two),
            (None, None) => true,
            _ => false,
        };
        handlers
            && (&self.rules, &self.preset, &self.shells, self.closed)
                == (&other.rules, &other.preset, &other.shells, other.closed)
    }

    pub(super) fn decide_together(&self, facts: &Facts) -> Option<Ruling> {
        let refusal = || Ruling {
            decision: Decision::Decline,
            by: UNKNOWN.to_owned(),
            warning: None,
        };
        let mut strictest: Option<Ruling> = None;
        let mut undecided = false;
        for policy in &self.all_of {
            match policy.decide(facts) {
                Some(ruling) if !ruling.decision.accepts() => return Some(ruling),
                Some(ruling) => {
                    let width = |ruling: &Ruling| width(&ruling.decision);
                    if strictest.as_ref().is_none_or(|s| width(&ruling) < width(s)) {
                        strictest = Some(ruling);
                    }
                }
                None if policy.handler.is_none() => return Some(refusal()),
                None => undecided = true,
            }
        }
        match strictest {
            _ if undecided => self.handler.is_none().then(refusal),
            accepted => accepted.or_else(|| Some(refusal())),
        }
    }
}

/// Orders decisions by how much they accept.
fn width(decision: &Decision) -> u8 {
    match decision {
        Decision::Decline | Decision::Cancel => 0,
        Decision::Accept => 1,
        Decision::AcceptForSession => 2,
        _ => 3,
    }
}

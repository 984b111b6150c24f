//! Who gets what. In a flood most events look alike to every filter, so what was decided once is kept: a few routes by
//! their hash, each with the set of subscriptions that take it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::router::{Class, Route};

/// How many routes are kept.
const SLOTS: usize = 64;
/// How many different sets are kept; then all is forgotten.
const SETS: usize = 256;

#[derive(Default)]
pub(super) struct Routes {
    slots: Vec<Known>,
    /// The slot of the route before.
    last: usize,
    sets: Vec<Box<[usize]>>,
}

/// What is done with the events of a route.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) class: Class,
    /// Which set of subscriptions gets them.
    pub(super) set: usize,
}

#[derive(Clone, Default)]
struct Known {
    /// The kind and the lengths of the keys; `None` in a slot that is free.
    shape: Option<Shape>,
    /// The keys, one after the other.
    keys: String,
    plan: Plan,
}

type Shape = (super::Kind, [Option<usize>; 5]);

impl Routes {
    /// The plan that was found or learned last, if it still holds.
    pub(super) fn last(&self) -> Option<Plan> {
        let known = self.slots.get(self.last)?;
        known.shape.is_some().then_some(known.plan)
    }

    pub(super) fn find(&mut self, route: &Route<'_>) -> Option<Plan> {
        let shape = shape(route);
        let last = self.slots.get(self.last)?;
        if !last.is(&shape, route) {
            self.last = slot(route);
        }
        let known = self.slots.get(self.last)?;
        known.is(&shape, route).then_some(known.plan)
    }

    /// Keeps who gets the events of a route. Plans made before may no longer hold.
    pub(super) fn learn(&mut self, route: &Route<'_>, class: Class, to: &[usize]) -> Plan {
        if self.sets.len() >= SETS {
            self.forget();
        }
        let known = self.sets.iter().position(|set| **set == *to);
        let set = known.unwrap_or_else(|| {
            self.sets.push(to.into());
            self.sets.len() - 1
        });
        let plan = Plan { class, set };
        self.slots.resize_with(SLOTS, Known::default);
        self.last = slot(route);
        let known = &mut self.slots[self.last];
        known.shape = Some(shape(route));
        known.keys.clear();
        for key in keys(route).into_iter().flatten() {
            known.keys.push_str(key);
        }
        known.plan = plan;
        plan
    }

    /// The places of the subscriptions of a set.
    pub(super) fn set(&self, plan: Plan) -> &[usize] {
        &self.sets[plan.set]
    }

    /// The subscriptions are no longer what they were.
    pub(super) fn forget(&mut self) {
        for known in &mut self.slots {
            known.shape = None;
        }
        self.sets.clear();
    }
}

impl Known {
    fn is(&self, shape: &Shape, route: &Route<'_>) -> bool {
        if self.shape.as_ref() != Some(shape) {
            return false;
        }
        let mut at = 0;
        keys(route).into_iter().flatten().all(|key| {
            let from = at;
            at += key.len();
            self.keys.as_bytes().get(from..at) == Some(key.as_bytes())
        })
    }
}

/// In the order in which routes differ most.
fn keys<'a>(route: &Route<'a>) -> [Option<&'a str>; 5] {
    let Route {
        kind: _,
        method,
        thread,
        turn,
        item,
        item_type,
    } = *route;
    [item, method, turn, thread, item_type]
}

fn shape(route: &Route<'_>) -> Shape {
    (route.kind, keys(route).map(|key| key.map(str::len)))
}

fn slot(route: &Route<'_>) -> usize {
    let mut hasher = DefaultHasher::new();
    route.hash(&mut hasher);
    usize::try_from(hasher.finish() % SLOTS as u64).unwrap_or_default()
}

#[cfg(test)]
impl<'a> Route<'a> {
    /// That of a notification of a thread, or of none.
    pub(crate) fn about(method: &'a str, thread: Option<&'a str>) -> Self {
        Self {
            kind: super::Kind::Notification,
            method: Some(method),
            thread,
            turn: None,
            item: None,
            item_type: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::Kind;

    #[test]
    fn routes_that_differ_in_one_key_are_told_apart() {
        let mut routes = Routes::default();
        let all = [
            Route::about("ab", Some("c")),
            Route::about("a", Some("bc")),
            Route::about("a", Some("bd")),
            Route::about("abc", None),
            Route {
                item: Some("c"),
                ..Route::about("ab", None)
            },
            Route {
                kind: Kind::Request,
                ..Route::about("abc", None)
            },
        ];
        for (n, route) in all.iter().enumerate() {
            assert_eq!(routes.find(route), None, "{route:?}");
            let plan = routes.learn(route, Class::default(), &[n]);
            assert_eq!(routes.find(route), Some(plan));
            assert_eq!(routes.set(plan), [n]);
        }
    }

    #[test]
    fn what_was_learned_is_forgotten_when_the_subscriptions_change_and_never_grows_for_ever() {
        let mut routes = Routes::default();
        for n in 0..10_000 {
            let method = n.to_string();
            let plan = routes.learn(&Route::about(&method, None), Class::default(), &[n]);
            assert_eq!(routes.set(plan), [n]);
            assert!(routes.sets.len() <= SETS);
        }
        assert!(routes.find(&Route::about("9999", None)).is_some());
        routes.forget();
        assert!((0..10_000).all(|n| routes.find(&Route::about(&n.to_string(), None)).is_none()));
    }
}

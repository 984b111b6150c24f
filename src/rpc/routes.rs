//! Who gets what: a cache of what the filters have decided.
//!
//! In a flood most events look alike to every filter, so a decision is kept: a few routes by their hash, each with the set
//! of subscriptions that take it. The route of the line before is looked at first. All is forgotten when a subscription
//! comes, goes or changes.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::{
    envelope::{MessageKind, Route},
    protocol::{Class, KEYS, Keys},
};

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

/// What is done with a message: how it is treated, and who gets it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) class: Class,
    /// Which set of subscriptions gets them.
    pub(super) set: usize,
}

#[derive(Clone, Default)]
struct Known {
    /// The kind and the lengths of the strings; `None` in a slot that is free.
    shape: Option<Shape>,
    /// The strings, one after the other.
    strings: String,
    delivery: Delivery,
}

type Shape = (MessageKind, [Option<usize>; KEYS + 1]);

impl Routes {
    /// The delivery that was found or learned last, if it still holds.
    pub(super) fn last(&self) -> Option<Delivery> {
        let known = self.slots.get(self.last)?;
        known.shape.is_some().then_some(known.delivery)
    }

    pub(super) fn find(&mut self, route: &Route<'_>) -> Option<Delivery> {
        let shape = shape(route);
        let last = self.slots.get(self.last)?;
        if !last.is(&shape, route) {
            self.last = slot(route);
        }
        let known = self.slots.get(self.last)?;
        known.is(&shape, route).then_some(known.delivery)
    }

    /// Keeps who gets the events of a route. Deliveries learned before may no longer hold.
    pub(super) fn learn(&mut self, route: &Route<'_>, class: Class, to: &[usize]) -> Delivery {
        if self.sets.len() >= SETS {
            self.forget();
        }
        let known = self.sets.iter().position(|set| **set == *to);
        let set = known.unwrap_or_else(|| {
            self.sets.push(to.into());
            self.sets.len() - 1
        });
        let delivery = Delivery { class, set };
        self.slots.resize_with(SLOTS, Known::default);
        self.last = slot(route);
        let known = &mut self.slots[self.last];
        known.shape = Some(shape(route));
        known.strings.clear();
        for key in strings(route).into_iter().flatten() {
            known.strings.push_str(key);
        }
        known.delivery = delivery;
        delivery
    }

    /// The places of the subscriptions of a set.
    pub(super) fn set(&self, delivery: Delivery) -> &[usize] {
        &self.sets[delivery.set]
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
        strings(route).into_iter().flatten().all(|key| {
            let from = at;
            at += key.len();
            self.strings.as_bytes().get(from..at) == Some(key.as_bytes())
        })
    }
}

/// The strings of a route, in the order in which routes differ most: the last key is the narrowest.
fn strings<'a>(route: &Route<'a>) -> [Option<&'a str>; KEYS + 1] {
    let [first, second, third, fourth]: Keys<'a> = route.keys;
    [third, route.method, second, first, fourth]
}

fn shape(route: &Route<'_>) -> Shape {
    (route.kind, strings(route).map(|key| key.map(str::len)))
}

fn slot(route: &Route<'_>) -> usize {
    let mut hasher = DefaultHasher::new();
    route.hash(&mut hasher);
    usize::try_from(hasher.finish() % SLOTS as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_that_differ_in_one_key_are_told_apart() {
        let mut routes = Routes::default();
        let all = [
            Route::about("ab", Some("c")),
            Route::about("a", Some("bc")),
            Route::about("a", Some("bd")),
            Route::about("abc", None),
            Route {
                keys: [None, None, Some("c"), None],
                ..Route::about("ab", None)
            },
            Route {
                kind: MessageKind::Request,
                ..Route::about("abc", None)
            },
        ];
        for (n, route) in all.iter().enumerate() {
            assert_eq!(routes.find(route), None, "{route:?}");
            let delivery = routes.learn(route, Class::default(), &[n]);
            assert_eq!(routes.find(route), Some(delivery));
            assert_eq!(routes.set(delivery), [n]);
        }
    }

    #[test]
    fn deliveries_are_forgotten_when_subscriptions_change_and_do_not_pile_up() {
        let mut routes = Routes::default();
        for n in 0..10_000 {
            let method = n.to_string();
            let delivery = routes.learn(&Route::about(&method, None), Class::default(), &[n]);
            assert_eq!(routes.set(delivery), [n]);
            assert!(routes.sets.len() <= SETS);
        }
        assert!(routes.find(&Route::about("9999", None)).is_some());
        routes.forget();
        assert!((0..10_000).all(|n| routes.find(&Route::about(&n.to_string(), None)).is_none()));
    }
}

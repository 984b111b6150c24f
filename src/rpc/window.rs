//! The window: how many requests the server may hold at once, and those that wait for a place. A server's queue is short,
//! and it may drop what does not fit without an answer.

use std::collections::VecDeque;

/// Which places a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// The places that most requests share.
    Ordinary,
    /// The same places, and if none is free some that no other request may take. Before all others.
    Urgent,
    /// Places of their own, for requests whose answer takes as long as their work.
    Long,
}

/// A place in the window, until it is [given back](Window::give_back).
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    Shared,
    /// One that only urgent requests may take.
    Reserved,
    Long,
}

impl Lane {
    const ALL: [Self; 3] = [Self::Urgent, Self::Ordinary, Self::Long];

    fn places(self) -> &'static [Place] {
        match self {
            Self::Ordinary => &[Place::Shared],
            Self::Urgent => &[Place::Shared, Place::Reserved],
            Self::Long => &[Place::Long],
        }
    }
}

/// How many requests of the long lane may be in flight.
const LONG: usize = 64;

pub(crate) struct Window<T> {
    /// How many places of each kind are free.
    free: [usize; 3],
    /// What waits in each lane, by the ids of the requests, in their order.
    waiting: [VecDeque<(u64, T)>; 3],
}

impl<T> Window<T> {
    pub(crate) fn new(ordinary: usize, urgent: usize) -> Self {
        let mut free = [LONG; 3];
        free[Place::Shared as usize] = ordinary.max(1);
        free[Place::Reserved as usize] = urgent.max(1);
        Self {
            free,
            waiting: std::array::from_fn(|_| VecDeque::new()),
        }
    }

    /// Has a request wait for its turn.
    pub(super) fn wait(&mut self, lane: Lane, id: u64, request: T) {
        let waiting = &mut self.waiting[lane as usize];
        let at = waiting.partition_point(|(other, _)| *other < id);
        waiting.insert(at, (id, request)); // At the end, but for callers that overtake each other on their way.
    }

    /// Takes back a request that waits.
    pub(super) fn withdraw(&mut self, id: u64) -> Option<T> {
        self.waiting.iter_mut().find_map(|waiting| {
            let at = waiting.binary_search_by_key(&id, |(id, _)| *id).ok()?;
            waiting.remove(at).map(|(_, request)| request)
        })
    }

    /// Takes the next request for which there is a place, and the place.
    pub(super) fn next(&mut self) -> Option<(u64, T, Place)> {
        let (lane, place) = self.first()?;
        let (id, request) = self.waiting[lane as usize].pop_front()?;
        self.free[place as usize] -= 1;
        Some((id, request, place))
    }

    /// Whether there is a request that waits although it could be sent.
    pub(super) fn is_ready(&self) -> bool {
        self.first().is_some()
    }

    /// The lane whose first request is sent next, and the place that it takes.
    fn first(&self) -> Option<(Lane, Place)> {
        let waiting = |lane: &Lane| !self.waiting[*lane as usize].is_empty();
        let free = |place: &&Place| self.free[**place as usize] > 0;
        let placed = |lane: Lane| lane.places().iter().find(free).map(|place| (lane, *place));
        Lane::ALL.into_iter().filter(waiting).find_map(placed)
    }

    pub(super) fn give_back(&mut self, place: Place) {
        self.free[place as usize] += 1;
    }

    /// Whether a request waits.
    pub(super) fn is_awaited(&self) -> bool {
        self.waiting.iter().any(|lane| !lane.is_empty())
    }

    /// Takes out all that waits.
    pub(super) fn take(&mut self) -> Vec<T> {
        let waiting = self.waiting.iter_mut().flat_map(std::mem::take);
        waiting.map(|(_, request)| request).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Lane::*, Window};

    fn ids(window: &mut Window<()>) -> Vec<u64> {
        std::iter::from_fn(|| window.next().map(|(id, ..)| id)).collect()
    }

    #[test]
    fn requests_take_turns_by_their_ids_and_urgent_ones_before_all_others() {
        let mut window = Window::new(3, 1);
        for (lane, id) in [(Ordinary, 1), (Ordinary, 4), (Ordinary, 3), (Urgent, 5)] {
            window.wait(lane, id, ());
        }
        window.wait(Long, 2, ());
        assert!(window.withdraw(1).is_some() && window.withdraw(1).is_none());
        assert_eq!(ids(&mut window), [5, 3, 4, 2]);
        assert!(!window.is_awaited());
    }

    #[test]
    fn a_reserved_place_is_for_an_urgent_request_and_a_long_one_takes_no_other_place() {
        let mut window = Window::new(1, 1);
        for id in 1..=3 {
            window.wait(Ordinary, id, ());
            window.wait(Urgent, id + 10, ());
            window.wait(Long, id + 20, ());
        }
        let (_, (), first) = window.next().expect("a place");
        assert_eq!(ids(&mut window), [12, 21, 22, 23]);
        assert!(window.is_awaited() && !window.is_ready());
        window.give_back(first);
        assert_eq!(ids(&mut window), [13]);
    }
}

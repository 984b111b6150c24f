//! The window: how many requests the server may hold at once, and the frames that wait for a place. A server's queue is
//! short, and it may drop what does not fit without an answer.

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

#[derive(Debug)]
pub(crate) struct Window {
    /// How many places of each kind are free.
    free: [usize; 3],
    /// The frames that wait in each lane, by their ids, in their order.
    waiting: [VecDeque<(u64, Vec<u8>)>; 3],
}

impl Window {
    pub(crate) fn new(ordinary: usize, urgent: usize) -> Self {
        let mut free = [LONG; 3];
        free[Place::Shared as usize] = ordinary.max(1);
        free[Place::Reserved as usize] = urgent.max(1);
        Self {
            free,
            waiting: Default::default(),
        }
    }

    /// Has a frame wait for its turn.
    pub(super) fn wait(&mut self, lane: Lane, id: u64, frame: Vec<u8>) {
        let waiting = &mut self.waiting[lane as usize];
        let at = waiting.partition_point(|(other, _)| *other < id);
        waiting.insert(at, (id, frame)); // At the end, but for callers that overtake each other on their way.
    }

    /// Takes back a frame that waits.
    pub(super) fn withdraw(&mut self, lane: Lane, id: u64) {
        let waiting = &mut self.waiting[lane as usize];
        if let Ok(at) = waiting.binary_search_by_key(&id, |(id, _)| *id) {
            waiting.remove(at);
        }
    }

    /// Takes the next frame for which there is a place, and the place.
    pub(super) fn next(&mut self) -> Option<(u64, Vec<u8>, Place)> {
        let (lane, place) = self.first()?;
        let (id, frame) = self.waiting[lane as usize].pop_front()?;
        self.free[place as usize] -= 1;
        Some((id, frame, place))
    }

    /// Whether there is a frame that waits although it could be sent.
    pub(super) fn is_ready(&self) -> bool {
        self.first().is_some()
    }

    /// The lane whose first frame is sent next, and the place that it takes.
    fn first(&self) -> Option<(Lane, Place)> {
        let waiting = |lane: &Lane| !self.waiting[*lane as usize].is_empty();
        let free = |place: &&Place| self.free[**place as usize] > 0;
        let placed = |lane: Lane| lane.places().iter().find(free).map(|place| (lane, *place));
        Lane::ALL.into_iter().filter(waiting).find_map(placed)
    }

    pub(super) fn give_back(&mut self, place: Place) {
        self.free[place as usize] += 1;
    }

    /// Whether a frame waits.
    pub(super) fn is_awaited(&self) -> bool {
        self.waiting.iter().any(|lane| !lane.is_empty())
    }

    /// Drops what waits.
    pub(super) fn clear(&mut self) {
        self.waiting = Default::default();
    }
}

#[cfg(test)]
mod tests {
    use super::{Lane::*, Window};

    fn ids(window: &mut Window) -> Vec<u64> {
        std::iter::from_fn(|| window.next().map(|(id, ..)| id)).collect()
    }

    #[test]
    fn frames_take_turns_by_their_ids_and_urgent_ones_before_all_others() {
        let mut window = Window::new(3, 1);
        for (lane, id) in [(Ordinary, 1), (Ordinary, 4), (Ordinary, 3), (Urgent, 5)] {
            window.wait(lane, id, Vec::new());
        }
        window.wait(Long, 2, Vec::new());
        window.withdraw(Ordinary, 1);
        window.withdraw(Ordinary, 5); // It waits in another lane.
        assert_eq!(ids(&mut window), [5, 3, 4, 2]);
        assert!(!window.is_awaited());
    }

    #[test]
    fn a_reserved_place_is_for_an_urgent_frame_and_a_long_one_takes_no_other_place() {
        let mut window = Window::new(1, 1);
        for id in 1..=3 {
            window.wait(Ordinary, id, Vec::new());
            window.wait(Urgent, id + 10, Vec::new());
            window.wait(Long, id + 20, Vec::new());
        }
        let (_, _, first) = window.next().expect("a place");
        assert_eq!(ids(&mut window), [12, 21, 22, 23]);
        assert!(window.is_awaited() && !window.is_ready());
        window.give_back(first);
        assert_eq!(ids(&mut window), [13]);
    }
}

//! The orchestrator's requests: which the server holds, which wait for a place, and the deadline of
//! each.
//!
//! The server takes about 160 requests at once; beyond that it refuses some and silently drops
//! others. So it is given a window of them, as the library does. What the library counts with
//! semaphores and tasks is counted here in plain data, since the proxy is one task and has no
//! caller that could wait.
//!
//! Every accepted request ends once: by its answer, or by an error when its time is over or the
//! server has ended.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use super::{command::id_key, events::OwnedKeys};

/// How many requests of each lane the server may hold.
const ORDINARY: usize = 64;
const URGENT: usize = 16;
const LONG: usize = 48;
/// How many overdue requests it may hold in addition, while it is not known whether it has read
/// them.
const OVERDUE: usize = 16;
/// How many overdue requests are remembered, for late answers.
const REMEMBERED: usize = 1_024;
/// Requests that may wait for a place, in all.
const MAX_WAITING: usize = 65_536;
/// How many bytes of requests may wait before reading commands pauses.
const MAX_WAITING_BYTES: usize = 64 * 1024 * 1024;

/// Requests in the same lane wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    Ordinary,
    /// Must not wait behind the others.
    Urgent,
    /// Answered only when its work is done, however long that takes. Has no deadline, and does not
    /// hold up the others.
    Long,
}

impl Lane {
    /// Of a method, a JSON string.
    pub(super) fn of(method: &str) -> Self {
        match method.trim_matches('"') {
            "turn/interrupt" | "turn/steer" => Self::Urgent,
            "command/exec"
            | "feedback/upload"
            | "marketplace/add"
            | "marketplace/upgrade"
            | "mcpServer/resource/read"
            | "mcpServer/tool/call"
            | "plugin/install" => Self::Long,
            _ => Self::Ordinary,
        }
    }

    /// In the order of their precedence.
    const ALL: [Self; 3] = [Self::Urgent, Self::Ordinary, Self::Long];
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The proxy's own handshake.
    Internal,
    /// A `cas/request`.
    Request,
    /// A `cas/send`: its answer carries nothing of the request.
    Raw,
}

/// A request that has no answer yet.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// As it stands on the wire.
    pub(super) id: Box<str>,
    /// A JSON string.
    pub(super) method: Box<str>,
    pub(super) client_request_id: Option<Box<str>>,
    pub(super) origin: Origin,
    pub(super) lane: Lane,
    /// The routing keys, for an answer that names none.
    pub(super) keys: OwnedKeys,
}

/// Whether a request was taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It has a place or will have one: [`Requests::next`] has its frame then.
    Yes,
    /// Another unanswered request has its id.
    IdInUse,
    /// Too many wait.
    TooMany,
}

/// A frame that is to be sent now.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) frame: String,
    pub(super) client_request_id: Option<Box<str>>,
    pub(super) origin: Origin,
}

/// Why a request gets no answer in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// It was sent. The server may still carry it out.
    NoAnswer,
    /// It waited for a place, and in all that time nothing was answered or sent.
    NotSent,
}

#[derive(Debug)]
struct Entry {
    request: Request,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Waiting,
    /// The server holds it; the numbers say in which order they were sent.
    Held(u64),
    /// The same, but an error was emitted in place of its answer.
    Overdue(u64),
}

#[derive(Debug)]
struct Waiting {
    key: Box<str>,
    frame: String,
    since: Duration,
}

/// All requests without an answer. Times are those of the session's clock, which stands still while
/// reading is paused.
#[derive(Debug)]
pub(super) struct Requests {
    entries: HashMap<Box<str>, Entry>,
    /// By lane; the oldest first.
    waiting: [VecDeque<Waiting>; 3],
    waiting_bytes: usize,
    /// How many of each lane are held.
    urgent: usize,
    ordinary: usize,
    long: usize,
    /// The long ones, and those that are overdue, that the server may not have read yet. It reads
    /// in order, so an answer shows that it has read all that was sent before.
    unread_long: BTreeSet<u64>,
    unread_overdue: BTreeSet<u64>,
    /// Those that are overdue, the oldest first.
    overdue: VecDeque<(u64, Box<str>)>,
    /// How long the server may take. `None` waits for ever.
    within: Option<Duration>,
    /// In the order they are due, since all are given the same time.
    due: VecDeque<(Duration, u64, Box<str>)>,
    last_number: u64,
    last_sent: Duration,
    last_answer: Duration,
}

impl Requests {
    pub(super) fn new(within: Option<Duration>) -> Self {
        Self {
            entries: HashMap::new(),
            waiting: [VecDeque::new(), VecDeque::new(), VecDeque::new()],
            waiting_bytes: 0,
            urgent: 0,
            ordinary: 0,
            long: 0,
            unread_long: BTreeSet::new(),
            unread_overdue: BTreeSet::new(),
            overdue: VecDeque::new(),
            within,
            due: VecDeque::new(),
            last_number: 0,
            last_sent: Duration::ZERO,
            last_answer: Duration::ZERO,
        }
    }

    /// How many have neither an answer nor an error yet.
    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.overdue.len()
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.entries.contains_key(&*id_key(id))
    }

    /// Whether a request without a deadline is held or waits.
    pub(super) fn has_long(&self) -> bool {
        self.long > 0 || !self.waiting[Lane::Long as usize].is_empty()
    }

    /// When the server last answered anything.
    pub(super) fn last_answer(&self) -> Duration {
        self.last_answer
    }

    /// Whether too much waits to read more commands.
    pub(super) fn is_full(&self) -> bool {
        self.waiting_bytes >= MAX_WAITING_BYTES
    }

    /// Takes a request that is sent without waiting and has no deadline here: the handshake's.
    pub(super) fn hold(&mut self, request: Request) {
        let place = Place::Held(0);
        self.entries
            .insert(id_key(&request.id).into(), Entry { request, place });
    }

    pub(super) fn take(&mut self, request: Request, frame: String, now: Duration) -> Admission {
        if self.contains(&request.id) {
            return Admission::IdInUse;
        }
        if self.waiting.iter().map(VecDeque::len).sum::<usize>() >= MAX_WAITING {
            return Admission::TooMany;
        }
        self.waiting_bytes += frame.len();
        let key: Box<str> = id_key(&request.id).into();
        self.waiting[request.lane as usize].push_back(Waiting {
            key: key.clone(),
            frame,
            since: now,
        });
        let place = Place::Waiting;
        self.entries.insert(key, Entry { request, place });
        Admission::Yes
    }

    /// The next frame that may be sent.
    pub(super) fn next(&mut self, now: Duration) -> Option<Outgoing> {
        let lane = Lane::ALL
            .into_iter()
            .find(|lane| !self.waiting[*lane as usize].is_empty() && self.has_place(*lane))?;
        let Waiting { key, frame, .. } = self.waiting[lane as usize].pop_front()?;
        self.waiting_bytes -= frame.len();
        self.last_number += 1;
        self.last_sent = now;
        let number = self.last_number;
        match lane {
            Lane::Urgent => self.urgent += 1,
            Lane::Ordinary => self.ordinary += 1,
            Lane::Long => {
                self.long += 1;
                self.unread_long.insert(number);
            }
        }
        if let Some(within) = self.within.filter(|_| lane != Lane::Long) {
            self.due
                .push_back((now.saturating_add(within), number, key.clone()));
        }
        let entry = self.entries.get_mut(&key)?;
        entry.place = Place::Held(number);
        Some(Outgoing {
            frame,
            client_request_id: entry.request.client_request_id.clone(),
            origin: entry.request.origin,
        })
    }

    fn has_place(&self, lane: Lane) -> bool {
        let overdue = self.unread_overdue.len();
        match lane {
            Lane::Urgent => {
                self.urgent < URGENT && self.urgent + overdue < URGENT + ORDINARY + OVERDUE
            }
            Lane::Ordinary => {
                self.ordinary < ORDINARY && self.ordinary + overdue < ORDINARY + OVERDUE
            }
            Lane::Long => self.unread_long.len() < LONG,
        }
    }

    /// Takes out the request that an answer belongs to, and tells whether the answer comes late.
    /// `read` says whether the answer shows that the server has read the request, which an
    /// overload's does not.
    pub(super) fn answered(
        &mut self,
        id: &str,
        read: bool,
        now: Duration,
    ) -> Option<(Request, bool)> {
        let key = id_key(id);
        let place = self.entries.get(&*key)?.place;
        let (number, late) = match place {
            Place::Waiting => return None,
            Place::Held(number) => (number, false),
            Place::Overdue(number) => (number, true),
        };
        let Entry { request, .. } = self.entries.remove(&*key)?;
        self.last_answer = now;
        if request.origin == Origin::Internal {
            return Some((request, false));
        }
        if late {
            self.overdue.retain(|(n, _)| *n != number);
        } else {
            self.give_back(request.lane);
        }
        self.unread_long.remove(&number);
        self.unread_overdue.remove(&number);
        if read {
            self.unread_long = self.unread_long.split_off(&number);
            self.unread_overdue = self.unread_overdue.split_off(&number);
        }
        // What was answered long ago needs no deadline.
        if self.due.len() > 2 * (self.urgent + self.ordinary) + 64 {
            let entries = &self.entries;
            self.due
                .retain(|(_, n, key)| entries.get(key).is_some_and(|e| e.place == Place::Held(*n)));
        }
        Some((request, late))
    }

    fn give_back(&mut self, lane: Lane) {
        match lane {
            Lane::Urgent => self.urgent -= 1,
            Lane::Ordinary => self.ordinary -= 1,
            Lane::Long => self.long -= 1,
        }
    }

    /// When [`expire`](Self::expire) is due.
    pub(super) fn next_expiry(&self) -> Option<Duration> {
        let held = self.due.front().map(|(at, ..)| *at);
        let waiting = [Lane::Urgent, Lane::Ordinary]
            .into_iter()
            .filter_map(|lane| self.waiting_until(lane));
        waiting.chain(held).min()
    }

    /// Until when the first waiting request of a lane may wait. Any progress extends this.
    fn waiting_until(&self, lane: Lane) -> Option<Duration> {
        let first = self.waiting[lane as usize].front()?;
        let since = first.since.max(self.last_answer).max(self.last_sent);
        Some(since.saturating_add(self.within?))
    }

    /// The requests whose time is over; their answers are late from now on. The caller has to
    /// report each as an error.
    pub(super) fn expire(&mut self, now: Duration) -> Vec<(Request, Unanswered)> {
        let mut over = Vec::new();
        while let Some((at, ..)) = self.due.front()
            && *at <= now
        {
            let Some((_, number, key)) = self.due.pop_front() else {
                break;
            };
            let Some(entry) = self
                .entries
                .get_mut(&key)
                .filter(|entry| entry.place == Place::Held(number))
            else {
                continue;
            };
            entry.place = Place::Overdue(number);
            let request = entry.request.clone();
            self.give_back(request.lane);
            self.unread_overdue.insert(number);
            self.overdue.push_back((number, key));
            over.push((request, Unanswered::NoAnswer));
        }
        while self.overdue.len() > REMEMBERED
            && let Some((_, key)) = self.overdue.pop_front()
        {
            self.entries.remove(&key);
        }
        for lane in [Lane::Urgent, Lane::Ordinary] {
            while !self.has_place(lane)
                && self.waiting_until(lane).is_some_and(|until| until <= now)
                && let Some(Waiting { key, frame, .. }) = self.waiting[lane as usize].pop_front()
            {
                self.waiting_bytes -= frame.len();
                let entry = self.entries.remove(&key);
                over.extend(entry.map(|entry| (entry.request, Unanswered::NotSent)));
            }
        }
        over
    }

    /// All requests that have neither an answer nor an error and will get no answer any more; those
    /// that were sent come first.
    pub(super) fn drain(&mut self) -> Vec<(Request, Unanswered)> {
        let mut waiting: Vec<_> = Lane::ALL
            .into_iter()
            .flat_map(|lane| std::mem::take(&mut self.waiting[lane as usize]))
            .filter_map(|waiting| Some(self.entries.remove(&waiting.key)?.request))
            .map(|request| (request, Unanswered::NotSent))
            .collect();
        let mut held: Vec<_> = std::mem::take(&mut self.entries)
            .into_values()
            .filter_map(|entry| match entry.place {
                Place::Held(number) => Some((number, entry.request)),
                _ => None,
            })
            .collect();
        held.sort_by_key(|(number, _)| *number);
        let mut all: Vec<_> = held
            .into_iter()
            .map(|(_, request)| (request, Unanswered::NoAnswer))
            .collect();
        all.append(&mut waiting);
        *self = Self::new(self.within);
        all
    }
}

#[cfg(test)]
#[path = "requests_tests.rs"]
mod tests;

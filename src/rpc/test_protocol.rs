//! The protocol that the engine's tests speak.

use std::sync::Arc;

use super::{
    Class, Incoming, Member, Protocol,
    envelope::{Envelope, MessageKind, Parts, Route},
    router::{Dialect, Matcher},
    scan::Scan,
};

pub(super) const ROOM: usize = 0;
pub(super) const VISIT: usize = 1;
pub(super) const THING: usize = 2;
pub(super) const THING_TYPE: usize = 3;

pub(super) static PROTOCOL: Protocol = Protocol {
    members: &[
        ("roomId", Member::Key(ROOM)),
        ("visitId", Member::Key(VISIT)),
        ("thingId", Member::Key(THING)),
        ("room", Member::Object(&[("id", ROOM)])),
        ("visit", Member::Object(&[("id", VISIT)])),
        (
            "thing",
            Member::Object(&[("id", THING), ("type", THING_TYPE)]),
        ),
    ],
    sent_at: "sentAt",
    classes: &[
        ("vital/end", Class::VITAL),
        ("vital/observed", Class::VITAL_OBSERVED),
        ("observed", Class::OBSERVED),
    ],
};

impl<'a> Parts<'a> {
    pub(super) fn room(&self) -> Option<&'a str> {
        self.key(ROOM)
    }
    pub(super) fn visit(&self) -> Option<&'a str> {
        self.key(VISIT)
    }
    pub(super) fn thing(&self) -> Option<&'a str> {
        self.key(THING)
    }
    pub(super) fn thing_type(&self) -> Option<&'a str> {
        self.key(THING_TYPE)
    }
}

impl<'a> Route<'a> {
    /// The route of a notification about a room, or about none.
    pub(super) fn about(method: &'a str, room: Option<&'a str>) -> Self {
        Self {
            kind: MessageKind::Notification,
            method: Some(method),
            keys: [room, None, None, None],
        }
    }
}

/// Takes what has this method and is about this room, as far as they are given.
pub(super) fn only(method: Option<&str>, room: Option<&str>) -> Matcher {
    let (method, room) = (method.map(str::to_owned), room.map(str::to_owned));
    Arc::new(move |route: &Route<'_>| {
        let is = |wanted: &Option<String>, got: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| got == Some(wanted))
        };
        is(&method, route.method) && is(&room, route.keys[ROOM])
    })
}

/// Reads the envelope of a line that no line came before.
pub(super) fn scan(line: &str) -> (MessageKind, Envelope) {
    let scanned = Scan::new(&PROTOCOL).next(line);
    (scanned.kind, scanned.env)
}

/// Observes nothing and answers nothing.
pub(super) struct Deaf;

impl Dialect for Deaf {
    fn observe(&self, _: &Incoming) {}
    fn request(&self, _: &Incoming) {}
    fn skipped(&self, _: &str, _: u64) {}
    fn closed(&self) {}
}

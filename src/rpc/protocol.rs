//! What the engine is told of the protocol it carries: where routing keys stand, and how notifications are treated.

/// How many routing keys a message has at most.
pub(crate) const KEYS: usize = 4;

/// The routing keys of a message, by their number.
pub(crate) type Keys<'a> = [Option<&'a str>; KEYS];

/// The first two routing keys. They name what a message is about; dropped messages are counted by them.
pub(crate) type Subject<'a> = [Option<&'a str>; 2];

/// The constants of a protocol.
pub(crate) struct Protocol {
    /// The members of the params, or of a result, that hold routing keys.
    pub(crate) members: &'static [(&'static str, Member)],
    /// The member of a message that holds its time of sending, in milliseconds since the epoch.
    pub(crate) sent_at: &'static str,
    /// The notifications that are not ordinary.
    pub(crate) classes: &'static [(&'static str, Class)],
}

/// Where a routing key stands.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Member {
    /// The member is a string: the key with this number. It wins over one in an object.
    Key(usize),
    /// The member is an object, and those of its members are keys.
    Object(&'static [(&'static str, usize)]),
}

/// How a notification is treated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Class {
    /// It takes the ring of a queue that no flood can push it out of.
    pub(crate) vital: bool,
    /// The dialect sees it before any subscription does.
    pub(crate) observed: bool,
}

impl Class {
    pub(crate) const VITAL: Self = Self {
        vital: true,
        observed: false,
    };
    pub(crate) const OBSERVED: Self = Self {
        vital: false,
        observed: true,
    };
    pub(crate) const VITAL_OBSERVED: Self = Self {
        vital: true,
        observed: true,
    };
}

impl Protocol {
    // A few short names: comparing lengths settles most of them.
    pub(super) fn member(&self, name: &[u8]) -> Option<Member> {
        let mut members = self.members.iter();
        let found = members.find(|(known, _)| known.as_bytes() == name);
        found.map(|(_, member)| *member)
    }

    pub(super) fn class(&self, method: &str) -> Class {
        let mut classes = self.classes.iter();
        let found = classes.find(|(known, _)| *known == method);
        found.map(|(_, class)| *class).unwrap_or_default()
    }
}

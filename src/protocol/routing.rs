//! What codex's messages are routed by, and which of its notifications are vital.

use crate::rpc::{Class, Member, Parts, Protocol, Route};

const THREAD: usize = 0;
const TURN: usize = 1;
const ITEM: usize = 2;
const ITEM_TYPE: usize = 3;

/// What the engine has to know of codex.
///
/// A vital notification is one whose loss would leave a reader waiting. The observed ones report
/// the state of threads and turns, and which requests of the server are withdrawn.
pub(crate) static CODEX: Protocol = Protocol {
    members: &[
        ("threadId", Member::Key(THREAD)),
        ("turnId", Member::Key(TURN)),
        ("itemId", Member::Key(ITEM)),
        ("thread", Member::Object(&[("id", THREAD)])),
        ("turn", Member::Object(&[("id", TURN)])),
        ("item", Member::Object(&[("id", ITEM), ("type", ITEM_TYPE)])),
    ],
    sent_at: "emittedAtMs",
    classes: &[
        ("item/started", Class::OBSERVED),
        ("item/completed", Class::VITAL_OBSERVED),
        ("turn/started", Class::VITAL_OBSERVED),
        ("turn/completed", Class::VITAL_OBSERVED),
        ("thread/tokenUsage/updated", Class::VITAL_OBSERVED),
        ("thread/status/changed", Class::VITAL_OBSERVED),
        ("serverRequest/resolved", Class::VITAL_OBSERVED),
        ("thread/started", Class::OBSERVED),
        ("thread/closed", Class::VITAL_OBSERVED),
        ("thread/archived", Class::VITAL_OBSERVED),
        ("thread/deleted", Class::VITAL_OBSERVED),
        ("thread/goal/updated", Class::VITAL_OBSERVED),
        ("thread/goal/cleared", Class::VITAL_OBSERVED),
        ("thread/queue/changed", Class::VITAL),
        ("thread/settings/updated", Class::OBSERVED),
        ("account/rateLimits/updated", Class::OBSERVED),
        ("account/updated", Class::OBSERVED),
        ("account/login/completed", Class::OBSERVED),
        ("error", Class::VITAL),
        ("process/exited", Class::VITAL),
    ],
};

/// The routing keys by the names that codex gives them.
pub(crate) trait RoutingKeys<'a> {
    fn routing_key(&self, key: usize) -> Option<&'a str>;

    /// `threadId` or `thread.id`.
    fn thread(&self) -> Option<&'a str> {
        self.routing_key(THREAD)
    }
    /// `turnId` or `turn.id`.
    fn turn(&self) -> Option<&'a str> {
        self.routing_key(TURN)
    }
    /// `itemId` or `item.id`.
    fn item(&self) -> Option<&'a str> {
        self.routing_key(ITEM)
    }
    /// `item.type`.
    fn item_type(&self) -> Option<&'a str> {
        self.routing_key(ITEM_TYPE)
    }
}

impl<'a> RoutingKeys<'a> for Parts<'a> {
    fn routing_key(&self, key: usize) -> Option<&'a str> {
        self.key(key)
    }
}

impl<'a> RoutingKeys<'a> for Route<'a> {
    fn routing_key(&self, key: usize) -> Option<&'a str> {
        self.keys[key]
    }
}

//! Event filters: values that decide what a subscription gets, before anything is queued.

use std::sync::Arc;

use crate::protocol::routing::RoutingKeys as _;
use crate::{
    protocol::Notification,
    rpc::{MessageKind, Route, router::Matcher},
};

/// Selects events by thread, turn, item, method, kind and item type.
///
/// A filter is a value and not a closure, because the task that reads from the server applies it.
///
/// Conditions of the same sort widen the filter: `.method("turn/*").method("error")` takes both.
/// Conditions of different sorts narrow it. [`and`](Self::and) and [`or`](Self::or) combine whole
/// filters.
///
/// ```
/// use cas_sdk::Filter;
/// let turns_of_one_thread = Filter::all().method("turn/*").thread("thr_1");
/// let with_errors = turns_of_one_thread.or(Filter::all().method("error"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a filter does nothing until it is given to `events`"]
pub struct Filter(Expr);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Expr {
    Fields(Box<Fields>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
}

/// The conditions of one filter. An empty list is no condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Fields {
    threads: Vec<String>,
    turns: Vec<String>,
    items: Vec<String>,
    methods: Vec<String>,
    kinds: Vec<MessageKind>,
    item_types: Vec<String>,
}

impl Filter {
    /// Takes every notification, every server request, and every line that is neither. Responses go
    /// to their callers. A response that no request asked for is an event, and so is a response
    /// whose caller has given up ([`MessageKind::LateResponse`]).
    pub fn all() -> Self {
        Self(Expr::Fields(Box::default()))
    }

    /// Takes only events that name this thread, as `threadId` or `thread.id`.
    pub fn thread(self, id: impl Into<String>) -> Self {
        self.with(|f| f.threads.push(id.into()))
    }

    /// Takes only events that name this turn, as `turnId` or `turn.id`.
    pub fn turn(self, id: impl Into<String>) -> Self {
        self.with(|f| f.turns.push(id.into()))
    }

    /// Takes only events that name this item, as `itemId` or `item.id`.
    pub fn item(self, id: impl Into<String>) -> Self {
        self.with(|f| f.items.push(id.into()))
    }

    /// Takes only this method, or, with a final `*`, all methods with this prefix:
    /// `turn/completed`, `item/*`.
    pub fn method(self, pattern: impl Into<String>) -> Self {
        self.with(|f| f.methods.push(pattern.into()))
    }

    /// Takes only notifications of type `N`.
    pub fn notification<N: Notification>(self) -> Self {
        self.with(|f| {
            f.methods
                .extend(N::METHODS.iter().map(|&method| method.to_owned()));
        })
    }

    /// Takes only events of this kind.
    pub fn kind(self, kind: MessageKind) -> Self {
        self.with(|f| f.kinds.push(kind))
    }

    /// Takes only events about an item of this type, such as `commandExecution`. These are
    /// `item/started` and `item/completed`, which carry the type; deltas don't.
    pub fn item_type(self, item_type: impl Into<String>) -> Self {
        self.with(|f| f.item_types.push(item_type.into()))
    }

    /// Takes only what both filters take.
    pub fn and(self, other: Self) -> Self {
        Self(Expr::And(vec![self.0, other.0]))
    }

    /// Takes what either filter takes.
    pub fn or(self, other: Self) -> Self {
        Self(Expr::Or(vec![self.0, other.0]))
    }

    fn with(mut self, change: impl FnOnce(&mut Fields)) -> Self {
        if let Expr::Fields(fields) = &mut self.0 {
            change(fields);
            return self;
        }
        let mut fields = Fields::default();
        change(&mut fields);
        self.and(Self(Expr::Fields(Box::new(fields))))
    }

    pub(crate) fn matches(&self, route: &Route<'_>) -> bool {
        self.0.matches(route)
    }

    pub(crate) fn into_matcher(self) -> Matcher {
        Arc::new(move |route| self.matches(route))
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self::all()
    }
}

impl Expr {
    fn matches(&self, route: &Route<'_>) -> bool {
        match self {
            Self::Fields(f) => f.matches(route),
            Self::And(all) => all.iter().all(|e| e.matches(route)),
            Self::Or(any) => any.iter().any(|e| e.matches(route)),
        }
    }
}

impl Fields {
    fn matches(&self, route: &Route<'_>) -> bool {
        let is = |wanted: &[String], got: Option<&str>| {
            wanted.is_empty() || got.is_some_and(|got| wanted.iter().any(|w| w == got))
        };
        let method = self.methods.is_empty()
            || route.method.is_some_and(|got| {
                self.methods.iter().any(|w| match w.strip_suffix('*') {
                    Some(prefix) => got.starts_with(prefix),
                    None => w == got,
                })
            });
        method
            && is(&self.threads, route.thread())
            && is(&self.turns, route.turn())
            && is(&self.items, route.item())
            && is(&self.item_types, route.item_type())
            && (self.kinds.is_empty() || self.kinds.contains(&route.kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about<'a>(method: &'a str, thread: Option<&'a str>) -> Route<'a> {
        Route {
            kind: MessageKind::Notification,
            method: Some(method),
            keys: [thread, None, None, None],
        }
    }

    #[test]
    fn the_same_sort_widens_and_different_sorts_narrow() {
        let f = Filter::all().method("turn/*").method("error").thread("t");
        assert!(f.matches(&about("turn/started", Some("t"))));
        assert!(f.matches(&about("error", Some("t"))));
        assert!(!f.matches(&about("error", Some("u"))));
        assert!(!f.matches(&about("error", None)));
        assert!(!f.matches(&about("turns", Some("t"))));
    }

    #[test]
    fn a_condition_on_a_combination_narrows_the_whole_of_it() {
        let f = Filter::all()
            .method("a")
            .or(Filter::all().method("b"))
            .thread("t");
        assert!(f.matches(&about("b", Some("t"))));
        assert!(!f.matches(&about("b", Some("u"))));
        assert!(
            !f.clone()
                .and(Filter::all().method("a"))
                .matches(&about("b", Some("t")))
        );
    }

    #[test]
    fn all_takes_what_has_no_method() {
        let none = Route {
            method: None,
            kind: MessageKind::Malformed,
            ..about("", None)
        };
        assert!(Filter::all().matches(&none));
        assert!(!Filter::all().method("*").matches(&none));
        assert!(Filter::all().kind(MessageKind::Malformed).matches(&none));
    }
}

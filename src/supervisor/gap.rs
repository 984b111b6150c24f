//! What a stream has missed between two connections: the items and the ends of turns that the
//! server's record has and this stream has not yielded.

use std::{collections::HashSet, time::Duration};

use crate::{
    CasClient, Thread,
    error::Error,
    events::Event,
    protocol::{
        self, SortDirection, ThreadItemEntry, ThreadItemsListParams, ThreadTurnsListParams,
        TurnInfo, TurnItemsView, TurnStatus,
        pointer::{Page, at},
    },
};

/// What was recovered after a connection was lost; see
/// [`ThreadEvent::Reconnected`](super::ThreadEvent::Reconnected).
///
/// The server's record has whole items and the ends of turns. Everything else from the gap is lost:
/// pieces of messages, streamed output of commands, plans, diffs and token counts.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Gap {
    /// The time from the loss of the connection until the thread was resumed.
    pub duration: Duration,
    /// The number of items that completed meanwhile, each yielded as
    /// [`Recovered::Item`](super::Recovered::Item).
    pub items: usize,
    /// The number of turns that ended meanwhile, each yielded as
    /// [`Recovered::Turn`](super::Recovered::Turn).
    pub turns: usize,
    /// The running turn, as it was when the thread was resumed, with the items that had begun or
    /// completed by then, except a message that was being streamed.
    pub running: Option<TurnInfo>,
    /// Why there may be more than was recovered: the server's record could not be read, or has
    /// more than 10,000 new items.
    pub incomplete: Option<Error>,
}

/// Something that happened while the connection was lost.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "it is taken apart at once")]
pub enum Recovered {
    /// An item has completed.
    Item(ThreadItemEntry),
    /// A turn has ended. It comes without its items.
    Turn(TurnInfo),
}

/// The least number of items that a stream remembers.
const SEEN: usize = 512;
const ITEMS: u32 = 100;
const ITEM_PAGES: usize = 100;
const TURNS: u32 = 50;
const TURN_PAGES: usize = 20;
/// How long the server may take to say where its record ends. A stream waits for it.
const MARK: Duration = Duration::from_secs(5);

/// How far a stream has come in a thread.
#[derive(Debug, Default)]
pub(super) struct Position {
    /// Where the record ended at some time, `None` for its beginning, and the items that need not
    /// be yielded after it: those that were, and the one at that end.
    cursor: Option<String>,
    seen: HashSet<String>,
    /// The same of a later time. NB. An item may be on record before its event comes, so the
    /// later cursor alone could skip it.
    later: Option<Mark>,
    /// The turns that have begun and not ended.
    running: HashSet<String>,
    /// The recovered items, and the turns whose end was yielded: none of them is yielded again.
    settled: HashSet<String>,
    /// The same, before the last [`advance`](Self::advance). NB. Live events of what was just
    /// recovered may still be unread then.
    settled_before: HashSet<String>,
    /// How many more items are remembered because the server did not say where its record ends.
    put_off: usize,
}

impl Position {
    pub(super) async fn now(client: &CasClient, thread: &str) -> Result<Self, Error> {
        let (cursor, seen) = match end_of_record(client, thread).await {
            // Nothing is on record before the first turn.
            Err(error) if error.rpc().is_some() => Mark::default(),
            mark => mark?,
        };
        Ok(Self {
            cursor,
            seen,
            running: client.tracker().running(thread).into_iter().collect(),
            ..Self::default()
        })
    }

    /// Whether an event was already yielded as recovered.
    pub(super) fn is_repeated(&self, event: &Event) -> bool {
        if self.settled.is_empty() && self.settled_before.is_empty() {
            return false;
        }
        let key = match event.method() {
            "turn/started" | "turn/completed" => event.turn_id().map(str::to_owned),
            _ => key_of(event),
        };
        key.is_some_and(|key| self.is_settled(&key))
    }

    /// Records an event that is yielded.
    pub(super) fn note(&mut self, event: &Event) {
        match event.method() {
            "turn/started" => {
                self.running.extend(event.turn_id().map(str::to_owned));
            }
            "turn/completed" => {
                if let Some(turn) = event.turn_id() {
                    self.running.remove(turn);
                    self.settled.insert(turn.to_owned());
                }
            }
            "item/completed" => {
                if let Some(key) = key_of(event) {
                    self.see(key);
                }
            }
            _ => {}
        }
    }

    fn see(&mut self, key: String) {
        if let Some((_, seen)) = &mut self.later {
            seen.insert(key.clone());
        }
        self.seen.insert(key);
    }

    /// Whether so many items are remembered that it is time to [`advance`](Self::advance).
    pub(super) fn is_long(&self) -> bool {
        let seen = self.later.as_ref().map_or(&self.seen, |(_, seen)| seen);
        seen.len() >= SEEN + self.put_off
    }

    /// Forgets items that are no longer needed, so that memory is bounded.
    pub(super) async fn advance(&mut self, client: &CasClient, thread: &str) {
        let mark = tokio::time::timeout(MARK, end_of_record(client, thread)).await;
        let Ok(Ok(mark)) = mark else {
            self.put_off += SEEN; // The connection has ended, or the server can't say.
            return;
        };
        if let Some(before) = self.later.replace(mark) {
            (self.cursor, self.seen) = before;
        }
        self.put_off = 0;
        self.settled_before = std::mem::take(&mut self.settled);
    }

    fn is_settled(&self, key: &str) -> bool {
        self.settled.contains(key) || self.settled_before.contains(key)
    }

    /// Reads what the record has and was not yielded. Whatever could be read is yielded even if an
    /// error follows.
    pub(super) async fn recover(
        &mut self,
        thread: &Thread,
        told: &mut impl Extend<Recovered>,
    ) -> Gap {
        let mut gap = Gap::default();
        let mut turns = self.running.clone();
        let mut incomplete = self.recover_items(thread, &mut gap, &mut turns, told).await;
        if let Err(error) = self.recover_turns(thread, &mut gap, turns, told).await {
            incomplete = incomplete.and(Err(error));
        }
        gap.incomplete = incomplete.err();
        let running = newest(thread).filter(|turn| turn.status == TurnStatus::InProgress);
        gap.running = running.filter(|turn| !self.is_settled(&turn.id));
        self.running
            .extend(gap.running.iter().map(|turn| turn.id.clone()));
        gap
    }

    async fn recover_items(
        &mut self,
        thread: &Thread,
        gap: &mut Gap,
        turns: &mut HashSet<String>,
        told: &mut impl Extend<Recovered>,
    ) -> Result<(), Error> {
        let mut params = ThreadItemsListParams::new(thread.id())
            .limit(ITEMS)
            .sort_direction(SortDirection::Asc);
        if let Some(cursor) = &self.cursor {
            params = params.cursor(cursor.clone());
        }
        let most = ITEM_PAGES * ITEMS as usize;
        let mut entries = thread.client().pages(params);
        while let Some(entry) = entries.next().await {
            let entry = entry?;
            let Some(key) = key(&entry).filter(|key| !self.seen.contains(key)) else {
                continue;
            };
            if gap.items == most {
                let text = format!("more than {most} items completed meanwhile");
                return Err(Error::Invalid(text));
            }
            self.see(key.clone());
            self.settled.insert(key);
            turns.insert(entry.turn_id.clone());
            gap.items += 1;
            told.extend([Recovered::Item(entry)]);
        }
        Ok(())
    }

    /// Yields the ends of those of these turns that have ended.
    async fn recover_turns(
        &mut self,
        thread: &Thread,
        gap: &mut Gap,
        mut of: HashSet<String>,
        told: &mut impl Extend<Recovered>,
    ) -> Result<(), Error> {
        let params = ThreadTurnsListParams::new(thread.id())
            .limit(TURNS)
            .sort_direction(SortDirection::Desc)
            .items_view(TurnItemsView::NotLoaded);
        let mut turns = thread.client().pages(params);
        let mut ended = Vec::new();
        for _ in 0..TURN_PAGES * TURNS as usize {
            if of.is_empty() {
                break;
            }
            let Some(turn) = turns.next().await else {
                break;
            };
            let turn = turn?;
            if of.remove(&turn.id) && turn.status != TurnStatus::InProgress {
                ended.push(turn);
            }
        }
        for turn in ended.into_iter().rev() {
            // Its end may have been yielded before its last items were lost.
            self.running.remove(&turn.id);
            if !self.is_settled(&turn.id) {
                self.settled.insert(turn.id.clone());
                gap.turns += 1;
                told.extend([Recovered::Turn(turn)]);
            }
        }
        Ok(())
    }
}

/// Where the record of a thread ends, and the item there, which a list from there begins with.
type Mark = (Option<String>, HashSet<String>);

async fn end_of_record(client: &CasClient, thread: &str) -> Result<Mark, Error> {
    let params = ThreadItemsListParams::new(thread)
        .limit(1_u32)
        .sort_direction(SortDirection::Desc);
    let page = client.request(params).await?;
    let last = page.data.first().and_then(key);
    Ok((page.backwards_cursor, last.into_iter().collect()))
}

/// The newest turn in the response that resumed the thread.
fn newest(thread: &Thread) -> Option<TurnInfo> {
    let page: Page<TurnInfo> = at(thread.json(), &["initialTurnsPage"]).ok()?;
    page.data.into_iter().next()
}

/// The key of an item. It includes the turn, since two turns may have items with the same id.
fn key(entry: &ThreadItemEntry) -> Option<String> {
    let item = protocol::to_value(&entry.item).ok()?;
    let id = item.get("id")?.as_str()?;
    Some(format!("{} {id}", entry.turn_id))
}

fn key_of(event: &Event) -> Option<String> {
    Some(format!("{} {}", event.turn_id()?, event.item_id()?))
}

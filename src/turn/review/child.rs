//! The hidden thread on which a review runs. It has the reviewer's own answer; the thread that
//! asked for the review has only the text that the server made of it.

use std::time::Duration;

use tokio::time::sleep;

use super::verdict::{Verdict, parse};
use crate::{
    client::handle::CasClient,
    error::Error,
    protocol::pointer::at,
    protocol::{
        SortDirection, ThreadItem, ThreadItemsListParams, ThreadListParams, ThreadSourceKind,
        ThreadTurnsListParams, TurnItemsView,
    },
    thread::Thread,
};

/// The number of newest reviews, of all threads, that are searched.
const NEWEST: u32 = 50;
/// The number of searches: the server writes its index a moment after the turn is over.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);

/// The verdict of the review with this turn id; `text` is the review as the server renders it.
pub(super) async fn verdict(thread: &Thread, review: &str, text: &str) -> Verdict {
    let raw = |reason: String| Verdict::Raw {
        text: text.to_owned(),
        reason,
    };
    if at(thread.json(), &["thread", "ephemeral"]).unwrap_or(false) {
        return raw(
            "the thread is ephemeral, so the server keeps no record of what the reviewer said"
                .to_owned(),
        );
    }
    for attempt in 0..TRIES {
        if attempt > 0 {
            sleep(PAUSE).await;
        }
        match said(thread, review).await {
            Ok(Some(said)) => return parse(&said).map_or_else(raw, Verdict::Typed),
            Ok(None) => {}
            Err(error) => return raw(format!("what the reviewer said can't be read: {error}")),
        }
    }
    raw("the server has no record of what the reviewer said".to_owned())
}

/// The last message of the reviewer; `None` if it is not on record (yet).
async fn said(thread: &Thread, review: &str) -> Result<Option<String>, Error> {
    let client = thread.client();
    let params = ThreadListParams::default()
        .source_kinds(vec![ThreadSourceKind::SubAgentReview])
        .limit(NEWEST);
    let listed = client.request(params).await?;
    let of_thread = listed
        .data
        .into_iter()
        .filter(|child| child.parent_thread_id.as_deref() == Some(thread.id()));
    for child in of_thread {
        if is_of(client, &child.id, review).await? {
            return last_message(client, &child.id).await;
        }
    }
    Ok(None)
}

/// Whether the turn of a child thread was made for this review.
async fn is_of(client: &CasClient, child: &str, review: &str) -> Result<bool, Error> {
    let params = ThreadTurnsListParams::new(child)
        .limit(1_u32)
        .items_view(TurnItemsView::NotLoaded);
    let turns = match client.request(params).await {
        Ok(turns) => turns.data,
        Err(error) if error.rpc().is_some() => return Ok(false), // Not written yet.
        Err(error) => return Err(error),
    };
    let root = turns.into_iter().next().and_then(|turn| turn.root_turn_id);
    Ok(root.as_deref() == Some(review))
}

async fn last_message(client: &CasClient, child: &str) -> Result<Option<String>, Error> {
    let params = ThreadItemsListParams::new(child)
        .limit(10_u32)
        .sort_direction(SortDirection::Desc);
    let items = client.request(params).await?.data;
    let mut texts = items.into_iter().filter_map(|entry| match entry.item {
        ThreadItem::AgentMessage(message) => Some(message.text),
        _ => None,
    });
    Ok(texts.next())
}

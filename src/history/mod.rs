//! Stored sessions: the threads on the disk of the server, with their turns, as a stream.
//!
//! By default the stream has all of them: of every model provider and every source, archived or
//! not. `thread/list` alone lists only the interactive threads of the configured provider that are
//! not archived.
//!
//! ```no_run
//! # async fn run(client: cas_sdk::CasClient) -> Result<(), cas_sdk::Error> {
//! use cas_sdk::history::HistoryQuery;
//!
//! let mut threads = client.history(HistoryQuery::default().include_turns(true));
//! while let Some(stored) = threads.next().await {
//!     let stored = stored?;
//!     let turns = stored.turns.as_ref().map_or(0, Vec::len);
//!     println!("{} has {turns} turns", stored.id());
//! }
//! # Ok(()) }
//! ```

mod query;
mod stored;
pub(crate) mod stream;

pub use query::HistoryQuery;
pub use stored::{StoredThread, StoredTurn};
pub use stream::History;

/// The method that lists threads.
const LIST: &str = "thread/list";

/// The method that lists the turns of a thread.
const LIST_TURNS: &str = "thread/turns/list";

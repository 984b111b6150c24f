//! What `cas mine` writes, as a database: threads, turns, items, and an index over the words of the
//! items.

use std::{collections::HashMap, path::Path};

use cas_sdk::history::StoredThread;
use cas_sdk::internal::{PrivateDir, open_regular};
use rusqlite::{Connection, ErrorCode, OpenFlags, params};
use serde_json::Value;

use super::{Store, digest, json_of, text::text};
use crate::output::{Failure, Result};

/// Times are seconds since the epoch, as the server gives them. `json` has the whole object; the
/// other columns are the parts that queries need.
const TABLES: &str = "
    PRAGMA journal_mode = WAL;
    CREATE TABLE IF NOT EXISTS threads (
        id TEXT PRIMARY KEY, updated_at INTEGER, created_at INTEGER, cwd TEXT, name TEXT, preview TEXT,
        model_provider TEXT, listed_at INTEGER NOT NULL, has_turns INTEGER NOT NULL, digest INTEGER NOT NULL,
        json TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS turns (
        thread_id TEXT NOT NULL REFERENCES threads(id), position INTEGER NOT NULL, id TEXT, status TEXT,
        started_at INTEGER, completed_at INTEGER, json TEXT NOT NULL,
        PRIMARY KEY (thread_id, position));
    CREATE TABLE IF NOT EXISTS items (
        rowid INTEGER PRIMARY KEY, thread_id TEXT NOT NULL REFERENCES threads(id), turn_id TEXT,
        position INTEGER NOT NULL, id TEXT, type TEXT, json TEXT NOT NULL);
    CREATE INDEX IF NOT EXISTS items_of_thread ON items(thread_id);
    CREATE VIRTUAL TABLE IF NOT EXISTS items_fts USING fts5(text);
";

/// The application id that marks a database as one of `cas mine`: `cas1`.
const APPLICATION: i32 = 0x6361_7331;

/// A database of mined threads.
pub(crate) struct Database(Connection);

/// An item that was found.
pub(crate) struct Hit {
    pub(crate) thread: String,
    pub(crate) turn: String,
    pub(crate) kind: String,
    pub(crate) snippet: String,
}

impl Database {
    pub(crate) fn open(file: &Path) -> Result<Self> {
        let refuse = |e: &dyn std::fmt::Display| Failure::Usage(format!("{}: {e}", file.display()));
        let (dir, name) = PrivateDir::of_existing(file).map_err(|e| refuse(&e))?;
        // The files that SQLite creates beside it get the same permissions.
        drop(dir.file(&name).map_err(|e| refuse(&e))?);
        for suffix in ["-journal", "-wal", "-shm"] {
            let mut beside = name.clone();
            beside.push(suffix);
            match dir.open_file(&beside) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(refuse(&format_args!("its {suffix} file: {e}")));
                }
                _ => {}
            }
        }
        // NB. SQLite opens it by its name again; nobody else can have put another there.
        let wrong = |e: rusqlite::Error| format!("{}: {e}", file.display());
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(file, flags).map_err(wrong)?;
        let is_new = match mark(&connection) {
            Ok((0, 0)) => true,
            Ok((APPLICATION, _)) => false,
            Err(e) if e.sqlite_error_code() != Some(ErrorCode::NotADatabase) => {
                return Err(wrong(e).into());
            }
            _ => {
                return Err(refuse(
                    &"`cas mine` did not create this database, so it was left unchanged; name another one, or a new file",
                ));
            }
        };
        if is_new {
            connection
                .pragma_update(None, "application_id", APPLICATION)
                .map_err(wrong)?;
        }
        connection.execute_batch(TABLES).map_err(wrong)?;
        Ok(Self(connection))
    }

    /// Opens a database that `cas mine --include-turns` has written.
    pub(crate) fn with_turns(file: &Path) -> Result<Self> {
        let wrong = |e: &dyn std::fmt::Display| format!("{}: {e}", file.display());
        drop(open_regular(file).map_err(|e| wrong(&e))?);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(file, flags).map_err(|e| wrong(&e))?;
        let Ok((APPLICATION, _)) = mark(&connection) else {
            return Err(wrong(&"`cas mine` did not create this database").into());
        };
        let has_items = connection.prepare("SELECT 1 FROM items")?.exists([])?;
        if !has_items {
            let file = file.display();
            let text = format!(
                "{file} has no turns yet: `cas mine --include-turns --sqlite {file}` adds them"
            );
            return Err(text.into());
        }
        Ok(Self(connection))
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.0
    }

    pub(crate) fn search(&self, query: &str, limit: u32) -> Result<Vec<Hit>> {
        let mut statement = self.0.prepare(
            "SELECT items.thread_id, items.turn_id, items.type, snippet(items_fts, 0, '[', ']', '…', 24)
             FROM items_fts JOIN items ON items.rowid = items_fts.rowid
             WHERE items_fts MATCH ?1 ORDER BY rank LIMIT ?2",
        )?;
        // SQLite takes a negative number for no limit.
        let limit = if limit == 0 { -1 } else { i64::from(limit) };
        let query = as_fts(&self.0, query);
        let hits = statement.query_map(params![query, limit], |row| {
            let text = |at| {
                row.get::<_, Option<String>>(at)
                    .map(Option::unwrap_or_default)
            };
            Ok(Hit {
                thread: text(0)?,
                turn: text(1)?,
                kind: text(2)?,
                snippet: text(3)?,
            })
        })?;
        let hits: Result<Vec<_>, _> = hits.collect();
        Ok(hits.map_err(|e| format!("can't search for {query:?}: {e}"))?)
    }
}

/// The query itself if it is valid FTS5, else a query for all of its words.
fn as_fts(connection: &Connection, query: &str) -> String {
    let parses = connection.query_row(
        "SELECT 1 FROM items_fts WHERE items_fts MATCH ?1 LIMIT 1",
        [query],
        |_| Ok(()),
    );
    match parses {
        Ok(()) | Err(rusqlite::Error::QueryReturnedNoRows) => query.to_owned(),
        Err(_) => {
            let words = query.split_whitespace();
            let quoted = words.map(|word| format!("\"{}\"", word.replace('"', "\"\"")));
            quoted.collect::<Vec<_>>().join(" ")
        }
    }
}

/// The application id of a database, and the number of entries in its schema.
fn mark(connection: &Connection) -> rusqlite::Result<(i32, i64)> {
    Ok((
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?,
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?,
    ))
}

impl Store for Database {
    fn known(&self, with_turns: bool) -> Result<HashMap<String, i64>> {
        let mut statement = self
            .0
            .prepare("SELECT id, updated_at FROM threads WHERE updated_at < listed_at AND (has_turns OR NOT ?1)")?;
        let known = statement.query_map([with_turns], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(known.collect::<Result<_, _>>()?)
    }

    fn add(&mut self, mined: &StoredThread) -> Result<bool> {
        let id = mined.id();
        let (thread, turns) = json_of(mined)?;
        let digest = digest(&thread, turns.as_ref());
        let same = self.0.execute(
            "UPDATE threads SET listed_at = ?1 WHERE id = ?2 AND digest = ?3",
            params![mined.listed_at, id, digest],
        )?;
        if same > 0 {
            return Ok(false);
        }
        // All of a thread or nothing: a run may be interrupted at any time.
        let transaction = self.0.transaction()?;
        for sql in [
            "DELETE FROM items_fts WHERE rowid IN (SELECT rowid FROM items WHERE thread_id = ?1)",
            "DELETE FROM items WHERE thread_id = ?1",
            "DELETE FROM turns WHERE thread_id = ?1",
            "DELETE FROM threads WHERE id = ?1",
        ] {
            transaction.execute(sql, [id])?;
        }
        transaction.execute(
            "INSERT INTO threads VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            params![
                id,
                mined.updated_at(),
                thread["createdAt"].as_i64(),
                thread["cwd"].as_str(),
                thread["name"].as_str(),
                thread["preview"].as_str(),
                thread["modelProvider"].as_str(),
                mined.listed_at,
                turns.is_some(),
                digest,
                thread.to_string(),
            ],
        )?;
        let turns = turns.as_ref().and_then(Value::as_array);
        for (position, turn) in turns.into_iter().flatten().enumerate() {
            transaction.execute(
                "INSERT INTO turns VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    id,
                    i64::try_from(position)?,
                    turn["id"].as_str(),
                    turn["status"].as_str(),
                    turn["startedAt"].as_i64(),
                    turn["completedAt"].as_i64(),
                    turn.to_string(),
                ],
            )?;
            let items = turn["items"].as_array().map_or(&[][..], Vec::as_slice);
            for (position, item) in items.iter().enumerate() {
                add_item(&transaction, id, turn, i64::try_from(position)?, item)?;
            }
        }
        transaction.commit()?;
        Ok(true)
    }
}

fn add_item(into: &Connection, thread: &str, turn: &Value, position: i64, item: &Value) -> Result {
    into.execute(
        "INSERT INTO items (thread_id, turn_id, position, id, type, json) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            thread,
            turn["id"].as_str(),
            position,
            item["id"].as_str(),
            item["type"].as_str(),
            item.to_string(),
        ],
    )?;
    let row = into.last_insert_rowid();
    into.execute(
        "INSERT INTO items_fts (rowid, text) VALUES (?1, ?2)",
        params![row, text(item)],
    )?;
    Ok(())
}

//! Adds up the counts from the database and the rollout files.

use std::collections::{BTreeMap, HashMap, HashSet};

use rusqlite::Connection;
use serde::Serialize;
use serde_json::Value;

use super::rollout::{Rollout, Spent};
use crate::{output::Result, when::day};

/// What was done, and what it took.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tally {
    pub(super) threads: u64,
    pub(super) turns: u64,
    /// Of the turns.
    pub(super) failed: u64,
    pub(super) interrupted: u64,
    /// From the start to the end of the turns.
    pub(super) seconds: u64,
    /// Commands, changes of files and calls of tools.
    pub(super) tools: u64,
    /// Of the tools.
    pub(super) tools_failed: u64,
    #[serde(rename = "inputTokens")]
    pub(super) input: u64,
    /// Of the input.
    #[serde(rename = "cachedInputTokens")]
    pub(super) cached: u64,
    #[serde(rename = "outputTokens")]
    pub(super) output: u64,
}

impl Tally {
    pub(super) fn tokens(&self) -> u64 {
        self.input + self.output
    }

    fn add(&mut self, other: &Self) {
        self.threads += other.threads;
        self.turns += other.turns;
        self.failed += other.failed;
        self.interrupted += other.interrupted;
        self.seconds += other.seconds;
        self.tools += other.tools;
        self.tools_failed += other.tools_failed;
        self.input += other.input;
        self.cached += other.cached;
        self.output += other.output;
    }
}

pub(super) type Group = BTreeMap<String, Tally>;

/// The same by each of four things.
#[derive(Debug, Default)]
pub(super) struct Groups {
    pub(super) total: Tally,
    pub(super) days: Group,
    pub(super) models: Group,
    pub(super) directories: Group,
    pub(super) kinds: Group,
    /// How many rollout files were read, and of how many threads there is none.
    pub(super) rollouts: usize,
    pub(super) missing: usize,
    /// Which threads are counted where.
    counted: HashSet<(u8, String, String)>,
}

/// What is known of a thread.
struct Thread {
    model: Option<String>,
    directory: String,
    kind: String,
    rollout: Rollout,
}

/// The steps that do something.
const TOOLS: &str = "'commandExecution', 'fileChange', 'mcpToolCall', 'dynamicToolCall', 'collabAgentToolCall', 'webSearch', 'imageGeneration'";

impl Groups {
    pub(super) fn collect(from: &Connection, since: Option<i64>) -> Result<Self> {
        let mut groups = Self::default();
        let threads = groups.threads(from)?;
        let tools = tools(from)?;
        let mut turns = from.prepare(
            "SELECT thread_id, id, status, started_at, completed_at, json_extract(json, '$.durationMs') FROM turns",
        )?;
        let mut rows = turns.query([])?;
        while let Some(row) = rows.next()? {
            let (id, turn): (String, Option<String>) = (row.get(0)?, row.get(1)?);
            let (started, completed): (Option<i64>, Option<i64>) = (row.get(3)?, row.get(4)?);
            let Some(thread) = threads.get(&id) else {
                continue;
            };
            let started = started.or(completed).unwrap_or_default();
            if since.is_some_and(|since| started < since) {
                continue;
            }
            let status: Option<String> = row.get(2)?;
            let millis: Option<i64> = row.get(5)?;
            let (used, broken) = turn
                .as_ref()
                .and_then(|turn| tools.get(turn))
                .copied()
                .unwrap_or_default();
            let between = completed.map_or(0, |completed| completed - started);
            let tally = Tally {
                turns: 1,
                failed: u64::from(status.as_deref() == Some("failed")),
                interrupted: u64::from(status.as_deref() == Some("interrupted")),
                seconds: u64::try_from(millis.map_or(between, |millis| millis / 1_000))
                    .unwrap_or_default(),
                tools: used,
                tools_failed: broken,
                ..Tally::default()
            };
            let model = turn.and_then(|turn| thread.rollout.model_of(&turn));
            let model = model.or(thread.model.as_deref()).unwrap_or(UNKNOWN);
            groups.add(&id, thread, &day(started), model, &tally);
        }
        for (id, thread) in &threads {
            for Spent {
                at,
                model,
                input,
                cached,
                output,
            } in &thread.rollout.spent
            {
                if since.is_some_and(|since| *at < since) {
                    continue;
                }
                let tally = Tally {
                    input: *input,
                    cached: *cached,
                    output: *output,
                    ..Tally::default()
                };
                let model = model
                    .as_deref()
                    .or(thread.model.as_deref())
                    .unwrap_or(UNKNOWN);
                groups.add(id, thread, &day(*at), model, &tally);
            }
        }
        Ok(groups)
    }

    fn threads(&mut self, from: &Connection) -> Result<HashMap<String, Thread>> {
        let mut statement = from.prepare("SELECT id, json FROM threads")?;
        let mut rows = statement.query([])?;
        let mut threads = HashMap::new();
        while let Some(row) = rows.next()? {
            let (id, json): (String, String) = (row.get(0)?, row.get(1)?);
            let thread: Value = serde_json::from_str(&json)?;
            let text = |key: &str| thread[key].as_str().map(str::to_owned);
            let rollout = text("path").and_then(|path| Rollout::read(path.as_ref()).ok());
            match &rollout {
                Some(_) => self.rollouts += 1,
                None => self.missing += 1,
            }
            let thread = Thread {
                model: text("model"),
                directory: text("cwd").unwrap_or_else(|| UNKNOWN.to_owned()),
                kind: kind(&thread["source"]),
                rollout: rollout.unwrap_or_default(),
            };
            threads.insert(id, thread);
        }
        Ok(threads)
    }

    fn add(&mut self, id: &str, thread: &Thread, day: &str, model: &str, tally: &Tally) {
        let groups = [
            (&mut self.days, day),
            (&mut self.models, model),
            (&mut self.directories, &thread.directory),
            (&mut self.kinds, &thread.kind),
        ];
        for (which, (group, name)) in (1..).zip(groups) {
            let entry = group.entry(name.to_owned()).or_default();
            entry.add(tally);
            let is_new = self.counted.insert((which, name.to_owned(), id.to_owned()));
            entry.threads += u64::from(is_new);
        }
        self.total.add(tally);
        let is_new = self.counted.insert((0, String::new(), id.to_owned()));
        self.total.threads += u64::from(is_new);
    }
}

const UNKNOWN: &str = "unknown";

/// How many tools each turn has used, and how many of them failed.
fn tools(from: &Connection) -> Result<HashMap<String, (u64, u64)>> {
    let mut statement = from.prepare(&format!(
        "SELECT turn_id, count(*), sum(json_extract(json, '$.status') IN ('failed', 'declined')
            OR ifnull(json_extract(json, '$.exitCode'), 0) <> 0 OR ifnull(json_extract(json, '$.success'), 1) = 0)
         FROM items WHERE type IN ({TOOLS}) AND turn_id IS NOT NULL GROUP BY turn_id"
    ))?;
    let mut rows = statement.query([])?;
    let mut tools = HashMap::new();
    while let Some(row) = rows.next()? {
        let (turn, used, broken): (String, i64, Option<i64>) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        let count = |count: i64| u64::try_from(count).unwrap_or_default();
        tools.insert(turn, (count(used), count(broken.unwrap_or_default())));
    }
    Ok(tools)
}

/// A source as one word.
fn kind(source: &Value) -> String {
    match source {
        Value::String(kind) => kind.clone(),
        Value::Object(one) => match one.iter().next() {
            Some((name, Value::String(kind))) if name == "custom" => kind.clone(),
            Some((name, _)) => name.clone(),
            None => UNKNOWN.to_owned(),
        },
        _ => UNKNOWN.to_owned(),
    }
}

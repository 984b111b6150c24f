//! `cas stats`: what was done in the mined threads, and what it took.

mod collect;
mod page;
mod rollout;

use std::path::PathBuf;

use serde::Serialize;

use self::collect::{Groups, Tally};
use super::mine::database::Database;
use crate::{
    files::NewFile,
    output::{Result, json as json_line, line},
    screen::{Table, width},
    when::{length, since},
};

/// Show turns, time, tools, failures and tokens by day, model, directory and kind of thread.
///
/// Reads a database that `cas mine --include-turns --sqlite FILE` has written. The server does not
/// report how many tokens the turns of stored threads have used: they are added up from the rollout
/// files of the threads that have one.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The database
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    sqlite: PathBuf,
    /// What to group by; may be given several times
    #[arg(long, value_enum, default_values = ["day", "model"])]
    by: Vec<By>,
    /// Only turns that were started since: 7d, 12h ago, a day such as 2026-01-31, or seconds since
    /// the epoch
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<i64>,
    /// Write an HTML page with charts of all groups
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, help_heading = "Output")]
    html: Option<PathBuf>,
    /// Replace the page if it exists
    #[arg(long, requires = "html", help_heading = "Output")]
    force: bool,
    /// Report as JSON
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  cas mine --include-turns --sqlite sessions.db
  cas stats --sqlite sessions.db --since 30d --by day --by dir
  cas stats --sqlite sessions.db --html stats.html";

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum By {
    Day,
    Model,
    Dir,
    Kind,
}

/// What `--json` reports.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    total: &'a Tally,
    days: Vec<Named<'a>>,
    models: Vec<Named<'a>>,
    directories: Vec<Named<'a>>,
    kinds: Vec<Named<'a>>,
    /// Where the tokens are from.
    rollouts: Rollouts,
}

#[derive(Debug, Serialize)]
struct Named<'a> {
    name: &'a str,
    #[serde(flatten)]
    tally: &'a Tally,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Rollouts {
    read: usize,
    missing: usize,
}

pub(crate) fn run(args: &Args) -> Result {
    let page = args
        .html
        .as_deref()
        .map(|path| NewFile::create(path, args.force))
        .transpose()?;
    let database = Database::with_turns(&args.sqlite)?;
    let groups = Groups::collect(database.connection(), args.since)?;
    let rollouts = Rollouts {
        read: groups.rollouts,
        missing: groups.missing,
    };
    if let Some(page) = page {
        page.write(&page::html(&groups))?;
    }
    if args.json {
        return json_line(&Report {
            total: &groups.total,
            days: named(&groups, By::Day),
            models: named(&groups, By::Model),
            directories: named(&groups, By::Dir),
            kinds: named(&groups, By::Kind),
            rollouts,
        });
    }
    for by in &args.by {
        show(&groups, *by)?;
        line("")?;
    }
    let missing = match groups.missing {
        0 => String::new(),
        missing => format!("; {missing} threads have none"),
    };
    line(format_args!(
        "Tokens are added up from {} rollout files{missing}. They are not a bill.",
        groups.rollouts
    ))
}

fn named(groups: &Groups, by: By) -> Vec<Named<'_>> {
    let group = match by {
        By::Day => &groups.days,
        By::Model => &groups.models,
        By::Dir => &groups.directories,
        By::Kind => &groups.kinds,
    };
    let mut rows: Vec<_> = group
        .iter()
        .map(|(name, tally)| Named { name, tally })
        .collect();
    if by != By::Day {
        rows.sort_by_key(|row| std::cmp::Reverse((row.tally.tokens(), row.tally.turns)));
    }
    rows
}

/// A table, with a bar in each row where the terminal has room for it.
fn show(groups: &Groups, by: By) -> Result {
    let name = match by {
        By::Day => "DAY",
        By::Model => "MODEL",
        By::Dir => "DIRECTORY",
        By::Kind => "KIND",
    };
    let columns = [
        name, "#THREADS", "#TURNS", "#FAILED", "TIME", "#TOOLS", "#IN", "#CACHED", "#OUT", "",
    ];
    let home = std::env::home_dir();
    let rows = named(groups, by);
    let weigh = |tally: &Tally| match groups.total.tokens() {
        0 => tally.turns,
        _ => tally.tokens(),
    };
    let most = rows
        .iter()
        .map(|row| weigh(row.tally))
        .max()
        .unwrap_or_default();
    let room = width().map_or(20, |columns| columns.saturating_sub(100).min(40));
    let mut table = Table::new(&columns);
    for row in rows
        .iter()
        .map(|row| (row.name, row.tally))
        .chain([("all", &groups.total)])
    {
        let (name, tally) = row;
        let bar = match name {
            "all" => String::new(),
            _ => bar(weigh(tally), most, room),
        };
        table.row([
            super::threads::tilde(name, home.as_deref()),
            tally.threads.to_string(),
            tally.turns.to_string(),
            tally.failed.to_string(),
            length(std::time::Duration::from_secs(tally.seconds)),
            tally.tools.to_string(),
            thousands(tally.input),
            thousands(tally.cached),
            thousands(tally.output),
            bar,
        ]);
    }
    table.print()
}

/// A bar of at most so many columns, to an eighth of one.
fn bar(part: u64, most: u64, columns: usize) -> String {
    const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    if most == 0 || columns == 0 {
        return String::new();
    }
    let eighths = u128::from(part) * columns as u128 * 8 / u128::from(most);
    let eighths = usize::try_from(eighths).unwrap_or_default();
    let mut bar = "█".repeat(eighths / 8);
    if eighths % 8 > 0 {
        bar.push(EIGHTHS[eighths % 8]);
    }
    bar
}

/// A number in groups of three digits.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push('\u{202f}'); // Narrow, and not broken.
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_part() {
        assert_eq!(bar(10, 10, 4), "████");
        assert_eq!(bar(5, 10, 4), "██");
        assert_eq!(bar(1, 16, 4), "▎");
        assert_eq!(
            (bar(0, 10, 4), bar(1, 0, 4), bar(1, 1, 0)),
            Default::default()
        );
    }

    #[test]
    fn numbers_are_grouped_by_three() {
        assert_eq!(thousands(5), "5");
        assert_eq!(thousands(1_234_567), "1\u{202f}234\u{202f}567");
    }
}

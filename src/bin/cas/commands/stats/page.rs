//! The page of `cas stats --html`: one file with everything in it, and no script.

use std::fmt::Write as _;

use super::{
    By, Named,
    collect::{Groups, Tally},
    named, thousands,
};
use crate::when::{length, moment, now};

const STYLE: &str = "\
:root{color-scheme:light dark;--in:#4c78a8;--out:#f58518;--bad:#c0392b;--line:#8884}
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2.5rem}
dl{display:flex;flex-wrap:wrap;gap:.5rem 2rem}dt{opacity:.7;font-size:.8rem}dd{margin:0;font-size:1.3rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.2rem .6rem;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{text-align:left;word-break:break-all}
svg{width:100%;height:auto;font:11px system-ui,sans-serif}svg text{fill:currentColor}
.in{fill:var(--in)}.out{fill:var(--out)}.bad{fill:var(--bad)}
footer{opacity:.7;margin:3rem 0;font-size:.85rem}";

pub(super) fn html(groups: &Groups) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>cas stats</title><style>{STYLE}</style></head><body>\n<h1>What codex did</h1>\n"
    );
    summary(&groups.total, &mut out);
    let days = named(groups, By::Day);
    section("Tokens by day", &columns(&days, tokens), &days, &mut out);
    let _ = write!(out, "<h2>Turns by day</h2>\n{}\n", columns(&days, turns));
    for (title, by) in [
        ("By model", By::Model),
        ("By directory", By::Dir),
        ("By kind of thread", By::Kind),
    ] {
        let rows = named(groups, by);
        section(title, &bars(&rows), &rows, &mut out);
    }
    let at = i64::try_from(now()).unwrap_or_default();
    let _ = write!(
        out,
        "<footer>Made by <code>cas stats</code>, {}. Tokens are added up from {} rollout files; {} threads have none. \
         They are not a bill.</footer>\n</body></html>\n",
        moment(at),
        groups.rollouts,
        groups.missing
    );
    out
}

/// The numbers of a tally.
fn cells(tally: &Tally) -> [String; 8] {
    [
        thousands(tally.threads),
        thousands(tally.turns),
        thousands(tally.failed),
        length(std::time::Duration::from_secs(tally.seconds)),
        thousands(tally.tools),
        thousands(tally.input),
        thousands(tally.cached),
        thousands(tally.output),
    ]
}

fn summary(total: &Tally, out: &mut String) {
    const NAMES: [&str; 8] = [
        "threads",
        "turns",
        "failed",
        "time",
        "tools",
        "tokens in",
        "of them cached",
        "tokens out",
    ];
    out.push_str("<dl>");
    for (name, value) in NAMES.iter().zip(cells(total)) {
        let _ = write!(out, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    }
    out.push_str("</dl>\n");
}

fn section(title: &str, chart: &str, rows: &[Named<'_>], out: &mut String) {
    let _ = write!(
        out,
        "<h2>{title}</h2>\n{chart}\n<table><thead><tr><th></th><th>threads</th><th>turns</th><th>failed</th><th>time</th>\
         <th>tools</th><th>in</th><th>cached</th><th>out</th></tr></thead><tbody>\n"
    );
    for Named { name, tally } in rows {
        let _ = write!(out, "<tr><td>{}</td>", text(name));
        for cell in cells(tally) {
            let _ = write!(out, "<td>{cell}</td>");
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table>\n");
}

/// The two parts of a column: what stands below, and what stands on it.
type Parts = fn(&Tally) -> [(&'static str, u64); 2];

fn tokens(tally: &Tally) -> [(&'static str, u64); 2] {
    [("in", tally.input), ("out", tally.output)]
}

fn turns(tally: &Tally) -> [(&'static str, u64); 2] {
    [
        ("in", tally.turns - tally.failed.min(tally.turns)),
        ("bad", tally.failed),
    ]
}

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 180.0;
const FOOT: f64 = 20.0;

/// A column for each row.
fn columns(rows: &[Named<'_>], parts: Parts) -> String {
    let sum = |row: &Named<'_>| parts(row.tally).iter().map(|(_, n)| n).sum::<u64>();
    let most = rows.iter().map(sum).max().unwrap_or_default().max(1);
    let step = WIDTH / float(rows.len().max(1) as u64);
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\">",
        HEIGHT + FOOT
    );
    for (n, row) in rows.iter().enumerate() {
        let x = float(n as u64) * step;
        let width = (step * 0.8).min(60.0);
        let mut top = HEIGHT;
        let counts: Vec<String> = parts(row.tally)
            .iter()
            .map(|(_, n)| thousands(*n))
            .collect();
        let _ = write!(
            out,
            "<g><title>{}: {}</title>",
            text(row.name),
            counts.join(" + ")
        );
        for (class, n) in parts(row.tally) {
            let height = float(n) / float(most) * HEIGHT;
            top -= height;
            let _ = write!(
                out,
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
            );
        }
        // Where there are many, some of the names.
        if n % (rows.len() / 12 + 1) == 0 {
            let _ = write!(
                out,
                "<text x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
                HEIGHT + 14.0,
                text(row.name)
            );
        }
        out.push_str("</g>");
    }
    out.push_str("</svg>");
    out
}

const ROW: f64 = 22.0;
const NAMES: f64 = 300.0;

/// A bar for each row.
fn bars(rows: &[Named<'_>]) -> String {
    let has_tokens = rows.iter().any(|row| row.tally.tokens() > 0);
    let parts: Parts = if has_tokens { tokens } else { turns };
    let sum = |row: &Named<'_>| parts(row.tally).iter().map(|(_, n)| n).sum::<u64>();
    let most = rows.iter().map(sum).max().unwrap_or_default().max(1);
    let height = ROW * float(rows.len() as u64);
    let mut out = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">");
    for (n, row) in rows.iter().enumerate() {
        let y = float(n as u64) * ROW;
        let mut x = NAMES;
        let name: String = row.name.chars().rev().take(42).collect();
        let name: String = name.chars().rev().collect();
        let _ = write!(
            out,
            "<g><title>{}</title><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            text(row.name),
            NAMES - 8.0,
            y + 14.0,
            text(&name)
        );
        for (class, n) in parts(row.tally) {
            let width = float(n) / float(most) * (WIDTH - NAMES - 90.0);
            let _ = write!(
                out,
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{:.1}\"/>",
                y + 3.0,
                ROW - 6.0
            );
            x += width;
        }
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\">{}</text></g>",
            x + 6.0,
            y + 14.0,
            thousands(sum(row))
        );
    }
    out.push_str("</svg>");
    out
}

#[expect(clippy::cast_precision_loss, reason = "a chart is not that exact")]
fn float(number: u64) -> f64 {
    number as f64
}

/// Text in a page: shown, whatever it is.
fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in cas_sdk::terminal::escape_line(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_text_in_the_page_whatever_it_is() {
        let tally = Tally {
            turns: 3,
            failed: 1,
            ..Tally::default()
        };
        let mut groups = Groups::default();
        groups
            .directories
            .insert("<script>alert(\"1\")</script>".into(), tally.clone());
        groups.days.insert("2026-01-31".into(), tally);
        let page = html(&groups);
        assert!(
            !page.contains("<script") && page.contains("&lt;script&gt;"),
            "{page}"
        );
        assert!(page.contains("2026-01-31") && page.matches("<svg").count() == 5);
        for other in ["http://", "https://", "src=", "url("] {
            assert!(
                !page.contains(other),
                "{other}: the page needs nothing else"
            );
        }
    }
}

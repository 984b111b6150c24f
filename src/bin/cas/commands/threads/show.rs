//! A thread for people: as fields, or as a text in Markdown.

use std::{fmt::Write as _, io::IsTerminal as _};

use serde_json::Value;

use crate::{
    commands::{ask::paths, mine::text::text as text_of},
    markdown,
    output::{Failure, Result, field, line, verbatim},
    screen::{Stream, width},
    server::title,
    when::moment,
};

/// The fields to show of a thread, and their labels.
const FIELDS: [&str; 9] = [
    "id",
    "name",
    "preview",
    "cwd",
    "model",
    "modelProvider",
    "source",
    "createdAt",
    "updatedAt",
];

/// The fields that the thread has.
fn fields(thread: &Value) -> impl Iterator<Item = (&'static str, String)> {
    FIELDS.into_iter().filter_map(|key| {
        let shown = match &thread[key] {
            Value::Null => return None,
            Value::String(text) => text.clone(),
            Value::Number(at) if key.ends_with("At") => moment(at.as_i64().unwrap_or_default()),
            other => other.to_string(),
        };
        Some((key, shown))
    })
}

/// The thread and its turns, an item a line.
pub(super) fn as_fields(thread: &Value) -> Result {
    if !thread.is_object() {
        return Err(Failure::from("the server answered without a thread"));
    }
    for (key, shown) in fields(thread) {
        line(format_args!("{key}: {}", field(&shown)))?;
    }
    for turn in thread["turns"].as_array().into_iter().flatten() {
        line(format_args!(
            "turn {} ({})",
            field(text(turn, "id")),
            field(text(turn, "status"))
        ))?;
        for item in turn["items"].as_array().into_iter().flatten() {
            line(format_args!(
                "  {}: {}",
                field(text(item, "type")),
                field(&said(item))
            ))?;
        }
    }
    Ok(())
}

/// The text of an item; for a command, the command and not its output.
fn said(item: &Value) -> String {
    match item["type"].as_str() {
        Some("commandExecution") => text(item, "command").to_owned(),
        Some("fileChange") => paths(item).join(", "),
        _ => text_of(item),
    }
}

/// As Markdown looks on a terminal; elsewhere as its text.
pub(super) fn on_terminal(thread: &Value) -> Result {
    let text = as_markdown(thread);
    if std::io::stdout().is_terminal() {
        let columns = width().unwrap_or(80);
        return verbatim(&markdown::render(&text, columns, Stream::Out.has_colours()));
    }
    line(text.trim_end())
}

/// The whole thread.
pub(super) fn as_markdown(thread: &Value) -> String {
    let title = title(thread);
    let mut out = format!("# {}\n\n", field(title.lines().next().unwrap_or_default()));
    for (key, shown) in fields(thread) {
        if !matches!(key, "name" | "preview") {
            let _ = writeln!(out, "- {key}: `{}`", field(&shown));
        }
    }
    for turn in thread["turns"].as_array().into_iter().flatten() {
        let status = text(turn, "status");
        if status != "completed" {
            let _ = write!(out, "\n*This turn: {status}*\n");
        }
        for item in turn["items"].as_array().into_iter().flatten() {
            add(item, &mut out);
        }
        if let Some(error) = turn["error"]["message"].as_str() {
            let _ = write!(out, "\n**Failed:** {error}\n");
        }
    }
    out
}

fn add(item: &Value, out: &mut String) {
    let _ = match item["type"].as_str().unwrap_or_default() {
        "userMessage" => write!(out, "\n## User\n\n{}\n", text_of(item)),
        "agentMessage" => write!(out, "\n## Agent\n\n{}\n", text(item, "text")),
        "plan" => write!(out, "\n### Plan\n\n{}\n", text(item, "text")),
        "commandExecution" => {
            let exit = match item["exitCode"].as_i64() {
                Some(0) | None => String::new(),
                Some(code) => format!(" (exit {code})"),
            };
            write!(out, "\n{}{exit}\n", fenced("sh", text(item, "command")))
        }
        "fileChange" => {
            for change in item["changes"].as_array().into_iter().flatten() {
                let _ = write!(
                    out,
                    "\nChanges `{}`:\n\n{}\n",
                    text(change, "path"),
                    fenced("diff", text(change, "diff"))
                );
            }
            Ok(())
        }
        "mcpToolCall" | "dynamicToolCall" => {
            let arguments = item["arguments"].to_string();
            write!(out, "\nCalls `{}` with `{arguments}`\n", text(item, "tool"))
        }
        "webSearch" => write!(out, "\nSearches the web for \"{}\"\n", text(item, "query")),
        "reasoning" | "hookPrompt" | "" => Ok(()),
        other => write!(out, "\n*{other}*\n"),
    };
}

/// A block of code, in a fence longer than any in it.
fn fenced(language: &str, code: &str) -> String {
    let mut fence = "```".to_owned();
    while code.contains(&fence) {
        fence.push('`');
    }
    format!("{fence}{language}\n{}\n{fence}", code.trim_end())
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

//! The steps of a turn that are worth a line while they go on.

use cas_sdk::protocol::ThreadItem;
use serde_json::Value;

use crate::output::field;

/// A step in one line, so that a command can't hide part of itself or look like a remark of `cas`.
pub(in crate::commands) fn step(item: &ThreadItem) -> Option<String> {
    let item = serde_json::to_value(item).ok()?;
    let text = |key: &str| field(item[key].as_str().unwrap_or_default()).into_owned();
    Some(match item["type"].as_str()? {
        "commandExecution" => format!("runs {}", text("command")),
        "fileChange" => format!("changes {}", listed(&item)),
        "mcpToolCall" => format!("calls {} of {}", text("tool"), text("server")),
        "dynamicToolCall" => format!("calls {}", text("tool")),
        "webSearch" => format!("searches the web for \"{}\"", text("query")),
        _ => return None,
    })
}

/// What a step would do, named as a request for approval names it.
pub(super) fn what(item: &Value) -> Option<String> {
    match item["type"].as_str()? {
        "commandExecution" => Some(item["command"].as_str()?.to_owned()),
        "fileChange" => Some(format!("change {}", listed(item))),
        "mcpToolCall" => Some(format!(
            "{} of {}",
            item["tool"].as_str()?,
            item["server"].as_str()?
        )),
        _ => None,
    }
}

/// The files that an item changes.
pub(in crate::commands) fn paths(item: &Value) -> Vec<&str> {
    let changes = item["changes"].as_array().into_iter().flatten();
    changes
        .filter_map(|change| change["path"].as_str())
        .collect()
}

fn listed(item: &Value) -> String {
    field(&paths(item).join(", ")).into_owned()
}

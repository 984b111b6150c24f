//! The tools of a client or a thread: checked, advertised, found by name.

use std::{cmp::Ordering, fmt};

use serde_json::{Value, json};

use super::{context::ToolContext, dynamic::DynamicTool, output::ToolOutput, schema};
use crate::error::Error;

/// The tools of a client or a thread, by namespace and name.
#[derive(Clone, Default)]
pub(crate) struct Tools {
    /// The tools, sorted and without duplicates.
    entries: Vec<DynamicTool>,
    /// The descriptions of the namespaces; the last one set counts.
    namespaces: Vec<(String, String)>,
    /// The first problem, reported before anything is started.
    invalid: Option<String>,
}

impl Tools {
    pub(crate) fn add(&mut self, tool: DynamicTool) {
        let problem = check_tool(&tool).or_else(|| {
            self.find(tool.namespace.as_deref(), &tool.name)
                .is_ok()
                .then(|| format!("tool {} is registered twice", tool.name))
        });
        self.invalid = self.invalid.take().or(problem);
        self.put(tool);
    }

    fn put(&mut self, tool: DynamicTool) {
        match self.find(tool.namespace.as_deref(), &tool.name) {
            Ok(at) => self.entries[at] = tool,
            Err(at) => self.entries.insert(at, tool),
        }
    }

    /// The index of a tool, or the index where it belongs.
    fn find(&self, namespace: Option<&str>, name: &str) -> Result<usize, usize> {
        self.entries
            .binary_search_by(|tool| by_name(tool, namespace, name))
    }

    pub(crate) fn describe(&mut self, namespace: String, description: String) {
        let problem = check_namespace(&namespace).or_else(|| {
            (description.chars().count() > MAX_DESCRIPTION).then(|| {
                format!("the description of tool namespace {namespace} must be at most {MAX_DESCRIPTION} characters")
            })
        });
        self.invalid = self.invalid.take().or(problem);
        self.namespaces.push((namespace, description));
    }

    /// These tools, and those of `base` that have other names.
    pub(crate) fn over(self, base: &Self) -> Self {
        let mut all = base.clone();
        for tool in self.entries {
            all.put(tool);
        }
        all.namespaces.extend(self.namespaces);
        all.invalid = all.invalid.or(self.invalid);
        all
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        match &self.invalid {
            Some(problem) => Err(Error::Invalid(problem.clone())),
            None => Ok(()),
        }
    }

    /// The value of `dynamicTools`; `None` if there is nothing to advertise.
    pub(crate) fn specs(&self) -> Option<Value> {
        let mut specs = Vec::new();
        let mut namespaces: Vec<(&str, Vec<Value>)> = Vec::new();
        for tool in &self.entries {
            let mut spec = json!({
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "inputSchema": tool.schema,
            });
            if tool.defer {
                spec["deferLoading"] = true.into();
            }
            match (tool.namespace.as_deref(), namespaces.last_mut()) {
                (None, _) => specs.push(spec),
                (Some(name), Some((last, tools))) if *last == name => tools.push(spec),
                (Some(name), _) => namespaces.push((name, vec![spec])),
            }
        }
        for (name, tools) in namespaces {
            let told = self.namespaces.iter().rev().find(|(told, _)| told == name);
            let description = if let Some((_, description)) = told {
                description.clone()
            } else {
                let names: Vec<&str> = tools.iter().filter_map(|t| t["name"].as_str()).collect();
                let list = format!("Tools: {}", names.join(", "));
                list.chars().take(MAX_DESCRIPTION).collect()
            };
            specs.push(json!({"type": "namespace", "name": name, "description": description, "tools": tools}));
        }
        (!specs.is_empty()).then_some(Value::Array(specs))
    }

    /// Runs a tool to its end; `None` if there is no such tool.
    pub(crate) async fn call(
        &self,
        namespace: Option<&str>,
        name: &str,
        args: &str,
        cx: ToolContext,
    ) -> Option<ToolOutput> {
        let at = self.find(namespace, name).ok()?;
        Some(self.entries[at].call(args, cx).await)
    }
}

/// Tools without a namespace come first, then one namespace after the other.
fn by_name(tool: &DynamicTool, namespace: Option<&str>, name: &str) -> Ordering {
    let place = (tool.namespace.as_deref(), tool.name.as_str());
    place.cmp(&(namespace, name))
}

const MAX_DESCRIPTION: usize = 1024;

/// The namespaces that the Responses API reserves.
const RESERVED: [&str; 12] = [
    "functions",
    "multi_tool_use",
    "file_search",
    "web",
    "browser",
    "image_gen",
    "computer",
    "container",
    "terminal",
    "python",
    "api_tool",
    "submodel_delegator",
];

/// Checks a tool by the server's rules, so that a mistake is reported before anything is started.
fn check_tool(tool: &DynamicTool) -> Option<String> {
    let name = &tool.name;
    check_name("tool", name, 128)
        .or_else(|| check_namespace(tool.namespace.as_deref()?))
        .or_else(|| {
            (tool.defer && tool.namespace.is_none())
                .then(|| format!("tool {name}: deferred loading needs a namespace"))
        })
        .or_else(|| {
            schema::problem(&tool.schema)
                .map(|problem| format!("tool {name}: the input schema {problem}"))
        })
}

fn check_namespace(name: &str) -> Option<String> {
    check_name("tool namespace", name, 64).or_else(|| {
        RESERVED
            .contains(&name)
            .then(|| format!("tool namespace {name:?} is reserved by the Responses API"))
    })
}

fn check_name(what: &str, name: &str, max: usize) -> Option<String> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || name.len() > max || !name.chars().all(good) {
        return Some(format!(
            "{what} name {name:?} must be 1 to {max} letters, digits, `_` or `-`"
        ));
    }
    (name == "mcp" || name.starts_with("mcp__"))
        .then(|| format!("{what} name {name:?} is reserved for MCP"))
}

impl fmt::Debug for Tools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self
            .entries
            .iter()
            .map(|tool| (&tool.namespace, &tool.name));
        f.debug_set().entries(names).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    fn tool(name: &str) -> DynamicTool {
        DynamicTool::new(name, "d", |(): (), _cx| ready(Ok(""))).input_schema(json!({}))
    }

    fn problem(tools: impl IntoIterator<Item = DynamicTool>) -> Option<String> {
        let mut set = Tools::default();
        for tool in tools {
            set.add(tool);
        }
        set.check().err().map(|e| e.to_string())
    }

    #[test]
    fn names_that_the_server_takes_are_good() {
        let longest = tool(&"t".repeat(128)).namespace("n".repeat(64));
        for good in [
            tool("a-B_1"),
            tool("mcp_x"),
            tool("exec"),
            longest,
            tool("t").namespace("n").defer_loading(),
        ] {
            assert_eq!(problem([good.clone()]), None, "{good:?}");
        }
        assert_eq!(
            problem([
                tool("t"),
                tool("t").namespace("n"),
                tool("t").namespace("m")
            ]),
            None
        );
    }

    #[test]
    fn a_tool_that_the_server_would_refuse_is_named() {
        for (bad, text) in [
            (tool(""), "must be 1 to 128"),
            (tool("a.b"), "\"a.b\" must be 1 to 128"),
            (tool("ä"), "must be 1 to 128"),
            (tool(&"t".repeat(129)), "must be 1 to 128"),
            (tool("mcp"), "reserved for MCP"),
            (tool("mcp__tiny"), "reserved for MCP"),
            (tool("t").namespace("n".repeat(65)), "must be 1 to 64"),
            (tool("t").namespace(""), "must be 1 to 64"),
            (tool("t").namespace("mcp__n"), "reserved for MCP"),
            (tool("t").namespace("web"), "reserved by the Responses API"),
            (
                tool("t").defer_loading(),
                "deferred loading needs a namespace",
            ),
            (
                tool("t").input_schema(json!("text")),
                "must be a JSON object",
            ),
            (
                tool("t").input_schema(json!({"type": "null"})),
                "must be of an object",
            ),
            (
                tool("t").input_schema(json!({"properties": {"a": {"items": []}}})),
                "/properties/a/items, which is an array",
            ),
        ] {
            let problem = problem([bad.clone()]).unwrap_or_default();
            assert!(problem.contains(text), "{bad:?}: {problem}");
        }
        assert_eq!(
            problem([tool("t"), tool("t")]).unwrap(),
            "tool t is registered twice"
        );
    }

    #[test]
    fn a_namespace_has_a_description_within_the_servers_limit() {
        let mut tools = Tools::default();
        tools.add(tool("t").namespace("n"));
        tools.describe("n".to_owned(), "About n.".to_owned());
        assert_eq!(tools.specs().unwrap()[0]["description"], "About n.");
        tools.check().unwrap();
        tools.describe("n".to_owned(), "x".repeat(1025));
        assert!(
            tools
                .check()
                .unwrap_err()
                .to_string()
                .contains("at most 1024")
        );
    }

    #[test]
    fn the_tools_of_a_thread_replace_those_of_the_same_name() {
        let (mut base, mut mine) = (Tools::default(), Tools::default());
        base.add(tool("a"));
        base.add(tool("b"));
        mine.add(tool("b").input_schema(json!({"mine": true})));
        let all = mine.over(&base).specs().unwrap();
        assert_eq!(all.as_array().unwrap().len(), 2);
        assert_eq!(all[1]["inputSchema"]["mine"], true);
    }
}

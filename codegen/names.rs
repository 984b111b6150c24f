//! The names that generated Rust gets, and the module that each type goes to.

use heck::ToUpperCamelCase;

/// The module for a type, by what its name starts with; the first that fits.
const AREAS: [(&str, &[&str]); 15] = [
    ("mcp", &["Mcp", "ListMcp", "Resource", "Tool", "Elicit"]),
    (
        "thread",
        &[
            "Thread",
            "Fork",
            "Rollout",
            "Queue",
            "Session",
            "SubAgent",
            "CollaborationMode",
            "Memory",
        ],
    ),
    (
        "turn",
        &["Turn", "UserInput", "Review", "Plan", "NonSteerable"],
    ),
    (
        "item",
        &[
            "Item",
            "AgentMessage",
            "Reasoning",
            "WebSearch",
            "FileUpdate",
            "FileChange",
            "ImageGeneration",
            "Collab",
        ],
    ),
    (
        "command",
        &[
            "Command", "Process", "Exec", "Terminal", "Sandbox", "Windows",
        ],
    ),
    (
        "account",
        &[
            "Account",
            "Login",
            "Logout",
            "Auth",
            "Bedrock",
            "Gcp",
            "Gateway",
            "RateLimit",
            "Chatgpt",
            "UserVerification",
        ],
    ),
    (
        "config",
        &[
            "Config",
            "App",
            "Experimental",
            "Otel",
            "Managed",
            "ExternalAgent",
            "Feature",
        ],
    ),
    ("model", &["Model", "Provider"]),
    (
        "plugin",
        &["Plugin", "Skill", "Marketplace", "Hook", "Connector"],
    ),
    (
        "filesystem",
        &["Fs", "Fuzzy", "FileSystem", "Git", "Worktree"],
    ),
    (
        "approval",
        &[
            "ApplyPatch",
            "Approval",
            "Permission",
            "Guardian",
            "Additional",
            "Network",
            "AskFor",
        ],
    ),
    (
        "environment",
        &[
            "Environment",
            "RemoteControl",
            "Server",
            "Initialize",
            "Client",
        ],
    ),
    ("tool", &["DynamicTool", "Function", "RequestUserInput"]),
    (
        "response_item",
        &["ResponseItem", "Responses", "ContentItem", "LocalShell"],
    ),
    ("feedback", &["Feedback"]),
];

/// Where everything else goes.
const OTHER: &str = "common";

/// The module of a type. A variant's payload goes where its union is, so ask for the union's name.
pub(crate) fn area(name: &str) -> &'static str {
    // `GetAccountParams` belongs to `account`, so the verb in front does not count.
    let noun = ["Get", "List", "Consume", "Send", "Cancel", "Set"]
        .iter()
        .find_map(|verb| {
            name.strip_prefix(verb)
                .filter(|rest| rest.starts_with(char::is_uppercase))
        });
    [Some(name), noun]
        .into_iter()
        .flatten()
        .find_map(|name| {
            AREAS
                .iter()
                .find(|(_, prefixes)| prefixes.iter().any(|prefix| name.starts_with(prefix)))
        })
        .map_or(OTHER, |(area, _)| area)
}

/// Every module that [`area`] can name.
pub(crate) fn areas() -> impl Iterator<Item = &'static str> {
    AREAS.iter().map(|(area, _)| *area).chain([OTHER])
}

/// A variant's name from its value on the wire.
///
/// `Unknown` is ours, for what the schema does not have; the server's own `unknown` is `UnknownToServer`.
pub(crate) fn variant(wire: &str) -> String {
    let name = wire.replace('+', "_plus").to_upper_camel_case();
    match name.as_str() {
        // Both exist, and mean the same.
        "OpenaiForm" if wire.contains('/') => "OpenaiSlashForm".into(),
        "Unknown" => "UnknownToServer".into(),
        "Self" => "Itself".into(),
        _ if name.starts_with(|c: char| c.is_ascii_digit()) => format!("V{name}"),
        _ => name,
    }
}

/// The type of a variant's fields: `AgentMessage` of `ThreadItem` is `AgentMessageThreadItem`, as in the schema's own
/// titles, but without the stutter of `ExternalSandboxSandboxPolicy`.
pub(crate) fn payload(variant: &str, union: &str) -> String {
    let variant = if variant == "UnknownToServer" {
        "Unknown"
    } else {
        variant
    };
    let union_words = words(union);
    let last = words(variant).pop();
    let rest = if union_words.len() > 1 && last.as_deref() == Some(union_words[0].as_str()) {
        union_words[1..].concat()
    } else {
        union.to_owned()
    };
    format!("{variant}{rest}")
}

/// The type of something that the schema writes down in place, under `field` of `owner`.
pub(crate) fn nested(owner: &str, field: &str) -> String {
    format!("{owner}{}", field.to_upper_camel_case())
}

/// The type that stands for a method's absent params, and the variant of a method in the enums.
pub(crate) fn method(method: &str) -> String {
    method.replace('/', "_").to_upper_camel_case()
}

/// A camel-case name as its words, still capitalised.
pub(crate) fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut previous_lower = true;
    for c in name.chars() {
        if c.is_uppercase() && previous_lower || words.is_empty() {
            words.push(String::new());
        }
        previous_lower = !c.is_uppercase();
        if let Some(word) = words.last_mut() {
            word.push(c);
        }
    }
    words
}

/// What a list of names has in common at its front and back, in whole words, cut away: `AEnumB`, `ATextB` → `Enum`, `Text`.
pub(crate) fn without_common_ends(names: &[&str]) -> Vec<String> {
    let split: Vec<Vec<String>> = names.iter().map(|name| words(name)).collect();
    let shortest = split.iter().map(Vec::len).min().unwrap_or(0);
    let same = |at: &dyn Fn(&[String]) -> &String| {
        split.windows(2).all(|pair| at(&pair[0]) == at(&pair[1]))
    };
    let front = (0..shortest)
        .take_while(|&i| same(&|words| &words[i]))
        .count()
        .min(shortest.saturating_sub(1));
    let room = shortest.saturating_sub(front + 1);
    let back = (0..room)
        .take_while(|&i| same(&|words| &words[words.len() - 1 - i]))
        .count();
    split
        .iter()
        .map(|words| words[front..words.len() - back].concat())
        .collect()
}

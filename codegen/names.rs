//! The names of generated Rust items, and the module of each type.

use std::{collections::BTreeSet, fmt::Write as _};

use heck::{ToSnakeCase, ToUpperCamelCase};

/// The module of a type, by the first prefix that fits its name.
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

/// The module of all other types.
const OTHER: &str = "common";

/// The module of a type. Pass the name of the union for the payload of a variant, which is beside
/// it.
pub(crate) fn area(name: &str) -> &'static str {
    // `GetAccountParams` belongs to `account`, so a leading verb does not count.
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

/// Every module that [`area`] can return.
pub(crate) fn areas() -> impl Iterator<Item = &'static str> {
    AREAS.iter().map(|(area, _)| *area).chain([OTHER])
}

/// Allocates unique names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names(BTreeSet<String>);

impl Names {
    pub(crate) fn of<'a>(taken: impl Iterator<Item = &'a String>) -> Self {
        Self(taken.cloned().collect())
    }

    /// This name, or if it is taken, this name with a number appended.
    pub(crate) fn take(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        let mut number = 1;
        while !self.0.insert(name.clone()) {
            number += 1;
            // `a` with 2 becomes `a_2`, `A` with 2 becomes `A2`.
            let line = if wanted.starts_with(char::is_uppercase) {
                ""
            } else {
                "_"
            };
            name = format!("{wanted}{line}{number}");
        }
        name
    }
}

/// Names that a generated type cannot have, since they mean something else in its place.
const RESERVED: [&str; 62] = [
    // Imported by every generated file, or defined by hand or by the generator.
    "BTreeMap",
    "Call",
    "ClientNotification",
    "ClientRequest",
    "Deserialize",
    "Map",
    "MethodInfo",
    "MethodKind",
    "Name",
    "Notification",
    "NotificationMethod",
    "Nullable",
    "Optional",
    "Paged",
    "RawValue",
    "Required",
    "Serialize",
    "ServerCall",
    "ServerNotification",
    "ServerRequest",
    "Value",
    // The prelude.
    "AsMut",
    "AsRef",
    "AsyncFn",
    "AsyncFnMut",
    "AsyncFnOnce",
    "Box",
    "Clone",
    "Copy",
    "Debug",
    "Default",
    "DoubleEndedIterator",
    "Drop",
    "Eq",
    "Err",
    "ExactSizeIterator",
    "Extend",
    "Fn",
    "FnMut",
    "FnOnce",
    "From",
    "FromIterator",
    "Future",
    "Hash",
    "Into",
    "IntoFuture",
    "IntoIterator",
    "Iterator",
    "None",
    "Ok",
    "Option",
    "Ord",
    "PartialEq",
    "PartialOrd",
    "Result",
    "Self",
    "Send",
    "Some",
    "String",
    "Sync",
    "ToOwned",
    "Vec",
];

/// Further names of the prelude and of the imports.
const RESERVED_TOO: [&str; 7] = [
    "Sized",
    "ToString",
    "TryFrom",
    "TryInto",
    "Unpin",
    "FieldTuple",
    "Writer",
];

/// Names that hand-written types have at the root of the crate, and what the generated ones are called instead, so that
/// both can be imported.
pub(crate) const RENAMED: [(&str, &str); 3] = [
    ("Thread", "ThreadInfo"),
    ("Turn", "TurnInfo"),
    ("Tool", "McpTool"),
];

/// The type of a definition: its own name if Rust permits it and no type at the root of the crate has it.
pub(crate) fn ty(name: &str) -> String {
    if let Some((_, instead)) = RENAMED.iter().find(|(ours, _)| *ours == name) {
        return (*instead).to_owned();
    }
    let is_good = name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric());
    let name = if is_good {
        name.to_owned()
    } else {
        camel(name)
    };
    if is_groups(&name)
        || !(RESERVED.contains(&name.as_str()) || RESERVED_TOO.contains(&name.as_str()))
    {
        name
    } else {
        format!("{name}Type")
    }
}

/// Whether a definition is one of the four lists of methods.
fn is_groups(name: &str) -> bool {
    [
        "ClientNotification",
        "ClientRequest",
        "ServerNotification",
        "ServerRequest",
    ]
    .contains(&name)
}

/// Turns any text into the name of a type or a variant.
fn camel(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        match c {
            c if c.is_ascii() => plain.push(c),
            // A character that Rust does not allow becomes its code point.
            c => {
                let _ = write!(plain, "_u{:x}_", u32::from(c));
            }
        }
    }
    let name = plain.to_upper_camel_case();
    match name.chars().next() {
        Some(c) if c.is_ascii_digit() => format!("V{name}"),
        Some(_) => name,
        None if text.is_empty() => "Empty".into(),
        None => {
            let codes: Vec<String> = text
                .chars()
                .map(|c| format!("{:X}", u32::from(c)))
                .collect();
            format!("U{}", codes.join("U"))
        }
    }
}

/// A variant's name from its value on the wire.
///
/// `Unknown` is reserved for values that are not in the schema. The server's own `unknown` becomes
/// `UnknownToServer`.
pub(crate) fn variant(wire: &str) -> String {
    let name = camel(&wire.replace('+', "_plus"));
    match name.as_str() {
        // Both spellings exist and mean the same.
        "OpenaiForm" if wire.contains('/') => "OpenaiSlashForm".into(),
        "Unknown" => "UnknownToServer".into(),
        "Self" => "Itself".into(),
        _ => name,
    }
}

/// The name of a field.
pub(crate) fn field(wire: &str) -> String {
    let name = camel(wire).to_snake_case();
    let name = if wire.is_ascii() {
        wire.to_snake_case()
    } else {
        name
    };
    match name.chars().next() {
        _ if KEYWORDS.contains(&name.as_str()) => format!("{name}_"),
        Some(c) if c.is_ascii_digit() => format!("_{name}"),
        Some(_) => name,
        None => format!("field_{}", camel(wire).to_snake_case()),
    }
}

/// The keywords of edition 2024, including reserved ones.
const KEYWORDS: [&str; 52] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "union", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// The type of a variant's fields: `AgentMessage` of `ThreadItem` is `AgentMessageThreadItem`, as
/// in the titles of the schema, but without the stutter of `ExternalSandboxSandboxPolicy`.
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

/// The name of an inline type, under `field` of `owner`.
pub(crate) fn nested(owner: &str, field: &str) -> String {
    format!("{owner}{}", camel(field))
}

/// The base of the names of a method: its variant in the enums, and its unit struct for absent
/// params.
pub(crate) fn method(method: &str) -> String {
    variant(&method.replace('/', "_"))
}

/// The name for the params of a method whose schema names no type of its own.
pub(crate) fn params(wire: &str) -> String {
    ty(&format!("{}Params", method(wire)))
}

/// Splits a camel-case name into capitalised words.
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

/// Strips the words that all names have in common at the start and the end: `AEnumB`, `ATextB`
/// become `Enum`, `Text`.
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

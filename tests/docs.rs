//! `docs/protocol.md` agrees with the built-in schema. `CAS_BLESS=1` writes it.

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use cas_sdk::protocol::{MethodInfo, MethodKind, inventory};

const KINDS: [(MethodKind, &str); 4] = [
    (MethodKind::Request, "Requests of the client"),
    (MethodKind::ServerRequest, "Requests of the server"),
    (MethodKind::Notification, "Notifications of the server"),
    (
        MethodKind::ClientNotification,
        "Notifications of the client",
    ),
];

/// `thread` of `thread/start`. Methods without an area are `general`.
fn area(method: &str) -> &str {
    method.split_once('/').map_or("general", |(area, _)| area)
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn ty(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!("`{name}`"))
}

fn methods(text: &mut String) {
    let mut areas: BTreeMap<&str, Vec<&MethodInfo>> = BTreeMap::new();
    for method in inventory() {
        areas.entry(area(method.method)).or_default().push(method);
    }
    for (area, methods) in areas {
        let _ = writeln!(text, "\n### {area}");
        for (kind, title) in KINDS {
            let mut rows = methods
                .iter()
                .filter(|method| method.kind == kind)
                .peekable();
            if rows.peek().is_none() {
                continue;
            }
            let _ = writeln!(
                text,
                "\n{title}:\n\n| method | params | response | |\n|---|---|---|---|"
            );
            for method in rows {
                let star = if method.experimental { " *" } else { "" };
                let _ = writeln!(
                    text,
                    "| `{}`{star} | {} | {} | {} |",
                    method.method,
                    ty(method.params),
                    ty(method.response),
                    cell(method.doc)
                );
            }
        }
    }
}

/// The types of one generated file, each with the first line of its documentation.
fn types(path: &Path) -> Vec<(String, String)> {
    let source = fs::read_to_string(path).unwrap();
    let mut doc: Option<&str> = None;
    let mut types = Vec::new();
    for line in source.lines() {
        let name = ["pub struct ", "pub enum ", "pub type "]
            .iter()
            .find_map(|start| line.strip_prefix(start));
        if let Some(text) = line.strip_prefix("/// ") {
            doc = doc.or(Some(text));
        } else if let Some(name) = name {
            let end = name.find(|c: char| !c.is_alphanumeric());
            let name = &name[..end.unwrap_or(name.len())];
            types.push((name.to_owned(), doc.take().unwrap_or_default().to_owned()));
        } else if !line.starts_with("#[") && !line.starts_with("///") {
            doc = None;
        }
    }
    types
}

fn document() -> String {
    let count = |kind| {
        inventory()
            .iter()
            .filter(|method| method.kind == kind)
            .count()
    };
    let mut text = format!(
        "# The protocol\n\n\
         What this crate's schema has, of codex {}: {} requests of the client, {} requests of the server, {} notifications.\n\
         Written by `CAS_BLESS=1 cargo test --test docs`; the test fails when it is stale.\n\n\
         A * marks what needs `experimental_api(true)`, which is the default.\n\n## Methods\n",
        cas_sdk::testing::CODEX_VERSION,
        count(MethodKind::Request),
        count(MethodKind::ServerRequest),
        count(MethodKind::Notification),
    );
    methods(&mut text);
    text.push_str("\n## Types\n\nAll are in `cas_sdk::protocol`. Fields are in the documentation of the crate.\n");
    let dir = Path::new(env!("OUT_DIR")).join("protocol");
    let mut files: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_stem().is_some_and(|stem| stem != "methods"))
        .collect();
    files.sort();
    for path in files {
        let area = path.file_stem().unwrap_or_default().to_string_lossy();
        let _ = writeln!(text, "\n### {area} types\n\n| type | |\n|---|---|");
        for (name, doc) in types(&path) {
            let _ = writeln!(text, "| `{name}` | {} |", cell(&doc));
        }
    }
    text
}

#[test]
#[cfg_attr(
    foreign_schema,
    ignore = "the document is of the schema in the repository"
)]
fn the_document_says_what_the_types_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/protocol.md");
    let text = document();
    if env::var_os("CAS_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &text).unwrap();
    }
    let now = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        now == text,
        "docs/protocol.md is stale: run CAS_BLESS=1 cargo test --test docs"
    );
}

#[test]
fn every_type_that_a_method_names_is_in_the_document() {
    let text = document();
    let (_, types) = text.split_once("\n## Types").unwrap();
    for method in inventory() {
        let invented = text.contains(&format!("`{}`", method.method))
            && method
                .params
                .is_some_and(|params| params.ends_with("Params"));
        for name in method.params.into_iter().chain(method.response) {
            let listed = types.contains(&format!("\n| `{name}` |"));
            // The unit structs of methods without params are not types of the schema.
            assert!(
                listed || (invented && Some(name) == method.params),
                "{name} of {}",
                method.method
            );
        }
    }
}

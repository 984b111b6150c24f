//! The schema that the crate was built from, which `CAS_SCHEMA_DIR` and `CAS_CODEX` change.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

fn vendored() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schema")
}

/// The schema that a codex wrote for the build script.
fn of_codex(name: &str) -> Option<PathBuf> {
    option_env!("CAS_CODEX")
        .filter(|path| !path.is_empty())
        .map(|_| Path::new(env!("OUT_DIR")).join(name))
}

fn of_dir() -> Option<PathBuf> {
    option_env!("CAS_SCHEMA_DIR")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn bundle_in(dir: &Path) -> Value {
    let text = read(&dir.join("codex_app_server_protocol.schemas.json"));
    serde_json::from_str(&text).expect("the schema is JSON")
}

pub(crate) fn bundle() -> Value {
    let dir = of_codex("codex-schema").or_else(of_dir);
    bundle_in(&dir.unwrap_or_else(vendored))
}

/// The methods that do not need `experimentalApi`.
pub(crate) fn stable_methods() -> BTreeSet<String> {
    if let Some(dir) = of_codex("codex-schema-stable") {
        let bundle = bundle_in(&dir);
        let groups = ["ClientRequest", "ServerRequest", "ServerNotification"];
        let variants = groups.iter().flat_map(|group| {
            let variants = bundle["definitions"][group]["oneOf"].as_array();
            variants.expect("the bundle lists its methods")
        });
        return variants
            .filter_map(|variant| variant["properties"]["method"]["enum"][0].as_str())
            .map(String::from)
            .collect();
    }
    let own = of_dir().map(|dir| dir.join("stable-methods.txt"));
    let list = own.filter(|path| path.is_file());
    read(&list.unwrap_or_else(|| vendored().join("stable-methods.txt")))
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(String::from)
        .collect()
}

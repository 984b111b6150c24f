//! Generates the protocol types from the schema (see `codegen/mod.rs`), and the summary that
//! `schema::drift` compares.

#[path = "codegen/mod.rs"]
mod codegen;
#[path = "src/schema/summary.rs"]
mod summary;

use std::{env, error::Error, fs, path::PathBuf};

const BUNDLE: &str = "codex_app_server_protocol.schemas.json";

fn main() {
    if let Err(error) = codegen::build() {
        println!("cargo::error={error}");
        std::process::exit(1);
    }
    if let Err(error) = write_summary() {
        println!("cargo::error=the schema cannot be listed: {error}");
        std::process::exit(1);
    }
}

/// Reads the bundle that the types were generated from.
fn write_summary() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=src/schema/summary.rs");
    let dir = |variable| {
        env::var_os(variable)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let out = dir("OUT_DIR").ok_or("OUT_DIR is not set")?;
    let bundle = match (dir("CAS_CODEX"), dir("CAS_SCHEMA_DIR")) {
        (Some(_), _) => out.join("codex-schema"),
        (None, Some(dir)) => dir,
        (None, None) => dir("CARGO_MANIFEST_DIR")
            .ok_or("CARGO_MANIFEST_DIR is not set")?
            .join("schema"),
    };
    let bundle = serde_json::from_slice(&fs::read(bundle.join(BUNDLE))?)?;
    let summary = summary::summarise(&bundle)?;
    fs::write(out.join("summary.txt"), summary::write(&summary))?;
    Ok(())
}

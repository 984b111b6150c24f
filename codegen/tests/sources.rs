//! Wrong schemas and binaries that are not codex: each has a readable error.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::source::{BUNDLE, Source, Wish};

const VENDORED: &str = include_str!("../../schema/codex_app_server_protocol.schemas.json");

fn refused(wish: &Wish) -> String {
    let out = TempDir::new().unwrap();
    match Source::choose(wish, Path::new(env!("CARGO_MANIFEST_DIR")), out.path()) {
        Ok(source) => panic!("{} was taken", source.origin),
        Err(error) => error.to_string(),
    }
}

/// The error for a directory with this bundle.
fn of_bundle(text: &str) -> String {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join(BUNDLE), text).unwrap();
    of_dir(dir.path())
}

fn of_dir(dir: &Path) -> String {
    let error = refused(&Wish {
        dir: Some(dir.to_owned()),
        ..Wish::default()
    });
    assert!(error.starts_with("CAS_SCHEMA_DIR="), "{error}");
    error
}

/// The bundle without the methods that `keep` does not want.
fn with_methods(keep: impl Fn(&str) -> bool) -> String {
    let mut bundle: Value = serde_json::from_str(VENDORED).unwrap();
    for group in ["ClientRequest", "ServerNotification", "ServerRequest"] {
        let methods = bundle["definitions"][group]["oneOf"]
            .as_array_mut()
            .unwrap();
        methods.retain(|method| keep(method["properties"]["method"]["enum"][0].as_str().unwrap()));
    }
    bundle.to_string()
}

#[test]
fn a_directory_without_a_whole_bundle_is_reported_with_the_command_that_writes_one() {
    let remedy = "generate-json-schema --experimental --out";
    let dir = TempDir::new().unwrap();
    let missing = of_dir(dir.path());
    assert!(
        missing.contains(BUNDLE) && missing.contains(remedy),
        "{missing}"
    );
    let nowhere = of_dir(Path::new("/nonexistent/schema"));
    assert!(
        nowhere.contains("No such file") && nowhere.contains(remedy),
        "{nowhere}"
    );
    let torn = of_bundle(&VENDORED[..VENDORED.len() / 2]);
    assert!(torn.contains("is torn") && torn.contains(remedy), "{torn}");
    let nonsense = of_bundle("<html>");
    assert!(
        nonsense.contains("is not JSON") && nonsense.contains(remedy),
        "{nonsense}"
    );
}

#[test]
fn the_stable_api_alone_is_refused_and_so_is_a_codex_before_the_oldest() {
    let stable = include_str!("../../schema/stable-methods.txt");
    let is_stable = |method: &str| stable.lines().any(|line| line == method);
    let alone = of_bundle(&with_methods(is_stable));
    assert!(
        alone.contains("the stable API only") && alone.contains("--experimental"),
        "{alone}"
    );
    let since = [
        "mcpServer/event/stream/start",
        "thread/realtime/item/completed",
        "thread/timeline/list",
    ];
    let old = of_bundle(&with_methods(|method| !since.contains(&method)));
    assert!(old.contains("before 0.150.0"), "{old}");
}

#[test]
fn json_that_is_no_bundle_is_refused_by_what_it_lacks() {
    for (text, lacks) in [
        (json!({}), "`definitions`"),
        (json!({ "definitions": { "Thing": {} } }), "`ClientRequest`"),
        (json!([1]), "`definitions`"),
    ] {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join(BUNDLE), text.to_string()).unwrap();
        let wish = Wish {
            dir: Some(dir.path().to_owned()),
            ..Wish::default()
        };
        let out = TempDir::new().unwrap();
        let source =
            Source::choose(&wish, Path::new(env!("CARGO_MANIFEST_DIR")), out.path()).unwrap();
        let error = super::super::generate(&source, out.path())
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains(lacks) && error.starts_with("CAS_SCHEMA_DIR="),
            "{error}"
        );
    }
}

fn script(dir: &TempDir, text: &str) -> PathBuf {
    let path = dir.path().join("codex");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn of_codex(text: &str, limit: Duration) -> String {
    let dir = TempDir::new().unwrap();
    let codex = script(&dir, text);
    let error = refused(&Wish {
        codex: Some(codex),
        limit,
        ..Wish::default()
    });
    assert!(
        error.contains("codex app-server generate-json-schema --out "),
        "{error}"
    );
    error
}

#[test]
fn a_codex_that_fails_hangs_or_writes_nothing_is_reported_with_its_output_and_the_command() {
    let long = Duration::from_secs(60);
    let fails = of_codex("echo no such command >&2; exit 3", long);
    assert!(fails.contains("exit status: 3: no such command"), "{fails}");
    let nothing = of_codex("echo done >&2", long);
    assert!(
        nothing.contains("it wrote no codex_app_server") && nothing.contains("it said: done"),
        "{nothing}"
    );
    let hangs = of_codex(
        "echo thinking >&2; exec sleep 600",
        Duration::from_millis(300),
    );
    assert!(
        hangs.contains("did not end within 300ms and was killed; it said: "),
        "{hangs}"
    );
    let wish = Wish {
        codex: Some("/nonexistent/codex".into()),
        limit: long,
        ..Wish::default()
    };
    let missing = refused(&wish);
    assert!(
        missing.contains("it cannot be run: No such file"),
        "{missing}"
    );
    let both = refused(&Wish {
        dir: Some("/x".into()),
        ..wish
    });
    assert!(both.contains("are both set"), "{both}");
}

#[test]
fn the_bundle_of_an_earlier_codex_is_not_taken_for_a_later_ones() {
    let dir = TempDir::new().unwrap();
    let out = TempDir::new().unwrap();
    for name in ["codex-schema", "codex-schema-stable"] {
        fs::create_dir(out.path().join(name)).unwrap();
        fs::write(out.path().join(name).join(BUNDLE), VENDORED).unwrap();
    }
    let wish = Wish {
        codex: Some(script(&dir, "exit 0")),
        limit: Duration::from_secs(60),
        ..Wish::default()
    };
    let error = Source::choose(&wish, Path::new(env!("CARGO_MANIFEST_DIR")), out.path())
        .err()
        .unwrap();
    assert!(error.to_string().contains("it wrote no"), "{error}");
}

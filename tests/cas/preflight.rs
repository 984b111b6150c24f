//! `cas preflight` and its exits.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use serde_json::Value;
use tokio::process::Command;

use crate::common::{Rig, within};

async fn preflight(codex: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let cache = tempfile::tempdir().unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_cas"))
        .arg("preflight")
        .arg("--codex")
        .arg(codex)
        .args(args)
        .env("CAS_SDK_CACHE", cache.path())
        .kill_on_drop(true)
        .output();
    let output = within(60, run).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// A codex whose schema is the real one's, with something taken away.
fn older(rig: &Rig, dir: &Path, edit: &str) -> std::path::PathBuf {
    let path = dir.join("codex");
    let script = format!(
        "#!/bin/sh\n'{}' \"$@\" || exit\nfor last; do :; done\nsed -i '{edit}' \"$last\"/codex_app_server_protocol.schemas.json\n",
        rig.codex().display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
#[cfg_attr(
    foreign_schema,
    ignore = "the codex of the tests is of the schema in the repository"
)]
async fn a_codex_that_has_all_exits_with_0_and_one_that_lacks_something_with_1() {
    let Some(rig) = Rig::new().await else { return };
    let (code, out, _) = preflight(rig.codex(), &["--profile", "core", "--profile", "all"]).await;
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("needs are met"), "{out}");

    let dir = tempfile::tempdir().unwrap();
    let codex = older(&rig, dir.path(), "s#\"turn/steer\"#\"turn/steerNow\"#");
    let (code, out, _) = preflight(&codex, &[]).await;
    assert_eq!(code, Some(1), "{out}");
    assert!(
        out.contains("turn/steer is missing; it may now be turn/steerNow"),
        "{out}"
    );
    let (code, out, _) = preflight(&codex, &["--json"]).await;
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["ok"]), (Some(1), &Value::Bool(false)));
    assert_eq!(report["unmet"][0]["need"], "turn/steer");
    assert_eq!(report["unmet"][0]["renamedTo"], "turn/steerNow");
    let (code, out, _) = preflight(&codex, &["--profile", "goals"]).await;
    assert_eq!(code, Some(0), "another profile does not need it: {out}");
}

#[tokio::test]
async fn a_codex_that_cannot_be_asked_exits_with_1() {
    let (code, _, err) = preflight(Path::new("/nonexistent/codex"), &[]).await;
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("/nonexistent/codex"), "{err}");
    let (code, out, _) = preflight(Path::new("/bin/false"), &["--json"]).await;
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["ok"]), (Some(1), &Value::Null));
    assert!(
        report["error"].as_str().unwrap().contains("/bin/false"),
        "{report}"
    );
}

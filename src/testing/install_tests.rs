//! An installation against a fake npm: a shell script that notes that it ran.

use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;
use tokio::task::JoinSet;

use super::*;

/// A directory with a cache and an npm that runs `script` with `$bin` set to where the binary
/// belongs.
fn with_npm(script: &str) -> (TempDir, Install) {
    let root = tempfile::tempdir().unwrap();
    let mut install = Install::new(root.path().join("cache")).unwrap();
    let npm = root.path().join("npm");
    let text = format!(
        "#!/bin/sh\necho run >> {root}/runs\nbin=\"$3/{binary}\"\n{script}\n",
        root = root.path().display(),
        binary = install.binary().display(),
    );
    // Written by another process: an executable that this one has open for writing can't be run
    // while a parallel test forks.
    let written = std::process::Command::new("sh")
        .args([
            "-c",
            "printf %s \"$1\" > \"$2\" && chmod +x \"$2\"",
            "sh",
            &text,
        ])
        .arg(&npm)
        .status();
    assert!(written.unwrap().success());
    install.npm = Some(npm);
    (root, install)
}

const WORKS: &str = "mkdir -p \"$(dirname \"$bin\")\"\nprintf '#!/bin/sh\\necho codex-cli 0.171.0\\n' > \"$bin\"\nchmod +x \"$bin\"";

fn runs(root: &TempDir) -> usize {
    fs::read_to_string(root.path().join("runs")).map_or(0, |text| text.lines().count())
}

fn directories(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap().map(Result::unwrap);
    let directories = entries.filter(|entry| entry.path().is_dir());
    directories
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect()
}

#[tokio::test]
async fn many_at_once_install_once_and_all_get_the_binary() {
    let (root, install) = with_npm(&format!("sleep 0.2\n{WORKS}"));
    let mut all = JoinSet::new();
    for _ in 0..8 {
        let install = install.clone();
        all.spawn(async move { install.run().await.unwrap() });
    }
    let paths = all.join_all().await;
    assert!(paths.iter().all(|path| *path == paths[0]));
    assert!(paths[0].metadata().unwrap().permissions().mode() & 0o100 != 0);
    assert_eq!(runs(&root), 1);
}

#[tokio::test]
async fn the_output_of_npm_is_in_the_error_and_nothing_is_left() {
    let (_root, install) = with_npm("echo npm error network unreachable >&2\nexit 7");
    let error = install.run().await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, FetchError::Npm { .. }), "{text}");
    assert!(text.contains("npm error network unreachable"), "{text}");
    assert!(text.contains("CAS_TEST_CODEX"), "{text}");
    assert_eq!(directories(&install.cache), [""; 0]);
}

#[tokio::test]
async fn an_npm_that_hangs_is_given_up() {
    let (_root, mut install) = with_npm("exec sleep 1000");
    install.deadline = Duration::from_millis(200);
    let error = install.run().await.unwrap_err();
    assert!(matches!(error, FetchError::Timeout { .. }), "{error}");
    assert_eq!(directories(&install.cache), [""; 0]);
}

#[tokio::test]
async fn a_binary_of_another_version_is_refused() {
    let (_root, install) = with_npm(&WORKS.replace("0.171.0", "0.1.0"));
    let error = install.run().await.unwrap_err();
    assert!(
        error.to_string().contains("it is codex 0.1.0, not 0.171.0"),
        "{error}"
    );
    assert_eq!(directories(&install.cache), [""; 0]);
}

#[tokio::test]
async fn leftovers_of_a_killed_fetch_and_a_damaged_installation_are_replaced() {
    let (root, install) = with_npm(WORKS);
    let binary = install.run().await.unwrap();
    fs::remove_file(&binary).unwrap();
    let name = directories(&install.cache).remove(0);
    fs::create_dir(install.cache.join(format!("{name}.unfinished-abc"))).unwrap();
    assert_eq!(install.run().await.unwrap(), binary);
    assert_eq!(directories(&install.cache), [name]);
    assert_eq!(runs(&root), 2);
}

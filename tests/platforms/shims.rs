//! Programs that are command scripts, as npm installs them on Windows.

use std::fs;

use serde_json::{Value, json};

use crate::{
    ends::{builder, within},
    roll::Roll,
};

/// A `codex.cmd` that starts the fake in the way of npm's: with all arguments, waiting for its end.
fn script(dir: &std::path::Path) -> std::path::PathBuf {
    let this = std::env::current_exe().unwrap();
    let path = dir.join("codex.cmd");
    let text = format!("@ECHO off\r\n\"{}\" %*\r\n", this.display());
    fs::write(&path, text).unwrap();
    path
}

pub fn a_command_script_is_ended_with_what_it_starts() {
    within(async {
        for mode in ["", "deaf"] {
            let dir = tempfile::tempdir().unwrap();
            let roll = Roll::new();
            let client = builder(&roll.address, mode)
                .codex(script(dir.path()))
                .spawn()
                .await
                .unwrap();
            let params = json!({"sort": "plain"});
            let _: Value = client.call("fake/child", &params).await.unwrap();
            roll.wait_for(&["server", "plain"]);
            client.shutdown().await;
            roll.all_gone();
        }
    });
}

pub fn arguments_reach_a_command_script_whole() {
    within(async {
        let dir = tempfile::tempdir().unwrap();
        let roll = Roll::new();
        // NB. No percent signs: the standard library hides them from the `cmd` of Windows, but not from that of Wine.
        let odd = ["a b", "key=\"v\"", "x & y", "trailing\\"];
        let mut builder = builder(&roll.address, "").codex(script(dir.path()));
        for arg in odd {
            builder = builder.arg(arg);
        }
        let client = builder.spawn().await.unwrap();
        let args: Vec<String> = client.call("fake/args", &json!({})).await.unwrap();
        assert!(args.ends_with(&odd.map(str::to_owned)), "{args:?}");
        client.shutdown().await;
    });
}

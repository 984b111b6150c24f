//! What is done without an agent: commands, files, search, MCP.

use std::time::Duration;

use cas_sdk::{
    host::ExecEvent,
    protocol::{McpServerConnectionStatus, ThreadStartParams},
};
use serde_json::json;

use crate::common::{Rig, codex_test, eventually, is_alive, within};

#[tokio::test]
async fn a_command_runs_to_its_end_and_one_that_takes_too_long_is_ended() {
    codex_test(60, async |rig| {
        let client = rig.client().await;
        let done = client
            .exec(["sh", "-c", "echo out; echo err >&2; echo $WHO; exit 3"])
            .env("WHO", "me")
            .cwd(rig.home.work_dir())
            .await
            .unwrap();
        assert_eq!(
            (done.exit_code, done.stdout.as_str(), done.stderr.as_str()),
            (3, "out\nme\n", "err\n")
        );
        let slow = client
            .exec(["sleep", "600"])
            .timeout(Duration::from_millis(300))
            .await
            .unwrap();
        assert!(slow.timed_out() && !slow.success(), "{slow:?}");
        let cut = client
            .exec(["sh", "-c", "yes | head -c 5000"])
            .output_limit(100)
            .await
            .unwrap();
        assert!(cut.stdout.len() <= 200, "{}", cut.stdout.len());
        // The sandbox of the configuration is read-only.
        let file = rig.home.work_dir().join("new");
        let refused = client
            .exec(["touch", file.to_str().unwrap()])
            .await
            .unwrap();
        assert!(!refused.success() && !file.exists(), "{refused:?}");
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_process_is_read_written_and_ended_while_it_runs() {
    codex_test(60, async |rig| {
        let client = rig.client().await;
        let mut cat = client.exec(["cat"]).no_timeout().spawn();
        cat.write("hello\n").await.unwrap();
        assert_eq!(
            cat.next().await.unwrap().unwrap(),
            ExecEvent::Stdout(b"hello\n".to_vec())
        );
        cat.write([0xff, 0]).await.unwrap();
        cat.close_stdin().await.unwrap();
        assert_eq!(
            cat.next().await.unwrap().unwrap(),
            ExecEvent::Stdout(vec![0xff, 0])
        );
        let ExecEvent::Exited(done) = cat.next().await.unwrap().unwrap() else {
            panic!("it has exited")
        };
        assert!(done.success());
        assert!(cat.next().await.is_none());
        assert!(cat.write("x").await.is_err());

        let many = client
            .exec(["sh", "-c", "seq 20000"])
            .spawn()
            .wait()
            .await
            .unwrap();
        assert!(many.stdout.ends_with("19999\n20000\n") && many.stdout.starts_with("1\n2\n"));

        let mut terminal = client
            .exec(["sh", "-c", "stty size; read x; stty size"])
            .tty(80, 24)
            .spawn();
        let mut said = String::new();
        while !said.contains("24 80") {
            if let ExecEvent::Stdout(bytes) = terminal.next().await.unwrap().unwrap() {
                said.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
        terminal.resize(100, 30).await.unwrap();
        terminal.write("\n").await.unwrap();
        assert!(terminal.wait().await.unwrap().stdout.contains("30 100"));

        let ended = client.exec(["sleep", "600"]).no_timeout().spawn();
        ended.terminate().await.unwrap();
        assert_eq!(ended.wait().await.unwrap().exit_code, 137);

        // One that is dropped lives on in nobody.
        let mut dropped = client
            .exec(["sh", "-c", "echo $$; sleep 600"])
            .no_timeout()
            .sandbox_policy(serde_json::from_value(json!({"type": "dangerFullAccess"})).unwrap())
            .spawn();
        let ExecEvent::Stdout(pid) = dropped.next().await.unwrap().unwrap() else {
            panic!("its pid")
        };
        let pid: u32 = String::from_utf8(pid).unwrap().trim().parse().unwrap();
        assert!(is_alive(pid));
        drop(dropped);
        eventually("it has ended", || !is_alive(pid)).await;
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn files_are_written_read_listed_searched_and_watched() {
    codex_test(60, async |rig| {
        let client = rig.client().await;
        let (fs, dir) = (client.fs(), rig.home.work_dir());
        let file = dir.join("deep/er/note.txt");
        fs.create_dir_all(dir.join("deep/er")).await.unwrap();
        fs.write(&file, b"\xff\x00note").await.unwrap();
        assert_eq!(fs.read(&file).await.unwrap(), b"\xff\x00note");
        assert!(fs.metadata(&file).await.unwrap().is_file);
        let names: Vec<_> = fs
            .list(dir.join("deep/er"))
            .await
            .unwrap()
            .into_iter()
            .map(|e| e.file_name)
            .collect();
        assert_eq!(names, ["note.txt"]);
        let found = client.search_files("note", [&dir]).await.unwrap();
        assert_eq!(found[0].file_name, "note.txt", "{found:?}");
        let mut watch = fs.watch(dir.join("deep/er")).await.unwrap();
        fs.write(dir.join("deep/er/other.txt"), "x").await.unwrap();
        let changed = watch.next().await.unwrap().unwrap();
        assert!(
            changed.iter().any(|path| path.ends_with("other.txt")),
            "{changed:?}"
        );
        drop(watch);
        assert!(
            fs.remove(dir.join("deep")).await.is_err(),
            "it is not empty"
        );
        fs.remove(&file).await.unwrap();
        fs.remove_dir_all(dir.join("deep")).await.unwrap();
        assert!(!dir.join("deep").exists());
        assert!(
            fs.read(&file)
                .await
                .unwrap_err()
                .to_string()
                .contains("No such file")
        );
        assert!(fs.read("relative").await.is_err());
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn mcp_servers_are_waited_for_and_their_tools_called() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/handlers/tiny_mcp.sh");
    let rig = Rig::with(|home| {
        home.mcp_server("tiny", "sh", [script])
            .mcp_server("broken", "/bin/false", [""; 0])
    })
    .await;
    let Some(rig) = rig else { return };
    within(60, async {
        let client = rig.client().await;
        let thread = client
            .start_thread(ThreadStartParams::default())
            .await
            .unwrap();
        let servers = thread
            .await_mcp_ready(Duration::from_secs(30))
            .await
            .unwrap();
        let status = |name: &str| {
            servers
                .iter()
                .find(|s| s.name == name)
                .unwrap()
                .runtime_status
                .clone()
        };
        assert_eq!(
            status("tiny"),
            Some(McpServerConnectionStatus::Connected),
            "{servers:?}"
        );
        assert_eq!(
            status("broken"),
            Some(McpServerConnectionStatus::Failed),
            "{servers:?}"
        );
        let called = thread.call_mcp_tool("tiny", "rw", json!({})).await.unwrap();
        assert_ne!(called.is_error, Some(true), "{called:?}");
        let error = thread
            .call_mcp_tool("nobody", "rw", json!({}))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("nobody"), "{error}");
        client.shutdown().await;
    })
    .await;
}

//! The real TUI in a terminal, on a session that this program serves.

use std::{
    process::{Command, Output},
    time::{Duration, Instant},
};

use cas_sdk::{Endpoint, protocol::ThreadStartParams, testing::Reply};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{
    common::{Rig, within},
    listener::socket,
};

/// A terminal of its own, in a tmux of its own.
struct Terminal {
    dir: TempDir,
}

impl Terminal {
    /// `None`, said loudly, where there is no tmux.
    fn new() -> Option<Self> {
        let found = Command::new("tmux").arg("-V").output();
        if found.is_ok_and(|output| output.status.success()) {
            return Some(Self {
                dir: tempfile::tempdir().unwrap(),
            });
        }
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        // Around the harness, which captures what tests that pass have printed.
        let text = format!("cas-sdk: SKIPPED {test}: no tmux to run the TUI in\n");
        let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
        None
    }

    fn tmux(&self, args: &[&str]) -> Output {
        Command::new("tmux")
            .arg("-S")
            .arg(self.dir.path().join("tmux"))
            .args(["-f", "/dev/null"])
            .args(args)
            .output()
            .unwrap()
    }

    /// Starts a program in the environment of the rig.
    fn run(&self, rig: &Rig, args: &[&str]) {
        let mut command = vec!["env".to_owned(), "-i".into(), "TERM=xterm-256color".into()];
        for (name, value) in rig.home.env() {
            command.push(format!("{}={}", name.to_str().unwrap(), value.to_str().unwrap()));
        }
        command.push(rig.codex().to_str().unwrap().to_owned());
        command.extend(args.iter().map(|arg| (*arg).to_owned()));
        let dir = rig.home.work_dir();
        let mut all = vec!["new-session", "-d", "-x", "120", "-y", "40", "-c", dir.to_str().unwrap(), "--"];
        all.extend(command.iter().map(String::as_str));
        let started = self.tmux(&all);
        assert!(started.status.success(), "{started:?}");
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p"]).stdout).into_owned()
    }

    async fn shows(&self, text: &str) {
        let begun = Instant::now();
        loop {
            let screen = self.screen();
            if screen.contains(text) {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "no {text:?} in:\n{screen}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn enter(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
        self.shows(text).await;
        // The TUI takes keys that come at once for a paste, in which Enter ends nothing.
        sleep(Duration::from_millis(500)).await;
        self.tmux(&["send-keys", "Enter"]);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

#[tokio::test]
async fn the_users_tui_joins_a_session_that_a_program_serves_and_both_see_everything() {
    let Some(rig) = Rig::new().await else { return };
    let Some(terminal) = Terminal::new() else { return };
    within(180, async {
        let config = rig.home.path().join("config.toml");
        let mut text = std::fs::read_to_string(&config).unwrap();
        let dir = rig.home.work_dir().canonicalize().unwrap();
        text.push_str(&format!("\n[projects.{dir:?}]\ntrust_level = \"trusted\"\n"));
        std::fs::write(&config, text).unwrap();

        let client = rig.builder().serve(Endpoint::unix(socket(&rig))).await.unwrap();
        let thread = client.start_thread(ThreadStartParams::default()).await.unwrap();
        rig.model.reply(Reply::text("this was before"));
        thread.ask("begin").await.unwrap().finish().await.unwrap();

        let address = format!("unix://{}", socket(&rig).display());
        terminal.run(&rig, &["resume", thread.id(), "--remote", &address]);
        terminal.shows("this was before").await;

        rig.model.reply(Reply::text("said to the program"));
        thread.ask("the program asks").await.unwrap().finish().await.unwrap();
        terminal.shows("the program asks").await;
        terminal.shows("said to the program").await;

        let mut events = thread.events();
        rig.model.reply(Reply::text("said to the user"));
        terminal.enter("the user asks").await;
        terminal.shows("said to the user").await;
        let mut told = String::new();
        loop {
            let event = events.next().await.unwrap().unwrap();
            let params: Value = serde_json::from_str(event.params()).unwrap();
            match event.method() {
                "item/completed" => told.push_str(&params["item"].to_string()),
                "turn/completed" => break,
                _ => {}
            }
        }
        assert!(told.contains("the user asks") && told.contains("said to the user"), "{told}");
        client.shutdown().await;
    })
    .await;
}

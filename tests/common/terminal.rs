//! The real TUI, or another program, in a terminal of its own, by tmux.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::time::sleep;

use crate::common::Rig;

/// A terminal in its own tmux server.
pub(crate) struct Terminal {
    dir: TempDir,
}

impl Terminal {
    /// Starts a terminal. `None`, with a note on stderr, if there is no tmux.
    pub(crate) fn new() -> Option<Self> {
        let found = Command::new("tmux").arg("-V").output();
        if found.is_ok_and(|output| output.status.success()) {
            return Some(Self {
                dir: tempfile::tempdir().unwrap(),
            });
        }
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        // Bypasses the test harness, which captures the output of tests that pass.
        let note = format!("cas-sdk: SKIPPED {test}: no tmux to run the TUI in\n");
        let _ = std::io::Write::write_all(&mut std::io::stderr(), note.as_bytes());
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

    /// Starts codex in the environment of the rig, and in its directory, which is made one that the
    /// user trusts.
    pub(crate) fn run(&self, rig: &Rig, args: &[&str]) {
        let config = rig.home.path().join("config.toml");
        let mut text = std::fs::read_to_string(&config).unwrap();
        let dir = rig.home.work_dir().canonicalize().unwrap();
        let table = format!("[projects.\"{}\"]", dir.display());
        if !text.contains(&table) {
            text = format!("{text}\n{table}\ntrust_level = \"trusted\"\n");
            std::fs::write(&config, text).unwrap();
        }
        let mut command = vec!["env".to_owned(), "-i".into(), "TERM=xterm-256color".into()];
        for (name, value) in rig.home.env() {
            command.push(format!(
                "{}={}",
                name.to_str().unwrap(),
                value.to_str().unwrap()
            ));
        }
        command.push(rig.codex().to_str().unwrap().to_owned());
        command.extend(args.iter().map(|arg| (*arg).to_owned()));
        self.start(&rig.home.work_dir(), (120, 40), &command);
    }

    /// Starts a command in a directory, on a screen of so many columns and rows.
    pub(crate) fn start(&self, dir: &Path, (columns, rows): (u16, u16), command: &[String]) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let mut all = vec!["new-session", "-d", "-x", &columns, "-y", &rows];
        all.extend(["-c", dir.to_str().unwrap(), "--"]);
        all.extend(command.iter().map(String::as_str));
        let started = self.tmux(&all);
        assert!(started.status.success(), "{started:?}");
    }

    /// The text on the screen.
    pub(crate) fn screen(&self) -> String {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p"]).stdout).into_owned()
    }

    /// The same with the escape sequences of its colours.
    pub(crate) fn screen_with_colours(&self) -> String {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p", "-e"]).stdout).into_owned()
    }

    /// Presses a key, by tmux's name of it.
    pub(crate) fn key(&self, name: &str) {
        self.tmux(&["send-keys", name]);
    }

    /// Types a text, and no Enter.
    pub(crate) fn text(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
    }

    /// Pastes a text, marked as pasted if the program wants that.
    pub(crate) fn paste(&self, text: &str) {
        self.tmux(&["set-buffer", text]);
        self.tmux(&["paste-buffer", "-p"]);
    }

    /// Writes all that the program writes from now on into a file.
    #[allow(dead_code, reason = "not every test binary looks at it")]
    pub(crate) fn record(&self, file: &Path) {
        self.tmux(&["pipe-pane", "-o", &format!("cat > '{}'", file.display())]);
    }

    /// Gives the screen another size.
    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        self.tmux(&["resize-window", "-x", &columns, "-y", &rows]);
    }

    /// The device of the terminal.
    pub(crate) fn device(&self) -> String {
        let out = self.tmux(&["display-message", "-p", "#{pane_tty}"]);
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    /// Waits until a text is on the screen.
    pub(crate) async fn shows(&self, text: &str) {
        let begun = Instant::now();
        loop {
            let screen = self.screen();
            if screen.contains(text) {
                return;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "no {text:?} in:\n{screen}"
            );
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Types a line.
    pub(crate) async fn enter(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
        self.shows(text).await;
        // The TUI treats keys that arrive at once as a paste, in which Enter does not submit.
        sleep(Duration::from_millis(500)).await;
        self.tmux(&["send-keys", "Enter"]);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

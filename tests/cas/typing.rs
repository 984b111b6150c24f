//! What is typed in `cas attach`, while other things are shown.

use std::{process::Command, sync::Arc};

use cas_sdk::testing::{Gate, Reply};

use crate::{
    common::{codex_test, codex_test_with, eventually, scenes::asks_for_approval, within},
    screens::{shown, start, words},
    tmux::Terminal,
    watch::{attached, served},
};

/// What a terminal would obey.
const EVIL: &str = "\x1b[2J\x1b]0;title\x07\r\u{202e}";
const SHOWN: &str = "^[[2J^[]0;title^G^M<U+202E>";

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_typed_stays_whole_below_what_streams() {
    codex_test(180, async |rig| {
        let Some(terminal) = Terminal::new() else {
            return;
        };
        within(180, async {
            let (owner, thread) = attached(&rig, &terminal, 40).await;
            let gates: Vec<Gate> = (0..3).map(|_| Gate::new()).collect();
            let wide = "日本語".repeat(12);
            let reply = Reply::new()
                .delta("it begins, ")
                .hold(&gates[0])
                .delta(format!("goes on {EVIL} and on "))
                .hold(&gates[1])
                .delta(format!("{wide} "))
                .hold(&gates[2])
                .delta("and ends.");
            rig.model.reply(reply);
            let turn = thread.ask("go").await.unwrap();
            terminal.shows("it begins,").await;
            terminal.text("a wrong qestion");
            terminal.shows("> a wrong qestion").await;
            gates[0].open();
            terminal.shows("and on").await;
            let lines = shown(&terminal);
            assert_eq!(lines.last().unwrap(), "> a wrong qestion", "{lines:?}");
            for _ in 0.."estion".len() {
                terminal.key("Left");
            }
            terminal.text("u");
            terminal.shows("> a wrong question").await;
            gates[1].open();
            terminal.shows("日本語日").await;
            for key in ["C-a", "Delete", "Delete", "C-e"] {
                terminal.key(key);
            }
            terminal.text("? 日本");
            terminal.key("BSpace");
            eventually("it is edited", || {
                shown(&terminal).last().unwrap() == "> wrong question? 日"
            })
            .await;
            gates[2].open();
            turn.finish().await.unwrap();
            terminal.shows("the turn is completed").await;
            let lines = shown(&terminal);
            assert_eq!(lines.last().unwrap(), "> wrong question? 日", "{lines:?}");
            let all = lines.concat();
            let message = format!("it begins, goes on {SHOWN} and on {wide} and ends.");
            let squeezed = |text: &str| text.replace(' ', "");
            assert!(squeezed(&all).contains(&squeezed(&message)), "{lines:?}");
            assert_eq!(all.matches("question").count(), 1, "{lines:?}");

            // On another screen, and then it is sent.
            terminal.resize(25, 40);
            eventually("it is drawn anew", || {
                shown(&terminal).last().unwrap() == "> wrong question? 日"
            })
            .await;
            rig.model.next_request().await;
            rig.model.reply(Reply::text("an answer"));
            terminal.key("Enter");
            terminal.shows("an answer").await;
            let request = rig.model.next_request().await;
            assert!(request.prompts().contains(&"wrong question? 日"));
            // More than one line is one message, if it is pasted.
            rig.model.reply(Reply::text("another answer"));
            terminal.paste("two\nlines");
            terminal.shows("two^Jlines").await;
            terminal.key("Enter");
            terminal.shows("another answer").await;
            let request = rig.model.next_request().await;
            assert!(request.prompts().contains(&"two\nlines"));
            terminal.key("C-d");
            terminal.shows("exit 0").await;
            assert!(!terminal.screen().contains("\n> \n"), "it is taken away");
            owner.shutdown().await;
        })
        .await;
    })
    .await;
}

/// The process of this command line.
fn pid_of(command: &str) -> i32 {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let mut pids = all.filter_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let pid = entry.file_name().to_str()?.parse().ok()?;
        (line.trim() == command).then_some(pid)
    });
    pids.next().expect("it runs")
}

/// How a terminal is set, in the words of `stty`.
fn modes(terminal: &Terminal) -> String {
    let out = Command::new("stty")
        .args(["-a", "-F", &terminal.device()])
        .output()
        .unwrap();
    String::from_utf8(out.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_is_as_it_was_however_attach_ends() {
    codex_test_with(asks_for_approval, 180, async |rig| {
        within(180, async {
            let (owner, thread) = served(&rig, &Arc::default()).await;
            let command = format!("{} attach {}", env!("CARGO_BIN_EXE_cas"), thread.id());
            let signal = |signal| {
                let pid = rustix::process::Pid::from_raw(pid_of(&command)).unwrap();
                rustix::process::kill_process(pid, signal).unwrap();
            };
            for (how, status) in [
                ("C-c", 0),
                ("C-d", 0),
                ("TERM", 143),
                ("HUP", 129),
                ("stuck", 143),
            ] {
                let Some(terminal) = Terminal::new() else {
                    return;
                };
                // The modes are looked at before, and by the shell after.
                start(&terminal, &rig, 100, &[], &["attach", thread.id()]);
                terminal.shows("idle").await;
                let during = modes(&terminal);
                assert!(
                    during.contains("-icanon") && during.contains("-echo "),
                    "{during}"
                );
                match how {
                    "TERM" => {
                        terminal.text("half a line");
                        terminal.shows("half a line").await;
                        signal(rustix::process::Signal::TERM);
                    }
                    "HUP" => signal(rustix::process::Signal::HUP),
                    // The terminal takes nothing, so that a write waits.
                    "stuck" => {
                        terminal.key("C-s");
                        terminal.text("x");
                        signal(rustix::process::Signal::TERM);
                        eventually("it ends", || modes(&terminal).contains(" icanon")).await;
                        terminal.key("C-q");
                    }
                    key => terminal.key(key),
                }
                terminal.shows(&format!("exit {status}")).await;
                let after = modes(&terminal);
                let is_set = |mode: &str| after.split([' ', ';', '\n']).any(|one| one == mode);
                for mode in ["icanon", "echo", "iexten", "isig", "opost"] {
                    assert!(is_set(mode), "{how}: {mode} in {after}");
                }
                assert!(after.contains("quit = ^\\"), "{how}: {after}");
                let screen = terminal.screen();
                assert!(!screen.contains("half a line"), "{screen}");
            }
            owner.shutdown().await;
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_z_gives_the_terminal_back_until_attach_goes_on() {
    codex_test(120, async |rig| {
        let Some(terminal) = Terminal::new() else {
            return;
        };
        within(120, async {
            let (owner, thread) = served(&rig, &Arc::default()).await;
            rig.model.next_request().await;
            let mut command = words(&rig, &[]);
            // The simplest shell leaves the terminal as the program leaves it.
            command.extend(["sh", "-i"].map(str::to_owned));
            terminal.start(&rig.home.work_dir(), (160, 40), &command);
            terminal.enter("PS1='ready: '").await;
            let attach = format!("{} attach {}", env!("CARGO_BIN_EXE_cas"), thread.id());
            terminal.enter(&attach).await;
            terminal.shows("idle").await;
            terminal.text("half a line");
            terminal.shows("> half a line").await;
            terminal.key("C-z");
            terminal.shows("Stopped").await;
            eventually("the line is taken away", || {
                !terminal.screen().contains("half a line")
            })
            .await;
            terminal.enter("stty -a | tr ';' ' '").await;
            terminal.shows(" icanon ").await;
            rig.model.reply(Reply::text("said meanwhile"));
            let turn = thread.ask("go").await.unwrap();
            turn.finish().await.unwrap();
            terminal.enter("fg").await;
            terminal.shows("> half a line").await;
            terminal.shows("said meanwhile").await;
            let lines = shown(&terminal);
            assert_eq!(lines.last().unwrap(), "> half a line", "{lines:?}");
            terminal.key("C-u");
            terminal.key("C-d");
            // What is typed before the shell reads again is nobody's.
            eventually("it has left", || {
                shown(&terminal).last().unwrap() == "ready:"
            })
            .await;
            terminal.enter("echo left-$?").await;
            terminal.shows("left-0").await;
            owner.shutdown().await;
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_cannot_move_its_cursor_hands_out_lines() {
    codex_test(120, async |rig| {
        let Some(terminal) = Terminal::new() else {
            return;
        };
        let (owner, thread) = served(&rig, &Arc::default()).await;
        let env = [("TERM", "dumb")];
        start(&terminal, &rig, 100, &env, &["attach", thread.id()]);
        terminal.shows("idle").await;
        assert!(modes(&terminal).contains(" icanon"));
        rig.model.reply(Reply::text("an answer"));
        terminal.enter("a question").await;
        terminal.shows("an answer").await;
        terminal.key("C-d");
        terminal.shows("exit 0").await;
        owner.shutdown().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_paste_is_not_drawn_for_each_of_its_characters() {
    codex_test(120, async |rig| {
        let Some(terminal) = Terminal::new() else {
            return;
        };
        within(120, async {
            let (owner, _thread) = attached(&rig, &terminal, 40).await;
            let written = rig.home.path().join("written");
            terminal.record(&written);
            let text = "word ".repeat(2_000);
            terminal.paste(&format!("{text}the end"));
            terminal.shows("word the end").await;
            let drawn = || {
                let written = std::fs::read_to_string(&written).unwrap_or_default();
                (
                    written.matches("\x1b[J").count(),
                    written.contains("the end"),
                )
            };
            eventually("it is written", || drawn().1).await;
            assert!(drawn().0 < text.len() / 4, "{} times", drawn().0);
            owner.shutdown().await;
        })
        .await;
    })
    .await;
}

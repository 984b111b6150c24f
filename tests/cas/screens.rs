//! What the screen of a terminal shows in the end, with a real terminal in between (tmux).

use std::{fs, process::Command};

use cas_sdk::testing::{Gate, Reply};
use serde_json::json;

use crate::{
    common::{Rig, codex_test, scenes::escalated, within},
    tmux::Terminal,
};

/// What runs a program in the environment of the rig and of a terminal.
pub fn words(rig: &Rig, env: &[(&str, &str)]) -> Vec<String> {
    let mut words = vec![
        "env".to_owned(),
        "-i".into(),
        "TERM=xterm-256color".into(),
        "TZ=UTC".into(),
    ];
    for (name, value) in rig.home.env() {
        words.push(format!(
            "{}={}",
            name.to_str().unwrap(),
            value.to_str().unwrap()
        ));
    }
    words.push(format!("CAS_CODEX={}", rig.codex().display()));
    words.extend(env.iter().map(|(name, value)| format!("{name}={value}")));
    words
}

/// Runs `cas` in a terminal of so many columns, and says in the last line how it ended.
pub fn start(terminal: &Terminal, rig: &Rig, columns: u16, env: &[(&str, &str)], args: &[&str]) {
    let mut words = words(rig, env);
    let script = "trap : INT; \"$@\"; echo \"exit $?\"; exec sleep 1000";
    words.extend(["sh", "-c", script, "sh", env!("CARGO_BIN_EXE_cas")].map(str::to_owned));
    words.extend(args.iter().map(|arg| (*arg).to_owned()));
    terminal.start(&rig.home.work_dir(), (columns, 40), &words);
}

pub fn shown(terminal: &Terminal) -> Vec<String> {
    let screen = terminal.screen();
    let lines = screen.lines().map(|line| line.trim_end().to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_stands_on_the_screen_with_its_steps_and_a_footer_whatever_the_terminal() {
    codex_test(180, async |rig| {
        for (columns, env) in [
            (60, &[][..]),
            (200, &[("NO_COLOR", "1")]),
            (120, &[("TERM", "dumb")]),
        ] {
            let Some(terminal) = Terminal::new() else {
                return;
            };
            let (first, second) = (Gate::new(), Gate::new());
            let call = json!({"cmd": "echo hi"});
            rig.model.reply(
                Reply::new()
                    .hold(&first)
                    .delta("It is ")
                    .hold(&second)
                    .delta("red.")
                    .function_call("c", "exec_command", call),
            );
            rig.model.reply(Reply::new().delta("Now it is green."));
            start(
                &terminal,
                &rig,
                columns,
                env,
                &["ask", "Why is the build red?"],
            );
            let has_spinner = !env.contains(&("TERM", "dumb"));
            terminal
                .shows(if has_spinner {
                    "thinking"
                } else {
                    "cas: thread"
                })
                .await;
            first.open();
            terminal.shows("It is").await;
            second.open();
            terminal.shows("exit 0").await;
            let shown = shown(&terminal);
            assert!(shown[0].starts_with("cas: thread "), "{shown:?}");
            assert_eq!(shown[1], "It is red.", "{shown:?}");
            assert!(shown[2].starts_with("cas: runs "), "{shown:?}");
            let answer = shown
                .iter()
                .position(|line| line == "Now it is green.")
                .expect("the answer");
            let footer = shown[answer + 1..].concat();
            assert!(
                footer.starts_with("cas: ")
                    && footer.contains("in /")
                    && footer.contains("cas ask --thread 0"),
                "{shown:?}"
            );
            assert!(
                !shown.iter().any(|line| line.contains("thinking")),
                "{shown:?}"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_are_used_on_a_terminal_that_has_them_and_nowhere_else() {
    codex_test(120, async |rig| {
        rig.model.otherwise(Reply::text("ok"));
        within(120, async {
            for (env, flags, coloured) in [
                (&[][..], &[][..], true),
                (&[("NO_COLOR", "1")], &[], false),
                (&[("TERM", "dumb")], &[], false),
                (&[], &["--color", "never"], false),
                (&[("NO_COLOR", "1")], &["--color", "always"], true),
            ] {
                let Some(terminal) = Terminal::new() else {
                    return;
                };
                let args = [&["ask", "go"][..], flags].concat();
                start(&terminal, &rig, 100, env, &args);
                terminal.shows("exit 0").await;
                let raw = terminal.screen_with_colours();
                assert_eq!(raw.contains('\x1b'), coloured, "{env:?} {flags:?}: {raw:?}");
            }
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_person_at_the_terminal_is_asked_and_decides() {
    let Some(rig) = crate::ask::asking().await else {
        return;
    };
    within(180, async {
        for (typed, status, is_there) in [
            ("y", "exit 0", true),
            ("n", "exit 3", false),
            ("what", "exit 3", false),
        ] {
            let Some(terminal) = Terminal::new() else {
                return;
            };
            let file = rig.home.work_dir().join("x");
            let _ = fs::remove_file(&file);
            rig.model.reply(escalated("c", "touch x"));
            rig.model.reply(Reply::text("Done."));
            start(
                &terminal,
                &rig,
                120,
                &[],
                &["ask", "--approvals", "ask", "go"],
            );
            terminal.shows("wants to run").await;
            terminal.shows("[y]es").await;
            assert!(terminal.screen().contains("touch x"));
            terminal.enter(typed).await;
            if typed == "what" {
                terminal.shows("y, s, n or t").await;
                terminal.enter("no").await;
            }
            terminal.shows(status).await;
            assert!(terminal.screen().contains("Done."));
            assert_eq!(file.exists(), is_there, "{typed}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_at_a_question_ends_the_command() {
    let Some(rig) = crate::ask::asking().await else {
        return;
    };
    let Some(terminal) = Terminal::new() else {
        return;
    };
    within(90, async {
        rig.model.reply(escalated("c", "touch x"));
        start(
            &terminal,
            &rig,
            120,
            &[],
            &["ask", "--approvals", "ask", "go"],
        );
        terminal.shows("[y]es").await;
        terminal.key("C-c");
        terminal.shows("exit 130").await;
        assert!(!rig.home.work_dir().join("x").exists());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_are_a_table_that_fits_the_screen_and_a_thread_is_shown_as_markdown_looks() {
    codex_test(120, async |rig| {
        rig.model.otherwise(Reply::text(
            "# A heading\n\nSome **bold** words, and `code`.",
        ));
        within(180, async {
            let long = format!("The question {}", "goes on and on ".repeat(30));
            let asked = crate::people::run(&rig, &["ask", "--json", &long]).await;
            let thread = crate::people::lines(&asked)[0]["threadId"]
                .as_str()
                .unwrap()
                .to_owned();
            for columns in [60u16, 200] {
                let Some(terminal) = Terminal::new() else {
                    return;
                };
                start(&terminal, &rig, columns, &[], &["threads", "list"]);
                terminal.shows("exit 0").await;
                let shown = shown(&terminal);
                assert!(
                    shown[0].starts_with("ID ") && shown[0].contains("UPDATED"),
                    "{shown:?}"
                );
                assert!(shown[1].starts_with(&thread[..13]), "{shown:?}");
                assert_eq!(shown.len(), 3, "a thread is a line: {shown:?}");
                assert!(
                    columns == 60 || shown[1].contains("The question"),
                    "{shown:?}"
                );
            }
            let Some(terminal) = Terminal::new() else {
                return;
            };
            start(
                &terminal,
                &rig,
                100,
                &[],
                &["threads", "show", &thread[..13]],
            );
            terminal.shows("exit 0").await;
            let screen = terminal.screen();
            assert!(
                screen.contains("A heading") && screen.contains("Some bold words"),
                "{screen}"
            );
            assert!(!screen.contains("**"), "{screen}");
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bash_completes_commands_flags_and_the_ids_of_threads() {
    codex_test(120, async |rig| {
    rig.model.otherwise(Reply::text("ok"));
    let found = Command::new("bash").arg("--version").output();
    if !found.is_ok_and(|found| found.status.success()) {
        return;
    }
    within(120, async {
        let asked = crate::people::run(&rig, &["ask", "--json", "the question"]).await;
        let thread = crate::people::lines(&asked)[0]["threadId"].as_str().unwrap().to_owned();
        let dir = std::path::Path::new(env!("CARGO_BIN_EXE_cas")).parent().unwrap().to_owned();
        let complete = |line: &str, word: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let script = format!(
                "PATH=\"{dir}:$PATH\"; source <(cas completions bash) || exit 9; COMP_WORDS=({line}); COMP_CWORD={at}; COMP_TYPE=9; \
                 _clap_complete_cas cas '{word}' '{before}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
                dir = dir.display(),
                at = words.len() - 1,
                before = words[words.len() - 2],
            );
            let mut command = Command::new("bash");
            command.args(["--norc", "-c", &script]).env_clear().envs(rig.home.env());
            command.env("CAS_CODEX", rig.codex()).current_dir(rig.home.work_dir());
            let out = command.output().unwrap();
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            String::from_utf8(out.stdout).unwrap()
        };
        assert!(complete("cas inst", "inst").contains("instance-runner"), "{}", complete("cas inst", "inst"));
        assert!(complete("cas ask --eph", "--eph").contains("--ephemeral"));
        let ids = complete("cas threads show 0", "0");
        assert!(ids.contains(&thread[..13]), "{ids}");
    })
    .await;
}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_that_is_not_kept_is_not_offered_to_go_on_with() {
    codex_test(60, async |rig| {
        for (args, is_kept) in [
            (&["ask", "go"][..], true),
            (&["ask", "go", "--ephemeral"], false),
        ] {
            let Some(terminal) = Terminal::new() else {
                return;
            };
            rig.model.reply(Reply::text("It is red."));
            start(&terminal, &rig, 120, &[], args);
            terminal.shows("exit 0").await;
            let shown = shown(&terminal).join("\n");
            assert!(shown.contains(" in / "), "{shown}");
            assert_eq!(shown.contains("continue:"), is_kept, "{shown}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_not_read_where_it_would_be_seen() {
    codex_test(60, async |rig| {
        let Some(terminal) = Terminal::new() else {
            return;
        };
        start(&terminal, &rig, 120, &[], &["login", "--api-key"]);
        terminal.shows("exit 2").await;
        assert!(
            terminal.screen().contains("< key.txt"),
            "{}",
            terminal.screen()
        );
    })
    .await;
}

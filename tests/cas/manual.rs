//! The help, the manual and the completions: made from the flags, and of a form that their readers
//! take.

use std::process::Command;

use crate::people::{stderr, stdout};

fn text(args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cas"));
    let out = command.args(args).env("NO_COLOR", "1").output().unwrap();
    assert!(out.status.success(), "{args:?}: {}", stderr(&out));
    stdout(&out)
}

#[test]
fn each_command_has_help() {
    for command in [
        "proxy",
        "smoke-check",
        "smoke_check",
        "instance-runner",
        "rate-limits",
        "ask",
        "threads",
        "mine",
        "stats",
        "doctor",
    ] {
        let help = text(&[command, "--help"]);
        assert!(
            help.contains("Usage:") && !help.contains('\u{1b}'),
            "{help}"
        );
    }
    assert!(text(&["proxy", "--help"]).contains("--server-request-timeout-ms"));
    let help = text(&["--help"]);
    for part in ["Exit status:", "124", "CODEX_HOME", "NO_COLOR"] {
        assert!(help.contains(part), "{help}");
    }
}

#[test]
fn each_time_limit_says_what_0_is() {
    for command in ["proxy", "instance-runner", "smoke-check", "ask"] {
        let help = text(&[command, "-h"]);
        let limits = help.lines().filter(|line| {
            let flag = line.trim_start().trim_start_matches("--");
            line.starts_with("      --")
                && flag
                    .split(' ')
                    .next()
                    .is_some_and(|flag| flag.ends_with("timeout-ms") || flag == "timeout")
        });
        for line in limits {
            let at = help.find(line).unwrap();
            let about: String = help[at..].lines().take(2).collect();
            assert!(about.contains("; 0 "), "{command}: {about}");
        }
    }
}

#[test]
fn each_page_of_the_manual_has_the_sections_and_is_read_without_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    text(&["man", "--dir", dir.path().to_str().unwrap()]);
    for name in [
        "cas.1",
        "cas-proxy.1",
        "cas-ask.1",
        "cas-threads.1",
        "cas-threads-list.1",
        "cas-stats.1",
    ] {
        let page = std::fs::read_to_string(dir.path().join(name)).expect(name);
        for section in [
            "NAME",
            "SYNOPSIS",
            "EXIT STATUS",
            "ENVIRONMENT",
            "FILES",
            "EXAMPLES",
        ] {
            assert!(
                page.contains(&format!(".SH \"{section}\""))
                    || page.contains(&format!(".SH {section}")),
                "{name}: {section}"
            );
        }
        assert!(
            page.contains(&format!(".TH {}", name.trim_end_matches(".1"))),
            "{name}: {}",
            page.lines().nth(2).unwrap()
        );
    }
    assert!(
        text(&["man", "ask"]).contains("\\-\\-approvals ask"),
        "the examples of the command"
    );
    // Where there is something that reads manual pages, it has nothing to say of any of them.
    for page in std::fs::read_dir(dir.path()).unwrap() {
        let read = Command::new("groff")
            .args(["-man", "-ww", "-Tutf8", "-z"])
            .arg(page.unwrap().path())
            .output();
        if let Ok(read) = read {
            assert_eq!(stderr(&read), "");
        }
    }
}

#[test]
fn completions_are_made_for_each_shell_and_loaded_by_those_that_are_there() {
    for shell in ["bash", "zsh", "fish"] {
        let script = text(&["completions", shell]);
        assert!(
            script.contains("COMPLETE") && script.contains("cas"),
            "{shell}: {script}"
        );
        let mut run = Command::new(shell);
        if shell == "zsh" {
            run.args([
                "-f",
                "-c",
                &format!("autoload -Uz compinit; compinit -D; {script}"),
            ]);
        } else {
            run.args(["-c", &script]);
        }
        if let Ok(out) = run.output() {
            let is_loaded = out.status.success() && out.stderr.is_empty();
            assert!(is_loaded, "{shell}: {out:?}");
        } else {
            // Around the harness, which captures what tests that pass have printed.
            let note = format!(
                "cas-sdk: {shell} is not there; its completions were made and not loaded\n"
            );
            let _ = std::io::Write::write_all(&mut std::io::stderr(), note.as_bytes());
        }
    }
}

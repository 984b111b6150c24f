//! Accepted lines, run by real shells: nothing runs that the rule does not name.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Programs that record their names and arguments, and a directory to run them in.
struct Stubs {
    dir: tempfile::TempDir,
}

impl Stubs {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["bin", "work"] {
            fs::create_dir(dir.path().join(sub)).unwrap();
        }
        // A NUL ends a record: an argument may hold a line feed.
        let stub = "#!/bin/sh\nprintf '%s\\0' \"${0##*/} $1\" >> \"$LOG\"\n";
        for name in [
            "ls", "git", "rm", "id", "cat", "status", "push", "touch", "a", "x",
        ] {
            let path = dir.path().join("bin").join(name);
            fs::write(&path, stub).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The programs that a shell runs for a script, each with its first argument, and its
    /// complaints about missing programs.
    fn run(&self, shell: &Path, script: &str) -> (Vec<String>, String) {
        let (log, work) = (self.path("log"), self.path("work"));
        fs::write(&log, "").unwrap();
        let output = Command::new(shell)
            .args(["-c", script])
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("LOG", &log)
            .env("HOME", &work)
            .current_dir(&work)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(
            fs::read_dir(&work).unwrap().count(),
            0,
            "{script:?} made a file"
        );
        let ran = fs::read_to_string(&log).unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let ran = ran.split_terminator('\0').map(str::to_owned).collect();
        (ran, told)
    }
}

fn shells() -> Vec<PathBuf> {
    let shells = ["/bin/bash", "/bin/dash"].map(PathBuf::from);
    let found: Vec<_> = shells.into_iter().filter(|shell| shell.exists()).collect();
    assert!(!found.is_empty(), "there is a shell");
    found
}

/// Pieces of shell that mean something.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "ls",
        "git status",
        "git",
        "status",
        "rm",
        "id",
        "x",
        "-s",
        "push",
        " ",
        " ",
        " ",
        "\t",
        "\n",
        ";",
        "&&",
        "||",
        "|",
        "&",
        "$(id)",
        "`id`",
        "$x",
        "${x}",
        "$'\\x69d'",
        "$((1))",
        ">",
        "<",
        ">>",
        "<(id)",
        "<<E\n",
        "*",
        "?",
        "[a]",
        "{a,b}",
        "{",
        "}",
        "(",
        ")",
        "[[",
        "]]",
        "!",
        "#",
        "~",
        "=",
        "x=id",
        "'",
        "\"",
        "\\",
        "\\\n",
        "''",
        "\"\"",
        "'ls'",
        "\"git\"",
        "l\\s",
        "if",
        "then",
        "fi",
        "for x in",
        "do",
        "done",
        "function",
        "eval",
        "exec",
        "alias",
        "time",
        "case",
        "esac",
        "\r",
        "\u{a0}",
        "\u{2003}",
        "\0",
        "%1",
        "^",
        "@(x)",
        "&>",
        "|&",
        ";;",
        "-c",
        "/bin/",
        "./",
        "--",
        "\u{1b}",
        "é",
    ];
    prop_oneof![
        8 => prop::sample::select(words.to_vec()).prop_map(str::to_owned),
        1 => "\\PC{1,3}",
    ]
}

fn line() -> impl Strategy<Value = String> {
    let pieces = prop::collection::vec(piece(), 0..7).prop_map(|pieces| pieces.concat());
    // A line that begins well is accepted more often.
    (
        prop::sample::select(vec!["", "ls", "ls ", "git status ", "ls; "]),
        pieces,
    )
        .prop_map(|(begin, rest)| begin.to_owned() + &rest)
}

/// What an accepted line ran without being named by the rule.
fn unnamed(stubs: &Stubs, script: &str) -> Option<String> {
    for shell in shells() {
        let (ran, told) = stubs.run(&shell, script);
        let named =
            |command: &String| command == "git status" || command.split(' ').next() == Some("ls");
        if let Some(other) = ran.iter().find(|command| !named(command)) {
            return Some(format!("{} of {script:?} ran {other:?}", shell.display()));
        }
        if told.contains("not found") || told.contains("No such file") {
            return Some(format!(
                "{} of {script:?} looked for another: {told}",
                shell.display()
            ));
        }
    }
    None
}

fn policy() -> Policy {
    Policy::rules([Rule::accept().command("ls").command("git status")])
}

fn decides(policy: &Policy, script: &str) -> bool {
    let quoted = script.replace('\'', r"'\''");
    let params =
        json!({"threadId": "t", "command": format!("/bin/bash -lc '{quoted}'")}).to_string();
    let facts = Facts::read(crate::handlers::method::Approval::Command, &params, None);
    policy.decide(&facts).is_some()
}

#[test]
fn an_accepted_line_runs_nothing_unnamed_in_bash_and_dash() {
    let (stubs, policy) = (Stubs::new(), policy());
    let refusing = Policy::rules([Rule::decline().command("ls").command("git status")]);
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(6000)
    };
    let accepted = std::cell::Cell::new(0_u32);
    proptest!(config, |(script in line())| {
        if decides(&policy, &script) {
            prop_assert!(decides(&refusing, &script), "what is accepted can be refused");
            accepted.set(accepted.get() + 1);
            prop_assert_eq!(unnamed(&stubs, &script), None);
        }
    });
    assert!(
        accepted.get() > 50,
        "only {} lines were accepted",
        accepted.get()
    );
}

#[test]
fn the_stubs_tell_what_runs() {
    let stubs = Stubs::new();
    for script in [
        "rm x",
        "ls; id",
        "ls $(id)",
        "git push",
        "X=1 ls; cat",
        "/no/such/program",
        "nosuch",
    ] {
        assert!(unnamed(&stubs, script).is_some(), "{script}");
    }
    for script in ["ls -la && git status; ls 'a b'", "ls '\n'", "ls \"\nrm\""] {
        assert_eq!(unnamed(&stubs, script), None, "{script}");
    }
}

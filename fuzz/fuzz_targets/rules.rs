//! Fuzzes the rules of a policy with a command line.
//!
//! What an accept rule takes runs nothing in bash and dash that the rule does not name, and a rule
//! that refuses the same words refuses it. Input that begins with an even byte is a script as it
//! stands; else each byte is a piece of shell.

#![no_main]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Stdio},
    sync::OnceLock,
};

use cas_sdk::{internal, policy::{Policy, Rule}};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

const PIECES: [&str; 80] = [
    "ls", "git status", "git", "status", "rm", "id", "x", "-s", "push", " ", " ", " ", "\t", "\n", ";", "&&", "||", "|", "&",
    "$(id)", "`id`", "$x", "${x}", "$'\\x69d'", "$((1))", ">", "<", ">>", "<(id)", "<<E\n", "*", "?", "[a]", "{a,b}", "{", "}",
    "(", ")", "[[", "]]", "!", "#", "~", "=", "x=id", "'", "\"", "\\", "\\\n", "''", "\"\"", "'ls'", "\"git\"", "l\\s", "if",
    "then", "fi", "for x in", "do", "done", "function", "eval", "exec", "alias", "time", "case", "esac", "\r", "\u{a0}",
    "\u{2003}", "\0", "%1", "^", "@(x)", "&>", "|&", ";;", "-c", "/bin/", "./",
];

/// The directories of programs that record their names, of the log and of the work.
fn stubs() -> &'static PathBuf {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = std::env::temp_dir().join(format!("cas-sdk-fuzz-rules-{}", std::process::id()));
        for sub in ["bin", "work"] {
            fs::create_dir_all(dir.join(sub)).expect("a directory can be made");
        }
        let stub = "#!/bin/sh\nprintf '%s\\n' \"${0##*/} $1\" >> \"$LOG\"\n";
        for name in ["ls", "git", "rm", "id", "cat", "status", "push", "touch", "a", "x"] {
            let path = dir.join("bin").join(name);
            fs::write(&path, stub).expect("a file can be written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
        }
        dir
    })
}

fn run(shell: &str, script: &str) {
    let dir = stubs();
    let (log, work) = (dir.join("log"), dir.join("work"));
    fs::write(&log, "").expect("the log can be written");
    let output = Command::new(shell)
        .args(["-c", script])
        .env_clear()
        .env("PATH", dir.join("bin"))
        .env("LOG", &log)
        .env("HOME", &work)
        .current_dir(&work)
        .stdin(Stdio::null())
        .output()
        .expect("the shell starts");
    let ran = fs::read_to_string(&log).expect("the log can be read");
    for command in ran.lines() {
        let named = command == "git status" || command.split(' ').next() == Some("ls");
        assert!(named, "{shell} ran {command:?} of {script:?}");
    }
    let told = String::from_utf8_lossy(&output.stderr);
    let looked = told.contains("not found") || told.contains("No such file");
    assert!(!looked, "{shell} of {script:?}: {told}");
    let made = fs::read_dir(&work).expect("the directory is there").count();
    assert_eq!(made, 0, "{shell} of {script:?} made a file");
}

fuzz_target!(|data: &[u8]| {
    let script = match data.split_first() {
        Some((first, rest)) if first % 2 == 0 => match std::str::from_utf8(rest) {
            Ok(text) => text.to_owned(),
            Err(_) => return,
        },
        Some((_, rest)) => rest.iter().map(|b| PIECES[usize::from(*b) % PIECES.len()]).collect(),
        None => return,
    };
    let quoted = script.replace('\'', r"'\''");
    let params = json!({"threadId": "t", "command": format!("/bin/bash -lc '{quoted}'")}).to_string();
    let refusing = Policy::rules([Rule::decline().command("ls").command("git status")]);
    let refused = internal::ruled(&refusing, &params).is_some();
    let accepting = Policy::rules([Rule::accept().command("ls").command("git status")]);
    if internal::ruled(&accepting, &params).is_some() {
        assert!(refused, "what is accepted can be refused: {script:?}");
        run("/bin/bash", &script);
        run("/bin/dash", &script);
    }
});

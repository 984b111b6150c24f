//! The app-server that the tests start, and what it starts in turn.
//!
//! | request | what it does |
//! | --- | --- |
//! | `initialize` | answers, unless `FAKE_MODE` is `refuse` |
//! | `fake/child` | starts one of the sort `params.sort` |
//! | `fake/die` | exits with `params.code` |
//! | `fake/args` | answers with the arguments that it was given |
//! | anything else | answers with the params |
//!
//! At the end of its input it exits, unless `FAKE_MODE` is `deaf`. If it is `crlf`, its lines end so.
//!
//! | sort | what it is |
//! | --- | --- |
//! | `plain` | a child that holds the pipe of its parent's output |
//! | `detached` | one in a session of its own; on Windows without a console and in a group of its own |
//! | `orphan` | one whose parent has ended |

use std::{
    env,
    io::{self, BufRead as _, Write as _},
    process::{Command, Stdio, exit},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::roll::attend;

pub fn run() -> ! {
    let mode = env::var("FAKE_MODE").unwrap_or_default();
    let _attends = attend("server");
    let _ = serve(&mode);
    if mode == "deaf" {
        park();
    }
    exit(0)
}

fn serve(mode: &str) -> io::Result<()> {
    let end = if mode == "crlf" { "\r\n" } else { "\n" };
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let message: Value = serde_json::from_str(&line?)?;
        let Some(id) = message.get("id") else {
            continue;
        };
        let params = &message["params"];
        let result = match message["method"].as_str().unwrap_or_default() {
            "initialize" if mode == "refuse" => {
                let error = json!({"code": -32600, "message": "no"});
                write!(out, "{}{end}", json!({"id": id, "error": error}))?;
                out.flush()?;
                continue;
            }
            "initialize" => json!({"userAgent": "cas/9.9.9 (fake)"}),
            "fake/child" => {
                start(params["sort"].as_str().unwrap_or_default())?;
                json!({})
            }
            "fake/die" => exit(i32::try_from(params["code"].as_i64().unwrap()).unwrap()),
            "fake/args" => json!(env::args().skip(1).collect::<Vec<_>>()),
            _ => params.clone(),
        };
        write!(out, "{}{end}", json!({"id": id, "result": result}))?;
        out.flush()?;
    }
    Ok(())
}

fn start(sort: &str) -> io::Result<()> {
    let mut command = Command::new(env::current_exe()?);
    command
        .args(["started", sort])
        .stdin(Stdio::null())
        .env_remove("FAKE_FORKED");
    #[cfg(windows)]
    if sort == "detached" {
        use std::os::windows::process::CommandExt as _;
        const DETACHED_PROCESS: u32 = 0x0000_0008;
        const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;
        command.creation_flags(DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP);
    }
    let mut child = command.spawn()?;
    if sort == "orphan" {
        child.wait()?; // Its own child goes on.
    }
    Ok(())
}

/// What the app-server has started.
pub fn started() -> ! {
    let sort = env::args().nth(2).unwrap_or_default();
    if sort == "orphan" && env::var_os("FAKE_FORKED").is_none() {
        let mut again = Command::new(env::current_exe().unwrap());
        again.args(["started", "orphan"]).env("FAKE_FORKED", "1");
        again.spawn().unwrap();
        exit(0);
    }
    #[cfg(unix)]
    if sort == "detached" {
        rustix::process::setsid().unwrap();
    }
    let _attends = attend(&sort);
    park()
}

/// For ever, which is longer than any test.
pub fn park() -> ! {
    thread::sleep(Duration::from_secs(600));
    exit(9)
}

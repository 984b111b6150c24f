//! An app-server for what the real one won't do on request. It is this test binary, started again.
//!
//! | request | what it does |
//! | --- | --- |
//! | `initialize` | answers, unless `FAKE_MODE` says otherwise |
//! | `fake/say` | writes `params.lines` as they are, then answers `{}` |
//! | `fake/stderr` | writes `params.line` to stderr, then answers `{}` |
//! | `fake/flood` | writes `params.count` notifications with 1,000 bytes each, then answers `{}` |
//! | `fake/never` | nothing |
//! | `fake/exit` | exits with `params.code` |
//! | anything else | answers `{"params": …}` with the params as they came |
//!
//! `FAKE_ANSWERS`, a JSON object, has results by method; `{"error": …}` in the place of one is an
//! error, `{"exit": …}` the end, and `{"never": …}` no answer. `FAKE_LOG` names a file that gets
//! the method of each request. `FAKE_RAW_ANSWER` is the result of every request, to the letter.
//! With `FAKE_MODE=congested` requests are dropped when too many come at once.
//!
//! Whatever is not a request is told back as `fake/heard`, to the byte.

use std::{
    fs,
    io::{self, BufRead, Read, Write},
    path::{Path, PathBuf},
    process::exit,
    sync::mpsc::{self, Receiver, TrySendError},
    time::Duration,
};

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

/// Makes an executable that is the fake: this binary under another name, which its argument tells
/// to be the fake.
#[cfg(windows)]
pub fn executable(dir: &Path, _: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let path = dir.join("codex.exe");
    if fs::hard_link(&this, &path).is_err() {
        fs::copy(&this, &path).unwrap();
    }
    path
}

/// Makes an executable that is the fake; `prelude` is shell code that runs before it.
#[cfg(unix)]
pub fn executable(dir: &Path, prelude: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;

    let this = std::env::current_exe().unwrap();
    let path = dir.join("codex");
    let script = format!(
        "#!/bin/sh\n{prelude}\nexec '{}' {}\n",
        this.display(),
        crate::AS_FAKE
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
#[ignore = "this is the fake app-server, which the other tests start"]
fn app_server() {
    run(fs::File::options().write(true).open("/dev/fd/3").unwrap());
}

/// Serves what stands on the standard input, to its end.
pub fn run(out: impl Write) -> ! {
    let mode = std::env::var("FAKE_MODE").unwrap_or_default();
    if let Some(code) = mode.strip_prefix("exit ") {
        exit(code.parse().unwrap());
    }
    let out = io::LineWriter::new(out);
    if mode == "congested" {
        serve(io::BufReader::new(Ingress::new()), out, &mode).unwrap();
    } else {
        serve(io::stdin().lock(), out, &mode).unwrap();
    }
    exit(0);
}

/// Takes requests as the real one does: of those that come while 128 are waiting some are never
/// answered.
struct Ingress {
    lines: Receiver<Vec<u8>>,
    rest: Vec<u8>,
}

impl Ingress {
    fn new() -> Self {
        let (queue, lines) = mpsc::sync_channel(128);
        std::thread::spawn(move || {
            for line in io::stdin().lock().split(b'\n') {
                let mut line = line.unwrap();
                line.push(b'\n');
                if let Err(TrySendError::Disconnected(_)) = queue.try_send(line) {
                    return;
                }
            }
        });
        let rest = Vec::new();
        Self { lines, rest }
    }
}

impl Read for Ingress {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            // Slower than requests can come.
            std::thread::sleep(Duration::from_micros(100));
            self.rest = self.lines.recv().unwrap_or_default();
        }
        let n = self.rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.rest[..n]);
        self.rest.drain(..n);
        Ok(n)
    }
}

#[derive(Deserialize)]
struct Request<'a> {
    method: Option<String>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

fn serve(input: impl BufRead, mut out: impl Write, mode: &str) -> io::Result<()> {
    let answers: Value = std::env::var("FAKE_ANSWERS")
        .map_or(Value::Null, |text| serde_json::from_str(&text).unwrap());
    let log = std::env::var_os("FAKE_LOG");
    let raw_answer = std::env::var("FAKE_RAW_ANSWER").ok();
    for line in input.lines() {
        let line = line?;
        let Ok(Request {
            method: Some(method),
            id: Some(id),
            params,
        }) = serde_json::from_str(&line)
        else {
            if !line.contains(r#""method":"initialized""#) {
                writeln!(
                    out,
                    "{}",
                    json!({"method": "fake/heard", "params": {"line": line}})
                )?;
            }
            continue;
        };
        if let Some(log) = &log {
            let mut log = fs::File::options().create(true).append(true).open(log)?;
            writeln!(log, "{method}")?;
        }
        let raw = params.map_or("null", RawValue::get);
        let params: Value = serde_json::from_str(raw)?;
        if let Some(answer) = raw_answer.as_ref().filter(|_| method != "initialize") {
            writeln!(out, r#"{{"id":{id},"result":{answer}}}"#)?;
            continue;
        }
        if let Some(answer) = answers.get(&method) {
            if let Some(code) = answer.get("exit") {
                exit(i32::try_from(code.as_i64().unwrap()).unwrap());
            }
            if answer.get("never").is_some() {
                continue;
            }
            match answer.get("error") {
                Some(error) => writeln!(out, r#"{{"id":{id},"error":{error}}}"#)?,
                None => writeln!(out, r#"{{"id":{id},"result":{answer}}}"#)?,
            }
            continue;
        }
        let mut result = json!({}).to_string();
        match (method.as_str(), mode) {
            ("initialize", "silent") | ("fake/never", _) => continue,
            ("initialize", "refuse") => {
                writeln!(
                    out,
                    r#"{{"id":{id},"error":{{"code":-32600,"message":"no"}}}}"#
                )?;
                continue;
            }
            ("initialize", _) => result = json!({"userAgent": "cas/9.9.9 (fake)"}).to_string(),
            ("fake/say", _) => {
                for line in params["lines"].as_array().into_iter().flatten() {
                    writeln!(out, "{}", line.as_str().unwrap_or_default())?;
                }
            }
            ("fake/bytes", _) => {
                out.write_all(b"\xff\xfe not UTF-8 \x80\n")?;
            }
            ("fake/stderr", _) => eprintln!("{}", params["line"].as_str().unwrap_or_default()),
            ("fake/flood", _) => {
                let text = "x".repeat(1_000);
                for n in 0..params["count"].as_u64().unwrap_or_default() {
                    writeln!(
                        out,
                        r#"{{"method":"fake/flood","params":{{"n":{n},"text":"{text}"}}}}"#
                    )?;
                }
            }
            ("fake/exit", _) => {
                exit(i32::try_from(params["code"].as_i64().unwrap_or_default()).unwrap())
            }
            _ => result = format!(r#"{{"params":{raw}}}"#),
        }
        writeln!(out, r#"{{"id":{id},"result":{result}}}"#)?;
    }
    Ok(())
}

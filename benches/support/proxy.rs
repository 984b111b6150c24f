//! `cas proxy` as a process, between this program as app-server and as orchestrator.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};

use crate::{mix, rig::Case};

/// The app-server that the proxy starts: this program. Floods on request.
pub(crate) fn server() -> io::Result<()> {
    let period: String = mix::period().concat();
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let message: Value = serde_json::from_str(&line?)?;
        let Some(id) = message.get("id") else {
            continue;
        };
        let result = json!({"userAgent": "bench/0.169.0", "codexHome": "/", "platformFamily": "unix", "platformOs": "linux"});
        writeln!(out, "{}", json!({"id": id, "result": result}))?;
        if message["method"] == "flood" {
            let periods = message["params"]["periods"].as_u64().unwrap_or_default();
            for _ in 0..periods {
                out.write_all(period.as_bytes())?;
            }
            writeln!(out, "{}", json!({"method": "flood/over", "params": {}}))?;
        }
        out.flush()?;
    }
    Ok(())
}

struct Proxy {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Proxy {
    fn start() -> io::Result<Self> {
        let state = std::env::temp_dir().join(format!("bench-{}.json", std::process::id()));
        let mut child = Command::new(env!("CARGO_BIN_EXE_cas"))
            .args(["proxy", "--codex"])
            .arg(std::env::current_exe()?)
            .arg("--state-file")
            .arg(state)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let pipes = (child.stdin.take(), child.stdout.take());
        let (Some(stdin), Some(stdout)) = pipes else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let stdout = BufReader::with_capacity(64 * 1024, stdout);
        let mut proxy = Self {
            child,
            stdin,
            stdout,
        };
        let mut line = String::new();
        while !line.contains("cas/ready") {
            line.clear();
            if proxy.stdout.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(proxy)
    }

    /// Requests a flood, and reads it to its end.
    fn flood(&mut self, periods: u32) -> io::Result<()> {
        let ask = json!({"type": "cas/request", "method": "flood", "params": {"periods": periods}});
        self.stdin.write_all(format!("{ask}\n").as_bytes())?;
        let (mut buf, mut tail) = (vec![0; 64 * 1024], Vec::new());
        loop {
            let n = self.stdout.read(&mut buf)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            tail.extend_from_slice(&buf[n.saturating_sub(512)..n]);
            if memchr::memmem::find(&tail, b"flood/over").is_some() {
                return Ok(());
            }
            let keep = tail.len().saturating_sub(512);
            tail.drain(..keep);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.stdin.write_all(b"{\"type\":\"cas/exit\"}\n");
        let _ = io::copy(&mut self.stdout, &mut io::sink());
        let _ = self.child.wait();
    }
}

/// Wall time only, since the CPU time of this process is that of the reader.
pub(crate) fn splice(periods: u32) -> Case {
    let mut proxy = Proxy::start().expect("cas proxy starts");
    Case::new("cas proxy, lines through it", periods * 2_000, move || {
        proxy.flood(periods).expect("the flood comes through");
    })
}

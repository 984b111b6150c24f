//! Puts a server of lines behind a socket: each of its lines is a frame of a WebSocket.

use std::{
    env,
    io::{self, BufRead as _, BufReader, Read, Write},
    net::TcpListener,
    process::{Command, Stdio},
    thread,
};

use tokio_tungstenite::tungstenite::{Message, accept};

/// Serves one client at `unix://PATH` or `ws://IP:PORT` with another process of this program.
pub(crate) fn listen(address: &str) -> io::Result<()> {
    #[cfg(unix)]
    if let Some(path) = address.strip_prefix("unix://") {
        let _ = std::fs::remove_file(path);
        let (stream, _) = std::os::unix::net::UnixListener::bind(path)?.accept()?;
        std::fs::remove_file(path)?;
        let out = stream.try_clone()?;
        return serve(stream, out);
    }
    let address = address.trim_start_matches("ws://");
    let (stream, _) = TcpListener::bind(address)?.accept()?;
    stream.set_nodelay(true)?;
    let out = stream.try_clone()?;
    serve(stream, out)
}

fn serve(stream: impl Read + Write, out: impl Write + Send + 'static) -> io::Result<()> {
    let mut socket = accept(stream).map_err(|e| io::Error::other(e.to_string()))?;
    let mut child = Command::new(env::current_exe()?)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else {
        return Err(io::Error::other("no pipes"));
    };
    let writing = thread::spawn(move || frames(stdout, out));
    while let Ok(message) = socket.read() {
        if let Message::Text(text) = message {
            stdin.write_all(format!("{text}\n").as_bytes())?;
        }
    }
    drop(stdin);
    child.wait()?;
    // The client has gone, and with it what is left to write.
    drop(writing.join());
    Ok(())
}

/// Writes each line as a frame, as many at once as were read at once.
fn frames(lines: impl Read, mut out: impl Write) -> io::Result<()> {
    let mut lines = BufReader::with_capacity(64 * 1024, lines);
    let (mut line, mut chunk) = (Vec::new(), Vec::with_capacity(80 * 1024));
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        line.pop();
        chunk.push(0x81);
        match u16::try_from(line.len()) {
            Ok(len @ ..126) => chunk.push(u8::try_from(len).unwrap_or_default()),
            Ok(len) => {
                chunk.push(126);
                chunk.extend_from_slice(&len.to_be_bytes());
            }
            Err(_) => {
                chunk.push(127);
                chunk.extend_from_slice(&(line.len() as u64).to_be_bytes());
            }
        }
        chunk.extend_from_slice(&line);
        if lines.buffer().is_empty() || chunk.len() >= 64 * 1024 {
            out.write_all(&chunk)?;
            chunk.clear();
        }
    }
}

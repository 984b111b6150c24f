//! Ends a server that listens on a socket when its host is killed. Such a server does not exit at
//! the end of its input.

use std::{
    io,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

/// A shell that waits for the end of its input, which comes with the end of this process, and then
/// ends the server's group.
pub(super) struct Watchdog(Child);

/// `$1` is the group, `$2` the socket, `$3` the directory that was created for it, or nothing.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
PATH=/usr/bin:/bin
while read -r _; do :; done
kill -s TERM -- "-$1" 2>/dev/null || exit 0
tries=0
while kill -s 0 -- "-$1" 2>/dev/null; do
    if [ $tries -eq 20 ]; then
        kill -s KILL -- "-$1" 2>/dev/null
        rm -f -- "$(readlink "$2")" "$2"
        break
    fi
    tries=$((tries + 1))
    sleep 0.1
done
[ -z "$3" ] || rmdir -- "$3" 2>/dev/null
"#;

impl Watchdog {
    pub(super) fn start(
        server: Option<u32>,
        socket: &Path,
        made: Option<&Path>,
    ) -> io::Result<Self> {
        let server = server.ok_or_else(|| io::Error::other("the server has ended"))?;
        Command::new("/bin/sh")
            .args(["-c", SCRIPT, "cas-sdk-watchdog", &server.to_string()])
            .arg(socket)
            .arg(made.unwrap_or(Path::new("")))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0) // What is sent to the host's group is not meant for it.
            .spawn()
            .map(Self)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // NB. Kill the shell before its input is closed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

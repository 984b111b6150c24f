//! The real codex as a server on a socket.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use cas_sdk::{Builder, CasClient};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::{sleep, timeout},
};

use crate::common::Rig;

/// A server that another program has started.
pub(crate) struct Listener {
    child: Child,
    pub(crate) address: String,
}

impl Listener {
    /// Starts one on a Unix socket in the home, and waits until it can be joined.
    pub(crate) async fn unix(rig: &Rig) -> Self {
        Self::unix_at(rig, &socket(rig)).await
    }

    /// The same on another socket.
    pub(crate) async fn unix_at(rig: &Rig, path: &Path) -> Self {
        let this = Self::start(rig, &format!("unix://{}", path.display()), &[]);
        while std::os::unix::net::UnixStream::connect(path).is_err() {
            sleep(Duration::from_millis(10)).await;
        }
        this
    }

    /// Starts one on a local port, and waits until it can be joined.
    pub(crate) async fn ws(rig: &Rig, args: &[&str]) -> Self {
        let mut this = Self::start(rig, "ws://127.0.0.1:0", args);
        let mut lines = BufReader::new(this.child.stderr.take().unwrap()).lines();
        this.address = loop {
            let line = lines.next_line().await.unwrap().expect("it listens");
            if let Some((_, rest)) = line.split_once("ws://") {
                let end = rest
                    .find(|c: char| !c.is_ascii_digit() && !".:".contains(c))
                    .unwrap_or(rest.len());
                break format!("ws://{}", &rest[..end]);
            }
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        this
    }

    fn start(rig: &Rig, address: &str, args: &[&str]) -> Self {
        let child = Command::new(rig.codex())
            .args(["app-server", "--listen", address])
            .args(args)
            .env_clear()
            .envs(rig.home.env())
            .current_dir(rig.home.work_dir())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            child,
            address: address.to_owned(),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Kills it, and waits until its socket is free: a process that it was just starting may have
    /// the socket for a moment longer, and the next server would refuse to start.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
        if let Some(path) = self.address.strip_prefix("unix://") {
            while std::os::unix::net::UnixStream::connect(path).is_ok() {
                sleep(Duration::from_millis(10)).await;
            }
        }
    }

    /// Ends it in good order, so that it takes its socket away.
    pub(crate) async fn end(mut self) {
        for _ in 0..2 {
            self.signal(Signal::TERM);
            if timeout(Duration::from_secs(5), self.child.wait())
                .await
                .is_ok()
            {
                return;
            }
        }
        panic!("it does not end");
    }
}

pub(crate) fn socket(rig: &Rig) -> PathBuf {
    rig.home.path().join("s.sock")
}

/// What connects; the environment says whose control socket `unix://` is.
pub(crate) fn builder(rig: &Rig) -> Builder {
    CasClient::builder().env("CODEX_HOME", rig.home.path())
}

pub(crate) fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

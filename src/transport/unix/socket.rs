//! A connection to a Unix socket, made only if the socket and the server behind it are this user's.

use std::{
    fs::{self, FileType},
    io::ErrorKind,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{io::Errno, process::geteuid};
use tokio::{net::UnixStream, time::sleep};

use crate::error::ConnectErrorKind as Kind;

/// The longest path of a socket: the length of `sun_path`, less the zero at its end.
const LONGEST: usize = if cfg!(target_os = "macos") { 103 } else { 107 };

/// A connection, and the process at the other end if the platform reports it.
pub(crate) struct Connected {
    pub(crate) stream: UnixStream,
    pub(crate) pid: Option<u32>,
}

/// Connects to a socket of this user.
pub(crate) async fn connect(path: &Path) -> Result<Connected, Kind> {
    let path = check(path)?;
    let stream = loop {
        match UnixStream::connect(&path).await {
            Ok(stream) => break stream,
            // The server's queue of new connections is full. The server will accept this one later.
            Err(e) if e.kind() == ErrorKind::WouldBlock => sleep(Duration::from_millis(10)).await,
            Err(e) => {
                return Err(match e.kind() {
                    ErrorKind::ConnectionRefused => Kind::Stale,
                    ErrorKind::NotFound => Kind::NoServer,
                    ErrorKind::PermissionDenied => Kind::NotPermitted,
                    _ if e.raw_os_error() == Some(Errno::PROTOTYPE.raw_os_error()) => {
                        Kind::NotASocket("a datagram socket")
                    }
                    _ => e.into(),
                });
            }
        }
    };
    // The file may have been replaced meanwhile. The peer credentials name the user who really
    // listens.
    let peer = stream.peer_cred()?;
    check_user(peer.uid())?;
    let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok());
    Ok(Connected { stream, pid })
}

/// The path to connect to, if there is a socket of this user.
fn check(path: &Path) -> Result<PathBuf, Kind> {
    let about = fs::metadata(path).map_err(|e| match e.kind() {
        ErrorKind::NotFound if path.is_symlink() => Kind::Stale,
        ErrorKind::NotFound | ErrorKind::NotADirectory => Kind::NoServer,
        ErrorKind::PermissionDenied => Kind::NotPermitted,
        ErrorKind::InvalidFilename => Kind::InvalidAddress("a part of its path is too long".into()),
        _ if e.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            Kind::InvalidAddress("the link leads to itself".into())
        }
        _ => e.into(),
    })?;
    if !about.file_type().is_socket() {
        return Err(Kind::NotASocket(name(about.file_type())));
    }
    check_user(about.uid())?;
    let length = |path: &Path| path.as_os_str().as_bytes().len();
    if length(path) <= LONGEST {
        return Ok(path.to_owned());
    }
    // Codex creates the socket itself elsewhere, with a short path, and a link to it.
    let path = fs::canonicalize(path)?;
    match length(&path) {
        ..=LONGEST => Ok(path),
        len => Err(Kind::PathTooLong { len, max: LONGEST }),
    }
}

fn check_user(uid: u32) -> Result<(), Kind> {
    if uid == geteuid().as_raw() {
        Ok(())
    } else {
        Err(Kind::OtherUser { uid })
    }
}

fn name(kind: FileType) -> &'static str {
    if kind.is_file() {
        "a regular file"
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a named pipe"
    } else {
        "a device"
    }
}

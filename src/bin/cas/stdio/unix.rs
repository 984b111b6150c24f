//! Standard input and output for one task: without a thread that copies, and without changing what
//! others share.
//!
//! A pipe or terminal is opened a second time, so that only this process's own handle is
//! non-blocking. Where that can't be (a socket, as Node makes them; or not on Linux), the shared
//! handle is made non-blocking and put back at the end.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::fd::{BorrowedFd, OwnedFd},
    pin::Pin,
    task::{Context, Poll, ready},
};

use rustix::{
    fs::{FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, fstat},
    termios::{QueueSelector, tcflush},
};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, unix::AsyncFd};

/// The most that one read takes; a pipe holds no more.
const READ: usize = 64 * 1024;

/// One of the two.
pub(crate) struct Stdio {
    io: Io,
    /// The flags of the shared handle, if they were changed.
    restore: Option<(OwnedFd, OFlags)>,
}

pub(crate) type Stdout = Stdio;
pub(crate) type Terminal = Stdio;

enum Io {
    /// A pipe, a socket, a terminal.
    Ready(AsyncFd<File>),
    /// A file or a device, which is always ready.
    Plain(File),
}

/// Standard input.
///
/// # Errors
/// If it is closed or can't be watched.
pub(crate) fn stdin() -> io::Result<Stdio> {
    Stdio::new(
        rustix::stdio::stdin(),
        0,
        OFlags::RDONLY,
        Interest::READABLE,
    )
}

/// Standard output.
///
/// # Errors
/// If it is closed or can't be watched.
pub(crate) fn stdout() -> io::Result<Stdio> {
    Stdio::new(
        rustix::stdio::stdout(),
        1,
        OFlags::WRONLY,
        Interest::WRITABLE,
    )
}

/// The terminal that the user types on: standard input if it is one, else the one that controls
/// this process.
///
/// # Errors
/// If there is none.
#[allow(
    deprecated,
    reason = "the successor of `with_interest` is not in the oldest tokio that serves"
)]
pub(crate) fn terminal() -> io::Result<Stdio> {
    let stdin = rustix::stdio::stdin();
    if rustix::termios::isatty(stdin) {
        return Stdio::new(stdin, 0, OFlags::RDONLY, Interest::READABLE);
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open("/dev/tty", flags, Mode::empty())?);
    Ok(Stdio {
        io: Io::Ready(AsyncFd::with_interest(file, Interest::READABLE)?),
        restore: None,
    })
}

#[allow(
    deprecated,
    reason = "the successor of `with_interest` is not in the oldest tokio that serves"
)]
impl Stdio {
    fn new(fd: BorrowedFd<'_>, number: u8, access: OFlags, interest: Interest) -> io::Result<Self> {
        let kind = FileType::from_raw_mode(fstat(fd)?.st_mode);
        let waits = match kind {
            FileType::Fifo | FileType::Socket => true,
            FileType::CharacterDevice => rustix::termios::isatty(fd),
            _ => false,
        };
        if !waits {
            let file = File::from(fd.try_clone_to_owned()?);
            return Ok(Self {
                io: Io::Plain(file),
                restore: None,
            });
        }
        let (file, restore) = match reopen(number, access) {
            Some(file) if kind != FileType::Socket => (file, None),
            _ => {
                let flags = fcntl_getfl(fd)?;
                let shared = fd.try_clone_to_owned()?;
                fcntl_setfl(fd, flags | OFlags::NONBLOCK)?;
                (File::from(fd.try_clone_to_owned()?), Some((shared, flags)))
            }
        };
        Ok(Self {
            io: Io::Ready(AsyncFd::with_interest(file, interest)?),
            restore,
        })
    }

    /// Discards what was typed and not read. Only a terminal has such input.
    pub(crate) fn discard_input(&mut self) -> impl Future<Output = ()> + use<> {
        if let Io::Ready(file) = &self.io {
            // There is nobody to report an error to.
            let _ = tcflush(file.get_ref(), QueueSelector::IFlush);
        }
        std::future::ready(())
    }

    /// Waits until the other side has closed its end; `false` if that can't be known.
    pub(crate) fn watch_closed(&self) -> io::Result<impl Future<Output = bool> + use<>> {
        let file = match &self.io {
            Io::Ready(fd) => Some(fd.get_ref().try_clone()?),
            Io::Plain(_) => None,
        };
        Ok(async move {
            let Some(file) = file else { return false };
            // Asked for nothing, the kernel still reports an error: that the reading end is closed.
            match AsyncFd::with_interest(file, Interest::ERROR) {
                Ok(watched) => watched.ready(Interest::ERROR).await.is_ok(),
                Err(_) => false,
            }
        })
    }
}

#[cfg(target_os = "linux")]
fn reopen(number: u8, access: OFlags) -> Option<File> {
    let flags = access | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(format!("/proc/self/fd/{number}"), flags, Mode::empty())
        .ok()
        .map(File::from)
}

#[cfg(not(target_os = "linux"))]
fn reopen(_: u8, _: OFlags) -> Option<File> {
    None // There, opening `/dev/fd/N` is a mere `dup`.
}

impl Drop for Stdio {
    fn drop(&mut self) {
        if let Some((shared, flags)) = self.restore.take() {
            // The process is about to end, and there is nobody to tell.
            let _ = fcntl_setfl(shared, flags);
        }
    }
}

impl AsyncRead for Stdio {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut read = |mut file: &File| {
            // NB. All that is offered is written with zeros first, and a long line's buffer offers
            // as much again as it holds.
            let room = buf.remaining().min(READ);
            let n = file.read(buf.initialize_unfilled_to(room))?;
            buf.advance(n);
            Ok(())
        };
        match &self.io {
            Io::Plain(file) => Poll::Ready(read(file)),
            Io::Ready(fd) => loop {
                let mut guard = ready!(fd.poll_read_ready(cx))?;
                if let Ok(done) = guard.try_io(|fd| read(fd.get_ref())) {
                    return Poll::Ready(done);
                }
            },
        }
    }
}

impl AsyncWrite for Stdio {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &self.io {
            Io::Plain(file) => Poll::Ready((&mut &*file).write(bytes)),
            Io::Ready(fd) => loop {
                let mut guard = ready!(fd.poll_write_ready(cx))?;
                if let Ok(done) = guard.try_io(|fd| (&mut fd.get_ref()).write(bytes)) {
                    return Poll::Ready(done);
                }
            },
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

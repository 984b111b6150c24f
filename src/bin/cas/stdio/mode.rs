//! The mode of the terminal in which it hands out each key and shows none, and the way back from
//! it.
//!
//! The signals of keys (Ctrl-C, Ctrl-Z) and the newlines of the output stay as they are.

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    sync::{Mutex, PoisonError},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Signal, getpgrp, getpid, getsid, kill_process},
    termios::{
        LocalModes, OptionalActions, SpecialCodeIndex, Termios, isatty, tcgetattr, tcsetattr,
    },
};

/// Makes the terminal mark what is pasted, and no longer.
const MARK_PASTES: &[u8] = b"\x1b[?2004h";
/// The row of what is typed is taken away, too.
const LEAVE: &[u8] = b"\r\x1b[J\x1b[?2004l";

/// What a key that sends no signal is set to.
const NONE: u8 = if cfg!(target_os = "linux") { 0 } else { 0xff };

/// The terminal, and how it was before.
static BEFORE: Mutex<Option<(OwnedFd, Termios)>> = Mutex::new(None);

/// While this exists, the terminal hands out each key.
pub(crate) struct KeyMode(());

impl KeyMode {
    pub(crate) fn new() -> io::Result<Self> {
        take()?;
        Ok(Self(()))
    }
}

impl Drop for KeyMode {
    fn drop(&mut self) {
        give_back();
    }
}

fn take() -> io::Result<()> {
    let stdin = rustix::stdio::stdin();
    let terminal = if isatty(stdin) {
        stdin.try_clone_to_owned()?
    } else {
        File::open("/dev/tty")?.into()
    };
    let before = tcgetattr(&terminal)?;
    let mut mode = before.clone();
    mode.local_modes
        .remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::IEXTEN);
    mode.special_codes[SpecialCodeIndex::VMIN] = 1;
    mode.special_codes[SpecialCodeIndex::VTIME] = 0;
    // It would end the program without the way back.
    mode.special_codes[SpecialCodeIndex::VQUIT] = NONE;
    tcsetattr(&terminal, OptionalActions::Now, &mode)?;
    let mut taken = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    *taken = Some((terminal, before));
    say(MARK_PASTES);
    Ok(())
}

/// Sets the terminal to what it was. May be called at any time, from any thread, and more than
/// once.
pub(crate) fn give_back() {
    let mut taken = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((terminal, before)) = taken.take() {
        // There is nobody to tell.
        let _ = tcsetattr(&terminal, OptionalActions::Now, &before);
        say(LEAVE);
    }
}

/// Writes to the terminal if it takes it at once: one that is stopped holds up nothing.
fn say(bytes: &[u8]) {
    let stdout = rustix::stdio::stdout();
    let mut ready = [PollFd::new(&stdout, PollFlags::OUT)];
    if poll(&mut ready, Some(&Timespec::default())).is_ok_and(|ready| ready > 0) {
        let _ = rustix::io::write(stdout, bytes);
    }
}

/// Stops this process, as Ctrl-Z does, with the terminal as it was; returns when it goes on.
pub(crate) fn suspend() -> io::Result<()> {
    // Without a shell that has made this process's group there is none that would let it go on.
    if getsid(None)? == getpgrp() {
        return Ok(());
    }
    give_back();
    kill_process(getpid(), Signal::STOP)?;
    take()
}

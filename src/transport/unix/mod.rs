//! Unix sockets: those of servers that somebody else runs, and those of servers that this program
//! starts.

mod listen;
mod socket;
mod watchdog;

pub(crate) use {
    listen::{Socket, prepare},
    socket::{Connected, connect},
};

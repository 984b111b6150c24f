//! Servers that listen: joined over Unix sockets, `ws://` and `wss://`, and started for others to
//! join.

#![allow(
    clippy::large_futures,
    reason = "a test goes through a list of servers"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/terminal.rs"]
mod terminal;

mod addresses;
mod auth;
mod back;
mod back_load;
mod back_missed;
mod back_played;
mod back_raced;
mod cut;
mod discover;
mod frames;
mod joined;
mod listener;
mod lost;
mod serve;
mod silent;
mod tls;
mod tui;

use cas_sdk::{CasClient, Error, error::ConnectErrorKind};

/// The kind of a connection error.
fn kind(result: Result<CasClient, Error>) -> ConnectErrorKind {
    match result {
        Err(Error::Connect(error)) => error.kind,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it is connected"),
    }
}

//! Processes: everything that starts ends, whatever happens to the server, its descendants or this
//! program.
#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;

mod cancel;
mod ends;
mod fake;
mod hosts;
mod kin;
mod ladder;
mod registry;
mod restart;
mod runtimes;
mod secrets;
mod starts;

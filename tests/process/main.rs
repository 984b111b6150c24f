//! Processes: what starts is ended, whatever happens to it, to this program, or to what it has started.
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

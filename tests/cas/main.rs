//! The contract of `cas`, kept by running the binary as its users do.

#![allow(unreachable_pub, reason = "a test binary has no outside")]

mod approvals;
#[path = "../common/mod.rs"]
mod common;
mod ending;
mod fake;
mod flags;
mod golden;
mod instance;
mod mine;
mod node;
mod people;
mod preflight;
mod pressure;
mod rate_limits;
mod real;
mod runner;
mod smoke;
mod state;
mod terminal;
mod window;

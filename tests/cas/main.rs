//! The contract of `cas`, kept by running the binary as its users do.

#![allow(unreachable_pub, reason = "a test binary has no outside")]

mod approvals;
mod ask;
mod ask_flags;
mod back;
#[path = "../common/mod.rs"]
mod common;
mod config;
#[path = "../transport/cut.rs"]
#[allow(dead_code, reason = "each test binary uses a part of it")]
mod cut;
mod decisions;
mod ending;
mod fake;
mod flags;
mod golden;
mod instance;
mod interrupts;
mod joined;
mod json;
#[path = "../transport/listener.rs"]
#[allow(dead_code, reason = "each test binary uses a part of it")]
mod listener;
mod live;
mod live_screens;
mod manual;
mod mine;
mod node;
mod people;
mod preflight;
mod pressure;
mod questions;
mod rate_limits;
mod real;
mod reasons;
mod request_summary;
mod runner;
mod screens;
mod scripted;
mod search;
mod secrets;
mod smoke;
mod state;
mod stats;
mod terminal;
mod threads;
#[path = "../common/terminal.rs"]
mod tmux;
mod turns;
mod typed_ahead;
mod typing;
mod watch;
mod window;

/// How this binary is told to be the fake app-server. The test harness prints to stdout, so the
/// fake's output is another.
const AS_FAKE: &str = "fake::app_server --exact --ignored --nocapture 3>&1 >/dev/null";

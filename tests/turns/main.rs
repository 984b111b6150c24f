//! Turns and threads against the real codex and a scripted model.

#[path = "../common/mod.rs"]
mod common;

mod agents;
mod answers;
mod basics;
mod inputs;
mod midnight;
mod opening;
mod readers;
mod special;
mod storm;
mod threads;

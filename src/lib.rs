//! Typed async SDK for `codex app-server`.
pub mod protocol;
#[cfg(feature = "testing")]
pub mod testing;

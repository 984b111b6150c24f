//! The real codex against the scripted model, without a client between: what `cas_sdk::testing`
//! promises is what codex does.

mod failures;
mod login;
mod options;
mod raw;
mod turns;

use cas_sdk::testing::{CodexHome, MockModel};
use raw::Codex;

/// A model, and a codex with the default configuration that asks it.
async fn scripted() -> Option<(MockModel, CodexHome, Codex)> {
    let model = MockModel::start().await;
    let home = CodexHome::new(&model).unwrap();
    let codex = Codex::start(&home).await?;
    Some((model, home, codex))
}

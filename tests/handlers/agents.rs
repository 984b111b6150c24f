//! Sub-agents of the real codex: what they ask is answered by the handlers of the thread that spawned them.

use cas_sdk::{
    Handlers,
    policy::Policy,
    testing::{ModelRequest, Reply},
};

use crate::{
    approvals::{config, escalated},
    common::{
        Rig,
        scenes::{self, is_child},
        within,
    },
    start, turn,
};

/// The parent spawns a child which wants to run a command outside of the sandbox, and waits for it.
fn play(request: &ModelRequest) -> Reply {
    if !is_child(request) {
        return scenes::parent(request);
    }
    match request.tool_output("c-1") {
        None => escalated("c-1", "touch made-by-the-child"),
        Some(_) => Reply::text("child done"),
    }
}

#[tokio::test]
async fn a_sub_agent_has_the_handlers_of_the_thread_that_spawned_it_and_not_the_clients() {
    for (client, thread, ran) in [
        (Policy::auto(), Policy::decline(), false),
        (Policy::decline(), Policy::auto(), true),
    ] {
        let Some(rig) = Rig::with(config).await else {
            return;
        };
        within(60, async {
            rig.model.respond_with(play);
            let client = rig.builder().approvals(client).spawn().await.unwrap();
            let handle = client.with_handlers(Handlers::new().approvals(thread));
            let parent = start(&handle).await;
            let outcome = turn(&parent).await;
            assert_eq!(outcome.text, "parent done");
            let made = rig.home.work_dir().join("made-by-the-child");
            assert_eq!(made.exists(), ran);
            client.shutdown().await;
        })
        .await;
    }
}

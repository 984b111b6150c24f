//! What the screen of a terminal shows of sessions that run.

use cas_sdk::{
    protocol::ThreadStartParams,
    testing::{Gate, Reply},
};

use crate::{
    common::{codex_test, within},
    screens::{shown, start},
    tmux::Terminal,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_what_runs_is_drawn_again_in_its_place_until_ctrl_c() {
    codex_test(120, async |rig| {
        let Some(terminal) = Terminal::new() else {
            return;
        };
        within(120, async {
            let args = ["live", "--watch", "--every", "200ms"];
            start(&terminal, &rig, 120, &[], &args);
            terminal.shows("nothing runs").await;
            let client = rig.builder().serve("unix://").await.unwrap();
            let params = ThreadStartParams::default();
            let thread = client.start_thread(params).await.unwrap();
            let gate = Gate::new();
            let evil = "a \x1b]0;title\x07 and \u{202e} more";
            rig.model
                .reply(Reply::new().delta("hm").hold(&gate).delta("ok"));
            let turn = thread.ask(evil).await.unwrap();
            terminal.shows(" runs ").await;
            terminal.shows("^[]0;title^G").await;
            gate.open();
            turn.finish().await.unwrap();
            terminal.shows(" idle ").await;
            let lines = shown(&terminal);
            assert_eq!(lines.len(), 2, "a header and the thread: {lines:?}");
            assert!(lines[1].ends_with("unix://"), "{lines:?}");
            terminal.key("C-c");
            terminal.shows("exit 0").await;
            assert!(thread.fetch().await.is_ok(), "it goes on");
            client.shutdown().await;
        })
        .await;
    })
    .await;
}

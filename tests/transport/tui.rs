//! The real TUI in a terminal, joined to a session that this program serves.

use cas_sdk::{live::Endpoint, protocol::ThreadStartParams, testing::Reply};
use serde_json::Value;

use crate::{
    common::{codex_test, within},
    listener::socket,
    terminal::Terminal,
};

#[tokio::test]
async fn the_users_tui_joins_a_session_that_a_program_serves_and_both_see_everything() {
    codex_test(120, async |rig| {
        let Some(terminal) = Terminal::new() else {
            return;
        };
        within(180, async {
            let client = rig
                .builder()
                .serve(Endpoint::unix(socket(&rig)))
                .await
                .unwrap();
            let thread = client
                .start_thread(ThreadStartParams::default())
                .await
                .unwrap();
            rig.model.reply(Reply::text("this was before"));
            thread.ask("begin").await.unwrap().finish().await.unwrap();

            let address = format!("unix://{}", socket(&rig).display());
            terminal.run(&rig, &["resume", thread.id(), "--remote", &address]);
            terminal.shows("this was before").await;

            rig.model.reply(Reply::text("said to the program"));
            thread
                .ask("the program asks")
                .await
                .unwrap()
                .finish()
                .await
                .unwrap();
            terminal.shows("the program asks").await;
            terminal.shows("said to the program").await;

            let mut events = thread.events();
            // The TUI may request a title too; the first request gets the first reply.
            rig.model.reply(Reply::text("said to the user"));
            rig.model.reply(Reply::text("said to the user"));
            terminal.enter("the user asks").await;
            terminal.shows("said to the user").await;
            let mut told = String::new();
            loop {
                let event = events.next().await.unwrap().unwrap();
                let params: Value = serde_json::from_str(event.json()).unwrap();
                match event.method() {
                    "item/completed" => told.push_str(&params["item"].to_string()),
                    "turn/completed" => break,
                    _ => {}
                }
            }
            assert!(
                told.contains("the user asks") && told.contains("said to the user"),
                "{told}"
            );
            client.shutdown().await;
        })
        .await;
    })
    .await;
}

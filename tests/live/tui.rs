//! The user's TUI beside clients of this crate.

use std::time::Duration;

use cas_sdk::{
    Error,
    client::Role,
    testing::{ModelRequest, Reply},
};

use crate::{
    asking,
    common::{codex_test_with, eventually},
    connect, escalated,
    listener::{Listener, builder},
    made, started,
    terminal::Terminal,
    waiting,
};

/// The dialog of the TUI for a command that needs approval.
const DIALOG: &str = "Would you like to run";

fn play(request: &ModelRequest) -> Reply {
    let asks = request
        .prompts()
        .last()
        .is_some_and(|text| text.contains("make a file"));
    match request.tool_output("c-1") {
        None if asks => escalated("c-1", "touch here"),
        Some(_) => Reply::text("the file is there"),
        None => Reply::text("hello"),
    }
}

#[tokio::test]
async fn an_observer_leaves_the_dialog_of_the_tui_alone_and_a_driver_answers_it() {
    codex_test_with(asking, 180, async |rig| {
        let Some(terminal) = Terminal::new() else {
            return;
        };
        let listener = Listener::unix(&rig).await;
        let starter = builder(&rig).connect_to(&listener.address).await.unwrap();
        let thread = started(&rig, &starter).await.id().to_owned();
        terminal.run(&rig, &["resume", &thread, "--remote", &listener.address]);
        // The TUI recommends a newer model before it shows the thread.
        terminal.shows("Use existing model").await;
        // While it still reads what the terminal says of itself, an Escape may be taken for the beginning of that.
        tokio::time::sleep(Duration::from_secs(1)).await;
        terminal.key("Escape");
        terminal.shows("hello").await;
        starter.shutdown().await;

        let observer = connect(&rig, &listener, Role::Observer).await;
        let mut joined = observer.join(&thread).await.unwrap();
        rig.model.respond_with(play);
        terminal.enter("make a file").await;
        terminal.shows(DIALOG).await;
        let seen = waiting(&observer).await;
        assert!(matches!(seen.decline().await, Err(Error::Observer { .. })));
        // If anything had been answered, the dialog would be gone at once.
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(terminal.screen().contains(DIALOG), "{}", terminal.screen());
        assert_eq!(seen.settled(), None);

        let driver = connect(&rig, &listener, Role::Driver).await;
        driver.resume_thread(thread.as_str()).await.unwrap();
        waiting(&driver).await.accept().await.unwrap();
        terminal.shows("the file is there").await;
        assert!(!terminal.screen().contains(DIALOG), "{}", terminal.screen());
        assert!(made(&rig, "here"));
        eventually("nothing waits", || observer.pending_requests().is_empty()).await;
        let mut told = String::new();
        loop {
            let event = joined.next().await.unwrap().unwrap().event;
            told.push_str(event.json());
            if event.method() == "turn/completed" {
                break;
            }
        }
        assert!(
            told.contains("make a file") && told.contains("the file is there"),
            "{told}"
        );
        listener.end().await;
    })
    .await;
}

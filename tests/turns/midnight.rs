//! A turn that runs over midnight: codex tells the model the new date in the user's name, after what the user said.
//!
//! A scripted model that answers to the last text of the user's role then answers to the date, and a test that runs at
//! midnight fails for no fault of its own: so did once the storm of turns.

use std::time::{Duration, SystemTime};

use cas_sdk::{
    protocol::ThreadStartParams,
    testing::{Gate, Reply},
};

use crate::common::{Rig, within};

const DAY: u64 = 24 * 60 * 60;

/// A time zone in which it is midnight at this time.
fn zone(midnight: SystemTime) -> String {
    let since = midnight.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let west = since.as_secs() % DAY;
    let (sign, off) = if west > DAY / 2 {
        ('-', DAY - west)
    } else {
        ('+', west)
    };
    format!(
        "XXX{sign}{:02}:{:02}:{:02}",
        off / 3600,
        off / 60 % 60,
        off % 60
    )
}

#[tokio::test]
async fn the_new_date_is_no_prompt() {
    // Longer if codex takes so long to start that midnight is over.
    for lead in [3, 10, 30] {
        let Some(rig) = Rig::new().await else { return };
        let tested = within(90, over_midnight(&rig, Duration::from_secs(lead))).await;
        if tested {
            return;
        }
    }
    panic!("no turn was started within 30 s");
}

/// `false` if midnight came too early.
async fn over_midnight(rig: &Rig, lead: Duration) -> bool {
    let midnight = SystemTime::now() + lead;
    let gate = Gate::new();
    rig.model.reply(Reply::new().delta("not yet").hold(&gate));
    rig.model.reply(Reply::text("done"));
    let client = rig
        .builder()
        .env("TZ", zone(midnight))
        .spawn()
        .await
        .unwrap();
    let thread = client
        .start_thread(ThreadStartParams::default())
        .await
        .unwrap();
    let turn = thread.ask("one").await.unwrap();
    rig.model.next_request().await;
    if SystemTime::now() >= midnight {
        return false;
    }
    while SystemTime::now() <= midnight + Duration::from_secs(1) {
        tokio::time::sleep(Duration::from_millis(50)).await; // Nothing but the clock tells it.
    }
    turn.steer("two").await.unwrap();
    gate.open();
    assert_eq!(turn.finish().await.unwrap().text, "done");
    let request = rig.model.next_request().await;
    let last = *request.user_texts().last().unwrap();
    assert!(last.contains("<current_date>"), "{last}");
    assert_eq!(request.prompts(), ["one", "two"]);
    client.shutdown().await;
    true
}

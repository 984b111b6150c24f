//! Descendants of the server end with it, wherever they are.

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    common::{is_alive, within},
    fake::{Fake, child},
};

#[tokio::test]
async fn a_process_that_left_its_group_session_or_parent_is_ended_by_a_shutdown() {
    within(120, async {
        for sort in ["plain", "nameless", "setsid", "stranger", "daemon"] {
            for mode in ["", "deaf"] {
                let fake = Fake::new();
                let client = fake.client(mode).await;
                let pid = child(&client, sort).await;
                assert!(is_alive(pid), "{sort}");
                client.shutdown().await;
                assert!(!is_alive(pid), "{sort} {mode}");
                assert!(fake.left().is_empty(), "{sort} {mode}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn the_processes_of_a_crashed_server_are_ended_too() {
    within(60, async {
        for sort in ["plain", "nameless", "setsid", "daemon"] {
            let fake = Fake::new();
            let client = fake.client("").await;
            child(&client, sort).await;
            let server = i32::try_from(client.pid().unwrap()).unwrap();
            kill_process(Pid::from_raw(server).unwrap(), Signal::KILL).unwrap();
            client.closed().await;
            assert!(fake.left().is_empty(), "{sort}");
        }
    })
    .await;
}

#[tokio::test]
async fn remaining_processes_are_asked_to_end_before_they_are_killed() {
    within(60, async {
        let fake = Fake::new();
        let client = fake.client("").await;
        child(&client, "polite").await;
        client.shutdown().await;
        assert!(fake.file("goodbye").exists());
        assert!(fake.left().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_neighbour_is_left_alone() {
    within(60, async {
        let (one, other) = (Fake::new(), Fake::new());
        let (mine, its) = (one.client("").await, other.client("").await);
        for sort in ["plain", "setsid", "daemon"] {
            child(&mine, sort).await;
            child(&its, sort).await;
        }
        mine.shutdown().await;
        assert!(one.left().is_empty());
        assert_eq!(other.left().len(), 4);
        its.shutdown().await;
        assert!(other.left().is_empty());
    })
    .await;
}

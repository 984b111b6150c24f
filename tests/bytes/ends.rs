//! The last line, which may be incomplete.

use cas_sdk::{CasClient, Error, Filter, error::CloseCause, events::MessageKind};

use crate::{RawServer, ask, common::within, next};

#[tokio::test]
async fn the_last_line_before_the_end_counts_with_or_without_its_newline() {
    within(30, async {
        for (last, kind) in [
            ("{\"method\":\"last\"}", MessageKind::Notification),
            ("{\"method\":\"last\"}\r", MessageKind::Notification),
            ("{\"method\":\"la", MessageKind::Malformed),
        ] {
            let (client, mut peer) = RawServer::connect(CasClient::builder()).await;
            let mut events = client.events(Filter::all());
            peer.write(b"{\"method\":\"first\"}\n").await;
            peer.write(last.as_bytes()).await;
            drop(peer);
            assert_eq!(next(&mut events).await.method(), "first");
            let event = next(&mut events).await;
            assert_eq!((event.kind(), event.line()), (kind, last.trim_end()));
            let end = events.next().await.unwrap();
            assert!(
                matches!(&end, Err(Error::Closed(r)) if r.cause == CloseCause::Eof),
                "{end:?}"
            );
            assert!(events.next().await.is_none());
        }
    })
    .await;
}

/// Whether a request was sent and has no answer.
fn is_lost(answer: &Result<serde_json::Value, Error>) -> bool {
    matches!(answer, Err(Error::Indeterminate { method, id: None, .. }) if method == "x")
}

#[tokio::test]
async fn an_answer_is_an_answer_without_its_newline_but_not_without_its_end() {
    within(30, async {
        for (rest, whole) in [("\"right\"}", true), ("\"rig", false)] {
            let (client, mut peer) = RawServer::connect(CasClient::builder()).await;
            let (first, second, ()) = tokio::join!(ask(&client, "x"), ask(&client, "x"), async {
                let id = peer.asked("x").await;
                peer.asked("x").await;
                peer.write(format!("{{\"id\":{id},\"result\":{rest}").as_bytes())
                    .await;
                drop(peer);
            });
            if whole {
                assert_eq!(first.unwrap(), "right");
            } else {
                assert!(is_lost(&first), "{first:?}");
            }
            assert!(is_lost(&second), "{second:?}");
        }
    })
    .await;
}

//! Lines over the limit: their requests fail at once.

use cas_sdk::{
    CasClient, Error, Filter,
    events::{Direction, MessageKind},
};
use serde_json::{Value, json};

use crate::{RawServer, common::within, next};

const LIMIT: usize = 64 * 1024;

async fn limited() -> (CasClient, RawServer) {
    RawServer::connect(CasClient::builder().max_line(LIMIT)).await
}

fn text(bytes: usize) -> String {
    "x".repeat(bytes)
}

#[tokio::test]
async fn a_line_over_the_limit_is_reported_by_its_beginning_and_the_next_one_is_read() {
    within(30, async {
        let (client, mut peer) = limited().await;
        let mut events = client.events(Filter::all());
        for extra in [1, 1_000_000] {
            let frame = r#"{"method":"m","params":""}"#.len();
            let line = |extra| {
                format!(
                    r#"{{"method":"m","params":"{}"}}"#,
                    text(LIMIT - frame + extra)
                )
            };
            peer.say(line(0).as_bytes()).await;
            peer.say(line(extra).as_bytes()).await;
            peer.say(b"{\"method\":\"mark\"}").await;
            let event = next(&mut events).await;
            assert_eq!(
                (event.kind(), event.line().len()),
                (MessageKind::Notification, LIMIT)
            );
            let event = next(&mut events).await;
            assert_eq!(event.kind(), MessageKind::Malformed);
            assert!(line(extra).starts_with(event.line()) && event.line().len() == 256);
            assert_eq!(next(&mut events).await.method(), "mark");
        }
        peer.is_well(&client).await;
    })
    .await;
}

#[tokio::test]
async fn a_request_whose_answer_is_too_long_fails_at_once_and_names_the_limit() {
    within(30, async {
        let (client, mut peer) = limited().await;
        for (before, after) in [
            ("\"result\":\"", "\""),
            ("\"error\":{\"code\":1,\"message\":\"", "\"}"),
        ] {
            let params = json!({"threadId": "t"});
            let (answer, ()) =
                tokio::join!(client.call::<Value>("thread/resume", &params), async {
                    let id = peer.asked("thread/resume").await;
                    let line = format!("{{\"id\":{id},{before}{}{after}}}", text(10 * LIMIT));
                    peer.say(line.as_bytes()).await;
                });
            let Err(Error::Decode {
                method,
                raw,
                reason,
            }) = answer
            else {
                panic!("{answer:?}")
            };
            assert_eq!((method.as_str(), raw.len()), ("thread/resume", 256));
            assert!(reason.contains("max_line"), "{reason}");
        }
        peer.is_well(&client).await;
    })
    .await;
}

#[tokio::test]
async fn a_request_of_the_server_that_is_too_long_is_refused() {
    within(30, async {
        let (client, mut peer) = limited().await;
        let line = format!(
            r#"{{"method":"item/tool/call","id":"a-1","params":{{"threadId":"t","arguments":"{}"}}}}"#,
            text(10 * LIMIT)
        );
        peer.say(line.as_bytes()).await;
        let answer: Value = serde_json::from_str(&peer.hear().await).unwrap();
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!("a-1"), &json!(-32600)));
        peer.is_well(&client).await;
    })
    .await;
}

#[tokio::test]
async fn a_line_that_is_too_long_leaves_its_number_free_on_the_wire() {
    within(30, async {
        let (client, mut peer) = limited().await;
        let mut wire = client.wire();
        peer.say(b"{\"method\":\"before\"}").await;
        peer.say(text(2 * LIMIT).as_bytes()).await;
        peer.say(b"{\"method\":\"after\"}").await;
        let (before, after) = (wire.next().await.unwrap(), wire.next().await.unwrap());
        assert_eq!(after.number(), before.number() + 2);
        assert_eq!(after.direction(), Direction::FromServer);
        assert!(after.line().contains("after"));
    })
    .await;
}

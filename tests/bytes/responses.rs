//! Odd responses: the request that they name ends or keeps waiting, and no other is affected.

use std::time::Duration;

use cas_sdk::{CasClient, Error, Filter, events::MessageKind};
use serde_json::{Value, json};

use crate::{RawServer, ask, common::within, deep, next};

/// The result of a request for a string that is answered by these lines. `ID` is its id.
async fn answered(lines: &[&str]) -> (Result<String, Error>, Vec<(MessageKind, String)>) {
    let (client, mut peer) = RawServer::connect(CasClient::builder()).await;
    let mut events = client.events(Filter::all());
    let params = json!({});
    let (answer, ()) = tokio::join!(client.call("x", &params), async {
        let id = peer.asked("x").await.to_string();
        for line in lines {
            peer.say(line.replace("ID", &id).as_bytes()).await;
        }
        peer.say(b"{\"method\":\"mark\"}").await;
    });
    let mut told = Vec::new();
    loop {
        let event = next(&mut events).await;
        if event.method() == "mark" {
            break;
        }
        told.push((event.kind(), event.line().to_owned()));
    }
    peer.is_well(&client).await;
    (answer, told)
}

#[tokio::test]
async fn a_result_of_the_wrong_type_is_reported_with_its_text() {
    within(30, async {
        let too_deep = deep(1_000_000);
        for result in [
            "5",
            "[]",
            "{}",
            "null",
            "nonsense",
            "\"\\ud800\"",
            "1e999",
            &too_deep,
        ] {
            let line = format!("{{\"id\":ID,\"result\":{result}}}");
            let (answer, told) = answered(&[&line]).await;
            let Err(Error::Decode { method, raw, .. }) = answer else {
                panic!("{result}")
            };
            assert!(method == "x" && *raw == *result);
            assert!(told.is_empty());
        }
    })
    .await;
}

#[tokio::test]
async fn an_error_of_the_wrong_type_is_a_refusal_with_its_text() {
    within(30, async {
        let huge = format!(r#"{{"code":-1,"message":"no","data":{}}}"#, deep(100_000));
        for (error, code, message) in [
            ("5", 0, "5"),
            ("\"no\"", 0, "\"no\""),
            ("[]", 0, "[]"),
            ("{}", 0, ""),
            (r#"{"code":"x"}"#, 0, r#"{"code":"x"}"#),
            (
                r#"{"code":99999999999999999999}"#,
                0,
                r#"{"code":99999999999999999999}"#,
            ),
            (
                r#"{"code":-5,"message":7}"#,
                0,
                r#"{"code":-5,"message":7}"#,
            ),
            (r#"{"code":-5,"data":{"a":"b"}}"#, -5, ""),
            (huge.as_str(), -1, "no"),
        ] {
            let line = format!("{{\"id\":ID,\"error\":{error}}}");
            let (answer, _) = answered(&[&line]).await;
            let Err(Error::Rpc { source, .. }) = answer else {
                panic!("{error}")
            };
            assert_eq!((source.code, source.message.as_str()), (code, message));
        }
        // With both, the error counts; `null` is no error.
        let (answer, _) = answered(&[r#"{"id":ID,"result":"a","error":{"code":-7}}"#]).await;
        assert_eq!(answer.unwrap_err().rpc().unwrap().code, -7);
        let (answer, _) = answered(&[r#"{"error":null,"result":"a","id":ID}"#]).await;
        assert_eq!(answer.unwrap(), "a");
        let (answer, _) = answered(&[r#"{"id":ID,"error":null}"#]).await;
        assert!(matches!(answer, Err(Error::Decode { .. })));
    })
    .await;
}

#[tokio::test]
async fn a_response_that_does_not_name_the_request_is_reported_and_leaves_it_waiting() {
    within(30, async {
        let right = r#"{"id":ID,"result":"right"}"#;
        for (line, kind) in [
            (
                r#"{"id":"ID","result":"wrong"}"#,
                Some(MessageKind::Response),
            ),
            (
                r#"{"id":-ID,"result":"wrong"}"#,
                Some(MessageKind::Response),
            ),
            (r#"{"id":0,"result":"wrong"}"#, Some(MessageKind::Response)),
            (
                r#"{"id":77,"error":{"code":1}}"#,
                Some(MessageKind::Response),
            ),
            (
                r#"{"id":9223372036854775808,"result":"wrong"}"#,
                Some(MessageKind::Response),
            ),
            (
                r#"{"id":99999999999999999999,"result":"wrong"}"#,
                Some(MessageKind::Response),
            ),
            (
                r#"{"id":ID.0,"result":"wrong"}"#,
                Some(MessageKind::Unknown),
            ),
            (
                r#"{"id":IDe0,"result":"wrong"}"#,
                Some(MessageKind::Unknown),
            ),
            (
                r#"{"id":[ID],"result":"wrong"}"#,
                Some(MessageKind::Unknown),
            ),
            (r#"{"id":ID}"#, Some(MessageKind::Unknown)),
            (
                r#"{"id":ID,"method":null,"result":"wrong"}"#,
                Some(MessageKind::Unknown),
            ),
            (r#"{"id":ID,"result":"wrong""#, Some(MessageKind::Malformed)),
            // A duplicate of the handshake's response is late, too.
            (r#"{"id":1,"result":"wrong"}"#, None),
        ] {
            let (answer, told) = answered(&[line, right]).await;
            assert_eq!(answer.unwrap(), "right", "{line}");
            let kinds: Vec<_> = told.iter().map(|(kind, _)| *kind).collect();
            assert_eq!(kinds, Vec::from_iter(kind), "{line}");
        }
        // The second response belongs to no request.
        let (answer, told) = answered(&[right, r#"{"id":ID,"result":"wrong"}"#]).await;
        assert_eq!((answer.unwrap().as_str(), told.len()), ("right", 0));
        // A request of the server may have the same id.
        let (answer, told) = answered(&[r#"{"id":ID,"method":"m","params":{}}"#, right]).await;
        assert_eq!(answer.unwrap(), "right");
        assert_eq!(told[0].0, MessageKind::Request);
    })
    .await;
}

#[tokio::test]
async fn answers_in_any_order_reach_their_requests() {
    within(30, async {
        let (client, mut peer) = RawServer::connect(CasClient::builder()).await;
        let asks = futures_util::future::join_all((0..50).map(|n| {
            let client = client.clone();
            async move { (n, client.call::<u64>("x", &json!({"n": n})).await) }
        }));
        let ((), answers) = tokio::join!(
            async {
                let mut asked = Vec::new();
                for _ in 0..50 {
                    let request: Value = serde_json::from_str(&peer.hear().await).unwrap();
                    asked.push((request["id"].clone(), request["params"]["n"].clone()));
                }
                asked.sort_by_key(|(id, _)| id.as_u64().unwrap() * 7919 % 50);
                for (id, n) in asked {
                    peer.say(json!({"result": n, "id": id}).to_string().as_bytes())
                        .await;
                }
            },
            asks
        );
        assert!(
            answers
                .iter()
                .all(|(n, answer)| answer.as_ref().unwrap() == n)
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_comes_is_a_timeout_and_its_coming_late_ends_nothing_else() {
    within(600, async {
        let (client, mut peer) = RawServer::connect(CasClient::builder()).await;
        let mut events = client.events(Filter::all());
        let Err(Error::Timeout { after, .. }) = ask(&client, "x").await else {
            panic!("an answer")
        };
        assert_eq!(after, Duration::from_secs(60));
        let id = peer.asked("x").await;
        peer.say(format!(r#"{{"id":{id},"result":1}}"#).as_bytes())
            .await;
        let late = next(&mut events).await;
        assert_eq!(
            (late.kind(), late.method()),
            (MessageKind::LateResponse, "x")
        );
        // A further duplicate is ignored.
        peer.say(format!(r#"{{"id":{id},"result":1}}"#).as_bytes())
            .await;
        peer.say(b"{\"method\":\"mark\"}").await;
        assert_eq!(next(&mut events).await.method(), "mark");
        peer.is_well(&client).await;
    })
    .await;
}

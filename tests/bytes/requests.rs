//! Requests of the server with wrong contents: each is answered once, with its id verbatim.

use cas_sdk::{
    CasClient,
    protocol::{MethodKind, inventory},
};
use serde_json::Value;

use crate::{RawServer, common::within, odd_values};

#[tokio::test]
async fn no_params_of_any_request_go_without_an_answer_or_get_two() {
    within(120, async {
        let (client, mut peer) = RawServer::connect(CasClient::builder()).await;
        let known = inventory()
            .iter()
            .filter(|m| m.kind == MethodKind::ServerRequest);
        let mut id = 0;
        for method in known.map(|m| m.method).chain(["never/heard/of"]) {
            let params = odd_values()
                .into_iter()
                .map(|p| format!(r#","params":{p}"#));
            for params in params.chain([String::new()]) {
                id += 1;
                let line = format!(r#"{{"id":{id},"method":"{method}"{params}}}"#);
                peer.say(line.as_bytes()).await;
                let answer: Value = serde_json::from_str(&peer.hear().await).unwrap();
                assert_eq!(answer["id"], id, "{method}: {answer}");
                assert!(answer.get("result").is_some() != answer.get("error").is_some());
                assert!(answer.get("method").is_none());
            }
        }
        assert!(id > 150, "{id}");
        assert!(client.pending_requests().is_empty());
        // No second answer came in between.
        peer.is_well(&client).await;
    })
    .await;
}

#[tokio::test]
async fn an_id_is_returned_verbatim() {
    within(30, async {
        let (client, mut peer) = RawServer::connect(CasClient::builder()).await;
        for id in [
            "0",
            "-1",
            "9223372036854775807",
            "9223372036854775808",
            "99999999999999999999999999999999999999",
            "\"\"",
            "\"7\"",
            "\"a \\\"b\\\" \\\\ \\u00e4 \u{e4} \\n\"",
        ] {
            peer.say(format!(r#"{{"method":"m","id":{id}}}"#).as_bytes())
                .await;
            let answer = peer.hear().await;
            assert!(
                answer.starts_with(&format!("{{\"id\":{id},\"error\":")),
                "{answer}"
            );
        }
        peer.is_well(&client).await;
    })
    .await;
}

#[tokio::test]
async fn an_id_may_come_again_once_it_is_answered() {
    within(30, async {
        let (client, mut peer) = RawServer::connect(CasClient::builder()).await;
        for _ in 0..3 {
            peer.say(br#"{"method":"m","id":7}"#).await;
            assert!(peer.hear().await.starts_with(r#"{"id":7,"error":"#));
        }
        peer.is_well(&client).await;
    })
    .await;
}

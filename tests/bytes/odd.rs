//! Lines that are not messages, and messages with wrong contents.

use std::fmt::Write as _;

use cas_sdk::{
    CasClient, Filter,
    events::MessageKind,
    protocol::{MethodKind, inventory},
};

use crate::{RawServer, common::within, next, odd_values};

#[tokio::test]
async fn a_line_that_is_no_message_is_one_event_and_nothing_else_is_lost() {
    use MessageKind::{Malformed, Unknown};
    within(30, async {
        let (client, mut peer) = RawServer::connect(CasClient::builder()).await;
        let mut events = client.events(Filter::all());
        let lines: [(&[u8], MessageKind); 26] = [
            (b"hello", Malformed),
            (b"\x1b[31m2026-01-01 ERROR something\x1b[0m", Malformed),
            (b"\0", Malformed),
            (b"\xef\xbb\xbf{}", Malformed),
            (b"\xff\xfe\x80", Malformed),
            (b"\r\r", Malformed),
            (b"{\"method\":\"m\"}\r{\"method\":\"m\"}", Malformed),
            (b"{\"method\":\"m\"}{\"method\":\"m\"}", Malformed),
            (b"[]", Malformed),
            (b"5", Malformed),
            (b"null", Malformed),
            (b"\"text\"", Malformed),
            (b"{", Malformed),
            (b"}", Malformed),
            (b"{\"method\":\"m\",\"params\":{\"a\":\"", Malformed),
            (b"Content-Length: 20\r", Malformed),
            (b"{}", Unknown),
            (b"{\"jsonrpc\":\"2.0\"}", Unknown),
            (b"{\"id\":1}", Unknown),
            (b"{\"method\":5}", Unknown),
            (b"{\"method\":null,\"id\":1,\"result\":{}}", Unknown),
            (b"{\"method\":\"\"}", Unknown),
            (b"{\"id\":null,\"method\":\"m\"}", Unknown),
            (b"{\"id\":1.5,\"method\":\"m\"}", Unknown),
            (b"{\"id\":{},\"method\":\"m\"}", Unknown),
            (
                b"{\"id\":null,\"error\":{\"code\":-32700,\"message\":\"parse error\"}}",
                Unknown,
            ),
        ];
        for (line, kind) in lines {
            peer.say(line).await;
            peer.say(b"{\"method\":\"mark\"}").await;
            let told = String::from_utf8_lossy(line);
            let event = next(&mut events).await;
            let line = told.strip_suffix('\r').unwrap_or(&told);
            assert_eq!((event.line(), event.kind()), (line, kind));
            assert!(event.notification().is_err());
            assert_eq!(next(&mut events).await.method(), "mark");
        }
        peer.is_well(&client).await;
    })
    .await;
}

#[tokio::test]
async fn an_empty_line_is_nothing_at_all() {
    within(30, async {
        let (client, mut peer) = RawServer::connect(CasClient::builder()).await;
        let mut events = client.events(Filter::all());
        peer.write(b"\n\n\r\n\r\n\n").await;
        peer.say(b"{\"method\":\"mark\"}\r").await;
        let event = next(&mut events).await;
        assert_eq!(
            (event.method(), event.line()),
            ("mark", "{\"method\":\"mark\"}")
        );
        peer.is_well(&client).await;
    })
    .await;
}

#[tokio::test]
async fn a_byte_that_is_not_utf_8_does_not_cost_the_message_it_stands_in() {
    within(30, async {
        let (client, mut peer) = RawServer::connect(CasClient::builder()).await;
        let mut events = client.events(Filter::all().thread("t"));
        peer.say(b"{\"method\":\"turn/completed\",\"params\":{\"threadId\":\"t\",\"x\":\"\xff\"}}")
            .await;
        let event = next(&mut events).await;
        assert_eq!(
            (event.kind(), event.method()),
            (MessageKind::Notification, "turn/completed")
        );
        assert!(event.json().contains('\u{fffd}'));

        let (answer, ()) = tokio::join!(crate::ask(&client, "x"), async {
            let id = peer.asked("x").await;
            peer.write(format!("{{\"id\":{id},\"result\":\"a").as_bytes())
                .await;
            peer.say(b"\xc3\x28\"}").await;
        });
        assert_eq!(answer.unwrap(), "a\u{fffd}(");
    })
    .await;
}

#[tokio::test]
async fn no_params_of_any_notification_hurt_more_than_their_own_event() {
    within(120, async {
        let (client, mut peer) = RawServer::connect(CasClient::builder()).await;
        let mut events = client.events(Filter::all());
        let (mut sent, mut refused) = (0, 0);
        let known = inventory()
            .iter()
            .filter(|m| m.kind == MethodKind::Notification);
        for method in known.map(|m| m.method).chain(["never/heard/of"]) {
            for params in odd_values() {
                let line = format!(r#"{{"method":"{method}","params":{params}}}"#);
                peer.say(line.as_bytes()).await;
                let event = next(&mut events).await;
                assert!(event.line() == line, "{}", &line[..line.len().min(200)]);
                assert_eq!(
                    (event.kind(), event.method()),
                    (MessageKind::Notification, method)
                );
                refused += usize::from(event.notification().is_err());
                sent += 1;
            }
            peer.say(format!(r#"{{"method":"{method}"}}"#).as_bytes())
                .await;
            assert_eq!(next(&mut events).await.json(), "null");
        }
        assert!(sent > 1_000 && refused > sent / 2, "{refused} of {sent}");
        peer.is_well(&client).await;
    })
    .await;
}

#[tokio::test]
async fn a_member_that_comes_twice_counts_as_it_came_last() {
    within(30, async {
        let (client, mut peer) = RawServer::connect(CasClient::builder()).await;
        let mut events = client.events(Filter::all());
        peer.say(
            br#"{"method":"a","params":{"threadId":"x"},"method":"b","params":{"turnId":"y"}}"#,
        )
        .await;
        let event = next(&mut events).await;
        assert_eq!((event.method(), event.json()), ("b", r#"{"turnId":"y"}"#));
        assert_eq!((event.thread_id(), event.turn_id()), (None, Some("y")));
    })
    .await;
}

/// The same JSON with every character of every string escaped.
fn escaped(line: &str) -> String {
    let mut out = String::new();
    let mut is_text = false;
    for c in line.chars() {
        is_text ^= c == '"';
        if is_text && c != '"' {
            write!(out, "\\u{:04x}", u32::from(c)).unwrap();
        } else {
            out.push(c);
        }
    }
    out
}

#[tokio::test]
async fn escapes_anywhere_change_nothing_of_what_a_line_does() {
    within(30, async {
        let (client, mut peer) = RawServer::connect(CasClient::builder()).await;
        let mut of_thread = client.events(Filter::all().thread("thr-1").method("item/*"));
        let line = r#"{"method":"item/started","params":{"threadId":"thr-1","turnId":"u","item":{"id":"i","type":"x"}}}"#;
        for line in [line.to_owned(), escaped(line), line.to_owned()] {
            peer.say(line.as_bytes()).await;
            let event = next(&mut of_thread).await;
            assert_eq!(event.line(), line, "to the letter");
            assert_eq!(
                (event.method(), event.turn_id(), event.item_id(), event.item_type()),
                ("item/started", Some("u"), Some("i"), Some("x"))
            );
        }
        // Answers.
        let params = serde_json::json!({});
        let call = client.call::<String>("x", &params);
        let answer = async {
            let id = peer.asked("x").await;
            let line = escaped(&format!(r#"{{"id":{id},"result":"right"}}"#));
            peer.say(line.as_bytes()).await;
        };
        let (answer, ()) = tokio::join!(call, answer);
        assert_eq!(answer.unwrap(), "right");
        // Requests: answered in the form of their method, with their id verbatim.
        let request = r#"{"id":"a-7","method":"skill/requestApproval","params":{"itemId":"i","skillName":"s"}}"#;
        peer.say(escaped(request).as_bytes()).await;
        let id = escaped("\"a-7\"");
        assert_eq!(
            peer.hear().await,
            format!(r#"{{"id":{id},"result":{{"decision":"decline"}}}}"#)
        );
        // Unknown methods, and ones that need escapes.
        peer.say(br#"{"id":8,"method":"never\nheard \"of\"","params":{}}"#)
            .await;
        let refused: serde_json::Value = serde_json::from_str(&peer.hear().await).unwrap();
        assert_eq!(
            (&refused["id"], &refused["error"]["code"]),
            (&8.into(), &(-32601).into())
        );
    })
    .await;
}

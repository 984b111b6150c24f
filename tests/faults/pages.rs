//! Lists, page by page.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use cas_sdk::{
    CasClient, Error, error::RpcError, history::HistoryQuery, protocol::*, testing::FakeServer,
};
use serde_json::{Value, json};

use crate::common::within;

async fn server() -> (CasClient, FakeServer) {
    FakeServer::connect(CasClient::builder()).await.unwrap()
}

fn page(ids: &[&str], next: impl Into<Value>) -> Value {
    json!({"data": ids, "nextCursor": next.into()})
}

#[tokio::test]
async fn all_pages_come_as_one_stream_with_the_filters_on_each() {
    within(20, async {
        let (client, server) = server().await;
        server.answer("thread/loaded/list", |params| {
            assert_eq!(params["limit"], 2);
            Ok(match params["cursor"].as_str() {
                None => page(&["a", "b"], "2"),
                Some("2") => page(&[], "3"), // An empty page is not the end.
                Some("3") => page(&["c"], Value::Null),
                other => panic!("{other:?}"),
            })
        });
        let params = ThreadLoadedListParams::default().limit(2);
        assert_eq!(
            client.pages(params.clone()).all().await.unwrap(),
            ["a", "b", "c"]
        );
        let rest = client.pages(params.cursor("3")).all().await.unwrap();
        assert_eq!(rest, ["c"], "it begins where the params say");
    })
    .await;
}

#[tokio::test]
async fn a_page_is_fetched_only_when_it_is_needed() {
    within(20, async {
        let (client, server) = server().await;
        server.answer("thread/loaded/list", |params| {
            let n: usize = params["cursor"].as_str().map_or(0, |c| c.parse().unwrap());
            Ok(page(&["x", "y"], (n + 1).to_string()))
        });
        let mut pages = client.pages(ThreadLoadedListParams::default());
        assert_eq!(server.calls("thread/loaded/list"), 0);
        for _ in 0..5 {
            pages.next().await.unwrap().unwrap();
        }
        assert_eq!(server.calls("thread/loaded/list"), 3);
    })
    .await;
}

#[tokio::test]
async fn an_error_ends_the_stream_after_what_came_before_it() {
    within(20, async {
        let (client, server) = server().await;
        let calls = Arc::new(AtomicUsize::new(0));
        server.answer("thread/loaded/list", move |_| {
            match calls.fetch_add(1, Ordering::Relaxed) {
                0 => Ok(page(&["a"], "1")),
                _ => Err(RpcError::new(-32600, "invalid cursor: 1", None)),
            }
        });
        let mut pages = client.pages(ThreadLoadedListParams::default());
        assert_eq!(pages.next().await.unwrap().unwrap(), "a");
        assert!(matches!(pages.next().await, Some(Err(Error::Rpc { .. }))));
        assert!(pages.next().await.is_none());
    })
    .await;
}

/// Pages without an end: after the first one the cursors go through these for ever.
fn circle(cursors: &'static [&'static str]) -> impl FnMut(&Value) -> Result<Value, RpcError> {
    let mut calls = 0;
    move |_| {
        calls += 1;
        let cursor = cursors[(calls - 1) % cursors.len()];
        Ok(json!({"data": [{"id": calls.to_string(), "updatedAt": 5}], "nextCursor": cursor}))
    }
}

const CIRCLES: [&[&str]; 4] = [
    &["a"],
    &["a", "b"],
    &["a", "b", "b"],
    &["a", "b", "c", "d", "e"],
];

#[tokio::test]
async fn a_list_that_goes_round_in_circles_ends_with_an_error() {
    within(20, async {
        for cursors in CIRCLES {
            let (client, server) = server().await;
            let mut calls = 0;
            server.answer("thread/loaded/list", move |_| {
                calls += 1;
                Ok(page(&["x"], cursors[(calls - 1) % cursors.len()]))
            });
            let mut pages = client.pages(ThreadLoadedListParams::default());
            let mut items = 0;
            let error = loop {
                match pages.next().await.unwrap() {
                    Ok(_) => items += 1,
                    Err(error) => break error,
                }
            };
            assert!(error.to_string().contains("a second time"), "{error}");
            assert!(pages.next().await.is_none());
            assert_eq!(items, server.calls("thread/loaded/list"), "{cursors:?}");
            assert!(items <= cursors.len() + 1, "{cursors:?}: {items}");
        }
    })
    .await;
}

#[tokio::test]
async fn mining_a_list_that_goes_round_in_circles_ends_with_an_error_after_what_it_listed() {
    within(20, async {
        for cursors in CIRCLES {
            let (client, server) = server().await;
            server.answer("thread/list", circle(cursors));
            let mut threads = client.history(HistoryQuery::default());
            let mut found = 0;
            let error = loop {
                match threads.next().await.unwrap() {
                    Ok(_) => found += 1,
                    Err(error) => break error,
                }
            };
            assert!(error.to_string().contains("a second time"), "{error}");
            assert_eq!(found, server.calls("thread/list"), "{cursors:?}");
            assert!(found <= cursors.len() + 1, "{cursors:?}: {found}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_turns_of_a_thread_that_go_round_in_circles_are_an_error_of_that_thread() {
    within(20, async {
        for cursors in CIRCLES {
            let (client, server) = server().await;
            server.answer("thread/list", |params| {
                let threads = if params["archived"] == true {
                    json!([])
                } else {
                    json!([{"id": "a", "updatedAt": 2}, {"id": "b", "updatedAt": 1}])
                };
                Ok(json!({"data": threads, "nextCursor": null}))
            });
            let mut endless = circle(cursors);
            server.answer(
                "thread/turns/list",
                move |params| match &params["threadId"] {
                    id if id == "a" => endless(params),
                    _ => Ok(json!({"data": [{"id": "turn"}], "nextCursor": null})),
                },
            );
            let mut threads = client.history(HistoryQuery::default().include_turns(true));
            let endless = threads.next().await.unwrap().unwrap();
            let error = endless.turns_error.unwrap();
            assert!(
                error.contains("thread/turns/list") && error.contains("a second time"),
                "{error}"
            );
            let sound = threads.next().await.unwrap().unwrap();
            assert_eq!(sound.turns.unwrap().len(), 1);
            assert!(threads.next().await.is_none());
        }
    })
    .await;
}

#[tokio::test]
async fn a_stored_thread_keeps_its_text_and_one_that_does_not_fit_the_schema_ends_nothing() {
    within(20, async {
        let (client, server) = server().await;
        server.answer("thread/list", |params| {
            let mut future = FakeServer::thread("a", "idle");
            future["future"] = json!([1]);
            let threads = if params["archived"] == true {
                json!([])
            } else {
                json!([future, {"id": "b", "updatedAt": 1, "turns": 7}])
            };
            Ok(json!({"data": threads, "nextCursor": null}))
        });
        let turn = json!({"id": "turn", "items": [], "status": "completed", "future": 2});
        server.answer("thread/turns/list", move |_| {
            Ok(json!({"data": [turn], "nextCursor": null}))
        });
        let query = HistoryQuery::default().include_turns(true);
        let mut threads = client.history(query);
        let stored = threads.next().await.unwrap().unwrap();
        assert_eq!(stored.thread().unwrap().id, "a");
        assert!(stored.json().contains(r#""future":[1]"#), "{stored:?}");
        let turns = stored.turns.unwrap();
        assert_eq!(turns[0].turn().unwrap().id, "turn");
        assert!(turns[0].json().contains(r#""future":2"#), "{turns:?}");

        let odd = threads.next().await.unwrap().unwrap();
        assert_eq!((odd.id(), odd.updated_at()), ("b", 1));
        let error = odd.thread().unwrap_err();
        assert!(matches!(error, Error::Decode { .. }), "{error:?}");
        assert!(threads.next().await.is_none());
    })
    .await;
}

#[tokio::test]
async fn an_experimental_list_is_refused_early_where_that_is_off() {
    within(20, async {
        let builder = CasClient::builder().experimental_api(false);
        let (client, server) = FakeServer::connect(builder).await.unwrap();
        let mut pages = client.pages(ThreadSearchParams::new("x"));
        let error = pages.next().await.unwrap().unwrap_err();
        assert!(
            matches!(&error, Error::Invalid(text) if text.contains("thread/search")),
            "{error:?}"
        );
        assert_eq!(server.calls("thread/search"), 0);
    })
    .await;
}

/// Every method that has pages by the schema can be read so.
#[test]
fn the_lists_of_the_schema_are_paged() {
    fn paged<C: cas_sdk::protocol::Paged>() -> &'static str {
        C::METHOD
    }
    let methods = [
        paged::<ThreadListParams>(),
        paged::<ThreadSearchParams>(),
        paged::<ThreadTurnsListParams>(),
        paged::<ThreadItemsListParams>(),
        paged::<ModelListParams>(),
        paged::<ExperimentalFeatureListParams>(),
        paged::<AppsListParams>(),
    ];
    assert!(methods.contains(&"thread/list"));
}

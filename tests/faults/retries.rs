//! A server that is too busy: what is made again, how often, and what never is.

use std::time::Duration;

use cas_sdk::{
    CasClient, Error, Retry, RpcErrorKind,
    error::RpcError,
    protocol::{ThreadLoadedListParams, ThreadLoadedListResponse},
    testing::FakeServer,
};
use serde_json::json;
use tokio::time::Instant;

use crate::common::within;

const METHOD: &str = "thread/loaded/list";

fn overloaded() -> RpcError {
    RpcError::new(-32001, "Server overloaded; retry later.", None)
}

/// A server that refuses so often, and then answers.
async fn busy(
    times: usize,
    refusal: impl Fn() -> RpcError + Send + 'static,
) -> (CasClient, FakeServer) {
    let (client, server) = FakeServer::connect(CasClient::builder()).await.unwrap();
    let mut left = times;
    server.answer(METHOD, move |_| {
        if left == 0 {
            return Ok(json!({"data": [], "nextCursor": null}));
        }
        left -= 1;
        Err(refusal())
    });
    (client, server)
}

fn request(client: &CasClient) -> cas_sdk::Request<ThreadLoadedListResponse> {
    client.request(ThreadLoadedListParams::default())
}

#[tokio::test(start_paused = true)]
async fn an_overload_is_an_error_that_says_it_may_be_retried_and_nothing_does_so_unasked() {
    within(60, async {
        let (client, server) = busy(1, overloaded).await;
        let error = request(&client).await.unwrap_err();
        assert_eq!(error.rpc_kind(), Some(RpcErrorKind::Overloaded));
        assert!(error.is_retryable());
        assert_eq!(server.calls(METHOD), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_with_a_retry_policy_is_repeated_after_growing_pauses() {
    within(60, async {
        let (client, server) = busy(4, overloaded).await;
        let begun = Instant::now();
        request(&client).retry(Retry::default()).await.unwrap();
        assert_eq!(server.calls(METHOD), 5);
        // 100, 200, 400 and 800 ms, each shortened by up to half.
        let took = begun.elapsed().as_millis();
        assert!((750..=1_510).contains(&took), "{took} ms");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_retry_ends_after_its_limit_or_before_the_deadline() {
    within(60, async {
        let (client, server) = busy(100, overloaded).await;
        let error = request(&client).retry(Retry::times(3)).await.unwrap_err();
        assert!(error.is_retryable(), "{error:?}");
        assert_eq!(server.calls(METHOD), 4);

        let begun = Instant::now();
        let deadline = Duration::from_secs(1);
        let retry =
            Retry::times(1_000).backoff(Duration::from_millis(200), Duration::from_millis(200));
        let error = request(&client)
            .timeout(deadline)
            .retry(retry)
            .await
            .unwrap_err();
        assert!(
            error.is_retryable(),
            "the reason, not that the time was up: {error:?}"
        );
        assert!(begun.elapsed() <= deadline);
        assert!(server.calls(METHOD) > 8);

        let before = server.calls(METHOD);
        let retry = Retry::times(3).backoff(Duration::MAX, Duration::MAX);
        let error = request(&client).retry(retry).await.unwrap_err();
        assert!(error.is_retryable(), "{error:?}");
        assert_eq!(server.calls(METHOD), before + 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn no_other_error_is_retried() {
    within(600, async {
        let refusals = [
            (-32600, "Invalid request: missing field `x`"),
            (-32600, "Server is draining; retry after reconnecting"),
            (-32603, "internal"),
            (-32601, "x is not supported yet"),
            (-32000, "Server overloaded; retry later."),
        ];
        for (code, message) in refusals {
            let (client, server) = busy(1, move || RpcError::new(code, message, None)).await;
            let error = request(&client).retry(Retry::default()).await.unwrap_err();
            assert!(!error.is_retryable(), "{error:?}");
            assert_eq!(server.calls(METHOD), 1, "{message}");
        }
        // An error that may pass is not one that says that nothing was carried out.
        for info in [
            "internalServerError",
            "serverOverloaded",
            "responseStreamDisconnected",
        ] {
            let refusal = move || {
                let data = serde_json::json!({"codexErrorInfo": info});
                RpcError::new(-32603, "it broke in the middle", Some(data))
            };
            let (client, server) = busy(1, refusal).await;
            let error = request(&client).retry(Retry::default()).await.unwrap_err();
            assert!(error.rpc().is_some(), "{error:?}");
            assert_eq!(server.calls(METHOD), 1, "{info}");
        }
        // Least of all what was not answered: it may have been carried out.
        let (client, server) = FakeServer::connect(CasClient::builder()).await.unwrap();
        let after = Duration::from_secs(3);
        let error = request(&client)
            .timeout(after)
            .retry(Retry::default())
            .await
            .unwrap_err();
        assert!(!error.is_retryable());
        assert!(
            matches!(&error, Error::Timeout { after: told, .. } if *told == after),
            "{error:?}"
        );
        assert_eq!(server.calls(METHOD), 1);
        server.die();
        client.closed().await;
        let error = request(&client).retry(Retry::default()).await.unwrap_err();
        assert!(matches!(error, Error::Closed(_)), "{error:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_deadline_covers_the_attempts_and_the_pauses_together() {
    within(60, async {
        let (client, server) = FakeServer::connect(CasClient::builder()).await.unwrap();
        let after = Duration::from_secs(2);
        let begun = Instant::now();
        let retry = Retry::times(5);
        let (answer, ()) = tokio::join!(
            async { request(&client).timeout(after).retry(retry).await },
            async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                server
                    .next(METHOD)
                    .await
                    .refuse(-32001, "Server overloaded; retry later.");
                drop(server.next(METHOD).await); // It is never answered.
            }
        );
        let error = answer.unwrap_err();
        assert!(
            matches!(&error, Error::Timeout { after: told, .. } if *told == after),
            "{error:?}"
        );
        assert_eq!(begun.elapsed(), after);
    })
    .await;
}

//! Time: what has a limit inside of the server's, and what has none.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use cas_sdk::{
    CasClient,
    handlers::{
        Answers, ApprovalRequest, ChatgptTokens, Decision, HandlerError, RefreshRequest,
        RequestContext,
    },
    protocol::{ApiKeyLoginAccountParams, LoginAccountParams, ToolRequestUserInputParams},
    testing::FakeServer,
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::common::{raw::RawServer, within};

const REFRESH: &str = "account/chatgptAuthTokens/refresh";

/// Asks, and says how long the answer took.
async fn timed(peer: &mut RawServer, method: &str, params: Value) -> (Value, Duration) {
    let begun = Instant::now();
    peer.request(1, method, params).await;
    (peer.next().await, begun.elapsed())
}

fn about(took: Duration, limit: Duration) -> bool {
    took >= limit && took < limit + Duration::from_millis(50)
}

#[tokio::test(start_paused = true)]
async fn a_request_that_the_server_waits_for_is_answered_before_it_gives_up() {
    let builder = CasClient::builder().handlers(
        cas_sdk::Handlers::new()
            .auth_refresh(|_: RefreshRequest, _cx| {
                std::future::pending::<Result<ChatgptTokens, HandlerError>>()
            })
            .clock(|_: RequestContext| std::future::pending::<Result<SystemTime, HandlerError>>())
            .attestation(|_: RequestContext| {
                std::future::pending::<Result<String, HandlerError>>()
            }),
    );
    let (_client, mut peer) = RawServer::connect(builder).await;
    for (method, limit) in [
        (REFRESH, Duration::from_secs(8)),
        ("currentTime/read", Duration::from_secs(9)),
        ("attestation/generate", Duration::from_millis(80)),
    ] {
        let (answer, took) = timed(
            &mut peer,
            method,
            json!({"reason": "unauthorized", "threadId": "t"}),
        )
        .await;
        assert_eq!(answer["error"]["code"], -32000, "{answer}");
        assert!(about(took, limit), "{method} took {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_that_need_not_be_answered_holds_the_turn_up_for_a_minute_at_most() {
    let question = |blocks: bool| {
        json!({
            "threadId": "t", "turnId": "u", "itemId": "i", "isBlocking": blocks,
            "questions": [{"id": "q", "header": "h", "question": "?", "isOther": true, "isSecret": false, "options": null}],
        })
    };
    let silent = |request: ToolRequestUserInputParams, _cx| async move {
        assert!(!request.is_blocking, "the handler sees it");
        std::future::pending::<Result<Answers, HandlerError>>().await
    };
    for (limit, wanted) in [(None, 60), (Some(90), 90)] {
        let mut builder =
            CasClient::builder().handlers(cas_sdk::Handlers::new().user_input(silent));
        if let Some(limit) = limit {
            builder = builder.handlers(
                cas_sdk::Handlers::new()
                    .user_input_limit(Duration::from_secs(limit), Answers::new()),
            );
        }
        let (_client, mut peer) = RawServer::connect(builder).await;
        let asked = timed(&mut peer, "item/tool/requestUserInput", question(false));
        let (answer, took) = within(3_600, asked).await;
        assert_eq!(answer["result"], json!({"answers": {}}), "{answer}");
        assert!(about(took, Duration::from_secs(wanted)), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn people_have_all_the_time_in_the_world() {
    const LONG: Duration = Duration::from_secs(30 * 24 * 3600);
    let builder = CasClient::builder()
        .approvals(|_: ApprovalRequest, _cx| async {
            tokio::time::sleep(LONG).await;
            Ok(Decision::Accept)
        })
        .handlers(cas_sdk::Handlers::new().user_input(
            |_: ToolRequestUserInputParams, _cx| async {
                tokio::time::sleep(LONG).await;
                Ok(Answers::new().answer("q", "a"))
            },
        ));
    let (_client, mut peer) = RawServer::connect(builder).await;
    let params = json!({"threadId": "t", "turnId": "u", "itemId": "i", "startedAtMs": 1, "command": "ls", "isBlocking": true, "questions": []});
    let (answer, took) = timed(
        &mut peer,
        "item/commandExecution/requestApproval",
        params.clone(),
    )
    .await;
    assert_eq!(answer["result"]["decision"], "accept");
    assert!(took >= LONG);
    let (answer, _) = timed(&mut peer, "item/tool/requestUserInput", params).await;
    assert_eq!(answer["result"]["answers"]["q"]["answers"][0], "a");
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_set_ends_with_the_outcome_that_is_set() {
    let after = Duration::from_secs(300);
    let builder = CasClient::builder()
        .approvals(|_: ApprovalRequest, _cx| {
            std::future::pending::<Result<Decision, HandlerError>>()
        })
        .handlers(cas_sdk::Handlers::new().approval_limit(after, Decision::Cancel));
    let (_client, mut peer) = RawServer::connect(builder).await;
    let params =
        json!({"threadId": "t", "turnId": "u", "itemId": "i", "startedAtMs": 1, "command": "ls"});
    let (answer, took) = timed(&mut peer, "item/commandExecution/requestApproval", params).await;
    assert_eq!(answer["result"]["decision"], "cancel");
    assert!(about(took, after), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn refreshes_of_an_account_share_a_run_and_its_tokens_for_a_moment() {
    let runs = Arc::new(AtomicUsize::new(0));
    let count = runs.clone();
    let handler = move |request: RefreshRequest, _cx| {
        let run = count.fetch_add(1, Ordering::SeqCst);
        async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            match request.previous_account_id.as_deref() {
                Some("bad") => Err(HandlerError::new("no such account")),
                account => Ok(ChatgptTokens::new(
                    format!("token-{run}"),
                    account.unwrap_or_default(),
                )),
            }
        }
    };
    let (_client, mut peer) = RawServer::connect(
        CasClient::builder().handlers(cas_sdk::Handlers::new().auth_refresh(handler)),
    )
    .await;
    let of = |account: &str| json!({"reason": "unauthorized", "previousAccountId": account});
    for id in 0..4 {
        peer.request(id, REFRESH, of("a")).await;
    }
    let token = |answer: &Value| answer["result"]["accessToken"].clone();
    for _ in 0..4 {
        assert_eq!(token(&peer.next().await), "token-0");
    }

    // The server asks for its threads one after the other, so the next one comes just after the answer.
    let (answer, took) = timed(&mut peer, REFRESH, of("a")).await;
    assert_eq!(token(&answer), "token-0");
    assert!(took < Duration::from_millis(50));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (answer, _) = timed(&mut peer, REFRESH, of("a")).await;
    assert_eq!(token(&answer), "token-1");

    // Another account is another run, and ends the one before.
    let (answer, _) = timed(&mut peer, REFRESH, of("b")).await;
    assert_eq!(token(&answer), "token-2");
    let (answer, _) = timed(&mut peer, REFRESH, of("a")).await;
    assert_eq!(token(&answer), "token-3");

    // A failure is nobody else's.
    for n in 5..7 {
        let (answer, _) = timed(&mut peer, REFRESH, of("bad")).await;
        assert_eq!(answer["error"]["message"], "no such account");
        assert_eq!(runs.load(Ordering::SeqCst), n);
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_of_before_a_login_a_logout_or_a_change_of_the_account_are_not_given_out_after_it() {
    let runs = Arc::new(AtomicUsize::new(0));
    let handler = {
        let runs = runs.clone();
        move |_: RefreshRequest, _cx| {
            let run = runs.fetch_add(1, Ordering::SeqCst);
            async move { Ok::<_, HandlerError>(ChatgptTokens::new(format!("token-{run}"), "org")) }
        }
    };
    let (client, server) = FakeServer::connect(
        CasClient::builder().handlers(cas_sdk::Handlers::new().auth_refresh(handler)),
    )
    .await
    .unwrap();
    let mut ids = 0..;
    let mut refresh = async || {
        let id = ids.next().unwrap();
        server.call(
            id,
            REFRESH,
            json!({"reason": "unauthorized", "previousAccountId": null}),
        );
        server.reply_to(id).await["result"]["accessToken"].clone()
    };
    server.answer("account/logout", |_| Ok(json!({})));
    server.answer("account/login/start", |_| Ok(json!({"type": "apiKey"})));
    assert_eq!(refresh().await, "token-0");
    assert_eq!(refresh().await, "token-0", "shared while nothing changes");
    client
        .call::<Value>("account/logout", &json!({}))
        .await
        .unwrap();
    assert_eq!(refresh().await, "token-1");
    let key = LoginAccountParams::ApiKey(ApiKeyLoginAccountParams::new("sk"));
    client.request(key).await.unwrap();
    assert_eq!(refresh().await, "token-2");
    for (n, method) in ["account/updated", "account/login/completed"]
        .iter()
        .enumerate()
    {
        server.notify(
            method,
            json!({"authMode": null, "planType": null, "success": true}),
        );
        assert_eq!(refresh().await, format!("token-{}", n + 3), "{method}");
    }
    // One that is begun between the request to log out and its answer is of before, too.
    server.leave("account/logout");
    let none = json!({});
    let (logout, ()) = tokio::join!(client.call::<Value>("account/logout", &none), async {
        let request = server.next("account/logout").await;
        assert_eq!(refresh().await, "token-5");
        request.reply(json!({}));
    });
    logout.unwrap();
    assert_eq!(refresh().await, "token-6");
}

#[tokio::test(start_paused = true)]
async fn a_decision_for_a_person_is_not_accepted_because_none_came_in_time() {
    let after = Duration::from_secs(60);
    for outcome in [
        Decision::AcceptAlways,
        Decision::AcceptForSession,
        Decision::Accept,
    ] {
        let silent = |_: ApprovalRequest, _cx| std::future::pending();
        let builder = CasClient::builder()
            .approvals(silent)
            .handlers(cas_sdk::Handlers::new().approval_limit(after, outcome.clone()));
        let (_client, mut peer) = RawServer::connect(builder).await;
        for (kind, accepted) in [
            ("humanCommand", false),
            ("somethingNew", false),
            ("command", true),
        ] {
            let params = json!({"threadId": "t", "turnId": "u", "itemId": "i", "startedAtMs": 1, "kind": kind, "command": "ls"});
            let (answer, _) =
                timed(&mut peer, "item/commandExecution/requestApproval", params).await;
            let declined = answer["result"]["decision"] == "decline";
            assert_eq!(declined, !accepted, "{kind} {outcome}: {answer}");
        }
    }
}

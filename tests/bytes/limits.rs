//! Extreme values of every setter: none panics, and none makes anything else hang.

use std::time::Duration;

use cas_sdk::{
    CasClient, Error, Retry, ToolContext,
    handlers::{Answers, Decision},
    protocol::{ThreadListParams, ThreadLoadedListParams, ThreadStartParams},
    supervisor::Restart,
    testing::FakeServer,
    tools::DynamicTool,
    turn::Deadline,
};
use serde_json::{Value, json};

use crate::common::within;

const TIMES: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_nanos(1),
    Duration::from_secs(u64::MAX / 2),
    Duration::MAX,
];
const COUNTS: [usize; 3] = [0, 1, usize::MAX];

/// A server that plays a whole turn.
async fn served(builder: cas_sdk::Builder) -> Result<(CasClient, FakeServer), Error> {
    let (client, server) = FakeServer::connect(builder).await?;
    server.opens("t");
    server.starts("u");
    server.answer("turn/steer", |_| Ok(json!({"turnId": "u"})));
    server.answer("thread/list", |_| {
        Ok(json!({"data": [], "nextCursor": null}))
    });
    server.answer("thread/loaded/list", |_| Ok(json!({"data": []})));
    server.answer("thread/resume", |_| {
        Ok(json!({"thread": FakeServer::thread("t", "idle")}))
    });
    let compacts = server.clone();
    server.answer("thread/compact/start", move |_| {
        compacts.turn_started("t", "c");
        compacts.turn_completed("t", "c", "completed");
        Ok(json!({}))
    });
    let interrupts = server.clone();
    server.answer("turn/interrupt", move |_| {
        interrupts.turn_completed("t", "u", "interrupted");
        Ok(json!({}))
    });
    Ok((client, server))
}

/// Awaits everything that takes a duration, whatever the result.
async fn everything(client: &CasClient, server: &FakeServer, time: Duration) {
    let _ = client.request(ThreadLoadedListParams::default()).await;
    let request = || client.request(ThreadLoadedListParams::default());
    let _ = request().urgent().await;
    let _ = request().timeout(time).await;
    let _ = request().urgent().timeout(time).await;
    let _ = request()
        .timeout(time)
        .retry(Retry::times(u32::MAX).backoff(time, time))
        .await;
    let _ = client
        .pages(ThreadListParams::default())
        .timeout(time)
        .all()
        .await;
    let _ = client.resume_thread("t").timeout(time).await;
    let mine = cas_sdk::history::HistoryQuery::default().timeout(time);
    let _ = client.history(mine).next().await;
    let Ok(thread) = client.start_thread(ThreadStartParams::default()).await else {
        return;
    };
    let _ = thread.ask("x").request_timeout(time).await;
    server.turn_completed("t", "u", "completed");
    for deadline in [
        Deadline::after(time),
        Deadline::after(Duration::ZERO).grace(time),
        Deadline::after(time).steer("hurry").grace(time),
    ] {
        let Ok(mut turn) = thread.ask("x").idle_check(time).await else {
            return;
        };
        server.turn_started("t", "u");
        turn.set_idle_check(time);
        let _ = turn.steer("y").await;
        let _ = thread.send("z").await.map(drop);
        let _ = turn.interrupt().await;
        turn.set_deadline(deadline);
        let _ = turn.finish().await;
    }
    let _ = thread.compact().await.map(cas_sdk::Turn::detach);
}

#[tokio::test(start_paused = true)]
async fn no_duration_that_is_set_panics() {
    within(
        1_000_000_000,
        Box::pin(async {
            for time in TIMES {
                for builder in [
                    CasClient::builder(),
                    CasClient::builder().request_timeout(time),
                    CasClient::builder().urgent_timeout(time),
                    CasClient::builder().handshake_timeout(time),
                    CasClient::builder().stop_grace(time),
                ] {
                    let Ok((client, server)) = served(builder).await else {
                        assert!(time < Duration::from_secs(1), "no handshake in {time:?}");
                        continue;
                    };
                    everything(&client, &server, time).await;
                }
            }
        }),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn no_number_that_is_set_panics() {
    within(1_000_000_000, Box::pin(async {
        for n in COUNTS {
            for m in COUNTS {
                let builder = CasClient::builder().in_flight(n).event_queue(n, m);
                let (client, server) = served(builder).await.unwrap();
                everything(&client, &server, Duration::from_secs(1)).await;
            }
            let long = served(CasClient::builder().max_line(n)).await;
            assert_eq!(long.is_ok(), n == usize::MAX);
            let tool = DynamicTool::new("t", "d", |_: Value, _: ToolContext| async {
                Ok("")
            });
            let (_client, server) = served(CasClient::builder().tool(tool.max_concurrent(n)))
                .await
                .unwrap();
            let call = json!({"threadId": "t", "turnId": "u", "callId": "c", "tool": "t", "arguments": {}});
            server.call(1, "item/tool/call", call);
            assert_eq!(server.reply_to(1).await["result"]["success"], true);
        }
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn no_time_limit_of_a_handler_panics() {
    within(1_000_000_000, Box::pin(async {
        for time in TIMES {
            let tool = DynamicTool::new("t", "d", |_: Value, _: ToolContext| async {
                Ok("")
            });
            let approve = |_: cas_sdk::handlers::ApprovalRequest, _: cas_sdk::handlers::RequestContext| async {
                Ok(Decision::Accept)
            };
            let builder = CasClient::builder()
                .tool(tool.time_limit(time))
                .approvals(approve)
                .handlers(cas_sdk::Handlers::new().approval_limit(time, Decision::Decline)
                .user_input_limit(time, Answers::default()));
            let (_client, server) = served(builder).await.unwrap();
            let params = json!({"threadId": "t", "turnId": "u", "itemId": "i", "startedAtMs": 1});
            server.call(1, "item/commandExecution/requestApproval", params);
            assert!(server.reply_to(1).await.get("result").is_some());
            let call = json!({"threadId": "t", "turnId": "u", "callId": "c", "tool": "t", "arguments": {}});
            server.call(2, "item/tool/call", call);
            assert!(server.reply_to(2).await.get("result").is_some());
            let _ = Restart::default().backoff(time, time).reset_after(time).attempts(u32::MAX);
        }
    }))
    .await;
}

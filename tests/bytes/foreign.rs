//! User code that the reader triggers may block or call the client, and delays only itself.

use std::{
    sync::{Arc, Mutex, Weak, mpsc},
    task::{Context, Poll, Wake, Waker},
};

use cas_sdk::{
    CasClient, Filter, Handlers,
    handlers::{ApprovalRequest, Decision, RequestContext},
    policy::Policy,
    protocol::{ThreadLoadedListParams, ThreadStartParams},
    testing::FakeServer,
};
use serde_json::json;
use tracing::{Metadata, Subscriber, span};

use crate::{
    common::{watchdog, within},
    next,
};

/// Blocks until it is released, and reports when it has begun.
struct Blocker {
    begun: mpsc::Sender<()>,
    go: Mutex<mpsc::Receiver<()>>,
}

impl Blocker {
    fn new() -> (Arc<Self>, mpsc::Receiver<()>, mpsc::Sender<()>) {
        let (begun, has_begun) = mpsc::channel();
        let (let_go, go) = mpsc::channel();
        let go = Mutex::new(go);
        (Arc::new(Self { begun, go }), has_begun, let_go)
    }

    fn block(&self) {
        let _ = self.begun.send(());
        let _ = self.go.lock().unwrap().recv();
    }
}

/// Waits on a separate thread, since the runtime of the test has only one.
async fn has_begun(begun: mpsc::Receiver<()>) {
    tokio::task::spawn_blocking(move || begun.recv().unwrap())
        .await
        .unwrap();
}

fn approval() -> serde_json::Value {
    json!({"threadId": "t", "turnId": "u", "itemId": "i", "startedAtMs": 1})
}

const APPROVAL: &str = "item/commandExecution/requestApproval";

#[tokio::test]
async fn an_audit_that_blocks_holds_up_its_own_answer_and_nothing_else() {
    let _watched = watchdog(60, "an audit that blocks");
    within(
        50,
        Box::pin(async {
            let handler = |_: ApprovalRequest, _: RequestContext| async { Ok(Decision::Accept) };
            for builder in [
                CasClient::builder(),
                CasClient::builder().approvals(Policy::auto()),
                CasClient::builder().approvals(handler),
            ] {
                let (blocker, begun, let_go) = Blocker::new();
                let builder =
                    builder.handlers(cas_sdk::Handlers::new().audit(move |_| blocker.block()));
                let (client, server) = FakeServer::connect(builder).await.unwrap();
                let mut events = client.events(Filter::all().method("x"));
                server.call(1, APPROVAL, approval());
                has_begun(begun).await;
                server.notify("x", json!({}));
                next(&mut events).await;
                assert_eq!(client.pending_requests().len(), 1, "it is still open");
                // A repetition meanwhile is not answered twice, and a withdrawal comes too late.
                server.call(1, APPROVAL, approval());
                server.notify(
                    "serverRequest/resolved",
                    json!({"threadId": "t", "requestId": 1}),
                );
                server.notify("x", json!({}));
                next(&mut events).await;
                let_go.send(()).unwrap();
                assert!(server.reply_to(1).await.get("result").is_some());
                assert!(client.pending_requests().is_empty());
            }
        }),
    )
    .await;
}

/// A subscriber of tracing that calls the client at every event.
struct Caller(Arc<Mutex<Option<CasClient>>>, Arc<Mutex<usize>>);

impl Subscriber for Caller {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("cas_sdk")
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        let client = self.0.lock().unwrap().clone();
        if let Some(client) = client {
            drop(client.events(Filter::all()));
            let _ = client.pending_requests();
            let unclaimed = client.unclaimed_requests();
            drop(unclaimed);
            let _ = client.thread("t").is_followed();
            *self.1.lock().unwrap() += 1;
        }
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn a_subscriber_of_tracing_may_call_the_client() {
    let _watched = watchdog(60, "a subscriber that calls the client");
    within(50, async {
        let (slot, calls) = (Arc::default(), Arc::<Mutex<usize>>::default());
        let _listening = tracing::subscriber::set_default(Caller(Arc::clone(&slot), calls.clone()));
        let (client, server) = FakeServer::connect(CasClient::builder()).await.unwrap();
        server.answer("thread/loaded/list", |_| Ok(json!({"data": []})));
        *slot.lock().unwrap() = Some(client.clone());
        let mut events = client.events(Filter::all().method("x"));
        // The warnings of the reader, about lines, responses and requests, and its decisions.
        server.line("{\"method\":\"x\",\"params\":{}}\nthis is no JSON\n{}");
        server.line("{\"id\":1,\"result\":{}}\n{\"id\":77,\"result\":{}}");
        server.call(1, APPROVAL, approval());
        server.call(2, "execCommandApproval", json!({}));
        server.call(3, "never/heardOf", json!({}));
        for id in 1..=3 {
            server.reply_to(id).await;
        }
        next(&mut events).await;
        client
            .request(ThreadLoadedListParams::default())
            .await
            .unwrap();
        crate::common::eventually("all is told", || *calls.lock().unwrap() >= 7).await;
        slot.lock().unwrap().take();
    })
    .await;
}

#[tokio::test]
async fn a_handler_that_blocks_in_its_drop_blocks_nothing_else() {
    struct Blocks(Arc<Blocker>);
    impl Drop for Blocks {
        fn drop(&mut self) {
            self.0.block();
        }
    }
    let _watched = watchdog(60, "a handler that blocks in its drop");
    within(50, async {
        let (client, server) = FakeServer::connect(CasClient::builder()).await.unwrap();
        let (blocker, begun, let_go) = Blocker::new();
        let blocks = Blocks(blocker);
        let handlers = Handlers::new().approvals(move |_: ApprovalRequest, _: RequestContext| {
            let _ = &blocks;
            async { Ok(Decision::Accept) }
        });
        server.opens("t");
        let with = client.with_handlers(handlers);
        let thread = with.start_thread(ThreadStartParams::default()).await;
        drop((thread.unwrap(), with));
        let mut events = client.events(Filter::all().method("x"));
        server.notify("thread/closed", json!({"threadId": "t"}));
        has_begun(begun).await;
        server.notify("x", json!({}));
        next(&mut events).await;
        let_go.send(()).unwrap();
    })
    .await;
}

/// A waker that calls the client when it is woken and when it is dropped.
struct Meddler(Mutex<Weak<CasClient>>);

impl Meddler {
    fn meddle(&self) {
        let client = self.0.lock().unwrap().upgrade();
        if let Some(client) = client {
            drop(client.events(Filter::all()));
            drop(client.wire());
        }
    }
}

impl Wake for Meddler {
    fn wake(self: Arc<Self>) {
        self.meddle();
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        self.meddle();
    }
}

#[tokio::test]
async fn a_waker_may_call_the_client() {
    let _watched = watchdog(60, "a waker that calls the client");
    within(50, async {
        let (client, server) = FakeServer::connect(CasClient::builder()).await.unwrap();
        server.answer("thread/loaded/list", |_| Ok(json!({"data": []})));
        let client = Arc::new(client);
        let mut events = client.events(Filter::all().method("x"));
        let mut wire = client.wire();
        for _ in 0..10 {
            let meddler = || Waker::from(Arc::new(Meddler(Mutex::new(Arc::downgrade(&client)))));
            // Polled twice, so that the second waker replaces the first.
            for _ in 0..2 {
                let waker = meddler();
                let cx = &mut Context::from_waker(&waker);
                let mut event = std::pin::pin!(events.next());
                assert!(event.as_mut().poll(cx).is_pending());
                read_until_it_waits(&mut wire, cx);
            }
            server.notify("x", json!({}));
            client
                .request(ThreadLoadedListParams::default())
                .await
                .unwrap();
            next(&mut events).await;
        }
        drop(wire);
    })
    .await;
}

fn read_until_it_waits(wire: &mut cas_sdk::events::Wire, cx: &mut Context<'_>) {
    while let Poll::Ready(line) = std::pin::pin!(wire.next()).poll(cx) {
        line.unwrap();
    }
}

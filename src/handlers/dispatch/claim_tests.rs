//! Several parties try to answer one request at the same moment.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Dispatch, PendingRequest};
use crate::{
    CasClient, Error,
    client::Role,
    handlers::{
        answer::Answer, approvals::ApprovalRequest, context::RequestContext, decision::Decision,
        policy::Audit, set::Handlers,
    },
    rpc::Incoming,
    testing::FakeServer,
};

const COMMAND: &str = "item/commandExecution/requestApproval";
const LIMIT: Duration = Duration::from_secs(30);

fn command(item: &str) -> Value {
    json!({"threadId": "t", "turnId": "u", "itemId": item, "startedAtMs": 1, "command": "ls"})
}

fn decision(answer: &Value) -> String {
    let decision = answer["result"]["decision"].as_str();
    decision.unwrap_or("none").to_owned()
}

/// The item and the answer of each call of the audit.
type Told = Arc<Mutex<Vec<(String, String)>>>;

fn audited(told: &Told, audit: &Audit) {
    let answer: Value = serde_json::from_str(&audit.answer).unwrap();
    let item = audit.item_id.clone().unwrap();
    let decision = answer["decision"].as_str().unwrap().to_owned();
    told.lock().unwrap().push((item, decision));
}

fn told(told: &Told) -> Vec<(String, String)> {
    told.lock().unwrap().clone()
}

fn pair(item: &str, decision: &str) -> (String, String) {
    (item.to_owned(), decision.to_owned())
}

/// Counts a handler while it runs.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_handler_that_returns_after_the_callers_answer_is_neither_sent_nor_audited() {
    let audits = Told::default();
    let (told_to, answered) = (audits.clone(), Arc::new(Mutex::new(None)));
    let answering = answered.clone();
    let builder = CasClient::builder()
        .approvals(move |_: ApprovalRequest, cx: RequestContext| {
            let answering = answering.clone();
            async move {
                let request = cx.client.pending_requests().pop().unwrap();
                let mut answer = Box::pin(async move { request.decline().await });
                assert!(
                    answer.as_mut().now_or_never().is_none(),
                    "the audit is next"
                );
                *answering.lock().unwrap() = Some(answer);
                Ok(Decision::Accept)
            }
        })
        .handlers(Handlers::new().audit(move |audit| audited(&told_to, audit)));
    let (_client, server) = FakeServer::connect(builder).await.unwrap();
    server.call(7, COMMAND, command("i"));
    let reply = timeout(LIMIT, server.reply_to(7)).await.unwrap();
    assert_eq!(decision(&reply), "decline");
    let answer = answered.lock().unwrap().take().unwrap();
    timeout(LIMIT, answer).await.unwrap().unwrap();
    assert_eq!(told(&audits), [pair("i", "decline")]);
}

/// A request of another client's thread that this client is answering by hand. The audit has been
/// called and waits for a message on `go_on`.
struct Answering {
    client: CasClient,
    server: FakeServer,
    request: PendingRequest,
    answer: tokio::task::JoinHandle<Result<(), Error>>,
    audits: Told,
    go_on: mpsc::Sender<()>,
    /// The number of running handlers.
    running: Arc<AtomicUsize>,
}

impl Answering {
    async fn begin() -> Self {
        let audits = Told::default();
        let told_to = audits.clone();
        let running = Arc::<AtomicUsize>::default();
        let handlers = running.clone();
        let (go_on, wait) = mpsc::channel();
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let wait = Mutex::new((wait, Some(begun)));
        let builder = CasClient::builder()
            .role(Role::Driver)
            .approvals(move |_: ApprovalRequest, _cx| {
                let handler = Running::new(&handlers);
                async move {
                    let _handler = handler;
                    std::future::pending().await
                }
            })
            .handlers(Handlers::new().audit(move |audit| {
                audited(&told_to, audit);
                let mut wait = wait.lock().unwrap();
                let _ = wait.1.take().map(|begun| begun.send(()));
                let _ = wait.0.recv_timeout(LIMIT);
            }));
        let (client, server) = FakeServer::connect(builder).await.unwrap();
        server.call(7, COMMAND, command("i"));
        server.settled(&client).await;
        let request = client.pending_requests().pop().unwrap();
        let answering = request.clone();
        let answer = tokio::spawn(async move { answering.accept().await });
        timeout(LIMIT, has_begun).await.unwrap().unwrap();
        Self {
            client,
            server,
            request,
            answer,
            audits,
            go_on,
            running,
        }
    }

    fn dispatch(&self) -> &Dispatch {
        self.client.dispatch()
    }

    fn message(&self) -> Incoming {
        let table = self.dispatch().table.lock();
        let open = table.open.values().next();
        open.expect("the request is open").message.clone()
    }

    async fn ends_accepted(self) {
        self.go_on.send(()).unwrap();
        timeout(LIMIT, self.answer).await.unwrap().unwrap().unwrap();
        let reply = timeout(LIMIT, self.server.reply_to(7)).await.unwrap();
        assert_eq!(decision(&reply), "accept");
        assert_eq!(told(&self.audits), [pair("i", "accept")]);
        assert!(self.client.pending_requests().is_empty());
    }
}

#[tokio::test]
async fn handlers_that_begin_during_the_callers_answer_are_dropped() {
    let answering = Answering::begin().await;
    answering.dispatch().start(&answering.message());
    let running = answering.running.clone();
    answering.ends_accepted().await;
    assert_eq!(running.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn nobody_else_settles_a_request_during_the_callers_answer() {
    let answering = Answering::begin().await;
    let request = &answering.request;
    let busy = Answer::error(-32001, "too many requests");
    answering.dispatch().settle(&answering.message(), &busy);
    assert_eq!(request.settled(), None);
    let error = request.decline().await.unwrap_err();
    assert!(matches!(error, Error::NotPending { .. }), "{error:?}");
    answering.ends_accepted().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_handler_and_a_caller_at_the_same_moment_one_is_sent_and_audited() {
    let audits = Told::default();
    let told_to = audits.clone();
    let builder = CasClient::builder()
        .approvals(|_: ApprovalRequest, _cx| async { Ok(Decision::Accept) })
        .handlers(Handlers::new().audit(move |audit| audited(&told_to, audit)));
    let (client, server) = FakeServer::connect(builder).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let declining = thread::spawn({
        let (done, client, runtime) = (
            done.clone(),
            client.clone(),
            tokio::runtime::Handle::current(),
        );
        move || {
            let mut declined = Vec::new();
            while !done.load(Ordering::SeqCst) {
                for request in client.pending_requests() {
                    if runtime.block_on(request.decline()).is_ok() {
                        declined.push(request.item_id.clone().unwrap());
                    }
                }
            }
            declined
        }
    });
    let mut replies = Vec::new();
    for id in 0..300 {
        server.call(id, COMMAND, command(&id.to_string()));
        let reply = timeout(LIMIT, server.reply_to(id)).await.unwrap();
        replies.push(pair(&id.to_string(), &decision(&reply)));
    }
    done.store(true, Ordering::SeqCst);
    let declined = declining.join().unwrap();
    assert_eq!(told(&audits), replies);
    let sent = replies.into_iter().filter(|(_, what)| what == "decline");
    let sent: Vec<_> = sent.map(|(item, _)| item).collect();
    assert_eq!(sent, declined);
}

//! Secrets are neither in traces nor in errors, in `Debug` or in the kept stderr.

use std::{
    fmt::Debug,
    io,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use cas_sdk::{
    CasClient, Error, Filter,
    handlers::{ChatgptTokens, HandlerError, RefreshRequest},
    protocol::{
        ApiKeyLoginAccountParams, ChatgptAuthTokensLoginAccountParams, LoginAccountParams,
        ThreadStartParams,
    },
    testing::{FakeServer, Reply, jwt},
};
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

use crate::{
    common::{codex_test, codex_test_with, within},
    fake::Fake,
};

/// Everything that could end up in a log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    fn say(&self, what: &impl Debug) {
        let text = format!("{what:?}\n{what:#?}\n");
        self.0.lock().unwrap().extend(text.bytes());
    }

    /// An error in every printed form.
    fn error(&self, error: &Error) {
        self.say(error);
        let mut source: Option<&dyn std::error::Error> = Some(error);
        while let Some(error) = source {
            let text = format!("{error} {error:?}\n");
            self.0.lock().unwrap().extend(text.bytes());
            source = error.source();
        }
    }

    /// All traces of this thread, of every level, while the guard lives.
    fn traces(&self) -> tracing::subscriber::DefaultGuard {
        // Another subscriber that stays: while those of other tests come and go, `tracing` may take
        // a callsite for one that nobody listens to.
        static STAYS: LazyLock<tracing::Dispatch> = LazyLock::new(|| {
            let subscriber = tracing_subscriber::fmt()
                .with_max_level(tracing::Level::TRACE)
                .with_writer(std::io::sink)
                .finish();
            tracing::Dispatch::new(subscriber)
        });
        LazyLock::force(&STAYS);
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(self.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Valid in base64, too.
const MARKER: &str = "mArKeR-5ecret-7f3abc";

/// A token that codex takes for one, with the marker in the place of the signature.
fn token() -> String {
    let token = jwt("org-1", "pro");
    let (unsigned, _) = token.rsplit_once('.').unwrap();
    format!("{unsigned}.{MARKER}")
}

#[tokio::test]
async fn secrets_reach_the_real_codex_in_every_way_and_nobody_else() {
    codex_test_with(
        cas_sdk::testing::CodexHomeBuilder::chatgpt_auth,
        120,
        async |rig| {
            let log = Log::default();
            let _traces = log.traces();
            within(120, async {
                rig.model.require_bearer("none");
                let new = token();
                let handler = {
                    let log = log.clone();
                    move |request: RefreshRequest, _cx| {
                        let tokens = ChatgptTokens::new(&new, "org-1").plan("pro");
                        log.say(&request);
                        log.say(&tokens);
                        async { Ok::<_, HandlerError>(tokens) }
                    }
                };
                let builder = rig
                    .builder()
                    .env("SOME_API_KEY", MARKER)
                    .env("OTHER", format!("x={MARKER}"))
                    .config("mcp_servers.m.command", "\"true\"")
                    .config("mcp_servers.m.env.KEY", &format!("\"{MARKER}\""))
                    .handlers(cas_sdk::Handlers::new().auth_refresh(handler));
                log.say(&builder);
                let client = builder.clone().spawn().await.unwrap();
                let mut wire = client.wire();
                log.say(&wire);
                let mut events = client.events(Filter::all());
                log.say(&client);

                let login = |params: LoginAccountParams| {
                    let request = client.request(params);
                    log.say(&request);
                    request
                };
                let key = LoginAccountParams::ApiKey(ApiKeyLoginAccountParams::new(format!(
                    "sk-{MARKER}"
                )));
                log.say(&key);
                let answer = login(key).await;
                log.say(&answer);
                let wrong = ChatgptAuthTokensLoginAccountParams::new("org-1", MARKER);
                log.error(
                    &login(LoginAccountParams::ChatgptAuthTokens(wrong))
                        .await
                        .unwrap_err(),
                );
                let right = ChatgptAuthTokensLoginAccountParams::new("org-1", token());
                let answer = login(LoginAccountParams::ChatgptAuthTokens(right)).await;
                log.say(&answer.unwrap());

                // The model refuses the token, and the new one of the handler too.
                rig.model.reply(Reply::text("never"));
                let thread = client
                    .start_thread(ThreadStartParams::default())
                    .await
                    .unwrap();
                log.say(&thread);
                let turn = thread.ask("go").await.unwrap();
                log.say(&turn);
                log.error(&turn.finish().await.unwrap_err());

                // The sent messages hold the secrets, so these could have leaked.
                let mut seen = 0;
                let mut kept = Vec::new();
                let reason = client.shutdown().await;
                // The unread lines, including logins.
                log.say(&wire);
                while let Some(line) = wire.next().await {
                    seen += usize::from(line.line().contains(MARKER));
                    log.say(&line);
                    kept.push(line);
                }
                assert!(
                    seen >= 4,
                    "three logins and a refresh, and {seen} were seen"
                );
                while let Some(event) = events.next().await {
                    match event {
                        Ok(event) => log.say(&event),
                        Err(error) => log.error(&error),
                    }
                }
                log.say(&reason);
                log.say(&reason.stderr_tail);
                let failed = builder.env("CODEX_HOME", "/no/such/home").spawn().await;
                log.error(&failed.unwrap_err());
            })
            .await;
            let text = log.text();
            assert!(text.contains("connection closed"), "the traces are there");
            assert!(text.contains("Builder"), "and the rest");
            for line in text.lines() {
                assert!(!line.contains(MARKER), "{line}");
            }
        },
    )
    .await;
}

#[tokio::test]
async fn secrets_in_the_servers_messages_are_not_repeated() {
    let log = Log::default();
    let _traces = log.traces();
    within(60, async {
        let (client, server) = FakeServer::connect(CasClient::builder()).await.unwrap();
        server.answer("x/y", |_| Ok(json!({"token": MARKER})));
        let answer = client.call::<Vec<u8>>("x/y", &json!({})).await;
        let error = answer.unwrap_err();
        let Error::Decode { raw, .. } = &error else {
            panic!("{error:?}")
        };
        assert!(raw.contains(MARKER), "it is there for who asks for it");
        log.error(&error);
        // Valid and invalid lines of every kind.
        let mut unclaimed = client.unclaimed_requests();
        server.line(&format!("not JSON {MARKER}"));
        server.line(&json!({"id": 99, "result": MARKER}).to_string());
        server.line(&json!({"method": "x/z", "params": {"token": MARKER}}).to_string());
        server.line(&json!({"method": 7, "token": MARKER}).to_string());
        server.call(1, "x/w", json!({"token": MARKER}));
        let request = unclaimed.next().await.unwrap();
        log.say(&request);
        log.say(&client.pending_requests());
        drop(request);
        server.reply_to(1).await;
        server.call(
            2,
            "account/chatgptAuthTokens/refresh",
            json!({"reason": 7, "x": MARKER}),
        );
        log.say(&server.reply_to(2).await["result"]);
        server.call(
            3,
            "item/tool/call",
            json!({"tool": "t", "arguments": {"key": MARKER}}),
        );
        server.reply_to(3).await;
        client.shutdown().await;
    })
    .await;
    let text = log.text();
    for line in text.lines() {
        assert!(!line.contains(MARKER), "{line}");
    }
}

/// Values of every wrong type, with the marker inside.
fn misfits() -> Vec<Value> {
    vec![
        json!(MARKER),
        json!(format!("{MARKER}\", expected {MARKER} at line 1 column 2")),
        json!([MARKER]),
        json!({MARKER: MARKER}),
        json!({"type": MARKER}),
    ]
}

#[tokio::test]
async fn a_value_that_does_not_fit_its_type_is_named_by_its_place_and_not_quoted() {
    let log = Log::default();
    let _traces = log.traces();
    within(60, async {
        let handler = |_: RefreshRequest, _cx| async { Ok(ChatgptTokens::new("t", "o")) };
        let builder = CasClient::builder()
            .handlers(cas_sdk::Handlers::new().auth_refresh(handler))
            .approvals(|_: cas_sdk::handlers::ApprovalRequest, _cx| async { Ok(cas_sdk::handlers::Decision::Accept) })
            .handlers(cas_sdk::Handlers::new().user_input(|_: cas_sdk::protocol::ToolRequestUserInputParams, _cx| async {
                Ok(cas_sdk::handlers::Answers::new())
            })
            .elicitation(|_: cas_sdk::handlers::ElicitationRequest, _cx| async {
                Ok(cas_sdk::handlers::ElicitationAnswer::decline())
            }));
        let (client, server) = FakeServer::connect(builder).await.unwrap();
        let mut events = client.events(Filter::all());
        let mut id = 0;
        for misfit in misfits() {
            // Responses: typed, of a custom type, and those that open a thread.
            let (a, b, c) = (misfit.clone(), misfit.clone(), misfit.clone());
            server.answer("model/list", move |_| Ok(json!({"data": [{"id": a}], "nextCursor": null})));
            let models = client.request(cas_sdk::protocol::ModelListParams::default());
            log.error(&models.await.unwrap_err());
            server.answer("x/y", move |_| Ok(json!({"a": [1, b]})));
            let raw = client
                .call::<std::collections::HashMap<String, Vec<u8>>>("x/y", &json!({}))
                .await;
            log.error(&raw.unwrap_err());
            server.answer("thread/start", move |_| Ok(json!({"thread": {"id": c}})));
            let opened = client.start_thread(ThreadStartParams::default()).await;
            if let Err(error) = opened {
                log.error(&error);
            }
            // Notifications, known and of a custom type.
            for method in ["turn/completed", "item/agentMessage/delta", "account/rateLimits/updated"] {
                let params = json!({"threadId": "t", "turnId": "u", "turn": misfit, "delta": misfit, "rateLimits": misfit});
                server.notify(method, params);
                let event = loop {
                    let event = events.next().await.unwrap().unwrap();
                    if event.method() == method {
                        break event;
                    }
                };
                for error in [event.notification().map(drop), event.params_as::<Vec<u8>>().map(drop)] {
                    if let Err(error) = error {
                        log.error(&error);
                    }
                }
            }
            // Requests for a handler.
            for method in [
                "account/chatgptAuthTokens/refresh",
                "item/commandExecution/requestApproval",
                "item/fileChange/requestApproval",
                "item/tool/requestUserInput",
                "item/tool/call",
                "mcpServer/elicitation/request",
            ] {
                id += 1;
                let params = json!({
                    "threadId": "t", "turnId": "u", "itemId": "i", "startedAtMs": misfit, "reason": misfit,
                    "command": misfit, "questions": misfit, "callId": {"id": misfit}, "tool": [misfit],
                    "serverName": misfit, "mode": misfit, "message": misfit,
                });
                server.call(id, method, params);
                log.say(&server.reply_to(id).await);
            }
        }
        client.shutdown().await;
    })
    .await;
    let text = log.text();
    for place in [
        "x/y cannot be decoded: a[1]: string, expected u8",
        "a[1]: map, expected u8",
    ] {
        assert!(text.contains(place), "{place}");
    }
    for line in text.lines() {
        assert!(!line.contains(MARKER), "{line}");
    }
}

#[tokio::test]
async fn a_secret_that_is_given_by_the_environment_reaches_the_provider_and_not_the_command_line() {
    codex_test(60, async |rig| {
        rig.model.require_bearer(MARKER);
        rig.model.reply(Reply::text("welcome"));
        let client = rig
            .builder()
            .config("model_providers.mock.env_key", "\"MY_KEY\"")
            .env("MY_KEY", MARKER)
            .spawn()
            .await
            .unwrap();
        let pid = client.pid().unwrap();
        let command_line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        let command_line = String::from_utf8_lossy(&command_line);
        assert!(
            command_line.contains("env_key=\"MY_KEY\""),
            "{command_line}"
        );
        assert!(!command_line.contains(MARKER), "{command_line}");
        let thread = client
            .start_thread(ThreadStartParams::default())
            .await
            .unwrap();
        let outcome = thread.ask("go").await.unwrap().finish().await.unwrap();
        assert_eq!(outcome.text, "welcome");
        assert_eq!(rig.model.requests()[0].bearer(), Some(MARKER));
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn the_environment_of_a_server_is_not_on_record() {
    within(60, async {
        let fake = Fake::new();
        let dir = fake.file("registry");
        let builder = fake.builder("").env("SOME_API_KEY", MARKER).registry(&dir);
        let client = builder.spawn().await.unwrap();
        let files: Vec<_> = std::fs::read_dir(&dir).unwrap().flatten().collect();
        assert_eq!(files.len(), 1);
        let text = std::fs::read_to_string(files[0].path()).unwrap();
        let record: Value = serde_json::from_str(&text).unwrap();
        assert!(record["child"]["pid"].is_u64());
        assert!(!text.contains(MARKER), "{text}");
        tokio::time::timeout(Duration::from_secs(10), client.shutdown())
            .await
            .unwrap();
    })
    .await;
}

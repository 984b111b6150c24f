//! `item/tool/call`: what a tool is given, what the model is told, and how a call ends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use cas_sdk::{
    ToolContext, ToolError, ToolOutput,
    protocol::{ThreadLoadedListParams, TurnStatus},
    testing::Reply,
    tools::{DynamicTool, IntoToolOutput},
};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    common::{Rig, codex_test, codex_test_with, eventually, within},
    ended, item, start, told, turn,
};

/// A tool of a closure that takes any arguments.
pub(crate) fn tool<F, R, O>(name: &str, run: F) -> DynamicTool
where
    F: Fn(Value, ToolContext) -> R + Send + Sync + 'static,
    R: Future<Output = Result<O, ToolError>> + Send + 'static,
    O: IntoToolOutput + 'static,
{
    DynamicTool::new(name, "A tool.", run).input_schema(json!({"type": "object", "properties": {}}))
}

/// Runs one turn in which the model calls the tool `t` once. Returns what it was told, and the item.
async fn call(rig: &Rig, tool: DynamicTool, args: Value) -> (String, Value) {
    rig.model
        .reply(Reply::new().function_call("c-1", "t", args));
    rig.model.reply(Reply::text("done"));
    let client = rig.builder().tool(tool).spawn().await.unwrap();
    let outcome = turn(&start(&client).await).await;
    assert_eq!(
        (outcome.status.clone(), outcome.text.as_str()),
        (TurnStatus::Completed, "done")
    );
    client.shutdown().await;
    (told(rig, "c-1"), item(&outcome, "c-1"))
}

#[tokio::test]
async fn text_image_and_audio_reach_the_model() {
    const PIXEL: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    const SILENCE: &str =
        "data:audio/wav;base64,UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA=";
    codex_test(60, async |rig| {
        let tool = tool("t", |_, _cx| async {
            let seen = ToolOutput::new().text("look").image(PIXEL);
            seen.audio(SILENCE).json(&json!({"n": 1}))
        });
        let (told, item) = call(&rig, tool, json!({})).await;
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told[0], json!({"type": "input_text", "text": "look"}));
        assert_eq!(told[1]["type"], "input_image");
        // The audio was understood; the model is one that can't hear.
        assert_eq!(
            told[2]["text"],
            "audio content omitted because you do not support audio input"
        );
        assert_eq!(told[3]["text"], r#"{"n":1}"#);
        assert_eq!(
            (&item["status"], &item["success"]),
            (&json!("completed"), &json!(true))
        );
        assert_eq!(item["contentItems"].as_array().unwrap().len(), 4);
    })
    .await;
}

#[tokio::test]
async fn a_failing_tool_is_told_to_the_model_as_text() {
    #[derive(serde::Deserialize, schemars::JsonSchema)]
    struct City {
        city: String,
    }
    codex_test(120, async |rig| {
        let typed = || {
            DynamicTool::new("t", "d", |args: City, _cx: ToolContext| async move {
                Ok(args.city)
            })
        };
        let failing = || {
            tool("t", |_, _cx| async {
                let number: u32 = "seven".parse()?;
                Ok(number.to_string())
            })
        };
        let panicking = || tool::<_, _, String>("t", |_, _cx| async { panic!("boom") });
        let silent = || {
            tool("t", |_, _cx| {
                std::future::pending::<Result<String, ToolError>>()
            })
            .time_limit(Duration::from_millis(100))
        };
        let refusing = || {
            tool("t", |_, _cx| async {
                Ok(ToolOutput::from("not today").failed())
            })
        };
        within(120, async {
            for (tool, args, text) in [
                (typed(), json!({"city": "Paris"}), "Paris"),
                (
                    typed(),
                    json!({"town": "Paris"}),
                    "invalid arguments for t: missing field `city`",
                ),
                (failing(), json!({}), "invalid digit found in string"),
                (panicking(), json!({}), "the tool t failed unexpectedly"),
                (
                    silent(),
                    json!({}),
                    "the tool t was stopped: it took longer than 100ms",
                ),
                (refusing(), json!({}), "not today"),
            ] {
                let (told, item) = call(&rig, tool, args).await;
                assert!(told.starts_with(text), "{told:?} is not {text:?}");
                let good = text == "Paris";
                assert_eq!(item["success"], good, "{text}");
                assert_eq!(
                    item["status"],
                    if good { "completed" } else { "failed" },
                    "{text}"
                );
            }
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn sixty_four_calls_at_once_run_at_once_and_are_all_answered() {
    const CALLS: usize = 64;
    codex_test(120, async |rig| {
        let mut reply = Reply::new();
        for n in 0..CALLS {
            reply = reply.function_call(&format!("c-{n}"), "t", json!({"n": n}));
        }
        rig.model.reply(reply);
        rig.model.reply(Reply::text("done"));
        let (running, all) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        // Each waits until all are there.
        let tool = tool("t", move |args, _cx| {
            let (running, all) = (running.clone(), all.clone());
            async move {
                let mut everybody = std::pin::pin!(all.notified());
                everybody.as_mut().enable();
                if running.fetch_add(1, Ordering::SeqCst) + 1 == CALLS {
                    all.notify_waiters();
                } else {
                    everybody.await;
                }
                Ok(args["n"].to_string())
            }
        });
        let client = rig.builder().tool(tool).spawn().await.unwrap();
        let outcome = turn(&start(&client).await).await;
        assert_eq!(outcome.text, "done");
        for n in 0..CALLS {
            assert_eq!(told(&rig, &format!("c-{n}")), n.to_string());
        }
        assert!(client.pending_requests().is_empty());
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn no_more_calls_of_a_tool_run_at_once_than_it_allows() {
    codex_test(60, async |rig| {
        let mut reply = Reply::new();
        for n in 0..12 {
            reply = reply.function_call(&format!("c-{n}"), "t", json!({}));
        }
        rig.model.reply(reply);
        rig.model.reply(Reply::text("done"));
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let seen = most.clone();
        let tool = tool("t", move |_, _cx| {
            let (now, most) = (now.clone(), most.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(30)).await; // What it is working on.
                now.fetch_sub(1, Ordering::SeqCst);
                Ok("ok")
            }
        });
        let client = rig
            .builder()
            .tool(tool.max_concurrent(3))
            .spawn()
            .await
            .unwrap();
        let outcome = turn(&start(&client).await).await;
        assert_eq!(outcome.text, "done");
        assert_eq!(seen.load(Ordering::SeqCst), 3);
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_tool_may_call_the_client() {
    codex_test(60, async |rig| {
        let tool = tool("t", |_, cx| async move {
            let loaded = cx.client.request(ThreadLoadedListParams::default()).await?;
            assert!(loaded.data.contains(&cx.thread_id));
            Ok(format!("{} loaded", loaded.data.len()))
        });
        let (told, _) = call(&rig, tool, json!({})).await;
        assert_eq!(told, "1 loaded");
    })
    .await;
}

/// Says when it is dropped.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn an_interrupt_drops_the_tool_that_is_running_and_the_model_is_told_later() {
    codex_test(60, async |rig| {
        rig.model
            .reply(Reply::new().function_call("c-1", "t", json!({})));
        let dropped = Arc::new(AtomicUsize::new(0));
        let guard = dropped.clone();
        let tool = tool("t", move |_, _cx| {
            let guard = Dropped(guard.clone());
            async move {
                let _guard = guard;
                std::future::pending::<Result<String, ToolError>>().await
            }
        });
        let client = rig.builder().tool(tool).spawn().await.unwrap();
        let thread = start(&client).await;
        let running = thread.ask("go").await.unwrap();
        eventually("the tool is running", || {
            !client.pending_requests().is_empty()
        })
        .await;
        let waits = client.pending_requests();
        assert_eq!(
            (waits.len(), waits[0].method.as_str()),
            (1, "item/tool/call")
        );
        assert_eq!(waits[0].thread_id.as_deref(), Some(thread.id()));
        assert!(waits[0].since <= Instant::now());
        running.interrupt().await.unwrap();
        let outcome = ended(running).await;
        assert_eq!(outcome.status, TurnStatus::Interrupted);
        eventually("the tool is dropped", || {
            dropped.load(Ordering::SeqCst) == 1
        })
        .await;
        assert!(client.pending_requests().is_empty());

        rig.model.reply(Reply::text("fine"));
        assert_eq!(turn(&thread).await.text, "fine");
        assert_eq!(
            told(&rig, "c-1"),
            "dynamic tool call was cancelled before receiving a response"
        );
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_running_tool_does_not_keep_the_process_alive() {
    codex_test(60, async |rig| {
        rig.model
            .reply(Reply::new().function_call("c-1", "t", json!({})));
        let dropped = Arc::new(AtomicUsize::new(0));
        let guard = dropped.clone();
        let tool = tool("t", move |_, cx| {
            let guard = Dropped(guard.clone());
            async move {
                let _hold = (guard, cx);
                std::future::pending::<Result<String, ToolError>>().await
            }
        });
        let client = rig.builder().tool(tool).spawn().await.unwrap();
        let pid = client.pid().unwrap();
        let running = start(&client).await.ask("go").await.unwrap();
        eventually("the tool is running", || {
            !client.pending_requests().is_empty()
        })
        .await;
        drop((client, running));
        eventually("the process is gone", || !crate::common::is_alive(pid)).await;
        eventually("the tool is dropped", || {
            dropped.load(Ordering::SeqCst) == 1
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_code_mode_model_calls_the_tool_from_its_script() {
    codex_test_with(
        |home| home.model("gpt-6.1-sol"),
        60,
        async |rig| {
            let script = "const r = await tools.t({city: \"Paris\"}); text(JSON.stringify(r));";
            rig.model
                .reply(Reply::new().custom_tool_call("c-1", "exec", script));
            rig.model.reply(Reply::text("done"));
            let tool = tool("t", |args, _cx| async move {
                Ok(format!("sunny in {}", args["city"]))
            });
            let client = rig.builder().tool(tool).spawn().await.unwrap();
            let outcome = turn(&start(&client).await).await;
            assert_eq!(outcome.text, "done");
            assert!(
                told(&rig, "c-1").contains("sunny in"),
                "{}",
                told(&rig, "c-1")
            );
            client.shutdown().await;
        },
    )
    .await;
}

//! The commands for sessions that run: what they show, and what they do to them.

use std::process::Stdio;

use cas_sdk::{
    CasClient, Thread,
    protocol::ThreadStartParams,
    testing::{Gate, Reply},
};
use serde_json::{Value, json};

use crate::{
    common::{Rig, codex_test},
    people::{cas, lines, piped, run, stderr, stdout},
};

/// A server at the address of a plain `codex`, with a thread that has had a turn.
async fn served(rig: &Rig) -> (CasClient, Thread) {
    let client = rig.builder().serve("unix://").await.unwrap();
    let thread = client
        .start_thread(ThreadStartParams::default())
        .await
        .unwrap();
    rig.model.reply(Reply::text("hello"));
    let turn = thread.ask("Why is the build red?").await.unwrap();
    turn.finish().await.unwrap();
    rig.model.next_request().await;
    (client, thread)
}

/// A turn of the thread that streams and waits.
async fn busy(rig: &Rig, thread: &Thread) -> (cas_sdk::Turn, Gate) {
    let gate = Gate::new();
    rig.model
        .reply(Reply::new().delta("well, ").hold(&gate).delta("yes"));
    let mut turn = thread.ask("go on").await.unwrap();
    while let Some(event) = turn.next().await {
        if matches!(event.unwrap(), cas_sdk::TurnEvent::Text { .. }) {
            break;
        }
    }
    rig.model.next_request().await;
    (turn, gate)
}

/// Waits until no turn runs.
async fn idle(thread: &Thread) {
    while let Some(turn) = thread.running_turn().await.unwrap() {
        turn.finish().await.unwrap();
    }
}

async fn posted(rig: &Rig, args: &[&str], status: i32) -> Value {
    let out = run(rig, &[&["post"], args, &["--json"]].concat()).await;
    assert_eq!(
        out.status.code(),
        Some(status),
        "{args:?}: {}",
        stderr(&out)
    );
    lines(&out).pop().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn live_lists_what_runs_and_what_waits() {
    codex_test(120, async |rig| {
        let nothing = run(&rig, &["live"]).await;
        assert_eq!(stdout(&nothing), "nothing runs\n", "{}", stderr(&nothing));
        let lost = run(&rig, &["live", "--connect", "unix:///no/such.sock"]).await;
        assert_eq!(lost.status.code(), Some(1), "{}", stderr(&lost));

        let (client, thread) = served(&rig).await;
        let listed = stdout(&run(&rig, &["live"]).await);
        let mut shown = listed.lines();
        let header: Vec<_> = shown.next().unwrap().split_whitespace().collect();
        assert_eq!(header, ["ID", "STATUS", "DIRECTORY", "TITLE", "SERVER"]);
        let row = shown.next().unwrap();
        assert!(row.starts_with(&thread.id()[..13]), "{listed}");
        assert!(
            row.contains(" idle ") && row.contains("Why is the build red?"),
            "{listed}"
        );
        assert!(row.ends_with(" unix://"), "what --connect takes: {listed}");

        let (turn, gate) = busy(&rig, &thread).await;
        let listed = stdout(&run(&rig, &["live"]).await);
        assert!(listed.contains(" runs "), "{listed}");
        let report = &lines(&run(&rig, &["live", "--json"]).await)[0];
        let one = &report["servers"][0]["threads"][0];
        assert_eq!(
            (&one["id"], &one["status"]),
            (&json!(thread.id()), &json!("active"))
        );
        gate.open();
        turn.finish().await.unwrap();
        client.shutdown().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_posted_and_the_receipt_is_the_exit_status() {
    codex_test(120, async |rig| {
        let (client, thread) = served(&rig).await;
        let id = &thread.id()[..13];

        rig.model.reply(Reply::text("done"));
        let told = posted(&rig, &[id, "and then this", "--wait", "30s"], 0).await;
        assert_eq!(
            (&told["receipt"], &told["error"]),
            (&json!("taken"), &Value::Null)
        );
        let turn = told["turnId"].as_str().unwrap();
        thread.turn(turn).await.unwrap().finish().await.unwrap();
        let request = rig.model.next_request().await;
        assert!(request.prompts().contains(&"and then this"));

        let (turn, gate) = busy(&rig, &thread).await;
        let told = posted(&rig, &[id, "it is green", "--as", "ci"], 0).await;
        assert_eq!(told["receipt"], "posted");
        assert_eq!(told["turnId"], turn.id());
        let told = posted(&rig, &[id, "later"], 4).await;
        assert_eq!(told["receipt"], "queued");
        assert!(
            told["queueId"].is_string() && told["turnId"].is_null(),
            "{told}"
        );
        rig.model.reply(Reply::text("I see"));
        rig.model.reply(Reply::text("now it is later"));
        gate.open();
        let request = rig.model.next_request().await;
        let input = Value::from(request.input().to_vec()).to_string();
        assert!(
            input.contains(r#""name":"ci""#) && input.contains("well, yes"),
            "{input}"
        );
        assert!(
            !request.prompts().contains(&"it is green"),
            "not in the user's name"
        );
        turn.finish().await.unwrap();
        assert!(rig.model.next_request().await.prompts().contains(&"later"));
        idle(&thread).await;

        let (turn, _gate) = busy(&rig, &thread).await;
        rig.model.reply(Reply::text("stopped"));
        let steered = run(&rig, &["post", id, "--now", "stop"]).await;
        assert_eq!(stdout(&steered), format!("steered turn {}\n", turn.id()));
        assert!(rig.model.next_request().await.prompts().contains(&"stop"));
        turn.finish().await.unwrap();

        let diff = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-1\n+2\n";
        std::fs::write(rig.home.work_dir().join("fix.diff"), diff).unwrap();
        rig.model.reply(Reply::text("applied"));
        let told = posted(&rig, &[id, "--patch", "fix.diff"], 0).await;
        assert_eq!(told["receipt"], "started");
        let request = rig.model.next_request().await;
        let input = Value::from(request.input().to_vec()).to_string();
        assert!(input.contains(&json!(diff).to_string()), "{input}");
        client.shutdown().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_another_process_gets_the_message_through_its_queue() {
    codex_test(120, async |rig| {
        let gate = Gate::new();
        rig.model
            .reply(Reply::new().delta("Once").hold(&gate).delta(" upon"));
        let mut asking = cas(&rig, &["ask", "--json", "a long story"]);
        let child = asking.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = child.spawn().unwrap();
        let request = rig.model.next_request().await;
        let thread = request.thread_id().unwrap().to_owned();

        let refused = run(&rig, &["post", &thread, "--as", "ci", "it is red"]).await;
        assert_eq!(refused.status.code(), Some(1), "{}", stdout(&refused));
        assert!(
            stderr(&refused).contains("--as NAME --next"),
            "{}",
            stderr(&refused)
        );
        let told = posted(&rig, &[&thread, "--as", "ci", "--next", "it is red"], 4).await;
        assert_eq!(told["receipt"], "queued");
        let told = posted(&rig, &[&thread, "--wait", "100ms", "and green"], 4).await;
        assert_eq!(told["receipt"], "queued");
        rig.model.otherwise(Reply::text("well"));
        gate.open();
        // The next turns run in whichever process has the thread then: this one is about to end.
        child.wait().unwrap();
        let left = rig.client().await;
        let thread = left.resume_thread(thread.as_str()).await.unwrap();
        for queued in thread.queue().await.unwrap() {
            assert!(queued.withdraw().await.is_ok());
        }
        left.shutdown().await;
        let missing = "01900000-0000-7000-8000-000000000000";
        let none = run(&rig, &["post", missing, "hello"]).await;
        assert_eq!(none.status.code(), Some(1), "{}", stdout(&none));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_to_post_is_refused_before_anything_is_started() {
    codex_test(60, async |rig| {
        for args in [
            &["post", "t"][..],
            &["post", "t", ""],
            &["post", "t", "x", "--now", "--next"],
            &["post", "t", "x", "--now", "--as", "ci"],
            &["post", "t", "x", "--as", " "],
            &["post", "t", "x", "--patch", "y"],
            &["post", "t", "--patch", "/no/such/file"],
            &["post", "t", "x", "--token-file", "y"],
            &["post", "t", "x", "--connect", "http://x"],
            &["ask", "x", "--connect", "unix://", "--add-dir", "/tmp"],
        ] {
            let out = run(&rig, args).await;
            assert_eq!(out.status.code(), Some(2), "{args:?}: {}", stderr(&out));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_work_on_a_server_that_runs_already_and_leave_it_running() {
    codex_test(120, async |rig| {
        let (client, thread) = served(&rig).await;
        let on = ["--connect", "unix://"];
        rig.model.reply(Reply::text("from afar"));
        let out = run(&rig, &[&["ask", "--json", "hi"][..], &on].concat()).await;
        assert!(out.status.success(), "{}", stderr(&out));
        let events = lines(&out);
        let asked = events[0]["threadId"].as_str().unwrap().to_owned();
        assert_eq!(events.last().unwrap()["text"], "from afar");
        let fetched = client.thread(&asked).fetch().await.unwrap();
        let dir = rig.home.work_dir().canonicalize().unwrap();
        assert_eq!(std::path::Path::new(&fetched.cwd.to_string()), dir);

        let listed = run(&rig, &[&["threads", "list", "--json"][..], &on].concat()).await;
        let ids: Vec<_> = lines(&listed).iter().map(|t| t["id"].clone()).collect();
        assert!(ids.contains(&json!(thread.id())), "{ids:?}");

        let (turn, _gate) = busy(&rig, &thread).await;
        rig.model.reply(Reply::text("steered"));
        let out = piped(&rig, &["steer", &thread.id()[..13], turn.id(), "-"], "stop").await;
        assert!(out.status.success(), "found by itself: {}", stderr(&out));
        assert_eq!(turn.finish().await.unwrap().text, "steered");

        let out = run(&rig, &[&["doctor", "--json"][..], &on].concat()).await;
        let report = &lines(&out)[0];
        assert_eq!(
            (&report["ok"], &report["codex"]),
            (&json!(true), &Value::Null)
        );
        assert!(report["address"].as_str().unwrap().starts_with("unix://"));
        assert_eq!(report["contract"]["ok"], true, "{report}");
        assert!(stdout(&run(&rig, &[&["doctor"][..], &on].concat()).await).contains("server"));
        assert!(client.thread(&asked).fetch().await.is_ok(), "it still runs");
        client.shutdown().await;
        let out = run(&rig, &[&["doctor", "--json"][..], &on].concat()).await;
        assert_eq!(out.status.code(), Some(1));
        assert_eq!(lines(&out)[0]["ok"], false);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_on_a_server_that_runs_already_is_of_the_working_directory() {
    codex_test(120, async |rig| {
        let (client, _thread) = served(&rig).await;
        let other = rig.home.work_dir().join("other");
        std::fs::create_dir(&other).unwrap();
        let here = rig.home.work_dir().canonicalize().unwrap();
        for (flags, dir) in [
            (&[][..], here.clone()),
            (&["-C", "other"], here.join("other")),
        ] {
            rig.model.reply(Reply::text("I like it."));
            let args = ["review", "--instructions", "look", "--connect", "unix://"];
            let out = run(&rig, &[&args, flags].concat()).await;
            assert_eq!(stdout(&out), "I like it.\n", "{}", stderr(&out));
            let asked = rig.model.requests().pop().unwrap().body().to_string();
            let told = format!("<cwd>{}</cwd>", dir.display());
            assert!(asked.contains(&told), "no {told}");
        }
        client.shutdown().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beginning_that_several_sessions_have_joins_none_of_them() {
    codex_test(120, async |rig| {
        let (client, thread) = served(&rig).await;
        let params = ThreadStartParams::default();
        let other = client.start_thread(params).await.unwrap();
        // Both are of the same year.
        let both = &thread.id()[..3];
        for args in [
            &["watch", "--json", both][..],
            &["watch", "--json", "--connect", "unix://", both],
        ] {
            let out = run(&rig, args).await;
            assert_eq!(out.status.code(), Some(1), "{}", stdout(&out));
            let told = stderr(&out);
            for id in [thread.id(), other.id()] {
                assert!(told.contains(id), "{told}");
            }
        }
        client.shutdown().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_leaves_a_turn_that_others_run_on_their_server_to_them() {
    codex_test(120, async |rig| {
        let (client, thread) = served(&rig).await;
        let (turn, _gate) = busy(&rig, &thread).await;
        let gate = Gate::new();
        let reply = Reply::new().delta("as you ").hold(&gate).delta("say");
        rig.model.reply(reply);
        let args = ["ask", "--json", "--connect", "unix://", "--thread"];
        let mut asking = cas(&rig, &[&args[..], &[thread.id(), "and I?"]].concat());
        let child = asking.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = child.spawn().unwrap();
        let request = rig.model.next_request().await;
        assert!(request.prompts().contains(&"and I?"), "it joined the turn");
        let out = child.stdout.take().unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(out));
        while !lines.next().unwrap().unwrap().contains("as you") {}
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        gate.open();
        assert_eq!(turn.finish().await.unwrap().text, "as you say");
        client.shutdown().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_interrupts_the_turn_that_was_asked_for_and_none_of_the_others_on_that_server() {
    codex_test(120, async |rig| {
        let (client, thread) = served(&rig).await;
        let (others, gate) = busy(&rig, &thread).await;
        rig.model
            .reply(Reply::new().delta("a long ").hold(&Gate::new()));
        let mut asking = cas(&rig, &["ask", "--json", "--connect", "unix://", "a story"]);
        let child = asking.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = child.spawn().unwrap();
        let out = child.stdout.take().unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(out));
        let mut next = || -> Value {
            let line = lines.next().unwrap().unwrap();
            serde_json::from_str(&line).unwrap()
        };
        let started = next();
        assert_eq!(started["event"], "started");
        while next()["event"] != "text" {}
        crate::interrupts::signal(&child, rustix::process::Signal::INT);
        assert_eq!(child.wait().unwrap().code(), Some(130));
        let asked = client.resume_thread(started["threadId"].as_str().unwrap());
        let asked = asked.await.unwrap();
        let turn = asked
            .turn(started["turnId"].as_str().unwrap())
            .await
            .unwrap();
        let ended = turn.finish().await.unwrap_err();
        assert!(ended.to_string().contains("interrupted"), "{ended}");
        gate.open();
        others.finish().await.unwrap();
        client.shutdown().await;
    })
    .await;
}

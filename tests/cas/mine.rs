//! `cas mine`: what is stored comes out whole, once, and can be searched.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
};

use cas_sdk::{
    CasClient,
    error::RpcError,
    history::HistoryQuery,
    protocol::ThreadItem,
    testing::{FakeServer, Reply},
};
use serde_json::{Value, json};

use crate::{
    common::{Rig, within},
    people::run,
};

/// A home with some threads of one turn each; the newest last.
async fn rig(threads: usize) -> Option<(Rig, Vec<String>)> {
    let rig = Rig::new().await?;
    let client = rig.client().await;
    let mut ids = Vec::new();
    for n in 0..threads {
        rig.model
            .reply(Reply::text(format!("the flaky test number {n}")));
        let thread = client
            .start_thread(cas_sdk::protocol::ThreadStartParams::default())
            .await
            .unwrap();
        thread
            .ask(format!("question {n}").as_str())
            .await
            .unwrap()
            .finish()
            .await
            .unwrap();
        ids.push(thread.id().to_owned());
    }
    client.shutdown().await;
    Some((rig, ids))
}

fn entries(file: &std::path::Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_has_every_thread_with_its_turns_and_passes_over_what_is_known() {
    let Some((rig, ids)) = rig(3).await else {
        return;
    };
    within(60, async {
        let client = rig.client().await;
        let mut mining = client.history(HistoryQuery::default().include_turns(true));
        let mut mined = Vec::new();
        while let Some(thread) = mining.next().await {
            mined.push(thread.unwrap());
        }
        let mut found: Vec<_> = mined.iter().map(|m| m.id().to_owned()).collect();
        found.sort_unstable();
        let mut expected = ids.clone();
        expected.sort_unstable();
        assert_eq!(found, expected);
        assert!(mined.is_sorted_by_key(|m| std::cmp::Reverse(m.updated_at())));
        for thread in &mined {
            let turns = thread.turns.as_deref().unwrap();
            assert_eq!(turns.len(), 1);
            let items = turns[0].turn().unwrap().items;
            assert!(
                matches!(
                    &items[..],
                    [ThreadItem::UserMessage(_), ThreadItem::AgentMessage(_)]
                ),
                "{items:?}"
            );
            assert_eq!(thread.thread().unwrap().id, thread.id());
        }
        let known = mined[1..]
            .iter()
            .map(|m| (m.id().to_owned(), m.updated_at()));
        let mut rest = client.history(HistoryQuery::default().known(known));
        let left = rest.next().await.unwrap().unwrap();
        assert_eq!(left.id(), mined[0].id());
        assert!(left.turns.is_none() && rest.next().await.is_none());
        let later = mined[0].updated_at() + 1;
        assert!(
            client
                .history(HistoryQuery::default().since(later))
                .next()
                .await
                .is_none()
        );
        client.shutdown().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_continued_where_it_was_broken_off() {
    let Some((rig, ids)) = rig(3).await else {
        return;
    };
    within(60, async {
        let file = rig.home.work_dir().join("sessions.jsonl");
        let path = file.to_str().unwrap();
        assert!(run(&rig, &["mine", "--out", path]).await.status.success());
        assert_eq!(entries(&file).len(), ids.len());
        assert!(entries(&file)[0].get("turns").is_none());

        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "conversations are for the user alone");

        // With turns it is more than what is known.
        assert!(
            run(&rig, &["mine", "--out", path, "--include-turns"])
                .await
                .status
                .success()
        );
        assert_eq!(entries(&file).len(), 2 * ids.len());

        // A run that was killed in the middle of a line.
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, &text[..text.len() - 100]).unwrap();
        let out = run(&rig, &["mine", "--out", path, "--include-turns"]).await;
        assert!(out.status.success());
        assert_eq!(
            String::from_utf8_lossy(&out.stderr).trim(),
            "cas: 1 threads written, 0 of them without their turns"
        );
        let last = entries(&file).pop().unwrap();
        assert_eq!(last["turns"][0]["items"][1]["type"], "agentMessage");
        assert_eq!(entries(&file).len(), 2 * ids.len());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_filled_once_and_its_words_are_found() {
    let Some((rig, ids)) = rig(2).await else {
        return;
    };
    within(60, async {
        let file = rig.home.work_dir().join("sessions.db");
        let path = file.to_str().unwrap();
        let mine = ["mine", "--sqlite", path, "--include-turns"];
        let out = run(&rig, &mine).await;
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        let again = run(&rig, &mine).await;
        assert!(String::from_utf8_lossy(&again.stderr).contains("0 threads"));

        let search = |query: &'static str| {
            let rig = &rig;
            async move {
                let out = run(rig, &["mine", "search", query, "--sqlite", path, "--json"]).await;
                assert!(
                    out.status.success(),
                    "{}",
                    String::from_utf8_lossy(&out.stderr)
                );
                let text = String::from_utf8(out.stdout).unwrap();
                text.lines()
                    .map(|line| serde_json::from_str(line).unwrap())
                    .collect::<Vec<Value>>()
            }
        };
        let hits = search("\"flaky test\" AND 1").await;
        assert_eq!(hits.len(), 1, "{hits:?}");
        assert_eq!(
            (&hits[0]["threadId"], &hits[0]["type"]),
            (&Value::from(ids[1].as_str()), &"agentMessage".into())
        );
        assert!(
            hits[0]["snippet"]
                .as_str()
                .unwrap()
                .contains("[flaky test]")
        );
        assert_eq!(search("question").await.len(), 2);
        assert!(search("nothing").await.is_empty());

        // A thread that goes on is read anew, and is not there twice.
        rig.model.reply(Reply::text("another word: xylophone"));
        assert!(
            run(&rig, &["ask", "--thread", &ids[0], "more"])
                .await
                .status
                .success()
        );
        assert!(run(&rig, &mine).await.status.success());
        assert_eq!(search("xylophone").await.len(), 1);
        assert_eq!(search("question").await.len(), 2);

        let filtered = run(
            &rig,
            &[
                "mine",
                "--sqlite",
                path,
                "--filter",
                "searchTerm=no such title",
            ],
        )
        .await;
        assert!(String::from_utf8_lossy(&filtered.stderr).contains("0 threads"));
        let refused = run(
            &rig,
            &["mine", "--sqlite", path, "--filter", "sourceKinds=[1]"],
        )
        .await;
        assert_eq!(
            refused.status.code(),
            Some(1),
            "a filter that the server refuses"
        );
        for file in fs::read_dir(rig.home.work_dir()).unwrap() {
            let mode = file.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0);
        }

        let neither = run(&rig, &["mine"]).await;
        assert_eq!(neither.status.code(), Some(2));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_to_but_what_this_command_has_made() {
    let Some((rig, ids)) = rig(1).await else {
        return;
    };
    within(120, async {
        let dir = rig.home.work_dir();
        let notes = dir.join("notes.txt");
        let other = dir.join("other.db");
        fs::write(&notes, "my notes\nthe last line has no newline").unwrap();
        let connection = rusqlite::Connection::open(&other).unwrap();
        connection
            .execute_batch("CREATE TABLE threads (id TEXT PRIMARY KEY, title TEXT); INSERT INTO threads VALUES ('t', 'mine');")
            .unwrap();
        drop(connection);
        symlink(&notes, dir.join("link")).unwrap();
        symlink(&other, dir.join("link.db")).unwrap();
        symlink(&notes, dir.join("new.db-wal")).unwrap();
        let (text, database) = (fs::read(&notes).unwrap(), fs::read(&other).unwrap());
        for (flag, file, why) in [
            ("--out", "notes.txt", "left unchanged"),
            ("--out", "other.db", "left unchanged"),
            ("--out", "link", "is a link"),
            ("--sqlite", "other.db", "left unchanged"),
            ("--sqlite", "notes.txt", "left unchanged"),
            ("--sqlite", "link.db", "is a link"),
            ("--sqlite", "new.db", "its -wal file"),
        ] {
            let out = run(&rig, &["mine", flag, file]).await;
            let told = String::from_utf8(out.stderr).unwrap();
            assert_eq!(out.status.code(), Some(2), "{flag} {file}: {told}");
            assert!(told.contains(why), "{flag} {file}: {told}");
            assert_eq!(fs::read(&notes).unwrap(), text, "{flag} {file}");
            assert_eq!(fs::read(&other).unwrap(), database, "{flag} {file}");
        }
        let search = run(&rig, &["mine", "search", "x", "--sqlite", "other.db"]).await;
        assert_eq!(search.status.code(), Some(1));

        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
        for flag in ["--out", "--sqlite"] {
            let out = run(&rig, &["mine", flag, "new"]).await;
            let told = String::from_utf8(out.stderr).unwrap();
            assert_eq!(out.status.code(), Some(2), "{told}");
            assert!(told.contains("others may write"), "{told}");
        }
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();

        // A stream is only written to.
        for file in ["-", "/dev/stdout", "/dev/fd/1"] {
            let out = run(&rig, &["mine", "--out", file]).await;
            assert!(out.status.success(), "{out:?}");
            let mined: Value = serde_json::from_slice(&out.stdout).unwrap();
            assert_eq!(mined["thread"]["id"], ids[0], "{file}");
        }
        assert!(!dir.join("-").exists());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_stored_thread_is_mined_unless_a_choice_narrows_it() {
    let Some((rig, ids)) = rig(2).await else {
        return;
    };
    within(120, async {
        // One that is archived, one of `codex exec`, and one of another model provider.
        let client = rig.client().await;
        client.thread(&ids[0]).archive().await.unwrap();
        client.shutdown().await;
        rig.model.reply(Reply::text("done"));
        let base = rig.model.base_url();
        let codex = |arguments: &[&str]| {
            let mut command = tokio::process::Command::new(rig.codex());
            command
                .args(arguments)
                .env_clear()
                .envs(rig.home.env())
                .current_dir(rig.home.work_dir())
                .stdin(std::process::Stdio::null());
            command
        };
        let executed = codex(&["exec", "--skip-git-repo-check", "from exec"])
            .output()
            .await
            .unwrap();
        assert!(
            executed.status.success(),
            "{}",
            String::from_utf8_lossy(&executed.stderr)
        );
        rig.model.reply(Reply::text("done"));
        let provider =
            format!(r#"{{ name = "elsewhere", base_url = "{base}", wire_api = "responses" }}"#);
        let client = rig
            .builder()
            .config("model_provider", "\"elsewhere\"")
            .config("model_providers.elsewhere", &provider)
            .spawn()
            .await
            .unwrap();
        let thread = client
            .start_thread(cas_sdk::protocol::ThreadStartParams::default())
            .await
            .unwrap();
        thread
            .ask("elsewhere")
            .await
            .unwrap()
            .finish()
            .await
            .unwrap();
        let elsewhere = thread.id().to_owned();
        client.shutdown().await;

        let file = rig.home.work_dir().join("all.jsonl");
        let path = file.to_str().unwrap();
        let mut mined = Vec::new();
        for flags in [
            &[][..],
            &["--archived"],
            &["--no-archived"],
            &["--source-kind", "exec"],
            &["--model-provider", "elsewhere"],
        ] {
            let _ = fs::remove_file(&file);
            let out = run(&rig, &[&["mine", "--out", path], flags].concat()).await;
            assert!(
                out.status.success(),
                "{}",
                String::from_utf8_lossy(&out.stderr)
            );
            let text = |entry: &Value| entry["thread"]["id"].as_str().unwrap().to_owned();
            mined.push(entries(&file).iter().map(text).collect::<Vec<_>>());
        }
        let [all, archived, others, exec, of_provider] = &mined[..] else {
            unreachable!()
        };
        assert_eq!(all.len(), 4, "{mined:?}");
        assert_eq!(archived, &ids[..1]);
        assert_eq!(others.len(), 3);
        assert!(!others.contains(&ids[0]));
        assert_eq!(exec.len(), 1);
        assert!(!exec.contains(&ids[1]) && !exec.contains(&elsewhere));
        assert_eq!(of_provider, &[elsewhere]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_on_the_same_file_is_refused_and_changes_nothing() {
    let Some((rig, _)) = rig(1).await else {
        return;
    };
    within(60, async {
        let file = rig.home.work_dir().join("sessions.jsonl");
        let path = file.to_str().unwrap();
        let out = run(&rig, &["mine", "--out", path]).await;
        assert!(out.status.success());
        let before = fs::read(&file).unwrap();
        // The first run, in the middle of its work: it holds the file.
        let first = fs::File::options().append(true).open(&file).unwrap();
        rustix::fs::flock(&first, rustix::fs::FlockOperation::LockExclusive).unwrap();
        let second = run(&rig, &["mine", "--out", path, "--include-turns"]).await;
        assert_eq!(second.status.code(), Some(2));
        let told = String::from_utf8_lossy(&second.stderr);
        assert!(
            told.contains("another program") && told.contains(path),
            "{told}"
        );
        assert_eq!(fs::read(&file).unwrap(), before);
        drop(first);
        let third = run(&rig, &["mine", "--out", path, "--include-turns"]).await;
        assert!(third.status.success());
        assert!(fs::read(&file).unwrap().starts_with(&before));
    })
    .await;
}

#[tokio::test]
async fn the_servers_reason_is_in_what_is_told_of_a_thread_without_turns() {
    within(20, async {
        let (client, server) = FakeServer::connect(CasClient::builder()).await.unwrap();
        server.answer("thread/list", |params| {
            assert_eq!(params["modelProviders"], json!([]));
            let threads = if params["archived"] == true {
                json!([])
            } else {
                json!([{"id": "a", "updatedAt": 2}])
            };
            Ok(json!({"data": threads, "nextCursor": null}))
        });
        server.answer("thread/turns/list", |_| {
            Err(RpcError::new(-32600, "the rollout of a is empty", None))
        });
        let mined = client
            .history(HistoryQuery::default().include_turns(true))
            .next()
            .await
            .unwrap()
            .unwrap();
        let told = mined.turns_error.unwrap();
        assert!(told.contains("thread/turns/list"), "{told}");
        assert_eq!(
            told.matches("the rollout of a is empty").count(),
            1,
            "{told}"
        );
    })
    .await;
}

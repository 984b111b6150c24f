//! Resuming where something stands in the way.

use cas_sdk::{RpcErrorKind, protocol::ThreadStartParams, testing::Reply, thread::OpenedBy};

use crate::common::codex_test;

const NOBODY: &str = "01a20444-0000-7000-8000-000000000000";

#[tokio::test]
async fn a_thread_without_a_turn_is_not_stored_and_can_be_started_anew() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        let id = thread.id().to_owned();
        client.shutdown().await;
        let client = rig.client().await;
        for id in [id.as_str(), NOBODY] {
            let error = client.resume_thread(id).await.unwrap_err();
            assert_eq!(
                error.rpc_kind(),
                Some(RpcErrorKind::ThreadMissing),
                "{error:?}"
            );
            let thread = client
                .resume_thread(id)
                .or_fork()
                .or_unarchive()
                .or_start(ThreadStartParams::default())
                .await
                .unwrap();
            assert_eq!(thread.opened_by(), OpenedBy::Started);
            assert_ne!(thread.id(), id);
            rig.model.reply(Reply::text("new"));
            assert_eq!(
                thread.ask("hi").await.unwrap().finish().await.unwrap().text,
                "new"
            );
        }
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_thread_that_can_not_be_resumed_but_has_a_history_is_not_replaced_by_a_new_one() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model.reply(Reply::text("noted"));
        thread
            .ask("remember 4711")
            .await
            .unwrap()
            .finish()
            .await
            .unwrap();
        let file = thread.opened_as().unwrap().path.expect("it has a file");
        let file = std::path::Path::new(&file);
        client.shutdown().await;
        let text = std::fs::read_to_string(file).unwrap();
        // The server says that it is empty, though it only was cut off.
        std::fs::write(file, &text[..text.len().min(200)]).unwrap();
        let client = rig.client().await;
        let resume = || {
            client
                .resume_thread(thread.id())
                .or_start(ThreadStartParams::default())
        };
        let error = resume().await.unwrap_err().to_string();
        assert!(
            error.contains(file.to_str().unwrap()) && error.contains("not empty"),
            "{error}"
        );
        std::fs::write(file, "").unwrap();
        assert_eq!(resume().await.unwrap().opened_by(), OpenedBy::Started);

        // An ephemeral thread has no file; its history is in the server.
        let params = ThreadStartParams::default().ephemeral(true);
        let thread = client.start_thread(params).await.unwrap();
        let resume = || {
            client
                .resume_thread(thread.id())
                .or_start(ThreadStartParams::default())
        };
        rig.model.reply(Reply::text("noted"));
        thread
            .ask("remember 4712")
            .await
            .unwrap()
            .finish()
            .await
            .unwrap();
        let error = resume().await.unwrap_err().to_string();
        assert!(error.contains("ephemeral"), "{error}");
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_thread_that_another_process_has_is_refused_or_forked_as_one_wishes() {
    codex_test(60, async |rig| {
        let (owner, thread) = rig.thread().await;
        rig.model.reply(Reply::text("noted"));
        thread
            .ask("remember 4711")
            .await
            .unwrap()
            .finish()
            .await
            .unwrap();

        let other = rig.client().await;
        let error = other.resume_thread(thread.id()).await.unwrap_err();
        assert_eq!(
            error.rpc_kind(),
            Some(RpcErrorKind::ActiveWriter),
            "{error:?}"
        );
        let error = other
            .resume_thread(thread.id())
            .or_unarchive()
            .or_start(ThreadStartParams::default())
            .await;
        assert_eq!(
            error.unwrap_err().rpc_kind(),
            Some(RpcErrorKind::ActiveWriter),
            "only what was allowed is done"
        );
        assert_eq!(
            other.thread(thread.id()).fetch().await.unwrap().preview,
            "remember 4711"
        );

        let params = cas_sdk::protocol::ThreadResumeParams::new(thread.id()).model("another-model");
        let fork = other.resume_thread(params).or_fork().await.unwrap();
        assert_eq!(fork.opened_by(), OpenedBy::Forked);
        assert_ne!(fork.id(), thread.id());
        rig.model.reply(Reply::text("4711"));
        fork.ask("what was it?")
            .await
            .unwrap()
            .finish()
            .await
            .unwrap();
        let last = rig.model.requests().pop().unwrap();
        assert!(last.user_texts().contains(&"remember 4711"));
        assert_eq!(last.model(), "another-model", "as it was to be resumed");
        other.shutdown().await;
        owner.shutdown().await;

        let next = rig.client().await;
        let resumed = next.resume_thread(thread.id()).or_fork().await.unwrap();
        assert_eq!(
            (resumed.opened_by(), resumed.id()),
            (OpenedBy::Resumed, thread.id())
        );
        next.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn an_archived_thread_is_refused_or_brought_back_as_one_wishes() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model.reply(Reply::text("noted"));
        thread.ask("hi").await.unwrap().finish().await.unwrap();
        thread.archive().await.unwrap();
        let error = client.resume_thread(thread.id()).await.unwrap_err();
        assert_eq!(error.rpc_kind(), Some(RpcErrorKind::Archived), "{error:?}");
        let back = client
            .resume_thread(thread.id())
            .or_unarchive()
            .await
            .unwrap();
        assert_eq!(
            (back.opened_by(), back.id()),
            (OpenedBy::Unarchived, thread.id())
        );
        rig.model.reply(Reply::text("back"));
        assert_eq!(
            back.ask("hi").await.unwrap().finish().await.unwrap().text,
            "back"
        );
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_thread_that_is_not_loaded_or_not_there_is_told_apart() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model.reply(Reply::text("noted"));
        thread.ask("hi").await.unwrap().finish().await.unwrap();
        client.shutdown().await;
        let client = rig.client().await;
        let stored = client.thread(thread.id());
        assert_eq!(
            stored.fetch().await.unwrap().status,
            cas_sdk::protocol::ThreadStatus::NotLoaded
        );
        assert!(!stored.is_followed());
        let error = client.thread(NOBODY).fetch().await.unwrap_err();
        assert_eq!(
            error.rpc_kind(),
            Some(RpcErrorKind::ThreadMissing),
            "{error:?}"
        );
        let error = client.fork_thread(NOBODY).await.unwrap_err();
        assert_eq!(
            error.rpc_kind(),
            Some(RpcErrorKind::ThreadMissing),
            "{error:?}"
        );
        client.shutdown().await;
    })
    .await;
}

//! What can be done with threads: reading, naming, putting away, letting go, listing, searching.

use cas_sdk::{
    CasClient, Error, RpcErrorKind, Thread,
    protocol::{
        SortDirection, ThreadListParams, ThreadSearchParams, ThreadStartParams,
        ThreadTurnsListParams,
    },
    testing::{Gate, Reply},
    thread::OpenedBy,
    turn::TurnErrorKind,
};

use crate::{
    answers,
    common::{Rig, codex_test},
};

/// A thread that has had a turn.
async fn talked(rig: &Rig, client: &CasClient, text: &str) -> Thread {
    let thread = client
        .start_thread(ThreadStartParams::default())
        .await
        .unwrap();
    rig.model.reply(Reply::text("understood"));
    thread.ask(text).await.unwrap().finish().await.unwrap();
    thread
}

#[tokio::test]
async fn a_thread_is_read_named_put_away_and_brought_back() {
    codex_test(60, async |rig| {
        let client = rig.client().await;
        let thread = talked(&rig, &client, "remember me").await;
        assert_eq!(thread.opened_by(), OpenedBy::Started);
        assert_eq!(thread.opened_as().unwrap().id, thread.id());
        thread.set_name("my thread").await.unwrap();
        let read = thread.fetch().await.unwrap();
        assert_eq!(
            (read.name.as_deref(), read.preview.as_str()),
            (Some("my thread"), "remember me")
        );

        thread.archive().await.unwrap();
        assert!(!thread.is_followed());
        let error = thread.ask("hello?").await.unwrap_err();
        assert!(matches!(error, Error::NotFollowed { .. }), "{error:?}");
        assert_eq!(
            thread.archive().await.unwrap_err().rpc_kind(),
            Some(RpcErrorKind::ThreadMissing)
        );
        thread.unarchive().await.unwrap();
        let new = client
            .start_thread(ThreadStartParams::default())
            .await
            .unwrap();
        new.archive().await.expect("without a turn, too");
        new.unarchive().await.expect("it is stored from then on");
        let params = ThreadStartParams::default().ephemeral(true);
        let ephemeral = client.start_thread(params).await.unwrap();
        assert_eq!(
            ephemeral.archive().await.unwrap_err().rpc_kind(),
            Some(RpcErrorKind::ThreadMissing)
        );
        assert_eq!(
            thread.unarchive().await.unwrap_err().rpc_kind(),
            Some(RpcErrorKind::ThreadMissing)
        );

        let thread = client.resume_thread(thread.id()).await.unwrap();
        answers(&rig, &thread).await;
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn archiving_ends_a_turn_that_runs() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        rig.model
            .reply(Reply::new().delta("working").hold(&Gate::new()));
        let turn = thread.ask("go").await.unwrap();
        rig.model.next_request().await;
        thread.archive().await.unwrap();
        let Err(Error::Turn(error)) = turn.finish().await else {
            panic!("it was interrupted")
        };
        assert!(matches!(error.kind, TurnErrorKind::Interrupted));
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_thread_that_was_let_go_is_refused_until_it_is_resumed() {
    codex_test(60, async |rig| {
        let client = rig.client().await;
        let thread = talked(&rig, &client, "hi").await;
        thread.unsubscribe().await.unwrap();
        let asked = rig.model.requests().len();
        let error = thread.ask("unseen").await.unwrap_err();
        assert!(matches!(&error, Error::NotFollowed { thread_id } if thread_id == thread.id()));
        assert_eq!(rig.model.requests().len(), asked);
        let thread = client.resume_thread(thread.id()).await.unwrap();
        assert_eq!(thread.opened_by(), OpenedBy::Resumed);
        answers(&rig, &thread).await;
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_turn_whose_thread_is_let_go_ends_by_the_record() {
    codex_test(60, async |rig| {
        let (client, thread) = rig.thread().await;
        let gate = Gate::new();
        rig.model.reply(Reply::new().hold(&gate).message("unseen"));
        let ask = thread
            .ask("hi")
            .idle_check(std::time::Duration::from_millis(300));
        let turn = ask.await.unwrap();
        rig.model.next_request().await;
        thread.unsubscribe().await.unwrap();
        gate.open();
        let outcome = turn.finish().await.unwrap();
        assert!(outcome.recovered);
        assert_eq!(outcome.text, "unseen");
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_fork_has_the_history_under_another_id() {
    codex_test(60, async |rig| {
        let client = rig.client().await;
        let thread = talked(&rig, &client, "remember 4711").await;
        let fork = thread.fork().await.unwrap();
        assert_eq!(fork.opened_by(), OpenedBy::Forked);
        assert_ne!(fork.id(), thread.id());
        rig.model.reply(Reply::text("4711"));
        let outcome = fork.ask("what?").await.unwrap().finish().await.unwrap();
        assert_eq!(
            outcome.usage.map(|u| u.total),
            Some(15),
            "not the history's"
        );
        let last = rig.model.requests().pop().unwrap();
        assert!(last.user_texts().contains(&"remember 4711"));
        client.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn threads_and_turns_are_listed_page_by_page_with_filters() {
    codex_test(60, async |rig| {
        let client = rig.client().await;
        let mut ids = Vec::new();
        for text in ["alpha", "beta", "gamma", "delta", "alpha again"] {
            ids.push(talked(&rig, &client, text).await.id().to_owned());
        }
        let params = ThreadListParams::default()
            .limit(2)
            .sort_direction(SortDirection::Asc);
        let listed = client.pages(params).all().await.unwrap();
        let listed: Vec<_> = listed.into_iter().map(|t| t.id).collect();
        assert_eq!(listed, ids, "three pages, each once");

        client.thread(&ids[1]).archive().await.unwrap();
        let archived = client
            .pages(ThreadListParams::default().archived(true))
            .all()
            .await
            .unwrap();
        assert_eq!(archived.len(), 1);
        assert_eq!(archived[0].id, ids[1]);
        assert_eq!(
            client
                .pages(ThreadListParams::default())
                .all()
                .await
                .unwrap()
                .len(),
            4
        );

        let found = client
            // On one page: codex loses threads of the same second between pages of a search.
            .pages(ThreadSearchParams::new("alpha"))
            .all()
            .await
            .unwrap();
        let mut found: Vec<_> = found.into_iter().map(|f| f.thread.id).collect();
        found.sort();
        assert_eq!(found, [ids[0].clone(), ids[4].clone()]);

        let thread = client.thread(&ids[0]);
        assert_eq!(thread.opened_by(), OpenedBy::ById);
        rig.model.reply(Reply::text("twice"));
        thread
            .ask("more")
            .await
            .expect("it is followed all along")
            .finish()
            .await
            .unwrap();
        let turns = client
            .pages(ThreadTurnsListParams::new(thread.id()).limit(1))
            .all()
            .await
            .unwrap();
        assert_eq!(turns.len(), 2);
        client.shutdown().await;
    })
    .await;
}

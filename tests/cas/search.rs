//! `cas mine search`: whatever is typed is searched for.

use cas_sdk::testing::Reply;

use crate::{
    common::{codex_test, within},
    people::{lines, run},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_query_is_words_and_a_database_without_text_says_so() {
    codex_test(120, async |rig| {
        rig.model.otherwise(Reply::text("the answer"));
        within(120, async {
            let path = "s.db";
            assert!(run(&rig, &["ask", "the question"]).await.status.success());
            let mined = run(&rig, &["mine", "--sqlite", path, "--include-turns"]).await;
            assert!(mined.status.success(), "{mined:?}");
            for words in ["don't", "foo-bar", "C++", "foo.rs", "(", "question)", "NOT"] {
                let out = run(&rig, &["mine", "search", words, "--sqlite", path]).await;
                assert!(out.status.success(), "{words}: {out:?}");
            }
            let found = run(
                &rig,
                &["mine", "search", "question)", "--sqlite", path, "--json"],
            )
            .await;
            assert_eq!(lines(&found).len(), 1, "{found:?}");
            let wrong = run(&rig, &["mine", "--out", "x", "--since", "2026-02-30"]).await;
            assert_eq!(wrong.status.code(), Some(2));
            let bare = run(&rig, &["mine", "--sqlite", "bare.db"]).await;
            assert!(bare.status.success(), "{bare:?}");
            let nothing = run(&rig, &["mine", "search", "x", "--sqlite", "bare.db"]).await;
            assert_eq!(nothing.status.code(), Some(1));
            assert!(
                String::from_utf8_lossy(&nothing.stderr).contains("--include-turns"),
                "{nothing:?}"
            );
        })
        .await;
    })
    .await;
}

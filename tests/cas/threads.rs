//! `cas threads`: named by the beginning of an id, shown, exported, renamed and deleted.

use std::fs;

use cas_sdk::testing::Reply;
use serde_json::{Value, json};

use crate::{
    common::{codex_test, within},
    people::{lines, run, stderr, stdout},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_is_shown_exported_named_and_deleted_by_the_beginning_of_its_id() {
    codex_test(120, async |rig| {
        let call = json!({"cmd": "echo hi"});
        rig.model
            .reply(Reply::new().function_call("c", "exec_command", call));
        rig.model.otherwise(Reply::text("the answer"));
        within(180, async {
            let asked = run(&rig, &["ask", "--json", "the question"]).await;
            let thread = lines(&asked)[0]["threadId"].as_str().unwrap().to_owned();
            let short = &thread[..13];

            let shown = stdout(&run(&rig, &["threads", "show", short]).await);
            for part in [
                "# the question",
                "## User",
                "## Agent",
                "the answer",
                "```sh\n",
                "echo hi",
            ] {
                assert!(shown.contains(part), "{part}: {shown}");
            }
            let json = run(&rig, &["threads", "show", short, "--json"]).await;
            let whole = &lines(&json)[0];
            assert_eq!(
                (&whole["id"], whole["turns"].as_array().unwrap().len()),
                (&Value::from(thread.as_str()), 1)
            );

            let export = &["threads", "export", short, "-o", "session.md"];
            assert!(run(&rig, export).await.status.success());
            let text = fs::read_to_string(rig.home.work_dir().join("session.md")).unwrap();
            assert_eq!(text.trim_end(), shown.trim_end());
            let again = run(&rig, export).await;
            assert_eq!(
                again.status.code(),
                Some(2),
                "what is there is left as it is"
            );

            let named = run(&rig, &["threads", "name", short, "a title"]).await;
            assert!(named.status.success(), "{}", stderr(&named));
            let listed = stdout(&run(&rig, &["threads", "list"]).await);
            assert!(
                listed.contains("a title") && listed.contains(" 1 "),
                "{listed}"
            );

            let refused = run(&rig, &["threads", "delete", short]).await;
            assert_eq!(
                refused.status.code(),
                Some(2),
                "there is no terminal to ask on"
            );
            let deleted = run(&rig, &["threads", "delete", "--yes", "--json", short]).await;
            assert!(deleted.status.success(), "{}", stderr(&deleted));
            assert_eq!(stdout(&run(&rig, &["threads", "list", "--all"]).await), "");
            let gone = run(&rig, &["threads", "show", short, "--json"]).await;
            assert_eq!(gone.status.code(), Some(1));
            let last = lines(&gone).pop().unwrap();
            assert_eq!(
                (&last["event"], &last["exitStatus"]),
                (&json!("failed"), &json!(1))
            );
        })
        .await;
    })
    .await;
}

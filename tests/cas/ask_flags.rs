//! The flags of `cas ask` that change what the agent sees, what it may do, and how it is shown.

use std::fs;

use cas_sdk::testing::Reply;
use serde_json::json;

use crate::{
    common::{Rig, codex_test, codex_test_with},
    people::{run, stderr, stdout},
    screens,
    tmux::Terminal,
};

/// A picture of one pixel.
const PIXEL: [u8; 69] = [
    137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 1, 0, 0, 0, 1, 8, 2, 0,
    0, 0, 144, 119, 83, 222, 0, 0, 0, 12, 73, 68, 65, 84, 8, 215, 99, 248, 207, 192, 0, 0, 3, 1, 1,
    0, 24, 221, 141, 176, 0, 0, 0, 0, 73, 69, 78, 68, 174, 66, 96, 130,
];

#[tokio::test(flavor = "multi_thread")]
async fn pictures_reach_the_model_and_one_that_is_not_there_costs_nothing() {
    codex_test(120, async |rig| {
        for name in ["a.png", "b.png"] {
            fs::write(rig.home.work_dir().join(name), PIXEL).unwrap();
        }
        rig.model.reply(Reply::text("Two dots."));
        let args = ["ask", "-i", "a.png", "--image", "b.png", "What is it?"];
        let out = run(&rig, &args).await;
        assert_eq!(stdout(&out), "Two dots.\n", "{}", stderr(&out));
        let said = json!(rig.model.requests()[0].input()).to_string();
        assert_eq!(said.matches("input_image").count(), 2, "{said}");

        let out = run(&rig, &["ask", "-i", "no.png", "What is it?"]).await;
        assert_eq!(out.status.code(), Some(2), "{}", stderr(&out));
        assert!(stderr(&out).contains("no.png"), "{}", stderr(&out));
        assert_eq!(rig.model.requests().len(), 1);
    })
    .await;
}

/// Has the agent write into a file, with these flags. Returns whether it could.
async fn can_write(rig: &Rig, file: &std::path::Path, flags: &[&str]) -> bool {
    let command = format!("echo hi > {}", file.display());
    rig.model
        .reply(Reply::new().function_call("c", "exec_command", json!({"cmd": command})));
    rig.model.reply(Reply::text("That is it."));
    let out = run(rig, &[&["ask", "go"], flags].concat()).await;
    assert_eq!(stdout(&out), "That is it.\n", "{}", stderr(&out));
    file.exists()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_and_its_directories_are_what_the_flags_say() {
    let never = |home: cas_sdk::testing::CodexHomeBuilder| home.approval_policy("never");
    codex_test_with(never, 180, async |rig| {
        // Directories for temporary files, of which this is in one, are else written to as well.
        let strict = [
            "-c",
            "sandbox_workspace_write.exclude_slash_tmp=true",
            "-c",
            "sandbox_workspace_write.exclude_tmpdir_env_var=true",
        ];
        let outside = rig.home.path().join("outside");
        fs::create_dir(&outside).unwrap();
        let inside = rig.home.work_dir();
        let (outside, dir) = (outside.join("file"), outside.display().to_string());
        let workspace = [&strict[..], &["--sandbox", "workspace-write"]].concat();
        let added = [&workspace[..], &["--add-dir", &dir]].concat();
        assert!(!can_write(&rig, &inside.join("1"), &["-s", "read-only"]).await);
        assert!(can_write(&rig, &inside.join("2"), &workspace).await);
        assert!(!can_write(&rig, &outside, &workspace).await);
        assert!(can_write(&rig, &outside, &added).await);
        for stored in [&["--last"][..], &["--last", "--fork"]] {
            fs::remove_file(&outside).unwrap();
            assert!(can_write(&rig, &outside, &[&added, stored].concat()).await);
        }
        fs::remove_file(&outside).unwrap();
        assert!(can_write(&rig, &outside, &["-s", "danger-full-access"]).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_thread_has_the_sandbox_that_the_flags_say() {
    let never = |home: cas_sdk::testing::CodexHomeBuilder| home.approval_policy("never");
    codex_test_with(never, 180, async |rig| {
        let file = rig.home.work_dir().join("file");
        let strict = ["-s", "read-only"];
        let copy = ["--last", "--fork", "--sandbox"];
        assert!(!can_write(&rig, &file, &strict).await);
        assert!(can_write(&rig, &file, &[&copy[..], &["danger-full-access"]].concat()).await);
        fs::remove_file(&file).unwrap();
        let open = ["-c", "sandbox_mode=\"danger-full-access\""];
        assert!(can_write(&rig, &file, &open).await);
        fs::remove_file(&file).unwrap();
        let strict = [&open[..], &copy, &["read-only"]].concat();
        assert!(!can_write(&rig, &file, &strict).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goals_of_stored_threads_and_copies_have_the_model_and_the_directory_of_the_flags() {
    codex_test(180, async |rig| {
        rig.model.otherwise(Reply::text("still going"));
        let out = run(&rig, &["ask", "go"]).await;
        assert!(out.status.success(), "{}", stderr(&out));
        let other = rig.home.work_dir().canonicalize().unwrap().join("other");
        fs::create_dir(&other).unwrap();
        let thread =
            crate::people::lines(&run(&rig, &["threads", "list", "--json"]).await)[0]["id"]
                .as_str()
                .unwrap()
                .to_owned();
        let goal = ["ask", "--goal", "--turns", "1", "--thread", &thread];
        let with = ["--model", "gpt-other", "-C", "other", "Talk"];
        for flags in [&[][..], &["--fork"]] {
            let out = run(&rig, &[&goal[..], flags, &with].concat()).await;
            assert_eq!(out.status.code(), Some(124), "{}", stderr(&out));
            let request = rig.model.requests().pop().unwrap();
            assert_eq!(request.body()["model"], "gpt-other", "{flags:?}");
            let told = format!("<cwd>{}</cwd>", other.display());
            let asked = request.body().to_string();
            assert!(asked.contains(&told), "{flags:?}: no {told}");
        }
        fs::create_dir(other.join("third")).unwrap();
        let third = ["-C", "other/third"];
        let set = ["goal", "set", &thread, "Talk", "--turns", "1"];
        let out = run(&rig, &[&set[..], &third].concat()).await;
        assert_eq!(out.status.code(), Some(124), "{}", stderr(&out));
        let asked = rig.model.requests().pop().unwrap().body().to_string();
        let told = format!("<cwd>{}</cwd>", other.join("third").display());
        assert!(asked.contains(&told), "no {told}");
        let fork = ["threads", "fork", &thread, "--json", "-C", "other"];
        let forked = crate::people::lines(&run(&rig, &fork).await);
        assert_eq!(forked[0]["cwd"], other.display().to_string());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_says_nothing_but_the_answer_and_what_went_wrong() {
    codex_test(120, async |rig| {
        rig.model
            .reply(Reply::new().function_call("c", "exec_command", json!({"cmd": "echo hi"})));
        rig.model.reply(Reply::text("It is red."));
        let out = run(&rig, &["ask", "-q", "Why?"]).await;
        assert_eq!(
            (stdout(&out), stderr(&out)),
            ("It is red.\n".into(), String::new())
        );
        rig.model.reply(Reply::status(400, "no"));
        let out = run(&rig, &["ask", "--quiet", "Why?"]).await;
        assert_eq!(out.status.code(), Some(1));
        assert!(
            stderr(&out).starts_with("cas: the turn failed"),
            "{}",
            stderr(&out)
        );
        assert_eq!(stdout(&out), "");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn markdown_is_shown_as_it_looks_on_a_terminal_and_as_it_is_elsewhere() {
    const TEXT: &str = "# Title\n\nSome **bold** text:\n\n* one\n* two\n";
    codex_test(120, async |rig| {
        rig.model.otherwise(Reply::text(TEXT));
        let out = run(&rig, &["ask", "--markdown", "Why?"]).await;
        assert_eq!(stdout(&out), TEXT);
        let Some(terminal) = Terminal::new() else {
            return;
        };
        screens::start(&terminal, &rig, 80, &[], &["ask", "--markdown", "Why?"]);
        terminal.shows("exit 0").await;
        let shown = screens::shown(&terminal).join("\n");
        assert!(
            !shown.contains("**") && !shown.contains("# Title"),
            "{shown}"
        );
        assert!(
            shown.contains("Some bold text:") && shown.contains("• two"),
            "{shown}"
        );
    })
    .await;
}

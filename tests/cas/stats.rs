//! `cas stats`: what it counts is what was done.

use std::fs;

use cas_sdk::testing::{Reply, Usage};
use serde_json::json;

use crate::{
    common::{Rig, codex_test, within},
    people::{lines, run, stderr, stdout},
};

#[tokio::test(flavor = "multi_thread")]
#[allow(
    clippy::too_many_lines,
    reason = "one history, looked at in several ways"
)]
async fn turns_tools_failures_and_tokens_are_added_up() {
    let Some(rig) = Rig::new().await else { return };
    let usage = |input_tokens, output_tokens| Usage {
        input_tokens,
        output_tokens,
        ..Usage::default()
    };
    rig.model.reply(
        Reply::new()
            .function_call("c", "exec_command", json!({"cmd": "exit 3"}))
            .usage(usage(1_000, 20)),
    );
    rig.model
        .reply(Reply::text("it failed").usage(usage(1_500, 30)));
    rig.model.reply(Reply::text("ok").usage(usage(400, 5)));
    within(180, async {
        for question in ["one <b>", "two"] {
            let out = run(&rig, &["ask", question]).await;
            assert!(out.status.success(), "{}", stderr(&out));
        }
        rig.model.otherwise(Reply::status(400, "no"));
        assert_eq!(run(&rig, &["ask", "three"]).await.status.code(), Some(1));

        let none = run(&rig, &["mine", "--sqlite", "s.db"]).await;
        assert!(none.status.success());
        let out = run(&rig, &["stats", "--sqlite", "s.db"]).await;
        assert_eq!(out.status.code(), Some(1), "there are no turns in it");
        assert!(stderr(&out).contains("--include-turns"), "{}", stderr(&out));

        let mined = run(&rig, &["mine", "--include-turns", "--sqlite", "s.db"]).await;
        assert!(mined.status.success(), "{}", stderr(&mined));
        let out = run(&rig, &["stats", "--sqlite", "s.db", "--json"]).await;
        let report = &lines(&out)[0];
        let total = &report["total"];
        assert_eq!(
            (
                &total["threads"],
                &total["turns"],
                &total["failed"],
                &total["tools"],
                &total["toolsFailed"]
            ),
            (&json!(3), &json!(3), &json!(1), &json!(1), &json!(1)),
            "{report}"
        );
        assert_eq!(
            (&total["inputTokens"], &total["outputTokens"]),
            (&json!(2_900), &json!(55)),
            "{report}"
        );
        assert_eq!(
            (&report["rollouts"]["read"], &report["rollouts"]["missing"]),
            (&json!(3), &json!(0))
        );
        for (by, count) in [
            ("days", 1..=2),
            ("models", 1..=1),
            ("directories", 1..=1),
            ("kinds", 1..=1),
        ] {
            let rows = report[by].as_array().unwrap();
            assert!(count.contains(&rows.len()), "{by}: {report}");
            let turns: u64 = rows.iter().map(|row| row["turns"].as_u64().unwrap()).sum();
            assert_eq!(turns, 3, "{by}: {report}");
        }
        let later = run(
            &rig,
            &[
                "stats",
                "--sqlite",
                "s.db",
                "--json",
                "--since",
                "99999999999",
            ],
        )
        .await;
        assert_eq!(lines(&later)[0]["total"]["turns"], 0);

        let table = stdout(
            &run(
                &rig,
                &["stats", "--sqlite", "s.db", "--by", "dir", "--by", "kind"],
            )
            .await,
        );
        assert!(
            table.contains("DIRECTORY") && table.contains("KIND") && table.contains("2\u{202f}900"),
            "{table}"
        );

        let page = run(&rig, &["stats", "--sqlite", "s.db", "--html", "stats.html"]).await;
        assert!(page.status.success(), "{}", stderr(&page));
        let path = rig.home.work_dir().join("stats.html");
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches("<svg").count(), 5);
        assert!(
            text.contains("2\u{202f}900") && !text.contains("<script") && !text.contains("http"),
            "{text}"
        );
        let again = run(&rig, &["stats", "--sqlite", "s.db", "--html", "stats.html"]).await;
        assert_eq!(
            again.status.code(),
            Some(2),
            "a page of before is left as it is"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    })
    .await;
}

/// Asks a browser what it shows of the page, where one is there.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_shown_by_a_browser() {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let browser = names.iter().find(|name| {
        let found = std::process::Command::new(name).arg("--version").output();
        found.is_ok_and(|found| found.status.success())
    });
    let Some(browser) = browser else {
        // Around the harness, which captures what tests that pass have printed.
        let note = "cas-sdk: SKIPPED the_page_is_shown_by_a_browser: no Chromium\n";
        let _ = std::io::Write::write_all(&mut std::io::stderr(), note.as_bytes());
        return;
    };
    codex_test(120, async |rig| {
        rig.model.otherwise(Reply::text("ok"));
        within(180, async {
            run(&rig, &["ask", "one"]).await;
            run(&rig, &["mine", "--include-turns", "--sqlite", "s.db"]).await;
            run(&rig, &["stats", "--sqlite", "s.db", "--html", "stats.html"]).await;
            let page = format!(
                "file://{}",
                rig.home.work_dir().join("stats.html").display()
            );
            let shot = format!("--screenshot={}/cas-stats.png", env!("CARGO_TARGET_TMPDIR"));
            let flags = ["--headless", "--no-sandbox", "--disable-gpu"];
            let mut command = tokio::process::Command::new(browser);
            let dom = command
                .args(flags)
                .args(["--dump-dom", &page])
                .output()
                .await
                .unwrap();
            assert!(
                String::from_utf8_lossy(&dom.stdout).contains("Tokens by day"),
                "{dom:?}"
            );
            let mut command = tokio::process::Command::new(browser);
            let taken = command
                .args(flags)
                .args([&shot, &page])
                .output()
                .await
                .unwrap();
            assert!(taken.status.success(), "{taken:?}");
            let picture =
                fs::metadata(format!("{}/cas-stats.png", env!("CARGO_TARGET_TMPDIR"))).unwrap();
            assert!(picture.len() > 5_000, "there is something on it");
        })
        .await;
    })
    .await;
}

//! Whatever a model, a title or a server says, a terminal is given nothing to obey.

use std::{
    fs::File,
    io::Read as _,
    process::{Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use cas_sdk::testing::{Gate, Reply};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};

use crate::{
    common::codex_test,
    fake,
    people::{cas, run},
};

/// Sets the clipboard and the title, clears the screen, goes back to the start of the line, turns
/// the text around.
const EVIL: &str = "\x1b]52;c;cm0=\x07\x1b]0;title\x1b\\\u{9b}2J\r\x1b[2K\u{202e}\u{2066}\u{200b}\u{2028}\x7f\x08\u{e0041}";

/// Checks that nothing in it is obeyed, whatever is meant by it, and returns it.
fn inert(bytes: &[u8]) -> String {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    for c in text.chars() {
        let obeyed = c.is_control() && c != '\n' && c != '\t';
        let hidden = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}'
            | '\u{61c}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
        assert!(!obeyed && !hidden, "{c:?} in {text:?}");
    }
    text
}

/// The output and the remarks.
fn both(out: &Output) -> (String, String) {
    (inert(&out.stdout), inert(&out.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn text_of_the_model_and_the_user_is_shown_by_every_command_and_obeyed_by_no_terminal() {
    codex_test(120, async |rig| {
        let command = format!("echo hi # {EVIL}\nprintf second");
        rig.model
            .reply(Reply::new().function_call("c", "exec_command", json!({"cmd": command})));
        let mut answer = Reply::new();
        // In pieces, so that no piece has a whole sequence.
        for c in format!("findme {EVIL} end").chars() {
            answer = answer.delta(c);
        }
        rig.model.reply(answer);
        let prompt = format!("title {EVIL}\nsecond line");
        let (answer, remarks) = both(&run(&rig, &["ask", &prompt]).await);
        let shown = "^[]52;c;cm0=^G^[]0;title^[\\<U+009B>2J^M^[[2K<U+202E><U+2066><U+200B><U+2028>^?^H<U+E0041>";
        assert_eq!(answer, format!("findme {shown} end\n"));
        assert!(remarks.contains("^[]52;c;cm0=^G") && remarks.contains("<U+202E>"), "{remarks}");
        // What runs can't hide below its first line, or pass for a remark.
        let what_runs = remarks.lines().find(|line| line.starts_with("cas: runs")).unwrap();
        assert!(what_runs.contains("^Jprintf second"), "{remarks}");

        let (listed, _) = both(&run(&rig, &["threads", "list"]).await);
        assert_eq!(listed.lines().count(), 2, "a header and the thread: {listed}");
        assert!(listed.contains("title ^[]52;c;cm0=^G"), "{listed}");
        let out = run(&rig, &["threads", "list", "--json"]).await;
        let thread: Value = serde_json::from_str(&inert(&out.stdout)).unwrap();
        assert!(thread["preview"].as_str().unwrap().contains(EVIL), "JSON keeps its meaning");
        let id = thread["id"].as_str().unwrap();
        let (read, _) = both(&run(&rig, &["threads", "read", id, "--turns"]).await);
        assert!(read.contains(&format!("agentMessage: findme {shown}")), "{read}");
        assert!(read.contains(&format!("preview: title {shown}^Jsecond line")), "{read}");
        let out = run(&rig, &["threads", "read", id, "--turns", "--json"]).await;
        assert!(inert(&out.stdout).contains("\\u202e"), "{out:?}");

        let mine = ["mine", "--sqlite", "s.db", "--include-turns"];
        assert!(run(&rig, &mine).await.status.success());
        let (hits, _) = both(&run(&rig, &["mine", "search", "findme", "--sqlite", "s.db"]).await);
        assert!(hits.contains("<U+202E>") && hits.lines().count() == 1, "{hits}");
        let out = run(&rig, &["mine", "search", "findme", "--sqlite", "s.db", "--json"]).await;
        let hit: Value = serde_json::from_str(&inert(&out.stdout)).unwrap();
        assert!(hit["snippet"].as_str().unwrap().contains('\u{202e}'), "{hit}");
        let out = run(&rig, &["mine", "--out", "-", "--include-turns"]).await;
        let mined: Value = serde_json::from_str(&inert(&out.stdout)).unwrap();
        assert_eq!(mined["thread"]["id"], id);
    }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_that_quote_the_model_the_server_or_the_flags_are_inert_too() {
    codex_test(120, async |rig| {
        rig.model
            .otherwise(Reply::new().fail("odd", format!("boom {EVIL}")));
        for flags in [
            &["ask", "go"][..],
            &["ask", "--json", "go"],
            &["threads", "read", EVIL],
            &["threads", "read", "--json", EVIL],
            &["threads", "resume", EVIL],
            &["steer", EVIL, EVIL, EVIL],
            &["ask", "--thread", EVIL, "go"],
            &["mine", "search", "\x1b[31m\"", "--sqlite", EVIL],
            &["mine", "--out", "/no\x1b[2Jsuch/\u{202e}"],
            &[EVIL],
            &["ask", "--timeout", EVIL, "go"],
            &["proxy", "--exec-approval", EVIL],
            &["doctor", "--codex", EVIL],
        ] {
            let out = run(&rig, flags).await;
            let (_, remarks) = both(&out);
            assert!(!out.status.success(), "{flags:?}");
            let json = flags.contains(&"--json");
            assert!(json || remarks.starts_with("cas: "), "{flags:?}: {remarks}");
        }
    })
    .await;
}

#[test]
fn the_last_words_of_a_server_and_the_logs_of_them_are_inert() {
    let dir = tempfile::tempdir().unwrap();
    let prelude = r"printf 'dying \033]0;x\007 \302\233 2J \342\200\256 words\n' >&2; exit 3";
    let codex = fake::executable(dir.path(), prelude);
    for format in ["text", "json"] {
        let out = Command::new(env!("CARGO_BIN_EXE_cas"))
            .args(["threads", "list", "--log-format", format, "--codex"])
            .arg(&codex)
            .env("RUST_LOG", "trace")
            .output()
            .unwrap();
        let (_, remarks) = both(&out);
        assert!(
            // What sets the colours and the title is taken out, and the rest is shown.
            remarks.contains("dying  <U+009B> 2J <U+202E> words"),
            "{remarks}"
        );
        if format == "json" {
            let logs = remarks.lines().filter(|line| line.starts_with('{'));
            let logs: Vec<Value> = logs
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            assert!(
                logs.iter()
                    .any(|line| line.to_string().contains('\u{202e}')),
                "{remarks}"
            );
        }
    }
}

/// What a terminal shows in the end of what was written to it: enough of one for what `cas` and its
/// spinner write.
fn screen(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = vec![Vec::new()];
    let (mut row, mut column) = (0usize, 0usize);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' => column = 0,
            '\n' => {
                row += 1;
                if row == lines.len() {
                    lines.push(Vec::new());
                }
            }
            '\x1b' => {
                assert_eq!(chars.next(), Some('['), "{text:?}");
                let mut number = String::new();
                let last = loop {
                    match chars.next().unwrap() {
                        c if c.is_ascii_digit() || c == '?' || c == ';' => number.push(c),
                        last => break last,
                    }
                };
                let n = number.parse().unwrap_or(1).max(1);
                match last {
                    'K' if number == "2" => lines[row].clear(),
                    'K' => lines[row].truncate(column),
                    'J' => {
                        lines[row].truncate(column);
                        lines.truncate(row + 1);
                    }
                    'A' => row = row.saturating_sub(n),
                    'B' => row = (row + n).min(lines.len() - 1),
                    'G' => column = n - 1,
                    'm' | 'h' | 'l' => {}
                    other => panic!("{other:?} in {text:?}"),
                }
            }
            c => {
                let line = &mut lines[row];
                if line.len() <= column {
                    line.resize(column + 1, ' ');
                }
                line[column] = c;
                column += 1;
            }
        }
    }
    let lines = lines.iter().map(|line| line.iter().collect::<String>());
    let lines: Vec<_> = lines.map(|line| line.trim_end().to_owned()).collect();
    lines.into_iter().filter(|line| !line.is_empty()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_on_a_terminal_stands_there_whole_and_without_the_spinner() {
    codex_test(60, async |rig| {
        let (first, second) = (Gate::new(), Gate::new());
        rig.model.reply(
            Reply::new()
                .hold(&first)
                .delta("It is ")
                .hold(&second)
                .delta("red.")
                .function_call("c", "exec_command", json!({"cmd": "echo hi"})),
        );
        rig.model.reply(Reply::new().delta("Now it is green."));
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let side = || {
            File::options()
                .read(true)
                .write(true)
                .open(name.to_str().unwrap())
                .unwrap()
        };
        let mut command = cas(&rig, &["ask", "Why is the build red?"]);
        command.env("TERM", "xterm");
        command.stdin(Stdio::null()).stdout(side()).stderr(side());
        let mut child = command.spawn().unwrap();
        drop(command);
        let (tell, pieces) = mpsc::channel();
        let mut reader = File::from(terminal);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The end of the other side is an error here.
            while let Ok(n) = reader.read(&mut buffer)
                && n > 0
                && tell.send(buffer[..n].to_vec()).is_ok()
            {}
        });
        let written = tokio::task::spawn_blocking(move || {
            let mut written = Vec::new();
            let mut until = |what: Option<&str>| {
                while what.is_none_or(|what| !String::from_utf8_lossy(&written).contains(what)) {
                    match pieces.recv_timeout(Duration::from_secs(50)) {
                        Ok(piece) => written.extend(piece),
                        Err(_) => break,
                    }
                }
            };
            until(Some("thinking"));
            first.open();
            until(Some("It is "));
            second.open();
            until(None);
            assert!(child.wait().unwrap().success());
            written
        })
        .await
        .unwrap();
        let shown = screen(&written);
        let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
        assert!(shown[0].starts_with("cas: thread "), "{shown:?}");
        assert_eq!(shown[1], "It is red.", "{shown:?}");
        assert!(
            shown[2].starts_with("cas: runs ") && shown[2].contains("echo hi"),
            "{shown:?}"
        );
        assert_eq!(shown[3], "Now it is green.", "{shown:?}");
        assert!(
            shown[4].contains("continue: cas ask --thread ") && shown.len() == 5,
            "{shown:?}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_session_says_of_itself_is_inert_in_watch_and_attach() {
    use crate::{
        common::{eventually, within},
        scripted::{COMMAND, Scripted, THREAD},
        tmux::Terminal,
    };

    /// Has the server say everything in which a text may stand.
    async fn play(server: &Scripted) {
        server.turn("turn/started", EVIL);
        server.item(
            "item/started",
            &json!({"type": "commandExecution", "id": EVIL, "command": EVIL, "cwd": EVIL, "commandActions": [], "status": EVIL}),
        );
        server.item(
            "item/started",
            &json!({"type": "mcpToolCall", "id": "m", "server": EVIL, "tool": EVIL, "status": EVIL, "arguments": EVIL}),
        );
        let output = json!({"type": "functionCallOutput", "id": "o", "name": EVIL, "output": EVIL});
        server.item("item/completed", &output);
        for (id, method) in (100..).zip([
            COMMAND,
            "item/fileChange/requestApproval",
            "item/permissions/requestApproval",
            "mcpServer/elicitation/request",
            "skill/requestApproval",
            EVIL,
        ]) {
            let more = json!({
                "command": EVIL, "cwd": EVIL, "reason": EVIL, "grantRoot": EVIL, "kind": EVIL, "environmentId": EVIL,
                "permissions": {EVIL: EVIL}, "networkApprovalContext": {"host": EVIL, "protocol": EVIL, EVIL: EVIL},
                "skillName": EVIL, "serverName": EVIL, "message": EVIL, "mode": "url", "url": EVIL, EVIL: EVIL,
            });
            server.asks(id, method, &more);
        }
        server.notifies(
            "error",
            json!({"turnId": "turn-1", "willRetry": true, "error": {"message": EVIL}}),
        );
        // The end of the turn would take back what is not shown yet.
        tokio::time::sleep(Duration::from_millis(500)).await;
        server.turn("turn/completed", &format!("done{EVIL}\n· it goes on"));
    }
    let shown = "the turn is done^[]52;c;cm0=^G";
    within(120, async {
        let server = Scripted::start().await;
        let mut watch = Command::new(env!("CARGO_BIN_EXE_cas"));
        watch.args(["watch", THREAD, "--connect", &server.address]);
        let watch = watch.env("CODEX_HOME", server.dir()).stdout(Stdio::piped());
        let mut watch = watch.spawn().unwrap();
        let mut out = watch.stdout.take().unwrap();
        let written = thread::spawn(move || {
            let mut all = Vec::new();
            let _ = out.read_to_end(&mut all);
            all
        });
        server.is_followed().await;
        play(&server).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        watch.kill().unwrap();
        watch.wait().unwrap();
        let text = inert(&written.join().unwrap());
        assert!(text.contains(shown), "{text}");
        assert_eq!(text.matches("· waits: ").count(), 6, "{text}");
        assert!(
            text.contains("· runs ^[]52") && text.contains("· calls ^[]52"),
            "{text}"
        );
        assert!(
            !text.lines().any(|line| line.starts_with("· it goes on")),
            "{text}"
        );

        let Some(terminal) = Terminal::new() else {
            return;
        };
        let server = Scripted::start().await;
        server.cas(&terminal, &[], &["attach", THREAD]);
        server.is_followed().await;
        let file = server.dir().join("written");
        terminal.record(&file);
        eventually("it is recorded", || file.exists()).await;
        play(&server).await;
        let written = || String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
        eventually("all is shown", || written().contains(shown)).await;
        let written = written();
        assert_eq!(written.matches("· waits: ").count(), 6, "{written}");
        for obeyed in [
            "\x1b]",
            "\x07",
            "\u{9b}",
            "\x1b[2J",
            "\x1b[2K",
            "\u{202e}",
            "\u{2066}",
            "\x08",
            "\u{e0041}",
        ] {
            assert!(!written.contains(obeyed), "{obeyed:?} in {written:?}");
        }
    })
    .await;
}

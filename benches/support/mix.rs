//! The traffic of a busy turn, for benches and flood drivers: of every 2,000 lines each 200th is a
//! `thread/tokenUsage/updated`, every other 50th an `item/completed` of a command with 2 KB of
//! output, the rest are `item/agentMessage/delta`; one delta in ten has JSON escapes, one in twenty
//! raw UTF-8.

pub(crate) const THREAD: &str = "0199a2b4-7c1e-7d20-9f31-5b6c7d8e9f01";
pub(crate) const TURN: &str = "0199a2b4-7c1e-7d20-9f31-5b6c7d8e9f02";
pub(crate) const ITEM: &str = "msg_0123456789abcdef0123456789abcdef";

/// The lines of one period, with their newlines.
pub(crate) fn period() -> Vec<String> {
    (0..2_000).map(line).collect()
}

fn line(n: usize) -> String {
    let keys = format!(r#""threadId":"{THREAD}","turnId":"{TURN}""#);
    let emitted = format!(r#","emittedAtMs":{}"#, 1_795_000_000_000_u64 + n as u64);
    let (method, params) = if n % 200 == 199 {
        let tokens = format!(
            r#"{{"totalTokens":{n},"inputTokens":{n},"cachedInputTokens":0,"cacheWriteInputTokens":0,"outputTokens":5,"reasoningOutputTokens":0}}"#
        );
        let usage = format!(r#"{{"total":{tokens},"last":{tokens},"modelContextWindow":258400}}"#);
        (
            "thread/tokenUsage/updated",
            format!(r#"{{{keys},"tokenUsage":{usage}}}"#),
        )
    } else if n % 50 == 24 {
        let output = "drwxr-xr-x 2 root root 4096 some-file.txt\\n".repeat(48);
        let item = format!(
            r#"{{"type":"commandExecution","id":"call_{n}","command":"/bin/bash -lc 'ls -la'","cwd":"/work","processId":null,"status":"completed","commandActions":[],"aggregatedOutput":"{output}","exitCode":0,"durationMs":12}}"#
        );
        (
            "item/completed",
            format!(r#"{{{keys},"item":{item},"completedAtMs":1795000000000}}"#),
        )
    } else {
        let text = match n % 20 {
            0 | 10 => r#"a \"quoted\" word,\n\ta tab and a \\ "#,
            5 => "größer — naïve ☃ 数据 ",
            _ => "a stretch of plain text, as models write it ",
        };
        (
            "item/agentMessage/delta",
            format!(r#"{{{keys},"itemId":"{ITEM}","delta":"{text}"}}"#),
        )
    };
    format!("{{\"method\":\"{method}\",\"params\":{params}{emitted}}}\n")
}

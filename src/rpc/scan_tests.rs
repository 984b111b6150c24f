//! What the envelope of a line is, line by line and after other lines.

use super::*;
use crate::rpc::message::Parts;

fn parts(line: &str) -> (Kind, Parts<'_>) {
    let (kind, env) = scan(line);
    (kind, Parts::new(line, env))
}

#[test]
fn a_notification_shows_its_method_params_and_routing_keys() {
    let (kind, p) = parts(
        r#"{"method":"item/completed","params":{"item":{"type":"agentMessage","id":"i-1","x":{"id":"no"}},"threadId":"t","turnId":"u"},"emittedAtMs":17}"#,
    );
    assert_eq!(kind, Kind::Notification);
    assert_eq!(p.method(), Some("item/completed"));
    assert_eq!(
        (p.thread(), p.turn(), p.item()),
        (Some("t"), Some("u"), Some("i-1"))
    );
    assert_eq!(p.item_type(), Some("agentMessage"));
    assert_eq!(p.emitted_at_ms(), Some(17));
    assert!(p.params().unwrap().starts_with("{\"item\""));
}

#[test]
fn a_direct_key_wins_over_a_nested_one_in_any_order() {
    for line in [
        r#"{"method":"m","params":{"turn":{"id":"nested"},"turnId":"direct"}}"#,
        r#"{"method":"m","params":{"turnId":"direct","turn":{"id":"nested"}}}"#,
    ] {
        assert_eq!(parts(line).1.turn(), Some("direct"));
    }
    assert_eq!(
        parts(r#"{"method":"m","params":{"turn":{"a":[1,"}"],"id":"n"}}}"#)
            .1
            .turn(),
        Some("n")
    );
}

#[test]
fn requests_and_responses_are_told_apart_by_the_method() {
    assert_eq!(
        parts(r#"{"id":0,"method":"m","params":null}"#).0,
        Kind::Request
    );
    assert_eq!(parts(r#"{"id":0,"result":{}}"#).0, Kind::Response);
    assert_eq!(
        parts(r#" { "error" : {"code":-1} , "id" : "a" } "#).1.id(),
        Some("\"a\"")
    );
    assert_eq!(parts(r#"{"error":{"code":-1},"id":"a"}"#).0, Kind::Response);
    assert_eq!(parts(r#"{"id":1}"#).0, Kind::Unknown);
    assert_eq!(parts("{}").0, Kind::Unknown);
}

#[test]
fn ids_that_cannot_be_answered_and_odd_methods_make_an_unknown_message() {
    for line in [
        r#"{"id":null,"method":"m"}"#,
        r#"{"id":1.5,"method":"m"}"#,
        r#"{"id":true,"result":1}"#,
        r#"{"id":{},"method":"m"}"#,
        r#"{"method":5}"#,
        r#"{"method":"","params":{}}"#,
        r#"{"method":"\ud800"}"#,
    ] {
        assert_eq!(parts(line).0, Kind::Unknown, "{line}");
    }
}

#[test]
fn escapes_where_none_are_needed_change_nothing() {
    /// Every letter and sign of every string as an escape.
    fn escaped(line: &str) -> String {
        let mut out = String::new();
        let mut is_text = false;
        for c in line.chars() {
            is_text ^= c == '"';
            if is_text && c != '"' {
                out.extend(format!("\\u{:04x}", u32::from(c)).chars());
            } else {
                out.push(c);
            }
        }
        out
    }
    for line in [
        r#"{"method":"item/completed","params":{"item":{"type":"agentMessage","id":"i-1"},"threadId":"t","turnId":"u"}}"#,
        r#"{"method":"turn/completed","params":{"thread":{"id":"t"},"turn":{"id":"u"}},"emittedAtMs":17}"#,
        r#"{"id":5,"method":"m","params":{"itemId":"i"}}"#,
        r#"{"id":5,"result":{"thread":{"id":"t"}}}"#,
    ] {
        let keys = |line: &str| {
            let scanned = Scan::default().next(line);
            let text = [line, &scanned.unescaped].concat();
            let p = Parts::new(&text, scanned.env);
            let keys = [
                p.method(),
                p.id(),
                p.thread(),
                p.turn(),
                p.item(),
                p.item_type(),
            ];
            let keys = keys.map(|key| key.map(str::to_owned));
            (scanned.kind, keys, p.emitted_at_ms())
        };
        assert_eq!(keys(&escaped(line)), keys(line), "{line}");
    }
    // What needs its escapes is what they say.
    let line = r#"{"method":"a\/\"b\"","params":{"threadId":"t\\1"}}"#;
    let scanned = Scan::default().next(line);
    let text = [line, &scanned.unescaped].concat();
    let p = Parts::new(&text, scanned.env);
    assert_eq!((p.method(), p.thread()), (Some(r#"a/"b""#), Some(r"t\1")));
}

#[test]
fn big_integers_are_ids_and_kept_to_the_letter() {
    let (kind, p) = parts(r#"{"id":99999999999999999999999,"method":"m"}"#);
    assert_eq!(
        (kind, p.id()),
        (Kind::Request, Some("99999999999999999999999"))
    );
}

#[test]
fn what_is_not_one_json_object_is_malformed() {
    for line in [
        "",
        " ",
        "[]",
        "hello",
        "{",
        r#"{"a"}"#,
        r#"{"a":1"#,
        r#"{"a":"x}"#,
        r#"{"a":1} x"#,
        r#"{"a":}"#,
        "{,}",
        r#"{"a":"\"}"#,
        "{\"a\":[1}",
    ] {
        assert_eq!(parts(line).0, Kind::Malformed, "{line}");
    }
}

#[test]
fn wrong_types_in_routing_keys_are_no_keys() {
    let (kind, p) = parts(
        r#"{"method":"m","params":{"threadId":5,"turnId":null,"item":[1],"turn":"x","thread":{"id":{}}}}"#,
    );
    assert_eq!(kind, Kind::Notification);
    assert_eq!((p.thread(), p.turn(), p.item()), (None, None, None));
}

#[test]
fn the_beginning_of_a_long_line_tells_who_waits_for_it() {
    let head = |line| {
        let (kind, env) = scan_head(line);
        (kind, Parts::new(line, env).id())
    };
    for (line, told) in [
        (r#"{"id":7,"result":{"a":"#, (Kind::Response, Some("7"))),
        (r#"{"id":7,"error":{"a"#, (Kind::Response, Some("7"))),
        (
            r#"{"x":[1],"id":"a\"","method":"m","params":{"#,
            (Kind::Request, Some(r#""a\"""#)),
        ),
        (
            r#"{"method":"m","id":7,"params":"#,
            (Kind::Request, Some("7")),
        ),
        // What was cut off might say otherwise.
        (r#"{"method":"m","params":{"#, (Kind::Malformed, None)),
        (r#"{"id":7"#, (Kind::Malformed, None)),
        (r#"{"result":{"id":7},"id":7"#, (Kind::Malformed, None)),
        (r#"{"id":null,"result":{"#, (Kind::Malformed, None)),
        (r#"{"params":{"id":7,"result":1"#, (Kind::Malformed, None)),
        ("xxxxxx", (Kind::Malformed, None)),
    ] {
        assert_eq!(head(line), told, "{line}");
    }
}

#[test]
fn depth_costs_no_stack() {
    let deep = format!(
        r#"{{"method":"m","params":{}{}}}"#,
        "[".repeat(1_000_000),
        "]".repeat(1_000_000)
    );
    assert_eq!(parts(&deep).0, Kind::Notification);
}

#[test]
fn a_line_reads_the_same_whatever_came_before_it() {
    let lines = [
        r#"{"method":"m","params":{"threadId":"t","turnId":"u","delta":"a"}}"#,
        r#"{"method":"m","params":{"threadId":"t","turnId":"u","delta":"a \" quoted one"},"emittedAtMs":1}"#,
        r#"{"method":"m","params":{"threadId":"t","turnId":"u","itemId":"i"}}"#,
        r#"{"method":"m","params":{"threadId":"t","turnId":"u","threadId":"other"}}"#,
        r#"{"method":"m","params":{"threadId":"t","turnId":"u"},"method":"n"}"#,
        r#"{"method":"m","params":{"threadId":"t","turnId":"u"},"method":""}"#,
        r#"{"method":"m","params":{"threadId":"t","turnId":"u"},"id":7}"#,
        r#"{"method":"m","params":{"threadId":"t","turnId":"u","turn":{"id":"v"}}}"#,
        r#"{"method":"m","params":{"turn":{"id":"v"},"threadId":"t","x":{}}}"#,
        r#"{"method":"m","params":{"turn":{"id":"v"},"threadId":"t","turnId":"u"}}"#,
        r#"{"method":"m","params":{"item":{"id":"i","type":"x"},"threadId":"t"}}"#,
        r#"{"method":"m","params":{"item":{"id":"i","type":"y"},"threadId":"t"}}"#,
        r#"{"params":{"threadId":"t","turnId":"u"},"method":"m"}"#,
        r#"{"params":{"threadId":"t","turnId":"u"},"method":"n"}"#,
        r#"{"params":{"threadId":"t","turnId":"u"},"params":{"a":1},"method":"n"}"#,
        r#"{"method":5,"params":{"threadId":"t"}}"#,
        r#"{"method":"m","params":{"threadId":"t","turnId":"u","delta":"#,
        r#"{"method":"m","params":{"threadId":"t","turnId":"u"]}"#,
        r#"{"method":"m","params":{"threadId":"t","turnId":"u"}} x"#,
        r#"{"id":1,"result":{"thread":{"id":"t"}}}"#,
        r#"{"id":2,"result":{"thread":{"id":"t"}}}"#,
        r#"{"\u006dethod":"m","params":{"thread\u0049d":"t","turnId":"u","delta":"a"}}"#,
        r#"{"method":"m","params":{"threadId":"t","turnId":"\u0075","delta":"a"}}"#,
        r#"{"method":"m","params":{"threadId":"\u0074","turnId":"u","delta":"a"}}"#,
        r#"{"method":"m","params":{"threadId":"t","turnId":"u"},"method":"\u006e"}"#,
        "{}",
        "x",
    ];
    let words = |line: &str, scanned: &Scanned| {
        let text = [line, &scanned.unescaped].concat();
        let p = Parts::new(&text, scanned.env);
        let all = [
            p.method(),
            p.id(),
            p.params(),
            p.error(),
            p.thread(),
            p.turn(),
            p.item(),
            p.item_type(),
        ];
        (
            all.map(|part| part.map(str::to_owned)),
            p.emitted_at_ms(),
            p.result_range(),
        )
    };
    for first in lines {
        for second in lines {
            let mut scan = Scan::default();
            for line in [first, first, second, second, first] {
                let alone = Scan::default().next(line);
                let got = scan.next(line);
                assert_eq!(got.kind, alone.kind, "{line} after {first}");
                assert_eq!(
                    words(line, &got),
                    words(line, &alone),
                    "{line} after {first}"
                );
            }
            // What is called the same is the same.
            let mut scan = Scan::default();
            let one = scan.next(first);
            let two = scan.next(second);
            if two.same {
                let keys = |line: &'static str, s: &Scanned| s.env.keys().map(|key| key.of(line));
                assert_eq!(
                    (one.kind, keys(first, &one)),
                    (two.kind, keys(second, &two)),
                    "{first} {second}"
                );
            }
        }
    }
}

#[test]
fn lines_that_begin_alike_are_known_to_go_where_the_last_one_went() {
    let mut scan = Scan::default();
    let line = |text: &str| {
        format!(r#"{{"method":"m","params":{{"threadId":"t","turnId":"u","delta":"{text}"}}}}"#)
    };
    let same: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|text| scan.next(&line(text)).same)
        .collect();
    assert_eq!(same, [false, true, true]);
    assert!(!scan.next(r#"{"method":"n"}"#).same);
    assert!(!scan.next(&line("d")).same, "what was between is forgotten");
}

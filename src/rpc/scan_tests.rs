//! What the envelope of a line is, line by line and after other lines.

use super::*;
use crate::rpc::{
    envelope::Parts,
    scanner::scan_head,
    test_protocol::{PROTOCOL, scan},
};

fn parts(line: &str) -> (MessageKind, Parts<'_>) {
    let (kind, env) = scan(line);
    (kind, Parts::new(line, env))
}

#[test]
fn a_notification_shows_its_method_params_and_routing_keys() {
    let (kind, p) = parts(
        r#"{"method":"thing/made","params":{"thing":{"type":"chair","id":"i-1","x":{"id":"no"}},"roomId":"t","visitId":"u"},"sentAt":17}"#,
    );
    assert_eq!(kind, MessageKind::Notification);
    assert_eq!(p.method(), Some("thing/made"));
    assert_eq!(
        (p.room(), p.visit(), p.thing()),
        (Some("t"), Some("u"), Some("i-1"))
    );
    assert_eq!(p.thing_type(), Some("chair"));
    assert_eq!(p.sent_at(), Some(17));
    assert!(p.params().unwrap().starts_with("{\"thing\""));
}

#[test]
fn a_direct_key_wins_over_a_nested_one_in_any_order() {
    for line in [
        r#"{"method":"m","params":{"visit":{"id":"nested"},"visitId":"direct"}}"#,
        r#"{"method":"m","params":{"visitId":"direct","visit":{"id":"nested"}}}"#,
    ] {
        assert_eq!(parts(line).1.visit(), Some("direct"));
    }
    assert_eq!(
        parts(r#"{"method":"m","params":{"visit":{"a":[1,"}"],"id":"n"}}}"#)
            .1
            .visit(),
        Some("n")
    );
}

#[test]
fn requests_and_responses_are_told_apart_by_the_method() {
    assert_eq!(
        parts(r#"{"id":0,"method":"m","params":null}"#).0,
        MessageKind::Request
    );
    assert_eq!(parts(r#"{"id":0,"result":{}}"#).0, MessageKind::Response);
    assert_eq!(
        parts(r#" { "error" : {"code":-1} , "id" : "a" } "#).1.id(),
        Some("\"a\"")
    );
    assert_eq!(
        parts(r#"{"error":{"code":-1},"id":"a"}"#).0,
        MessageKind::Response
    );
    assert_eq!(parts(r#"{"id":1}"#).0, MessageKind::Unknown);
    assert_eq!(parts("{}").0, MessageKind::Unknown);
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
        assert_eq!(parts(line).0, MessageKind::Unknown, "{line}");
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
        r#"{"method":"thing/made","params":{"thing":{"type":"chair","id":"i-1"},"roomId":"t","visitId":"u"}}"#,
        r#"{"method":"visit/ended","params":{"room":{"id":"t"},"visit":{"id":"u"}},"sentAt":17}"#,
        r#"{"id":5,"method":"m","params":{"thingId":"i"}}"#,
        r#"{"id":5,"result":{"room":{"id":"t"}}}"#,
    ] {
        let keys = |line: &str| {
            let scanned = Scan::new(&PROTOCOL).next(line);
            let text = [line, &scanned.unescaped].concat();
            let p = Parts::new(&text, scanned.env);
            let keys = [
                p.method(),
                p.id(),
                p.room(),
                p.visit(),
                p.thing(),
                p.thing_type(),
            ];
            let keys = keys.map(|key| key.map(str::to_owned));
            (scanned.kind, keys, p.sent_at())
        };
        assert_eq!(keys(&escaped(line)), keys(line), "{line}");
    }
    // What needs its escapes is what they say.
    let line = r#"{"method":"a\/\"b\"","params":{"roomId":"t\\1"}}"#;
    let scanned = Scan::new(&PROTOCOL).next(line);
    let text = [line, &scanned.unescaped].concat();
    let p = Parts::new(&text, scanned.env);
    assert_eq!((p.method(), p.room()), (Some(r#"a/"b""#), Some(r"t\1")));
}

#[test]
fn big_integers_are_ids_and_kept_to_the_letter() {
    let (kind, p) = parts(r#"{"id":99999999999999999999999,"method":"m"}"#);
    assert_eq!(
        (kind, p.id()),
        (MessageKind::Request, Some("99999999999999999999999"))
    );
}

#[test]
fn a_line_that_is_not_one_json_object_is_malformed() {
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
        assert_eq!(parts(line).0, MessageKind::Malformed, "{line}");
    }
}

#[test]
fn wrong_types_in_routing_keys_are_no_keys() {
    let (kind, p) = parts(
        r#"{"method":"m","params":{"roomId":5,"visitId":null,"thing":[1],"visit":"x","room":{"id":{}}}}"#,
    );
    assert_eq!(kind, MessageKind::Notification);
    assert_eq!((p.room(), p.visit(), p.thing()), (None, None, None));
}

#[test]
fn the_beginning_of_a_long_line_tells_who_waits_for_it() {
    let head = |line| {
        let (kind, env) = scan_head(line, &PROTOCOL);
        (kind, Parts::new(line, env).id())
    };
    for (line, told) in [
        (
            r#"{"id":7,"result":{"a":"#,
            (MessageKind::Response, Some("7")),
        ),
        (r#"{"id":7,"error":{"a"#, (MessageKind::Response, Some("7"))),
        (
            r#"{"x":[1],"id":"a\"","method":"m","params":{"#,
            (MessageKind::Request, Some(r#""a\"""#)),
        ),
        (
            r#"{"method":"m","id":7,"params":"#,
            (MessageKind::Request, Some("7")),
        ),
        // What was cut off might say otherwise.
        (
            r#"{"method":"m","params":{"#,
            (MessageKind::Malformed, None),
        ),
        (r#"{"id":7"#, (MessageKind::Malformed, None)),
        (
            r#"{"result":{"id":7},"id":7"#,
            (MessageKind::Malformed, None),
        ),
        (r#"{"id":null,"result":{"#, (MessageKind::Malformed, None)),
        (
            r#"{"params":{"id":7,"result":1"#,
            (MessageKind::Malformed, None),
        ),
        ("xxxxxx", (MessageKind::Malformed, None)),
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
    assert_eq!(parts(&deep).0, MessageKind::Notification);
}

#[test]
fn a_line_reads_the_same_whatever_came_before_it() {
    let lines = [
        r#"{"method":"m","params":{"roomId":"t","visitId":"u","delta":"a"}}"#,
        r#"{"method":"m","params":{"roomId":"t","visitId":"u","delta":"a \" quoted one"},"sentAt":1}"#,
        r#"{"method":"m","params":{"roomId":"t","visitId":"u","thingId":"i"}}"#,
        r#"{"method":"m","params":{"roomId":"t","visitId":"u","roomId":"other"}}"#,
        r#"{"method":"m","params":{"roomId":"t","visitId":"u"},"method":"n"}"#,
        r#"{"method":"m","params":{"roomId":"t","visitId":"u"},"method":""}"#,
        r#"{"method":"m","params":{"roomId":"t","visitId":"u"},"id":7}"#,
        r#"{"method":"m","params":{"roomId":"t","visitId":"u","visit":{"id":"v"}}}"#,
        r#"{"method":"m","params":{"visit":{"id":"v"},"roomId":"t","x":{}}}"#,
        r#"{"method":"m","params":{"visit":{"id":"v"},"roomId":"t","visitId":"u"}}"#,
        r#"{"method":"m","params":{"thing":{"id":"i","type":"x"},"roomId":"t"}}"#,
        r#"{"method":"m","params":{"thing":{"id":"i","type":"y"},"roomId":"t"}}"#,
        r#"{"params":{"roomId":"t","visitId":"u"},"method":"m"}"#,
        r#"{"params":{"roomId":"t","visitId":"u"},"method":"n"}"#,
        r#"{"params":{"roomId":"t","visitId":"u"},"params":{"a":1},"method":"n"}"#,
        r#"{"method":5,"params":{"roomId":"t"}}"#,
        r#"{"method":"m","params":{"roomId":"t","visitId":"u","delta":"#,
        r#"{"method":"m","params":{"roomId":"t","visitId":"u"]}"#,
        r#"{"method":"m","params":{"roomId":"t","visitId":"u"}} x"#,
        r#"{"id":1,"result":{"room":{"id":"t"}}}"#,
        r#"{"id":2,"result":{"room":{"id":"t"}}}"#,
        r#"{"\u006dethod":"m","params":{"room\u0049d":"t","visitId":"u","delta":"a"}}"#,
        r#"{"method":"m","params":{"roomId":"t","visitId":"\u0075","delta":"a"}}"#,
        r#"{"method":"m","params":{"roomId":"\u0074","visitId":"u","delta":"a"}}"#,
        r#"{"method":"m","params":{"roomId":"t","visitId":"u"},"method":"\u006e"}"#,
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
            p.room(),
            p.visit(),
            p.thing(),
            p.thing_type(),
        ];
        (
            all.map(|part| part.map(str::to_owned)),
            p.sent_at(),
            p.result_range(),
        )
    };
    for first in lines {
        for second in lines {
            let mut scan = Scan::new(&PROTOCOL);
            for line in [first, first, second, second, first] {
                let alone = Scan::new(&PROTOCOL).next(line);
                let got = scan.next(line);
                assert_eq!(got.kind, alone.kind, "{line} after {first}");
                assert_eq!(
                    words(line, &got),
                    words(line, &alone),
                    "{line} after {first}"
                );
            }
            // What is called the same is the same.
            let mut scan = Scan::new(&PROTOCOL);
            let one = scan.next(first);
            let two = scan.next(second);
            if two.same {
                let keys = |line: &'static str, s: &Scanned| {
                    let parts = Parts::new(line, s.env);
                    (parts.method(), parts.keys())
                };
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
    let mut scan = Scan::new(&PROTOCOL);
    let line = |text: &str| {
        format!(r#"{{"method":"m","params":{{"roomId":"t","visitId":"u","delta":"{text}"}}}}"#)
    };
    let same: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|text| scan.next(&line(text)).same)
        .collect();
    assert_eq!(same, [false, true, true]);
    assert!(!scan.next(r#"{"method":"n"}"#).same);
    assert!(!scan.next(&line("d")).same, "what was between is forgotten");
}

use proptest::{prelude::*, sample::select};

use super::*;
use crate::protocol::{
    AgentMessageDeltaNotification as Message, Notification,
    ReasoningTextDeltaNotification as Reasoning, ServerNotification,
};

const METHOD: &str = "item/agentMessage/delta";

/// Read simply, if it is simple; and that nothing else comes of it than `serde_json` makes of the text.
fn read_simply<T: Delta + PartialEq + std::fmt::Debug>(text: &str) -> Option<T> {
    let mut value = T::empty();
    let simply = value.fill(text).map(|()| value);
    if let Some(value) = &simply {
        assert_eq!(
            value,
            &serde_json::from_str::<T>(text).expect("it is right"),
            "{text}"
        );
    }
    let same = |result: Result<T, serde_json::Error>| result.map_err(|error| error.to_string());
    assert_eq!(same(read(text)), same(serde_json::from_str(text)), "{text}");
    simply
}

#[test]
fn a_delta_of_plain_strings_is_simple() {
    let text = r#"{"threadId":"t","turnId":"u","itemId":"i","delta":"größer — naïve ☃ 数据"}"#;
    let delta: Message = read_simply(text).expect("simple");
    assert_eq!(delta.delta, "größer — naïve ☃ 数据");
    assert_eq!(
        [delta.thread_id, delta.turn_id, delta.item_id],
        ["t", "u", "i"]
    );
}

#[test]
fn escapes_numbers_and_words_are_left_to_the_library_value_by_value() {
    let text = r#" { "delta" : "\"ä\" \u00e4\n" , "itemId":"i", "threadId":"t","turnId":"u", "new":null, "n":-1.5E+3 } "#;
    assert_eq!(
        read_simply::<Message>(text).expect("simple").delta,
        "\"ä\" ä\n"
    );
    let text = r#"{"contentIndex":3,"delta":"","itemId":"i","threadId":"t","turnId":"u"}"#;
    assert_eq!(
        read_simply::<Reasoning>(text)
            .expect("simple")
            .content_index,
        3
    );
}

#[test]
fn nested_and_wrong_values_are_left_to_the_library_as_a_whole() {
    let text = r#"{"threadId":"t","turnId":"u","itemId":"i","delta":"d","new":{"a":[1]}}"#;
    assert_eq!(read_simply::<Message>(text), None);
    assert_eq!(Message::decode(text).expect("right").delta, "d");
    let text = r#"{"threadId":"t","turnId":"u","itemId":"i","delta":1}"#;
    assert_eq!(read_simply::<Message>(text), None);
    let error = ServerNotification::decode(METHOD, text).expect_err("no string");
    assert!(
        error.to_string().contains("column 51"),
        "of the whole text: {error}"
    );
}

#[test]
fn a_value_is_filled_again_with_the_next_of_its_method() {
    let text =
        |delta: &str| format!(r#"{{"threadId":"t","turnId":"u","itemId":"i","delta":"{delta}"}}"#);
    let mut value =
        ServerNotification::decode(METHOD, &text(&"x".repeat(2 * KEEP))).expect("right");
    assert!(value.refill(METHOD, &text("the next")));
    let ServerNotification::ItemAgentMessageDelta(delta) = &value else {
        panic!("another method")
    };
    assert_eq!(delta.delta, "the next");
    assert!(delta.delta.capacity() <= KEEP, "a large one is given back");
    let place = delta.delta.as_ptr();
    assert!(value.refill(METHOD, &text("shorter")));
    let ServerNotification::ItemAgentMessageDelta(delta) = &value else {
        panic!("another method")
    };
    assert_eq!(
        (delta.delta.as_str(), delta.delta.as_ptr()),
        ("shorter", place)
    );
    assert!(!value.refill("item/plan/delta", &text("of another method")));
    assert!(
        !value.refill(METHOD, r#"{"threadId":"t"}"#),
        "something is missing"
    );
}

/// Pieces of objects, put together in any order.
fn text() -> impl Strategy<Value = String> {
    let pieces = vec![
        "{",
        "}",
        "{",
        "}",
        ",",
        ":",
        "\"",
        "\\",
        " ",
        "\n",
        "[",
        "]",
        "null",
        "1",
        "-",
        "1e5",
        "true",
        "nul",
        "\"delta\"",
        "\"threadId\":\"t\"",
        "\"turnId\":\"u\"",
        "\"itemId\":\"i\"",
        "\"delta\":\"d\"",
        "\"ä\\n\"",
        "\"\\u12\"",
        "\"\\ä\"",
        "\"\u{1}\"",
        "\"\u{7f}☃\"",
        "\"contentIndex\":7",
        "\"contentIndex\":1.5",
        "\u{a0}",
        "{}",
        ",\"x\":0",
    ];
    proptest::collection::vec(select(pieces), 0..16).prop_map(|pieces| pieces.concat())
}

/// A delta in which something may be wrong.
fn almost() -> impl Strategy<Value = String> {
    let value = || {
        prop_oneof![
            4 => any::<String>().prop_map(|text| serde_json::Value::from(text).to_string()),
            1 => "\"[a-z\\\\\"\u{1}-\u{20}]{0,12}\"",
            1 => "-?[0-9a-z.E+]{0,4}",
        ]
    };
    let keys = Just(vec![
        "delta",
        "threadId",
        "turnId",
        "itemId",
        "contentIndex",
        "delta",
        "new",
    ])
    .prop_shuffle();
    let space = || select(vec!["", "", "", "", " ", "\r\n\t", "\u{b}"]);
    (
        keys,
        3..8_usize,
        proptest::collection::vec((value(), space(), space()), 8),
    )
        .prop_map(|(keys, len, parts)| {
            let members = keys.iter().zip(parts).take(len);
            let members: Vec<_> = members
                .map(|(key, (value, a, b))| format!("{a}\"{key}\"{b}:{a}{value}{b}"))
                .collect();
            format!("{{{}}}", members.join(","))
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn any_text_is_read_as_the_library_reads_it(text in prop_oneof![text(), almost()]) {
        read_simply::<Message>(&text);
        read_simply::<Reasoning>(&text);
    }
}

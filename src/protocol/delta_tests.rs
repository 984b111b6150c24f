use proptest::{prelude::*, sample::select};

use super::*;
use crate::protocol::{
    AgentMessageDeltaNotification as Delta, CommandExecOutputDeltaNotification as Output,
    Notification, ReasoningTextDeltaNotification as Reasoning, ServerNotification,
};

/// Read simply, if it is simple; and that nothing else comes of it than `serde_json` makes of the text.
fn read_simply<T: Object + DeserializeOwned + PartialEq + fmt::Debug>(text: &str) -> Option<T> {
    let simply = simple::<T>(text);
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
    let delta: Delta = read_simply(text).expect("simple");
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
        read_simply::<Delta>(text).expect("simple").delta,
        "\"ä\" ä\n"
    );
    let text = r#"{"contentIndex":3,"delta":"","itemId":"i","threadId":"t","turnId":"u"}"#;
    assert_eq!(
        read_simply::<Reasoning>(text)
            .expect("simple")
            .content_index,
        3
    );
    let text = r#"{"capReached":true,"deltaBase64":"eA==","processId":"p","stream":"stdnew"}"#;
    assert_eq!(
        read_simply::<Output>(text).expect("simple").stream.as_str(),
        "stdnew"
    );
}

#[test]
fn what_is_nested_is_left_to_the_library_as_a_whole() {
    let text = r#"{"threadId":"t","turnId":"u","itemId":"i","delta":"d","new":{"a":[1]}}"#;
    assert_eq!(read_simply::<Delta>(text), None);
    assert_eq!(Delta::decode(text).expect("right").delta, "d");
}

#[test]
fn a_delta_is_read_simply_wherever_it_is_asked_for() {
    // Of the two texts only one is told apart: the library would say where in the whole text the mistake is, too.
    let text = r#"{"threadId":"t","turnId":"u","itemId":"i","delta":1}"#;
    let error = ServerNotification::decode("item/agentMessage/delta", text).expect_err("no string");
    assert_eq!(
        error.to_string(),
        Delta::decode(text).expect_err("no string").to_string()
    );
    assert_eq!(error.column(), 51);
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
        "\"stream\":\"stdout\"",
        "\"capReached\":false",
        "\"deltaBase64\":\"\"",
        "\"processId\":\"p\"",
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
        read_simply::<Delta>(&text);
        read_simply::<Reasoning>(&text);
        read_simply::<Output>(&text);
    }
}

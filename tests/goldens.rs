//! Ten generated types as source text. A change of the generator or of the schema shows here first.
//!
//! After an intended change, run `INSTA_UPDATE=always cargo test --test goldens` and review the
//! diff.

use std::fs;

/// The text of a generated type: its documentation, its definition and its impls.
fn generated(name: &str) -> String {
    let dir = concat!(env!("OUT_DIR"), "/protocol");
    for entry in fs::read_dir(dir).expect("the build script wrote its files") {
        let text = fs::read_to_string(entry.expect("a readable directory").path())
            .expect("a readable file");
        // An empty line separates types and occurs nowhere else.
        let defines = |part: &&str| {
            ["struct", "enum"].iter().any(|word| {
                let head = format!("pub {word} {name}");
                part.lines().any(|line| {
                    line.strip_prefix(&head)
                        .is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
                })
            })
        };
        if let Some(part) = text.split("\n\n").find(defines) {
            return part.to_owned();
        }
    }
    panic!("no type is called {name}");
}

macro_rules! goldens {
    ($($test:ident $name:literal,)*) => {
        $(#[test]
        fn $test() {
            insta::assert_snapshot!($name, generated($name));
        })*
    };
}

goldens! {
    params_with_required_fields_have_a_constructor_and_setters "TurnStartParams",
    params_without_required_fields_have_a_default "ThreadListParams",
    an_id_alone_converts_into_params "ThreadArchiveParams",
    null_and_absent_differ_where_null_is_an_order "ThreadMetadataGitInfoUpdateParams",
    a_notification_is_a_plain_struct "AgentMessageDeltaNotification",
    a_response_keeps_optional_fields_optional "ThreadStartResponse",
    a_string_enum_keeps_unknown_values "PlanType",
    a_tagged_union_keeps_unknown_objects "ThreadItem",
    a_union_of_words_and_objects_keeps_both "CodexErrorInfo",
    a_second_method_with_the_same_params_has_a_newtype "ThreadSearchStreamParams",
    a_secret_is_not_printed "ChatgptAuthTokensRefreshResponse",
}

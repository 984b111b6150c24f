use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "only read")]
struct Account {
    id: u64,
    #[serde(default)]
    kind: Kind,
    #[serde(default)]
    parts: Vec<Part>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Kind {
    #[default]
    Free,
    Paid,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only read")]
struct Part {
    size: u8,
    #[serde(default)]
    even: Option<Even>,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Even;

impl TryFrom<String> for Even {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Err(format!("missing field `{text}` of {text}"))
    }
}

fn told(text: &str) -> String {
    describe(text, &serde_json::from_str::<Account>(text).unwrap_err())
}

#[test]
fn the_place_the_kind_and_what_was_expected_are_told() {
    for (text, reason) in [
        (r#"{"id":"sk-secret"}"#, "id: string, expected u64"),
        (
            r#"{"id":1,"kind":"sk-secret"}"#,
            "kind: unknown variant, expected `free` or `paid`",
        ),
        (
            r#"{"id":1,"parts":[{"size":1},{"size":"sk-secret"}]}"#,
            "parts[1].size: string, expected u8",
        ),
        (
            r#"{"id":1,"parts":[{"size":1},{"size":777}]}"#,
            "parts[1].size: integer, expected u8",
        ),
        (
            r#"{"id":1,"parts":"sk-secret"}"#,
            "parts: string, expected a sequence",
        ),
        (r#"{"id":1,"parts":[{}]}"#, "parts[0]: missing field `size`"),
        (r#"{"kind":"paid"}"#, "missing field `id`"),
        (r#"{"id":1,"id":2}"#, "id: duplicate field `id`"),
        (r#"{"id":1.5}"#, "id: floating point, expected u64"),
        (r#"{"id":null}"#, "id: null, expected u64"),
        (r#"{"id":"#, "id: EOF while parsing a value"),
        ("5", "integer, expected struct Account"),
        ("{\n \"id\":\n [true]}", "id: sequence, expected u64"),
        (
            r#"{"kind\"x":[{"é":1}],"id":"sk-secret"}"#,
            "id: string, expected u64",
        ),
    ] {
        assert_eq!(told(text), reason, "{text}");
    }
    let extra = told(r#"{"id":1,"parts":[{"size":1,"sk-secret":2}]}"#);
    assert!(
        extra.ends_with("unknown field, expected `size` or `even`"),
        "{extra}"
    );
}

#[test]
fn no_value_is_quoted_whatever_it_looks_like() {
    const SECRET: &str = "sk-s3cret";
    let values = [
        format!(r#""{SECRET}""#),
        format!(r#""{SECRET}, expected {SECRET}""#),
        format!(r#""a\", expected {SECRET} at line 1 column 1""#),
        format!(r#"{{"{SECRET}":"{SECRET}"}}"#),
        format!(r#"["{SECRET}"]"#),
        format!(r#"{{"size":1,"even":"{SECRET}"}}"#),
        format!(r#"{{"{SECRET}":1}}"#),
        "\"\\u0073k-s3cret\"".to_owned(),
    ];
    let mut tried = 0;
    for value in &values {
        for text in [
            value.clone(),
            format!(r#"{{"id":{value}}}"#),
            format!(r#"{{"id":1,"kind":{value}}}"#),
            format!(r#"{{"id":1,"parts":[{{"size":{value}}}]}}"#),
            format!(r#"{{"id":1,"parts":[{value}]}}"#),
            format!(r#"{{"id":1,"parts":{value}}}"#),
            format!(r#"{{"{SECRET}":1,"id":{value}}}"#),
        ] {
            let Err(error) = serde_json::from_str::<Account>(&text) else {
                continue;
            };
            let told = describe(&text, &error);
            assert!(!told.contains(SECRET), "{text}: {told}");
            tried += 1;
        }
    }
    assert!(tried > 40, "{tried}");
}

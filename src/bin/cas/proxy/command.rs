//! The commands of the orchestrator, and small repairs of its requests.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A command; what is passed on is JSON text as the orchestrator wrote it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    Request {
        /// A JSON string, as `id` may be.
        method: &'a str,
        params: Option<&'a str>,
        id: Option<&'a str>,
        client_request_id: Option<&'a str>,
    },
    Respond {
        id: &'a str,
        answer: Answer<'a>,
    },
    Send(&'a str),
    StateGet,
    StatsGet,
    Exit,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer<'a> {
    Result(&'a str),
    Error(&'a str),
}

/// All members that a command may have.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Members<'a> {
    #[serde(borrow, default)]
    r#type: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    client_request_id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    msg: Option<&'a RawValue>,
}

/// `null` is a value too.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(d: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(d).map(Some)
}

/// Reads a command from a line that is JSON.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub(super) fn parse(line: &str) -> Result<Command<'_>, String> {
    if !line.trim_start().starts_with('{') {
        return Err("a command must be a JSON object".to_owned());
    }
    let members: Members<'_> =
        serde_json::from_str(line).map_err(|e| format!("not a command: {e}"))?;
    let Some(name) = members.r#type else {
        return Err("a command must have a type".to_owned());
    };
    let id = match members.id.map(RawValue::get) {
        Some(id)
            if !id.starts_with(['"', '-']) && !id.starts_with(|c: char| c.is_ascii_digit()) =>
        {
            return Err(format!("{name}: id must be a string or a number"));
        }
        id => id,
    };
    Ok(match &*name {
        "cas/request" => {
            let method = members.method.map(RawValue::get).unwrap_or_default();
            if !method.starts_with('"') {
                return Err("cas/request needs a method, a string".to_owned());
            }
            Command::Request {
                method,
                params: members.params.map(RawValue::get),
                id,
                client_request_id: members.client_request_id.map(RawValue::get),
            }
        }
        "cas/respond" => {
            let Some(id) = id else {
                return Err("cas/respond needs an id".to_owned());
            };
            let answer = match (members.result, members.error) {
                (Some(result), None) => Answer::Result(result.get()),
                (None, Some(error)) => Answer::Error(error.get()),
                _ => return Err("cas/respond needs exactly one of result and error".to_owned()),
            };
            Command::Respond { id, answer }
        }
        "cas/send" => match members.msg.map(RawValue::get) {
            Some(msg) if msg.starts_with('{') => Command::Send(msg),
            _ => return Err("cas/send needs a msg, an object".to_owned()),
        },
        "cas/state/get" => Command::StateGet,
        "cas/stats/get" => Command::StatsGet,
        "cas/exit" => Command::Exit,
        other => return Err(format!("unknown command type {other:?}")),
    })
}

/// The params to send for a request: adds a constant that the server requires if it is missing.
pub(super) fn complete<'a>(method: &str, params: Option<&'a str>) -> Option<Cow<'a, str>> {
    match (method, params) {
        (r#""thread/start""#, None | Some("null")) => {
            Some(r#"{"experimentalRawEvents":false}"#.into())
        }
        (r#""thread/start""#, Some(params)) => Some(with_raw_events(params)),
        (r#""turn/start""# | r#""turn/steer""#, Some(params)) => Some(with_text_elements(params)),
        (_, params) => params.map(Cow::Borrowed),
    }
}

fn with_raw_events(params: &str) -> Cow<'_, str> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Start<'a> {
        #[serde(borrow, default, deserialize_with = "present")]
        experimental_raw_events: Option<&'a RawValue>,
    }
    match serde_json::from_str::<Start<'_>>(params) {
        Ok(Start {
            experimental_raw_events: None,
        }) if params.starts_with('{') => {
            let member = r#""experimentalRawEvents":false"#;
            let (head, empty) = open(params);
            let comma = if empty { "" } else { "," };
            format!("{head}{comma}{member}}}").into()
        }
        _ => params.into(),
    }
}

fn with_text_elements(params: &str) -> Cow<'_, str> {
    #[derive(Deserialize)]
    struct Turn<'a> {
        #[serde(borrow)]
        input: Vec<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Item<'a> {
        #[serde(borrow)]
        r#type: Cow<'a, str>,
        #[serde(borrow, default, deserialize_with = "present")]
        text_elements: Option<&'a RawValue>,
    }
    let Ok(turn) = serde_json::from_str::<Turn<'_>>(params) else {
        return params.into();
    };
    let mut out = String::new();
    let mut copied = 0;
    for item in turn.input.iter().map(|item| item.get()) {
        let wants = item.starts_with('{')
            && serde_json::from_str::<Item<'_>>(item)
                .is_ok_and(|i| i.r#type == "text" && i.text_elements.is_none());
        if wants {
            // The item is a part of the params, so its distance from their start is its place in
            // them.
            let end = item.as_ptr() as usize - params.as_ptr() as usize + item.len() - 1;
            out.push_str(&params[copied..end]);
            out.push_str(r#","text_elements":[]"#);
            copied = end;
        }
    }
    if copied == 0 {
        return params.into();
    }
    out.push_str(&params[copied..]);
    out.into()
}

/// An object's text without its closing brace, and whether it has no members.
fn open(object: &str) -> (&str, bool) {
    let head = object.trim_end().strip_suffix('}').unwrap_or(object);
    (head, head.trim_end() == "{")
}

/// The id as a key: escapes in strings are resolved, since the other side may write them otherwise.
pub(super) fn id_key(id: &str) -> Cow<'_, str> {
    if !id.contains('\\') {
        return id.into();
    }
    match serde_json::from_str::<String>(id) {
        Ok(text) => serde_json::Value::from(text).to_string().into(),
        Err(_) => id.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_keeps_its_params_and_ids_to_the_letter() {
        let line = r#"{"type":"cas/request","params":{"b": 1.50, "a":[ ]},"id":"x\u0041","method":"m","clientRequestId":"c"}"#;
        assert_eq!(
            parse(line),
            Ok(Command::Request {
                method: "\"m\"",
                params: Some(r#"{"b": 1.50, "a":[ ]}"#),
                id: Some(r#""x\u0041""#),
                client_request_id: Some("\"c\""),
            })
        );
        assert_eq!(id_key(r#""x\u0041""#), "\"xA\"");
    }

    #[test]
    fn an_answer_may_be_null_but_must_be_one() {
        let answer = |members: &str| {
            parse(&format!(r#"{{"type":"cas/respond","id":0{members}}}"#)).map(|c| match c {
                Command::Respond { answer, .. } => format!("{answer:?}"),
                other => panic!("{other:?}"),
            })
        };
        assert_eq!(answer(r#","result":null"#).unwrap(), "Result(\"null\")");
        assert_eq!(answer(r#","error":{}"#).unwrap(), "Error(\"{}\")");
        assert!(answer(r#","error":{},"result":1"#).is_err());
        assert!(answer("").is_err());
    }

    #[test]
    fn what_is_wrong_with_a_command_is_told() {
        for (line, told) in [
            ("[]", "a command must be a JSON object"),
            ("{}", "a command must have a type"),
            (r#"{"type":5}"#, "not a command"),
            (r#"{"type":"cas/fly"}"#, r#"unknown command type "cas/fly""#),
            (r#"{"type":"cas/request"}"#, "cas/request needs a method"),
            (
                r#"{"type":"cas/request","method":5}"#,
                "cas/request needs a method",
            ),
            (
                r#"{"type":"cas/request","method":"m","id":true}"#,
                "cas/request: id must be",
            ),
            (
                r#"{"type":"cas/respond","result":1}"#,
                "cas/respond needs an id",
            ),
            (r#"{"type":"cas/send","msg":"x"}"#, "cas/send needs a msg"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.starts_with(told), "{line}: {error}");
        }
    }

    #[test]
    fn constants_that_the_server_wants_are_added_and_nothing_else_changes() {
        let done = |method: &str, params| {
            complete(&format!("{method:?}"), params)
                .map(Cow::into_owned)
                .unwrap_or_default()
        };
        let raw = r#"{"experimentalRawEvents":false}"#;
        assert_eq!(done("thread/start", None), raw);
        assert_eq!(done("thread/start", Some("null")), raw);
        assert_eq!(
            done("thread/start", Some("{ }")),
            r#"{ "experimentalRawEvents":false}"#
        );
        assert_eq!(
            done("thread/start", Some(r#"{"a":1.0 }"#)),
            r#"{"a":1.0 ,"experimentalRawEvents":false}"#
        );
        for untouched in [r#"{"experimentalRawEvents":true}"#, "[1]", "\"x\""] {
            assert_eq!(done("thread/start", Some(untouched)), untouched);
        }
        assert_eq!(
            done(
                "turn/steer",
                Some(
                    r#"{"input":[{"type":"text","text":"}"},{"type":"image"}, {"text":"b","type":"text" }],"z":[]}"#
                )
            ),
            r#"{"input":[{"type":"text","text":"}","text_elements":[]},{"type":"image"}, {"text":"b","type":"text" ,"text_elements":[]}],"z":[]}"#
        );
        for untouched in [
            r#"{"input":[{"type":"text","text":"a","text_elements":[1]}]}"#,
            r#"{"input":"hello"}"#,
            "5",
        ] {
            assert_eq!(done("turn/start", Some(untouched)), untouched);
        }
        assert_eq!(done("thread/list", Some("{}")), "{}");
        assert_eq!(complete("\"thread/list\"", None), None);
    }
}

//! Fuzzes the typed decoders of notifications and server requests with a line.
//!
//! A decoded value can be encoded, and that decodes to the same value.

#![no_main]

use cas_sdk::protocol::{
    AgentMessageDeltaNotification, Notification, ReasoningTextDeltaNotification,
    ServerNotification, ServerRequest,
};
use libfuzzer_sys::fuzz_target;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

#[derive(Deserialize)]
struct Message<'a> {
    method: String,
    #[serde(borrow)]
    params: &'a RawValue,
}

fn check<T: Serialize>(
    method: &str,
    params: &str,
    decode: impl Fn(&str, &str) -> Result<T, serde_json::Error>,
) {
    let Ok(first) = decode(method, params) else {
        return;
    };
    // A number such as 1e999 is kept and written as text.
    let Ok(written) = serde_json::to_value(&first) else {
        return;
    };
    let params = written
        .get("params")
        .map_or_else(|| "null".to_owned(), ToString::to_string);
    let again = decode(method, &params).unwrap_or_else(|e| panic!("{method} {params}: {e}"));
    let again = serde_json::to_value(&again).expect("it was written before");
    assert_eq!(rounded(written), rounded(again), "{method}");
}

/// Deltas have their own decoder, which must agree with serde_json.
fn same<N: Notification + PartialEq + std::fmt::Debug>(params: &str) {
    let (own, library) = (N::decode(params), serde_json::from_str::<N>(params));
    assert_eq!(own.ok(), library.ok(), "{params}");
}

/// The last digit of a float may change with every round trip.
fn rounded(value: Value) -> Value {
    match value {
        Value::Number(n) if n.is_f64() => format!("{:.9e}", n.as_f64().unwrap_or_default()).into(),
        Value::Array(items) => items.into_iter().map(rounded).collect(),
        Value::Object(members) => members.into_iter().map(|(k, v)| (k, rounded(v))).collect(),
        other => other,
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(line) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(message) = serde_json::from_str::<Message<'_>>(line) else {
        return;
    };
    same::<AgentMessageDeltaNotification>(message.params.get());
    same::<ReasoningTextDeltaNotification>(message.params.get());
    check(
        &message.method,
        message.params.get(),
        ServerNotification::decode,
    );
    check(&message.method, message.params.get(), ServerRequest::decode);
});

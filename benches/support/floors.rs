//! Floors: the least work of any client.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// Reads the envelope of a line, and its delta if it is one, with borrowed strings.
pub(crate) fn read(line: &[u8]) -> serde_json::Result<(Cow<'_, str>, Option<Delta<'_>>)> {
    let Envelope { method, params } = serde_json::from_slice(line)?;
    let delta = match (&*method, params) {
        ("item/agentMessage/delta", Some(params)) => Some(serde_json::from_str(params.get())?),
        _ => None,
    };
    Ok((method, delta))
}

#[derive(serde::Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "decoded for the cost of it")]
pub(crate) struct Delta<'a> {
    #[serde(borrow)]
    thread_id: Cow<'a, str>,
    #[serde(borrow)]
    turn_id: Cow<'a, str>,
    #[serde(borrow)]
    item_id: Cow<'a, str>,
    #[serde(borrow)]
    #[serde(rename = "delta")]
    pub(crate) text: Cow<'a, str>,
}

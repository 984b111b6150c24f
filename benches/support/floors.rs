//! What no client can do without.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// A blocking loop that frames lines, reads the envelope with borrowed strings and decodes the delta.
pub(crate) fn typed(bytes: &[u8]) -> usize {
    #[derive(serde::Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        method: Cow<'a, str>,
        #[serde(borrow)]
        params: &'a RawValue,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    #[expect(dead_code, reason = "decoded for the cost of it")]
    struct Delta<'a> {
        #[serde(borrow)]
        thread_id: Cow<'a, str>,
        #[serde(borrow)]
        turn_id: Cow<'a, str>,
        #[serde(borrow)]
        item_id: Cow<'a, str>,
        #[serde(borrow)]
        #[serde(rename = "delta")]
        text: Cow<'a, str>,
    }
    let mut length = 0;
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let envelope: Envelope<'_> = serde_json::from_slice(line).expect("a message");
        if envelope.method == "item/agentMessage/delta" {
            let delta: Delta<'_> = serde_json::from_str(envelope.params.get()).expect("a delta");
            length += delta.text.len();
        }
    }
    length
}

pub(crate) fn newlines(bytes: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', bytes).count()
}

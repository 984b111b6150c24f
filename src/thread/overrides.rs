//! Settings in the params of a resume, which the server ignores for a loaded thread.

use serde_json::Value;

use crate::{
    client::{ConnectionKind, handle::CasClient},
    error::Error,
    protocol::{self, Call, ThreadResumeParams, ThreadStatus},
};

/// The params that are no settings of the thread.
const HARMLESS: [&str; 5] = [
    "threadId",
    "excludeTurns",
    "initialTurnsPage",
    "history",
    "path",
];

/// Fails if the server would ignore settings in these params, because another client may have
/// loaded the thread.
pub(super) async fn check(client: &CasClient, params: &ThreadResumeParams) -> Result<(), Error> {
    if !matches!(
        client.connection_kind(),
        ConnectionKind::Joined { .. } | ConnectionKind::Served { .. }
    ) {
        return Ok(());
    }
    let settings = settings(params)?;
    if settings.is_empty() {
        return Ok(());
    }
    // A thread that can't be read is not loaded, and the resume says what is wrong with it.
    let thread = client.thread(&params.thread_id).fetch().await;
    if thread.is_ok_and(|thread| !matches!(thread.status, ThreadStatus::NotLoaded)) {
        let text = format!(
            "thread {} is loaded, and the server ignores {} in the resume of a loaded thread: leave them out, and set them with `turn/start` or `thread/settings/update`",
            params.thread_id,
            settings.join(", ")
        );
        return Err(Error::Invalid(text));
    }
    Ok(())
}

fn settings(params: &ThreadResumeParams) -> Result<Vec<String>, Error> {
    let fields =
        protocol::to_value(params).map_err(|e| Error::encode(ThreadResumeParams::METHOD, &e))?;
    let Value::Object(fields) = fields else {
        return Ok(Vec::new());
    };
    let set = fields
        .into_iter()
        .filter(|(key, value)| !value.is_null() && !HARMLESS.contains(&key.as_str()));
    Ok(set.map(|(key, _)| format!("`{key}`")).collect())
}

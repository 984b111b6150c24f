//! The mode of a turn, planning or acting, in the form that the server wants: together with the
//! model.

use serde_json::{Map, Value, json};

use crate::{error::Error, protocol::pointer::at, thread::Thread};

/// The field of `turn/start`.
pub(super) const FIELD: &str = "collaborationMode";

/// Completes a mode that is given by its name alone: the server wants the model with it.
pub(super) fn complete(thread: &Thread, fields: &mut Map<String, Value>) -> Result<(), Error> {
    let Some(Value::Object(mode)) = fields.get(FIELD) else {
        return Ok(());
    };
    if mode.contains_key("settings") {
        return Ok(());
    }
    if !thread.client().experimental_api() {
        return Err(Error::Invalid(
            "the mode of a turn is experimental; call `experimental_api(true)` on the builder to use it"
                .to_owned(),
        ));
    }
    let told = fields.get("model").and_then(Value::as_str);
    let told = told.map(str::to_owned);
    let model = told
        .or_else(|| thread.client().tracker().model(thread.id()))
        .or_else(|| at::<String>(thread.json(), &["model"]).ok())
        .filter(|model| !model.is_empty());
    let Some(model) = model else {
        return Err(Error::Invalid(format!(
            "the model of thread {} is not known here, and the server needs it to change the mode: name it with `.model(…)`, or resume the thread",
            thread.id()
        )));
    };
    let effort = fields.get("effort").cloned().unwrap_or(Value::Null);
    let mode = mode.get("mode").cloned().unwrap_or(Value::Null);
    let settings =
        json!({"model": model, "reasoning_effort": effort, "developer_instructions": null});
    fields.insert(
        FIELD.to_owned(),
        json!({"mode": mode, "settings": settings}),
    );
    Ok(())
}

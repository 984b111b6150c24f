//! A request of the server before its params are decoded.

use serde::de::DeserializeOwned;

use super::error::HandlerError;
use crate::{error::misfit, protocol::RequestId, rpc::Incoming};

/// A request whose params are decoded for the handler that takes them.
pub(crate) struct Undecoded(Incoming);

impl Undecoded {
    pub(crate) fn new(message: &Incoming) -> Self {
        Self(message.clone())
    }

    pub(crate) fn method(&self) -> &str {
        self.0.parts().method().unwrap_or_default()
    }

    pub(crate) fn decode<T: DeserializeOwned>(&self) -> Result<T, HandlerError> {
        let parts = self.0.parts();
        let params = parts.params().unwrap_or("null");
        serde_json::from_str(params).map_err(|error| undecodable(self.method(), params, &error))
    }
}

pub(crate) fn undecodable(method: &str, params: &str, error: &serde_json::Error) -> HandlerError {
    let reason = misfit::describe(params, error);
    HandlerError::rpc(-32602, format!("{method} cannot be decoded: {reason}"))
}

/// The id of a request.
pub(crate) fn request_id(message: &Incoming) -> RequestId {
    let id = message.parts().id().unwrap_or_default();
    serde_json::from_str(id).unwrap_or_else(|_| RequestId::Text(id.to_owned()))
}

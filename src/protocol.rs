//! The wire types, generated from the schema at build time, and the traits that tie them to their methods.

use serde::{Serialize, de::DeserializeOwned};

/// The params of a client request: names the method and fixes the type of its response.
pub trait Call: Serialize {
    /// The method on the wire, as in `thread/start`.
    const METHOD: &'static str;
    /// Whether the server refuses the method unless `experimentalApi` was negotiated.
    const EXPERIMENTAL: bool;
    /// What the server answers.
    type Response: DeserializeOwned + Send + 'static;
}

/// The payload of a notification from the server.
pub trait Notification: DeserializeOwned + Send + Sync + 'static {
    /// The methods that carry this payload; almost always one.
    const METHODS: &'static [&'static str];
}

/// The params of a request from the server: names the method and fixes the type of the answer.
pub trait ServerCall: DeserializeOwned + Send + 'static {
    /// The method on the wire, as in `item/tool/call`.
    const METHOD: &'static str;
    /// What the server expects back.
    type Response: Serialize + Send + 'static;
}

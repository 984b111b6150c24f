//! The wire types, generated from the schema at build time, and the traits that tie them to their methods.

mod ids;
mod inventory;
pub(crate) mod lifetimes;
pub(crate) mod pointer;
mod request_id;
pub(crate) mod routing;
mod serde;
mod setters;

use ::serde::{Serialize, de::DeserializeOwned};

#[allow(
    unused_imports,
    reason = "`readable!` expands to it where a field may be absent"
)]
pub(crate) use self::serde::Optional;
pub(crate) use self::serde::{Name, from_value, to_value};
pub use ids::{ThreadId, TurnId};
pub use inventory::{MethodInfo, MethodKind, inventory};
pub use request_id::RequestId;

/// What the generated files use.
mod macros {
    pub(crate) use super::{serde::macros::*, setters::setters};
}

#[allow(
    unused_imports,
    unused_mut,
    unused_variables,
    irrefutable_let_patterns,
    clippy::all,
    clippy::pedantic,
    reason = "generated: names, docs and sizes are the schema's, each file imports the same, and an object may have no \
              fields, or none that is required"
)]
mod generated {
    use super::{
        Call, MethodInfo, Notification, Paged, RequestId, ServerCall, ThreadId, TurnId, macros,
        serde::{delta, method, structs, unions},
    };

    include!(concat!(env!("OUT_DIR"), "/protocol.rs"));
}
pub use generated::*;

/// The params of a client request. The type fixes the method and the type of the response.
pub trait Call: Serialize {
    /// The method on the wire, as in `thread/start`.
    const METHOD: &'static str;
    /// Whether the server refuses the method unless `experimentalApi` was negotiated.
    const EXPERIMENTAL: bool = false;
    /// The type of the response.
    type Response: DeserializeOwned + Send + 'static;
}

/// The params of a client request whose response is one page of a list; see [`CasClient::pages`](crate::CasClient::pages).
pub trait Paged: Call {
    /// The type of a list's items.
    type Item: DeserializeOwned + Send + 'static;
}

/// The params of a notification from the server.
pub trait Notification: DeserializeOwned + Send + Sync + 'static {
    /// The methods of notifications with these params; almost always one.
    const METHODS: &'static [&'static str];

    /// Decodes the params of such a notification.
    ///
    /// # Errors
    /// If they do not fit the schema.
    fn decode(params: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(params)
    }

    /// Reads such params into this value. Returns `false` if that is not possible; the value is
    /// then garbage.
    #[doc(hidden)]
    fn refill(&mut self, _: &str) -> bool {
        false
    }
}

/// The params of a request from the server. The type fixes the method and the type of the answer.
pub trait ServerCall: DeserializeOwned + Send + 'static {
    /// The method on the wire, as in `item/tool/call`.
    const METHOD: &'static str;
    /// The type of the answer.
    type Response: Serialize + Send + 'static;
}

//! Round trips through the types, by method.

use std::collections::HashMap;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Of a method whose answer no schema tells, as some older ones have them, the response is a
/// `Value`.
mod types {
    pub(super) use cas_sdk::protocol::*;
    #[allow(unused_imports, reason = "only such a schema needs it")]
    pub(super) use serde_json::Value;
}

include!(concat!(env!("OUT_DIR"), "/for_tests.rs"));

/// Decodes and encodes again.
type RoundTrip = fn(&str) -> Result<Value, serde_json::Error>;

fn round_trip<T: DeserializeOwned + Serialize>(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::to_value(serde_json::from_str::<T>(text)?)
}

macro_rules! tables {
    (
        requests { $($method:literal $params:ident $response:ident,)* }
        server_requests { $($server_method:literal $server_params:ident $server_response:ident,)* }
        notifications { $($notification:literal $payload:ident $none:ident,)* }
        types { $($ty:ident,)* }
    ) => {
        /// Params and response of each request, of either side.
        pub(crate) fn calls() -> HashMap<&'static str, [RoundTrip; 2]> {
            HashMap::from([
                $(($method, [round_trip::<types::$params> as RoundTrip, round_trip::<types::$response>]),)*
                $(($server_method, [round_trip::<types::$server_params> as RoundTrip, round_trip::<types::$server_response>]),)*
            ])
        }
    };
}
with_protocol!(tables);

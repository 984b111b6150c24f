//! What the generated files use.

#[allow(unused_imports, reason = "a schema may need none of one")]
pub(crate) use super::{
    method::{
        call, client_notification, newtype, no_params, notification, paged, server_call,
        server_message,
    },
    strings::{open_enum, string_newtype, strings},
    structs::{equal_fields, read_fields, redacted, struct_serde, variant_serde, write_fields},
    unions::{externally_tagged, internally_tagged, untagged, variants_from},
};

//! Doors to the engine for the fuzz targets, in builds with `--cfg fuzzing` only. Not a part of the API.

#[cfg(feature = "cli")]
pub use crate::proxy::fuzzing::Proxy;

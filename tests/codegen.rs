//! Runs the unit tests of the generator, which otherwise is part of the build script only.

#[path = "../codegen/mod.rs"]
#[allow(dead_code, reason = "the build script's entrance")]
mod codegen;

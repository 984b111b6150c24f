//! Runs the unit tests of the generator, which is otherwise only compiled into the build script.

#[path = "../codegen/mod.rs"]
#[allow(dead_code, reason = "the build script's entrance")]
mod codegen;

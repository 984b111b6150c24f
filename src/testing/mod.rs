//! What tests of programs that use this crate need.

//! Generates the protocol types from the schema. See `codegen/mod.rs`.

#[path = "codegen/mod.rs"]
mod codegen;

fn main() {
    if let Err(error) = codegen::build() {
        println!("cargo::error={error}");
        std::process::exit(1);
    }
}

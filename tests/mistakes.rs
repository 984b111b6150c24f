//! The three mistakes that the types are there to catch do not compile, and the compiler says what is wrong.

#[test]
fn mistakes_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/mistakes/*.rs");
}

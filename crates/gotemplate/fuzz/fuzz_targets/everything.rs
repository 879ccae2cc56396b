//! A text as a template and by Go's rules. Start with `cargo +nightly fuzz run everything crates/gotemplate/fuzz/seeds`.
#![no_main]

#[path = "../check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check(bytes));

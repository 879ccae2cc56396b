//! All that can be done with a text. Start with `cargo +nightly fuzz run everything crates/yaml/fuzz/seeds`.
#![no_main]

#[path = "../check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check(bytes));

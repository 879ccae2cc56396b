//! Bytes as a document of each format. Start with `cargo +nightly fuzz run everything crates/sops/fuzz/seeds`.
#![no_main]

#[path = "../check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check(bytes));

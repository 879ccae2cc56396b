//! Bytes as keys, and as what keys wrap. Start with `cargo +nightly fuzz run keys crates/sops/fuzz/key-seeds`.
#![no_main]

#[path = "../check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check_keys(bytes));

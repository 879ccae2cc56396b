//! A document of the format that the first byte picks. Start with `cargo +nightly fuzz run store crates/sops/fuzz/store-seeds`.
#![no_main]
#![allow(dead_code, reason = "the others have targets of their own")]

#[path = "../check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check_store(bytes));

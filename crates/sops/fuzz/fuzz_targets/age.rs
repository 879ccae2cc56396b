//! A file of age, identities, an SSH key, a recipient. Start with `cargo +nightly fuzz run age crates/sops/fuzz/key-seeds`.
#![no_main]
#![allow(dead_code, reason = "the others have targets of their own")]

#[path = "../check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check_age(bytes));

//! Values and their schema. Start with `cargo +nightly fuzz run values crates/helm/fuzz/seeds`.
#![no_main]
#![allow(dead_code, reason = "the others have targets of their own")]

#[path = "../check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check_values(bytes));

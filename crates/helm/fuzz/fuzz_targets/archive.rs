//! A packed chart. Start with `cargo +nightly fuzz run archive crates/helm/fuzz/seeds`.
#![no_main]
#![allow(dead_code, reason = "the others have targets of their own")]

#[path = "../check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check_archive(bytes));

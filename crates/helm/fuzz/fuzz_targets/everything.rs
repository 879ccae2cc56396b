//! Bytes as all that a chart or a cluster may hold. Start with `cargo +nightly fuzz run everything crates/helm/fuzz/seeds`.
#![no_main]
#![allow(dead_code, reason = "single parts have targets of their own")]

#[path = "../check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check(bytes));

//! Bytes as a tree of files to build. Start with `cargo +nightly fuzz run everything crates/kustomize/fuzz/seeds`.
#![no_main]
#![allow(dead_code, reason = "single files have targets of their own")]

#[path = "../check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check(bytes));

//! A resource that much is done to. Start with `cargo +nightly fuzz run resource`.
#![no_main]
#![allow(dead_code, reason = "the whole tree has a target of its own")]

#[path = "../check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check_file("resource.yaml", bytes));

//! A patch, by target and by name. Start with `cargo +nightly fuzz run patch`.
#![no_main]
#![allow(dead_code, reason = "the whole tree has a target of its own")]

#[path = "../check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check_file("patch.yaml", bytes));

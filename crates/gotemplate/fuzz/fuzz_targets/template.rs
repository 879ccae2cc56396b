//! The source of a template. Start with `cargo +nightly fuzz run template crates/gotemplate/fuzz/seeds`.
#![no_main]
#![allow(dead_code, reason = "the others have a target of their own")]

#[path = "../check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check_template(bytes));

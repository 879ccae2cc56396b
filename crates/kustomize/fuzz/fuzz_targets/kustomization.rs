//! A kustomization over a small tree. Start with `cargo +nightly fuzz run kustomization`.
#![no_main]
#![allow(dead_code, reason = "the whole tree has a target of its own")]

#[path = "../check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check_file("kustomization.yaml", bytes));

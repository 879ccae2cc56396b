//! To be written.

pub mod journal;

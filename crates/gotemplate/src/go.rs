//! What Go's standard library and its neighbours decide: formats, numbers, durations, times, versions, expressions.

pub mod duration;
pub mod float;
pub mod fmt;
pub mod number;
pub mod quote;
pub mod time;

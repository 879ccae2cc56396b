//! What Go's standard library and its neighbours decide: formats, numbers, durations, times, versions, expressions,
//! certificates.

pub mod base64;
pub mod der;
pub mod duration;
pub mod float;
pub mod fmt;
pub mod json;
pub mod number;
pub mod path;
pub mod pem;
pub mod quote;
pub mod semver;
pub mod time;
pub mod url;
pub mod x509;

pub use regexp as regex;

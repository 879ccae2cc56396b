//! ExternalSecret + store -> Secret.

pub mod select;

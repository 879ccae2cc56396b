//! From trees to plain values.

use serde_json::Value;

use crate::{Error, Node, Resolver};

/// What to do with a key that a mapping has twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// The last one wins. yaml.v3 refuses them all the same.
    Lenient,
    /// Refused.
    Strict,
}

/// The value of a document or node, with its aliases followed and its merge keys (`<<`) applied.
///
/// `V2` gives what `sigs.k8s.io/yaml` gives: keys become strings. `V3` gives what kustomize's `RNode` gives as JSON:
/// timestamps become RFC 3339 texts, and keys below the root must be strings.
///
/// # Errors
/// A scalar that is not what its tag says, a key that cannot be a string, a key found twice, a number that JSON does
/// not have, an alias within its own anchor, or aliases that expand to too much.
pub fn to_value(node: &Node, resolver: Resolver, strictness: Strictness) -> Result<Value, Error> {
    let _ = (node, resolver, strictness);
    Err(Error::syntax(0, 0, "not yet written"))
}

/// The first document of a text as `sigs.k8s.io/yaml` reads it; an empty text is null.
///
/// # Errors
/// As [`crate::parse`] and [`to_value`].
pub fn from_str(text: &str) -> Result<Value, Error> {
    let _ = text;
    Err(Error::syntax(0, 0, "not yet written"))
}

/// As [`from_str`], and a key that a mapping has twice is an error.
///
/// # Errors
/// As [`from_str`].
pub fn from_str_strict(text: &str) -> Result<Value, Error> {
    from_str(text)
}

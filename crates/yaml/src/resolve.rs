//! What a plain scalar means.

use crate::{Error, Tag};

/// Whose rules give plain scalars their types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolver {
    /// yaml.v2 under `sigs.k8s.io/yaml`: Helm, kubectl, Flux. `yes`, `on`, `y` are booleans; dates are strings.
    V2,
    /// yaml.v3: kustomize and SOPS. `yes` is a string; dates are timestamps; `0o14` is an octal number in both.
    V3,
}

/// A scalar with its type.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar<'a> {
    /// `null`, `~`, nothing.
    Null,
    /// `true`, and `yes` in v2.
    Bool(bool),
    /// What fits 64 bits with a sign.
    Int(i64),
    /// What fits 64 bits only without a sign.
    Uint(u64),
    /// Any other number, not-a-number and infinities included.
    Float(f64),
    /// A date or time, as RFC 3339 with nanoseconds (`2006-01-02T15:04:05.1Z`).
    Timestamp(String),
    /// `<<`
    Merge,
    /// Anything else.
    Str(&'a str),
}

impl Scalar<'_> {
    /// The tag of the type.
    #[must_use]
    pub fn tag(&self) -> Tag {
        match self {
            Scalar::Null => Tag::Null,
            Scalar::Bool(_) => Tag::Bool,
            Scalar::Int(_) | Scalar::Uint(_) => Tag::Int,
            Scalar::Float(_) => Tag::Float,
            Scalar::Timestamp(_) => Tag::Timestamp,
            Scalar::Merge => Tag::Merge,
            Scalar::Str(_) => Tag::Str,
        }
    }
}

/// The type and value of a plain scalar without a tag.
#[must_use]
pub fn resolve_plain(text: &str, resolver: Resolver) -> Scalar<'_> {
    let _ = resolver;
    Scalar::Str(text)
}

impl Resolver {
    /// The type and value of a scalar that carries `tag`; [`Tag::None`] as [`resolve_plain`].
    ///
    /// # Errors
    /// A text that is not of the type that its tag says.
    pub fn resolve<'a>(self, tag: &Tag, text: &'a str) -> Result<Scalar<'a>, Error> {
        let _ = tag;
        Ok(resolve_plain(text, self))
    }
}

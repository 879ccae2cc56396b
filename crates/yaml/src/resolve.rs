//! What a plain scalar means.

mod number;
mod timestamp;

use std::borrow::Cow;

use crate::error::{Error, Quoted};
use crate::{Node, Style, Tag};

/// Whose rules give plain scalars their types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolver {
    /// yaml.v2 under `sigs.k8s.io/yaml`: Helm, kubectl, Flux. `yes`, `on`, `y` are booleans; dates are strings.
    V2,
    /// yaml.v3: kustomize and SOPS. `yes` is a string; dates are timestamps. In both `014` and `0o14` are 12.
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
    resolve(text, resolver, resolver == Resolver::V3)
}

fn resolve(text: &str, resolver: Resolver, with_times: bool) -> Scalar<'_> {
    match text.bytes().next() {
        None => Scalar::Null,
        Some(b'+' | b'-' | b'0'..=b'9') => number(text, resolver, with_times),
        Some(b'.') => match word(text, resolver) {
            None => number::float(text).map_or(Scalar::Str(text), Scalar::Float),
            Some(scalar) => scalar,
        },
        Some(b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~') => {
            word(text, resolver).unwrap_or(Scalar::Str(text))
        }
        Some(b'<') if text == "<<" => Scalar::Merge,
        Some(_) => Scalar::Str(text),
    }
}

/// Whether a plain scalar would be a string. Dates are none, in v2 as well, which reads them back as strings all the
/// same; `<<` is one.
pub(crate) fn is_string(text: &str, resolver: Resolver) -> bool {
    matches!(resolve(text, resolver, true), Scalar::Str(_) | Scalar::Merge)
}

fn word(text: &str, resolver: Resolver) -> Option<Scalar<'static>> {
    Some(match text {
        "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "true" | "True" | "TRUE" => Scalar::Bool(true),
        "false" | "False" | "FALSE" => Scalar::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Scalar::Float(f64::NEG_INFINITY),
        _ if resolver == Resolver::V2 => Scalar::Bool(old_bool(text)?),
        _ => return None,
    })
}

/// The other booleans of YAML 1.1, which yaml.v3 reads as strings, yet quotes on output.
pub(crate) fn old_bool(text: &str) -> Option<bool> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

fn number(text: &str, resolver: Resolver, with_times: bool) -> Scalar<'_> {
    if let Some(infinity) = word(text, resolver) {
        return infinity;
    }
    if with_times && let Some(time) = timestamp::parse(text) {
        return Scalar::Timestamp(time);
    }
    let plain = if text.contains('_') { Cow::Owned(text.replace('_', "")) } else { Cow::Borrowed(text) };
    number::integer(&plain)
        .or_else(|| number::float(&plain).map(Scalar::Float))
        .or_else(|| number::prefixed(&plain, resolver))
        .unwrap_or(Scalar::Str(text))
}

impl Resolver {
    /// The type and value of a scalar that carries `tag`; [`Tag::None`] as [`resolve_plain`].
    ///
    /// # Errors
    /// A text that is not of the type that its tag says.
    pub fn resolve<'a>(self, tag: &Tag, text: &'a str) -> Result<Scalar<'a>, Error> {
        let with_times = match tag {
            Tag::None => self == Resolver::V3,
            Tag::Timestamp => true,
            Tag::Bool | Tag::Int | Tag::Float | Tag::Null => false,
            _ => return Ok(Scalar::Str(text)),
        };
        let scalar = match resolve(text, self, with_times) {
            Scalar::Merge if *tag != Tag::None => Scalar::Str(text),
            scalar => scalar,
        };
        match (tag, scalar) {
            (Tag::None, scalar) => Ok(scalar),
            #[expect(clippy::cast_precision_loss, reason = "an integer tagged as a float is rounded, as Go does")]
            (Tag::Float, Scalar::Int(value)) => Ok(Scalar::Float(value as f64)),
            (Tag::Timestamp, Scalar::Timestamp(_)) if self == Resolver::V2 => Ok(Scalar::Str(text)),
            (tag, scalar) if *tag == scalar.tag() => Ok(scalar),
            (tag, scalar) => Err(wrong_type(tag, &scalar.tag(), text)),
        }
    }

    /// The type and value of a scalar node, by its tag, its style and its text.
    ///
    /// # Errors
    /// As [`Resolver::resolve`].
    pub fn scalar(self, node: &Node) -> Result<Scalar<'_>, Error> {
        let plain = node.style == Style::Plain;
        let scalar = match (self, &node.tag) {
            (Resolver::V2, _) if !node.tagged && !plain => Ok(Scalar::Str(&node.value)),
            (Resolver::V2, _) if !node.tagged => Ok(resolve_plain(&node.value, self)),
            (Resolver::V3, Tag::None | Tag::Str) if !plain => Ok(Scalar::Str(&node.value)),
            (_, tag) => self.resolve(tag, &node.value),
        };
        scalar.map_err(|error| error.at(node))
    }
}

fn wrong_type(said: &Tag, found: &Tag, text: &str) -> Error {
    let go_words = format!("yaml: cannot decode {} `{text}` as a {}", found.as_str(), said.as_str());
    let problem = "the text is not of the type that its tag says";
    Error::Unreadable { line: 0, column: 0, problem, go_words: Quoted(go_words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, v2: &Scalar<'_>, v3: &Scalar<'_>) {
        assert_eq!(&resolve_plain(text, Resolver::V2), v2, "{text} in v2");
        assert_eq!(&resolve_plain(text, Resolver::V3), v3, "{text} in v3");
    }

    #[test]
    fn numbers_have_go_prefixes_and_underscores() {
        for (text, value) in [
            ("0", 0),
            ("014", 12),
            ("0o14", 12),
            ("0b11", 3),
            ("-0b11", -3),
            ("0X1F", 31),
            ("1_000", 1000),
            ("+5", 5),
            ("-9223372036854775808", i64::MIN),
        ] {
            check(text, &Scalar::Int(value), &Scalar::Int(value));
        }
        check("18446744073709551615", &Scalar::Uint(u64::MAX), &Scalar::Uint(u64::MAX));
        for (text, value) in
            [("08", 8.0), ("1e3", 1000.0), ("1.", 1.0), (".5", 0.5), ("18446744073709551616", 18446744073709551616.0)]
        {
            check(text, &Scalar::Float(value), &Scalar::Float(value));
        }
        for text in ["1e400", "1:30", "0x", "+", "-", ".", "1e", "._5", "0b2", "1-2", "+-1"] {
            check(text, &Scalar::Str(text), &Scalar::Str(text));
        }
    }

    #[test]
    fn words_of_yaml_1_1_are_booleans_in_v2_alone() {
        check("yes", &Scalar::Bool(true), &Scalar::Str("yes"));
        check("N", &Scalar::Bool(false), &Scalar::Str("N"));
        check("yEs", &Scalar::Str("yEs"), &Scalar::Str("yEs"));
        check("True", &Scalar::Bool(true), &Scalar::Bool(true));
        check("", &Scalar::Null, &Scalar::Null);
        check("<<", &Scalar::Merge, &Scalar::Merge);
    }

    #[test]
    fn dates_are_timestamps_in_v3_alone() {
        check("2001-1-2", &Scalar::Str("2001-1-2"), &Scalar::Timestamp("2001-01-02T00:00:00Z".into()));
    }

    #[test]
    fn a_tag_that_lies_is_refused_without_the_value_in_the_message() {
        let error = Resolver::V2.resolve(&Tag::Int, "hunter2").unwrap_err();
        assert_eq!(error.in_go_words(), "yaml: cannot decode !!str `hunter2` as a !!int");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        assert_eq!(Resolver::V3.resolve(&Tag::Float, "1").unwrap(), Scalar::Float(1.0));
        assert_eq!(Resolver::V3.resolve(&Tag::Str, "1").unwrap(), Scalar::Str("1"));
    }
}

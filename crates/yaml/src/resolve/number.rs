//! Numbers as Go's `strconv` reads them.

use super::{Resolver, Scalar};

/// `strconv.ParseInt` and `ParseUint` with base 0: a sign, a prefix for the base, a leading 0 for octal.
pub(super) fn integer(text: &str) -> Option<Scalar<'static>> {
    let (sign, rest) = split_sign(text);
    let (base, digits) = match rest.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, rest.get(2..)?),
        [b'0', b'o' | b'O', ..] => (8, rest.get(2..)?),
        [b'0', b'b' | b'B', ..] => (2, rest.get(2..)?),
        [b'0', _, ..] => (8, rest.get(1..)?),
        _ => (10, rest),
    };
    in_base(sign, digits, base)
}

/// `0b` and `0o` before a sign, which Go's libraries let through.
pub(super) fn prefixed(text: &str, resolver: Resolver) -> Option<Scalar<'static>> {
    let (base, rest) = if let Some(rest) = text.strip_prefix("0b") {
        (2, rest)
    } else {
        (8, text.strip_prefix("0o").filter(|_| resolver == Resolver::V3)?)
    };
    let (sign, digits) = split_sign(rest);
    in_base(sign, digits, base)
}

fn split_sign(text: &str) -> (&str, &str) {
    match text.as_bytes().first() {
        Some(b'+' | b'-') => text.split_at(1),
        _ => ("", text),
    }
}

fn in_base(sign: &str, digits: &str, base: u32) -> Option<Scalar<'static>> {
    // Rust takes a sign before the digits, which was read already.
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, base).ok()?;
    match sign {
        "-" => 0i64.checked_sub_unsigned(magnitude).map(Scalar::Int),
        _ => match i64::try_from(magnitude) {
            Ok(value) => Some(Scalar::Int(value)),
            Err(_) if sign.is_empty() => Some(Scalar::Uint(magnitude)),
            Err(_) => None,
        },
    }
}

/// A decimal number; nothing where it is too large to be finite.
pub(super) fn float(text: &str) -> Option<f64> {
    if !is_decimal(text.as_bytes()) {
        return None;
    }
    text.parse::<f64>().ok().filter(|value| value.is_finite())
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_decimal(text: &[u8]) -> bool {
    let rest = without_sign(text);
    let (whole, rest) = split_digits(rest);
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => split_digits(rest),
        _ => (0, rest),
    };
    let has_digits = whole > 0 || fraction > 0;
    has_digits
        && match rest {
            [] => true,
            [b'e' | b'E', exponent @ ..] => {
                let (digits, rest) = split_digits(without_sign(exponent));
                digits > 0 && rest.is_empty()
            }
            _ => false,
        }
}

fn without_sign(text: &[u8]) -> &[u8] {
    match text {
        [b'+' | b'-', rest @ ..] => rest,
        _ => text,
    }
}

fn split_digits(text: &[u8]) -> (usize, &[u8]) {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (digits, text.get(digits..).unwrap_or_default())
}

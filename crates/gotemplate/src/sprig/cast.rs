//! Numbers and texts out of anything, as `spf13/cast` and sprig's `strval` make them.

use std::borrow::Cow;

use crate::Value;
use crate::go::{fmt, number};

/// `cast.ToInt64`: 0 for what is no number.
pub(super) fn to_int(value: &Value) -> i64 {
    match value {
        Value::Int(number, _) => *number,
        Value::Uint(number, _) => number.cast_signed(),
        Value::Float(number, _) => truncate(*number),
        Value::String(text) | Value::Number(text) => {
            number::parse_int(trim_zero_decimal(&text.to_str()), 0).unwrap_or(0)
        }
        Value::Bool(value) => (*value).into(),
        _ => 0,
    }
}

/// A float to an integer; what does not fit becomes the smallest one, as the processor has it.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn truncate(value: f64) -> i64 {
    let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value);
    if fits { value as i64 } else { i64::MIN }
}

/// `1.00` becomes `1`.
fn trim_zero_decimal(text: &str) -> &str {
    match text.rsplit_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|byte| byte == b'0') => whole,
        _ => text,
    }
}

/// `cast.ToFloat64`: 0 for what is no number.
#[expect(clippy::cast_precision_loss, reason = "as Go converts")]
pub(super) fn to_float(value: &Value) -> f64 {
    match value {
        Value::Float(number, _) => *number,
        Value::Int(number, _) => *number as f64,
        Value::Uint(number, _) => *number as f64,
        Value::String(text) | Value::Number(text) => parse_float(&text.to_str()),
        Value::Bool(value) => f64::from(u8::from(*value)),
        _ => 0.0,
    }
}

fn parse_float(text: &str) -> f64 {
    number::parse_float(text).unwrap_or(0.0)
}

/// Sprig's `strval`.
pub(super) fn to_text(value: &Value) -> Cow<'_, [u8]> {
    match value {
        Value::String(text) | Value::Bytes(text) => Cow::Borrowed(&text[..]),
        value => Cow::Owned(fmt::show(value)),
    }
}

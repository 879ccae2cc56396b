//! From one type to another.

use gotemplate::go;

use super::super::evaluate::Outcome;
use super::super::value::Value;
use super::time;

/// Calls a conversion; `None` when it is none, or takes no such value.
pub(super) fn call<'a>(function: &str, values: &[Value<'a>]) -> Option<Outcome<'a>> {
    let [value] = values else { return None };
    match function {
        "bool" => to_bool(value),
        "bytes" => to_bytes(value),
        "double" => to_double(value),
        "int" => to_int(value),
        "uint" => to_uint(value),
        "string" => to_text(value),
        "duration" => to_duration(value),
        "timestamp" => to_timestamp(value),
        _ => None,
    }
}

/// Whether a function converts: over constants it is computed when an expression is made.
pub(in super::super) fn is_conversion(function: &str) -> bool {
    matches!(function, "bool" | "bytes" | "double" | "int" | "uint" | "string" | "duration" | "timestamp")
}

fn failed<'a>(from: &str, to: &str) -> Outcome<'a> {
    Err(format!("type conversion error from '{from}' to '{to}'"))
}

fn to_bool<'a>(value: &Value<'a>) -> Option<Outcome<'a>> {
    Some(match value {
        Value::Bool(value) => Ok(Value::Bool(*value)),
        Value::Text(text) => match text.as_ref() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => failed("string", "bool"),
        },
        _ => return None,
    })
}

fn to_bytes<'a>(value: &Value<'a>) -> Option<Outcome<'a>> {
    match value {
        Value::Bytes(bytes) => Some(Ok(Value::Bytes(bytes.clone()))),
        Value::Text(text) => Some(Ok(Value::Bytes(text.as_bytes().into()))),
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "as Go converts")]
fn to_double<'a>(value: &Value<'a>) -> Option<Outcome<'a>> {
    Some(match value {
        Value::Double(value) => Ok(Value::Double(*value)),
        Value::Int(value) => Ok(Value::Double(*value as f64)),
        Value::Uint(value) => Ok(Value::Double(*value as f64)),
        Value::Text(text) => match go::number::parse_float(text) {
            Ok(value) => Ok(Value::Double(value)),
            Err(_) => failed("string", "double"),
        },
        _ => return None,
    })
}

/// The first double beyond all 64-bit integers.
const BEYOND_INT: f64 = 9_223_372_036_854_775_808.0;

#[expect(clippy::cast_possible_truncation, reason = "checked before, and the rest is cut off on purpose")]
fn to_int<'a>(value: &Value<'a>) -> Option<Outcome<'a>> {
    Some(match value {
        Value::Int(value) => Ok(Value::Int(*value)),
        Value::Uint(value) => i64::try_from(*value).map(Value::Int).map_err(|_| "integer overflow".into()),
        Value::Double(value) if *value > -BEYOND_INT && *value < BEYOND_INT => Ok(Value::Int(*value as i64)),
        Value::Double(_) => Err("integer overflow".into()),
        Value::Duration(nanoseconds) => Ok(Value::Int(*nanoseconds)),
        Value::Timestamp(at) => Ok(Value::Int(time::seconds(*at))),
        Value::Text(text) => match go::number::parse_int(text, 10) {
            Ok(value) => Ok(Value::Int(value)),
            Err(_) => failed("string", "int"),
        },
        _ => return None,
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked before, and the rest is cut off on purpose"
)]
fn to_uint<'a>(value: &Value<'a>) -> Option<Outcome<'a>> {
    let overflow = || String::from("unsigned integer overflow");
    Some(match value {
        Value::Uint(value) => Ok(Value::Uint(*value)),
        Value::Int(value) => u64::try_from(*value).map(Value::Uint).map_err(|_| overflow()),
        Value::Double(value) if *value >= 0.0 && *value < 2.0 * BEYOND_INT => Ok(Value::Uint(*value as u64)),
        Value::Double(_) => Err(overflow()),
        Value::Text(text) => match go::number::parse_uint(text, 10) {
            Ok(value) => Ok(Value::Uint(value)),
            Err(_) => failed("string", "uint"),
        },
        _ => return None,
    })
}

fn to_text<'a>(value: &Value<'a>) -> Option<Outcome<'a>> {
    Some(Ok(match value {
        Value::Text(text) => Value::Text(text.clone()),
        Value::Bool(value) => Value::text(value.to_string()),
        Value::Int(value) => Value::text(value.to_string()),
        Value::Uint(value) => Value::text(value.to_string()),
        Value::Double(value) => Value::text(go::float::shortest(*value)),
        Value::Duration(nanoseconds) => Value::text(time::show_duration(*nanoseconds)),
        Value::Timestamp(at) => Value::text(time::show(*at)),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::text(text),
            Err(_) => return Some(Err("invalid UTF-8 in bytes, cannot convert to string".into())),
        },
        _ => return None,
    }))
}

fn to_duration<'a>(value: &Value<'a>) -> Option<Outcome<'a>> {
    let name = "google.protobuf.Duration";
    Some(match value {
        Value::Duration(nanoseconds) => Ok(Value::Duration(*nanoseconds)),
        Value::Text(text) => {
            go::duration::parse(text).map_or_else(|_| failed("string", name), |found| Ok(Value::Duration(found)))
        }
        Value::Int(_) => failed("int", name),
        _ => return None,
    })
}

fn to_timestamp<'a>(value: &Value<'a>) -> Option<Outcome<'a>> {
    Some(match value {
        Value::Timestamp(at) => Ok(Value::Timestamp(*at)),
        Value::Int(seconds) => time::within(i128::from(*seconds) * 1_000_000_000),
        Value::Text(text) => match time::read(text) {
            Some(nanoseconds) => time::within(nanoseconds),
            None => failed("string", "google.protobuf.Timestamp"),
        },
        _ => return None,
    })
}

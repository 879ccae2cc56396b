//! `+ - * / %` and negation.

use super::super::evaluate::Outcome;
use super::super::value::Value;
use super::time::within;
use super::{LARGEST, NO_OVERLOAD};

const INT: &str = "integer overflow";
const UINT: &str = "unsigned integer overflow";

/// Calls an operator; `None` when the function is none.
pub(super) fn call<'a>(function: &str, values: &[Value<'a>]) -> Option<Outcome<'a>> {
    Some(match (function, values) {
        ("-_", [value]) => negated(value),
        ("_+_", [one, other]) => added(one, other),
        ("_-_", [one, other]) => subtracted(one, other),
        ("_*_", [one, other]) => multiplied(one, other),
        ("_/_", [one, other]) => divided(one, other),
        ("_%_", [one, other]) => remainder(one, other),
        _ => return None,
    })
}

fn negated<'a>(value: &Value<'a>) -> Outcome<'a> {
    match value {
        Value::Int(value) => int(value.checked_neg()),
        Value::Double(value) => Ok(Value::Double(-value)),
        Value::Bool(_) => Err(NO_OVERLOAD.into()),
        _ => Err("no such overload: -_".into()),
    }
}

fn added<'a>(one: &Value<'a>, other: &Value<'a>) -> Outcome<'a> {
    use Value::{Bytes, Double, Duration, Int, Text, Timestamp, Uint};
    match (one, other) {
        (Int(one), Int(other)) => int(one.checked_add(*other)),
        (Uint(one), Uint(other)) => uint(one.checked_add(*other)),
        (Double(one), Double(other)) => Ok(Double(one + other)),
        (Text(one), Text(other)) if one.len() + other.len() <= LARGEST => Ok(Value::text(format!("{one}{other}"))),
        (Bytes(one), Bytes(other)) if one.len() + other.len() <= LARGEST => {
            Ok(Bytes([one.as_ref(), other].concat().into()))
        }
        (Duration(one), Duration(other)) => duration(one.checked_add(*other)),
        (Duration(span), Timestamp(at)) | (Timestamp(at), Duration(span)) => moved(*at, *span),
        (Text(_), Text(_)) | (Bytes(_), Bytes(_)) => Err("the result is too large".into()),
        _ => match (one.elements(), other.elements()) {
            (Some(one), Some(other)) => Ok(Value::list([one, other].concat())),
            _ => Err(unfit(one, "_+_")),
        },
    }
}

fn subtracted<'a>(one: &Value<'a>, other: &Value<'a>) -> Outcome<'a> {
    use Value::{Double, Duration, Int, Timestamp, Uint};
    match (one, other) {
        (Int(one), Int(other)) => int(one.checked_sub(*other)),
        (Uint(one), Uint(other)) => uint(one.checked_sub(*other)),
        (Double(one), Double(other)) => Ok(Double(one - other)),
        (Duration(one), Duration(other)) => duration(one.checked_sub(*other)),
        (Timestamp(at), Duration(span)) => moved(*at, span.checked_neg().ok_or(INT)?),
        (Timestamp(one), Timestamp(other)) => duration(i64::try_from(one - other).ok()),
        _ => Err(unfit(one, "_-_")),
    }
}

fn multiplied<'a>(one: &Value<'a>, other: &Value<'a>) -> Outcome<'a> {
    match (one, other) {
        (Value::Int(one), Value::Int(other)) => int(one.checked_mul(*other)),
        (Value::Uint(one), Value::Uint(other)) => uint(one.checked_mul(*other)),
        (Value::Double(one), Value::Double(other)) => Ok(Value::Double(one * other)),
        _ => Err(unfit(one, "_*_")),
    }
}

fn divided<'a>(one: &Value<'a>, other: &Value<'a>) -> Outcome<'a> {
    match (one, other) {
        (Value::Int(_), Value::Int(0)) | (Value::Uint(_), Value::Uint(0)) => Err("division by zero".into()),
        (Value::Int(one), Value::Int(other)) => int(one.checked_div(*other)),
        (Value::Uint(one), Value::Uint(other)) => uint(one.checked_div(*other)),
        (Value::Double(one), Value::Double(other)) => Ok(Value::Double(one / other)),
        _ => Err(unfit(one, "_/_")),
    }
}

fn remainder<'a>(one: &Value<'a>, other: &Value<'a>) -> Outcome<'a> {
    match (one, other) {
        (Value::Int(_), Value::Int(0)) | (Value::Uint(_), Value::Uint(0)) => Err("modulus by zero".into()),
        (Value::Int(one), Value::Int(other)) => int(one.checked_rem(*other)),
        (Value::Uint(one), Value::Uint(other)) => uint(one.checked_rem(*other)),
        (Value::Double(_), _) => Err("no such overload: _%_".into()),
        _ => Err(unfit(one, "_%_")),
    }
}

/// cel-go names the operator where the left operand's type has no such method at all.
fn unfit(one: &Value<'_>, operator: &str) -> String {
    let has_method = match one {
        Value::Int(_) | Value::Uint(_) | Value::Double(_) => true,
        Value::Text(_) | Value::Bytes(_) => matches!(operator, "_+_" | "_-_"),
        Value::List(_) | Value::Array(_) => operator == "_+_",
        Value::Duration(_) | Value::Timestamp(_) => matches!(operator, "_+_" | "_-_"),
        _ => false,
    };
    if has_method { NO_OVERLOAD.into() } else { format!("no such overload: {operator}") }
}

fn moved<'a>(at: i128, span: i64) -> Outcome<'a> {
    within(at + i128::from(span))
}

fn int<'a>(value: Option<i64>) -> Outcome<'a> {
    value.map(Value::Int).ok_or_else(|| INT.into())
}

fn uint<'a>(value: Option<u64>) -> Outcome<'a> {
    value.map(Value::Uint).ok_or_else(|| UINT.into())
}

fn duration<'a>(value: Option<i64>) -> Outcome<'a> {
    value.map(Value::Duration).ok_or_else(|| INT.into())
}

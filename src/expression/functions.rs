//! The functions of the signature table.

use std::borrow::Cow;
use std::cmp::Ordering;

use gotemplate::go;

use super::evaluate::Outcome;
use super::signatures;
use super::value::Value;

mod arithmetic;
mod convert;
mod format;
mod text;
mod time;

pub(super) use convert::is_conversion;

/// What is said of operands that an operator, or a method of the standard library, does not take.
pub(super) const NO_OVERLOAD: &str = "no such overload";
/// No text or list becomes longer.
const LARGEST: usize = 1 << 20;

/// Calls a function; a method's target is the first of the values.
pub(super) fn call<'a>(function: &str, is_method: bool, values: Vec<Value<'a>>) -> Outcome<'a> {
    use Value::{Bool, Int};
    match (function, values.as_slice()) {
        ("_==_", [one, other]) => Ok(Bool(one.equals(other))),
        ("_!=_", [one, other]) => Ok(Bool(!one.equals(other))),
        ("_<_", [one, other]) => ordered(function, one, other, Ordering::is_lt),
        ("_<=_", [one, other]) => ordered(function, one, other, Ordering::is_le),
        ("_>_", [one, other]) => ordered(function, one, other, Ordering::is_gt),
        ("_>=_", [one, other]) => ordered(function, one, other, Ordering::is_ge),
        ("!_", [Bool(value)]) => Ok(Bool(!value)),
        ("@in", [value, range]) => contains(range, value),
        ("size", [value]) => match value.size() {
            Some(size) => Ok(Int(i64::try_from(size).unwrap_or(i64::MAX))),
            None => Err("no such overload: size".into()),
        },
        ("type", [value]) => Ok(Value::Type(value.type_name())),
        ("dyn", [value]) => Ok(value.clone()),
        ("sets.contains", [one, other]) => sets(function, one, other, includes),
        ("sets.equivalent", [one, other]) => {
            sets(function, one, other, |one, other| includes(one, other) && includes(other, one))
        }
        ("sets.intersects", [one, other]) => sets(function, one, other, |one, other| {
            one.iter().any(|value| other.iter().any(|found| found.equals(value)))
        }),
        ("base64.encode", [Value::Bytes(bytes)]) => Ok(Value::text(go::base64::encode(bytes))),
        ("base64.decode", [Value::Text(text)]) => decode(text),
        ("optional.none", []) => Ok(Value::Optional(None)),
        ("optional.of", [value]) => Ok(Value::some(value.clone())),
        ("optional.ofNonZeroValue", [value]) => {
            Ok(if is_zero(value) { Value::Optional(None) } else { Value::some(value.clone()) })
        }
        ("optional.unwrap" | "unwrapOpt", [list]) if list.elements().is_some() => unwrapped(list),
        ("hasValue", [Value::Optional(inner)]) => Ok(Bool(inner.is_some())),
        ("value", [Value::Optional(Some(inner))]) => Ok(inner.as_ref().clone()),
        ("value", [Value::Optional(None)]) => Err("optional.none() dereference".into()),
        ("first", [list]) if list.elements().is_some() => {
            Ok(end(list.elements().unwrap_or_default().into_iter().next()))
        }
        ("last", [list]) if list.elements().is_some() => Ok(end(list.elements().unwrap_or_default().pop())),
        _ => others(function, is_method, values),
    }
}

/// What the submodules know.
fn others<'a>(function: &str, is_method: bool, values: Vec<Value<'a>>) -> Outcome<'a> {
    if let Some(result) = arithmetic::call(function, &values) {
        return result;
    }
    let result = convert::call(function, &values)
        .or_else(|| text::call(function, &values))
        .or_else(|| time::call(function, &values));
    result.unwrap_or_else(|| Err(no_overload(function, is_method, &values)))
}

/// Operators that are methods of a type's own say less than those that are looked up in the table.
fn no_overload(function: &str, is_method: bool, values: &[Value<'_>]) -> String {
    let types: Vec<&str> = values.iter().map(Value::type_name).collect();
    let standard = matches!(function, "contains" | "startsWith" | "endsWith" | "matches" | "!_" | "@in");
    let is_known = signatures::is_known(function);
    let arity = |form: &signatures::Overload| form.arguments.len() == values.len();
    match (is_known, values) {
        _ if standard => NO_OVERLOAD.into(),
        (false, [_, _, third, ..]) if !is_method => {
            format!(
                "no such overload: {function} {}",
                if let Value::Int(first) = &values[0] { first.to_string() } else { third.type_name().to_owned() }
            )
        }
        (false, []) => format!("no such overload: {function}()"),
        (false, _) if is_method => NO_OVERLOAD.into(),
        (false, _) => format!("no such overload: {function}"),
        (true, [_, _]) if !signatures::overloads(function).iter().any(arity) => {
            format!("no such overload: {function}(lhs, rhs)")
        }
        (true, _) => format!("no such overload: {function}({})", types.join(", ")),
    }
}

fn ordered<'a>(function: &str, one: &Value<'a>, other: &Value<'a>, is_wanted: fn(Ordering) -> bool) -> Outcome<'a> {
    match one.compare(other)? {
        Some(order) => Ok(Value::Bool(is_wanted(order))),
        None if is_comparable(one) => Err(NO_OVERLOAD.into()),
        None => Err(format!("no such overload: {function}")),
    }
}

fn is_comparable(value: &Value<'_>) -> bool {
    !matches!(
        value,
        Value::Null
            | Value::List(_)
            | Value::Array(_)
            | Value::Map(_)
            | Value::Object(_)
            | Value::Type(_)
            | Value::Optional(_)
    )
}

fn contains<'a>(range: &Value<'a>, value: &Value<'a>) -> Outcome<'a> {
    if let Some(elements) = range.elements() {
        return Ok(Value::Bool(elements.iter().any(|element| element.equals(value))));
    }
    match range {
        Value::Map(_) | Value::Object(_) => Ok(Value::Bool(range.get(value).is_some())),
        _ => Err(NO_OVERLOAD.into()),
    }
}

fn sets<'a>(
    function: &str,
    one: &Value<'a>,
    other: &Value<'a>,
    judge: fn(&[Value<'a>], &[Value<'a>]) -> bool,
) -> Outcome<'a> {
    match (one.elements(), other.elements()) {
        (Some(one), Some(other)) => Ok(Value::Bool(judge(&one, &other))),
        _ => Err(format!("no such overload: {function}({}, {})", one.type_name(), other.type_name())),
    }
}

fn includes(all: &[Value<'_>], some: &[Value<'_>]) -> bool {
    some.iter().all(|value| all.iter().any(|found| found.equals(value)))
}

/// With or without its padding.
fn decode<'a>(text: &str) -> Outcome<'a> {
    let padding = "=".repeat((4 - text.len() % 4) % 4);
    let padded = if text.ends_with('=') { Cow::Borrowed(text) } else { Cow::Owned(format!("{text}{padding}")) };
    match go::base64::decode(padded.as_bytes()) {
        Ok(bytes) => Ok(Value::Bytes(bytes.into())),
        Err(error) => Err(error.to_string()),
    }
}

fn is_zero(value: &Value<'_>) -> bool {
    match value {
        Value::Null | Value::Optional(None) => true,
        Value::Bool(value) => !value,
        Value::Int(value) => *value == 0,
        Value::Uint(value) => *value == 0,
        Value::Double(value) => *value == 0.0,
        Value::Duration(value) => *value == 0,
        other => other.size() == Some(0),
    }
}

fn unwrapped<'a>(list: &Value<'a>) -> Outcome<'a> {
    let elements = list.elements().unwrap_or_default().into_iter();
    Ok(Value::list(
        elements
            .filter_map(|element| match element {
                Value::Optional(inner) => inner.map(|inner| inner.as_ref().clone()),
                other => Some(other),
            })
            .collect(),
    ))
}

fn end(element: Option<Value<'_>>) -> Value<'_> {
    element.map_or(Value::Optional(None), Value::some)
}

//! `eq`, `lt` and their like: only values of the same basic kind compare.

use std::cmp::Ordering;

use crate::exec::Item;
use crate::go::fmt::show_short;
use crate::{Failure, Value};

/// Go's basic kinds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Other,
    Bool,
    Complex,
    Int,
    Float,
    String,
    Uint,
}

fn kind(value: &Value) -> Kind {
    match value {
        Value::Bool(_) => Kind::Bool,
        Value::Int(..) | Value::Duration(_) => Kind::Int,
        Value::Uint(..) => Kind::Uint,
        Value::Float(..) => Kind::Float,
        Value::Complex(..) => Kind::Complex,
        Value::String(_) | Value::Number(_) => Kind::String,
        _ => Kind::Other,
    }
}

type Compared = Result<Item, Failure>;

fn truth(result: Result<bool, Failure>) -> Compared {
    result.map(|truth| Item::bare(Value::Bool(truth)))
}

fn pair(items: &[Item]) -> (&Value, &Value) {
    const NIL: &Value = &Value::Nil;
    (items.first().map_or(NIL, |item| &item.value), items.get(1).map_or(NIL, |item| &item.value))
}

/// `eq a b c`: whether `a` equals any of the others.
pub(super) fn eq(items: &[Item]) -> Compared {
    let Some((first, others)) = items.split_first().filter(|(_, others)| !others.is_empty()) else {
        return Err("missing argument for comparison".into());
    };
    for other in others {
        if equal(&first.value, &other.value)? {
            return truth(Ok(true));
        }
    }
    truth(Ok(false))
}

pub(super) fn ne(items: &[Item]) -> Compared {
    let (left, right) = pair(items);
    truth(equal(left, right).map(|equal| !equal))
}

pub(super) fn lt(items: &[Item]) -> Compared {
    let (left, right) = pair(items);
    truth(less(left, right))
}

pub(super) fn le(items: &[Item]) -> Compared {
    truth(less_or_equal(items))
}

pub(super) fn gt(items: &[Item]) -> Compared {
    truth(less_or_equal(items).map(|holds| !holds))
}

pub(super) fn ge(items: &[Item]) -> Compared {
    let (left, right) = pair(items);
    truth(less(left, right).map(|less| !less))
}

fn less_or_equal(items: &[Item]) -> Result<bool, Failure> {
    let (left, right) = pair(items);
    Ok(less(left, right)? || equal(left, right)?)
}

fn incompatible(left: &Value, right: &Value) -> Failure {
    format!("incompatible types for comparison: {} and {}", left.go_type(), right.go_type()).into()
}

/// The order of two basic values of one kind; integers of both signs compare.
fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Int(a, _) | Value::Duration(a), Value::Int(b, _) | Value::Duration(b)) => Some(a.cmp(b)),
        (Value::Uint(a, _), Value::Uint(b, _)) => Some(a.cmp(b)),
        (Value::Int(a, _) | Value::Duration(a), Value::Uint(b, _)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Value::Uint(a, _), Value::Int(b, _) | Value::Duration(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Value::Float(a, _), Value::Float(b, _)) => a.partial_cmp(b),
        (Value::String(a) | Value::Number(a), Value::String(b) | Value::Number(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Complex(a, b), Value::Complex(c, d)) => (a == c && b == d).then_some(Ordering::Equal),
        _ => None,
    }
}

fn are_comparable(left: Kind, right: Kind) -> bool {
    left == right || matches!((left, right), (Kind::Int, Kind::Uint) | (Kind::Uint, Kind::Int))
}

fn equal(left: &Value, right: &Value) -> Result<bool, Failure> {
    let (first, second) = (kind(left), kind(right));
    if !are_comparable(first, second) {
        if matches!(left, Value::Nil) || matches!(right, Value::Nil) {
            return Ok(false);
        }
        return Err(incompatible(left, right));
    }
    if first != Kind::Other {
        return Ok(order(left, right) == Some(Ordering::Equal));
    }
    equal_others(left, right)
}

/// Slices, maps, structs and `nil`.
fn equal_others(left: &Value, right: &Value) -> Result<bool, Failure> {
    let is_untyped = |value: &Value| matches!(value, Value::Nil);
    let (first, second) = (left.go_type().kind_name(), right.go_type().kind_name());
    if first != second && !is_untyped(left) && !is_untyped(right) {
        let (left_shown, right_shown) = (show_short("%s", left), show_short("%v", right));
        let (first, second) = (left.go_type(), right.go_type());
        return Err(format!("non-comparable types {left_shown}: {first}, {second}: {right_shown}").into());
    }
    if left.is_nil() || right.is_nil() {
        return Ok(left.is_nil() == right.is_nil());
    }
    match (left, right) {
        (Value::Time(a), Value::Time(b)) => Ok(a == b),
        (Value::Host(a), Value::Host(b)) if a.underlying().is_none() && b.underlying().is_none() => {
            Ok(std::sync::Arc::ptr_eq(a, b))
        }
        _ => Err(format!("non-comparable type {}: {}", show_short("%s", right), right.go_type()).into()),
    }
}

fn less(left: &Value, right: &Value) -> Result<bool, Failure> {
    let (first, second) = (kind(left), kind(right));
    let bad = || Failure::new("invalid type for comparison");
    if first == Kind::Other || second == Kind::Other {
        return Err(bad());
    }
    if !are_comparable(first, second) {
        return Err(incompatible(left, right));
    }
    if matches!(first, Kind::Bool | Kind::Complex) {
        return Err(bad());
    }
    Ok(order(left, right) == Some(Ordering::Less))
}

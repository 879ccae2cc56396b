//! Go's `reflect.DeepEqual`.

use super::{MAX_DEPTH, Value};

/// Whether both have the same type and content; `nil` and empty differ, numbers of different types differ. Values
/// nested deeper than [`MAX_DEPTH`] count as different.
pub(crate) fn deep_equal(left: &Value, right: &Value) -> bool {
    equal_at(left, right, 0)
}

fn equal_at(left: &Value, right: &Value, depth: usize) -> bool {
    if left.go_type() != right.go_type() || depth > MAX_DEPTH {
        return false;
    }
    match (left, right) {
        (Value::Nil, Value::Nil) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a, _), Value::Int(b, _)) | (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::Uint(a, _), Value::Uint(b, _)) => a == b,
        (Value::Float(a, _), Value::Float(b, _)) => a == b,
        (Value::Complex(a, b), Value::Complex(c, d)) => a == c && b == d,
        (Value::String(a), Value::String(b))
        | (Value::Number(a), Value::Number(b))
        | (Value::Bytes(a), Value::Bytes(b)) => a == b,
        (Value::List(a), Value::List(b)) => {
            a.is_same(b) || (a.is_nil() == b.is_nil() && items_equal(a.items(), b.items(), depth))
        }
        (Value::Map(a), Value::Map(b)) => a.is_same(b) || maps_equal(a, b, depth),
        (Value::Time(a), Value::Time(b)) => a == b,
        (Value::Host(a), Value::Host(b)) => std::sync::Arc::ptr_eq(a, b) || hosts_equal(a.as_ref(), b.as_ref(), depth),
        _ => false,
    }
}

fn items_equal(left: &[Value], right: &[Value], depth: usize) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(a, b)| equal_at(a, b, depth + 1))
}

fn maps_equal(left: &super::Map, right: &super::Map, depth: usize) -> bool {
    let (a, b) = (left.entries(), right.entries());
    left.is_nil() == right.is_nil()
        && a.len() == b.len()
        && a.iter()
            .zip(b.iter())
            .all(|((key, value), (other, against))| key == other && equal_at(value, against, depth + 1))
}

fn hosts_equal(left: &dyn super::Host, right: &dyn super::Host, depth: usize) -> bool {
    let (a, b) = (left.fields(), right.fields());
    !a.is_empty() && a.len() == b.len() && a.iter().zip(&b).all(|((_, _, x), (_, _, y))| equal_at(x, y, depth + 1))
}

//! `index`, `slice` and `len`.

use crate::exec::Item;
use crate::value::{List, Text, Uint};
use crate::{Failure, Type, Value};

/// `index x 1 "a"`: `x[1]["a"]`.
pub(super) fn index(items: &[Item]) -> Result<Item, Failure> {
    let Some((first, indexes)) = items.split_first() else { return Err("index of untyped nil".into()) };
    if matches!(first.value, Value::Nil) {
        return Err("index of untyped nil".into());
    }
    // The first item leaves its interface; elements come in one where the container says so.
    let mut item = first.clone().unboxed();
    for index in indexes {
        if matches!(item.value, Value::Nil) {
            return Err("index of nil pointer".into());
        }
        item = step(&item.value, &index.value)?;
    }
    Ok(item)
}

fn step(value: &Value, index: &Value) -> Result<Item, Failure> {
    match value {
        Value::String(text) | Value::Number(text) => byte_at(text, index, "string"),
        Value::Bytes(bytes) => byte_at(bytes, index, "slice"),
        Value::List(list) => {
            let at = position(index, list.items().len())?;
            let item = list.items().get(at).ok_or_else(|| out_of_range("slice"))?;
            Ok(Item::element(item.clone(), *list.element()))
        }
        Value::Map(map) => {
            let key = prepare(index, Type::String)?;
            let found = key.as_text().and_then(|key| map.get(key));
            let element = *map.element();
            Ok(Item::element(found.unwrap_or_else(|| Value::zero(element)), element))
        }
        Value::Host(host) => match host.underlying() {
            Some(value) => step(&value, index),
            None => Err(format!("can't index item of type {}", value.go_type()).into()),
        },
        other => Err(format!("can't index item of type {}", other.go_type()).into()),
    }
}

fn out_of_range(what: &str) -> Failure {
    format!("reflect: {what} index out of range").into()
}

fn byte_at(bytes: &[u8], index: &Value, what: &str) -> Result<Item, Failure> {
    let byte = bytes.get(position(index, bytes.len())?).ok_or_else(|| out_of_range(what))?;
    Ok(Item::bare(Value::Uint((*byte).into(), Uint::Uint8)))
}

/// A value as a position; the length itself passes, as in Go.
fn position(index: &Value, length: usize) -> Result<usize, Failure> {
    let at = match index {
        Value::Int(at, _) | Value::Duration(at) => *at,
        Value::Uint(at, _) => at.cast_signed(),
        Value::Nil => return Err("cannot index slice/array with nil".into()),
        other => return Err(format!("cannot index slice/array with type {}", other.go_type()).into()),
    };
    usize::try_from(at).ok().filter(|at| *at <= length).ok_or_else(|| format!("index out of range: {at}").into())
}

/// A value as an argument of a type, where reflection calls: integers convert, nothing else does.
pub(crate) fn prepare(value: &Value, of: Type) -> Result<Value, Failure> {
    if matches!(value, Value::Nil) {
        if of.can_be_nil() {
            return Ok(Value::zero(of));
        }
        return Err(format!("value is nil; should be of type {of}").into());
    }
    if value.go_type().assignable_to(of) {
        return Ok(value.clone());
    }
    match (value, of) {
        (Value::Int(number, _) | Value::Duration(number), Type::Int(int)) => Ok(Value::Int(*number, int)),
        (Value::Uint(number, _), Type::Int(int)) => Ok(Value::Int(number.cast_signed(), int)),
        (Value::Int(number, _), Type::Uint(uint)) => Ok(Value::Uint(number.cast_unsigned(), uint)),
        _ => Err(format!("value has type {}; should be {of}", value.go_type()).into()),
    }
}

/// `slice x 1 2`: `x[1:2]`.
pub(super) fn slice(items: &[Item]) -> Result<Item, Failure> {
    let Some((first, indexes)) = items.split_first().filter(|(first, _)| !matches!(first.value, Value::Nil)) else {
        return Err("slice of untyped nil".into());
    };
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()).into());
    }
    let value = first.value.underlying();
    let length = match value.as_ref() {
        Value::String(_) | Value::Number(_) if indexes.len() == 3 => return Err("cannot 3-index slice a string".into()),
        Value::String(text) | Value::Number(text) | Value::Bytes(text) => text.len(),
        Value::List(list) => list.items().len(),
        other => return Err(format!("can't slice item of type {}", other.go_type()).into()),
    };
    let mut bounds = [0, length, length];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = position(&index.value, length)?;
    }
    let [start, end, capacity] = bounds;
    if start > end {
        return Err(format!("invalid slice index: {start} > {end}").into());
    }
    if indexes.len() == 3 && end > capacity {
        return Err(format!("invalid slice index: {end} > {capacity}").into());
    }
    Ok(Item::bare(cut(&value, start, end)))
}

fn cut(value: &Value, start: usize, end: usize) -> Value {
    let part = |text: &Text| Text::from(&text[start..end]);
    match value {
        Value::String(text) => Value::String(part(text)),
        Value::Number(text) => Value::Number(part(text)),
        Value::Bytes(bytes) => Value::Bytes(part(bytes)),
        Value::List(list) => Value::List(List::of(list.element(), list.items()[start..end].to_vec())),
        other => other.clone(),
    }
}

pub(super) fn len(items: &[Item]) -> Result<Item, Failure> {
    let Some(item) = items.first() else { return Err("len of nil pointer".into()) };
    if item.is_nil_interface() {
        return Err("len of nil pointer".into());
    }
    let value = item.value.underlying();
    let length = match value.as_ref() {
        Value::String(text) | Value::Number(text) | Value::Bytes(text) => text.len(),
        Value::List(list) => list.items().len(),
        Value::Map(map) => map.len(),
        Value::Nil => return Err("reflect: call of reflect.Value.Type on zero Value".into()),
        other => return Err(format!("len of type {}", other.go_type()).into()),
    };
    Ok(Item::bare(Value::int(i64::try_from(length).unwrap_or(i64::MAX))))
}

//! `merge`, as the `mergo` package merges maps: in place, and what is taken over is shared.

use super::Result;
use crate::value::{MAX_DEPTH, Map, Text};
use crate::{Call, Failure, Value};

/// Merges all further maps into the first one.
pub(super) fn merge(c: &mut Call<'_, '_, '_>, overwrites: bool) -> Result {
    let mut target = c.map(0).named(None);
    for index in 1..c.rest(0).len() {
        let source = c.map(index);
        if target.is_nil() && !source.is_nil() {
            target = Map::default();
        }
        into(c, &target, &source, overwrites, 0)?;
    }
    Ok(target.into())
}

/// Merges one map into another.
fn into(
    c: &mut Call<'_, '_, '_>,
    target: &Map,
    source: &Map,
    overwrites: bool,
    depth: usize,
) -> std::result::Result<(), Failure> {
    if depth > MAX_DEPTH {
        return Err("merge: nested too deeply".into());
    }
    if target.is_nil() || target.is_same(source) {
        return Ok(());
    }
    c.charge(source.len() * size_of::<Value>())?;
    for (key, value) in source.entries().iter() {
        entry(c, target, key, value, overwrites, depth)?;
    }
    Ok(())
}

fn entry(
    c: &mut Call<'_, '_, '_>,
    target: &Map,
    key: &Text,
    value: &Value,
    overwrites: bool,
    depth: usize,
) -> std::result::Result<(), Failure> {
    let own = target.get(key);
    if value.is_nil() && matches!(value, Value::Nil) {
        return if overwrites { c.insert(target, key.clone(), Value::Nil) } else { Ok(()) };
    }
    if let (Value::Map(from), Some(Value::Map(own))) = (value, &own) {
        into(c, own, from, overwrites, depth + 1)?;
    }
    let is_list = value.elements().is_some();
    if is_list && (overwrites || target.is_empty()) {
        return c.insert(target, key.clone(), value.clone());
    }
    let is_unset = own.as_ref().is_none_or(is_empty);
    let both_are_maps = matches!((value, &own), (Value::Map(_), Some(Value::Map(_))));
    if !is_unset && (is_list || both_are_maps) {
        return Ok(());
    }
    if overwrites || is_unset { c.insert(target, key.clone(), value.clone()) } else { Ok(()) }
}

/// `mergo`'s emptiness: structs never are.
fn is_empty(value: &Value) -> bool {
    super::defaults::is_empty(value)
}

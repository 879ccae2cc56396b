//! Lists: always new ones, the given list stays as it is.

use std::borrow::Cow;

use super::defaults::is_empty;
use super::strings::texts;
use super::{NIL_POINTER, Result, cast, give};
use crate::function::Entry;
use crate::value::{ANY_LIST, List, Text, Type, deep_equal};
use crate::{Call, Failure, Value};

pub(super) const TABLE: &[Entry] = &[
    Entry("append", "func(any, any) []any", push),
    Entry("chunk", "func(int, any) [][]interface {}", chunk),
    Entry("compact", "func(any) []any", compact),
    Entry("concat", "func(...any) any", concat),
    Entry("first", "func(any) any", |c| Ok(items(c, 0, "find first on")?.first().cloned().unwrap_or_default())),
    Entry("has", "func(any, any) bool", has),
    Entry("initial", "func(any) []any", initial),
    Entry("last", "func(any) any", |c| Ok(items(c, 0, "find last on")?.last().cloned().unwrap_or_default())),
    Entry("list", "func(...any) []any", |c| give(c.rest(0).to_vec())),
    Entry("mustAppend", "func(any, any) ([]any, error)", push),
    Entry("mustChunk", "func(int, any) ([][]interface {}, error)", chunk),
    Entry("mustCompact", "func(any) ([]any, error)", compact),
    Entry("mustFirst", "func(any) (any, error)", |c| {
        Ok(items(c, 0, "find first on")?.first().cloned().unwrap_or_default())
    }),
    Entry("mustHas", "func(any, any) (bool, error)", has),
    Entry("mustInitial", "func(any) ([]any, error)", initial),
    Entry("mustLast", "func(any) (any, error)", |c| {
        Ok(items(c, 0, "find last on")?.last().cloned().unwrap_or_default())
    }),
    Entry("mustPrepend", "func(any, any) ([]any, error)", prepend),
    Entry("mustPush", "func(any, any) ([]any, error)", push),
    Entry("mustRest", "func(any) ([]any, error)", rest),
    Entry("mustReverse", "func(any) ([]any, error)", reverse),
    Entry("mustSlice", "func(any, ...any) (any, error)", slice),
    Entry("mustUniq", "func(any) ([]any, error)", uniq),
    Entry("mustWithout", "func(any, ...any) ([]any, error)", without),
    Entry("prepend", "func(any, any) []any", prepend),
    Entry("push", "func(any, any) []any", push),
    Entry("rest", "func(any) []any", rest),
    Entry("reverse", "func(any) []any", reverse),
    Entry("slice", "func(any, ...any) any", slice),
    Entry("sortAlpha", "func(any) []string", sort_alpha),
    Entry("tuple", "func(...any) []any", |c| give(c.rest(0).to_vec())),
    Entry("uniq", "func(any) []any", uniq),
    Entry("without", "func(any, ...any) []any", without),
];

type Items<'c> = std::result::Result<Cow<'c, [Value]>, Failure>;

/// The elements of an argument; `action` stands in the error for what has none.
fn items<'c>(c: &'c Call<'_, '_, '_>, index: usize, action: &str) -> Items<'c> {
    let value = c.value(index);
    if matches!(value, Value::Nil) {
        return Err(NIL_POINTER.into());
    }
    value.elements().ok_or_else(|| format!("Cannot {action} type {}", value.go_type().kind_name()).into())
}

fn push(c: &mut Call<'_, '_, '_>) -> Result {
    let mut items = items(c, 0, "push on")?.into_owned();
    items.push(c.value(1).clone());
    give(items)
}

fn prepend(c: &mut Call<'_, '_, '_>) -> Result {
    let items = items(c, 0, "prepend on")?;
    give(std::iter::once(c.value(1)).chain(items.iter()).cloned().collect::<Vec<_>>())
}

fn compact(c: &mut Call<'_, '_, '_>) -> Result {
    give(items(c, 0, "compact on")?.iter().filter(|item| !is_empty(item)).cloned().collect::<Vec<_>>())
}

/// A list, or a `nil` one out of an empty one.
fn part(items: &[Value]) -> Value {
    if items.is_empty() { Value::List(List::nil(&Type::Any)) } else { items.to_vec().into() }
}

fn rest(c: &mut Call<'_, '_, '_>) -> Result {
    let items = items(c, 0, "find rest on")?;
    Ok(items.split_first().map_or_else(|| part(&[]), |(_, rest)| rest.to_vec().into()))
}

fn initial(c: &mut Call<'_, '_, '_>) -> Result {
    let items = items(c, 0, "find initial on")?;
    Ok(items.split_last().map_or_else(|| part(&[]), |(_, initial)| initial.to_vec().into()))
}

fn reverse(c: &mut Call<'_, '_, '_>) -> Result {
    give(items(c, 0, "find reverse on")?.iter().rev().cloned().collect::<Vec<_>>())
}

fn contains(list: &[Value], item: &Value) -> bool {
    list.iter().any(|other| deep_equal(other, item))
}

/// Every element is compared with those kept: paid for before.
fn uniq(c: &mut Call<'_, '_, '_>) -> Result {
    c.charge_walks()?;
    let count = items(c, 0, "find uniq on")?.len();
    c.charge(count.saturating_mul(count))?;
    let mut kept: Vec<Value> = Vec::new();
    for item in items(c, 0, "find uniq on")?.iter() {
        if !contains(&kept, item) {
            kept.push(item.clone());
        }
    }
    give(kept)
}

fn without(c: &mut Call<'_, '_, '_>) -> Result {
    c.charge_walks()?;
    let omitted = c.rest(1);
    let items = items(c, 0, "find without on")?;
    give(items.iter().filter(|item| !contains(omitted, item)).cloned().collect::<Vec<_>>())
}

fn has(c: &mut Call<'_, '_, '_>) -> Result {
    if matches!(c.value(1), Value::Nil) {
        return give(false);
    }
    c.charge_walks()?;
    give(contains(&items(c, 1, "find has on")?, c.value(0)))
}

fn concat(c: &mut Call<'_, '_, '_>) -> Result {
    let lengths = c.rest(0).iter().filter_map(Value::elements).map(|items| items.len());
    let length: usize = lengths.sum();
    c.charge(length * size_of::<Value>())?;
    let mut all = Vec::with_capacity(length);
    for index in 0..c.rest(0).len() {
        let value = c.value(index);
        if matches!(value, Value::Nil) {
            return Err(NIL_POINTER.into());
        }
        let Some(items) = value.elements() else {
            return Err(format!("Cannot concat type {} as list", value.go_type().kind_name()).into());
        };
        all.extend_from_slice(&items);
    }
    Ok(part(&all))
}

fn slice(c: &mut Call<'_, '_, '_>) -> Result {
    let value = c.value(0);
    if matches!(value, Value::Nil) {
        return Err(NIL_POINTER.into());
    }
    let Some(items) = value.elements() else {
        return Err(format!("list should be type of slice or array but {}", value.go_type().kind_name()).into());
    };
    if items.is_empty() {
        return Ok(Value::Nil);
    }
    let start = c.rest(1).first().map_or(0, cast::to_int);
    let end = c.rest(2).first().map_or(i64::try_from(items.len()).unwrap_or(i64::MAX), cast::to_int);
    let bounds = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    let bounds = bounds.filter(|(start, end)| start <= end && *end <= items.len());
    let Some((start, end)) = bounds else { return Err("reflect.Value.Slice: slice index out of bounds".into()) };
    Ok(match value {
        Value::Bytes(bytes) => Value::Bytes(Text::from(&bytes[start..end])),
        Value::List(list) => Value::List(List::of(list.element(), items[start..end].to_vec())),
        _ => Value::from(items[start..end].to_vec()),
    })
}

fn sort_alpha(c: &mut Call<'_, '_, '_>) -> Result {
    let value = c.value(0);
    if value.elements().is_none() {
        return Ok(Value::strings([Text::from(cast::to_text(value).into_owned())]));
    }
    let mut sorted = texts(value);
    sorted.sort_unstable();
    Ok(Value::strings(sorted))
}

fn chunk(c: &mut Call<'_, '_, '_>) -> Result {
    let items = items(c, 1, "chunk")?;
    let chunked = |chunks: Vec<Value>| Ok(Value::List(List::of(&ANY_LIST, chunks)));
    match usize::try_from(c.int(0)) {
        Ok(0) if items.is_empty() => Err("runtime error: makeslice: len out of range".into()),
        Ok(0) => Err("runtime error: makeslice: len out of range".into()),
        Ok(size) => chunked(items.chunks(size).map(|chunk| chunk.to_vec().into()).collect()),
        Err(_) => chunked(Vec::new()),
    }
}

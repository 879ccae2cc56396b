//! Maps.

use super::cast::to_text;
use super::merge::merge;
use super::{Result, give};
use crate::function::Entry;
use crate::value::{ANY_MAP, Entries, Map, Text};
use crate::{Call, Failure, Value};

pub(super) const TABLE: &[Entry] = &[
    Entry("dict", "func(...any) map[string]any", dict),
    Entry("dig", "func(...any) (any, error)", dig),
    Entry("get", "func(map[string]any, string) any", |c| Ok(c.map(0).get(c.bytes(1)).unwrap_or_else(|| "".into()))),
    Entry("hasKey", "func(map[string]any, string) bool", |c| give(c.map(0).get(c.bytes(1)).is_some())),
    Entry("keys", "func(...map[string]any) []string", |c| {
        let keys = maps(c, 0).flat_map(|map| map.entries().keys().cloned().collect::<Vec<_>>());
        Ok(Value::strings(keys))
    }),
    Entry("merge", "func(map[string]any, ...map[string]any) any", |c| merge(c, false)),
    Entry("mergeOverwrite", "func(map[string]any, ...map[string]any) any", |c| merge(c, true)),
    Entry("mustMerge", "func(map[string]any, ...map[string]any) (any, error)", |c| merge(c, false)),
    Entry("mustMergeOverwrite", "func(map[string]any, ...map[string]any) (any, error)", |c| merge(c, true)),
    Entry("omit", "func(map[string]any, ...string) map[string]any", |c| {
        let mut entries = Entries::clone(&c.map(0).entries());
        c.rest(1).iter().filter_map(Value::as_text).for_each(|key| drop(entries.remove(key)));
        give(entries)
    }),
    Entry("pick", "func(map[string]any, ...string) map[string]any", |c| {
        let map = c.map(0);
        let keys = c.rest(1).iter().filter_map(Value::as_text);
        give(keys.filter_map(|key| Some((key.clone(), map.get(key)?))).collect::<Entries>())
    }),
    Entry("pluck", "func(string, ...map[string]any) []any", |c| {
        let key = c.bytes(0);
        give(maps(c, 1).filter_map(|map| map.get(key)).collect::<Vec<_>>())
    }),
    Entry("set", "func(map[string]any, string, any) map[string]any", |c| {
        let (map, key, value) = (c.map(0), c.text(1), c.value(2).clone());
        c.insert(&map, key, value)?;
        give(map.named(None))
    }),
    Entry("unset", "func(map[string]any, string) map[string]any", |c| {
        let map = c.map(0);
        map.remove(c.bytes(1));
        give(map.named(None))
    }),
    Entry("values", "func(map[string]any) []any", |c| give(c.map(0).entries().values().cloned().collect::<Vec<_>>())),
];

/// The arguments from `from` on, which are maps.
fn maps<'c>(c: &'c Call<'_, '_, '_>, from: usize) -> impl Iterator<Item = Map> + 'c {
    (from..from + c.rest(from).len()).map(|index| c.map(index))
}

fn dict(c: &mut Call<'_, '_, '_>) -> Result {
    (0..c.rest(0).len()).step_by(2).try_for_each(|key| c.charge_walk(key))?;
    let pairs = c.rest(0).chunks(2).map(|pair| {
        let key = Text::from(to_text(&pair[0]).into_owned());
        (key, pair.get(1).cloned().unwrap_or_else(|| "".into()))
    });
    give(pairs.collect::<Entries>())
}

fn is_not(value: &Value, wanted: &str) -> Failure {
    let got = if matches!(value, Value::Nil) { "nil".into() } else { value.go_type().to_string() };
    format!("interface conversion: interface {{}} is {got}, not {wanted}").into()
}

/// A plain map; named ones such as `.Values` are none to Go here.
fn plain_map(value: &Value) -> std::result::Result<&Map, Failure> {
    match value {
        Value::Map(map) if map.go_type() == ANY_MAP => Ok(map),
        other => Err(is_not(other, "map[string]interface {}")),
    }
}

fn dig(c: &mut Call<'_, '_, '_>) -> Result {
    let [path @ .., default, start] = c.rest(0) else { return Err("dig needs at least three arguments".into()) };
    if path.is_empty() {
        return Err("dig needs at least three arguments".into());
    }
    let mut map = plain_map(start)?.clone();
    let mut keys = Vec::with_capacity(path.len());
    for key in path {
        keys.push(key.as_text().ok_or_else(|| is_not(key, "string"))?);
    }
    let Some((last, before)) = keys.split_last() else { return Ok(Value::Nil) };
    for key in before {
        let Some(step) = map.get(key) else { return Ok(default.clone()) };
        map = plain_map(&step)?.clone();
    }
    Ok(map.get(last).unwrap_or_else(|| default.clone()))
}

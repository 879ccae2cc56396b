//! Collections written as single values: `age__list_0__map_recipient`.

use std::collections::BTreeMap;

use super::invalid;
use crate::error::Error;
use crate::tree::{Branch, Item, Value};

const MAP: &str = "__map_";
const LIST: &str = "__list_";
/// Steps of a name; the metadata has at most five.
const DEEPEST: usize = 16;

/// All single values of `entries` under one name each.
pub(super) fn flatten(entries: Branch, prefix: &str) -> Branch {
    let mut flat = Branch::new();
    for item in entries {
        if let Some(name) = item.name().map(|name| name.lossy()) {
            flatten_value(item.value, format!("{prefix}{name}"), &mut flat);
        }
    }
    flat
}

fn flatten_value(value: Value, name: String, flat: &mut Branch) {
    match value {
        Value::Branch(branch) => flat.extend(flatten(branch, &format!("{name}{MAP}"))),
        Value::List(list) => {
            for (place, value) in list.into_iter().enumerate() {
                flatten_value(value, format!("{name}{LIST}{place}"), flat);
            }
        }
        value => flat.push(Item::new(name, value)),
    }
}

/// A collection that is being put together.
#[derive(Default)]
struct Node {
    value: Option<Value>,
    entries: BTreeMap<String, Node>,
    list: BTreeMap<usize, Node>,
}

enum Step<'n> {
    Key(&'n str),
    Place(usize),
}

/// The collections that the names of `flat` tell; keys are sorted.
pub(super) fn unflatten(flat: Branch) -> Result<Branch, Error> {
    let mut root = Node::default();
    for item in flat {
        let Some(name) = item.name().map(|name| name.lossy()) else { continue };
        let mut node = &mut root;
        for step in steps(&name)? {
            node = match step {
                Step::Key(key) => node.entries.entry(key.to_owned()).or_default(),
                Step::Place(place) => node.list.entry(place).or_default(),
            };
        }
        if node.value.replace(item.value).is_some() {
            return Err(invalid(name, "is there twice"));
        }
    }
    match root.into_value("")? {
        Value::Branch(branch) => Ok(branch),
        _ => Err(invalid("", "is not a mapping")),
    }
}

fn steps(name: &str) -> Result<Vec<Step<'_>>, Error> {
    let mut steps = Vec::new();
    let (mut rest, mut in_list) = (name, false);
    loop {
        let next = [rest.find(MAP).map(|at| (at, false, MAP)), rest.find(LIST).map(|at| (at, true, LIST))];
        let next = next.into_iter().flatten().min();
        let part = next.map_or(rest, |(at, ..)| rest.get(..at).unwrap_or_default());
        // Go takes what is no number for 0.
        steps.push(if in_list { Step::Place(part.parse().unwrap_or(0)) } else { Step::Key(part) });
        if steps.len() > DEEPEST {
            return Err(invalid("", "collections are nested too deep"));
        }
        let Some((at, is_list, separator)) = next else { return Ok(steps) };
        (rest, in_list) = (rest.get(at + separator.len()..).unwrap_or_default(), is_list);
    }
}

impl Node {
    fn into_value(self, name: &str) -> Result<Value, Error> {
        match (self.value, self.entries.is_empty(), self.list.is_empty()) {
            (Some(value), true, true) => Ok(value),
            (None, _, true) => {
                let items = self.entries.into_iter().map(|(key, node)| {
                    let value = node.into_value(&key)?;
                    Ok(Item::new(key, value))
                });
                Ok(Value::Branch(items.collect::<Result<_, Error>>()?))
            }
            (None, true, false) => {
                let last = self.list.last_key_value().map_or(0, |(place, _)| *place);
                if last.checked_add(1) != Some(self.list.len()) {
                    return Err(invalid(name, "is a list with gaps"));
                }
                let values = self.list.into_values().map(|node| node.into_value(name));
                Ok(Value::List(values.collect::<Result<_, Error>>()?))
            }
            _ => Err(invalid(name, "is a value and a collection at once")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(names: &[&str]) -> Branch {
        names.iter().map(|name| Item::new(*name, Value::text(name))).collect()
    }

    #[test]
    fn flattened_names_come_back() {
        let names =
            ["age__list_0__map_enc", "age__list_1__map_enc", "key_groups__list_0__map_age__list_0__map_enc", "mac"];
        let tree = unflatten(flat(&names)).unwrap_or_default();
        assert_eq!(tree.len(), 3);
        assert!(flatten(tree, "") == flat(&names));
    }

    #[test]
    fn names_that_do_not_fit_together_are_refused() {
        for names in [&["a", "a__map_b"][..], &["a__list_1"], &["a__list_0", "a__map_b"], &["a", "a"]] {
            assert!(unflatten(flat(names)).is_err(), "{names:?}");
        }
        assert!(unflatten(flat(&[&"x__map_".repeat(100_000)])).is_err());
        assert!(unflatten(flat(&["a__list_99999999999999999999"])).is_ok_and(|tree| tree.len() == 1));
    }
}

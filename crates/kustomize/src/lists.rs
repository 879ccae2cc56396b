//! How two lists merge whose entries have keys, as kyaml's associative lists do.
//!
//! Entries that the patch names come first, in its order; the others follow in theirs. An entry that has not all keys
//! makes upstream's rules strange; they are followed step by step (`Lists::merge_strangely`).

use std::collections::{HashMap, HashSet};

use yaml::{Kind, Node, Tag};

use crate::error::Problem;
use crate::strategic::{Outcome, Pair};
use crate::tree;

/// How many entries lists may have whose merging takes the square of that.
const MOST_ENTRIES: usize = 10_000;

/// Merges the two entries of a key.
type Walk<'w> = &'w mut dyn FnMut(Pair<'_>) -> Result<Outcome, Problem>;

/// Two lists that merge. Numbers stand for entries, since both lists may come to hold the same one.
pub(crate) struct Lists {
    entries: Vec<Node>,
    object: Vec<usize>,
    patch: Patch,
}

/// Whether a patch's entry is looked at again once it has been merged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Spent,
    Needed,
}

enum Patch {
    /// The object's list stands for both.
    Same,
    Own(Vec<usize>),
}

/// Null or `{}`: upstream drops such entries wherever it looks at a list.
pub(crate) fn is_no_entry(node: &Node) -> bool {
    tree::is_null(node) || (node.kind == Kind::Mapping && node.children.is_empty())
}

/// The text of a key, empty when it is missing.
fn key_value<'a>(entry: &'a Node, key: &str) -> &'a str {
    entry.get(key).filter(|value| !tree::is_empty(value)).map(|value| value.value.as_str()).unwrap_or_default()
}

impl Lists {
    /// A list that is merged with itself.
    pub(crate) fn of_one(entries: Vec<Node>) -> Self {
        Self { object: (0..entries.len()).collect(), entries, patch: Patch::Same }
    }

    /// An object's list and a patch's.
    pub(crate) fn of_two(mut entries: Vec<Node>, patch: Vec<Node>) -> Self {
        let object = (0..entries.len()).collect();
        let own = entries.len()..entries.len() + patch.len();
        entries.extend(patch);
        Self { entries, object, patch: Patch::Own(own.collect()) }
    }

    /// The merged list.
    pub(crate) fn finish(mut self) -> Vec<Node> {
        let last: HashMap<usize, usize> =
            self.object.iter().enumerate().map(|(position, entry)| (*entry, position)).collect();
        let take = |(position, entry): (usize, &usize)| {
            let is_last = last.get(entry) == Some(&position);
            let node = self.entries.get_mut(*entry)?;
            Some(if is_last { std::mem::take(node) } else { node.clone() })
        };
        self.object.iter().enumerate().filter_map(take).collect()
    }

    /// Merges the patch's list into the object's.
    pub(crate) fn merge(&mut self, keys: &[String], walk: Walk<'_>) -> Result<(), Problem> {
        match keys {
            [key] if self.is_simple(key) => self.merge_simply(key, walk),
            [] => self.merge_strangely(&[String::new()], walk),
            keys => self.merge_strangely(keys, walk),
        }
    }

    fn patch(&self) -> &[usize] {
        match &self.patch {
            Patch::Same => &self.object,
            Patch::Own(entries) => entries,
        }
    }

    /// Whether every entry of both lists has the key, and no list has one twice.
    fn is_simple(&self, key: &str) -> bool {
        [&self.object[..], self.patch()].iter().all(|list| {
            let mut seen = HashSet::new();
            list.iter().all(|entry| {
                let value = key_value(&self.entries[*entry], key);
                !value.is_empty() && seen.insert(value)
            })
        })
    }

    fn merge_simply(&mut self, key: &str, walk: Walk<'_>) -> Result<(), Problem> {
        let mut own: HashMap<&str, usize> = HashMap::new();
        if matches!(self.patch, Patch::Own(_)) {
            own.extend(self.object.iter().map(|entry| (key_value(&self.entries[*entry], key), *entry)));
        }
        let mut pairs: Vec<(Option<usize>, Option<usize>)> = Vec::new();
        if let Patch::Own(entries) = &self.patch {
            pairs.extend(entries.iter().map(|entry| (own.remove(key_value(&self.entries[*entry], key)), Some(*entry))));
            let rest = |entry: &&usize| own.contains_key(key_value(&self.entries[**entry], key));
            pairs.extend(self.object.iter().filter(rest).map(|entry| (Some(*entry), None)));
        } else {
            pairs.extend(self.object.iter().map(|entry| (Some(*entry), None)));
        }
        let mut merged = Vec::new();
        for (object, patch) in pairs {
            let replaced = object;
            // Where both have the entry and the patch's one wins, upstream puts the object's one back.
            let chosen = self.walk(object, patch, After::Spent, walk)?;
            merged.extend(chosen.map(|chosen| replaced.unwrap_or(chosen)));
        }
        self.object = merged;
        Ok(())
    }

    /// Merges two entries; the number of the one that remains.
    fn walk(
        &mut self,
        object: Option<usize>,
        patch: Option<usize>,
        after: After,
        walk: Walk<'_>,
    ) -> Result<Option<usize>, Problem> {
        let is_same = matches!(self.patch, Patch::Same);
        let patch = patch.filter(|_| !is_same);
        let mut old = object.and_then(|entry| self.entries.get_mut(entry)).map(std::mem::take);
        let mut new = patch.and_then(|entry| self.entries.get_mut(entry)).map(|entry| match after {
            After::Spent => std::mem::take(entry),
            After::Needed => entry.clone(),
        });
        let outcome = match (&mut old, &mut new) {
            (Some(both), None) if is_same => walk(Pair::Same(both)),
            (old, new) => walk(Pair::Two(old.as_mut(), new.as_mut())),
        };
        if let (Some(entry), Some(node)) = (object, old) {
            self.entries[entry] = node;
        }
        let chosen = match outcome? {
            Outcome::Gone => None,
            Outcome::Object => object,
            Outcome::Patch => {
                if let (Some(entry), Some(node)) = (patch, new) {
                    self.entries[entry] = node;
                }
                patch
            }
        };
        Ok(chosen.filter(|chosen| !is_no_entry(&self.entries[*chosen])))
    }

    /// The general way, in upstream's steps. It takes the square of the length, so that is bounded.
    fn merge_strangely(&mut self, keys: &[String], walk: Walk<'_>) -> Result<(), Problem> {
        if self.entries.len() > MOST_ENTRIES {
            return Err(Problem::TooMuch { what: "entries of a list with several merge keys", limit: MOST_ENTRIES });
        }
        let mut values = self.values(keys);
        if keys.len() > 1 {
            complete(&mut values);
        }
        let used: Vec<usize> = used_keys(&values, keys.len());
        let used_names: Vec<&str> = used.iter().filter_map(|at| keys.get(*at)).map(String::as_str).collect();
        let mut merged: Vec<usize> = Vec::new();
        for value in &values {
            let wanted: Vec<&str> = used.iter().filter_map(|at| value.get(*at)).map(String::as_str).collect();
            let (own, of_patch) =
                (self.find(&self.object, &used_names, &wanted), self.find(self.patch(), &used_names, &wanted));
            match self.walk(own, of_patch, After::Needed, walk)? {
                None => self.object = self.set_entry(&self.object, &used_names, &wanted, None)?,
                Some(chosen) => {
                    self.add_keys(chosen, &used_names, &wanted)?;
                    merged = self.set_entry(&merged, &used_names, &wanted, Some(chosen))?;
                }
            }
        }
        if !values.is_empty() {
            self.object = self.append_own(merged, &used_names)?;
        }
        Ok(())
    }

    /// The values of the keys in both lists, each once, the patch's first. Texts are their own value.
    fn values(&self, keys: &[String]) -> Vec<Vec<String>> {
        let mut seen = HashSet::new();
        let of_entry = |entry: &usize| -> Vec<String> {
            let entry = &self.entries[*entry];
            let value = |key: &String| if key.is_empty() { entry.value.clone() } else { key_value(entry, key).into() };
            keys.iter().map(value).collect()
        };
        self.patch().iter().chain(&self.object).map(of_entry).filter(|values| seen.insert(values.clone())).collect()
    }

    /// The first entry of a list with these values; keys without a value are not asked about, unless none has one.
    fn find(&self, list: &[usize], keys: &[&str], values: &[&str]) -> Option<usize> {
        let any = values.iter().any(|value| !value.is_empty());
        let asked = |value: &&str| !any || !value.is_empty();
        let matches = |entry: &&usize| {
            let node = &self.entries[**entry];
            keys.iter()
                .zip(values)
                .filter(|(_, value)| asked(value))
                .all(|(key, value)| tree::entry_matches(node, key, value))
        };
        list.iter().find(matches).copied()
    }

    /// An entry that has not its keys gets them.
    fn add_keys(&mut self, entry: usize, keys: &[&str], values: &[&str]) -> Result<(), Problem> {
        let node = &mut self.entries[entry];
        for (key, value) in keys.iter().zip(values).filter(|(_, value)| !value.is_empty()) {
            if key.is_empty() {
                node.tag = if node.kind == Kind::Scalar { Tag::None } else { node.tag.clone() };
            } else if node.get(key).is_none() {
                tree::set(node, key, tree::untagged(value))?;
            }
        }
        Ok(())
    }

    /// kyaml's `ElementSetter`: puts `new` in the place of the entries with these values, or at the end; without `new`
    /// removes them. A list without values loses all entries that it cannot compare.
    fn set_entry(
        &self,
        list: &[usize],
        keys: &[&str],
        values: &[&str],
        new: Option<usize>,
    ) -> Result<Vec<usize>, Problem> {
        let for_maps =
            keys.first().is_some_and(|key| !key.is_empty()) && values.first().is_some_and(|value| !value.is_empty());
        let mut result = Vec::with_capacity(list.len() + 1);
        let mut found = false;
        for entry in list {
            let node = &self.entries[*entry];
            if is_no_entry(node) {
                continue;
            }
            if node.kind != Kind::Mapping && for_maps {
                result.push(*entry);
                continue;
            }
            if self.has_values(node, keys, values)? {
                found = true;
                result.extend(new);
            } else if !values.is_empty() {
                result.push(*entry);
            }
        }
        if !found {
            result.extend(new);
        }
        Ok(result)
    }

    fn has_values(&self, node: &Node, keys: &[&str], values: &[&str]) -> Result<bool, Problem> {
        if values.is_empty() {
            return Ok(false);
        }
        for (key, value) in keys.iter().zip(values) {
            let matches = if key.is_empty() {
                tree::expect_kind(node, Kind::Scalar)?;
                node.value == *value
            } else {
                tree::expect_kind(node, Kind::Mapping)?;
                node.get(key).is_some_and(|found| value.is_empty() || found.value == *value)
            };
            if !matches {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// kyaml's `appendListNode`: the object's entries take their places in the merged list.
    fn append_own(&self, mut merged: Vec<usize>, keys: &[&str]) -> Result<Vec<usize>, Problem> {
        for entry in &self.object {
            let node = &self.entries[*entry];
            if keys == [""] {
                merged = self.set_entry(&merged, keys, &[&node.value], Some(*entry))?;
                continue;
            }
            let mut values = Vec::new();
            for key in keys {
                match tree::field(node, key)? {
                    Some(value) => values.push(value.value.as_str()),
                    None => merged.push(*entry),
                }
            }
            if keys.len() > 1 {
                merged = self.set_entry(&merged, keys, &values, None)?;
            }
            merged = self.set_entry(&merged, keys, &values, Some(*entry))?;
        }
        Ok(merged)
    }
}

/// The places of the keys that some entry has a value for; all of them when none has.
fn used_keys(values: &[Vec<String>], keys: usize) -> Vec<usize> {
    let is_used = |at: &usize| values.iter().any(|value| value.get(*at).is_some_and(|value| !value.is_empty()));
    let used: Vec<usize> = (0..keys).filter(is_used).collect();
    if used.is_empty() { (0..keys).collect() } else { used }
}

/// Entries that agree in a key and contradict in none are one: each gets what the other has (`mergeValues`).
fn complete(values: &mut [Vec<String>]) {
    for first in 0..values.len() {
        let one = values[first].clone();
        for second in 0..values.len() {
            if let Some(both) = combined(&one, &values[second]) {
                values[second].clone_from(&both);
                values[first] = both;
            }
        }
    }
}

fn combined(first: &[String], second: &[String]) -> Option<Vec<String>> {
    let mut agree = false;
    let mut both = Vec::with_capacity(first.len());
    for (a, b) in first.iter().zip(second) {
        if a == b {
            agree = true;
        } else if !a.is_empty() && !b.is_empty() {
            return None;
        }
        both.push(if a.is_empty() { b.clone() } else { a.clone() });
    }
    agree.then_some(both)
}

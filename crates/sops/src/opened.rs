//! Documents in plaintext.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, MacState};
use crate::text::{Plain, Text};
use crate::tree::{Branch, Key, Value};
use crate::{Format, Indents, store};

/// A step of a path into a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// An entry of a mapping.
    Key(String),
    /// An entry of a list, from 0.
    Index(usize),
}

/// A decrypted document. It has no `Debug`; its texts are wiped on drop.
pub struct Opened {
    pub(crate) branches: Vec<Branch>,
    pub(crate) mac: MacState,
    pub(crate) unsealed_comments: usize,
}

impl Opened {
    /// Whether the document is as it was when it was encrypted.
    #[must_use]
    pub fn mac(&self) -> MacState {
        self.mac
    }

    /// Comments that should be encrypted and were not; sops warns of them.
    #[must_use]
    pub fn unsealed_comments(&self) -> usize {
        self.unsealed_comments
    }

    /// Prints the document as `sops decrypt` does.
    ///
    /// # Errors
    /// When the format cannot hold it.
    pub fn emit(&self, format: Format, indents: Indents) -> Result<Plain, Error> {
        store::emit_plain(&self.branches, format, indents).map(Plain::new)
    }

    /// The places whose values differ between two versions of a document: keys with dots between them, entries of lists by
    /// number. Comments do not count.
    #[must_use]
    pub fn changes(&self, other: &Opened) -> BTreeSet<String> {
        let (own, others) = (leaves(&self.branches), leaves(&other.branches));
        let is_new = |(place, value): &(&String, &Vec<&Value>)| others.get(*place) != Some(*value);
        let changed = own.iter().filter(is_new).map(|(place, _)| place.clone());
        let gone = others.keys().filter(|place| !own.contains_key(*place)).cloned();
        changed.chain(gone).collect()
    }

    /// What stands at places as [`Opened::changes`] names them, in the clear; several values of one name in their order.
    #[must_use]
    pub fn values_at(&self, places: &BTreeSet<String>) -> BTreeMap<String, Plain> {
        let text =
            |values: &Vec<&Value>| values.iter().map(|value| value.to_line()).collect::<Vec<_>>().join(&b", "[..]);
        let wanted = leaves(&self.branches).into_iter().filter(|(place, _)| places.contains(place));
        wanted.map(|(place, values)| (place, Plain::new(text(&values)))).collect()
    }

    /// The values of the first document as variables of an environment, as `sops exec-env` gives them.
    ///
    /// # Errors
    /// A value that is no single one; a name that no variable can have.
    pub fn environment(&self) -> Result<Vec<(String, Plain)>, Error> {
        let mut values = Vec::new();
        for item in self.branches.first().into_iter().flatten() {
            let refused =
                |problem| Error::Environment { key: item.name().map(Text::lossy).unwrap_or_default(), problem };
            if matches!(item.value, Value::Branch(_) | Value::List(_)) {
                return Err(refused("cannot use complex value in environment"));
            }
            let name = match &item.key {
                Key::Comment(_) => continue,
                Key::Other(_) => return Err(refused("cannot use non-string keys in environment")),
                Key::Name(name) => name.lossy(),
            };
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(refused("cannot use keys with '=' in environment"));
            }
            let value = item.value.to_line().into_owned();
            if value.contains(&0) {
                return Err(refused("cannot use values with a zero byte in environment"));
            }
            values.push((name, Plain::new(value)));
        }
        Ok(values)
    }

    /// Prints what is at a path as `sops decrypt --extract` does: a text as it is, anything else in the output format.
    ///
    /// # Errors
    /// A path that leads to nothing, and as [`Opened::emit`].
    pub fn extract(&self, path: &[Step], format: Format, indents: Indents) -> Result<Plain, Error> {
        let Some(mut branch) = self.branches.first() else { return Err(nothing(path, "the document is empty")) };
        let mut found: Option<&Value> = None;
        for (place, step) in path.iter().enumerate() {
            let steps = path.get(..=place).unwrap_or(path);
            let next = match (step, found) {
                (Step::Key(key), None) => branch.iter().find(|item| item.is_named(key)).map(|item| &item.value),
                (Step::Key(key), Some(Value::Branch(inner))) => {
                    branch = inner;
                    branch.iter().find(|item| item.is_named(key)).map(|item| &item.value)
                }
                (Step::Index(index), Some(Value::List(list))) => list.get(*index),
                (Step::Key(_), Some(_)) => return Err(nothing(steps, "it is no mapping")),
                (Step::Index(_), _) => return Err(nothing(steps, "it is no list")),
            };
            found = Some(next.ok_or_else(|| nothing(steps, "there is no such entry"))?);
        }
        let bytes = match found {
            None => return self.emit(format, indents),
            Some(Value::Str(text)) => text.bytes().to_vec(),
            // The other documents of the file are printed as well, as in the original.
            Some(Value::Branch(inner)) => {
                let branches: Vec<Branch> =
                    std::iter::once(inner).chain(self.branches.iter().skip(1)).cloned().collect();
                store::emit_plain(&branches, format, indents)?
            }
            Some(value) => store::emit_value(value, format, indents)?,
        };
        Ok(Plain::new(bytes))
    }
}

/// All single values, by place. The documents of a file share places: a place may have several.
fn leaves(branches: &[Branch]) -> BTreeMap<String, Vec<&Value>> {
    let mut leaves = BTreeMap::new();
    for branch in branches {
        leaves_of(branch, "", &mut leaves);
    }
    leaves
}

fn leaves_of<'v>(branch: &'v Branch, above: &str, leaves: &mut BTreeMap<String, Vec<&'v Value>>) {
    for item in branch {
        if let Some(name) = item.name() {
            let place = if above.is_empty() { name.lossy() } else { format!("{above}.{}", name.lossy()) };
            leaf(&item.value, place, leaves);
        }
    }
}

fn leaf<'v>(value: &'v Value, place: String, leaves: &mut BTreeMap<String, Vec<&'v Value>>) {
    match value {
        Value::Branch(branch) if !branch.is_empty() => leaves_of(branch, &place, leaves),
        Value::List(list) if !list.is_empty() => {
            let entries = list.iter().filter(|entry| !matches!(entry, Value::Comment(_)));
            for (index, entry) in entries.enumerate() {
                leaf(entry, format!("{place}[{index}]"), leaves);
            }
        }
        value => leaves.entry(place).or_default().push(value),
    }
}

pub(crate) fn nothing(path: &[Step], problem: &'static str) -> Error {
    let show = |step: &Step| match step {
        Step::Key(key) => format!("[\"{key}\"]"),
        Step::Index(index) => format!("[{index}]"),
    };
    Error::NoSuchPath { path: path.iter().map(show).collect(), problem }
}

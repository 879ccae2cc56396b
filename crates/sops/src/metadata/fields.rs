//! Reading fields as loosely as sops does, whose formats without types hold texts alone.

use super::invalid;
use crate::error::Error;
use crate::number;
use crate::tree::{Branch, Value};

/// Fields of a mapping, and where it is.
pub(super) struct Fields<'b> {
    pub(super) branch: &'b Branch,
    pub(super) place: String,
}

impl<'b> Fields<'b> {
    pub(super) fn field(&self, name: &str) -> String {
        if self.place.is_empty() { name.to_owned() } else { format!("{}.{name}", self.place) }
    }

    /// The value of a field; the case of its name does not matter where no name fits exactly.
    fn get(&self, name: &str) -> Option<&'b Value> {
        let exact = self.branch.iter().rev().find(|item| item.is_named(name));
        let fits = |text: &str| text.eq_ignore_ascii_case(name);
        let found = exact.or_else(|| {
            let mut items = self.branch.iter();
            items.find(|item| item.name().and_then(|name| name.as_str()).is_some_and(fits))
        });
        found.map(|item| &item.value)
    }

    /// Texts, numbers and booleans; empty when there is none.
    pub(super) fn text(&self, name: &str) -> Result<String, Error> {
        self.get(name).map_or(Ok(String::new()), |value| text(value).ok_or_else(|| self.wrong(name, value)))
    }

    pub(super) fn boolean(&self, name: &str) -> Result<bool, Error> {
        let Some(value) = self.get(name) else { return Ok(false) };
        let boolean = match value {
            Value::Null => Some(false),
            Value::Bool(value) => Some(*value),
            Value::Int(value) => Some(*value != 0),
            Value::Float(value) => Some(*value != 0.0),
            Value::Str(text) if text.is_empty() => Some(false),
            Value::Str(text) => text.as_str().and_then(number::parse_bool),
            _ => None,
        };
        boolean.ok_or_else(|| self.wrong(name, value))
    }

    /// A number of things.
    pub(super) fn count(&self, name: &str) -> Result<usize, Error> {
        let Some(value) = self.get(name) else { return Ok(0) };
        let count = match value {
            Value::Null => Some(0),
            Value::Bool(value) => Some(usize::from(*value)),
            // A threshold below zero asks for nothing, as in the original.
            Value::Int(value) => Some(usize::try_from(*value).unwrap_or(0)),
            Value::Str(text) if text.is_empty() => Some(0),
            Value::Str(text) => text.as_str().and_then(|text| text.parse().ok()),
            _ => None,
        };
        count.ok_or_else(|| self.wrong(name, value))
    }

    /// The entries of a list; a single value is a list of one.
    pub(super) fn list(&self, name: &str) -> Vec<&'b Value> {
        match self.get(name) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::List(list)) => list.iter().filter(|value| !matches!(value, Value::Comment(_))).collect(),
            Some(Value::Branch(branch)) if branch.is_empty() => Vec::new(),
            Some(Value::Str(text)) if text.is_empty() => Vec::new(),
            Some(value) => vec![value],
        }
    }

    /// Entries of a list that are mappings.
    pub(super) fn mappings(&self, name: &str) -> Result<Vec<Fields<'b>>, Error> {
        let fields = self.list(name).into_iter().enumerate().map(|(index, value)| match value {
            Value::Branch(branch) => Ok(Fields { branch, place: format!("{}[{index}]", self.field(name)) }),
            _ => Err(self.wrong(name, value)),
        });
        fields.collect()
    }

    /// A mapping of texts; empty when there is none.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<(String, String)>, Error> {
        let branch = match self.get(name) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Branch(branch)) => branch,
            Some(value) => return Err(self.wrong(name, value)),
        };
        let mut texts = Vec::new();
        for item in branch {
            let Some(key) = item.name() else { continue };
            let value = text(&item.value).ok_or_else(|| self.wrong(name, &item.value))?;
            texts.push((key.lossy(), value));
        }
        texts.sort();
        Ok(texts)
    }

    fn wrong(&self, name: &str, value: &Value) -> Error {
        invalid(self.field(name), format!("cannot be of type {}", value.type_name()))
    }
}

fn text(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => String::new(),
        Value::Bool(value) => u8::from(*value).to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Float(value) => number::positional(*value),
        Value::Str(text) => text.lossy(),
        _ => return None,
    })
}

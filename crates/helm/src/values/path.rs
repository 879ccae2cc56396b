//! Values by dotted path.

use serde_json::Value;

use super::Values;

/// The map at a dotted path.
pub(crate) fn table<'v>(values: &'v Values, path: &str) -> Option<&'v Values> {
    path.split('.').try_fold(values, |table, name| table.get(name)?.as_object())
}

/// The value at a dotted path; a map counts as none (Helm's `PathValue`).
pub(crate) fn lookup<'v>(values: &'v Values, path: &str) -> Option<&'v Value> {
    let (parent, name) = match path.rsplit_once('.') {
        Some((parent, name)) => (table(values, parent)?, name),
        None => (values, path),
    };
    parent.get(name).filter(|value| !value.is_object())
}

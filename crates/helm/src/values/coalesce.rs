//! How the values of a chart, its parents and its user become one map.
//!
//! A higher chart's values win over those of its dependencies, the user's over all. Maps are merged, everything else is
//! replaced. `null` takes a default away when values are coalesced, and is kept when they are merged.

use serde_json::Value;

use super::Values;
use crate::Chart;

/// The name under which values are handed down to all dependencies.
const GLOBAL: &str = "global";

/// Values where a map was expected for a dependency.
#[derive(Debug, thiserror::Error)]
#[error("type mismatch on {chart}: {shown}")]
pub struct TypeMismatch {
    /// Name of the dependency.
    chart: String,
    shown: String,
}

/// The values that the templates of a chart and its dependencies read.
///
/// # Errors
/// When something else than a map stands under the name of a dependency.
pub fn coalesce(chart: &Chart, values: Values) -> Result<Values, TypeMismatch> {
    chart_values(chart, values, Keep::Set)
}

/// The same, with every `null` kept, for a further round.
///
/// # Errors
/// As [`coalesce`].
pub fn merge(chart: &Chart, values: Values) -> Result<Values, TypeMismatch> {
    chart_values(chart, values, Keep::All)
}

/// What happens to `null`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// It takes away.
    Set,
    /// It stays.
    All,
}

fn chart_values(chart: &Chart, mut values: Values, keep: Keep) -> Result<Values, TypeMismatch> {
    own_values(chart, &mut values, keep);
    for dependency in &chart.dependencies {
        let name = dependency.name();
        let mut own = match values.remove(name) {
            None => Values::new(),
            Some(Value::Object(own)) => own,
            Some(other) => return Err(mismatch(name, &other)),
        };
        globals(&mut own, &values);
        values.insert(name.to_owned(), Value::Object(chart_values(dependency, own, keep)?));
    }
    Ok(values)
}

fn mismatch(chart: &str, value: &Value) -> TypeMismatch {
    let value = [gotemplate::Value::from_json(value)];
    let shown = String::from_utf8_lossy(&gotemplate::go::fmt::sprintf(b"%t", &value)).into_owned();
    TypeMismatch { chart: chart.to_owned(), shown }
}

/// Lays the chart's defaults under its values.
fn own_values(chart: &Chart, values: &mut Values, keep: Keep) {
    for (key, default) in &chart.values {
        let is_dependency = chart.dependencies.iter().any(|dependency| dependency.name() == key);
        match values.get_mut(key) {
            Some(Value::Null) if keep == Keep::Set => drop(values.remove(key)),
            Some(Value::Object(own)) => {
                // Nulls under a dependency's name are that chart's matter.
                let keep = if is_dependency { Keep::All } else { keep };
                if let Value::Object(default) = default {
                    let default = if keep == Keep::Set { without_null(default) } else { default.clone() };
                    tables(own, default, keep);
                }
            }
            Some(_) => {}
            None => copy_default(values, key, default, keep),
        }
    }
}

fn copy_default(values: &mut Values, key: &str, default: &Value, keep: Keep) {
    let copy = match (default, keep) {
        (Value::Null, Keep::Set) => return,
        (Value::Object(map), Keep::Set) => Value::Object(without_null(map)),
        (other, _) => other.clone(),
    };
    values.insert(key.to_owned(), copy);
}

/// A copy without `null`, at any depth of maps.
fn without_null(map: &Values) -> Values {
    let entries = map.iter().filter(|(_, value)| !value.is_null());
    let entries = entries.map(|(key, value)| match value {
        Value::Object(inner) => (key.clone(), Value::Object(without_null(inner))),
        other => (key.clone(), other.clone()),
    });
    entries.collect()
}

/// Hands the globals of a chart down to a dependency, whose own ones lie below them.
fn globals(values: &mut Values, above: &Values) {
    let mut own = match values.remove(GLOBAL) {
        None => Values::new(),
        Some(Value::Object(own)) => own,
        Some(other) => {
            values.insert(GLOBAL.to_owned(), other);
            return;
        }
    };
    let empty = Values::new();
    let above = match above.get(GLOBAL) {
        None => Some(&empty),
        Some(Value::Object(above)) => Some(above),
        Some(_) => None,
    };
    for (key, value) in above.into_iter().flatten() {
        hand_down(&mut own, key, value);
    }
    values.insert(GLOBAL.to_owned(), Value::Object(own));
}

fn hand_down(own: &mut Values, key: &str, value: &Value) {
    match (value, own.get_mut(key)) {
        (Value::Object(map), Some(Value::Object(below))) => {
            let mut top = map.clone();
            tables(&mut top, std::mem::take(below), Keep::All);
            own.insert(key.to_owned(), Value::Object(top));
        }
        (Value::Object(_), Some(_)) | (_, Some(Value::Object(_))) => {}
        _ => drop(own.insert(key.to_owned(), value.clone())),
    }
}

/// Lays `source` under `target`; a `null` of the target takes the source's value away.
#[must_use]
pub fn coalesce_tables(mut target: Values, source: Values) -> Values {
    tables(&mut target, source, Keep::Set);
    target
}

/// Lays `source` under `target` and keeps every `null`.
#[must_use]
pub fn merge_tables(mut target: Values, source: Values) -> Values {
    tables(&mut target, source, Keep::All);
    target
}

fn tables(target: &mut Values, source: Values, keep: Keep) {
    for (key, below) in source {
        match (target.get_mut(&key), below) {
            (Some(Value::Null), below) => {
                if keep == Keep::Set && !below.is_null() {
                    target.remove(&key);
                }
            }
            (Some(Value::Object(above)), Value::Object(below)) => tables(above, below, keep),
            (Some(_), _) => {}
            (None, below) => drop(target.insert(key, below)),
        }
    }
}

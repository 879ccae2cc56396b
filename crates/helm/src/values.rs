//! Values: what a chart's templates read, out of its defaults, its parents' and the user's.
//!
//! Whole numbers that came from `--set` are integers, all others are floats, as Helm holds them: [`from_yaml`] and
//! [`from_json`] make them so.

mod coalesce;
mod path;
pub mod schema;
pub mod strvals;

use serde_json::{Map, Number, Value};

pub use coalesce::{TypeMismatch, coalesce, coalesce_tables, merge, merge_tables};
pub(crate) use path::{lookup, table};

/// Values by name.
pub type Values = Map<String, Value>;

/// Why a text holds no values.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ValuesError {
    /// Not YAML.
    #[error("the values are no YAML: {source}")]
    Yaml {
        /// Where and why.
        source: yaml::Error,
    },
    /// YAML, but no map.
    #[error("the values are no map but {found}")]
    NotAMap {
        /// What was found.
        found: &'static str,
    },
}

impl ValuesError {
    /// Helm's text, which may quote a value.
    #[must_use]
    pub fn in_helms_words(&self) -> String {
        let problem = match self {
            Self::Yaml { source } => yaml_problem(source),
            Self::NotAMap { found } => format!(
                "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {found} into Go value of type \
                 map[string]interface {{}}"
            ),
        };
        format!("cannot unmarshal yaml document: {problem}")
    }
}

/// What `sigs.k8s.io/yaml` says.
pub(crate) fn yaml_problem(error: &yaml::Error) -> String {
    format!("error converting YAML to JSON: {}", error.in_go_words())
}

/// Reads a values file: the documents of a stream, a later one over an earlier one. Nothing at all is no values.
///
/// # Errors
/// When a document is no map.
pub fn from_yaml(text: &str) -> Result<Values, ValuesError> {
    let mut values = Values::new();
    for document in yaml::documents(text) {
        match yaml::from_str(document.text).map_err(|source| ValuesError::Yaml { source })? {
            Value::Null => {}
            Value::Object(map) => values = merge_maps(values, from_json(map)),
            other => return Err(ValuesError::NotAMap { found: kind(&other) }),
        }
    }
    Ok(values)
}

/// Values as `encoding/json` would read them: every number is a float.
#[must_use]
pub fn from_json(map: Values) -> Values {
    map.into_iter().map(|(key, value)| (key, floats(value))).collect()
}

fn floats(value: Value) -> Value {
    match value {
        Value::Number(number) => {
            let float = number.as_f64().and_then(Number::from_f64);
            Value::Number(float.unwrap_or(number))
        }
        Value::Array(items) => Value::Array(items.into_iter().map(floats).collect()),
        Value::Object(map) => Value::Object(from_json(map)),
        other => other,
    }
}

/// Lays one map over another: maps are merged, everything else of `over` replaces, `null` too (Helm's `MergeMaps`, as
/// for several `-f`).
#[must_use]
pub fn merge_maps(mut base: Values, over: Values) -> Values {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => *below = merge_maps(std::mem::take(below), above),
            (_, value) => drop(base.insert(key, value)),
        }
    }
    base
}

/// Go's word for a kind of value.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

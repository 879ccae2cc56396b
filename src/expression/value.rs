//! What expressions compute with. Parts of the objects that are asked about are borrowed.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

use serde_json::{Map as JsonMap, Value as Json};

/// Names of types.
pub(super) const TYPES: [&str; 14] = [
    "bool",
    "int",
    "uint",
    "double",
    "string",
    "bytes",
    "list",
    "map",
    "null_type",
    "type",
    "optional_type",
    "google.protobuf.Duration",
    "google.protobuf.Timestamp",
    "dyn",
];

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Cow<'a, str>),
    Bytes(Rc<[u8]>),
    List(Rc<Vec<Value<'a>>>),
    /// A list of the object.
    Array(&'a [Json]),
    Map(Rc<Vec<(Value<'a>, Value<'a>)>>),
    /// A map of the object.
    Object(&'a JsonMap<String, Json>),
    /// Nanoseconds.
    Duration(i64),
    /// Nanoseconds since 1970.
    Timestamp(i128),
    Type(&'static str),
    Optional(Option<Rc<Value<'a>>>),
}

impl<'a> Value<'a> {
    /// A part of an object: numbers are ints where they can be.
    pub(super) fn of(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => {
                number.as_i64().map_or_else(|| Self::Double(number.as_f64().unwrap_or(f64::NAN)), Self::Int)
            }
            Json::String(text) => Self::Text(Cow::Borrowed(text)),
            Json::Array(array) => Self::Array(array),
            Json::Object(object) => Self::Object(object),
        }
    }

    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(Cow::Owned(text.into()))
    }

    pub(super) fn list(values: Vec<Value<'a>>) -> Self {
        Self::List(Rc::new(values))
    }

    pub(super) fn some(value: Value<'a>) -> Self {
        Self::Optional(Some(Rc::new(value)))
    }

    /// The name of its type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::Text(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::List(_) | Self::Array(_) => "list",
            Self::Map(_) | Self::Object(_) => "map",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::Type(_) => "type",
            Self::Optional(_) => "optional_type",
        }
    }

    /// The elements of a list.
    pub(super) fn elements(&self) -> Option<Vec<Value<'a>>> {
        match self {
            Self::List(values) => Some(values.to_vec()),
            Self::Array(array) => Some(array.iter().map(Value::of).collect()),
            _ => None,
        }
    }

    /// Keys and values of a map.
    pub(super) fn entries(&self) -> Option<Vec<(Value<'a>, Value<'a>)>> {
        match self {
            Self::Map(entries) => Some(entries.to_vec()),
            Self::Object(object) => {
                Some(object.iter().map(|(key, value)| (Value::Text(Cow::Borrowed(key)), Value::of(value))).collect())
            }
            _ => None,
        }
    }

    /// How many elements, entries, characters or bytes.
    pub(super) fn size(&self) -> Option<usize> {
        Some(match self {
            Self::Text(text) => text.chars().count(),
            Self::Bytes(bytes) => bytes.len(),
            Self::List(values) => values.len(),
            Self::Array(array) => array.len(),
            Self::Map(entries) => entries.len(),
            Self::Object(object) => object.len(),
            _ => return None,
        })
    }

    /// The value under a key of a map; `None` also when it is no map.
    pub(super) fn get(&self, key: &Value<'_>) -> Option<Value<'a>> {
        match (self, key) {
            (Self::Object(object), Value::Text(key)) => object.get(key.as_ref()).map(Value::of),
            (Self::Map(entries), key) => {
                entries.iter().find(|(known, _)| known.equals(key)).map(|(_, value)| value.clone())
            }
            _ => None,
        }
    }

    /// Equality: numbers of all types by value, everything else only among its own.
    pub(super) fn equals(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Self::Null, Value::Null) => true,
            (Self::Bool(one), Value::Bool(other)) => one == other,
            (Self::Text(one), Value::Text(other)) => one == other,
            (Self::Bytes(one), Value::Bytes(other)) => one == other,
            (Self::Duration(one), Value::Duration(other)) => one == other,
            (Self::Timestamp(one), Value::Timestamp(other)) => one == other,
            (Self::Type(one), Value::Type(other)) => one == other,
            (Self::Optional(one), Value::Optional(other)) => match (one, other) {
                (Some(one), Some(other)) => one.equals(other),
                (one, other) => one.is_none() && other.is_none(),
            },
            (Self::List(_) | Self::Array(_), Value::List(_) | Value::Array(_)) => {
                let (one, other) = (self.elements().unwrap_or_default(), other.elements().unwrap_or_default());
                one.len() == other.len() && one.iter().zip(&other).all(|(one, other)| one.equals(other))
            }
            (Self::Map(_) | Self::Object(_), Value::Map(_) | Value::Object(_)) => {
                let entries = self.entries().unwrap_or_default();
                self.size() == other.size()
                    && entries.iter().all(|(key, value)| other.get(key).is_some_and(|found| value.equals(&found)))
            }
            _ => compare_numbers(self, other) == Some(Ordering::Equal),
        }
    }

    /// Order; `None` between types that have none.
    ///
    /// # Errors
    /// When one of them is not a number.
    pub(super) fn compare(&self, other: &Value<'_>) -> Result<Option<Ordering>, String> {
        Ok(Some(match (self, other) {
            (Self::Bool(one), Value::Bool(other)) => one.cmp(other),
            (Self::Text(one), Value::Text(other)) => one.cmp(other),
            (Self::Bytes(one), Value::Bytes(other)) => one.cmp(other),
            (Self::Duration(one), Value::Duration(other)) => one.cmp(other),
            (Self::Timestamp(one), Value::Timestamp(other)) => one.cmp(other),
            _ if self.is_number() && other.is_number() => {
                let nan = || "NaN values cannot be ordered".to_owned();
                compare_numbers(self, other).ok_or_else(nan)?
            }
            _ => return Ok(None),
        }))
    }

    fn is_number(&self) -> bool {
        matches!(self, Self::Int(_) | Self::Uint(_) | Self::Double(_))
    }
}

fn compare_numbers(one: &Value<'_>, other: &Value<'_>) -> Option<Ordering> {
    match (one, other) {
        (Value::Int(one), Value::Int(other)) => Some(one.cmp(other)),
        (Value::Uint(one), Value::Uint(other)) => Some(one.cmp(other)),
        (Value::Int(one), Value::Uint(other)) => Some(i128::from(*one).cmp(&i128::from(*other))),
        (Value::Uint(one), Value::Int(other)) => Some(i128::from(*one).cmp(&i128::from(*other))),
        (Value::Double(one), Value::Double(other)) => one.partial_cmp(other),
        (Value::Double(one), other) => one.partial_cmp(&as_double(other)?),
        (one, Value::Double(other)) => as_double(one)?.partial_cmp(other),
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of different types are compared as doubles")]
fn as_double(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Int(value) => Some(*value as f64),
        Value::Uint(value) => Some(*value as f64),
        _ => None,
    }
}

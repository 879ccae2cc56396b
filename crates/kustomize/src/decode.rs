//! From plain values to records, with the rules of Go's `encoding/json`: a field may be written in any case, null means
//! the default, and what has no field is an error (or is passed over, where the original passes over it).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::error::Problem;

/// How much the original forgives at the place that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leniency {
    /// Unknown fields are errors, texts must be texts: a kustomization file.
    Strict,
    /// Unknown fields are passed over, and numbers and booleans serve as texts: the configuration of a plugin.
    Lenient,
}

/// What a record is made from, and what was wrong with it.
pub(crate) struct Decoder {
    leniency: Leniency,
    path: Vec<&'static str>,
    problems: Vec<Problem>,
}

/// A type that can be read from a value. Problems go to the decoder, so that all of them are found in one pass.
pub(crate) trait Decode: Default {
    /// Reads `value`; what cannot be read is the default.
    fn decode(value: Value, decoder: &mut Decoder) -> Self;
}

/// Reads a whole document.
pub(crate) fn decode<T: Decode>(value: Value, leniency: Leniency) -> Result<T, Vec<Problem>> {
    let mut decoder = Decoder { leniency, path: Vec::new(), problems: Vec::new() };
    let record = T::decode(value, &mut decoder);
    if decoder.problems.is_empty() { Ok(record) } else { Err(decoder.problems) }
}

impl Decoder {
    /// The fields of a record; none when it is null or no map, which is then noted.
    pub(crate) fn fields(&mut self, value: Value, record: &'static str) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            Value::Null => Map::new(),
            other => {
                self.wrong_type(&other, record);
                Map::new()
            }
        }
    }

    /// Reads the value of the field `key`.
    pub(crate) fn field<T: Decode>(&mut self, key: &'static str, value: Value) -> T {
        if value.is_null() {
            return T::default();
        }
        self.path.push(key);
        let field = T::decode(value, self);
        self.path.pop();
        field
    }

    /// Notes a field that the record does not have.
    pub(crate) fn unknown(&mut self, key: &str) {
        if self.leniency == Leniency::Strict {
            self.problems.push(Problem::UnknownField { field: key.into() });
        }
    }

    fn wrong_type(&mut self, found: &Value, expected: &'static str) {
        self.problems.push(Problem::WrongType { field: self.path.join("."), found: type_name(found), expected });
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

impl Decode for String {
    fn decode(value: Value, decoder: &mut Decoder) -> Self {
        match value {
            Value::String(text) => text,
            Value::Null => String::new(),
            Value::Bool(flag) if decoder.leniency == Leniency::Lenient => flag.to_string(),
            Value::Number(number) if decoder.leniency == Leniency::Lenient => {
                match number.as_f64().filter(|_| number.is_f64()) {
                    Some(float) => crate::documents::shortest(float),
                    None => number.to_string(),
                }
            }
            other => {
                decoder.wrong_type(&other, "string");
                String::new()
            }
        }
    }
}

impl Decode for bool {
    fn decode(value: Value, decoder: &mut Decoder) -> Self {
        value.as_bool().unwrap_or_else(|| {
            decoder.wrong_type(&value, "bool");
            false
        })
    }
}

impl Decode for i64 {
    fn decode(value: Value, decoder: &mut Decoder) -> Self {
        value.as_i64().unwrap_or_else(|| {
            decoder.wrong_type(&value, "int64");
            0
        })
    }
}

impl Decode for Value {
    fn decode(value: Value, _decoder: &mut Decoder) -> Self {
        value
    }
}

impl<T: Decode> Decode for Option<T> {
    fn decode(value: Value, decoder: &mut Decoder) -> Self {
        (!value.is_null()).then(|| T::decode(value, decoder))
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(value: Value, decoder: &mut Decoder) -> Self {
        match value {
            Value::Array(entries) => entries.into_iter().map(|entry| T::decode(entry, decoder)).collect(),
            Value::Null => Vec::new(),
            other => {
                decoder.wrong_type(&other, "list");
                Vec::new()
            }
        }
    }
}

impl<T: Decode> Decode for BTreeMap<String, T> {
    fn decode(value: Value, decoder: &mut Decoder) -> Self {
        let entries = decoder.fields(value, "map");
        entries.into_iter().map(|(key, entry)| (key, T::decode(entry, decoder))).collect()
    }
}

/// Declares a record and how it is read: `field: Type = "name in the file"`.
macro_rules! record {
    ($(#[$about:meta])* $name:ident { $($(#[$note:meta])* $field:ident: $type:ty = $key:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Default)]
        pub(crate) struct $name { $($(#[$note])* pub(crate) $field: $type,)* }

        impl $crate::decode::Decode for $name {
            fn decode(value: serde_json::Value, decoder: &mut $crate::decode::Decoder) -> Self {
                let mut record = Self::default();
                for (key, value) in decoder.fields(value, stringify!($name)) {
                    match key.as_str() {
                        $(name if name.eq_ignore_ascii_case($key) => record.$field = decoder.field($key, value),)*
                        _ => decoder.unknown(&key),
                    }
                }
                record
            }
        }
    };
}
pub(crate) use record;

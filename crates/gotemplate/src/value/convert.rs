//! Between Go values and JSON values.

use base64::Engine as _;
use serde_json::{Map as JsonMap, Number, Value as Json};

use super::{Entries, Float, Host, List, Map, Text, Value};

/// How deep values may nest where they are walked: marshalled, compared, copied, printed. Go has no such limit and
/// overflows its stack; no chart comes near.
pub const MAX_DEPTH: usize = 500;

impl Value {
    /// Takes a JSON value as Go's `encoding/json` reads it into an `interface {}`: every number is a `float64`.
    pub fn from_json(json: &Json) -> Self {
        read(json, &|number| Self::float(number.as_f64().unwrap_or(f64::NAN)))
    }

    /// Takes a JSON value whose whole numbers are `int64` and whose others are `float64`, as Helm holds what came from
    /// `--set` beside what came from files.
    pub fn from_json_integers(json: &Json) -> Self {
        read(json, &whole_or_float)
    }

    /// The same of an object's entries.
    pub fn from_entries_with_integers(map: &JsonMap<String, Json>) -> Self {
        read_map(map, &whole_or_float)
    }

    /// The value as `encoding/json` marshals it: numbers without a fraction are whole, text that is not UTF-8 gets
    /// U+FFFD, bytes are base64, times RFC 3339.
    ///
    /// # Errors
    /// Go's words for what JSON cannot hold: `NaN`, functions, complex numbers, and depth beyond [`MAX_DEPTH`].
    pub fn to_json(&self) -> Result<Json, String> {
        write(self, Floats::Shortened, 0)
    }

    /// The same, but every float stays one: for a printer that tells `1e+06` from `1000000`.
    ///
    /// # Errors
    /// As [`Value::to_json`].
    pub fn to_json_with_floats(&self) -> Result<Json, String> {
        write(self, Floats::Kept, 0)
    }
}

impl Value {
    /// A copy that shares no map with the original; `None` when it is nested deeper than [`MAX_DEPTH`].
    pub fn deep_copy(&self) -> Option<Self> {
        copy(self, 0)
    }
}

fn copy(value: &Value, depth: usize) -> Option<Value> {
    if depth > MAX_DEPTH {
        return None;
    }
    Some(match value {
        Value::List(list) if !list.is_nil() => {
            let items = list.items().iter().map(|item| copy(item, depth + 1)).collect::<Option<_>>()?;
            Value::List(List::of(list.element(), items))
        }
        Value::Map(map) if !map.is_nil() => Value::Map(
            map.rebuilt(
                map.entries()
                    .iter()
                    .map(|(key, value)| Some((key.clone(), copy(value, depth + 1)?)))
                    .collect::<Option<_>>()?,
            ),
        ),
        other => other.clone(),
    })
}

fn whole_or_float(number: &Number) -> Value {
    number.as_i64().map_or_else(|| Value::float(number.as_f64().unwrap_or(f64::NAN)), Value::int64)
}

fn read(json: &Json, number: &dyn Fn(&Number) -> Value) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(value) => number(value),
        Json::String(text) => Value::String(text.as_str().into()),
        Json::Array(items) => Value::List(List::new(items.iter().map(|item| read(item, number)).collect())),
        Json::Object(map) => read_map(map, number),
    }
}

fn read_map(map: &JsonMap<String, Json>, number: &dyn Fn(&Number) -> Value) -> Value {
    Value::Map(Map::new(map.iter().map(|(key, value)| (key.as_str().into(), read(value, number))).collect()))
}

/// What becomes of floats without a fraction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Floats {
    /// Whole numbers, as JSON's readers see them.
    Shortened,
    Kept,
}

fn write(value: &Value, floats: Floats, depth: usize) -> Result<Json, String> {
    if depth > MAX_DEPTH {
        return Err("json: unsupported value: exceeded max depth".into());
    }
    match value {
        Value::Nil => Ok(Json::Null),
        Value::Bool(value) => Ok(Json::Bool(*value)),
        Value::Int(value, _) | Value::Duration(value) => Ok((*value).into()),
        Value::Uint(value, _) => Ok((*value).into()),
        Value::Float(value, Float::Float64) => float(*value, floats),
        Value::Float(value, Float::Float32) => float(shortest_32(*value), floats),
        Value::Complex(..) | Value::Function(_) => Err(format!("json: unsupported type: {}", value.go_type())),
        Value::String(text) => Ok(Json::String(text.to_str().into_owned())),
        Value::Number(text) => literal(text),
        Value::Bytes(bytes) => Ok(Json::String(base64::engine::general_purpose::STANDARD.encode(&bytes[..]))),
        Value::List(list) if list.is_nil() => Ok(Json::Null),
        Value::List(list) => list.items().iter().map(|item| write(item, floats, depth + 1)).collect(),
        Value::Map(map) if map.is_nil() => Ok(Json::Null),
        Value::Map(map) => entries(&map.entries(), floats, depth),
        Value::Time(time) => Ok(Json::String(time.format("2006-01-02T15:04:05.999999999Z07:00"))),
        Value::Host(host) => object(host.as_ref(), floats, depth),
    }
}

fn entries(entries: &Entries, floats: Floats, depth: usize) -> Result<Json, String> {
    let pairs = entries.iter().map(|(key, value)| Ok((key.to_str().into_owned(), write(value, floats, depth + 1)?)));
    Ok(Json::Object(pairs.collect::<Result<JsonMap<_, _>, String>>()?))
}

fn object(host: &dyn Host, floats: Floats, depth: usize) -> Result<Json, String> {
    if host.is_nil() {
        return Ok(Json::Null);
    }
    if let Some(value) = host.json().or_else(|| host.underlying()) {
        return write(&value, floats, depth + 1);
    }
    let fields = host.fields().into_iter().filter(|(_, json, _)| !json.is_empty());
    let pairs = fields.map(|(_, name, value)| Ok((name.to_owned(), write(&value, floats, depth + 1)?)));
    Ok(Json::Object(pairs.collect::<Result<JsonMap<_, _>, String>>()?))
}

/// Go prints a float without fraction or exponent as a whole number; so it is one from then on.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn float(value: f64, floats: Floats) -> Result<Json, String> {
    if floats == Floats::Shortened
        && value.fract() == 0.0
        && value.abs() < 9.2e18
        && !(value == 0.0 && value.is_sign_negative())
    {
        return Ok((value as i64).into());
    }
    let number = Number::from_f64(value);
    number.map(Json::Number).ok_or_else(|| format!("json: unsupported value: {}", crate::go::float::shortest(value)))
}

/// The float64 that reads as the shortest text of a float32.
fn shortest_32(value: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, reason = "the value was a float32")]
    let narrow = value as f32;
    narrow.to_string().parse().unwrap_or(value)
}

fn literal(text: &Text) -> Result<Json, String> {
    let digits = text.to_str();
    if digits.is_empty() {
        return Ok(0.into());
    }
    serde_json::from_str::<Number>(&digits)
        .map(Json::Number)
        .map_err(|_| format!("json: invalid number literal {}", crate::go::quote::quote(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_any_depth_is_dropped_and_refused_not_followed() {
        let mut value = Value::Nil;
        for _ in 0..200_000 {
            value = Value::from(vec![value]);
        }
        assert!(value.to_json().is_err());
    }

    #[test]
    fn numbers_of_files_are_floats_and_whole_in_json() {
        let json = serde_json::json!({"a": 80, "b": 1.5});
        assert_eq!(Value::from_json(&json).to_json(), Ok(json));
    }
}

//! Objects that are built already, which hold their metadata under `sops`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value as Json};
use yaml::float;

use crate::error::Error;
use crate::sealed::Sealed;
use crate::store::{malformed, unwritable};
use crate::tree::{Branch, DEEPEST, Item, Value};
use crate::{Format, Identities};

/// Whether an object is encrypted as Flux sees it: it has metadata with a MAC.
#[must_use]
pub fn is_encrypted_object(object: &Json) -> bool {
    match object.get("sops").and_then(|metadata| metadata.get("mac")) {
        None | Some(Json::Null) => false,
        Some(Json::String(mac)) => !mac.is_empty(),
        Some(_) => true,
    }
}

/// Opens an object and takes its metadata out. The MAC cannot be checked: it goes by the order of the file that the
/// object came from. Each value that was encrypted is shown to `on_plaintext`.
///
/// # Errors
/// As [`Sealed::load`] and [`Sealed::open`].
pub fn decrypt_object(object: Json, identities: &Identities, on_plaintext: &dyn Fn(&[u8])) -> Result<Json, Error> {
    let Json::Object(map) = object else {
        return Err(malformed(Format::Json, None, "the top level must be an object"));
    };
    let sealed = Sealed::from_branches(vec![branch(map, 0)?], Format::Json)?;
    let opened = sealed.open(identities, on_plaintext)?;
    opened.branches.into_iter().next().map_or(Ok(Json::Null), |branch| to_map(branch).map(Json::Object))
}

fn branch(map: Map<String, Json>, depth: usize) -> Result<Branch, Error> {
    map.into_iter().map(|(key, value)| Ok(Item::new(key, from_json(value, depth + 1)?))).collect()
}

fn from_json(value: Json, depth: usize) -> Result<Value, Error> {
    if depth > DEEPEST {
        return Err(malformed(Format::Json, None, "collections are nested too deep"));
    }
    Ok(match value {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(value),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => Value::Int(value),
            (None, value) => Value::Float(value.unwrap_or_default()),
        },
        Json::String(text) => Value::Str(text.into()),
        Json::Array(list) => {
            Value::List(list.into_iter().map(|value| from_json(value, depth + 1)).collect::<Result<_, _>>()?)
        }
        Json::Object(map) => Value::Branch(branch(map, depth)?),
    })
}

fn to_map(branch: Branch) -> Result<Map<String, Json>, Error> {
    let entries = branch.into_iter().filter_map(|item| Some((item.name()?.lossy(), item.value)));
    entries.map(|(name, value)| Ok((name, to_json(value)?))).collect()
}

fn to_json(value: Value) -> Result<Json, Error> {
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(value),
        Value::Int(value) => value.into(),
        Value::Uint(value) => value.into(),
        // A whole number is an integer to whoever reads the JSON of the original.
        Value::Float(value) if value.is_finite() => {
            float::json(value).parse::<Number>().map_or(Json::Null, Json::Number)
        }
        Value::Float(_) => return Err(unwritable(Format::Json, "it holds a number that JSON does not have")),
        Value::Str(text) => text.lossy().into(),
        Value::Bytes(text) => STANDARD.encode(text.bytes()).into(),
        Value::Time(text) => text.into(),
        Value::Comment(comment) => comment.text.lossy().into(),
        Value::Branch(branch) => Json::Object(to_map(branch)?),
        Value::List(list) => list.into_iter().map(to_json).collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_without_a_mac_is_not_encrypted() {
        for object in [json!({}), json!({"sops": null}), json!({"sops": {"mac": ""}}), json!({"sops": "x"}), json!([])]
        {
            assert!(!is_encrypted_object(&object), "{object}");
        }
        assert!(is_encrypted_object(&json!({"sops": {"mac": "ENC[x]"}})));
    }

    #[test]
    fn numbers_come_back_as_their_reader_sees_them() {
        let object = json!({"a": 1, "b": 1.5, "c": [true, null, {"d": "x"}]});
        let Json::Object(map) = object.clone() else { return };
        assert_eq!(Json::Object(to_map(branch(map, 0).unwrap()).unwrap()), object);
        assert_eq!(to_json(Value::Float(1.0)).unwrap(), json!(1));
        assert!(to_json(Value::Float(f64::NAN)).is_err());
    }
}

//! Objects of which there are thousands, and which are seldom looked at.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::Object;

/// An object kept as text: its tree takes about eight times the memory. Where it came from is not kept.
#[derive(Clone)]
pub struct Packed(Form);

#[derive(Clone)]
enum Form {
    Text(Arc<[u8]>),
    /// Fractions may not survive being written and read again.
    Tree(Arc<Object>),
}

impl Packed {
    /// Packs an object.
    pub fn new(object: &Object) -> Self {
        let text = if has_fraction(object.value()) { None } else { serde_json::to_vec(object.value()).ok() };
        Self(text.map_or_else(|| Form::Tree(Arc::new(object.clone())), |text| Form::Text(text.into())))
    }

    /// The object again.
    pub fn object(&self) -> Option<Object> {
        match &self.0 {
            Form::Text(text) => serde_json::from_slice(text).ok().map(Object::unchecked),
            Form::Tree(object) => Some(object.as_ref().clone()),
        }
    }

    /// Its JSON, in which names can be looked for; `None` where it is not kept so.
    pub fn text(&self) -> Option<&[u8]> {
        match &self.0 {
            Form::Text(text) => Some(text),
            Form::Tree(_) => None,
        }
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Packed").field(&self.object()).finish()
    }
}

fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(list) => list.iter().any(has_fraction),
        Value::Object(map) => map.values().any(has_fraction),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_packed_comes_back_fractions_too() {
        for values in [json!({"share": 0.1, "tiny": 5e-324, "ä\"": null}), json!([1, -2, u64::MAX])] {
            let object = Object::unchecked(json!({"apiVersion": "v1", "kind": "A", "values": values}));
            assert_eq!(Packed::new(&object).object().unwrap().value(), object.value());
        }
    }
}

//! `dependsOn[].readyExpr`: CEL that decides whether a dependency is ready, over `self` and `dep`.

use manifest::Object;
use serde_json::{Map, Value};

use crate::api::duration::Duration;
use crate::expression::Expression;

/// Why nobody knows whether a dependency is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// In Flux's words.
    pub message: String,
    /// Whether only a changed expression helps.
    pub is_terminal: bool,
}

/// Whether the expression holds.
///
/// # Errors
/// When it is wrong, or cannot be computed for these two.
pub fn holds(expression: &str, own: &Object, dependency: &Object) -> Result<bool, Unknown> {
    let compiled = Expression::condition(expression, &["self", "dep"]).map_err(|error| Unknown {
        message: format!("terminal error: failed to evaluate dependency {}: {error}", dependency.name()),
        is_terminal: true,
    })?;
    let variables = Map::from_iter([("self".into(), as_typed(own)), ("dep".into(), as_typed(dependency))]);
    compiled.holds(&variables).map_err(|error| Unknown { message: error.to_string(), is_terminal: false })
}

/// The object as Flux's own type has it: durations in Go's form, a status in any case, and nothing that is off.
fn as_typed(object: &Object) -> Value {
    let mut value = object.value().clone();
    if let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut) {
        for field in ["interval", "retryInterval", "timeout"] {
            let Some(text) = spec.get(field).and_then(Value::as_str) else { continue };
            if let Ok(duration) = Duration::parse(text) {
                let shown = serde_json::to_value(Duration::from(duration.span()));
                spec.insert(field.into(), shown.unwrap_or_default());
            }
        }
        spec.retain(|field, value| field == "prune" || *value != Value::Bool(false));
    }
    if let Some(fields) = value.as_object_mut() {
        fields.entry("status").or_insert_with(|| Value::Object(Map::new()));
    }
    value
}

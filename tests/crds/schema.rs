//! Walks a schema: its properties, its leaves, and a sample in which every field is set.

use serde_json::{Value, json};

/// Every property below `schema`, with its path.
pub(crate) fn properties<'a>(schema: &'a Value, path: &str) -> Vec<(String, &'a Value)> {
    let mut found = Vec::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        found.push((path.clone(), property));
        found.extend(properties(property, &path));
    }
    if let Some(items) = schema.get("items") {
        found.extend(properties(items, &format!("{path}[]")));
    }
    if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
        found.extend(properties(values, &format!("{path}.*")));
    }
    found
}

/// The properties below which there are no others.
pub(crate) fn leaves(schema: &Value) -> Vec<(String, &Value)> {
    properties(schema, "").into_iter().filter(|(_, property)| properties(property, "").is_empty()).collect()
}

/// A value that fits the schema, with every field set. `name` tells durations from other texts.
pub(crate) fn sample(schema: &Value, name: &str) -> Value {
    if schema["x-kubernetes-preserve-unknown-fields"] == true {
        return json!({"free": ["form", 1, null]});
    }
    if schema["x-kubernetes-int-or-string"] == true {
        return json!("1m30s");
    }
    match schema["type"].as_str() {
        Some("object") => object_sample(schema, name),
        Some("array") => json!([sample(&schema["items"], name)]),
        Some("integer") => json!(7),
        Some("boolean") => json!(true),
        Some("string") => text_sample(schema, name),
        other => panic!("{name} has the type {other:?}"),
    }
}

fn object_sample(schema: &Value, name: &str) -> Value {
    let fields = schema["properties"].as_object().into_iter().flatten();
    let mut sampled: serde_json::Map<_, _> = fields.map(|(name, field)| (name.clone(), sample(field, name))).collect();
    if schema["additionalProperties"].is_object() {
        sampled.insert("any".into(), sample(&schema["additionalProperties"], name));
    }
    sampled.into()
}

fn text_sample(schema: &Value, name: &str) -> Value {
    let name = name.to_lowercase();
    if let Some(last) = schema["enum"].as_array().and_then(|values| values.last()) {
        return last.clone();
    }
    if schema["format"] == "date-time" {
        return json!("2026-01-02T03:04:05Z");
    }
    let is_duration = ["interval", "timeout", "duration"].iter().any(|end| name.ends_with(end));
    if is_duration { json!("1m30s") } else { json!(format!("some {name}")) }
}

/// An object in which the field at `path` alone is set.
pub(crate) fn nested(path: &str, value: Value) -> Value {
    path.rsplit('.').fold(value, |value, step| match step.strip_suffix("[]") {
        Some(list) => json!({list: [value]}),
        None => json!({step: value}),
    })
}

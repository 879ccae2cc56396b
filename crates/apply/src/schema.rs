//! Structural schemas of custom resources: unknown fields are pruned, defaults are filled in, the rest is validated.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use regex::Regex;
use serde_json::{Map, Value};

/// Deeper than any real schema; below it nothing is checked.
const DEPTH: usize = 64;

/// One field that is refused.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// Dotted path.
    pub(crate) field: String,
    /// In the server's words, such as `Required value`.
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }

    pub(crate) fn required(field: impl Into<String>) -> Self {
        Self::new(field, "Required value")
    }

    /// `Invalid value: <value>: <why>`.
    pub(crate) fn invalid(field: impl Into<String>, value: &Value, why: &str) -> Self {
        Self::new(field, format!("Invalid value: {value}: {why}"))
    }

    pub(crate) fn forbidden(field: impl Into<String>, why: &str) -> Self {
        Self::new(field, format!("Forbidden: {why}"))
    }
}

/// An `openAPIV3Schema` with its patterns compiled as they are met.
pub(crate) struct Schema {
    root: Value,
    patterns: Mutex<BTreeMap<String, Option<Regex>>>,
}

impl Schema {
    pub(crate) fn new(root: Value) -> Self {
        Self { root, patterns: Mutex::new(BTreeMap::new()) }
    }

    /// As it was given.
    pub(crate) fn root(&self) -> &Value {
        &self.root
    }

    /// Drops fields that the schema does not know, and fills in defaults. `apiVersion`, `kind` and `metadata` stay.
    pub(crate) fn normalize(&self, object: &mut Value) {
        const KEPT: [&str; 3] = ["apiVersion", "kind", "metadata"];
        let Some(map) = object.as_object_mut() else { return };
        let kept: Vec<(String, Value)> = KEPT.iter().filter_map(|field| map.remove_entry(*field)).collect();
        normalize(object, &self.root, 0);
        if let Some(map) = object.as_object_mut() {
            map.extend(kept);
        }
    }

    /// The status of an object to which nobody has written one.
    pub(crate) fn default_status(&self) -> Option<Value> {
        self.root.pointer("/properties/status/default").cloned()
    }

    /// Everything that the schema refuses, in the server's words.
    pub(crate) fn validate(&self, object: &Value) -> Vec<Fault> {
        let mut faults = Vec::new();
        let Some(map) = object.as_object() else { return faults };
        let rest: Map<String, Value> = map
            .iter()
            .filter(|(name, _)| *name != "metadata")
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        self.check(&Value::Object(rest), &self.root, "", 0, &mut faults);
        faults.retain(|fault| fault.field != "metadata");
        faults.sort_by(|left, right| left.field.cmp(&right.field));
        faults
    }

    fn check(&self, value: &Value, schema: &Value, path: &str, depth: usize, faults: &mut Vec<Fault>) {
        if depth > DEPTH || (value.is_null() && flag(schema, "nullable")) {
            return;
        }
        if !fits_type(value, schema) {
            faults.push(wrong_type(value, schema, path));
            return;
        }
        check_enum(value, schema, path, faults);
        check_bounds(value, schema, path, faults);
        match value {
            Value::String(text) => self.check_pattern(text, schema, path, faults),
            Value::Object(map) => self.check_map(map, schema, path, depth, faults),
            Value::Array(items) => {
                check_unique(items, schema, path, faults);
                for (index, item) in items.iter().enumerate() {
                    if let Some(schema) = schema.get("items") {
                        self.check(item, schema, &format!("{path}[{index}]"), depth + 1, faults);
                    }
                }
            }
            _ => {}
        }
        self.check_combined(value, schema, path, depth, faults);
    }

    fn check_map(&self, map: &Map<String, Value>, schema: &Value, path: &str, depth: usize, faults: &mut Vec<Fault>) {
        let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        for name in required.filter_map(Value::as_str).filter(|name| !map.contains_key(*name)) {
            faults.push(Fault::required(below(name)));
        }
        for (name, value) in map {
            if let Some(schema) = child(schema, name) {
                self.check(value, schema, &below(name), depth + 1, faults);
            }
        }
    }

    /// `oneOf`, `anyOf`, `allOf` and `not`.
    fn check_combined(&self, value: &Value, schema: &Value, path: &str, depth: usize, faults: &mut Vec<Fault>) {
        let list = |name: &str| schema.get(name).and_then(Value::as_array);
        let fits = |schema: &Value| {
            let mut inner = Vec::new();
            self.check(value, schema, path, depth + 1, &mut inner);
            inner.is_empty()
        };
        let refuse = |words: &str| {
            let field = if path.is_empty() { "<nil>" } else { path };
            Fault::invalid(field, &shown(value), &format!("{:?} {words}", path))
        };
        if list("oneOf").is_some_and(|all| all.iter().filter(|schema| fits(schema)).count() != 1) {
            faults.push(refuse("must validate one and only one schema (oneOf)"));
        }
        if list("anyOf").is_some_and(|all| !all.iter().any(&fits)) {
            faults.push(refuse("must validate at least one schema (anyOf)"));
        }
        if schema.get("not").is_some_and(&fits) {
            faults.push(refuse("must not validate the schema (not)"));
        }
        for schema in list("allOf").into_iter().flatten() {
            self.check(value, schema, path, depth + 1, faults);
        }
    }

    fn check_pattern(&self, text: &str, schema: &Value, path: &str, faults: &mut Vec<Fault>) {
        let Some(pattern) = schema.get("pattern").and_then(Value::as_str) else { return };
        let mut patterns = self.patterns.lock().unwrap_or_else(PoisonError::into_inner);
        let compiled = patterns.entry(pattern.into()).or_insert_with(|| Regex::new(pattern).ok());
        if compiled.as_ref().is_some_and(|regex| !regex.is_match(text)) {
            faults.push(Fault::invalid(path, &Value::from(text), &format!("{path} in body should match '{pattern}'")));
        }
    }
}

/// The schema of a map's entry.
pub(crate) fn child<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    let property = schema.get("properties").and_then(|properties| properties.get(name));
    property.or_else(|| schema.get("additionalProperties").filter(|schema| schema.is_object()))
}

/// Whether something is true of a schema.
pub(crate) fn flag(schema: &Value, name: &str) -> bool {
    schema.get(name) == Some(&Value::Bool(true))
}

fn number(schema: &Value, name: &str) -> Option<f64> {
    schema.get(name).and_then(Value::as_f64)
}

fn normalize(value: &mut Value, schema: &Value, depth: usize) {
    if depth > DEPTH {
        return;
    }
    match value {
        Value::Object(map) => {
            let opaque = flag(schema, "x-kubernetes-preserve-unknown-fields") || flag(schema, "additionalProperties");
            let embedded = flag(schema, "x-kubernetes-embedded-resource");
            let known = |name: &str| {
                child(schema, name).is_some() || (embedded && matches!(name, "apiVersion" | "kind" | "metadata"))
            };
            map.retain(|name, _| opaque || known(name));
            for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                fill_default(map, name, schema);
            }
            map.retain(|name, value| !value.is_null() || keeps_null(schema, name));
            for (name, value) in map {
                if let Some(schema) = child(schema, name) {
                    normalize(value, schema, depth + 1);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                items.iter_mut().for_each(|item| normalize(item, schema, depth + 1));
            }
        }
        _ => {}
    }
}

fn fill_default(map: &mut Map<String, Value>, name: &str, schema: &Value) {
    let null = map.get(name).is_some_and(Value::is_null) && !flag(schema, "nullable");
    if let Some(default) = schema.get("default").filter(|_| null || !map.contains_key(name)) {
        map.insert(name.into(), default.clone());
    }
}

/// Whether an entry may be null. What may not be, and has no default, is dropped.
fn keeps_null(schema: &Value, name: &str) -> bool {
    child(schema, name).is_none_or(|schema| flag(schema, "nullable"))
}

fn fits_type(value: &Value, schema: &Value) -> bool {
    if flag(schema, "x-kubernetes-int-or-string") {
        return value.is_string() || value.is_i64() || value.is_u64();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0),
        Some("number") => value.is_number(),
        _ => true,
    }
}

fn wrong_type(value: &Value, schema: &Value, path: &str) -> Fault {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let wanted = schema.get("type").and_then(Value::as_str).unwrap_or("integer,string");
    Fault::invalid(path, &Value::from(found), &format!("{path} in body must be of type {wanted}: {found:?}"))
}

fn check_enum(value: &Value, schema: &Value, path: &str, faults: &mut Vec<Fault>) {
    let Some(allowed) = schema.get("enum").and_then(Value::as_array) else { return };
    if !allowed.contains(value) {
        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        let words = format!("Unsupported value: {value}: supported values: {}", allowed.join(", "));
        faults.push(Fault::new(path, words));
    }
}

/// Sets hold each value once, maps each key.
fn check_unique(items: &[Value], schema: &Value, path: &str, faults: &mut Vec<Fault>) {
    let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
    let identity = |item: &Value| match (schema.get("x-kubernetes-list-type").and_then(Value::as_str), keys) {
        (Some("set"), _) => Some(item.clone()),
        (Some("map"), Some(keys)) => {
            let keys = keys.iter().filter_map(Value::as_str);
            Some(keys.filter_map(|key| Some((key.to_owned(), item.get(key)?.clone()))).collect::<Map<_, _>>().into())
        }
        _ => None,
    };
    let mut seen = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let Some(identity) = identity(item) else { return };
        if seen.contains(&identity) {
            faults.push(Fault::new(format!("{path}[{index}]"), format!("Duplicate value: {identity}")));
        }
        seen.push(identity);
    }
}

/// Lengths, counts and ranges.
fn check_bounds(value: &Value, schema: &Value, path: &str, faults: &mut Vec<Fault>) {
    let (size, least, most, what) = match value {
        Value::String(text) => (text.chars().count() as f64, "minLength", "maxLength", "chars long"),
        Value::Array(items) => (items.len() as f64, "minItems", "maxItems", "items"),
        Value::Object(map) => (map.len() as f64, "minProperties", "maxProperties", "properties"),
        Value::Number(found) => {
            check_range(found.as_f64().unwrap_or_default(), value, schema, path, faults);
            return;
        }
        _ => return,
    };
    let refuse = |words: String| Fault::invalid(path, &shown(value), &words);
    if let Some(least) = number(schema, least).filter(|least| size < *least) {
        faults.push(refuse(format!("{path} in body should be at least {least} {what}")));
    }
    if let Some(most) = number(schema, most).filter(|most| size > *most) {
        let words = match what {
            "chars long" => format!("Too long: may not be more than {most} bytes"),
            _ => format!("Too many: {size}: must have at most {most} items"),
        };
        faults.push(Fault::new(path, words));
    }
}

fn check_range(found: f64, value: &Value, schema: &Value, path: &str, faults: &mut Vec<Fault>) {
    if let Some(least) = number(schema, "minimum").filter(|least| found < *least) {
        let words = format!("{path} in body should be greater than or equal to {least}");
        faults.push(Fault::invalid(path, value, &words));
    }
    if let Some(most) = number(schema, "maximum").filter(|most| found > *most) {
        let words = format!("{path} in body should be less than or equal to {most}");
        faults.push(Fault::invalid(path, value, &words));
    }
}

/// Values are shown while they are scalars; of others the kind alone.
fn shown(value: &Value) -> Value {
    match value {
        Value::Array(_) => Value::from("array"),
        Value::Object(_) => Value::from("object"),
        scalar => scalar.clone(),
    }
}

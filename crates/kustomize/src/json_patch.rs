//! JSON patches (RFC 6902), with the freedoms that evanphx/json-patch v4 takes.

use serde_json::{Map, Number, Value};

use crate::error::Problem;
use crate::growth::Growth;

/// The operations of a patch, not yet looked at.
#[derive(Clone)]
pub(crate) struct JsonPatch(Vec<Map<String, Value>>);

fn wrong(reason: String) -> Problem {
    Problem::JsonPatch { reason }
}

impl JsonPatch {
    /// Reads a patch: JSON when it begins with a bracket, else YAML.
    pub(crate) fn read(text: &str) -> Result<Self, Problem> {
        let value: Value = if text.starts_with('[') {
            serde_json::from_str(text).map_err(|error| wrong(format!("invalid JSON patch at line {}", error.line())))?
        } else {
            yaml::from_str(text)?
        };
        let operation = |value| match value {
            Value::Object(map) => Ok(map),
            Value::Null => Ok(Map::new()),
            _ => Err(wrong("json: cannot unmarshal a patch that is no list of operations".into())),
        };
        match value {
            Value::Array(operations) => operations.into_iter().map(operation).collect::<Result<_, _>>().map(Self),
            Value::Null => Ok(Self(Vec::new())),
            _ => Err(wrong("json: cannot unmarshal object into Go value of type jsonpatch.Patch".into())),
        }
    }

    /// Whether the patch has no operations.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The document after all operations. Its numbers are floating, as Go's JSON reads them.
    pub(crate) fn apply(&self, mut document: Value, growth: &mut Growth) -> Result<Value, Problem> {
        for operation in &self.0 {
            apply(&mut document, operation, growth)?;
        }
        make_floating(&mut document);
        Ok(document)
    }
}

fn make_floating(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(float) = number.as_f64().and_then(Number::from_f64) {
                *number = float;
            }
        }
        Value::Array(entries) => entries.iter_mut().for_each(make_floating),
        Value::Object(map) => map.values_mut().for_each(make_floating),
        _ => {}
    }
}

fn apply(document: &mut Value, operation: &Map<String, Value>, growth: &mut Growth) -> Result<(), Problem> {
    let word = operation.get("op").and_then(Value::as_str).unwrap_or("unknown");
    let path = || {
        let path = operation.get("path").and_then(Value::as_str);
        path.ok_or_else(|| wrong(format!("{word} operation failed to decode path: missing value")))
    };
    let from = || {
        let from = operation.get("from").and_then(Value::as_str);
        from.ok_or_else(|| {
            wrong(format!("{word} operation failed to decode from: operation, missing from field: missing value"))
        })
    };
    let value = |growth: &mut Growth| {
        let value = operation.get("value").unwrap_or(&Value::Null);
        growth.value(value, depth(path()?)).map(|()| value.clone())
    };
    match word {
        "add" => add(document, path()?, value(growth)?),
        "remove" => remove(document, path()?).map(|_| ()),
        "replace" => replace(document, path()?, value(growth)?),
        "move" => {
            let (from, path) = (from()?, path()?);
            let value = taken(document, from)?;
            // Nothing is added, but it may lie deeper.
            Growth::default().value(&value, depth(path))?;
            parent(document, path).map_err(|()| missing("move", "doc is missing destination path", path))?;
            add(document, path, value)
        }
        "test" => test(document, path()?, operation.get("value")),
        "copy" => {
            let (from, path) = (from()?, path()?);
            let value = copied(document, from)?;
            growth.value(value, depth(path))?;
            let value = value.clone();
            parent(document, path).map_err(|()| missing("copy", "doc is missing destination path", path))?;
            add(document, path, value)
        }
        other => Err(wrong(format!("Unexpected kind: {other}"))),
    }
}

fn missing(operation: &str, what: &str, path: &str) -> Problem {
    wrong(format!("{operation} operation does not apply: {what}: {path}: missing value"))
}

/// How many parts a path has.
fn depth(path: &str) -> usize {
    path.matches('/').count()
}

fn unescape(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

/// The map or list that holds what a path names, and the last part of the path.
fn parent<'a>(document: &'a mut Value, path: &str) -> Result<(&'a mut Value, String), ()> {
    let (above, last) = path.rsplit_once('/').ok_or(())?;
    let mut node = document;
    for part in above.split('/').skip(1) {
        node = match node {
            Value::Object(map) => map.get_mut(&unescape(part)),
            Value::Array(entries) => index(part, entries.len()).ok().and_then(|at| entries.get_mut(at)),
            _ => None,
        }
        .ok_or(())?;
    }
    if node.is_object() || node.is_array() { Ok((node, unescape(last))) } else { Err(()) }
}

/// A place in a list; negative ones count from its end.
fn index(part: &str, length: usize) -> Result<usize, String> {
    let number: i64 = part.parse().map_err(|_| format!("strconv.Atoi: parsing {part:?}: invalid syntax"))?;
    let invalid = || format!("Unable to access invalid index: {number}: invalid index referenced");
    let length = i64::try_from(length).map_err(|_| invalid())?;
    let at = if number < 0 { number + length } else { number };
    usize::try_from(at).map_err(|_| invalid())
}

fn add(document: &mut Value, path: &str, value: Value) -> Result<(), Problem> {
    let Ok((holder, last)) = parent(document, path) else {
        return Err(wrong(format!("add operation does not apply: doc is missing path: {path:?}: missing value")));
    };
    let failed = |reason: String| wrong(format!("error in add for path: '{path}': {reason}"));
    match holder {
        Value::Array(entries) if last == "-" => entries.push(value),
        Value::Array(entries) => {
            // A negative place counts from behind the last entry.
            let at = index(&last, entries.len() + 1).map_err(failed)?;
            if at > entries.len() {
                return Err(failed(format!("Unable to access invalid index: {at}: invalid index referenced")));
            }
            entries.insert(at, value);
        }
        Value::Object(map) => _ = map.insert(last, value),
        _ => {}
    }
    Ok(())
}

fn remove(document: &mut Value, path: &str) -> Result<Value, Problem> {
    let Ok((holder, last)) = parent(document, path) else {
        return Err(wrong(format!("remove operation does not apply: doc is missing path: {path:?}: missing value")));
    };
    take(holder, &last).map_err(|reason| wrong(format!("error in remove for path: '{path}': {reason}")))
}

fn take(holder: &mut Value, last: &str) -> Result<Value, String> {
    match holder {
        Value::Array(entries) => {
            let at = index(last, entries.len())?;
            if at >= entries.len() {
                return Err(format!("Unable to access invalid index: {at}: invalid index referenced"));
            }
            Ok(entries.remove(at))
        }
        Value::Object(map) => {
            map.remove(last).ok_or_else(|| format!("Unable to remove nonexistent key: {last}: missing value"))
        }
        _ => Ok(Value::Null),
    }
}

/// What stands at a path; a map has null at every key that it has not.
fn look<'a>(holder: &'a Value, last: &str) -> Result<Option<&'a Value>, String> {
    match holder {
        Value::Array(entries) => {
            let at = index(last, entries.len())?;
            let entry = entries.get(at);
            entry.map(Some).ok_or_else(|| format!("Unable to access invalid index: {at}: invalid index referenced"))
        }
        Value::Object(map) => Ok(map.get(last)),
        _ => Ok(None),
    }
}

/// A key that is not there may be replaced, a place in a list may not.
fn replace(document: &mut Value, path: &str, value: Value) -> Result<(), Problem> {
    if path.is_empty() {
        if !value.is_object() && !value.is_array() {
            return Err(wrong("replace operation value must be object or array".into()));
        }
        *document = value;
        return Ok(());
    }
    let Ok((holder, last)) = parent(document, path) else {
        return Err(missing("replace", "doc is missing path", path));
    };
    if look(holder, &last).is_err() {
        return Err(missing("replace", "doc is missing key", path));
    }
    match holder {
        Value::Array(entries) => {
            let at = index(&last, entries.len()).unwrap_or_default();
            if let Some(entry) = entries.get_mut(at) {
                *entry = value;
            }
        }
        Value::Object(map) => _ = map.insert(last, value),
        _ => {}
    }
    Ok(())
}

fn taken(document: &mut Value, from: &str) -> Result<Value, Problem> {
    let Ok((holder, last)) = parent(document, from) else {
        return Err(missing("move", "doc is missing from path", from));
    };
    take(holder, &last).map_err(|reason| wrong(format!("error in move for path: '{last}': {reason}")))
}

fn copied<'a>(document: &'a mut Value, from: &str) -> Result<&'a Value, Problem> {
    let Ok((holder, last)) = parent(document, from) else {
        return Err(missing("copy", "doc is missing from path", from));
    };
    match look(holder, &last) {
        Ok(value) => Ok(value.unwrap_or(&Value::Null)),
        Err(reason) => Err(wrong(format!("error in copy for from: '{from}': {reason}"))),
    }
}

fn test(document: &mut Value, path: &str, wanted: Option<&Value>) -> Result<(), Problem> {
    let failed = || wrong(format!("testing value {path} failed: test failed"));
    let null = Value::Null;
    if path.is_empty() {
        return if Some(&*document) == wanted { Ok(()) } else { Err(failed()) };
    }
    let Ok((holder, last)) = parent(document, path) else { return Err(missing("test", "is missing path", path)) };
    let found = look(holder, &last).map_err(|reason| wrong(format!("error in test for path: '{path}': {reason}")))?;
    if found.unwrap_or(&null) == wanted.unwrap_or(&null) { Ok(()) } else { Err(failed()) }
}

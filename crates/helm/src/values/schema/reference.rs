//! Where references lead, within one file.

use serde_json::Value;

/// Name under which Helm loads a chart's schema.
const BASE: &str = "file:///values.schema.json";

/// The schema that a reference leads to.
///
/// # Errors
/// Helm's words for one that leads nowhere, or out of the file.
pub(super) fn resolve<'s>(root: &'s Value, reference: &str) -> Result<&'s Value, String> {
    let (file, fragment) = reference.split_once('#').unwrap_or((reference, ""));
    let identifier = ["$id", "id"].iter().find_map(|key| root.get(key)?.as_str()).unwrap_or(BASE);
    let own = identifier.split('#').next().unwrap_or_default();
    let target = if file.is_empty() || file == own { Some(root) } else { identified(root, file, 0) };
    let Some(target) = target else {
        return Err(outside(file));
    };
    if fragment.is_empty() {
        return Ok(target);
    }
    let found = match fragment.strip_prefix('/') {
        Some(_) => target.pointer(&unescaped(fragment)),
        None => anchored(target, fragment, 0),
    };
    found.ok_or_else(|| format!("json-pointer in \"{BASE}#{fragment}\" not found"))
}

fn outside(file: &str) -> String {
    match file.strip_prefix("file://") {
        Some(path) => format!("failing loading \"{file}\": open {path}: no such file or directory"),
        None => format!("failing loading \"{file}\": schemas are not fetched from the network"),
    }
}

/// Percent signs of a fragment.
fn unescaped(fragment: &str) -> String {
    gotemplate::go::url::parse(&format!("#{fragment}")).map_or_else(|_| fragment.to_owned(), |url| url.fragment)
}

/// How deep a file is searched for names.
const MAX_DEPTH: usize = 100;

fn search<'s>(schema: &'s Value, depth: usize, fits: &dyn Fn(&'s Value) -> bool) -> Option<&'s Value> {
    if depth > MAX_DEPTH {
        return None;
    }
    if fits(schema) {
        return Some(schema);
    }
    match schema {
        Value::Object(map) => map.values().find_map(|inner| search(inner, depth + 1, fits)),
        Value::Array(items) => items.iter().find_map(|inner| search(inner, depth + 1, fits)),
        _ => None,
    }
}

/// The schema that says it is of this name.
fn identified<'s>(root: &'s Value, file: &str, depth: usize) -> Option<&'s Value> {
    search(root, depth, &|schema| {
        let identifier = ["$id", "id"].iter().find_map(|key| schema.get(key)?.as_str());
        identifier.is_some_and(|identifier| identifier == file || identifier.ends_with(&format!("/{file}")))
    })
}

fn anchored<'s>(root: &'s Value, anchor: &str, depth: usize) -> Option<&'s Value> {
    let hash = format!("#{anchor}");
    search(root, depth, &|schema| {
        let is = |key: &str, wanted: &str| schema.get(key).and_then(Value::as_str) == Some(wanted);
        is("$anchor", anchor) || is("$dynamicAnchor", anchor) || is("$id", &hash) || is("id", &hash)
    })
}

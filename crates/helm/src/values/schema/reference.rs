//! Where references lead, within one file.

use serde_json::Value;

/// Name under which Helm loads a chart's schema.
const BASE: &str = "file:///values.schema.json";

/// What takes everything.
static ANYTHING: Value = Value::Bool(true);

/// The schema that a reference leads to; one that lies elsewhere takes everything (see the module's head).
///
/// # Errors
/// Helm's words for one that leads nowhere, or to a file.
pub(super) fn resolve<'s>(root: &'s Value, reference: &str) -> Result<&'s Value, String> {
    let (file, fragment) = reference.split_once('#').unwrap_or((reference, ""));
    let identifier = ["$id", "id"].iter().find_map(|key| root.get(key)?.as_str()).unwrap_or(BASE);
    let own = identifier.split('#').next().unwrap_or_default();
    let target = if file.is_empty() || file == own { Some(root) } else { identified(root, file, 0) };
    let Some(target) = target else {
        let base = if file.contains(':') { file } else { own };
        return if is_elsewhere(base) { Ok(&ANYTHING) } else { Err(outside(file)) };
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

/// Whether a schema would be fetched, or is but a name.
fn is_elsewhere(file: &str) -> bool {
    ["http://", "https://", "urn:"].iter().any(|scheme| file.starts_with(scheme))
}

fn outside(file: &str) -> String {
    let path = file.strip_prefix("file://").map_or_else(|| format!("/{file}"), str::to_owned);
    match file.contains(':') && !file.starts_with("file:") {
        true => format!("failing loading \"{file}\": no URLLoader registered for \"{file}\""),
        false => format!("failing loading \"file://{path}\": open {path}: no such file or directory"),
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_lies_elsewhere_takes_everything_and_files_are_not_read() {
        let (plain, named) = (json!({}), json!({"$id": "https://a.example/b.json"}));
        for (root, reference) in
            [(&plain, "https://x.invalid/s.json#/a"), (&plain, "http://x"), (&plain, "urn:a:b"), (&named, "c.json")]
        {
            assert_eq!(resolve(root, reference), Ok(&Value::Bool(true)), "{reference}");
        }
        for (reference, path) in [("file:///etc/passwd", "/etc/passwd"), ("c.json", "/c.json")] {
            let told = format!("failing loading \"file://{path}\": open {path}: no such file or directory");
            assert_eq!(resolve(&plain, reference), Err(told));
        }
        assert_eq!(resolve(&named, "https://a.example/b.json"), Ok(&named));
    }
}

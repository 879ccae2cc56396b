//! What differs between two states of an object, told without telling secrets.

use std::collections::BTreeSet;

use manifest::Object;
use serde_json::{Map, Value};

/// How one field differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldChange {
    /// Not there before; the new value as JSON, unless it is secret.
    Added(Option<String>),
    /// Gone; the old value as JSON, unless it is secret.
    Removed(Option<String>),
    /// Another value: old and new as JSON, unless they are secret.
    Changed(Option<(String, String)>),
}

/// The fields that differ, by dotted path, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Dotted path and what happened there.
    pub fields: Vec<(String, FieldChange)>,
}

impl Diff {
    /// Tells which fields of others go, as far as they are not told yet.
    pub(crate) fn note_removed(&mut self, paths: impl IntoIterator<Item = String>) {
        for path in paths {
            if !self.fields.iter().any(|(known, _)| *known == path) {
                self.fields.push((path, FieldChange::Removed(None)));
            }
        }
    }

    /// Tells that others no longer own fields of the object.
    pub(crate) fn note_managers<'a>(&mut self, undone: impl Iterator<Item = &'a str>) {
        let path = |manager: &str| format!("metadata.managedFields.{manager}");
        self.fields.extend(undone.map(|manager| (path(manager), FieldChange::Removed(None))));
    }
}

/// Metadata that the server writes, or that tells nothing of the content.
const SERVER_METADATA: &[&str] = &[
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Annotations of Secrets that tell of their values: kubectl's copy of the whole object, and External Secrets' hash, which
/// gives a weak secret away to whoever tries all of them.
const COPIES: &[&str] =
    &["kubectl.kubernetes.io/last-applied-configuration", "reconcile.external-secrets.io/data-hash"];

/// The content of an object: without status and without what the server writes into its metadata.
pub fn content(object: &Object) -> Value {
    let kept = |(key, value): (&String, &Value)| (key.clone(), value.clone());
    let mut map: Map<String, Value> = outside_metadata(object).map(kept).collect();
    if object.value().get("metadata").is_some() {
        map.insert("metadata".into(), Value::Object(own_metadata(object).map(kept).collect()));
    }
    Value::Object(map)
}

/// Whether two objects have the same [`content`].
pub(crate) fn is_same(left: &Object, right: &Object) -> bool {
    outside_metadata(left).eq(outside_metadata(right)) && own_metadata(left).eq(own_metadata(right))
}

fn outside_metadata(object: &Object) -> impl Iterator<Item = (&String, &Value)> {
    let all = object.value().as_object().into_iter().flatten();
    all.filter(|(key, _)| *key != "status" && *key != "metadata")
}

fn own_metadata(object: &Object) -> impl Iterator<Item = (&String, &Value)> {
    let metadata = object.value().get("metadata").and_then(Value::as_object).into_iter().flatten();
    metadata.filter(|(key, _)| !SERVER_METADATA.contains(&key.as_str()))
}

/// Compares what is live with what it would become. The values of a Secret, and of its annotations that repeat them,
/// appear only as added, removed or changed.
pub fn between(live: Option<&Object>, next: &Object) -> Diff {
    let before = live.map_or_else(|| Value::Object(Map::new()), content);
    let mut walk = Walk { is_secret: next.is_secret(), diff: Diff::default() };
    walk.compare(&mut Vec::new(), &before, &content(next));
    walk.diff
}

struct Walk {
    is_secret: bool,
    diff: Diff,
}

impl Walk {
    fn compare(&mut self, path: &mut Vec<String>, before: &Value, after: &Value) {
        match (before, after) {
            (Value::Object(before), Value::Object(after)) => self.compare_maps(path, before, after),
            (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
                for (index, (old, new)) in before.iter().zip(after).enumerate() {
                    path.push(format!("[{index}]"));
                    self.compare(path, old, new);
                    path.pop();
                }
            }
            _ if before != after => {
                let shown = self.show(path, before).zip(self.show(path, after));
                self.note(path, FieldChange::Changed(shown));
            }
            _ => {}
        }
    }

    fn compare_maps(&mut self, path: &mut Vec<String>, before: &Map<String, Value>, after: &Map<String, Value>) {
        let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for key in keys {
            path.push(key.clone());
            match (before.get(key), after.get(key)) {
                (Some(old), Some(new)) => self.compare(path, old, new),
                (None, Some(new)) => self.note_leaves(path, new, &FieldChange::Added),
                (Some(old), None) => self.note_leaves(path, old, &FieldChange::Removed),
                (None, None) => {}
            }
            path.pop();
        }
    }

    /// The values of a Secret are told key by key, everything else as a whole.
    fn note_leaves(&mut self, path: &mut Vec<String>, value: &Value, change: &dyn Fn(Option<String>) -> FieldChange) {
        match value {
            Value::Object(map) if self.hides(path) && path.len() == 1 => {
                for key in map.keys() {
                    path.push(key.clone());
                    self.note(path, change(None));
                    path.pop();
                }
            }
            _ => {
                let shown = self.show(path, value);
                self.note(path, change(shown));
            }
        }
    }

    fn note(&mut self, path: &[String], change: FieldChange) {
        let dotted = path.join(".").replace(".[", "[");
        self.diff.fields.push((dotted, change));
    }

    fn show(&self, path: &[String], value: &Value) -> Option<String> {
        (!self.hides(path)).then(|| value.to_string())
    }

    fn hides(&self, path: &[String]) -> bool {
        let is_data = path.first().is_some_and(|field| field == "data" || field == "stringData");
        let is_copy = path.iter().any(|field| COPIES.contains(&field.as_str()));
        self.is_secret && (is_data || is_copy || path.len() < 2 && !path.is_empty() && path[0] == "metadata")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(kind: &str, data: Value) -> Object {
        Object::new(
            json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "x", "uid": "server's"}, "data": data}),
        )
        .unwrap()
    }

    #[test]
    fn a_secret_tells_which_keys_changed_and_no_value() {
        let before = object("Secret", json!({"same": "c2FtZQ==", "old": "b2xk", "x": "b25l"}));
        let after = object("Secret", json!({"same": "c2FtZQ==", "new": "bmV3", "x": "dHdv"}));
        let expected = vec![
            ("data.new".to_owned(), FieldChange::Added(None)),
            ("data.old".to_owned(), FieldChange::Removed(None)),
            ("data.x".to_owned(), FieldChange::Changed(None)),
        ];
        assert_eq!(between(Some(&before), &after).fields, expected);
        let fresh = between(None, &after);
        assert!(fresh.fields.contains(&("data.x".to_owned(), FieldChange::Added(None))), "{fresh:?}");
        assert!(!format!("{fresh:?}").contains("dHdv"));
    }

    #[test]
    fn a_hash_of_a_secrets_values_is_not_told() {
        let hashed = |hash: &str| {
            let mut secret = object("Secret", json!({}));
            secret.set_annotation("reconcile.external-secrets.io/data-hash", hash);
            secret
        };
        let told = between(Some(&hashed("0a")), &hashed("0b")).fields;
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].1, FieldChange::Changed(None));
    }

    #[test]
    fn other_kinds_show_both_values() {
        let before = object("ConfigMap", json!({"x": "one"}));
        let after = object("ConfigMap", json!({"x": "two"}));
        let expected = FieldChange::Changed(Some(("\"one\"".into(), "\"two\"".into())));
        assert_eq!(between(Some(&before), &after).fields, vec![("data.x".to_owned(), expected)]);
    }
}

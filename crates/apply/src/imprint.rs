//! What an object's metadata alone tells: which object it is, and who wrote what on it last. Enough to know that somebody
//! has changed it, at a fraction of its size.

use manifest::Object;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// An object as its metadata shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imprint {
    /// Empty for a cluster-scoped object.
    pub namespace: String,
    /// Name within the namespace.
    pub name: String,
    /// Its resourceVersion; 0 where the server gives none that is a number.
    pub version: u64,
    /// Whether it is being deleted.
    pub is_terminating: bool,
    /// Who wrote fields of it, subresources aside.
    pub writers: Vec<Writer>,
    /// Digest of what a change of content changes where no writers are told: UID and generation, or resourceVersion.
    content: u64,
}

/// One manager's fields of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// Field manager.
    pub manager: String,
    /// Whether it applied them; else it wrote them in another way.
    pub applies: bool,
    /// Digest of which fields they are, and when it changed them last.
    digest: u64,
}

impl Writer {
    /// A writer from an entry of `managedFields`; `None` for one of a subresource.
    pub fn of(entry: &Value) -> Option<Self> {
        let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default();
        if !text("subresource").is_empty() {
            return None;
        }
        let fields = entry.get("fieldsV1").map(Value::to_string).unwrap_or_default();
        // Whoever has parsed it may write it with another fraction: the server tells whole seconds.
        let time = text("time").trim_end_matches('Z').split('.').next().unwrap_or_default();
        let digest = digest(&[text("apiVersion"), time, &fields]);
        Some(Self { manager: text("manager").into(), applies: text("operation") == "Apply", digest })
    }
}

impl Imprint {
    /// The imprint of an object, or of its metadata alone.
    pub fn of(object: &Object) -> Self {
        let entries = object.value().pointer("/metadata/managedFields").and_then(Value::as_array);
        let version = object.resource_version();
        let generation = object.generation().to_string();
        let content = if object.generation() > 0 { generation.as_str() } else { version };
        Self {
            namespace: object.namespace().into(),
            name: object.name().into(),
            version: version.parse().unwrap_or_default(),
            is_terminating: object.is_terminating(),
            writers: entries.into_iter().flatten().filter_map(Writer::of).collect(),
            content: digest(&[object.uid(), content]),
        }
    }

    /// A number that changes when a writer that counts changes the object, or somebody takes fields from such a writer. Where
    /// none counts, it changes with the object's content.
    pub fn mark(&self, counts: impl Fn(&Writer) -> bool) -> u64 {
        let mut counted = Vec::new();
        for writer in self.writers.iter().filter(|writer| counts(writer)) {
            counted.push(format!("{} {} {:x}", writer.manager, writer.applies, writer.digest));
            // Whoever does not apply may write the same fields twice within the second that is told.
            counted.extend((!writer.applies).then(|| self.content.to_string()));
        }
        if counted.is_empty() { self.content } else { digest(&counted) }
    }
}

fn digest(parts: &[impl AsRef<str>]) -> u64 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.as_ref());
        hasher.update([0]);
    }
    hasher.finalize().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(manager: &str, subresource: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": "Apply", "subresource": subresource, "fieldsV1": fields})
    }

    fn mark(entries: Value, version: &str) -> u64 {
        let metadata = json!({"name": "a", "uid": "u", "resourceVersion": version, "managedFields": entries});
        let object = Object::unchecked(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}));
        Imprint::of(&object).mark(|writer| writer.manager == "ours")
    }

    #[test]
    fn only_writers_that_count_change_the_mark() {
        let ours = || entry("ours", "", json!({"f:data": {"f:a": {}}}));
        let calm = mark(json!([ours()]), "1");
        assert_eq!(mark(json!([ours(), entry("theirs", "", json!({"f:x": {}}))]), "2"), calm);
        assert_eq!(mark(json!([ours(), entry("ours", "status", json!({"f:x": {}}))]), "3"), calm);
        assert_ne!(mark(json!([entry("ours", "", json!({}))]), "4"), calm, "somebody took a field");
    }

    #[test]
    fn without_writers_the_content_counts() {
        assert_eq!(mark(json!([]), "1"), mark(json!([]), "1"));
        assert_ne!(mark(json!([]), "1"), mark(json!([]), "2"));
    }
}

//! Which Secrets a workload reads, and where its pod template stands.

use std::collections::{BTreeMap, BTreeSet};

use manifest::Object;
use serde_json::Value;

/// What a workload reads of one Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// All of it: `envFrom`, a volume without `items`.
    All,
    /// These keys.
    Some(BTreeSet<String>),
}

impl Keys {
    fn add(&mut self, other: Keys) {
        match (&mut *self, other) {
            (Keys::Some(mine), Keys::Some(more)) => mine.extend(more),
            _ => *self = Keys::All,
        }
    }
}

/// JSON pointer of the pod template that a kind rolls out; `None` for kinds that roll nothing out. A Job is not rolled
/// out: its template is immutable.
pub fn pod_template(object: &Object) -> Option<&'static str> {
    match (object.api_version(), object.kind()) {
        ("apps/v1", "Deployment" | "StatefulSet" | "DaemonSet") => Some("/spec/template"),
        ("batch/v1", "CronJob") => Some("/spec/jobTemplate/spec/template"),
        _ => None,
    }
}

/// Names and keys of the Secrets in the object's namespace that its pods read as values. Image pull secrets are no
/// values: a running pod never sees them change.
pub fn secrets(object: &Object) -> BTreeMap<String, Keys> {
    let mut reads = Reads::default();
    if let Some(pod) = pod_template(object).and_then(|at| object.value().pointer(at)).and_then(|t| t.get("spec")) {
        for list in ["containers", "initContainers"] {
            items(pod, list).for_each(|container| reads.container(container));
        }
        items(pod, "volumes").for_each(|volume| reads.volume(volume));
    }
    reads.found
}

#[derive(Default)]
struct Reads {
    found: BTreeMap<String, Keys>,
}

impl Reads {
    fn container(&mut self, container: &Value) {
        for variable in items(container, "env") {
            let reference = variable.pointer("/valueFrom/secretKeyRef");
            if let Some(key) = reference.and_then(|r| r.get("key")).and_then(Value::as_str) {
                self.note(reference, "name", Keys::Some([key.to_owned()].into()));
            }
        }
        for source in items(container, "envFrom") {
            self.note(source.get("secretRef"), "name", Keys::All);
        }
    }

    fn volume(&mut self, volume: &Value) {
        self.note(volume.get("secret"), "secretName", listed_keys(volume.get("secret")));
        for source in volume.get("projected").into_iter().flat_map(|p| items(p, "sources")) {
            self.note(source.get("secret"), "name", listed_keys(source.get("secret")));
        }
    }

    fn note(&mut self, reference: Option<&Value>, field: &str, keys: Keys) {
        let Some(name) = reference.and_then(|r| r.get(field)).and_then(Value::as_str) else { return };
        match self.found.get_mut(name) {
            Some(known) => known.add(keys),
            None => {
                self.found.insert(name.into(), keys);
            }
        }
    }
}

fn listed_keys(volume: Option<&Value>) -> Keys {
    match volume.and_then(|v| v.get("items")).and_then(Value::as_array) {
        Some(items) => Keys::Some(items.iter().filter_map(|i| i.get("key")?.as_str().map(str::to_owned)).collect()),
        None => Keys::All,
    }
}

/// The elements of a list; none where there is no list.
pub(crate) fn items<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_place_that_reads_a_secret_is_found_and_pull_secrets_are_not() {
        let object = Object::new(json!({
            "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c", "namespace": "n"},
            "spec": {"jobTemplate": {"spec": {"template": {"spec": {
                "imagePullSecrets": [{"name": "pull"}],
                "containers": [{"name": "a", "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "one", "key": "k"}}}],
                    "envFrom": [{"secretRef": {"name": "two"}}, {"configMapRef": {"name": "no"}}]}],
                "initContainers": [{"name": "b", "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "one", "key": "l"}}}]}],
                "volumes": [{"name": "v", "secret": {"secretName": "three", "items": [{"key": "a", "path": "a"}]}},
                    {"name": "p", "projected": {"sources": [{"secret": {"name": "four"}}]}}],
            }}}}},
        }))
        .unwrap();
        let some = |keys: &[&str]| Keys::Some(keys.iter().map(|k| (*k).to_owned()).collect());
        let expected: BTreeMap<String, Keys> =
            [("four", Keys::All), ("one", some(&["k", "l"])), ("three", some(&["a"])), ("two", Keys::All)]
                .into_iter()
                .map(|(name, keys)| (name.to_owned(), keys))
                .collect();
        assert_eq!(secrets(&object), expected);
    }
}

//! A workload of a landing that serves something to the API server. Included by path.

use apply::{Candidate, Desired};
use manifest::Object;
use serde_json::{Value, json};

/// Namespace `app`, and in it a Deployment of some version with its Service; a bad one never becomes healthy.
pub(super) fn server(name: &str, version: u64, is_bad: bool) -> Vec<Value> {
    let own = || json!({"name": name, "namespace": "app", "labels": {"owner": "unit"}});
    let mut labels = json!({"app": name});
    if is_bad {
        labels["testbed/fail"] = "true".into();
    }
    vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "app", "labels": {"owner": "unit"}}}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": own(), "spec": {
            "selector": {"matchLabels": {"app": name}}, "template": {
                "metadata": {"labels": labels, "annotations": {"version": version.to_string()}},
                "spec": {"containers": [{"name": "c", "image": "c"}]}}}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": own(),
            "spec": {"selector": {"app": name}, "ports": [{"port": 443}]}}),
    ]
}

/// What a revision of that number declares.
pub(super) fn candidate(number: &str, values: Vec<Value>) -> Candidate {
    let objects = values.into_iter().map(|value| Desired::new(Object::new(value).unwrap(), "unit")).collect();
    Candidate { revision: number.into(), input: number.into(), objects, ..Candidate::default() }
}

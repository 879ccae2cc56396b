//! What the server does not take: values that are no maps, and more objects than a quota allows.

use apply::{Call, Reference};
use serde_json::{Value, json};

use super::Step;
use super::scripts::{apply, create, delete, object, send, with};
use apply::cluster::Propagation;

fn config(namespace: &str, name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "namespace": namespace }, "data": { "a": "1" } })
}

fn secret(namespace: &str, name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "namespace": namespace }, "data": { "a": "MQ==" } })
}

pub(crate) fn no_maps(ns: &str) -> Vec<Step> {
    let data = |value: Value| with(config(ns, "a"), "/data", value);
    let labels = |value: Value| with(config(ns, "a"), "/metadata/labels", value);
    vec![
        send("text for data", apply("one", data(json!("none")))),
        send("a list for data", apply("one", data(json!(["x"])))),
        send("text for labels", apply("one", labels(json!("none")))),
        send("text for annotations", apply("one", with(config(ns, "a"), "/metadata/annotations", json!("none")))),
        send("text for a Secret's data", apply("one", with(secret(ns, "s"), "/data", json!("none")))),
        send("text for plain data", apply("one", with(secret(ns, "s"), "/stringData", json!("none")))),
        send("created with text for data", create(data(json!("none")))),
        send("created with a list for data", create(data(json!(["x"])))),
        send("made", apply("one", config(ns, "a"))),
        send("nothing for data", apply("one", data(Value::Null))),
    ]
}

pub(crate) fn quota(ns: &str) -> Vec<Step> {
    let at = Reference::new("v1", "ResourceQuota", ns, "tight");
    let hard = json!({ "secrets": "1", "count/roles.rbac.authorization.k8s.io": "1" });
    let limit = json!({ "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "tight", "namespace": ns },
        "spec": { "hard": hard } });
    let role = |name: &str| {
        json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": name, "namespace": ns },
            "rules": [{ "apiGroups": [""], "resources": ["pods"], "verbs": ["get"] }] })
    };
    let dry_run = Call::Apply {
        object: object(secret(ns, "second")),
        manager: "one".into(),
        force: false,
        dry_run: true,
        subresource: None,
    };
    vec![
        send("quota", apply("one", limit)),
        Step::Has(at.clone(), "/status/hard/secrets", json!("1")),
        send("the first fits", apply("one", secret(ns, "first"))),
        send("the second does not", apply("one", secret(ns, "second"))),
        send("nor is it created", create(secret(ns, "second"))),
        send("nor tried", dry_run),
        send("what is there can change", apply("one", with(secret(ns, "first"), "/data/a", json!("Mg==")))),
        send("what is not counted fits", apply("one", config(ns, "a"))),
        send("by group", apply("one", role("a"))),
        send("by group, too many", apply("one", role("b"))),
        send("without quota", delete(&at, Propagation::Background)),
        Step::Gone(at),
    ]
}

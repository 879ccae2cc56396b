//! What a plan makes of a cluster that changes without it.

#![expect(clippy::unwrap_used, reason = "what fails here stops the test")]

use std::sync::Arc;

use apply::fault::{self, FaultyCluster};
use apply::memory::{MemoryCluster, Settings};
use apply::plan::{Change, Prior, Proof};
use apply::{Action, Base, Behaviour, Call, Candidate, Cluster, Desired};
use futures::executor::block_on;
use manifest::Object;
use serde_json::json;

fn object(value: serde_json::Value) -> Object {
    Object::new(value).unwrap()
}

fn wants(object: Object) -> Candidate {
    Candidate {
        revision: "r".into(),
        input: "i".into(),
        read_set: json!([]),
        objects: vec![Desired::new(object, "m")],
        ..Candidate::default()
    }
}

#[test]
fn a_kind_that_somebody_defined_since_the_last_discovery_is_known() {
    let cluster: Arc<dyn Cluster> = Arc::new(MemoryCluster::new(Settings::default()));
    let version = json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema":
        {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}});
    let definition = object(json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"}, "spec": {"group": "example.com", "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"}, "versions": [version]}}));
    let widget = || {
        wants(object(json!({"apiVersion": "example.com/v1", "kind": "Widget",
        "metadata": {"name": "w", "namespace": "default"}})))
    };
    let plan = || block_on(apply::plan(widget(), Behaviour::default(), &Base::default(), &cluster, &|_| String::new()));
    assert!(plan().is_err_and(|failures| failures[0].to_string().contains("no matches for kind \"Widget\"")));
    let call = Call::Apply { object: definition, manager: "m".into(), force: true, dry_run: false, subresource: None };
    block_on(cluster.write(call)).unwrap();
    let prepared = block_on(apply::prepare(plan().ok().unwrap(), &cluster)).ok().unwrap();
    assert_eq!(prepared.landing().changes().next().unwrap().action, Action::Create);
}

/// A definition whose objects have a size of at most `most`.
fn definition(most: u32) -> Object {
    let size = json!({"type": "integer", "maximum": most});
    let spec = json!({"type": "object", "required": ["size"], "properties": {"size": size}});
    let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}});
    let version = json!({"name": "v1", "served": true, "storage": true, "schema": schema});
    object(json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"}, "spec": {"group": "example.com", "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"}, "versions": [version]}}))
}

fn widget(version: &str, spec: serde_json::Value) -> Object {
    let metadata = json!({"name": "w", "namespace": "default"});
    object(
        json!({"apiVersion": format!("example.com/{version}"), "kind": "Widget", "metadata": metadata, "spec": spec}),
    )
}

/// How the widget is known to be acceptable, or why it is not.
fn proof(cluster: &Arc<dyn Cluster>, definition: Object, widget: Object) -> Result<Proof, String> {
    let mut candidate = wants(definition);
    candidate.objects.push(Desired::new(widget, "m"));
    let base = Base::default();
    let proposed = block_on(apply::propose(candidate, Behaviour::default(), &base, cluster, &|_| String::new()));
    let told = |failures: Vec<apply::Failure>| failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let prepared = proposed.map_err(told)?;
    let found = prepared.landing().changes().find(|change| change.desired.object.kind() == "Widget").map(|c| c.proof);
    Ok(found.unwrap())
}

#[test]
fn what_comes_with_its_definition_is_held_to_that_schema() {
    let cluster: Arc<dyn Cluster> = Arc::new(MemoryCluster::new(Settings::default()));
    let of_new = |widget| proof(&cluster, definition(3), widget);
    assert_eq!(of_new(widget("v1", json!({"size": 3}))), Ok(Proof::Schema));
    let error = of_new(widget("v1", json!({"size": 4}))).unwrap_err();
    assert!(error.contains("its definition, which comes with it, refuses it: spec.size: Invalid value: 4"), "{error}");
    let error = of_new(widget("v1", json!({}))).unwrap_err();
    assert!(error.contains("spec.size: Required value"), "{error}");
    let error = of_new(widget("v2", json!({"size": 3}))).unwrap_err();
    assert!(error.contains("no matches for kind \"Widget\""), "{error}");

    let object = definition(3);
    let call = Call::Apply { object, manager: "m".into(), force: true, dry_run: false, subresource: None };
    block_on(cluster.write(call)).unwrap();
    assert_eq!(proof(&cluster, definition(3), widget("v1", json!({"size": 3}))), Ok(Proof::Server));
    let error = proof(&cluster, definition(3), widget("v1", json!({"size": 4}))).unwrap_err();
    assert!(error.contains("is refused") && !error.contains("comes with it"), "the server knows the schema: {error}");
    assert_eq!(proof(&cluster, definition(4), widget("v1", json!({"size": 4}))), Ok(Proof::Schema), "it is widened");
    assert!(proof(&cluster, definition(4), widget("v1", json!({"size": 5}))).is_err());
}

/// `customResourceStrategy.PrepareForCreate` drops the status, and nulls that may not be are pruned, before the schema is asked.
#[test]
fn what_the_server_drops_before_it_looks_is_not_held_against_an_object() {
    let cluster: Arc<dyn Cluster> = Arc::new(MemoryCluster::new(Settings::default()));
    let of = |subresources: serde_json::Value, widget: Object| {
        let text = json!({"type": "string"});
        let status = json!({"type": "object", "required": ["parents"], "properties": {"parents": {"type": "array", "items": text}}});
        let labels = json!({"type": "object", "additionalProperties": text});
        let spec = json!({"type": "object", "properties": {"labels": labels}});
        let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}});
        let mut definition = definition(3).value().clone();
        definition["spec"]["versions"][0]["schema"] = schema;
        definition["spec"]["versions"][0]["subresources"] = subresources;
        proof(&cluster, object(definition), widget)
    };
    let mut with_status = widget("v1", json!({})).value().clone();
    with_status["status"] = json!({});
    assert_eq!(of(json!({"status": {}}), object(with_status.clone())), Ok(Proof::Schema));
    assert!(of(json!({}), object(with_status)).is_err_and(|why| why.contains("status.parents: Required value")));
    assert_eq!(of(json!({}), widget("v1", json!({"labels": {"disk": null}}))), Ok(Proof::Schema));
    assert!(of(json!({}), widget("v1", json!({"labels": {"disk": 1}}))).is_err());
}

fn config(data: &str) -> Object {
    let metadata = json!({"name": "c", "namespace": "default"});
    object(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": data}}))
}

fn propose(cluster: &Arc<dyn Cluster>) -> Change {
    let seal = |_: &[u8]| String::new();
    let (base, wanted) = (Base::default(), wants(config("new")));
    let proposed = apply::propose(wanted, Behaviour::default(), &base, cluster, &seal);
    block_on(proposed).ok().unwrap().landing().changes().next().unwrap().clone()
}

#[test]
fn what_nobody_is_known_to_have_made_is_tried_and_not_read() {
    let memory = Arc::new(MemoryCluster::new(Settings::default()));
    let counted = Arc::new(FaultyCluster::new(memory, fault::none()));
    let cluster: Arc<dyn Cluster> = counted.clone();
    let change = propose(&cluster);
    assert!(change.action == Action::Create && matches!(change.prior, Prior::Absent), "{change:?}");
    assert_eq!(counted.calls(), 2, "its kind's scope, and one dry run");
}

#[test]
fn what_somebody_has_made_unknown_to_us_is_adopted() {
    let cluster: Arc<dyn Cluster> = Arc::new(MemoryCluster::new(Settings::default()));
    let theirs = Call::Create { object: config("old"), manager: "they".into(), dry_run: false, subresource: None };
    block_on(cluster.write(theirs)).unwrap();
    let change = propose(&cluster);
    assert!(change.action == Action::Configure && matches!(change.prior, Prior::Adopted(_)), "{change:?}");
}

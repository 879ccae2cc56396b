//! A StatefulSet that is taken back: pods that are broken by the failed revision are in its way.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "support/stage.rs"]
mod stage;

use apply::{Behaviour, Call, Candidate, Desired, HealthScope, Reference, Selection, Verdict};
use futures::executor::block_on;
use manifest::Object;
use serde_json::{Value, json};
use stage::Stage;

fn candidate(number: &str, strategy: &str, is_bad: bool) -> Candidate {
    let mut labels = json!({"app": "db"});
    if is_bad {
        labels["testbed/fail"] = "true".into();
    }
    let containers = json!([{"name": "c", "image": format!("i:{number}")}]);
    let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "namespace": "default"},
        "spec": {"replicas": 3, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}},
            "updateStrategy": {"type": strategy},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}}}});
    let objects = vec![Desired::new(Object::new(set).unwrap(), "unit")];
    Candidate { revision: number.into(), input: number.into(), objects, ..Candidate::default() }
}

fn set(stage: &Stage) -> Object {
    let at = Reference::new("apps/v1", "StatefulSet", "default", "db");
    block_on(stage.shared().get(&at)).unwrap().expect("is there")
}

/// What its controller and kubelets have come to: one pod of the failed revision is broken, one is well, one is old.
fn make_pods(stage: &Stage) {
    let live = set(stage);
    let (manager, dry_run) = ("controller".to_owned(), false);
    let owner = json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": live.uid()}]);
    let nobody = json!([]);
    let pods = [
        ("db-2", "db-new", "False", &owner),
        ("db-1", "db-new", "True", &owner),
        // The third template is the first again: so the set in memory names its revision.
        ("db-0", "db-3", "False", &owner),
        ("stranger", "db-new", "False", &nobody),
    ];
    for (name, revision, ready, owner) in pods {
        let labels = json!({"app": "db", "controller-revision-hash": revision});
        let mut value = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "labels": labels, "ownerReferences": owner},
            "spec": {"containers": [{"name": "c", "image": "i"}]}});
        let object = Object::new(value.clone()).unwrap();
        let call = Call::Create { object, manager: manager.clone(), dry_run, subresource: None };
        let made = block_on(stage.shared().write(call)).expect("is made");
        value = made.value().clone();
        value["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        value["status"] = json!({"conditions": [{"type": "Ready", "status": ready}]});
        let object = Object::new(value).unwrap();
        let subresource = Some(apply::cluster::Subresource::Status);
        let call = Call::Update { object, manager: manager.clone(), dry_run, subresource };
        block_on(stage.shared().write(call)).expect("is written");
    }
}

fn left(strategy: &str) -> Vec<String> {
    let stage = Stage::new(3);
    let behaviour = Behaviour { health: HealthScope::All, ..Behaviour::default() };
    block_on(stage.land_this(candidate("1", strategy, false), behaviour.clone())).expect("lands");
    make_pods(&stage);
    let outcome = block_on(stage.land_this(candidate("2", strategy, true), behaviour)).expect("is taken back");
    assert_eq!(outcome.verdict, Verdict::Undone, "{:?}", outcome.failures);
    let image = Value::from("i:1");
    assert_eq!(set(&stage).value().pointer("/spec/template/spec/containers/0/image"), Some(&image));
    let pods = block_on(stage.shared().list(&Selection::all("v1", "Pod").within("default"))).unwrap();
    let mut names: Vec<String> = pods.iter().map(|pod| pod.name().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn pods_that_the_failed_revision_has_broken_are_deleted_and_no_others() {
    assert_eq!(left("RollingUpdate"), ["db-0", "db-1", "stranger"]);
}

#[test]
fn pods_that_are_replaced_by_hand_stay() {
    assert_eq!(left("OnDelete"), ["db-0", "db-1", "db-2", "stranger"]);
}

//! `order: flux`: what nobody declares any more goes before health is awaited, and comes back when the landing does not.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "support/stage.rs"]
mod stage;

use apply::{Behaviour, Candidate, Desired, HealthScope, LandingScope, Order, Outcome, Verdict};
use futures::executor::block_on;
use manifest::Object;
use serde_json::{Value, json};
use stage::Stage;

fn behaviour(order: Order) -> Behaviour {
    let owner_labels = vec![("owner".to_owned(), "unit".to_owned())];
    Behaviour { prune: true, health: HealthScope::All, owner_labels, order, ..Behaviour::default() }
}

fn object(version: &str, kind: &str, name: &str, rest: Value) -> Value {
    let metadata = json!({"name": name, "namespace": "app", "labels": {"owner": "unit"}});
    let mut value = json!({"apiVersion": version, "kind": kind, "metadata": metadata});
    value.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    value
}

/// A Deployment with a host port that reads a ConfigMap of its own.
fn web(name: &str, labels: Value) -> Vec<Value> {
    let mut all = json!({"app": name});
    all.as_object_mut().unwrap().extend(labels.as_object().unwrap().clone());
    let container = json!({"name": "c", "image": "c", "ports": [{"containerPort": 8080, "hostPort": 80}],
        "envFrom": [{"configMapRef": {"name": name}}]});
    let spec = json!({"selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": all}, "spec": {"containers": [container]}}});
    vec![object("apps/v1", "Deployment", name, json!({"spec": spec})), object("v1", "ConfigMap", name, json!({}))]
}

fn candidate(number: &str, values: Vec<Value>) -> Candidate {
    let home =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "app", "labels": {"owner": "unit"}}});
    let all = [home].into_iter().chain(values);
    let objects = all.map(|value| Desired::new(Object::new(value).unwrap(), "unit")).collect();
    Candidate { revision: number.into(), input: number.into(), objects, ..Candidate::default() }
}

fn land(stage: &Stage, number: &str, values: Vec<Value>, order: Order) -> Outcome {
    block_on(stage.land_this(candidate(number, values), behaviour(order))).expect("lands or is undone")
}

/// Names of Deployments and ConfigMaps.
fn standing(stage: &Stage) -> Vec<String> {
    let picture = stage.picture();
    let keys = picture.as_object().unwrap().keys().cloned();
    keys.filter(|key| !key.contains("kube-root") && !key.starts_with("Namespace")).collect()
}

#[test]
fn a_workload_that_waits_for_a_port_of_its_predecessor_lands_in_flux_order_only_and_the_message_says_so() {
    let stage = Stage::new(5);
    land(&stage, "1", web("old", json!({})), Order::Landing);
    let before = standing(&stage);
    let successor = || web("new", json!({"testbed/rival": "old"}));
    let refused = land(&stage, "2", successor(), Order::Landing);
    assert_eq!((refused.verdict, standing(&stage)), (Verdict::Undone, before));
    let told = refused.failures[0].to_string();
    let hint = "Deployment/app/old has host port 80/TCP, and is deleted only when this is healthy \
        (lockstep.dev/order: flux deletes it first)";
    assert!(told.contains(hint), "{told}");
    let landed = land(&stage, "2", successor(), Order::Flux);
    assert_eq!(landed.verdict, Verdict::Landed, "{:?}", landed.failures);
    let pruned: Vec<_> = landed.pruned.iter().map(ToString::to_string).collect();
    assert_eq!(pruned, ["Deployment/app/old", "ConfigMap/app/old"]);
    assert_eq!(standing(&stage), ["ConfigMap new", "Deployment new"]);
    assert_eq!(stage.leftovers(), Vec::<String>::new());
}

#[test]
fn what_was_deleted_comes_back_when_its_successor_fails() {
    let stage = Stage::new(5);
    land(&stage, "1", web("old", json!({})), Order::Flux);
    let before = stage.picture();
    let undone = land(&stage, "2", web("new", json!({"testbed/fail": "true"})), Order::Flux);
    assert_eq!(undone.verdict, Verdict::Undone);
    assert_eq!(stage.picture(), before);
}

#[test]
fn a_parcel_that_fails_brings_back_its_own_alone() {
    let stage = Stage::new(5);
    let by_parcel = || Behaviour { scope: LandingScope::Parcel, ..behaviour(Order::Flux) };
    let shop = |label: Value, extra: &str| {
        let mut all = web("a", label);
        all[0]["spec"]["template"]["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"] = extra.into();
        all[1]["metadata"]["name"] = extra.into();
        all.extend([object("v1", "ConfigMap", &format!("alone-{extra}"), json!({}))]);
        all
    };
    let first = candidate("1", shop(json!({}), "one"));
    block_on(stage.land_this(first, by_parcel())).expect("lands");
    let second = candidate("2", shop(json!({"testbed/fail": "true"}), "two"));
    let outcome = block_on(stage.land_this(second, by_parcel())).expect("lands in part");
    assert_eq!(outcome.verdict, Verdict::Partly);
    assert_eq!(standing(&stage), ["ConfigMap alone-two", "ConfigMap one", "Deployment a"]);
}

#[test]
fn what_would_not_come_back_goes_after_health_in_any_order() {
    let stage = Stage::new(5);
    let claim = object(
        "v1",
        "PersistentVolumeClaim",
        "data",
        json!({"spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}}),
    );
    let pod = json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "c"}]});
    let job = object("batch/v1", "Job", "once", json!({"spec": {"template": {"spec": pod}}}));
    let all = web("old", json!({})).into_iter().chain([claim, job]).collect();
    land(&stage, "1", all, Order::Flux);
    let uid = |version: &str, kind: &str| stage.list(version, kind).first().map(|object| object.uid().to_owned());
    let kept = || (uid("v1", "PersistentVolumeClaim"), uid("batch/v1", "Job"));
    let before = kept();
    assert!(before.0.is_some() && before.1.is_some());
    let undone = land(&stage, "2", web("new", json!({"testbed/fail": "true"})), Order::Flux);
    assert_eq!((undone.verdict, kept()), (Verdict::Undone, before));
    land(&stage, "3", web("new", json!({})), Order::Flux);
    assert_eq!(kept(), (None, None));
}

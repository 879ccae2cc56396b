//! Objects that the server lets nobody change: made anew with `force` alone, and never what holds more than itself.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "support/stage.rs"]
mod stage;

use apply::fault::{Attempt, Fault};
use apply::{Action, Behaviour, Call, Candidate, ClusterError, Desired, HealthScope, Outcome, Reference, Verdict};
use futures::executor::block_on;
use manifest::Object;
use serde_json::{Value, json};
use stage::Stage;

fn object(version: &str, kind: &str, spec: Value) -> Value {
    let metadata = json!({"name": "x", "namespace": "default"});
    json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})
}

fn workload(kind: &str, app: &str, is_bad: bool) -> Value {
    let mut labels = json!({ "app": app });
    if is_bad {
        labels["testbed/fail"] = "true".into();
    }
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let spec = json!({"selector": {"matchLabels": {"app": app}}, "template": template});
    object("apps/v1", kind, spec)
}

fn land(stage: &Stage, number: &str, value: &Value, force: bool) -> Result<Outcome, String> {
    let wanted = Desired { force, ..Desired::new(Object::new(value.clone()).unwrap(), "unit") };
    let (revision, input, objects) = (number.to_owned(), number.to_owned(), vec![wanted]);
    let candidate = Candidate { revision, input, objects, ..Candidate::default() };
    block_on(stage.land_this(candidate, Behaviour { health: HealthScope::All, ..Behaviour::default() }))
}

fn live(stage: &Stage, value: &Value) -> Object {
    let at = Reference::of(&Object::new(value.clone()).unwrap());
    block_on(stage.shared().get(&at)).unwrap().expect("it is there")
}

#[test]
fn a_field_that_cannot_change_is_refused_without_force_and_makes_the_object_anew_with_it() {
    let stage = Stage::new(3);
    let (old, new) = (workload("Deployment", "old", false), workload("Deployment", "new", false));
    land(&stage, "1", &old, true).expect("it lands");
    let before = live(&stage, &old);
    let told = land(&stage, "2", &new, false).expect_err("it is refused");
    assert!(told.contains("spec.selector") && told.contains("field is immutable"), "{told}");
    assert_eq!(live(&stage, &old).resource_version(), before.resource_version());

    let outcome = land(&stage, "2", &new, true).expect("it lands");
    let changed: Vec<_> = outcome.changed().map(|(_, action)| action).collect();
    assert_eq!((outcome.verdict, changed), (Verdict::Landed, vec![Action::Replace]));
    let after = live(&stage, &new);
    assert_ne!(after.uid(), before.uid());
    assert_eq!(after.text("/spec/selector/matchLabels/app"), Some("new"));
}

#[test]
fn what_was_made_anew_and_fails_is_made_anew_as_it_was() {
    let stage = Stage::new(3);
    let old = workload("Deployment", "old", false);
    land(&stage, "1", &old, true).expect("it lands");
    let outcome = land(&stage, "2", &workload("Deployment", "new", true), true).expect("it is taken back");
    assert_eq!(outcome.verdict, Verdict::Undone, "{:?}", outcome.failures);
    assert_eq!(live(&stage, &old).text("/spec/selector/matchLabels/app"), Some("old"));
}

/// The dry run of the object itself is refused as the server refuses one whose fields cannot change; a copy of it is not.
fn refuses(attempt: &Attempt<'_>) -> Option<Fault> {
    let is_meant = matches!(attempt.call, Call::Apply { object, dry_run: true, .. } if object.name().starts_with('x'));
    let (id, message) = (None, "spec.frozen: Invalid value: field is immutable".to_owned());
    let refusal = ClusterError::Refused { id, message, fields: vec!["spec.frozen".into()] };
    is_meant.then_some(Fault::Before(refusal))
}

#[test]
fn what_holds_more_than_itself_is_never_made_anew() {
    let claim = |mode: &str| {
        let spec = json!({"accessModes": [mode], "resources": {"requests": {"storage": "1Gi"}}});
        object("v1", "PersistentVolumeClaim", spec)
    };
    let volume = |size: &str| {
        let spec = json!({"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}});
        json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "x"}, "spec": spec})
    };
    let definition = |plural: &str| {
        let version =
            json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}});
        let names = json!({"kind": "X", "plural": "x", "shortNames": [plural]});
        let spec = json!({"group": "io", "scope": "Namespaced", "names": names, "versions": [version]});
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "x.io"}, "spec": spec})
    };
    let namespace = |team: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x", "labels": {"team": team}}});
    let service = |port: u32| object("v1", "Service", json!({"ports": [{"port": port}]}));
    let cases = [
        (claim("ReadWriteOnce"), claim("ReadWriteMany"), false),
        (volume("1Gi"), volume("2Gi"), false),
        (definition("a"), definition("b"), false),
        (namespace("a"), namespace("b"), false),
        // The same refusal of another kind is a reason to make it anew.
        (service(80), service(81), true),
    ];
    for (old, new, is_replaced) in cases {
        let stage = Stage::new(3);
        land(&stage, "1", &old, true).expect("it lands");
        let before = live(&stage, &old);
        stage.cluster.restart(Box::new(refuses));
        match land(&stage, "2", &new, true) {
            // In the end the server takes it as it is.
            Ok(outcome) => {
                let actions: Vec<_> = outcome.changed().map(|(_, action)| action).collect();
                assert!(is_replaced && actions == [Action::Replace], "{}: {actions:?}", before.id());
            }
            Err(told) => assert!(!is_replaced && told.contains("immutable"), "{}: {told}", before.id()),
        }
        let after = live(&stage, &old);
        assert_eq!((after.uid(), after.is_terminating()), (before.uid(), false), "{}", before.id());
    }
}

#[test]
fn the_pods_of_a_set_that_is_made_anew_stay() {
    let stage = Stage::new(3);
    let set = |service: &str| {
        let mut set = workload("StatefulSet", "x", false);
        set["spec"]["serviceName"] = service.into();
        set
    };
    land(&stage, "1", &set("old"), true).expect("it lands");
    let before = live(&stage, &set("old"));
    let owner =
        json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "x", "uid": before.uid(), "controller": true}]);
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "x-0", "namespace": "default", "labels": {"app": "x"}, "ownerReferences": owner},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let (made, manager) = (Object::new(pod.clone()).unwrap(), "controller".to_owned());
    let call = Call::Create { object: made, manager, dry_run: false, subresource: None };
    let made = block_on(stage.shared().write(call)).expect("it is made");
    land(&stage, "2", &set("new"), true).expect("it lands");
    let after = live(&stage, &set("new"));
    assert_ne!(after.uid(), before.uid());
    assert_eq!(after.text("/spec/serviceName"), Some("new"));
    let stays = live(&stage, &pod);
    assert_eq!((stays.uid(), stays.is_terminating()), (made.uid(), false));
}

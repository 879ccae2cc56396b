//! The cluster in memory, by behaviour. Expected words and fields are those of kube-apiserver 1.36.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what fails here stops the test")]

use std::sync::Arc;

use apply::cluster::{PatchKind, Propagation, Subresource};
use apply::fault::{self, Fault, FaultyCluster};
use apply::memory::{MemoryCluster, Settings, Simulation};
use apply::{Answer, Call, Cluster, ClusterError, Reference, Scope, Selection, WatchEvent};
use futures::StreamExt as _;
use futures::executor::block_on;
use jiff::SignedDuration;
use manifest::{Gvk, Object};
use serde_json::{Value, json};

struct Bench {
    memory: MemoryCluster,
}

fn bench() -> Bench {
    Bench { memory: MemoryCluster::new(Settings::default()) }
}

fn slow() -> Bench {
    Bench { memory: MemoryCluster::new(Settings { simulation: Some(Simulation { steps: 2 }), ..Settings::default() }) }
}

impl Bench {
    fn send(&self, call: Call) -> Result<Answer, ClusterError> {
        block_on(self.memory.call(call))
    }

    fn object(&self, call: Call) -> Result<Value, ClusterError> {
        match self.send(call)? {
            Answer::Object(Some(object)) => Ok(object.into_value()),
            other => panic!("expected an object, got {other:?}"),
        }
    }

    fn apply(&self, manager: &str, value: Value) -> Result<Value, ClusterError> {
        self.object(apply(manager, value, false))
    }

    fn create(&self, value: Value) -> Result<Value, ClusterError> {
        self.object(create(value))
    }

    fn merge(&self, at: &Reference, patch: Value) -> Result<Value, ClusterError> {
        self.object(Call::Patch {
            at: at.clone(),
            kind: PatchKind::Merge,
            patch,
            manager: "editor".into(),
            dry_run: false,
            subresource: None,
        })
    }

    fn get(&self, at: &Reference) -> Option<Value> {
        match self.send(Call::Get(at.clone())).unwrap() {
            Answer::Object(object) => object.map(Object::into_value),
            other => panic!("expected an object, got {other:?}"),
        }
    }

    fn delete(&self, at: &Reference, propagation: Propagation) -> Result<Answer, ClusterError> {
        self.send(Call::Delete { at: at.clone(), uid: None, resource_version: None, propagation, dry_run: false })
    }

    fn owner(&self, at: &Reference, manager: &str) -> Value {
        let object = self.get(at).unwrap();
        let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
        entries
            .into_iter()
            .find(|entry| entry["manager"] == manager)
            .map_or(Value::Null, |mut entry| entry["fieldsV1"].take())
    }
}

fn object(value: Value) -> Object {
    Object::new(value).unwrap()
}

fn apply(manager: &str, value: Value, force: bool) -> Call {
    Call::Apply { object: object(value), manager: manager.into(), force, dry_run: false, subresource: None }
}

fn create(value: Value) -> Call {
    Call::Create { object: object(value), manager: "maker".into(), dry_run: false, subresource: None }
}

fn config(name: &str, data: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "namespace": "default" }, "data": data })
}

fn config_at(name: &str) -> Reference {
    Reference::new("v1", "ConfigMap", "default", name)
}

fn deployment(name: &str, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name, "namespace": "default" },
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "main", "image": image }] },
            },
        },
    })
}

fn deployment_at(name: &str) -> Reference {
    Reference::new("apps/v1", "Deployment", "default", name)
}

#[test]
fn an_applied_object_has_identity_revision_and_its_managers_fields() {
    let bench = bench();
    let made = bench.apply("kustomize-controller", config("a", json!({ "x": "1" }))).unwrap();
    assert_eq!(made["metadata"]["uid"].as_str().unwrap().len(), 36);
    assert_eq!(made["metadata"]["creationTimestamp"], "2026-01-01T00:00:00Z");
    assert!(made["metadata"].get("generation").is_none(), "a ConfigMap has no generation");
    let expected = json!([{
        "manager": "kustomize-controller", "operation": "Apply", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1", "fieldsV1": { "f:data": { "f:x": {} } },
    }]);
    assert_eq!(made["metadata"]["managedFields"], expected);
}

#[test]
fn applying_the_same_again_changes_nothing() {
    let bench = bench();
    let first = bench.apply("m", config("a", json!({ "x": "1" }))).unwrap();
    let again = bench.apply("m", config("a", json!({ "x": "1" }))).unwrap();
    assert_eq!(first, again);
}

#[test]
fn a_field_that_is_applied_no_more_goes_unless_somebody_else_owns_it() {
    let bench = bench();
    bench.apply("one", config("a", json!({ "x": "1", "y": "2", "z": "3" }))).unwrap();
    bench.apply("two", config("a", json!({ "y": "2" }))).unwrap();
    let left = bench.apply("one", config("a", json!({ "z": "3" }))).unwrap();
    assert_eq!(left["data"], json!({ "y": "2", "z": "3" }));
    assert_eq!(bench.owner(&config_at("a"), "two"), json!({ "f:data": { "f:y": {} } }));
}

#[test]
fn a_conflict_names_fields_and_managers_in_the_servers_words() {
    let bench = bench();
    bench.apply("one", config("a", json!({ "x": "1", "y": "2" }))).unwrap();
    let error = bench.apply("two", config("a", json!({ "x": "2" }))).unwrap_err();
    let ClusterError::Conflict { message, .. } = error else { panic!("{error}") };
    assert_eq!(message, "Apply failed with 1 conflict: conflict with \"one\": .data.x");
    bench.merge(&config_at("a"), json!({ "data": { "y": "3" } })).unwrap();
    let error = bench.apply("two", config("a", json!({ "x": "2", "y": "2" }))).unwrap_err();
    let ClusterError::Conflict { message, .. } = error else { panic!("{error}") };
    assert_eq!(
        message,
        "Apply failed with 2 conflicts: conflicts with \"editor\" using v1:\n- .data.y\nconflicts with \"one\":\n- .data.x"
    );
    let forced = bench.object(apply("two", config("a", json!({ "x": "2" })), true)).unwrap();
    assert_eq!(forced["data"]["x"], "2");
    assert_eq!(bench.owner(&config_at("a"), "one"), Value::Null);
}

#[test]
fn list_items_merge_by_their_keys() {
    let bench = bench();
    let mut with_env = deployment("web", "a:1");
    with_env["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{ "name": "A", "value": "1" }]);
    with_env["spec"]["template"]["spec"]["containers"][0]["ports"] = json!([{ "containerPort": 80 }]);
    bench.apply("one", with_env).unwrap();
    let other = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web", "namespace": "default" },
        "spec": { "template": { "spec": { "containers": [
            { "name": "main", "env": [{ "name": "B", "value": "2" }] }, { "name": "side", "image": "b:1" },
        ] } } },
    });
    let merged = bench.apply("two", other).unwrap();
    let containers = &merged["spec"]["template"]["spec"]["containers"];
    assert_eq!(containers[0]["env"], json!([{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }]));
    assert_eq!(containers[1]["name"], "side");
    let owned = bench.owner(&deployment_at("web"), "one");
    let main = &owned["f:spec"]["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"main\"}"];
    assert_eq!(
        main["f:ports"]["k:{\"containerPort\":80,\"protocol\":\"TCP\"}"],
        json!({ ".": {}, "f:containerPort": {} })
    );
    let left = bench.apply("one", deployment("web", "a:1")).unwrap();
    assert_eq!(left["spec"]["template"]["spec"]["containers"][0]["env"], json!([{ "name": "B", "value": "2" }]));
}

#[test]
fn an_object_without_managers_belongs_to_before_first_apply() {
    let bench = bench();
    bench.create(config("a", json!({ "x": "1" }))).unwrap();
    bench.merge(&config_at("a"), json!({ "metadata": { "managedFields": [{}] } })).unwrap();
    let error = bench.apply("one", config("a", json!({ "x": "2" }))).unwrap_err();
    assert!(error.to_string().contains("conflict with \"before-first-apply\" using v1: .data.x"), "{error}");
}

#[test]
fn a_dry_run_answers_as_the_write_would_and_changes_nothing() {
    let bench = bench();
    let call = |dry_run| Call::Apply {
        object: object(config("a", json!({ "x": "1" }))),
        manager: "m".into(),
        force: true,
        dry_run,
        subresource: None,
    };
    let tried = bench.object(call(true)).unwrap();
    assert_eq!(tried["data"], json!({ "x": "1" }));
    assert!(bench.get(&config_at("a")).is_none());
    bench.object(call(false)).unwrap();
}

#[test]
fn a_stale_resource_version_is_a_conflict() {
    let bench = bench();
    let first = bench.create(config("a", json!({ "x": "1" }))).unwrap();
    bench.merge(&config_at("a"), json!({ "data": { "x": "2" } })).unwrap();
    let stale = Call::Update { object: object(first), manager: "m".into(), dry_run: false, subresource: None };
    let error = bench.send(stale).unwrap_err();
    assert_eq!(
        error.to_string(),
        "ConfigMap/default/a conflict: Operation cannot be fulfilled on configmaps \"a\": the object has been modified; \
         please apply your changes to the latest version and try again"
    );
}

#[test]
fn a_missing_namespace_is_not_found_and_a_terminating_one_refuses() {
    let bench = bench();
    let mut stray = config("a", json!({}));
    stray["metadata"]["namespace"] = json!("nowhere");
    let error = bench.create(stray).unwrap_err();
    assert!(matches!(&error, ClusterError::NotFound { message, .. } if message == "namespaces \"nowhere\" not found"));
    let mut held = config("a", json!({}));
    held["metadata"]["finalizers"] = json!(["test/hold"]);
    bench.create(held).unwrap();
    let namespace = Reference::new("v1", "Namespace", "", "default");
    bench.delete(&namespace, Propagation::Background).unwrap();
    let error = bench.create(config("b", json!({}))).unwrap_err();
    assert!(matches!(&error, ClusterError::Forbidden { message, .. }
        if message.ends_with("unable to create new content in namespace default because it is being terminated")));
    bench.merge(&config_at("a"), json!({ "metadata": { "finalizers": null } })).unwrap();
    assert!(bench.get(&namespace).is_none());
}

#[test]
fn dependents_go_with_their_last_owner() {
    let bench = bench();
    let owner = bench.create(config("owner", json!({}))).unwrap();
    let mut owned = config("owned", json!({}));
    owned["metadata"]["ownerReferences"] =
        json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"] }]);
    bench.create(owned.clone()).unwrap();
    bench.delete(&config_at("owner"), Propagation::Orphan).unwrap();
    let left = bench.get(&config_at("owned")).unwrap();
    assert!(left["metadata"].get("ownerReferences").is_none());
    let owner = bench.create(config("owner", json!({}))).unwrap();
    let reference =
        json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"] }]);
    bench.merge(&config_at("owned"), json!({ "metadata": { "ownerReferences": reference } })).unwrap();
    bench.delete(&config_at("owner"), Propagation::Foreground).unwrap();
    assert!(bench.get(&config_at("owned")).is_none() && bench.get(&config_at("owner")).is_none());
    owned["metadata"]["ownerReferences"][0]["uid"] = json!("of nobody");
    bench.create(owned).unwrap();
    assert!(bench.get(&config_at("owned")).is_none(), "an owner that is not there owns nothing for long");
}

#[test]
fn a_finalizer_holds_an_object_until_it_is_taken_away() {
    let bench = bench();
    let mut held = config("a", json!({}));
    held["metadata"]["finalizers"] = json!(["test/hold"]);
    bench.create(held).unwrap();
    let answer = bench.delete(&config_at("a"), Propagation::Background).unwrap();
    assert!(matches!(answer, Answer::Object(Some(object)) if object.is_terminating()));
    let error = bench.merge(&config_at("a"), json!({ "metadata": { "finalizers": ["test/hold", "test/more"] } }));
    assert!(matches!(error, Err(ClusterError::Refused { fields, .. }) if fields == ["metadata.finalizers"]));
    bench.merge(&config_at("a"), json!({ "metadata": { "finalizers": [] } })).unwrap();
    assert!(bench.get(&config_at("a")).is_none());
}

fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "widgets.example.com" },
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": { "kind": "Widget", "plural": "widgets" },
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": { "type": "object", "properties": {
                    "spec": { "type": "object", "required": ["size"], "properties": {
                        "size": { "type": "string", "enum": ["small", "large"] },
                        "interval": { "type": "string", "pattern": "^[0-9]+s$" },
                        "count": { "type": "integer", "default": 3, "minimum": 1 },
                        "parts": {
                            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"],
                            "items": { "type": "object", "properties": { "id": { "type": "string" }, "n": { "type": "integer" } } },
                        },
                    } },
                    "status": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
                } } },
            }],
        },
    })
}

fn widget(spec: Value) -> Value {
    json!({ "apiVersion": "example.com/v1", "kind": "Widget", "metadata": { "name": "w", "namespace": "default" }, "spec": spec })
}

#[test]
fn a_definition_makes_a_kind_served_and_discovery_makes_it_known() {
    let bench = bench();
    let gvk = Gvk::new("example.com/v1", "Widget");
    let scope = || match bench.send(Call::Scope(gvk.clone())).unwrap() {
        Answer::Scope(scope) => scope,
        other => panic!("{other:?}"),
    };
    assert!(matches!(bench.create(widget(json!({ "size": "small" }))), Err(ClusterError::NoKind { .. })));
    bench.apply("m", definition()).unwrap();
    assert_eq!(scope(), None);
    bench.send(Call::Discover).unwrap();
    assert_eq!(scope(), Some(Scope::Namespaced));
    let made = bench.apply("m", widget(json!({ "size": "small" }))).unwrap();
    assert_eq!(made["spec"]["count"], 3, "defaults of the schema are filled in");
    assert_eq!(made["metadata"]["generation"], 1);
    let at = Reference::new("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "widgets.example.com");
    assert_eq!(bench.get(&at).unwrap()["status"]["conditions"][1]["type"], "Established");
    bench.delete(&at, Propagation::Background).unwrap();
    assert!(bench.get(&at).is_none());
    assert!(matches!(bench.create(widget(json!({ "size": "small" }))), Err(ClusterError::NoKind { .. })));
}

#[test]
fn a_custom_resource_is_held_against_its_schema() {
    let bench = bench();
    bench.apply("m", definition()).unwrap();
    let refused = |spec: Value| match bench.create(widget(spec)) {
        Err(ClusterError::Refused { message, .. }) => message,
        other => panic!("{other:?}"),
    };
    let title = "Widget.example.com \"w\" is invalid: ";
    assert_eq!(refused(json!({})), format!("{title}spec.size: Required value"));
    assert_eq!(
        refused(json!({ "size": "huge", "interval": "5m" })),
        format!(
            "{title}[spec.interval: Invalid value: \"5m\": spec.interval in body should match '^[0-9]+s$', \
             spec.size: Unsupported value: \"huge\": supported values: \"small\", \"large\"]"
        )
    );
    assert_eq!(
        refused(json!({ "size": "small", "count": "x" })),
        format!("{title}spec.count: Invalid value: \"string\": spec.count in body must be of type integer: \"string\"")
    );
    let made = bench.create(widget(json!({ "size": "small", "colour": "red" }))).unwrap();
    assert!(made["spec"].get("colour").is_none(), "unknown fields are dropped");
    let error = bench.apply("m", widget(json!({ "size": "small", "colour": "red" }))).unwrap_err();
    assert!(error.to_string().ends_with("Kind=Widget): .spec.colour: field not declared in schema"), "{error}");
}

#[test]
fn status_and_the_rest_are_written_apart() {
    let bench = bench();
    bench.apply("m", definition()).unwrap();
    let mut given = widget(json!({ "size": "small" }));
    given["status"] = json!({ "phase": "Made" });
    assert!(bench.create(given).unwrap().get("status").is_none());
    let mut given = widget(json!({ "size": "large" }));
    given["status"] = json!({ "phase": "Ready" });
    let status = Call::Apply {
        object: object(given),
        manager: "controller".into(),
        force: true,
        dry_run: false,
        subresource: Some(Subresource::Status),
    };
    let written = bench.object(status).unwrap();
    assert_eq!((&written["spec"]["size"], &written["status"]["phase"]), (&json!("small"), &json!("Ready")));
    assert_eq!(written["metadata"]["generation"], 1);
    let at = Reference::new("example.com/v1", "Widget", "default", "w");
    assert_eq!(bench.owner(&at, "controller"), json!({ "f:status": { "f:phase": {} } }));
    let changed = bench.merge(&at, json!({ "spec": { "size": "large" }, "status": null })).unwrap();
    assert_eq!((&changed["metadata"]["generation"], &changed["status"]["phase"]), (&json!(2), &json!("Ready")));
}

#[test]
fn immutable_fields_are_refused_in_the_servers_words() {
    let bench = bench();
    bench.apply("m", deployment("web", "a:1")).unwrap();
    let mut other = deployment("web", "a:1");
    other["spec"]["selector"]["matchLabels"] = json!({ "app": "web", "tier": "x" });
    other["spec"]["template"]["metadata"]["labels"] = json!({ "app": "web", "tier": "x" });
    let error = bench.apply("m", other).unwrap_err();
    assert!(error.to_string().ends_with("field is immutable"), "{error}");
    let mut sealed = config("sealed", json!({ "x": "1" }));
    sealed["immutable"] = json!(true);
    bench.apply("m", sealed.clone()).unwrap();
    sealed["data"]["x"] = json!("2");
    let error = bench.apply("m", sealed).unwrap_err();
    assert!(error.to_string().ends_with("data: Forbidden: field is immutable when `immutable` is set"), "{error}");
}

#[test]
fn a_secret_that_cannot_be_decoded_is_refused_without_its_bytes() {
    let bench = bench();
    let secret = |data: Value| json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s", "namespace": "default" }, "data": data });
    let error = bench.create(secret(json!({ "password": "hunter2!" }))).unwrap_err();
    assert!(error.to_string().contains("illegal base64 data at input byte 7"), "{error}");
    assert!(!error.to_string().contains("hunter2"));
    let mut plain = secret(json!({}));
    plain["stringData"] = json!({ "password": "x" });
    let made = bench.create(plain).unwrap();
    assert_eq!((&made["data"]["password"], &made["type"]), (&json!("eA=="), &json!("Opaque")));
}

#[test]
fn a_watch_begins_with_everything_and_tells_every_change() {
    let bench = bench();
    bench.create(config("a", json!({ "x": "1" }))).unwrap();
    let mut events = bench.memory.watch(Selection::all("v1", "ConfigMap").within("default").labelled("keep!=no"));
    let mut next = || block_on(events.next()).unwrap().unwrap();
    assert!(matches!(next(), WatchEvent::Reset(all) if all.len() == 1));
    bench.create(config("b", json!({}))).unwrap();
    assert!(matches!(next(), WatchEvent::Applied(object) if object.name() == "b"));
    bench.merge(&config_at("b"), json!({ "metadata": { "labels": { "keep": "no" } } })).unwrap();
    assert!(matches!(next(), WatchEvent::Deleted(object) if object.name() == "b"));
    bench.delete(&config_at("a"), Propagation::Background).unwrap();
    assert!(matches!(next(), WatchEvent::Deleted(object) if object.name() == "a"));
}

#[test]
fn a_watch_that_falls_behind_starts_anew() {
    let bench = bench();
    let mut events = bench.memory.watch(Selection::all("v1", "ConfigMap"));
    block_on(events.next()).unwrap().unwrap();
    bench.create(config("a", json!({}))).unwrap();
    for count in 0..5000 {
        bench.merge(&config_at("a"), json!({ "data": { "x": count.to_string() } })).unwrap();
    }
    assert!(matches!(block_on(events.next()).unwrap().unwrap(), WatchEvent::Reset(all) if all.len() == 1));
}

#[test]
fn a_deployment_becomes_ready_after_its_steps() {
    let bench = slow();
    bench.apply("m", deployment("web", "a:1")).unwrap();
    let ready = || bench.get(&deployment_at("web")).unwrap()["status"]["readyReplicas"] == 2;
    assert!(!ready());
    bench.memory.advance(SignedDuration::from_secs(1));
    assert!(!ready());
    bench.memory.advance(SignedDuration::from_secs(1));
    assert!(ready());
    assert_eq!(bench.get(&deployment_at("web")).unwrap()["status"]["observedGeneration"], 1);
}

#[test]
fn a_failing_template_ends_in_progress_deadline_exceeded_and_recovers() {
    let bench = bench();
    let mut failing = deployment("web", "a:1");
    failing["spec"]["template"]["metadata"]["labels"]["testbed/fail"] = json!("true");
    failing["spec"]["progressDeadlineSeconds"] = json!(60);
    bench.apply("m", failing).unwrap();
    let progressing = || bench.get(&deployment_at("web")).unwrap()["status"]["conditions"][1]["reason"].clone();
    assert_eq!(progressing(), "ReplicaSetUpdated");
    bench.memory.advance(SignedDuration::from_secs(61));
    assert_eq!(progressing(), "ProgressDeadlineExceeded");
    bench.apply("m", deployment("web", "a:1")).unwrap();
    assert_eq!(progressing(), "NewReplicaSetAvailable");
}

#[test]
fn a_workload_waits_for_the_secret_that_it_reads() {
    let bench = bench();
    let mut reading = deployment("web", "a:1");
    reading["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!([{ "secretRef": { "name": "s" } }]);
    bench.apply("m", reading).unwrap();
    let ready = || bench.get(&deployment_at("web")).unwrap()["status"]["readyReplicas"] == 2;
    assert!(!ready());
    bench
        .create(json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s", "namespace": "default" } }))
        .unwrap();
    assert!(ready());
}

#[test]
fn a_snapshot_brings_everything_back() {
    let bench = bench();
    bench.apply("m", definition()).unwrap();
    bench.apply("m", widget(json!({ "size": "small" }))).unwrap();
    let snapshot = bench.memory.snapshot();
    let other = self::bench();
    other.memory.restore(&snapshot).unwrap();
    assert_eq!(other.memory.snapshot(), snapshot);
    let changed = other.apply("m", widget(json!({ "size": "large" }))).unwrap();
    assert_eq!(changed["metadata"]["generation"], 2);
    assert!(other.memory.restore(&json!({})).is_err());
}

#[test]
fn a_token_names_its_service_account() {
    let bench = bench();
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "metadata": { "name": "robot", "namespace": "default" }, "spec": { "audiences": ["vault"], "expirationSeconds": 600 },
    });
    let call = || Call::Create {
        object: object(request.clone()),
        manager: "m".into(),
        dry_run: false,
        subresource: Some(Subresource::Token),
    };
    assert!(matches!(bench.send(call()), Err(ClusterError::NotFound { .. })));
    bench
        .create(json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "robot", "namespace": "default" } }))
        .unwrap();
    let answer = bench.object(call()).unwrap();
    assert_eq!(answer["status"]["expirationTimestamp"], "2026-01-01T00:10:00Z");
    assert_eq!(answer["status"]["token"].as_str().unwrap().split('.').count(), 3);
}

#[test]
fn a_fault_strikes_where_the_plan_says() {
    let bench = bench();
    let faulty = FaultyCluster::new(Arc::new(bench.memory.clone()), fault::at_write(2, Fault::After));
    let send = |name: &str| block_on(faulty.call(create(config(name, json!({})))));
    send("a").unwrap();
    assert!(matches!(send("b"), Err(ClusterError::Unknown { .. })));
    assert!(bench.get(&config_at("b")).is_some(), "it was done all the same");
    faulty.restart(fault::at_call(1, Fault::CrashBefore));
    let crashed = block_on(faulty.until_crash(async { faulty.call(create(config("c", json!({})))).await.is_ok() }));
    assert_eq!(crashed, None);
    assert!(matches!(send("d"), Err(error) if fault::is_crash(&error)));
    faulty.restart(fault::none());
    send("c").unwrap();
    assert_eq!((faulty.calls(), faulty.writes()), (1, 1));
}

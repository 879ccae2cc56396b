//! `lockstep.dev/versions: immutable`: each version of a Secret beside it, and workloads that read exactly one.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "support/stage.rs"]
mod stage;

use std::sync::Arc;

use apply::cluster::Propagation;
use apply::desired::Policy;
use apply::fault::{self, Attempt, Fault};
use apply::versions::{SWITCH, VERSION_OF};
use apply::{Behaviour, Call, Candidate, Cluster, ClusterError, Declarer, Desired, LandingScope, Outcome, Verdict};
use apply::{HealthScope, Reference};
use futures::executor::block_on;
use manifest::Object;
use serde_json::{Value, json};
use stage::Stage;

fn behaviour() -> Behaviour {
    let owner_labels = vec![("owner".to_owned(), "unit".to_owned())];
    Behaviour { prune: true, is_versioned: true, owner_labels, ..Behaviour::default() }
}

fn object(version: &str, kind: &str, name: &str, rest: Value) -> Value {
    let metadata = json!({"name": name, "namespace": "app", "labels": {"owner": "unit"}});
    let mut value = json!({"apiVersion": version, "kind": kind, "metadata": metadata});
    value.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    value
}

fn secret(name: &str, password: &str) -> Value {
    object("v1", "Secret", name, json!({"type": "Opaque", "stringData": {"password": password}}))
}

/// A workload that reads all of some Secrets.
fn workload(kind: &str, name: &str, secrets: &[&str]) -> Value {
    let sources: Vec<Value> = secrets.iter().map(|name| json!({"secretRef": {"name": name}})).collect();
    let template = json!({"metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": "c", "envFrom": sources}]}});
    let mut spec = json!({"selector": {"matchLabels": {"app": name}}, "template": template});
    if kind == "StatefulSet" {
        spec["serviceName"] = name.into();
    }
    object("apps/v1", kind, name, json!({ "spec": spec }))
}

fn candidate(values: Vec<Value>) -> Candidate {
    let home =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "app", "labels": {"owner": "unit"}}});
    let all = [home].into_iter().chain(values);
    let objects = all.map(|value| Desired::new(Object::new(value).unwrap(), "unit")).collect();
    Candidate { revision: "r".into(), input: "i".into(), objects, ..Candidate::default() }
}

fn land_as(stage: &Stage, behaviour: Behaviour, values: Vec<Value>) -> Outcome {
    block_on(stage.land_this(candidate(values), behaviour)).expect("lands or is undone")
}

fn land(stage: &Stage, values: Vec<Value>) -> Outcome {
    land_as(stage, behaviour(), values)
}

/// `web` that reads `db`.
fn web(password: &str) -> Vec<Value> {
    vec![secret("db", password), workload("Deployment", "web", &["db"])]
}

/// Names of the versions that are there.
fn versions(stage: &Stage) -> Vec<String> {
    let all = stage.list("v1", "Secret");
    all.iter().filter(|o| o.annotation(VERSION_OF).is_some()).map(|o| o.name().to_owned()).collect()
}

/// The Secret that a workload reads.
fn read_by(stage: &Stage, kind: &str, name: &str) -> String {
    let found = stage.list("apps/v1", kind).into_iter().find(|o| o.name() == name).expect("it is there");
    found.text("/spec/template/spec/containers/0/envFrom/0/secretRef/name").expect("it reads one").to_owned()
}

fn bytes(stage: &Stage, name: &str) -> String {
    let found = stage.list("v1", "Secret").into_iter().find(|o| o.name() == name).expect("it is there");
    found.text("/data/password").expect("it has a password").to_owned()
}

fn memory(stage: &Stage) -> Arc<dyn Cluster> {
    Arc::new(stage.memory())
}

/// What a rollout could go back to.
fn replica_set(stage: &Stage, name: &str, secret: &str) {
    let mut value = workload("ReplicaSet", name, &[secret]);
    value["spec"]["replicas"] = 0.into();
    let (object, manager) = (Object::new(value).unwrap(), "controller".to_owned());
    let call = Call::Create { object, manager, dry_run: false, subresource: None };
    block_on(memory(stage).call(call)).expect("is made");
}

fn delete(stage: &Stage, kind: &str, name: &str) {
    let at = Reference::new("apps/v1", kind, "app", name);
    let propagation = Propagation::Background;
    let call = Call::Delete { at, uid: None, resource_version: None, propagation, dry_run: false };
    block_on(memory(stage).call(call)).expect("is deleted");
}

#[test]
fn each_version_is_an_immutable_secret_that_workloads_read_and_the_plain_name_is_an_alias() {
    let stage = Stage::new(1);
    let first = land(&stage, web("one"));
    assert_eq!(first.verdict, Verdict::Landed, "{:?}", first.failures);
    let version = read_by(&stage, "Deployment", "web");
    assert_eq!(versions(&stage), [version.as_str()]);
    assert!(version.starts_with("db-") && bytes(&stage, &version) == bytes(&stage, "db"), "{version}");
    let picture = stage.picture();
    let live = &picture[format!("Secret {version}")];
    assert_eq!((&live["immutable"], &live["metadata"]["labels"]["owner"]), (&json!(true), &json!("unit")));
    assert_eq!(picture["Secret db"].get("immutable"), None);

    let second = land(&stage, web("two"));
    assert_eq!(second.verdict, Verdict::Landed, "{:?}", second.failures);
    let next = read_by(&stage, "Deployment", "web");
    assert_ne!(next, version);
    assert_eq!(bytes(&stage, &next), bytes(&stage, "db"));
    assert_eq!(versions(&stage), [next], "nobody can go back to the first");
    let template = &stage.picture()["Deployment web"]["spec"]["template"];
    assert_eq!(template["metadata"].get("annotations"), None, "the new name rolls it out, and no stamp is needed");
    assert_eq!(stage.healthy.lock().unwrap().len(), 1, "its pods are replaced, so it is awaited");
}

#[test]
fn the_same_again_writes_nothing_and_the_same_bytes_again_are_the_same_version() {
    let stage = Stage::new(1);
    land(&stage, web("one"));
    let (first, written) = (read_by(&stage, "Deployment", "web"), stage.versions());
    assert_eq!(land(&stage, web("one")).changed().count(), 0);
    assert_eq!(stage.versions(), written);
    land(&stage, web("two"));
    assert_ne!(read_by(&stage, "Deployment", "web"), first);
    land(&stage, web("one"));
    assert_eq!(read_by(&stage, "Deployment", "web"), first);
}

#[test]
fn equal_bytes_of_two_secrets_cannot_be_told_from_the_names_of_their_versions() {
    let stage = Stage::new(1);
    land(&stage, vec![secret("a", "same"), secret("b", "same"), workload("Deployment", "web", &["a", "b"])]);
    let hashes: Vec<_> = versions(&stage).iter().map(|name| name[2..].to_owned()).collect();
    assert_eq!(hashes.len(), 2);
    assert_ne!(hashes[0], hashes[1]);
}

#[test]
fn a_version_stays_while_a_replica_set_can_go_back_to_it_and_goes_with_a_later_landing() {
    let stage = Stage::new(1);
    land(&stage, web("one"));
    let first = read_by(&stage, "Deployment", "web");
    replica_set(&stage, "web-1", &first);
    let second = land(&stage, web("two"));
    assert_eq!(second.verdict, Verdict::Landed);
    let retired: Vec<_> = second.landing.retired.iter().map(|stale| stale.reference.name.clone()).collect();
    assert_eq!(retired, [first.as_str()], "the inventory lists it");
    assert!(versions(&stage).contains(&first));
    // At rest it is no reason to write.
    let prepared = block_on(stage.prepare(candidate(web("two")), behaviour())).expect("is accepted");
    assert!(prepared.landing().is_empty());
    let cluster = memory(&stage);
    assert!(!block_on(apply::versions::may_go(prepared.landing(), &cluster)));
    delete(&stage, "ReplicaSet", "web-1");
    assert!(block_on(apply::versions::may_go(prepared.landing(), &cluster)));
    let prepared = block_on(stage.prepare(candidate(web("two")), behaviour())).expect("is accepted");
    assert!(!prepared.landing().is_empty());
    let third = block_on(stage.commit(prepared)).expect("lands");
    assert_eq!(third.pruned.iter().map(|id| id.name.clone()).collect::<Vec<_>>(), [first]);
    assert_eq!(versions(&stage), [read_by(&stage, "Deployment", "web")]);
    assert!(third.landing.retired.is_empty());
    let again = block_on(stage.prepare(candidate(web("two")), behaviour())).expect("is accepted");
    assert!(again.landing().is_empty());
}

#[test]
fn doubt_keeps_old_versions() {
    let stage = Stage::new(1);
    land(&stage, web("one"));
    let first = read_by(&stage, "Deployment", "web");
    for kind in ["ReplicaSet", "ControllerRevision", "Pod", "Secret"] {
        let fails = move |attempt: &Attempt<'_>| match attempt.call {
            Call::List(selection) if selection.gvk.kind == kind && selection.namespace.as_deref() == Some("app") => {
                let message = "not you".to_owned();
                Some(Fault::Before(ClusterError::Forbidden { id: None, message }))
            }
            _ => None,
        };
        stage.cluster.restart(Box::new(fails));
        let outcome = land(&stage, web(kind));
        assert_eq!((outcome.verdict, outcome.failures.len()), (Verdict::Landed, 0), "{kind}");
        assert!(versions(&stage).contains(&first), "{kind}");
    }
    stage.cluster.restart(fault::none());
    land(&stage, web("last"));
    assert_eq!(versions(&stage), [read_by(&stage, "Deployment", "web")]);
}

#[test]
fn a_record_of_helm_that_names_a_version_keeps_it_and_so_does_one_that_cannot_be_read() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use std::io::Write as _;
    let record = |bytes: &[u8]| {
        let value = object(
            "v1",
            "Secret",
            "sh.helm.release.v1.x.v1",
            json!({"type": "helm.sh/release.v1",
            "data": {"release": STANDARD.encode(STANDARD.encode(bytes))}}),
        );
        let mut object = Object::new(value).unwrap();
        object.set_label("owner", "helm");
        object
    };
    let packed = |text: &str| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(text.as_bytes()).unwrap();
        packer.finish().unwrap()
    };
    let stage = Stage::new(1);
    land(&stage, web("one"));
    let first = read_by(&stage, "Deployment", "web");
    let put = |bytes: &[u8]| {
        let (object, manager) = (record(bytes), "helm".to_owned());
        let call = Call::Apply { object, manager, force: true, dry_run: false, subresource: None };
        block_on(memory(&stage).call(call)).expect("is written");
    };
    put(&packed(&format!("{{\"manifest\": \"secretName: {first}\\n\"}}")));
    land(&stage, web("two"));
    assert!(versions(&stage).contains(&first));
    put(b"of another version");
    land(&stage, web("three"));
    assert!(versions(&stage).contains(&first));
    put(&packed("{\"manifest\": \"secretName: db\\n\"}"));
    land(&stage, web("four"));
    assert_eq!(versions(&stage), [read_by(&stage, "Deployment", "web")]);
}

#[test]
fn a_rollout_that_fails_goes_back_to_the_version_before() {
    let stage = Stage::new(1);
    land(&stage, web("one"));
    let before = stage.picture();
    let mut bad = web("two");
    bad[1]["spec"]["template"]["metadata"]["labels"]["testbed/fail"] = "true".into();
    assert_eq!(land(&stage, bad).verdict, Verdict::Undone, "although the unit waits for nothing");
    assert_eq!(stage.picture(), before);
}

#[test]
fn every_kind_of_workload_follows_and_what_cannot_is_refused_with_its_field() {
    let stage = Stage::new(1);
    let mut all = vec![secret("db", "one")];
    all.extend(["Deployment", "StatefulSet", "DaemonSet"].map(|kind| workload(kind, "web", &["db"])));
    let landed = land(&stage, all.clone());
    assert_eq!(landed.verdict, Verdict::Landed, "{:?}", landed.failures);
    let [version] = versions(&stage).try_into().unwrap();
    for kind in ["Deployment", "StatefulSet", "DaemonSet"] {
        assert_eq!(read_by(&stage, kind, "web"), version);
    }
    let pod = json!({"containers": [{"name": "c", "image": "c"}], "restartPolicy": "Never",
        "volumes": [{"name": "v", "secret": {"secretName": "db"}}]});
    let readers = [
        (
            object(
                "networking.k8s.io/v1",
                "Ingress",
                "front",
                json!({"spec": {"tls": [{"secretName": "db"}],
            "defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}}}),
            ),
            "/spec/tls/0/secretName",
        ),
        (
            object("batch/v1", "Job", "once", json!({"spec": {"template": {"spec": pod}}})),
            "/spec/template/spec/volumes/0/secret/secretName",
        ),
        (
            object("v1", "ServiceAccount", "puller", json!({"imagePullSecrets": [{"name": "db"}]})),
            "/imagePullSecrets/0/name",
        ),
    ];
    for (reader, field) in readers {
        let name = format!("{}/app/{}", reader["kind"].as_str().unwrap(), reader["metadata"]["name"].as_str().unwrap());
        let values = all.iter().cloned().chain([reader]).collect();
        let before = stage.versions();
        let told = block_on(stage.land_this(candidate(values), behaviour())).expect_err("is refused");
        assert!(told.contains(&name) && told.contains(&format!("{field} names Secret/app/db")), "{told}");
        assert_eq!(stage.versions(), before);
    }
}

#[test]
fn a_reader_that_cannot_follow_holds_its_parcel_alone() {
    let stage = Stage::new(1);
    let by_parcel = || Behaviour { scope: LandingScope::Parcel, ..behaviour() };
    let account = object("v1", "ServiceAccount", "puller", json!({"imagePullSecrets": [{"name": "other"}]}));
    let other = |password: &str| vec![secret("other", password), workload("Deployment", "shop", &["other"])];
    land_as(&stage, by_parcel(), web("one").into_iter().chain(other("one")).collect());
    let (first, shop) = (read_by(&stage, "Deployment", "web"), read_by(&stage, "Deployment", "shop"));
    let next = || web("two").into_iter().chain(other("two")).chain([account.clone()]).collect();
    let partly = land_as(&stage, by_parcel(), next());
    assert_eq!(partly.verdict, Verdict::Partly, "{:?}", partly.failures);
    assert!(partly.failures.iter().all(|failure| !failure.transient));
    assert_ne!(read_by(&stage, "Deployment", "web"), first);
    assert_eq!(read_by(&stage, "Deployment", "shop"), shop);
    assert!(versions(&stage).contains(&shop), "it stays the current one");
    // The same again changes nothing, and once the reader is gone all of it lands.
    let before = stage.versions();
    land_as(&stage, by_parcel(), next());
    assert_eq!(stage.versions(), before);
    let whole = land_as(&stage, by_parcel(), web("two").into_iter().chain(other("two")).collect());
    assert_eq!(whole.verdict, Verdict::Landed);
    assert_ne!(read_by(&stage, "Deployment", "shop"), shop);
    assert_eq!(versions(&stage).len(), 2);
}

#[test]
fn a_secret_says_for_itself_and_what_nobody_reads_or_others_fill_has_no_versions() {
    let stage = Stage::new(1);
    let annotated = |name: &str, value: &str| {
        let mut secret = secret(name, "one");
        secret["metadata"]["annotations"] = json!({SWITCH: value});
        secret
    };
    let mut fixed = secret("fixed", "one");
    fixed["immutable"] = true.into();
    let shared = secret("shared", "one");
    let names = ["inplace", "fixed", "shared"];
    let all = vec![
        annotated("inplace", "inplace"),
        fixed,
        shared,
        secret("unread", "one"),
        workload("Deployment", "web", &names),
    ];
    let mut wanted = candidate(all);
    let merged = wanted.objects.iter_mut().find(|desired| desired.object.name() == "shared").unwrap();
    merged.policy = Policy::Merge;
    let outcome = block_on(stage.land_this(wanted, behaviour())).expect("lands");
    assert_eq!((outcome.verdict, versions(&stage)), (Verdict::Landed, Vec::<String>::new()));
    // And where the unit does not ask for it.
    let all = vec![annotated("asked", "immutable"), workload("Deployment", "web", &["asked"])];
    land_as(&stage, Behaviour { is_versioned: false, ..behaviour() }, all);
    assert_eq!(versions(&stage), [read_by(&stage, "Deployment", "web")]);
}

#[test]
fn the_target_of_an_external_secret_has_versions_that_outlive_it_in_the_unit() {
    let stage = Stage::new(1);
    let wanted = |password: &str| {
        let external = object("v1", "ConfigMap", "stands-for-external", json!({}));
        let mut candidate = candidate(vec![external, workload("Deployment", "web", &["db"])]);
        let owner = candidate.objects[1].reference();
        let mut target = Object::new(secret("db", password)).unwrap();
        target.set_label("reconcile.external-secrets.io/managed", "true");
        let declarer = Declarer::ExternalSecret(owner.id());
        candidate.objects.push(Desired { owner: Some(owner), declarer, ..Desired::new(target, "externalsecrets") });
        candidate
    };
    block_on(stage.land_this(wanted("one"), behaviour())).expect("lands");
    let first = read_by(&stage, "Deployment", "web");
    let live = stage.list("v1", "Secret").into_iter().find(|secret| secret.name() == first).unwrap();
    assert_eq!(live.value().pointer("/metadata/ownerReferences"), None, "it does not go with the ExternalSecret");
    assert_eq!(live.label("reconcile.external-secrets.io/managed"), None);
    block_on(stage.land_this(wanted("two"), behaviour())).expect("lands");
    assert_ne!(read_by(&stage, "Deployment", "web"), first);
}

#[test]
fn versions_go_with_their_secret_and_stay_behind_the_switch() {
    let stage = Stage::new(1);
    land(&stage, web("one"));
    let first = read_by(&stage, "Deployment", "web");
    replica_set(&stage, "web-1", &first);
    let in_place = land_as(&stage, Behaviour { is_versioned: false, ..behaviour() }, web("one"));
    assert_eq!(in_place.verdict, Verdict::Landed);
    assert_eq!((read_by(&stage, "Deployment", "web"), versions(&stage)), ("db".to_owned(), vec![first]));
    delete(&stage, "ReplicaSet", "web-1");
    land_as(&stage, Behaviour { is_versioned: false, ..behaviour() }, web("one"));
    assert!(versions(&stage).is_empty());

    land(&stage, web("one"));
    replica_set(&stage, "web-2", &read_by(&stage, "Deployment", "web"));
    land(&stage, vec![workload("Deployment", "web", &["of-others"])]);
    assert!(versions(&stage).is_empty(), "the Secret is declared no more");
}

#[test]
fn what_is_only_listed_is_known_for_a_version_by_what_it_says() {
    let stage = Stage::new(1);
    land(&stage, web("one"));
    let first = read_by(&stage, "Deployment", "web");
    replica_set(&stage, "web-1", &first);
    // Another journal knows nothing of it.
    let beside = stage.beside("Kustomization/flux-system/moved");
    let inventory =
        vec![Reference::new("v1", "Secret", "app", &first), Reference::new("v1", "Secret", "app", "db-gone")];
    let base = apply::Base { inventory, ..apply::Base::default() };
    let seal = |_: &[u8]| "another-key".to_owned();
    let cluster = beside.shared();
    let plan = apply::propose(candidate(web("two")), behaviour(), &base, &cluster, &seal);
    let prepared = block_on(plan).expect("is accepted");
    let landing = prepared.landing();
    assert_eq!(landing.retired.iter().map(|stale| stale.reference.name.as_str()).collect::<Vec<_>>(), [first.as_str()]);
    assert_eq!(landing.stale.iter().map(|stale| stale.reference.name.as_str()).collect::<Vec<_>>(), ["db-gone"]);
}

#[test]
fn what_has_landed_is_wanted_again_with_its_versions() {
    let stage = Stage::new(1);
    land(&stage, web("one"));
    let before = stage.versions();
    let landed = land(&stage, web("one")).landing;
    let again = |is_landed: bool| Candidate {
        objects: landed.changes().map(|change| change.desired.clone()).collect(),
        is_landed,
        ..candidate(Vec::new())
    };
    for is_landed in [true, false] {
        let mut again = again(is_landed);
        again
            .objects
            .retain(|desired| !is_landed || desired.object.kind() != "Namespace" || desired.object.name() == "app");
        let outcome =
            block_on(stage.land_this(again, Behaviour { health: HealthScope::All, ..behaviour() })).expect("lands");
        assert_eq!((outcome.verdict, outcome.changed().count()), (Verdict::Landed, 0));
    }
    assert_eq!(stage.versions(), before);
}

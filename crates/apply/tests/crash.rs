//! A crash at every gap between two calls: what starts next finishes the landing or undoes it, and never leaves a third
//! state. The journal is kept in the same cluster, so its calls are gaps like all others.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here fails the test")]

#[path = "support/stage.rs"]
mod stage;

use std::sync::{Arc, Mutex};

use apply::cluster::Propagation;
use apply::desired::Desired;
use apply::fault::{self, Fault};
use apply::{Behaviour, Call, Candidate, Cluster as _, ClusterError, HealthScope, Order, Phase, Reference, Verdict};
use futures::executor::block_on;
use manifest::Object;
use serde_json::{Value, json};
use stage::{Revision, Stage, differences};

/// Runs `revision` on a cluster where `before` have landed, with a crash at every call in turn, before and after it is
/// done. After the restart the cluster must show the old state or the new one, and landing again must give the new one:
/// what an undisturbed landing ends with.
fn check(before: &[Revision], revision: &Revision, least_gaps: u64) -> (Value, Value) {
    let begin = || {
        let stage = Stage::new(7);
        for before in before {
            block_on(stage.land(before)).expect("lands");
        }
        stage
    };
    let calm = begin();
    let old = calm.picture();
    calm.cluster.restart(fault::none());
    block_on(calm.land(revision)).expect("lands");
    let calls = calm.cluster.calls();
    let new = calm.picture();
    assert!(calls * 2 >= least_gaps, "{calls} calls are too few to prove much");
    for number in 1..=calls {
        for crash in [Fault::CrashBefore, Fault::CrashAfter] {
            let stage = begin();
            stage.cluster.restart(fault::at_call(number, crash.clone()));
            block_on(stage.cluster.until_crash(stage.land(revision)));
            stage.cluster.restart(fault::none());
            let place = format!("{crash:?} at call {number} of {calls}");
            block_on(stage.resume()).expect("resumes");
            let now = stage.picture();
            let is_mix = now != old && now != new;
            assert!(!is_mix, "{place}: a third state\n{}\n{}", differences(&now, &old), differences(&now, &new));
            block_on(stage.land(revision)).unwrap_or_else(|e| panic!("{place}: {e}"));
            assert_same(&stage.picture(), &new, &format!("{place}: does not converge"));
            stage.assert_no_consumer_was_newer_than_its_secret(&place);
            stage.assert_hooks_ran_once(&place);
            assert_eq!(stage.leftovers(), Vec::<String>::new(), "{place}: journal entries are left behind");
        }
    }
    (old, new)
}

fn assert_same(left: &Value, right: &Value, place: &str) {
    let differences = differences(left, right);
    assert!(differences.is_empty(), "{place}\n{differences}");
}

fn waiting() -> Behaviour {
    Behaviour { health: HealthScope::All, prune: true, ..Behaviour::default() }
}

/// Whether the picture shows all of a revision.
fn assert_shows(picture: &Value, number: &str) {
    assert_eq!(picture["ConfigMap settings"]["data"]["revision"], number);
    assert_eq!(picture["Deployment web"]["spec"]["template"]["metadata"]["annotations"]["revision"], number);
    assert!(picture.get(format!("ConfigMap only-{number}")).is_some());
}

#[test]
fn a_first_landing_is_whole_or_absent() {
    let (old, new) = check(&[], &Revision::new(1, waiting()), 60);
    assert!(old.get("Deployment web").is_none());
    assert_shows(&new, "1");
}

#[test]
fn an_update_with_prune_is_the_old_or_the_new_revision() {
    let (old, new) = check(&[Revision::new(1, waiting())], &Revision::new(2, waiting()), 60);
    assert_shows(&old, "1");
    assert_shows(&new, "2");
    assert!(new.get("ConfigMap only-1").is_none(), "it was pruned");
    let stamp = &new["Deployment web"]["spec"]["template"]["metadata"]["annotations"][apply::stamp::ANNOTATION];
    assert!(stamp.is_string(), "the secret changed");
}

#[test]
fn an_update_whose_journal_is_in_chunks_is_the_old_or_the_new_revision() {
    let large = |number| Revision { is_large: true, ..Revision::new(number, waiting()) };
    let (old, new) = check(&[large(1)], &large(2), 60);
    assert_shows(&old, "1");
    assert_shows(&new, "2");
}

#[test]
fn an_update_that_fails_health_ends_as_the_old_revision() {
    let bad = Revision { is_bad: true, ..Revision::new(2, waiting()) };
    let (old, new) = check(&[Revision::new(1, waiting())], &bad, 60);
    assert_same(&new, &old, "it was taken back");
}

fn in_flux_order() -> Behaviour {
    Behaviour { order: Order::Flux, ..waiting() }
}

#[test]
fn an_update_in_flux_order_is_the_old_or_the_new_revision() {
    let (old, new) = check(&[Revision::new(1, in_flux_order())], &Revision::new(2, in_flux_order()), 60);
    assert_shows(&old, "1");
    assert_shows(&new, "2");
    assert!(new.get("ConfigMap only-1").is_none(), "it was pruned");
}

#[test]
fn an_update_in_flux_order_that_fails_health_makes_anew_what_it_has_deleted() {
    let bad = Revision { is_bad: true, ..Revision::new(2, in_flux_order()) };
    let (old, new) = check(&[Revision::new(1, in_flux_order())], &bad, 60);
    assert!(old.get("ConfigMap only-1").is_some());
    assert_same(&new, &old, "it was taken back");
}

fn versioned() -> Behaviour {
    Behaviour { is_versioned: true, ..waiting() }
}

#[test]
fn an_update_with_versions_of_its_secret_is_the_old_or_the_new_revision() {
    let (old, new) = check(&[Revision::new(1, versioned())], &Revision::new(2, versioned()), 60);
    let read = |picture: &Value| {
        let reads = "/Deployment web/spec/template/spec/containers/0/env/0/valueFrom/secretKeyRef/name";
        picture.pointer(reads).and_then(Value::as_str).expect("it reads one").to_owned()
    };
    let [before, now] = [&old, &new].map(read);
    assert_ne!(before, now);
    assert_eq!(old[format!("Secret {before}")]["data"], old["Secret db"]["data"]);
    assert_eq!(new[format!("Secret {now}")]["data"], new["Secret db"]["data"]);
    assert!(new.get(format!("Secret {before}")).is_none(), "nobody can go back to it");
}

#[test]
fn an_update_with_versions_that_fails_health_ends_as_the_old_revision() {
    let bad = Revision { is_bad: true, ..Revision::new(2, versioned()) };
    let (old, new) = check(&[Revision::new(1, versioned())], &bad, 60);
    assert_same(&new, &old, "it was taken back");
}

#[test]
fn a_first_landing_that_fails_health_leaves_only_its_namespace() {
    let bad = Revision { is_bad: true, ..Revision::new(1, waiting()) };
    let (_, new) = check(&[], &bad, 60);
    assert!(new.get("Namespace app").is_some() && new.get("Deployment web").is_none(), "{new}");
}

#[test]
fn a_release_with_a_hook_runs_the_hook_once() {
    let (_, new) = check(&[Revision::new(1, waiting())], &Revision::new(2, waiting()).with_release(), 80);
    assert_eq!(new["Secret sh.helm.release.v1.chart.v1"]["metadata"]["labels"]["status"], "deployed");
    assert!(new.get("Job migrate").is_none(), "the hook is deleted after success");
}

#[test]
fn a_landing_of_which_the_journal_holds_the_very_same_stays_readable() {
    let again = || Revision::new(1, waiting());
    let (old, new) = check(&[again(), again()], &again(), 40);
    assert_same(&new, &old, "nothing was to be done");
}

#[test]
fn a_landing_that_is_refused_writes_nothing() {
    let stage = Stage::new(3);
    block_on(stage.land(&Revision::new(1, waiting()))).expect("lands");
    let old = stage.picture();
    stage.cluster.restart(fault::none());
    let refused = Revision { is_invalid: true, ..Revision::new(2, waiting()) };
    let failures = block_on(stage.land(&refused)).expect_err("is refused");
    assert!(failures.contains("Deployment/app/web"), "{failures}");
    assert!(failures.contains("Service/app/web"), "all failures in one pass: {failures}");
    assert_eq!(stage.cluster.writes(), 0);
    assert_eq!(stage.picture(), old);
}

#[test]
fn the_same_revision_again_writes_no_object() {
    let stage = Stage::new(3);
    let first = Revision::new(1, waiting());
    block_on(stage.land(&first)).expect("lands");
    let versions = stage.versions();
    let outcome = block_on(stage.land(&first)).expect("lands");
    assert_eq!(outcome.verdict, Verdict::Landed);
    assert_eq!(outcome.changed().count(), 0);
    assert_eq!(stage.versions(), versions);
}

#[test]
fn a_leader_whose_landing_another_one_goes_on_with_cannot_write_its_journal_any_more() {
    let stage = Stage::new(7);
    block_on(stage.land(&Revision::new(1, waiting()))).expect("lands");
    stage.cluster.restart(fault::at_write(4, Fault::CrashAfter));
    block_on(stage.cluster.until_crash(stage.land(&Revision::new(2, waiting()))));
    stage.cluster.restart(fault::none());
    // The first leader is only frozen, with the landing open.
    let mut frozen = block_on(stage.journal_of(1)).expect("is read");
    assert!(frozen.open().is_some());
    block_on(stage.take_over(2)).expect("another one leads");
    assert!(block_on(frozen.advance(Phase::Undo)).is_err(), "it has lost its journal");
    assert!(block_on(stage.journal_of(1)).is_err());
    let mut successor = block_on(stage.journal_of(2)).expect("is read");
    block_on(successor.advance(Phase::Undo)).expect("the journal is the successor's");
    // Whoever leads by a lease that counts anew goes on after the latest one.
    for (of_lease, epoch) in [(0, 3), (1, 3), (2, 2), (5, 5)] {
        assert_eq!(block_on(stage.epoch(of_lease)), Ok(epoch));
        assert!(block_on(stage.journal_of(epoch)).is_ok());
    }
}

/// A workload as a commit has it, and the Secret that it reads.
fn pair(commit: &str, is_bad: bool, reads: bool) -> Candidate {
    let own = |name: &str| json!({"name": name, "namespace": "default", "labels": {"owner": "unit"}});
    let mut labels = json!({"app": "web"});
    if is_bad {
        labels["testbed/fail"] = "true".into();
    }
    let from = if reads { json!([{"secretRef": {"name": "db"}}]) } else { json!([]) };
    let containers = json!([{"name": "c", "image": "i", "envFrom": from}]);
    let metadata = json!({"labels": labels, "annotations": {"commit": commit}});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": own("db"), "data": {"key": "b25l"}});
    let workload = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": own("web"),
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": metadata, "spec": {"containers": containers}}}});
    let values = [workload].into_iter().chain(reads.then_some(secret));
    let objects = values.map(|value| Desired::new(Object::new(value).expect("an object"), "unit")).collect();
    Candidate { revision: commit.into(), input: commit.into(), objects, ..Candidate::default() }
}

/// Tells kinds of what is applied from here on, in order.
fn note_applied(stage: &Stage, crash_at: usize) -> Arc<Mutex<Vec<String>>> {
    let applied = Arc::new(Mutex::new(Vec::new()));
    let noted = applied.clone();
    stage.cluster.restart(Box::new(move |attempt| {
        let Call::Apply { object, dry_run: false, .. } = attempt.call else { return None };
        let mut noted = noted.lock().expect("nobody panics");
        noted.push(object.kind().to_owned());
        (noted.len() == crash_at).then_some(Fault::CrashAfter)
    }));
    applied
}

/// Others delete something.
fn delete(stage: &Stage, version: &str, kind: &str, name: &str) {
    let (at, propagation) = (Reference::new(version, kind, "default", name), Propagation::Background);
    let call = Call::Delete { at, uid: None, resource_version: None, propagation, dry_run: false };
    block_on(stage.memory().call(call)).expect("is deleted");
}

#[test]
fn what_others_delete_while_nobody_leads_is_made_again_before_what_reads_it() {
    let behaviour = Behaviour { owner_labels: vec![("owner".into(), "unit".into())], ..waiting() };
    // The crash is in the commit, or when the workload has just been brought back, or the commit does without the Secret.
    for (is_bad, reads, crash_at) in [(false, true, 1), (true, true, 2), (true, false, 1)] {
        let stage = Stage::new(7);
        block_on(stage.land_this(pair("1", false, true), behaviour.clone())).expect("lands");
        note_applied(&stage, crash_at);
        let landing = stage.land_this(pair("2", is_bad, reads), behaviour.clone());
        assert!(block_on(stage.cluster.until_crash(landing)).is_none(), "it is interrupted");
        delete(&stage, "apps/v1", "Deployment", "web");
        delete(&stage, "v1", "Secret", "db");
        let applied = note_applied(&stage, 0);
        block_on(stage.resume()).expect("is resumed").expect("it is open");
        let applied = applied.lock().expect("nobody panics").clone();
        let is_in_order = applied.ends_with(&["Secret", "Deployment"].map(str::to_owned));
        assert!(is_in_order, "is_bad: {is_bad}, reads: {reads}: {applied:?}");
    }
}

#[test]
fn what_others_delete_of_what_a_landing_has_adopted_does_not_come_back_when_it_is_undone() {
    let theirs = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": "default"},
        "data": {"key": "dGhlaXJz"}});
    for is_deleted in [false, true] {
        let stage = with_owner(std::slice::from_ref(&theirs));
        let before = stage.picture().get("Secret db").cloned();
        note_applied(&stage, 2);
        let landing = stage.land_this(pair("1", true, true), waiting());
        assert!(block_on(stage.cluster.until_crash(landing)).is_none(), "it is interrupted");
        if is_deleted {
            delete(&stage, "v1", "Secret", "db");
        }
        let applied = note_applied(&stage, 0);
        let outcome = block_on(stage.resume()).expect("is resumed").expect("it is open");
        assert_eq!(outcome.verdict, Verdict::Undone);
        let applied = applied.lock().expect("nobody panics").clone();
        assert_eq!(applied, ["Secret", "Deployment"], "what it wants is made again, and awaited");
        let expected = if is_deleted { None } else { before };
        assert_eq!(stage.picture().get("Secret db").cloned(), expected, "is_deleted: {is_deleted}");
        assert!(stage.picture().get("Deployment web").is_none());
    }
}

/// The unit of an owner that stands alone: one Secret, with these bytes.
fn target(bytes: &str) -> Candidate {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": "default"},
        "data": {"key": bytes}});
    let owner = Reference::new("v1", "ConfigMap", "default", "owner");
    let object = Object::new(secret).expect("an object");
    let desired = Desired { owner: Some(owner), ..Desired::new(object, "unit") };
    Candidate { revision: bytes.into(), input: bytes.into(), objects: vec![desired], ..Candidate::default() }
}

/// A cluster in which the owner lives, and what others have made.
fn with_owner(others: &[Value]) -> Stage {
    let stage = Stage::new(7);
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner", "namespace": "default"}});
    for value in others.iter().chain([&owner]) {
        let (object, manager) = (Object::new(value.clone()).expect("an object"), "others".to_owned());
        let call = Call::Apply { object, manager, force: true, dry_run: false, subresource: None };
        block_on(stage.memory().call(call)).expect("is made");
    }
    stage
}

#[test]
fn a_secret_that_stands_alone_is_made_by_one_request_before_the_journal() {
    let stage = with_owner(&[]);
    stage.cluster.restart(fault::none());
    let outcome = block_on(stage.create_or_land(target("b25l"), Behaviour::default())).expect("lands");
    assert_eq!(outcome.verdict, Verdict::Landed);
    assert_eq!(stage.cluster.writes(), 2, "the Secret and the journal");
    let secret = &stage.list("v1", "Secret").into_iter().find(|secret| secret.name() == "db").expect("it is there");
    let owner = &stage.list("v1", "ConfigMap")[0];
    assert_eq!(secret.text("/metadata/ownerReferences/0/uid"), Some(owner.uid()));
    let managers = secret.value().pointer("/metadata/managedFields").and_then(Value::as_array).expect("it has them");
    assert_eq!((managers.len(), &managers[0]["operation"]), (1, &json!("Apply")), "as if it had been applied");
    let versions = stage.versions();
    block_on(stage.create_or_land(target("b25l"), Behaviour::default())).expect("lands");
    assert_eq!(stage.versions(), versions, "it has landed");
}

/// Dry runs pass, and then the server refuses these bytes.
fn refusing(bytes: &'static str) -> fault::Plan {
    Box::new(move |attempt| {
        let Call::Apply { object, dry_run: false, .. } = attempt.call else { return None };
        let refused = ClusterError::Refused { id: None, message: "not these".into(), fields: Vec::new() };
        (object.text("/data/key") == Some(bytes)).then_some(Fault::Before(refused))
    })
}

#[test]
fn a_secret_that_was_made_before_a_crash_is_known_as_ours() {
    let unavailable = ClusterError::Unavailable { id: None, message: "not now".into(), retry_after: None };
    let faults = [Fault::CrashBefore, Fault::CrashAfter, Fault::After, Fault::Before(unavailable)];
    let (stage, behaviour) = (with_owner(&[]), Behaviour::default());
    stage.cluster.restart(fault::none());
    block_on(stage.create_or_land(target("b25l"), behaviour.clone())).expect("lands");
    let calls = stage.cluster.calls();
    for (number, fault) in (1..=calls).flat_map(|number| faults.iter().map(move |fault| (number, fault))) {
        let (stage, place) = (with_owner(&[]), format!("{fault:?} at call {number} of {calls}"));
        stage.cluster.restart(fault::at_call(number, fault.clone()));
        block_on(stage.cluster.until_crash(stage.create_or_land(target("b25l"), behaviour.clone())));
        let made = stage.picture().get("Secret db").cloned();
        // By now the store has other bytes, which cannot be written: what was made is last-good, and nothing is half.
        stage.cluster.restart(refusing("dHdv"));
        let outcome = block_on(stage.create_or_land(target("dHdv"), behaviour.clone())).expect("it is tried");
        assert_eq!(outcome.verdict, Verdict::Undone, "{place}");
        assert_eq!(stage.picture().get("Secret db").cloned(), made, "{place}");
        let has_landed = block_on(stage.journal_of(1)).expect("is read").landed().is_some();
        assert_eq!(has_landed, made.is_some(), "{place}: the journal knows what is ours");
        stage.cluster.restart(fault::none());
        block_on(stage.create_or_land(target("dHdv"), behaviour.clone())).unwrap_or_else(|e| panic!("{place}: {e}"));
        assert_eq!(stage.picture().pointer("/Secret db/data/key"), Some(&json!("dHdv")), "{place}");
        assert_eq!(stage.leftovers(), Vec::<String>::new(), "{place}");
    }
}

#[test]
fn a_secret_that_others_have_made_is_not_overwritten_unseen() {
    let theirs = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": "default"},
        "data": {"key": "dGhlaXJz", "more": "eA=="}});
    let stage = with_owner(&[theirs]);
    let (before, versions) = (stage.picture(), stage.versions());
    stage.cluster.restart(Box::new(|attempt| {
        matches!(attempt.call, Call::Apply { dry_run: true, .. }).then_some(Fault::CrashBefore)
    }));
    block_on(stage.cluster.until_crash(stage.create_or_land(target("b25l"), Behaviour::default())));
    assert_eq!(stage.versions(), versions, "it was tried to make it, before it was proposed");
    // It is adopted as by any landing, and given back as it was.
    stage.cluster.restart(refusing("b25l"));
    let outcome = block_on(stage.create_or_land(target("b25l"), Behaviour::default())).expect("it is tried");
    assert_eq!((outcome.verdict, stage.picture()), (Verdict::Undone, before));
    stage.cluster.restart(fault::none());
    block_on(stage.create_or_land(target("b25l"), Behaviour::default())).expect("lands");
    let data = stage.picture()["Secret db"]["data"].clone();
    assert_eq!(data, json!({"key": "b25l", "more": "eA=="}));
}

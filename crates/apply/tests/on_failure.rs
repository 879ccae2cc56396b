//! `on-failure: continue`: what failed stays out, with all that needs it; the rest is written.

#![expect(clippy::expect_used, reason = "what fails here fails the test")]

#[path = "support/stage.rs"]
mod stage;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use apply::desired::{Declarer, Desired, Removal};
use apply::fault::{self, Fault};
use apply::{
    Behaviour, Call, Candidate, Cluster as _, ClusterError, HealthScope, LandingScope, OnFailure, Outcome, Reference,
    Verdict,
};
use futures::executor::block_on;
use manifest::Object;
use serde_json::{Value, json};
use stage::{Revision, Stage};

/// Revision 2 over revision 1, with an error at each write of the Secret after its trial.
fn landed_without_its_secret(error: &ClusterError) -> (Stage, Outcome) {
    let stage = Stage::new(3);
    let behaviour = Behaviour { on_failure: OnFailure::Continue, ..Behaviour::default() };
    block_on(stage.land(&Revision::new(1, behaviour.clone()))).expect("lands");
    let error = error.clone();
    stage.cluster.restart(Box::new(move |attempt| {
        let is_secret =
            matches!(attempt.call, Call::Apply { object, dry_run: false, .. } if object.is_secret() && object.name() == "db");
        is_secret.then(|| Fault::Before(error.clone()))
    }));
    let outcome = block_on(stage.land(&Revision::new(2, behaviour))).expect("an outcome");
    (stage, outcome)
}

/// Of the ConfigMap, and of the workload that reads the Secret.
fn revisions(stage: &Stage) -> [Value; 2] {
    let picture = stage.picture();
    let workload = &picture["Deployment web"]["spec"]["template"]["metadata"]["annotations"]["revision"];
    [picture["ConfigMap settings"]["data"]["revision"].clone(), workload.clone()]
}

#[test]
fn a_workload_is_not_written_when_its_secret_is_refused_at_its_write() {
    let refused = ClusterError::Refused { id: None, message: "a policy refuses it".into(), fields: Vec::new() };
    let (stage, outcome) = landed_without_its_secret(&refused);
    assert_eq!(revisions(&stage), ["2", "1"]);
    let told: Vec<String> = outcome.failures.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("a policy refuses it"), "{told:?}");
    assert!(
        told[1].contains("Deployment/app/web: not written: Secret/app/db could not be, which it needs"),
        "{told:?}"
    );
    stage.assert_no_consumer_was_newer_than_its_secret("continue");
}

#[test]
fn it_is_written_once_its_secret_can_be() {
    let busy = ClusterError::Unavailable { id: None, message: "busy".into(), retry_after: None };
    let (stage, outcome) = landed_without_its_secret(&busy);
    assert_eq!(outcome.verdict, Verdict::Held, "what may pass is tried again");
    assert_eq!(revisions(&stage), ["2", "1"]);
    stage.cluster.restart(fault::none());
    block_on(stage.resume()).expect("resumes");
    assert_eq!(revisions(&stage), ["2", "2"]);
    stage.assert_no_consumer_was_newer_than_its_secret("continue");
}

fn object(value: Value) -> Object {
    Object::new(value).expect("an object")
}

fn own(name: &str) -> Value {
    json!({"name": name, "namespace": "app", "labels": {"owner": "unit"}})
}

fn workload(commit: &str, reads: bool) -> Value {
    let from = if reads { json!([{"secretRef": {"name": "db"}}]) } else { json!([]) };
    let template = json!({"metadata": {"labels": {"app": "web"}, "annotations": {"revision": commit}},
        "spec": {"containers": [{"name": "c", "image": "i", "envFrom": from}]}});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": own("web"),
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template}})
}

fn external() -> Value {
    json!({"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "metadata": own("db"), "spec": {}})
}

/// A cluster that serves ExternalSecrets, with what others have made.
fn serving(others: impl IntoIterator<Item = Object>) -> Stage {
    let stage = Stage::new(3);
    let names = json!({"plural": "externalsecrets", "kind": "ExternalSecret"});
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let versions = json!([{"name": "v1", "served": true, "storage": true, "schema": schema}]);
    let definition = object(json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "externalsecrets.external-secrets.io"},
        "spec": {"group": "external-secrets.io", "scope": "Namespaced", "names": names, "versions": versions}}));
    for object in [definition].into_iter().chain(others) {
        let call = Call::Apply { object, manager: "flux".into(), force: true, dry_run: false, subresource: None };
        block_on(stage.memory().call(call)).expect("is made");
        block_on(stage.memory().call(Call::Discover)).expect("is served");
    }
    stage
}

/// The Secret of [`external`], as External Secrets marks it.
fn made() -> Desired {
    let labels = json!({"reconcile.external-secrets.io/managed": "true"});
    let secret = object(json!({"apiVersion": "v1", "kind": "Secret", "data": {"key": "b25l"},
        "metadata": {"name": "db", "namespace": "app", "labels": labels}}));
    let owner = Reference::of(&object(external()));
    let declarer = Declarer::ExternalSecret(owner.id());
    Desired { declarer, owner: Some(owner), ..Desired::new(secret, "external-secrets") }
}

fn commit(name: &str, values: impl IntoIterator<Item = Value>) -> Candidate {
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "app", "labels": {"owner": "unit"}}});
    let values = [namespace].into_iter().chain(values);
    let objects = values.map(|value| Desired::new(object(value), "unit")).collect();
    Candidate { revision: name.into(), input: name.into(), objects, ..Candidate::default() }
}

/// A commit: a workload that reads a Secret, or neither reads nor declares it.
fn pair(name: &str, reads: bool) -> Candidate {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": own("db"), "data": {"key": "b25l"}});
    commit(name, [workload(name, reads)].into_iter().chain(reads.then_some(secret)))
}

fn going_on(scope: LandingScope) -> Behaviour {
    Behaviour { on_failure: OnFailure::Continue, prune: true, scope, ..Behaviour::default() }
}

/// Refuses each write of the workload after its trial; and its trials, where asked to.
fn refusing(trials: bool) -> fault::Plan {
    let refused = ClusterError::Refused { id: None, message: "a policy refuses it".into(), fields: Vec::new() };
    Box::new(move |attempt| {
        let is_workload = matches!(attempt.call, Call::Apply { object, dry_run, .. }
            if object.name().ends_with("web") && (trials || !dry_run));
        is_workload.then(|| Fault::Before(refused.clone()))
    })
}

fn told(outcome: &Outcome) -> Vec<String> {
    outcome.failures.iter().map(ToString::to_string).collect()
}

fn revision(stage: &Stage) -> Value {
    stage.picture()["Deployment web"]["spec"]["template"]["metadata"]["annotations"]["revision"].clone()
}

#[test]
fn what_a_workload_reads_that_could_not_be_written_is_not_pruned() {
    for scope in [LandingScope::Unit, LandingScope::Parcel] {
        let mut stage = Stage::new(3);
        block_on(stage.land_this(pair("1", true), going_on(scope))).expect("lands");
        stage.cluster.restart(refusing(false));
        // The second time, what stands as landed is not what lives; nor is that what is to be deleted known as it landed.
        stage.inventory = vec![Reference::new("v1", "Secret", "app", "db")];
        for commit in ["2", "2", "3"] {
            let outcome = block_on(stage.land_this(pair(commit, false), going_on(scope))).expect("an outcome");
            assert!(stage.picture().get("Secret db").is_some(), "{scope:?}, {commit}: {:?}", told(&outcome));
            assert!(
                told(&outcome).iter().any(|failure| failure.contains("a policy refuses it")),
                "{:?}",
                told(&outcome)
            );
        }
        stage.cluster.restart(fault::none());
        block_on(stage.land_this(pair("4", false), going_on(scope))).expect("lands");
        assert_eq!(revision(&stage), "4");
        assert!(stage.picture().get("Secret db").is_none(), "{scope:?}: nobody reads it any more");
    }
}

#[test]
fn nor_is_it_when_failures_end_a_landing_from_then_on() {
    let mut stage = Stage::new(3);
    block_on(stage.land_this(pair("1", true), going_on(LandingScope::Parcel))).expect("lands");
    stage.cluster.restart(refusing(false));
    block_on(stage.land_this(pair("2", false), going_on(LandingScope::Parcel))).expect("an outcome");
    stage.inventory = vec![Reference::new("v1", "Secret", "app", "db")];
    stage.cluster.restart(refusing(true));
    let behaviour = Behaviour { on_failure: OnFailure::Revert, ..going_on(LandingScope::Parcel) };
    let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": own("settings"), "data": {}});
    let with_other = Candidate { objects: commit("3", [workload("3", false), other]).objects, ..pair("3", false) };
    let outcome = block_on(stage.land_this(with_other, behaviour)).expect("an outcome");
    assert!(stage.picture().get("ConfigMap settings").is_some(), "{:?}", told(&outcome));
    assert!(stage.picture().get("Secret db").is_some(), "the workload reads it: {:?}", told(&outcome));
}

#[test]
fn an_external_secret_stays_whose_secret_is_read_and_which_never_landed_here() {
    let before = commit("0", [external(), workload("0", true)]).objects.into_iter().chain([made()]);
    let mut stage = serving(before.map(|desired| desired.object));
    stage.inventory = vec![Reference::of(&object(external()))];
    stage.cluster.restart(refusing(false));
    let outcome = block_on(stage.land_this(pair("1", false), going_on(LandingScope::Unit))).expect("an outcome");
    let kept = "ExternalSecret/app/db: is needed by Deployment/app/web, which stands as it was";
    assert!(told(&outcome).iter().any(|failure| failure.contains(kept)), "{:?}", told(&outcome));
    assert_eq!(stage.list("external-secrets.io/v1", "ExternalSecret").len(), 1);
}

#[test]
fn what_an_external_secret_has_made_goes_once_nobody_reads_it() {
    let mut stage = serving([]);
    // What an ExternalSecret has made does not carry them.
    let owner_labels = [("owner".to_owned(), "unit".to_owned())].into();
    let behaviour = Behaviour { owner_labels, ..going_on(LandingScope::Unit) };
    let with = |name: &str, reads: bool| commit(name, [external(), workload(name, reads)]);
    let mut first = with("1", true);
    first.objects.push(made());
    block_on(stage.land_this(first, behaviour.clone())).expect("lands");
    stage.cluster.restart(refusing(false));
    let Desired { declarer, object, .. } = made();
    let reference = Reference::of(&object);
    let removals = vec![Removal { reference: reference.clone(), declarer }];
    block_on(stage.land_this(Candidate { removals, ..with("2", false) }, behaviour.clone())).expect("an outcome");
    assert!(stage.picture().get("Secret db").is_some(), "the workload reads it");
    // What has landed is landed once more: nobody has asked the store again.
    stage.inventory = vec![reference];
    stage.cluster.restart(fault::none());
    block_on(stage.land_this(with("2", false), behaviour.clone())).expect("lands");
    assert_eq!(revision(&stage), "2");
    assert!(stage.picture().get("Secret db").is_none(), "nobody reads it any more");
}

#[test]
fn what_could_not_be_written_is_told_after_a_crash_too() {
    let behaviour = Behaviour { health: HealthScope::All, ..going_on(LandingScope::Unit) };
    let mut crashes = 0;
    for number in 1.. {
        let stage = Stage::new(3);
        block_on(stage.land_this(pair("1", true), behaviour.clone())).expect("lands");
        let (refuses, has_refused) = (refusing(false), AtomicBool::new(false));
        let calls = AtomicU64::new(0);
        stage.cluster.restart(Box::new(move |attempt| {
            let fault = refuses(attempt);
            let is_after = has_refused.fetch_or(fault.is_some(), Ordering::SeqCst) && fault.is_none();
            let is_due = is_after && calls.fetch_add(1, Ordering::SeqCst) + 1 == number;
            if is_due { Some(Fault::CrashBefore) } else { fault }
        }));
        let ended = block_on(stage.cluster.until_crash(stage.land_this(pair("2", false), behaviour.clone())));
        if ended.is_some() {
            break;
        }
        crashes += 1;
        stage.cluster.restart(refusing(false));
        let Some(outcome) = block_on(stage.resume()).expect("resumes") else { continue };
        let refusals = told(&outcome).iter().filter(|failure| failure.contains("a policy refuses it")).count();
        assert_eq!(refusals, 1, "crash {number}: {:?}", told(&outcome));
        assert!(stage.picture().get("Secret db").is_some(), "crash {number}: the workload reads it");
    }
    assert!(crashes > 2, "{crashes} crashes");
}

#[test]
fn what_has_not_become_healthy_is_told_after_a_crash_too() {
    let behaviour = Behaviour { health: HealthScope::All, ..going_on(LandingScope::Unit) };
    let mut ill = workload("2", false);
    ill["spec"]["template"]["metadata"]["labels"]["testbed/fail"] = "true".into();
    let stage = Stage::new(3);
    block_on(stage.land_this(pair("1", true), behaviour.clone())).expect("lands");
    let is_deletion = |attempt: &fault::Attempt<'_>| matches!(attempt.call, Call::Delete { .. });
    stage.cluster.restart(Box::new(move |attempt| is_deletion(attempt).then_some(Fault::CrashBefore)));
    let ended = block_on(stage.cluster.until_crash(stage.land_this(commit("2", [ill]), behaviour)));
    assert!(ended.is_none(), "it prunes, and crashes");
    stage.cluster.restart(fault::none());
    let outcome = block_on(stage.resume()).expect("resumes").expect("goes on");
    assert!(told(&outcome).iter().any(|failure| failure.contains("crash loop")), "{:?}", told(&outcome));
    assert!(stage.picture().get("Secret db").is_none(), "nobody reads it any more");
}

/// A workload that runs as a ServiceAccount, and that account.
fn accounted(name: &str, account: &str) -> Candidate {
    let mut web = workload(name, false);
    web["spec"]["template"]["spec"]["serviceAccountName"] = account.into();
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": own(account)});
    commit(name, [web, account])
}

#[test]
fn what_a_held_workload_depends_on_is_not_pruned() {
    let stage = Stage::new(3);
    let behaviour = Behaviour { on_failure: OnFailure::Revert, ..going_on(LandingScope::Parcel) };
    block_on(stage.land_this(accounted("1", "a"), behaviour.clone())).expect("lands");
    stage.cluster.restart(refusing(true));
    let outcome = block_on(stage.land_this(accounted("2", "b"), behaviour.clone())).expect("an outcome");
    assert_eq!(outcome.verdict, Verdict::Partly);
    let accounts = |stage: &Stage| -> Vec<String> {
        let all = stage.list("v1", "ServiceAccount").into_iter().filter(|account| account.namespace() == "app");
        all.map(|account| account.name().to_owned()).collect()
    };
    assert!(accounts(&stage).contains(&"a".to_owned()), "the workload runs as it: {:?}", accounts(&stage));
    assert!(!told(&outcome).iter().any(|failure| failure.contains("ServiceAccount")), "{:?}", told(&outcome));
    stage.cluster.restart(fault::none());
    block_on(stage.land_this(accounted("3", "b"), behaviour)).expect("lands");
    assert_eq!(revision(&stage), "3");
    assert!(!accounts(&stage).contains(&"a".to_owned()), "nobody needs it any more");
}

#[test]
fn what_cannot_be_deleted_keeps_what_it_reads_as_it_lives() {
    let mut stage = Stage::new(3);
    block_on(stage.land_this(pair("1", true), going_on(LandingScope::Unit))).expect("lands");
    stage.cluster.restart(refusing(false));
    block_on(stage.land_this(pair("2", false), going_on(LandingScope::Unit))).expect("an outcome");
    let refused = ClusterError::Refused { id: None, message: "a policy refuses it".into(), fields: Vec::new() };
    stage.cluster.restart(Box::new(move |attempt| {
        let is_workload = matches!(attempt.call, Call::Delete { at, .. } if at.name == "web");
        is_workload.then(|| Fault::Before(refused.clone()))
    }));
    stage.inventory = vec![Reference::new("v1", "Secret", "app", "db")];
    let outcome = block_on(stage.land_this(commit("3", []), going_on(LandingScope::Unit))).expect("an outcome");
    assert!(stage.picture().get("Deployment web").is_some(), "{:?}", told(&outcome));
    assert!(stage.picture().get("Secret db").is_some(), "it reads it: {:?}", told(&outcome));
}

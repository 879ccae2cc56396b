//! `on-failure: continue`: what failed stays out, with all that needs it; the rest is written.

#![expect(clippy::expect_used, reason = "what fails here fails the test")]

#[path = "support/stage.rs"]
mod stage;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use apply::desired::Desired;
use apply::fault::{self, Fault};
use apply::{
    Behaviour, Call, Candidate, ClusterError, HealthScope, LandingScope, OnFailure, Outcome, Reference, Verdict,
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

/// A commit: a workload that reads a Secret, or neither reads nor declares it.
fn pair(commit: &str, reads: bool) -> Candidate {
    let own = |name: &str| json!({"name": name, "namespace": "app", "labels": {"owner": "unit"}});
    let from = if reads { json!([{"secretRef": {"name": "db"}}]) } else { json!([]) };
    let template = json!({"metadata": {"labels": {"app": "web"}, "annotations": {"revision": commit}},
        "spec": {"containers": [{"name": "c", "image": "i", "envFrom": from}]}});
    let workload = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": own("web"),
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template}});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": own("db"), "data": {"key": "b25l"}});
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "app", "labels": {"owner": "unit"}}});
    let values = [namespace, workload].into_iter().chain(reads.then_some(secret));
    let objects = values.map(|value| Desired::new(Object::new(value).expect("an object"), "unit")).collect();
    Candidate { revision: commit.into(), input: commit.into(), objects, ..Candidate::default() }
}

/// Refuses each write of the workload after its trial.
fn refusing() -> fault::Plan {
    let refused = ClusterError::Refused { id: None, message: "a policy refuses it".into(), fields: Vec::new() };
    Box::new(move |attempt| {
        let is_workload = matches!(attempt.call, Call::Apply { object, dry_run: false, .. } if object.name() == "web");
        is_workload.then(|| Fault::Before(refused.clone()))
    })
}

fn told(outcome: &Outcome) -> Vec<String> {
    outcome.failures.iter().map(ToString::to_string).collect()
}

#[test]
fn what_a_workload_reads_that_could_not_be_written_is_not_pruned() {
    for scope in [LandingScope::Unit, LandingScope::Parcel] {
        let behaviour = Behaviour { on_failure: OnFailure::Continue, prune: true, scope, ..Behaviour::default() };
        let mut stage = Stage::new(3);
        block_on(stage.land_this(pair("1", true), behaviour.clone())).expect("lands");
        stage.cluster.restart(refusing());
        // The second time, what stands as landed is not what lives; nor is that what is to be deleted known as it landed.
        stage.inventory = vec![Reference::new("v1", "Secret", "app", "db")];
        for commit in ["2", "2", "3"] {
            let outcome = block_on(stage.land_this(pair(commit, false), behaviour.clone())).expect("an outcome");
            assert!(stage.picture().get("Secret db").is_some(), "{scope:?}, {commit}: {:?}", told(&outcome));
            assert!(
                told(&outcome).iter().any(|failure| failure.contains("a policy refuses it")),
                "{:?}",
                told(&outcome)
            );
        }
        stage.cluster.restart(fault::none());
        block_on(stage.land_this(pair("4", false), behaviour)).expect("lands");
        assert_eq!(stage.picture()["Deployment web"]["spec"]["template"]["metadata"]["annotations"]["revision"], "4");
        assert!(stage.picture().get("Secret db").is_none(), "{scope:?}: nobody reads it any more");
    }
}

#[test]
fn what_could_not_be_written_is_told_after_a_crash_too() {
    let behaviour =
        Behaviour { on_failure: OnFailure::Continue, prune: true, health: HealthScope::All, ..Behaviour::default() };
    let mut crashes = 0;
    for number in 1.. {
        let stage = Stage::new(3);
        block_on(stage.land_this(pair("1", true), behaviour.clone())).expect("lands");
        let (refuses, has_refused) = (refusing(), Arc::new(AtomicBool::new(false)));
        let calls = AtomicU64::new(0);
        let seen = has_refused.clone();
        stage.cluster.restart(Box::new(move |attempt| {
            let fault = refuses(attempt);
            let is_after = seen.fetch_or(fault.is_some(), Ordering::SeqCst) && fault.is_none();
            let is_due = is_after && calls.fetch_add(1, Ordering::SeqCst) + 1 == number;
            if is_due { Some(Fault::CrashBefore) } else { fault }
        }));
        let ended = block_on(stage.cluster.until_crash(stage.land_this(pair("2", false), behaviour.clone())));
        if ended.is_some() {
            break;
        }
        crashes += 1;
        stage.cluster.restart(refusing());
        let Some(outcome) = block_on(stage.resume()).expect("resumes") else { continue };
        assert!(told(&outcome).iter().any(|failure| failure.contains("a policy refuses it")), "crash {number}");
        assert!(stage.picture().get("Secret db").is_some(), "crash {number}: the workload reads it");
    }
    assert!(crashes > 2, "{crashes} crashes");
}

//! Health: every verdict is kstatus' own, and waits end with the event that decides them.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "what fails here stops the test")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use apply::cluster::Propagation;
use apply::memory::{Gap, MemoryCluster, Settings};
use apply::{Call, Cluster, Reference};
use jiff::{SignedDuration, Timestamp};
use lockstep::health::{self, Health, Outcome, Reading, Rules};
use manifest::Object;
use serde_json::{Value, json};

/// Made by fluxcd/cli-utils 1.2.2 (`status.Compute`) and fluxcd/pkg/runtime 0.110.3 (`ComputeJobStatus`).
const CASES: &str = include_str!("health/cases.jsonl");

fn check(case: &Value, key: &str, reading: Reading, failed: &mut Vec<String>) {
    let Some(expected) = case.get(key).and_then(Value::as_str) else { return };
    let object = Object::new(case["object"].clone()).expect("cases are objects");
    let found = health::status(&object, reading, Timestamp::now());
    let message = case.get(format!("{key}Message")).and_then(Value::as_str);
    let same_words = message.is_none_or(|message| message == found.message());
    if found.name() != expected || !same_words {
        failed.push(format!("{}: {key} says {expected} {message:?}, we say {found:?}", case["object"]));
    }
}

#[test]
fn every_verdict_is_that_of_kstatus() {
    let mut failed = Vec::new();
    let mut ran = 0;
    for line in CASES.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        check(&case, "kstatus", Reading::Plain, &mut failed);
        let job = case.get("flux").is_some();
        if job {
            check(&case, "flux", Reading::Flux, &mut failed);
        } else {
            check(&case, "kstatus", Reading::Flux, &mut failed);
        }
        ran += 1;
    }
    assert!(failed.is_empty(), "{} of {ran} failed:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn helms_hooks_wait_for_jobs_and_pods_alone() {
    let now = Timestamp::now();
    let judge = |value: Value, reading| health::status(&Object::new(value).unwrap(), reading, now).name();
    let pod = |phase: &str| json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p" }, "status": { "phase": phase } });
    assert_eq!(judge(pod("Running"), Reading::HelmHooks), "InProgress");
    assert_eq!(judge(pod("Failed"), Reading::HelmHooks), "Failed");
    assert_eq!(judge(pod("Failed"), Reading::HelmJobs), "Current");
    let job = json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "j" }, "spec": { "suspend": true }, "status": { "startTime": "x" } });
    let verdicts = [Reading::Plain, Reading::Flux, Reading::HelmJobs].map(|reading| judge(job.clone(), reading));
    assert_eq!(verdicts, ["Current", "Current", "InProgress"]);
    assert_eq!(judge(deployment("d", false), Reading::HelmHooks), "Current");
}

fn deployment(name: &str, failing: bool) -> Value {
    let mut value = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name, "namespace": "default" },
        "spec": {
            "progressDeadlineSeconds": 60, "selector": { "matchLabels": { "app": name } },
            "template": { "metadata": { "labels": { "app": name } }, "spec": { "containers": [{ "name": "main", "image": "a:1" }] } },
        },
    });
    if failing {
        value["spec"]["template"]["metadata"]["labels"]["testbed/fail"] = json!("true");
    }
    value
}

fn at(name: &str) -> Reference {
    Reference::new("apps/v1", "Deployment", "default", name)
}

fn config(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "namespace": "default" } })
}

fn config_at(name: &str) -> Reference {
    Reference::new("v1", "ConfigMap", "default", name)
}

async fn apply(cluster: &MemoryCluster, value: Value) {
    let object = Object::new(value).unwrap();
    let call = Call::Apply { object, manager: "m".into(), force: true, dry_run: false, subresource: None };
    cluster.call(call).await.expect("the memory takes it");
}

async fn wait(cluster: &MemoryCluster, targets: &[Reference], rules: &Rules) -> Outcome {
    let told = Mutex::new(Vec::new());
    let progress = |at: &Reference, health: &Health| told.lock().unwrap().push((at.clone(), health.name()));
    let outcome = health::wait(cluster, targets, rules, tokio::time::sleep(Duration::from_secs(20)), &progress).await;
    assert!(!told.lock().unwrap().is_empty() || targets.is_empty());
    outcome
}

fn fast() -> Rules {
    Rules { fail_fast: true, ..Rules::default() }
}

#[tokio::test]
async fn a_wait_ends_when_the_last_target_is_current() {
    let cluster = MemoryCluster::new(Settings::default());
    apply(&cluster, config("a")).await;
    let targets = [at("web"), at("api"), config_at("a"), config_at("later")];
    let rules = fast();
    let writes = async {
        tokio::task::yield_now().await;
        apply(&cluster, deployment("web", false)).await;
        apply(&cluster, config("later")).await;
        apply(&cluster, deployment("api", false)).await;
    };
    let (outcome, ()) = tokio::join!(wait(&cluster, &targets, &rules), writes);
    assert!(outcome.is_healthy(), "{outcome:?}");
}

#[tokio::test]
async fn a_wait_for_nothing_is_over_at_once() {
    let cluster = MemoryCluster::new(Settings::default());
    assert!(wait(&cluster, &[], &fast()).await.is_healthy());
}

#[tokio::test]
async fn a_rollout_that_exceeds_its_deadline_ends_the_wait_in_fluxs_words() {
    let cluster = MemoryCluster::new(Settings::default());
    apply(&cluster, deployment("web", true)).await;
    let targets = [at("web"), at("not-there")];
    let later = async {
        tokio::task::yield_now().await;
        cluster.advance(SignedDuration::from_secs(61));
    };
    let rules = fast();
    let (outcome, ()) = tokio::join!(wait(&cluster, &targets, &rules), later);
    assert!(!outcome.is_healthy());
    assert_eq!(outcome.message(), "failed early due to stalled resources: [Deployment/default/web status: 'Failed']");
}

#[tokio::test]
async fn a_deadline_names_what_was_still_in_progress() {
    let cluster = MemoryCluster::new(Settings::default());
    apply(&cluster, deployment("web", true)).await;
    let rules = fast();
    let outcome =
        health::wait(&cluster, &[at("web")], &rules, tokio::time::sleep(Duration::from_millis(50)), &|_, _| {}).await;
    assert_eq!(outcome.message(), "timeout waiting for: [Deployment/default/web status: 'InProgress']");
}

#[tokio::test]
async fn a_watch_that_falls_silent_fails_nobody() {
    let cluster = MemoryCluster::new(Settings::default());
    apply(&cluster, deployment("web", false)).await;
    cluster.disturb(Gap::Silence(SignedDuration::from_hours(1)));
    let rules = fast();
    let outcome =
        health::wait(&cluster, &[at("web")], &rules, tokio::time::sleep(Duration::from_millis(50)), &|_, _| {}).await;
    assert!(outcome.is_healthy(), "{outcome:?}");
}

#[tokio::test]
async fn a_stateful_set_has_failed_when_its_pod_crashes() {
    let cluster = MemoryCluster::new(Settings::default());
    let mut set = deployment("db", true);
    set["kind"] = json!("StatefulSet");
    apply(&cluster, set).await;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "db-0", "namespace": "default", "labels": { "app": "db", "testbed/fail": "true" } },
        "spec": { "containers": [{ "name": "main", "image": "a:1" }] },
    });
    let targets = [Reference::new("apps/v1", "StatefulSet", "default", "db")];
    let rules = fast();
    let later = async {
        tokio::task::yield_now().await;
        apply(&cluster, pod).await;
    };
    let (outcome, ()) = tokio::join!(wait(&cluster, &targets, &rules), later);
    assert_eq!(outcome.states[&targets[0]], Health::Failed { message: "1 pods have failed".into() });
}

#[tokio::test]
async fn a_job_that_deletes_itself_when_done_counts_as_done() {
    let cluster = MemoryCluster::new(Settings::default());
    let job = Reference::new("batch/v1", "Job", "default", "once");
    let rules = Rules { vanishing: vec![job.id()], ..fast() };
    assert!(wait(&cluster, &[job], &rules).await.is_healthy());
}

#[tokio::test]
async fn a_deletion_in_between_is_seen() {
    let cluster = MemoryCluster::new(Settings::default());
    apply(&cluster, deployment("web", true)).await;
    let rules = fast();
    let later = async {
        tokio::task::yield_now().await;
        let propagation = Propagation::Background;
        let call = Call::Delete { at: at("web"), uid: None, resource_version: None, propagation, dry_run: false };
        cluster.call(call).await.unwrap();
    };
    let deadline = tokio::time::sleep(Duration::from_millis(100));
    let targets = [at("web")];
    let (outcome, ()) = tokio::join!(health::wait(&cluster, &targets, &rules, deadline, &|_, _| {}), later);
    assert_eq!(outcome.states[&at("web")], Health::NotFound);
}

#[tokio::test]
async fn a_judge_of_the_callers_goes_first() {
    let cluster = MemoryCluster::new(Settings::default());
    apply(&cluster, deployment("web", true)).await;
    let judge = |object: &Object| (object.name() == "web").then(|| Health::Current { message: "said so".into() });
    let rules = Rules { judge: Some(Arc::new(judge)), ..fast() };
    assert!(wait(&cluster, &[at("web")], &rules).await.is_healthy());
}

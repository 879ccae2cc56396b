//! What becomes of a landing that fails, by `lockstep.dev/on-failure`, on the cluster in memory.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here stops the test")]

#[path = "support/fleet.rs"]
mod fleet;
#[path = "support/repository.rs"]
mod repository;

use fleet::{Fleet, condition, config_map, deployment};
use serde_json::{Value, json};

/// A good revision has landed.
async fn landed(annotations: Value, spec: Value) -> Fleet {
    let fleet = Fleet::new().await;
    fleet.write("web", &revision("1", false));
    let commit = fleet.commit();
    fleet.kustomization("web", annotations, spec).await;
    fleet.answered("web", &commit, "True").await;
    fleet
}

/// A good revision has landed, and a bad one has failed: its Deployment never becomes healthy.
async fn failed(mode: &str) -> (Fleet, String) {
    let fleet = landed(json!({"lockstep.dev/on-failure": mode}), json!({"timeout": "3s"})).await;
    fleet.write("web", &revision("2", true));
    let commit = fleet.commit();
    fleet.answered("web", &commit, "False").await;
    (fleet, commit)
}

fn revision(number: &str, is_bad: bool) -> Vec<Value> {
    let mut web = deployment("web", 1, &[]);
    web["spec"]["progressDeadlineSeconds"] = 1.into();
    web["spec"]["template"]["metadata"]["annotations"]["revision"] = number.into();
    if is_bad {
        web["spec"]["template"]["metadata"]["labels"]["testbed/fail"] = "true".into();
    }
    vec![web, config_map("settings", json!({"revision": number})), config_map(&format!("only-{number}"), json!({}))]
}

/// Revisions of the ConfigMap and of the Deployment, and which of the others there are.
async fn stands(fleet: &Fleet) -> (String, String, Vec<&'static str>) {
    let text = |found: Option<manifest::Object>, at: &str| {
        found.and_then(|found| found.text(at).map(str::to_owned)).unwrap_or_default()
    };
    let settings = text(fleet.get("v1", "ConfigMap", "settings").await, "/data/revision");
    let web = fleet.get("apps/v1", "Deployment", "web").await;
    let web = text(web, "/spec/template/metadata/annotations/revision");
    let mut others = Vec::new();
    for name in ["only-1", "only-2"] {
        if fleet.get("v1", "ConfigMap", name).await.is_some() {
            others.push(name);
        }
    }
    (settings, web, others)
}

async fn ready(fleet: &Fleet) -> Value {
    let found = fleet.get("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "web").await;
    condition(&found.expect("it is there"), "Ready")
}

/// The next good revision lands, whatever became of the bad one.
async fn is_mended(fleet: Fleet) {
    fleet.write("web", &revision("3", false));
    let commit = fleet.commit();
    fleet.answered("web", &commit, "True").await;
    assert_eq!(stands(&fleet).await, ("3".into(), "3".into(), vec![]));
    fleet.end().await;
}

#[tokio::test]
async fn while_health_is_awaited_the_status_says_so_as_in_flux() {
    let fleet = landed(json!({}), json!({})).await;
    // Its pods wait for a Secret that nobody makes.
    fleet.write("web", &[deployment("web", 1, &["nowhere"])]);
    let commit = fleet.commit();
    let says = format!("Running health checks for revision main@sha1:{commit} with a timeout of 10s");
    let is_so = |found: Option<&manifest::Object>| {
        let told = |kind: &str| {
            let condition = found.map(|found| condition(found, kind)).unwrap_or_default();
            ["status", "reason", "message"].map(|field| condition[field].as_str().unwrap_or_default().to_owned())
        };
        told("Ready") == ["Unknown", "Progressing", "Reconciliation in progress"]
            && told("Healthy") == ["Unknown", "Progressing", &says]
            && told("Reconciling") == ["True", "Progressing", &says]
    };
    fleet.until(("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "web"), &says, is_so).await;
    fleet.end().await;
}

#[tokio::test]
async fn what_is_orphaned_in_the_middle_of_a_landing_stays_as_it_landed_last() {
    let fleet = landed(json!({}), json!({"timeout": "3s", "deletionPolicy": "Orphan"})).await;
    let mut objects = revision("2", false);
    objects[0]["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!([{"secretRef": {"name": "nowhere"}}]);
    fleet.write("web", &objects);
    fleet.commit();
    let is_written = |found: Option<&manifest::Object>| {
        found.and_then(|found| found.text("/spec/template/metadata/annotations/revision")) == Some("2")
    };
    fleet.until(("apps/v1", "Deployment", "web"), "written", is_written).await;
    fleet.delete("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "web").await;
    let at = ("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "web");
    fleet.until(at, "gone", |found| found.is_none()).await;
    assert_eq!(stands(&fleet).await, ("1".into(), "1".into(), vec!["only-1"]));
    fleet.end().await;
}

#[tokio::test]
async fn revert_brings_back_what_landed_last() {
    let (fleet, _) = failed("revert").await;
    assert_eq!(stands(&fleet).await, ("1".into(), "1".into(), vec!["only-1"]));
    let said = ready(&fleet).await["message"].as_str().unwrap_or_default().to_owned();
    assert!(said.starts_with("held at main@sha1:"), "{said}");
    is_mended(fleet).await;
}

#[tokio::test]
async fn hold_leaves_what_is_written_and_deletes_nothing() {
    let (fleet, _) = failed("hold").await;
    assert_eq!(stands(&fleet).await, ("2".into(), "2".into(), vec!["only-1", "only-2"]));
    is_mended(fleet).await;
}

#[tokio::test]
async fn continue_goes_on_as_flux_does_and_says_that_it_is_not_healthy_until_it_is() {
    let (fleet, _) = failed("continue").await;
    assert_eq!(ready(&fleet).await["reason"], "HealthCheckFailed");
    // It looks again, and still says so.
    for _ in 0..30 {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        assert_ne!(ready(&fleet).await["status"], "True");
    }
    assert_eq!(stands(&fleet).await.1, "2");
    is_mended(fleet).await;
}

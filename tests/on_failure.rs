//! What becomes of a landing that fails, by `lockstep.dev/on-failure` and `lockstep.dev/order`, or that somebody suspends or deletes
//! in its middle, on the cluster in memory.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here stops the test")]

#[path = "support/fleet.rs"]
mod fleet;
#[path = "support/repository.rs"]
mod repository;

use apply::{Call, Reference, Selection};
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
    let found = fleet.get(UNIT.0, UNIT.1, UNIT.2).await;
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
    fleet.until(UNIT, &says, is_so).await;
    fleet.end().await;
}

const UNIT: (&str, &str, &str) = ("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "web");

/// Commits a revision whose pods wait for a Secret that nobody makes, and have failed after so many seconds; waits until its
/// Deployment is written.
async fn begin(fleet: &Fleet, deadline: u32) {
    let mut objects = revision("2", false);
    objects[0]["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!([{"secretRef": {"name": "nowhere"}}]);
    objects[0]["spec"]["progressDeadlineSeconds"] = deadline.into();
    fleet.write("web", &objects);
    fleet.commit();
    let is_written = |found: Option<&manifest::Object>| {
        found.and_then(|found| found.text("/spec/template/metadata/annotations/revision")) == Some("2")
    };
    fleet.until(("apps/v1", "Deployment", "web"), "written", is_written).await;
}

/// landing.md 7: an open landing is finished or undone, also when its unit is suspended in its middle, and the agent restarts;
/// nothing new begins.
#[tokio::test]
async fn what_is_suspended_in_the_middle_of_a_landing_is_finished_or_taken_back() {
    for restarts in [false, true] {
        for is_mended in [false, true] {
            // What is only slow is not taken back.
            let (deadline, timeout) = if is_mended { (600, "1s") } else { (3, "10s") };
            let mut fleet = landed(json!({}), json!({"timeout": timeout})).await;
            begin(&fleet, deadline).await;
            if restarts {
                fleet.stop().await;
            }
            fleet.kustomization("web", json!({}), json!({"timeout": timeout, "suspend": true})).await;
            if restarts {
                fleet.start().await;
            }
            let gone = if is_mended { "only-1" } else { "only-2" };
            if is_mended {
                tokio::time::sleep(std::time::Duration::from_secs(2)).await; // longer than its timeout
                fleet.apply(fleet::object("v1", "Secret", "nowhere", json!({}))).await;
            }
            fleet.until(("v1", "ConfigMap", gone), "gone", |found| found.is_none()).await;
            fleet.calm().await;
            let whole = |number: &str, only| (number.to_owned(), number.to_owned(), vec![only]);
            let whole = if is_mended { whole("2", "only-2") } else { whole("1", "only-1") };
            assert_eq!(stands(&fleet).await, whole, "restarts: {restarts}");
            fleet.write("web", &revision("3", false));
            let commit = fleet.commit();
            tokio::time::sleep(std::time::Duration::from_secs(2)).await; // the source is looked at each second
            fleet.calm().await;
            assert_eq!(stands(&fleet).await, whole, "a suspended unit begins nothing");
            fleet.kustomization("web", json!({}), json!({"suspend": false})).await;
            fleet.answered("web", &commit, "True").await;
            assert_eq!(stands(&fleet).await, ("3".into(), "3".into(), vec![]));
            fleet.end().await;
        }
    }
}

#[tokio::test]
async fn in_flux_order_what_is_not_declared_any_more_goes_before_health_and_comes_back_with_the_rest() {
    for (order, is_kept) in [("landing", true), ("flux", false)] {
        let fleet = landed(json!({"lockstep.dev/order": order}), json!({"timeout": "3s"})).await;
        let uid = async || fleet.get("v1", "ConfigMap", "only-1").await.map(|found| found.uid().to_owned());
        let before = uid().await;
        fleet.write("web", &revision("2", true));
        let commit = fleet.commit();
        fleet.answered("web", &commit, "False").await;
        assert_eq!(stands(&fleet).await, ("1".into(), "1".into(), vec!["only-1"]), "{order}");
        assert_eq!(uid().await == before, is_kept, "{order}");
        is_mended(fleet).await;
    }
}

#[tokio::test]
async fn what_is_orphaned_in_the_middle_of_a_landing_stays_as_it_landed_last() {
    let fleet = landed(json!({}), json!({"timeout": "3s", "deletionPolicy": "Orphan"})).await;
    begin(&fleet, 1).await;
    fleet.delete(UNIT.0, UNIT.1, UNIT.2).await;
    fleet.until(UNIT, "gone", |found| found.is_none()).await;
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

/// Deletes Secrets of the agent's namespace.
async fn lose(fleet: &Fleet, is_lost: impl Fn(&manifest::Object) -> bool) {
    let all = fleet.cluster.list(&Selection::all("v1", "Secret").within("system")).await.expect("a list");
    for secret in all.iter().filter(|secret| is_lost(secret)) {
        let at = Reference::of(secret);
        let propagation = apply::cluster::Propagation::Background;
        let call = Call::Delete { at, uid: None, resource_version: None, propagation, dry_run: false };
        fleet.cluster.call(call).await.expect("it is deleted");
    }
}

#[tokio::test]
async fn without_its_keys_the_agent_says_so_and_takes_over_what_runs_once_it_may() {
    let mut fleet = Fleet::new().await;
    fleet.store(&[("alone", "1")]).await;
    fleet.apply(fleet::external("alone")).await;
    fleet.write("web", &[deployment("web", 1, &["alone"])]);
    let commit = fleet.commit();
    fleet.kustomization("web", json!({}), json!({})).await;
    fleet.answered("web", &commit, "True").await;
    let units = [
        ("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "web"),
        ("external-secrets.io/v1", "ExternalSecret", "alone"),
    ];
    let is = |status: &'static str, words: &'static str| {
        move |found: Option<&manifest::Object>| {
            let ready = found.map(|found| condition(found, "Ready")).unwrap_or_default();
            ready["status"] == status && ready["message"].to_string().contains(words)
        }
    };
    fleet.store(&[("alone", "2")]).await;
    let is_stamped = |found: Option<&manifest::Object>| {
        found.is_some_and(|found| found.value().to_string().contains(apply::stamp::ANNOTATION))
    };
    fleet.until(("apps/v1", "Deployment", "web"), "stamped", is_stamped).await;
    for unit in units {
        fleet.until(unit, "landed", is("True", "")).await;
    }
    fleet.calm().await;
    let before = fleet.get("apps/v1", "Deployment", "web").await.expect("it landed");
    fleet.stop().await;
    lose(&fleet, |secret| secret.name() == "lockstep-keys").await;
    fleet.start().await;
    for unit in units {
        // Whoever has nothing to do reads no journal.
        let asked = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "1", "force-sync": "1"}}});
        fleet.edit(unit.0, unit.1, unit.2, asked).await;
        fleet.until(unit, "locked out", is("False", "Bring Secret system/lockstep-keys back")).await;
    }
    fleet.stop().await;
    lose(&fleet, |secret| secret.label("lockstep.dev/journal") == Some("true")).await;
    fleet.start().await;
    for unit in units {
        fleet.until(unit, "taken over", is("True", "")).await;
    }
    fleet.calm().await;
    let after = fleet.get("apps/v1", "Deployment", "web").await.expect("it stays");
    assert_eq!((after.uid(), after.generation()), (before.uid(), before.generation()), "nothing is rolled out");
    fleet.end().await;
}

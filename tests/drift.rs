//! Drift on the cluster in memory: told by watches, put back at once, or only reported.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here stops the test")]

#[path = "support/dice.rs"]
mod dice;
#[path = "support/fleet.rs"]
mod fleet;
#[path = "support/repository.rs"]
mod repository;

use dice::Dice;
use fleet::{Fleet, condition, config_map, deployment};
use manifest::Object;
use serde_json::json;

const DEPLOYMENT: (&str, &str, &str) = ("apps/v1", "Deployment", "web");
const CONFIG: (&str, &str, &str) = ("v1", "ConfigMap", "settings");

/// A unit with a Deployment and a ConfigMap has landed, and nothing is asked any more.
async fn landed(annotations: serde_json::Value) -> Fleet {
    let fleet = Fleet::new().await;
    fleet.write("web", &[deployment("web", 2, &[]), config_map("settings", json!({"a": "1"}))]);
    let commit = fleet.commit();
    fleet.kustomization("web", annotations, json!({})).await;
    fleet.answered("web", &commit, "True").await;
    fleet.calm().await;
    fleet
}

fn replicas(found: Option<&Object>) -> Option<i64> {
    found?.value().pointer("/spec/replicas")?.as_i64()
}

#[tokio::test]
async fn what_others_change_or_delete_is_put_back_with_one_dry_run_of_that_object() {
    let fleet = landed(json!({})).await;
    fleet.patch("scaler", "apps/v1", "Deployment", "web", json!({"spec": {"replicas": 5}})).await;
    fleet.until(DEPLOYMENT, "scaled back", |found| replicas(found) == Some(2)).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let asked = fleet.requests("Deployment/");
    let of_web = |verb, is_dry_run| (verb, is_dry_run, "Deployment/apps/web".to_owned());
    assert_eq!(asked, [of_web("get", false), of_web("apply", true), of_web("apply", false)]);

    fleet.edit("v1", "ConfigMap", "settings", json!({"data": {"a": "2"}})).await;
    fleet.until(CONFIG, "edited back", |found| found.is_some_and(|f| f.text("/data/a") == Some("1"))).await;
    fleet.calm().await;
    // A field that kubectl adds goes, as with Flux.
    fleet.edit("v1", "ConfigMap", "settings", json!({"data": {"b": "2"}})).await;
    fleet.until(CONFIG, "cleaned", |found| found.is_some_and(|f| f.value().pointer("/data/b").is_none())).await;
    fleet.calm().await;

    fleet.delete("v1", "ConfigMap", "settings").await;
    fleet.until(CONFIG, "back", |found| found.is_some()).await;
    let events = fleet.events("web").await;
    let said = |text: &str| events.iter().any(|(reason, message)| reason == "Progressing" && message == text);
    assert!(said("Deployment/apps/web configured") && said("ConfigMap/apps/settings created"), "{events:?}");
    assert!(
        fleet
            .metrics()
            .contains(r#"lockstep_drift_corrections_total{kind="Kustomization",name="web",namespace="apps"} 4"#)
    );
    fleet.end().await;
}

#[tokio::test]
async fn a_secret_that_is_deleted_while_its_reader_is_awaited_comes_back_within_the_wait() {
    let fleet = Fleet::new().await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token", "namespace": fleet::NAMESPACE}, "stringData": {"a": "1"}});
    let mut web = deployment("web", 1, &["token"]);
    // It starts when somebody has made what it reads besides.
    web["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "late"}}]);
    fleet.write("web", &[secret, web]);
    let commit = fleet.commit();
    fleet.kustomization("web", json!({}), json!({"wait": true, "timeout": "5m"})).await;
    for _ in 0..2 {
        fleet.until(("v1", "Secret", "token"), "made", |found| found.is_some()).await;
        fleet
            .until(DEPLOYMENT, "begun", |found| {
                found.is_some_and(|web| web.text("/status/conditions/0/type").is_some())
            })
            .await;
        fleet.delete("v1", "Secret", "token").await;
    }
    fleet.until(("v1", "Secret", "token"), "back", |found| found.is_some()).await;
    fleet.apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late", "namespace": fleet::NAMESPACE}})).await;
    fleet.answered("web", &commit, "True").await;
    fleet.calm().await;
    fleet.end().await;
}

#[tokio::test]
async fn what_happens_in_a_gap_of_all_watches_is_put_back_after_the_next_list() {
    for seed in 0..3 {
        let fleet = landed(json!({})).await;
        let mut dice = Dice(seed);
        for _ in 0..5 {
            fleet.blind(dice.hits(70));
            let is_there = |found: Option<Object>| found.is_some();
            let has_config = is_there(fleet.get("v1", "ConfigMap", "settings").await);
            let has_web = is_there(fleet.get("apps/v1", "Deployment", "web").await);
            match dice.below(4) {
                0 if has_config => fleet.delete("v1", "ConfigMap", "settings").await,
                1 if has_web => fleet.delete("apps/v1", "Deployment", "web").await,
                2 if has_config => {
                    drop(fleet.edit("v1", "ConfigMap", "settings", json!({"data": {"a": seed.to_string()}})).await);
                }
                3 if has_web => {
                    drop(fleet.edit("apps/v1", "Deployment", "web", json!({"spec": {"replicas": 7}})).await);
                }
                _ => {}
            }
        }
        fleet.blind(false);
        fleet.until(CONFIG, "as committed", |found| found.is_some_and(|f| f.text("/data/a") == Some("1"))).await;
        fleet.until(DEPLOYMENT, "as committed", |found| replicas(found) == Some(2)).await;
        fleet.end().await;
    }
}

#[tokio::test]
async fn what_controllers_write_into_fields_of_their_own_asks_nothing() {
    let fleet = landed(json!({})).await;
    let scale = json!({"metadata": {"annotations": {"autoscaler": "seen"}}, "status": {"observedGeneration": 1}});
    fleet.patch("controller", "apps/v1", "Deployment", "web", scale).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(fleet.requests("Deployment"), []);
    fleet.end().await;
}

#[tokio::test]
async fn an_object_that_somebody_keeps_changing_is_put_back_after_a_growing_pause() {
    let fleet = landed(json!({})).await;
    for round in 0..4 {
        fleet.edit("apps/v1", "Deployment", "web", json!({"spec": {"replicas": 5 + round}})).await;
        fleet.until(DEPLOYMENT, "scaled back", |found| replicas(found) == Some(2)).await;
    }
    let events = fleet.events("web").await;
    let told =
        |(reason, message): &(String, String)| reason == "DriftDetected" && message.contains("keeps changing it");
    assert!(events.iter().any(told), "{events:?}");
    fleet.end().await;
}

/// unmet.md 20: `drift: warn` reports changed and added fields as condition and metric, without a write.
#[tokio::test]
async fn requirement_20_drift_that_is_only_warned_of_is_a_condition_and_a_metric_and_no_write() {
    let fleet = landed(json!({"lockstep.dev/drift": "warn"})).await;
    fleet.edit("apps/v1", "Deployment", "web", json!({"spec": {"replicas": 5}})).await;
    fleet.edit("v1", "ConfigMap", "settings", json!({"data": {"added": "2"}})).await;
    let unit = ("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "web");
    let is_told = |found: Option<&Object>| {
        let message = found.map(|f| condition(f, "Drifted")["message"].to_string()).unwrap_or_default();
        message.contains("spec.replicas") && message.contains("data.added")
    };
    let told = fleet.until(unit, "reported", is_told).await.expect("it is there");
    assert_eq!(condition(&told, "Drifted")["reason"], "DriftDetected");
    assert_eq!(condition(&told, "Ready")["status"], "True");
    let metric = |count: u32| {
        format!("lockstep_drifted_objects{{kind=\"Kustomization\",name=\"web\",namespace=\"apps\"}} {count}")
    };
    assert!(fleet.metrics().contains(&metric(2)), "{}", fleet.metrics());
    fleet.calm().await;
    assert_eq!(replicas(fleet.get("apps/v1", "Deployment", "web").await.as_ref()), Some(5), "nothing was written");
    // Whoever puts it back by hand is believed.
    fleet.edit("apps/v1", "Deployment", "web", json!({"spec": {"replicas": 2}})).await;
    let has_one = |found: Option<&Object>| {
        found.is_some_and(|f| !condition(f, "Drifted")["message"].to_string().contains("spec.replicas"))
    };
    fleet.until(unit, "reported for one", has_one).await;
    // What lands over it ends it.
    fleet.write("web", &[deployment("web", 3, &[]), config_map("settings", json!({"a": "2", "added": "3"}))]);
    let commit = fleet.commit();
    fleet.answered("web", &commit, "True").await;
    let found = fleet.get(unit.0, unit.1, unit.2).await.expect("it is there");
    assert_eq!(condition(&found, "Drifted"), serde_json::Value::Null);
    fleet.end().await;
}

#[tokio::test]
async fn what_was_taken_out_of_our_hands_stays_as_it_is() {
    let fleet = landed(json!({})).await;
    let disabled = json!({"metadata": {"annotations": {"kustomize.toolkit.fluxcd.io/reconcile": "disabled"}}});
    fleet.edit("apps/v1", "Deployment", "web", disabled).await;
    fleet.edit("apps/v1", "Deployment", "web", json!({"spec": {"replicas": 5}})).await;
    fleet.calm().await;
    assert_eq!(replicas(fleet.get("apps/v1", "Deployment", "web").await.as_ref()), Some(5));
    fleet.end().await;
}

#[tokio::test]
async fn at_rest_and_after_a_restart_nothing_is_written_and_drift_of_the_meantime_is_put_back() {
    let mut fleet = landed(json!({})).await;
    fleet.stop().await;
    fleet.edit("apps/v1", "Deployment", "web", json!({"spec": {"replicas": 5}})).await;
    fleet.start().await;
    fleet.until(DEPLOYMENT, "scaled back", |found| replicas(found) == Some(2)).await;
    let written: Vec<_> = fleet.requests("").into_iter().filter(|r| r.0 == "apply" && !r.1).collect();
    assert_eq!(written, [("apply", false, "Deployment/apps/web".to_owned())]);
    fleet.end().await;
}

#[tokio::test]
async fn after_a_restart_only_what_others_have_changed_meanwhile_is_asked_for() {
    let mut fleet = Fleet::new().await;
    let units: Vec<String> = (0..8).map(|number| format!("unit-{number}")).collect();
    for unit in &units {
        fleet.write(unit, &[deployment(unit, 2, &[]), config_map(unit, json!({"a": "1"}))]);
    }
    let commit = fleet.commit();
    for unit in &units {
        fleet.kustomization(unit, json!({}), json!({})).await;
    }
    for unit in &units {
        fleet.answered(unit, &commit, "True").await;
    }
    fleet.calm().await;
    fleet.stop().await;
    // The last one is claimed when all watches have told what there is.
    for name in ["unit-0", "unit-7"] {
        fleet.edit("apps/v1", "Deployment", name, json!({"spec": {"replicas": 5}})).await;
    }
    fleet.delete("v1", "ConfigMap", "unit-7").await;
    fleet.start().await;
    for name in ["unit-0", "unit-7"] {
        fleet.until(("apps/v1", "Deployment", name), "scaled back", |found| replicas(found) == Some(2)).await;
    }
    fleet.until(("v1", "ConfigMap", "unit-7"), "back", |found| found.is_some()).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let asked = fleet.requests("/apps/");
    let is_about = |(.., id): &&(_, _, String)| id.starts_with("Deployment/") || id.starts_with("ConfigMap/");
    let mut ids: Vec<_> = asked.iter().filter(is_about).map(|(.., id)| id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids, ["ConfigMap/apps/unit-7", "Deployment/apps/unit-0", "Deployment/apps/unit-7"]);
    fleet.end().await;
}

//! Rotated secrets on the cluster in memory: one rollout for a batch, joint with their consumers.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here stops the test")]

#[path = "support/fleet.rs"]
mod fleet;
#[path = "support/repository.rs"]
mod repository;

use std::time::Duration;

use apply::stamp::ANNOTATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fleet::{Fleet, condition, deployment, external, object};
use manifest::Object;
use serde_json::{Value, json};

const STORE: &str = "external-secrets.io/v1";
const DEPLOYMENT: (&str, &str, &str) = ("apps/v1", "Deployment", "web");

fn stamp(found: &Object) -> Option<String> {
    let annotations = found.value().pointer("/spec/template/metadata/annotations")?;
    Some(annotations.get(ANNOTATION)?.as_str()?.to_owned())
}

async fn generation(fleet: &Fleet) -> i64 {
    fleet.get("apps/v1", "Deployment", "web").await.expect("it landed").generation()
}

/// unmet.md 3: three secrets of one Deployment that are rotated within a second are one rollout, and restarts of the agent
/// are none.
#[tokio::test]
async fn requirement_3_rotation_of_three_secrets_within_a_second_is_one_rollout() {
    let mut fleet = Fleet::new().await;
    fleet.store(&[("one", "1"), ("two", "1"), ("three", "1")]).await;
    let names = ["one", "two", "three"];
    let objects: Vec<Value> = names.iter().map(|name| external(name)).chain([deployment("web", 1, &names)]).collect();
    fleet.write("web", &objects);
    let commit = fleet.commit();
    fleet.kustomization("web", json!({}), json!({})).await;
    fleet.answered("web", &commit, "True").await;
    let before = fleet.get("apps/v1", "Deployment", "web").await.expect("it landed");
    assert_eq!(stamp(&before), None, "adoption stamps nothing");

    for values in [["2", "1", "1"], ["2", "2", "1"], ["2", "2", "2"]] {
        let values: Vec<_> = names.into_iter().zip(values).collect();
        fleet.store(&values).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    fleet.until(DEPLOYMENT, "stamped", |found| found.is_some_and(|found| stamp(found).is_some())).await;
    let rolled = generation(&fleet).await;
    assert_eq!(rolled, before.generation() + 1);
    for name in names {
        assert_eq!(fleet.secret(name).await, "2", "the template came with all of its secrets");
    }
    // The last of them may be looked at after the landing.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(generation(&fleet).await, rolled, "one rollout");
    for _ in 0..10 {
        fleet.stop().await;
        fleet.start().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(generation(&fleet).await, rolled, "a restart rolls nothing");
    fleet.end().await;
}

#[tokio::test]
async fn a_rotation_that_is_taken_back_beside_other_parcels_is_called_one_and_told_of_its_external_secret() {
    let fleet = Fleet::new().await;
    fleet.store(&[("db", GOOD), ("other", "1")]).await;
    fleet.write("web", &[document("db"), consumer("web"), external("other")]);
    let commit = fleet.commit();
    fleet.kustomization("web", json!({}), json!({"wait": false})).await;
    fleet.answered("web", &commit, "True").await;
    let good = standing(&fleet).await;
    fleet.store(&[("db", BAD), ("other", "2")]).await;
    let message = ready_message(&fleet, "web", "held at").await;
    let expected =
        format!("held at main@sha1:{commit}: what has changed beside it landed without parcel Deployment/apps/web: ");
    assert!(message.starts_with(&expected), "{message}");
    assert_eq!((standing(&fleet).await, fleet.secret("other").await), (good, "2".into()));
    let told = fleet.events("db").await;
    let failed: Vec<_> = told.iter().filter(|(reason, _)| reason == "UpdateFailed").collect();
    let [(_, message)] = failed.as_slice() else { panic!("{told:?}") };
    let expected = "could not update secret: Kustomization/apps/web has taken the new value back: ";
    assert!(message.starts_with(expected) && message.contains("Deployment/apps/web"), "{message}");
    assert!(!fleet.events("other").await.iter().any(|(reason, _)| reason == "UpdateFailed"), "its own has landed");
    fleet.end().await;
}

/// Two units: `keys` makes the Secret, `web` reads it.
async fn two_units() -> (Fleet, String) {
    let fleet = Fleet::new().await;
    fleet.store(&[("one", "1")]).await;
    fleet.write("keys", &[external("one")]);
    fleet.write("web", &[deployment("web", 1, &["one"])]);
    let commit = fleet.commit();
    fleet.kustomization("keys", json!({}), json!({})).await;
    fleet.answered("keys", &commit, "True").await;
    fleet.kustomization("web", json!({}), json!({})).await;
    fleet.answered("web", &commit, "True").await;
    (fleet, commit)
}

#[tokio::test]
async fn a_workload_of_another_unit_rolls_once_with_the_secret_that_it_reads() {
    let (mut fleet, _) = two_units().await;
    let before = generation(&fleet).await;
    fleet.store(&[("one", "2")]).await;
    fleet.until(DEPLOYMENT, "stamped", |found| found.is_some_and(|found| stamp(found).is_some())).await;
    assert_eq!(fleet.secret("one").await, "2");
    fleet.calm().await;
    assert_eq!(generation(&fleet).await, before + 1);
    // Also when nobody has compiled since the start.
    fleet.stop().await;
    fleet.start().await;
    fleet.calm().await;
    let first = fleet.get("apps/v1", "Deployment", "web").await.and_then(|found| stamp(&found));
    fleet.store(&[("one", "3")]).await;
    fleet.until(DEPLOYMENT, "stamped anew", |found| found.is_some_and(|found| stamp(found) != first)).await;
    fleet.calm().await;
    assert_eq!(generation(&fleet).await, before + 2);
    fleet.end().await;
}

const GOOD: &str = r#"{"password": "good"}"#;
const BETTER: &str = r#"{"password": "better"}"#;
/// What reads the password does not start with this.
const BAD: &str = r#"{"pass": "bad"}"#;

/// An ExternalSecret of every key of a document.
fn document(name: &str) -> Value {
    let data = json!([{"extract": {"key": name}}]);
    let spec = json!({"refreshInterval": "1s", "secretStoreRef": {"name": "store"}, "dataFrom": data});
    object(STORE, "ExternalSecret", name, json!({ "spec": spec }))
}

/// A Deployment that needs the password, and has failed after a second without it.
fn consumer(name: &str) -> Value {
    let mut value = deployment(name, 1, &[]);
    value["spec"]["progressDeadlineSeconds"] = 1.into();
    value["spec"]["template"]["spec"]["containers"][0] = json!({"name": "c", "image": "app:1",
        "env": [{"name": "P", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]});
    value
}

/// Data of the Secret, and the template of the workload.
async fn standing(fleet: &Fleet) -> (Value, Value) {
    let secret = fleet.get("v1", "Secret", "db").await.expect("it landed");
    let web = fleet.get("apps/v1", "Deployment", "web").await.expect("it landed");
    (secret.value()["data"].clone(), web.value()["spec"]["template"].clone())
}

async fn ready_message(fleet: &Fleet, unit: &str, has: &str) -> String {
    let at = ("kustomize.toolkit.fluxcd.io/v1", "Kustomization", unit);
    let text = |found: &Object| condition(found, "Ready")["message"].as_str().unwrap_or_default().to_owned();
    let found = fleet.until(at, has, |found| found.is_some_and(|found| text(found).contains(has))).await;
    text(&found.expect("it is there"))
}

fn writes(requests: &[fleet::Request]) -> Vec<&fleet::Request> {
    let is_write = |verb: &str| matches!(verb, "apply" | "update" | "patch" | "create" | "delete");
    requests.iter().filter(|(verb, is_dry_run, _)| is_write(verb) && !is_dry_run).collect()
}

/// unmet.md 2: a rotation to a bad password is taken back, bytes and template, status says where the unit is held, and
/// nothing is tried again before a newer commit or version.
#[tokio::test]
async fn requirement_2_rotation_to_a_bad_password_returns_the_last_good_bytes_and_template_and_waits_for_news() {
    let mut fleet = Fleet::new().await;
    fleet.store(&[("db", GOOD)]).await;
    fleet.write("web", &[document("db"), consumer("web")]);
    let commit = fleet.commit();
    fleet.kustomization("web", json!({}), json!({"wait": false})).await;
    fleet.answered("web", &commit, "True").await;
    let good = standing(&fleet).await;

    fleet.store(&[("db", BAD)]).await;
    let message = ready_message(&fleet, "web", "held at").await;
    assert_eq!(standing(&fleet).await, good, "byte for byte");
    let held = format!("{commit}, kv versions db as it was: ");
    assert!(message.starts_with("held at main@sha1:") && message.contains(&held), "{message}");
    let rolled = generation(&fleet).await;
    fleet.calm().await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let tried = fleet.requests("apps/");
    assert!(
        writes(&tried).iter().all(|(.., id)| !id.contains("Secret/apps/db") && !id.contains("Deployment")),
        "{tried:?}"
    );
    // Nor does a restart try.
    fleet.stop().await;
    fleet.start().await;
    fleet.calm().await;
    assert_eq!((standing(&fleet).await, generation(&fleet).await), (good, rolled));

    fleet.store(&[("db", BETTER)]).await;
    fleet.until(DEPLOYMENT, "stamped", |found| found.is_some_and(|found| stamp(found).is_some())).await;
    let secret = fleet.get("v1", "Secret", "db").await.expect("it landed");
    assert_eq!(secret.text("/data/password"), Some(STANDARD.encode("better").as_str()));
    fleet.answered("web", &commit, "True").await;
    fleet.end().await;
}

/// Two units: `keys` makes the Secret, `web` needs its password.
async fn producer_and_consumer(annotations: Value) -> (Fleet, String) {
    let fleet = Fleet::new().await;
    fleet.store(&[("db", GOOD)]).await;
    fleet.write("keys", &[document("db")]);
    fleet.write("web", &[consumer("web")]);
    let commit = fleet.commit();
    fleet.kustomization("keys", json!({}), json!({})).await;
    fleet.answered("keys", &commit, "True").await;
    fleet.kustomization("web", annotations, json!({})).await;
    fleet.answered("web", &commit, "True").await;
    fleet.calm().await;
    (fleet, commit)
}

#[tokio::test]
async fn rotation_that_breaks_a_workload_of_another_unit_takes_the_secret_back() {
    let (fleet, commit) = producer_and_consumer(json!({})).await;
    let good = standing(&fleet).await;
    fleet.store(&[("db", BAD)]).await;
    let message = ready_message(&fleet, "keys", "held at").await;
    assert!(message.contains("Deployment/apps/web of Kustomization/apps/web reads it"), "{message}");
    assert_eq!(standing(&fleet).await, good, "both are back");
    fleet.calm().await;
    assert_eq!(standing(&fleet).await, good, "and stay");
    let web = fleet.get("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "web").await.expect("it is there");
    assert_eq!(fleet::condition(&web, "Ready")["status"], "True", "the other unit is as it was");

    fleet.store(&[("db", BETTER)]).await;
    fleet.until(DEPLOYMENT, "stamped", |found| found.is_some_and(|found| stamp(found).is_some())).await;
    fleet.answered("keys", &commit, "True").await;
    fleet.end().await;
}

#[tokio::test]
async fn a_workload_of_another_unit_that_landed_as_a_guest_is_unchanged_for_its_own_unit() {
    let (mut fleet, _) = producer_and_consumer(json!({})).await;
    let before = generation(&fleet).await;
    fleet.store(&[("db", BETTER)]).await;
    fleet.until(DEPLOYMENT, "stamped", |found| found.is_some_and(|found| stamp(found).is_some())).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let requests = fleet.requests("Deployment/apps/web");
    let live = fleet.get("apps/v1", "Deployment", "web").await.expect("it landed");
    assert_eq!(writes(&requests).len(), 1, "the stamp alone, once: {requests:?}");
    assert_eq!(live.generation(), before + 1);
    let managers = live.value()["metadata"]["managedFields"].as_array().expect("managers");
    assert!(managers.iter().any(|entry| entry["manager"] == apply::guest::MANAGER), "{managers:?}");
    // Its own unit keeps the stamp, also when it writes for another reason, and after a restart.
    let stamped = stamp(&live);
    fleet.edit("apps/v1", "Deployment", "web", json!({"spec": {"minReadySeconds": 7}})).await;
    fleet
        .until(DEPLOYMENT, "put back", |found| {
            found.is_some_and(|f| f.value().pointer("/spec/minReadySeconds").is_none())
        })
        .await;
    fleet.stop().await;
    fleet.start().await;
    fleet.calm().await;
    let live = fleet.get("apps/v1", "Deployment", "web").await.expect("it landed");
    assert_eq!(stamp(&live), stamped);
    fleet.end().await;
}

#[tokio::test]
async fn a_unit_that_switches_rollouts_off_has_no_guests() {
    let (fleet, _) = producer_and_consumer(json!({"lockstep.dev/rollout": "disabled"})).await;
    let before = generation(&fleet).await;
    fleet.store(&[("db", BETTER)]).await;
    let is_new = |found: Option<&Object>| {
        found.is_some_and(|found| found.text("/data/password") == Some(STANDARD.encode("better").as_str()))
    };
    fleet.until(("v1", "Secret", "db"), "new", is_new).await;
    fleet.calm().await;
    assert_eq!(generation(&fleet).await, before);
    fleet.end().await;
}

#[tokio::test]
async fn a_workload_that_nobody_manages_is_rolled_out_when_it_asks_for_it() {
    let fleet = Fleet::new().await;
    fleet.store(&[("db", GOOD)]).await;
    fleet.write("keys", &[document("db")]);
    let commit = fleet.commit();
    fleet.kustomization("keys", json!({}), json!({})).await;
    fleet.answered("keys", &commit, "True").await;
    let mut asks = consumer("asks");
    asks["metadata"]["annotations"] = json!({"lockstep.dev/rollout": "enabled"});
    fleet.apply(asks).await;
    fleet.apply(consumer("silent")).await;
    fleet.calm().await;
    let read = async |name: &str| fleet.get("apps/v1", "Deployment", name).await.expect("it is there");
    fleet.store(&[("db", BETTER)]).await;
    let asks = ("apps/v1", "Deployment", "asks");
    fleet.until(asks, "stamped", |found| found.is_some_and(|found| stamp(found).is_some())).await;
    fleet.calm().await;
    assert_eq!(stamp(&read("silent").await), None);
    let good = stamp(&read("asks").await);
    // It has a say, too.
    fleet.store(&[("db", BAD)]).await;
    let message = ready_message(&fleet, "keys", "held at").await;
    assert!(message.contains("Deployment/apps/asks of no unit reads it"), "{message}");
    assert_eq!(stamp(&read("asks").await), good);
    fleet.end().await;
}

#[tokio::test]
async fn a_rollout_that_is_only_slow_is_held_at_the_timeout_and_another_rotation_supersedes_it() {
    let fleet = Fleet::new().await;
    fleet.store(&[("db", GOOD)]).await;
    let mut slow = consumer("web");
    slow["spec"]["progressDeadlineSeconds"] = 600.into();
    fleet.write("web", &[document("db"), slow]);
    let commit = fleet.commit();
    fleet.kustomization("web", json!({}), json!({"wait": false, "timeout": "2s"})).await;
    fleet.answered("web", &commit, "True").await;
    fleet.store(&[("db", BAD)]).await;
    ready_message(&fleet, "web", "is applied and not healthy yet").await;
    let (data, template) = standing(&fleet).await;
    assert!(data.get("pass").is_some(), "it is not taken back");
    assert!(template.pointer("/metadata/annotations").is_some());
    fleet.store(&[("db", BETTER)]).await;
    fleet.answered("web", &commit, "True").await;
    let (data, _) = standing(&fleet).await;
    assert_eq!(data["password"], STANDARD.encode("better"));
    fleet.end().await;
}

#[tokio::test]
async fn a_suspended_unit_keeps_its_secrets_fresh_and_restarts_its_pods_when_it_goes_on() {
    let fleet = Fleet::new().await;
    fleet.store(&[("db", GOOD)]).await;
    fleet.write("web", &[document("db"), consumer("web"), fleet::config_map("other", json!({"a": "1"}))]);
    let commit = fleet.commit();
    fleet.kustomization("web", json!({}), json!({})).await;
    fleet.answered("web", &commit, "True").await;
    fleet.kustomization("web", json!({}), json!({"suspend": true})).await;
    fleet.calm().await;
    let before = generation(&fleet).await;
    fleet.write("web", &[document("db"), consumer("web"), fleet::config_map("other", json!({"a": "2"}))]);
    let next = fleet.commit();
    fleet.store(&[("db", BETTER)]).await;
    let is_better = |found: Option<&Object>| {
        found.is_some_and(|found| found.text("/data/password") == Some(STANDARD.encode("better").as_str()))
    };
    fleet.until(("v1", "Secret", "db"), "fresh", is_better).await;
    fleet.calm().await;
    assert_eq!(generation(&fleet).await, before, "nothing restarts");
    let other = fleet.get("v1", "ConfigMap", "other").await.expect("it landed");
    assert_eq!(other.text("/data/a"), Some("1"), "nothing else is written");
    fleet.kustomization("web", json!({}), json!({"suspend": false})).await;
    fleet.answered("web", &next, "True").await;
    fleet.until(DEPLOYMENT, "stamped", |found| found.is_some_and(|found| stamp(found).is_some())).await;
    fleet.end().await;
}

#[tokio::test]
async fn a_rotation_lands_without_the_source_from_what_landed_last() {
    let mut fleet = Fleet::new().await;
    fleet.store(&[("db", GOOD)]).await;
    fleet.write("web", &[document("db"), consumer("web"), fleet::config_map("other", json!({"a": "1"}))]);
    let commit = fleet.commit();
    fleet.kustomization("web", json!({}), json!({})).await;
    fleet.answered("web", &commit, "True").await;
    fleet.calm().await;
    fleet.stop().await;
    // Nothing is left of the repository, nor of what was fetched from it.
    fleet.git.hide();
    fleet.forget_fetched();
    fleet.store(&[("db", BETTER)]).await;
    fleet.start().await;
    let stamped = fleet.until(DEPLOYMENT, "stamped", |found| found.is_some_and(|found| stamp(found).is_some())).await;
    let first = stamp(&stamped.expect("it is there"));
    let (data, _) = standing(&fleet).await;
    assert_eq!(data["password"], STANDARD.encode("better"));
    // Also one that must be taken back.
    fleet.store(&[("db", BAD)]).await;
    ready_message(&fleet, "web", "held at").await;
    assert_eq!(standing(&fleet).await.0, data);
    fleet.calm().await;
    fleet.store(&[("db", GOOD)]).await;
    fleet.until(DEPLOYMENT, "stamped", |found| found.is_some_and(|found| stamp(found) != first)).await;
    fleet.git.unhide();
    fleet.calm().await;
    let secret = fleet.get("v1", "Secret", "db").await.expect("it landed");
    assert_eq!(secret.text("/data/password"), Some(STANDARD.encode("good").as_str()));
    fleet.end().await;
}

#[tokio::test]
async fn pods_that_only_hands_replace_are_told_of_and_hold_nobody() {
    let fleet = Fleet::new().await;
    fleet.store(&[("db", GOOD)]).await;
    let mut by_hand = consumer("web");
    by_hand["kind"] = "StatefulSet".into();
    by_hand["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
    by_hand["spec"].as_object_mut().expect("a map").remove("progressDeadlineSeconds");
    fleet.write("web", &[document("db"), by_hand]);
    let commit = fleet.commit();
    fleet.kustomization("web", json!({}), json!({})).await;
    fleet.answered("web", &commit, "True").await;
    fleet.store(&[("db", BETTER)]).await;
    let at = ("apps/v1", "StatefulSet", "web");
    fleet.until(at, "stamped", |found| found.is_some_and(|found| stamp(found).is_some())).await;
    fleet.calm().await;
    let events = fleet.events("web").await;
    let told = |(_, message): &&(String, String)| message.contains("StatefulSet/apps/web: a secret has changed");
    assert_eq!(events.iter().filter(told).count(), 1, "{events:?}");
    fleet.end().await;
}

/// The Secret that the workload reads.
fn read(web: &Object) -> String {
    let at = "/spec/template/spec/containers/0/env/0/valueFrom/secretKeyRef/name";
    web.text(at).expect("it reads one").to_owned()
}

async fn data(fleet: &Fleet, name: &str) -> Option<Value> {
    fleet.get("v1", "Secret", name).await.map(|secret| secret.value()["data"].clone())
}

/// Names of Secrets in the inventory of the unit.
async fn listed(fleet: &Fleet) -> Vec<String> {
    let unit = fleet.get("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "web").await.expect("it is there");
    let entries = unit.value().pointer("/status/inventory/entries").and_then(Value::as_array).cloned();
    let ids = entries.into_iter().flatten().filter_map(|entry| Some(entry["id"].as_str()?.to_owned()));
    ids.filter_map(|id| Some(id.strip_prefix("apps_")?.strip_suffix("__Secret")?.to_owned())).collect()
}

#[tokio::test]
async fn with_immutable_versions_a_rotation_is_one_rollout_to_a_new_name_and_old_ones_go_when_nobody_needs_them() {
    const UNIT: (&str, &str, &str) = ("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "web");
    let mut fleet = Fleet::new().await;
    fleet.store(&[("db", GOOD)]).await;
    fleet.write("web", &[document("db"), consumer("web")]);
    let commit = fleet.commit();
    let switch = json!({"lockstep.dev/versions": "immutable"});
    fleet.kustomization("web", switch, json!({"wait": false, "interval": "2s"})).await;
    fleet.answered("web", &commit, "True").await;
    let before = fleet.get("apps/v1", "Deployment", "web").await.expect("it landed");
    let first = read(&before);
    assert_ne!(first, "db");
    assert_eq!(data(&fleet, &first).await, data(&fleet, "db").await);
    let mut history = deployment("web", 0, &[&first]);
    (history["kind"], history["metadata"]["name"]) = ("ReplicaSet".into(), "web-1".into());
    fleet.apply(history).await;

    fleet.store(&[("db", BETTER)]).await;
    let moved = fleet.until(DEPLOYMENT, "moved", |found| found.is_some_and(|found| read(found) != first)).await;
    let moved = moved.expect("it is there");
    let second = read(&moved);
    assert_eq!((stamp(&moved), moved.generation()), (None, before.generation() + 1));
    assert_eq!(data(&fleet, &second).await, data(&fleet, "db").await);
    fleet
        .until(UNIT, "listing both", |found| found.is_some_and(|found| found.value().to_string().contains(&second)))
        .await;
    let mut expected = vec![first.clone(), second.clone()];
    expected.sort();
    assert_eq!(listed(&fleet).await, expected);

    // As long as the ReplicaSet is there, the version stays, and nothing is written.
    fleet.calm().await;
    fleet.stop().await;
    fleet.start().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let tried = fleet.requests("apps/");
    assert!(writes(&tried).iter().all(|(.., id)| id.starts_with("ExternalSecret/")), "{tried:?}");
    assert!(data(&fleet, &first).await.is_some());
    fleet.delete("apps/v1", "ReplicaSet", "web-1").await;
    fleet.until(("v1", "Secret", &first), "gone", |found| found.is_none()).await;
    fleet
        .until(UNIT, "listing one", |found| found.is_some_and(|found| !found.value().to_string().contains(&first)))
        .await;
    assert_eq!(generation(&fleet).await, moved.generation());

    // One that does not work is taken back, and leaves nothing.
    fleet.store(&[("db", BAD)]).await;
    ready_message(&fleet, "web", "held at").await;
    let back = fleet.get("apps/v1", "Deployment", "web").await.expect("it stays");
    assert_eq!((read(&back), listed(&fleet).await), (second.clone(), vec![second.clone()]));
    let secrets = fleet.cluster.list(&apply::Selection::all("v1", "Secret").within("apps")).await.expect("a list");
    let versions = secrets.iter().filter(|secret| secret.annotation(apply::versions::VERSION_OF).is_some());
    assert_eq!(versions.map(Object::name).collect::<Vec<_>>(), [second.as_str()]);

    // With the unit all of them go.
    fleet.delete("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "web").await;
    fleet.until(("v1", "Secret", &second), "gone", |found| found.is_none()).await;
    fleet.end().await;
}

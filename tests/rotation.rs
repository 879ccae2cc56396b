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
use fleet::{Fleet, deployment, object};
use manifest::Object;
use serde_json::{Value, json};

const STORE: &str = "external-secrets.io/v1";
const DEPLOYMENT: (&str, &str, &str) = ("apps/v1", "Deployment", "web");

/// A store that holds these values.
async fn store(fleet: &Fleet, values: &[(&str, &str)]) {
    let data: Vec<Value> = values.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
    fleet.apply(object(STORE, "SecretStore", "store", json!({"spec": {"provider": {"fake": {"data": data}}}}))).await;
}

/// An ExternalSecret of the same name as its key.
fn external(name: &str) -> Value {
    let data = json!([{"secretKey": "value", "remoteRef": {"key": name}}]);
    let spec = json!({"refreshInterval": "1s", "secretStoreRef": {"name": "store"}, "data": data});
    object(STORE, "ExternalSecret", name, json!({ "spec": spec }))
}

fn stamp(found: &Object) -> Option<String> {
    let annotations = found.value().pointer("/spec/template/metadata/annotations")?;
    Some(annotations.get(ANNOTATION)?.as_str()?.to_owned())
}

async fn secret(fleet: &Fleet, name: &str) -> String {
    let secret = fleet.get("v1", "Secret", name).await.expect("it landed");
    let bytes = STANDARD.decode(secret.text("/data/value").expect("a key")).expect("base64");
    String::from_utf8(bytes).expect("text")
}

async fn generation(fleet: &Fleet) -> i64 {
    fleet.get("apps/v1", "Deployment", "web").await.expect("it landed").generation()
}

/// unmet.md 3: three secrets of one Deployment that are rotated within a second are one rollout, and restarts of the agent
/// are none.
#[tokio::test]
async fn rotation_of_three_secrets_within_a_second_is_one_rollout() {
    let mut fleet = Fleet::new().await;
    store(&fleet, &[("one", "1"), ("two", "1"), ("three", "1")]).await;
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
        store(&fleet, &values).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    fleet.until(DEPLOYMENT, "stamped", |found| found.is_some_and(|found| stamp(found).is_some())).await;
    let rolled = generation(&fleet).await;
    assert_eq!(rolled, before.generation() + 1);
    for name in names {
        assert_eq!(secret(&fleet, name).await, "2", "the template came with all of its secrets");
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

/// Two units: `keys` makes the Secret, `web` reads it.
async fn two_units() -> (Fleet, String) {
    let fleet = Fleet::new().await;
    store(&fleet, &[("one", "1")]).await;
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
    store(&fleet, &[("one", "2")]).await;
    fleet.until(DEPLOYMENT, "stamped", |found| found.is_some_and(|found| stamp(found).is_some())).await;
    assert_eq!(secret(&fleet, "one").await, "2");
    fleet.calm().await;
    assert_eq!(generation(&fleet).await, before + 1);
    // Also when nobody has compiled since the start.
    fleet.stop().await;
    fleet.start().await;
    fleet.calm().await;
    let first = fleet.get("apps/v1", "Deployment", "web").await.and_then(|found| stamp(&found));
    store(&fleet, &[("one", "3")]).await;
    fleet.until(DEPLOYMENT, "stamped anew", |found| found.is_some_and(|found| stamp(found) != first)).await;
    fleet.calm().await;
    assert_eq!(generation(&fleet).await, before + 2);
    fleet.end().await;
}

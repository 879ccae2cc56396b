//! Which Secret is an ExternalSecret's, on the cluster in memory: under another name the one before goes, as External Secrets
//! deletes orphans; nothing else does.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here stops the test")]

#[path = "support/fleet.rs"]
mod fleet;
#[path = "support/repository.rs"]
mod repository;

use fleet::{Fleet, object};
use manifest::Object;
use serde_json::{Value, json};

const STORE: &str = "external-secrets.io/v1";

/// An ExternalSecret with this target.
fn external(name: &str, target: Value) -> Value {
    let data = json!([{"secretKey": "value", "remoteRef": {"key": "db"}}]);
    let spec = json!({"refreshInterval": "1s", "secretStoreRef": {"name": "store"}, "target": target, "data": data});
    object(STORE, "ExternalSecret", name, json!({ "spec": spec }))
}

/// An ExternalSecret that stands alone, or comes with a unit.
struct Stage {
    fleet: Fleet,
    is_alone: bool,
}

impl Stage {
    async fn new(is_alone: bool) -> Self {
        let fleet = Fleet::new().await;
        let store = json!({"spec": {"provider": {"fake": {"data": [{"key": "db", "value": "password"}]}}}});
        fleet.apply(object(STORE, "SecretStore", "store", store)).await;
        let stage = Self { fleet, is_alone };
        stage.declare(json!({"name": "before"})).await;
        if !is_alone {
            stage.fleet.kustomization("unit", json!({}), json!({})).await;
        }
        stage.until("before", |found| found.is_some()).await;
        stage
    }

    async fn declare(&self, target: Value) {
        if self.is_alone {
            self.fleet.apply(external("db", target)).await;
        } else {
            self.fleet.write("unit", &[external("db", target)]);
            self.fleet.commit();
        }
    }

    async fn until(&self, name: &str, is_so: impl Fn(Option<&Object>) -> bool) {
        self.fleet.until(("v1", "Secret", name), "as it should be", is_so).await;
    }

    /// Waits until the ExternalSecret tells of this target, and nothing is done any more.
    async fn told(&self, target: &str) {
        let is_told = |found: &Object| found.text("/status/binding/name") == Some(target);
        self.fleet.until((STORE, "ExternalSecret", "db"), "told", |found| found.is_some_and(is_told)).await;
        self.fleet.calm().await;
    }
}

#[tokio::test]
async fn the_secret_of_a_renamed_target_goes() {
    for is_alone in [true, false] {
        let stage = Stage::new(is_alone).await;
        stage.declare(json!({"name": "after"})).await;
        stage.until("after", |found| found.is_some()).await;
        stage.until("before", |found| found.is_none()).await;
        stage.told("after").await;
        let told = stage.fleet.events("db").await;
        let orphan = ("Deleted".to_owned(), "secret deleted because it was orphaned".to_owned());
        assert_eq!(told.iter().filter(|event| **event == orphan).count(), 1, "{told:?}");
        stage.fleet.end().await;
    }
}

#[tokio::test]
async fn a_secret_that_another_one_has_taken_stays() {
    let mut stage = Stage::new(true).await;
    stage.fleet.stop().await;
    let other = stage.fleet.apply(external("other", json!({"name": "others", "creationPolicy": "Orphan"}))).await;
    let owner =
        json!({"apiVersion": STORE, "kind": "ExternalSecret", "name": "other", "uid": other.uid(), "controller": true});
    let theirs = json!({"metadata": {"ownerReferences": [owner]}});
    stage.fleet.patch("kubectl-edit", "v1", "Secret", "before", theirs).await;
    stage.declare(json!({"name": "after"})).await;
    stage.fleet.start().await;
    stage.told("after").await;
    stage.until("before", |found| found.is_some_and(|secret| !secret.is_terminating())).await;
    stage.fleet.end().await;
}

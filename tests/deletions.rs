//! What a store does not have, or not any more, on the cluster in memory: a new secret must be there, an old one goes when that was
//! seen twice.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here stops the test")]

#[path = "support/fleet.rs"]
mod fleet;
#[path = "support/repository.rs"]
mod repository;

use fleet::{Fleet, condition, deployment, external, object};
use manifest::Object;
use serde_json::json;

const STORE: &str = "external-secrets.io/v1";

/// unmet.md 8: what a store has none of goes when that was seen twice, an interval apart. Where only somebody's request asks for a
/// look, two may follow at once: that is no interval.
#[tokio::test]
async fn requirement_8_what_a_store_has_none_of_goes_when_that_is_seen_twice_an_interval_apart() {
    const AT: (&str, &str, &str) = ("external-secrets.io/v1", "ExternalSecret", "one");
    for (policy, goes) in [("Periodic", true), ("OnChange", false)] {
        let fleet = Fleet::new().await;
        fleet.store(&[("one", "1")]).await;
        let mut external = external("one");
        external["spec"]["refreshPolicy"] = policy.into();
        external["spec"]["target"] = json!({"deletionPolicy": "Delete"});
        fleet.write("web", &[external]);
        let commit = fleet.commit();
        fleet.kustomization("web", json!({}), json!({})).await;
        fleet.answered("web", &commit, "True").await;
        fleet.store(&[]).await;
        let ask = async |when: &str| {
            let annotations = json!({"metadata": {"annotations": {"force-sync": when}}});
            fleet.edit(AT.0, AT.1, AT.2, annotations).await;
        };
        ask("1").await;
        let is_told = |found: Option<&Object>| {
            let told = found.map(|found| condition(found, "Ready")["message"].to_string()).unwrap_or_default();
            told.contains("what is missing goes when that is seen again")
        };
        fleet.until(AT, "told", is_told).await;
        assert_eq!(fleet.secret("one").await, "1", "seen once");
        if goes {
            fleet.until(("v1", "Secret", "one"), "gone", |found| found.is_none()).await;
        } else {
            for when in ["2", "3"] {
                ask(when).await;
                fleet.calm().await;
                assert_eq!(fleet.secret("one").await, "1", "asked {when} times");
            }
        }
        fleet.store(&[("one", "2")]).await;
        ask("4").await;
        fleet
            .until(("v1", "Secret", "one"), "back", |found| {
                found.is_some_and(|found| found.text("/data/value") == Some("Mg=="))
            })
            .await;
        fleet.end().await;
    }
}

/// What landed stays at the first sight, also of what stands alone. (External Secrets drops the key at once.)
#[tokio::test]
async fn a_key_that_the_store_has_no_more_goes_when_that_is_seen_twice() {
    let fleet = Fleet::new().await;
    fleet.store(&[("value", "1"), ("other", "1")]).await;
    let two = |name: &str| {
        let data = ["value", "other"].map(|key| json!({"secretKey": key, "remoteRef": {"key": key}}));
        let target = json!({"deletionPolicy": "Delete"});
        let spec =
            json!({"refreshInterval": "3s", "secretStoreRef": {"name": "store"}, "data": data, "target": target});
        object(STORE, "ExternalSecret", name, json!({ "spec": spec }))
    };
    fleet.write("web", &[two("landed"), deployment("web", 1, &["landed"])]);
    let commit = fleet.commit();
    fleet.kustomization("web", json!({}), json!({})).await;
    fleet.answered("web", &commit, "True").await;
    fleet.apply(two("alone")).await;
    let has = |is_there: bool| {
        move |found: Option<&Object>| found.is_some_and(|found| found.text("/data/other").is_some() == is_there)
    };
    fleet.until(("v1", "Secret", "alone"), "made", has(true)).await;
    fleet.store(&[("value", "1")]).await;
    for name in ["landed", "alone"] {
        let doubts = |found: Option<&Object>| {
            let message = found.map(|found| condition(found, "Ready")["message"].to_string());
            message.is_some_and(|message| message.contains("what is missing goes when that is seen again"))
        };
        fleet.until((STORE, "ExternalSecret", name), "in doubt", doubts).await;
        assert!(has(true)(fleet.get("v1", "Secret", name).await.as_ref()), "{name} is as it was");
    }
    for name in ["landed", "alone"] {
        fleet.until(("v1", "Secret", name), "without what is gone", has(false)).await;
        assert_eq!(fleet.secret(name).await, "1", "the other one stays");
        let is_ready =
            |found: Option<&Object>| found.is_some_and(|found| condition(found, "Ready")["status"] == "True");
        fleet.until((STORE, "ExternalSecret", name), "synced", is_ready).await;
    }
    fleet.end().await;
}

/// A new ExternalSecret must have something, whatever its deletion policy says of later: its readers would start without it.
#[tokio::test]
async fn what_a_store_never_had_holds_those_who_would_read_it() {
    let fleet = Fleet::new().await;
    fleet.store(&[("one", "1")]).await;
    let mut absent = external("absent");
    absent["spec"]["target"] = json!({"deletionPolicy": "Delete"});
    let mut found = external("found");
    found["spec"]["data"] = json!([]);
    found["spec"]["dataFrom"] = json!([{"find": {"name": {"regexp": "^nothing"}}}]);
    let readers = ["absent", "found", "one"].map(|name| deployment(&format!("reads-{name}"), 1, &[name]));
    fleet.write("web", &[vec![absent.clone(), found, external("one")], readers.into()].concat());
    let commit = fleet.commit();
    fleet.kustomization("web", json!({}), json!({"wait": false})).await;
    let told = fleet.answered("web", &commit, "False").await;
    let message = condition(&told, "Ready")["message"].to_string();
    assert!(
        message.contains("ExternalSecret/apps/absent") && message.contains("ExternalSecret/apps/found"),
        "{message}"
    );
    fleet.until(("apps/v1", "Deployment", "reads-one"), "there", |found| found.is_some()).await;
    for name in ["absent", "found"] {
        assert!(fleet.get("apps/v1", "Deployment", &format!("reads-{name}")).await.is_none(), "{name} is not there");
    }
    fleet.store(&[("one", "1"), ("absent", "2"), ("nothing", "3")]).await;
    fleet.answered("web", &commit, "True").await;
    assert_eq!(fleet.secret("absent").await, "2");

    // A commit that asks for another key, which is not there, takes nothing away either.
    absent["spec"]["data"][0]["remoteRef"]["key"] = "typo".into();
    fleet.write("web", &[absent, deployment("reads-absent", 1, &["absent"])]);
    let commit = fleet.commit();
    fleet.answered("web", &commit, "False").await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(fleet.secret("absent").await, "2", "held at what landed");
    fleet.end().await;
}

//! What a store does not have, or not any more, on the cluster in memory: a new secret must be there, an old one goes when that was
//! seen twice.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here stops the test")]

#[path = "support/fleet.rs"]
mod fleet;
#[path = "support/repository.rs"]
mod repository;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fleet::{Fleet, condition, deployment, external, object};
use manifest::Object;
use serde_json::{Value, json};

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

/// An ExternalSecret of several keys, each at its own name, that may be missing.
fn several(name: &str, keys: &[&str], target: Value) -> Value {
    let data: Vec<Value> = keys.iter().map(|key| json!({"secretKey": key, "remoteRef": {"key": key}})).collect();
    let mut target = target;
    target["deletionPolicy"] = "Delete".into();
    let spec = json!({"refreshInterval": "1h", "secretStoreRef": {"name": "store"}, "data": data, "target": target});
    object(STORE, "ExternalSecret", name, json!({ "spec": spec }))
}

/// The values of a Secret, in clear.
async fn values(fleet: &Fleet, name: &str) -> Value {
    let secret = fleet.get("v1", "Secret", name).await.expect("it is there");
    let data = secret.value()["data"].as_object().expect("data").clone();
    let clear = |text: &Value| {
        let bytes = STANDARD.decode(text.as_str().expect("text")).expect("base64");
        String::from_utf8(bytes).expect("text")
    };
    data.iter().map(|(key, value)| (key.clone(), clear(value).into())).collect::<serde_json::Map<_, _>>().into()
}

/// A fleet whose store has these values, and whose one unit has landed and is at rest; with its revision.
async fn landed(store: &[(&str, &str)], objects: &[Value]) -> (Fleet, String) {
    let fleet = Fleet::new().await;
    fleet.store(store).await;
    fleet.write("web", objects);
    let commit = fleet.commit();
    fleet.kustomization("web", json!({}), json!({})).await;
    fleet.answered("web", &commit, "True").await;
    fleet.calm().await;
    (fleet, commit)
}

async fn ask(fleet: &Fleet, name: &str, when: &str) {
    fleet.edit(STORE, "ExternalSecret", name, json!({"metadata": {"annotations": {"force-sync": when}}})).await;
}

async fn until_values(fleet: &Fleet, name: &str, wanted: &Value) {
    for _ in 0..100 {
        if values(fleet, name).await == *wanted {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(values(fleet, name).await, *wanted);
}

async fn in_doubt(fleet: &Fleet, name: &str) {
    let doubts = |found: Option<&Object>| {
        let message = found.map(|found| condition(found, "Ready")["message"].to_string());
        message.is_some_and(|message| message.contains("what is missing goes when that is seen again"))
    };
    fleet.until((STORE, "ExternalSecret", name), "in doubt", doubts).await;
}

/// While one key is in doubt, a commit that adds another one lands with it, under a new name, too; and what is rotated is
/// rotated. Nothing is taken away.
#[tokio::test]
async fn a_key_in_doubt_keeps_nothing_else_from_landing() {
    let (fleet, _) = landed(
        &[("a", "1"), ("b", "1"), ("c", "1")],
        &[several("db", &["a", "b"], json!({})), deployment("web", 1, &["db"])],
    )
    .await;
    fleet.store(&[("a", "2"), ("c", "1")]).await;
    ask(&fleet, "db", "1").await;
    in_doubt(&fleet, "db").await;
    until_values(&fleet, "db", &json!({"a": "2", "b": "1"})).await;

    fleet.write("web", &[several("db", &["a", "b", "c"], json!({"name": "other"})), deployment("web", 1, &["other"])]);
    let commit = fleet.commit();
    fleet.answered("web", &commit, "True").await;
    assert_eq!(values(&fleet, "other").await, json!({"a": "2", "b": "1", "c": "1"}));
    let hash = |secret: &Object| secret.annotation("reconcile.external-secrets.io/data-hash").map(str::to_owned);
    let before = fleet.get("v1", "Secret", "other").await.as_ref().and_then(hash);
    fleet.store(&[("a", "2"), ("b", "1"), ("c", "1")]).await;
    ask(&fleet, "db", "2").await;
    let is_ready = |found: Option<&Object>| found.is_some_and(|found| condition(found, "Ready")["status"] == "True");
    fleet.until((STORE, "ExternalSecret", "db"), "synced", is_ready).await;
    assert_eq!(
        fleet.get("v1", "Secret", "other").await.as_ref().and_then(hash),
        before,
        "the hash is that of the data"
    );
    fleet.end().await;
}

/// What the store never had of an ExternalSecret delays no rotation of the rest.
#[tokio::test]
async fn a_key_that_was_never_there_delays_no_rotation() {
    let (fleet, _) = landed(
        &[("password", "1")],
        &[several("db", &["password", "optional"], json!({})), deployment("web", 1, &["db"])],
    )
    .await;
    fleet.store(&[("password", "2")]).await;
    ask(&fleet, "db", "1").await;
    until_values(&fleet, "db", &json!({"password": "2"})).await;
    fleet.calm().await;
    let told = fleet.get(STORE, "ExternalSecret", "db").await.expect("it is there");
    assert_eq!(condition(&told, "Ready")["status"], "True", "{:?}", condition(&told, "Ready"));
    fleet.end().await;
}

/// Where values come of templates, nobody knows what a missing one has made of them: all of it stays.
#[tokio::test]
async fn what_a_template_made_with_a_key_stays_while_that_is_in_doubt() {
    let text = r#"a={{ .a }} b={{ index . "b" }}"#;
    let (fleet, _) =
        landed(&[("a", "1"), ("b", "1")], &[several("db", &["a", "b"], json!({"template": {"data": {"conf": text}}}))])
            .await;
    fleet.store(&[("a", "2")]).await;
    ask(&fleet, "db", "1").await;
    in_doubt(&fleet, "db").await;
    fleet.calm().await;
    assert_eq!(values(&fleet, "db").await, json!({"conf": "a=1 b=1"}));
    let mut changed = several("db", &["a", "b"], json!({"template": {"data": {"conf": text}}}));
    changed["spec"]["refreshInterval"] = "2h".into();
    fleet.write("web", &[changed]);
    let commit = fleet.commit();
    let told = fleet.answered("web", &commit, "False").await;
    assert!(condition(&told, "Ready")["message"].to_string().contains("has not all of it any more"), "{told:?}");
    assert_eq!(values(&fleet, "db").await, json!({"conf": "a=1 b=1"}));
    fleet.end().await;
}

/// What a store had given does not become what is declared in its place, because the store does not answer.
#[tokio::test]
async fn a_placeholder_does_not_come_back_while_the_store_is_in_doubt() {
    let declared = |own: &str| {
        let data = json!({"value": STANDARD.encode("changeme"), "own": STANDARD.encode(own)});
        object("v1", "Secret", "merged", json!({ "data": data }))
    };
    let mut merging = external("merged");
    merging["spec"]["target"] = json!({"creationPolicy": "Merge"});
    let (fleet, _) = landed(&[("merged", "1")], &[declared("1"), merging.clone()]).await;
    assert_eq!(values(&fleet, "merged").await, json!({"value": "1", "own": "1"}));
    fleet.store(&[]).await;
    fleet.write("web", &[declared("2"), merging]);
    let commit = fleet.commit();
    fleet.answered("web", &commit, "True").await;
    assert_eq!(values(&fleet, "merged").await, json!({"value": "1", "own": "2"}));
    fleet.end().await;
}

/// An item that has nothing in it any more is no more a reason to delete at first sight than one that is gone.
#[tokio::test]
async fn a_secret_stays_when_its_item_is_found_empty_once() {
    let mut extracting = several("db", &[], json!({}));
    extracting["spec"]["dataFrom"] = json!([{"extract": {"key": "all"}}]);
    let (fleet, _) = landed(&[("all", r#"{"a": "1"}"#)], &[extracting]).await;
    fleet.store(&[("all", "{}")]).await;
    ask(&fleet, "db", "1").await;
    in_doubt(&fleet, "db").await;
    assert_eq!(values(&fleet, "db").await, json!({"a": "1"}));
    fleet.end().await;
}

/// Two that read the same item each count their own time.
#[tokio::test]
async fn what_one_has_missed_for_long_another_has_seen_only_once() {
    let mut quick = several("quick", &["a", "b"], json!({}));
    quick["spec"]["refreshInterval"] = "3s".into();
    let (fleet, _) = landed(&[("a", "1"), ("b", "1")], &[quick, several("slow", &["a", "b"], json!({}))]).await;
    fleet.store(&[("a", "1")]).await;
    let is_less = |found: Option<&Object>| found.is_some_and(|found| found.text("/data/b").is_none());
    fleet.until(("v1", "Secret", "quick"), "less", is_less).await;
    in_doubt(&fleet, "slow").await;
    ask(&fleet, "slow", "1").await;
    fleet.calm().await;
    in_doubt(&fleet, "slow").await;
    assert_eq!(values(&fleet, "slow").await, json!({"a": "1", "b": "1"}));
    fleet.end().await;
}

/// A suspended unit deletes nothing: no key of a Secret either, nor what a template has made with it. When it goes on, what it
/// had come to stays.
#[tokio::test]
async fn a_key_stays_while_its_unit_is_suspended_and_afterwards() {
    let text = r#"a={{ .a }} b={{ index . "b" }}"#;
    let made = several("made", &["a", "b"], json!({"template": {"data": {"conf": text}}}));
    let (fleet, commit) = landed(&[("a", "1"), ("b", "1")], &[several("db", &["a", "b"], json!({})), made]).await;
    fleet.kustomization("web", json!({}), json!({"suspend": true})).await;
    fleet.calm().await;
    fleet.store(&[("a", "1"), ("b", "2")]).await;
    for name in ["db", "made"] {
        ask(&fleet, name, "1").await;
    }
    until_values(&fleet, "db", &json!({"a": "1", "b": "2"})).await;
    until_values(&fleet, "made", &json!({"conf": "a=1 b=2"})).await;
    fleet.store(&[("a", "2")]).await;
    for name in ["db", "made"] {
        ask(&fleet, name, "2").await;
        in_doubt(&fleet, name).await;
    }
    assert_eq!(values(&fleet, "db").await, json!({"a": "2", "b": "2"}));
    assert_eq!(values(&fleet, "made").await, json!({"conf": "a=1 b=2"}));
    fleet.kustomization("web", json!({}), json!({"suspend": false})).await;
    fleet.answered("web", &commit, "True").await;
    fleet.calm().await;
    assert_eq!(values(&fleet, "db").await, json!({"a": "2", "b": "2"}));
    assert_eq!(values(&fleet, "made").await, json!({"conf": "a=1 b=2"}));
    fleet.end().await;
}

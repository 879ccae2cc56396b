//! Objects that several units declare, or that move from one unit to another, on the cluster in memory: they are shared and
//! handed over; nobody deletes them or fights over them.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here stops the test")]

#[path = "support/fleet.rs"]
mod fleet;
#[path = "support/repository.rs"]
mod repository;

use fleet::{Fleet, NAMESPACE, config_map, deployment, object};
use manifest::Object;
use serde_json::{Value, json};

const MOVED: (&str, &str, &str) = ("v1", "ConfigMap", "moved");
const OWNER: &str = "kustomize.toolkit.fluxcd.io/name";

fn unit(name: &str) -> (&'static str, &'static str, &str) {
    ("kustomize.toolkit.fluxcd.io/v1", "Kustomization", name)
}

fn is_owned_by<'a>(name: &'a str) -> impl Fn(Option<&Object>) -> bool + 'a {
    move |found| found.is_some_and(|found| found.label(OWNER) == Some(name))
}

fn labelled(labels: Value) -> Value {
    let mut moved = config_map("moved", json!({"a": "1"}));
    moved["metadata"]["labels"] = labels;
    moved
}

async fn uid(fleet: &Fleet) -> String {
    let (version, kind, name) = MOVED;
    fleet.get(version, kind, name).await.map(|found| found.uid().to_owned()).unwrap_or_default()
}

/// What a unit was told of objects that it begins to share.
async fn shared_events(fleet: &Fleet, unit: &str) -> Vec<String> {
    let events = fleet.events(unit).await.into_iter();
    events.filter(|(reason, _)| reason == "ObjectShared").map(|(_, message)| message).collect()
}

/// Whether a unit's status lists the object.
async fn lists(fleet: &Fleet, unit: &str) -> bool {
    let found = fleet.get("kustomize.toolkit.fluxcd.io/v1", "Kustomization", unit).await.expect("it is there");
    found.value().pointer("/status/inventory").is_some_and(|inventory| inventory.to_string().contains("_moved_"))
}

/// A commit moves the object from one unit to another; `first` and `second` are what they have in their specs.
async fn moves(first: Value, second: Value) {
    let fleet = Fleet::new().await;
    fleet.write("first", &[config_map("one", json!({})), config_map("moved", json!({"a": "1"}))]);
    fleet.write("second", &[config_map("two", json!({}))]);
    let commit = fleet.commit();
    fleet.kustomization("first", json!({}), first).await;
    fleet.kustomization("second", json!({}), second).await;
    fleet.answered("first", &commit, "True").await;
    fleet.answered("second", &commit, "True").await;
    let before = uid(&fleet).await;
    fleet.write("first", &[config_map("one", json!({}))]);
    fleet.write("second", &[config_map("two", json!({})), config_map("moved", json!({"a": "2"}))]);
    let commit = fleet.commit();
    fleet.answered("first", &commit, "True").await;
    fleet.answered("second", &commit, "True").await;
    fleet.until(MOVED, "handed over", is_owned_by("second")).await;
    fleet.calm().await;
    assert_eq!(uid(&fleet).await, before, "it is the same object");
    let (version, kind, name) = MOVED;
    let found = fleet.get(version, kind, name).await;
    assert_eq!(found.as_ref().and_then(|found| found.text("/data/a")), Some("2"));
    assert!(lists(&fleet, "second").await && !lists(&fleet, "first").await);
    // From now on the new owner decides.
    fleet.write("second", &[config_map("two", json!({}))]);
    fleet.commit();
    fleet.until(MOVED, "gone", |found| found.is_none()).await;
    fleet.end().await;
}

#[tokio::test]
async fn an_object_that_moves_to_another_unit_in_one_commit_is_handed_over() {
    moves(json!({}), json!({})).await;
}

#[tokio::test]
async fn it_is_handed_over_to_a_unit_that_depends_on_the_one_that_gives_it_up() {
    moves(json!({}), json!({"dependsOn": [{"name": "first"}]})).await;
}

#[tokio::test]
async fn it_is_handed_over_by_a_unit_that_depends_on_the_one_that_takes_it() {
    moves(json!({"dependsOn": [{"name": "second"}]}), json!({})).await;
}

#[tokio::test]
async fn what_two_units_declare_is_shared_and_left_to_the_one_that_still_declares_it() {
    let fleet = Fleet::new().await;
    fleet.write("first", &[config_map("one", json!({})), labelled(json!({"team": "x", "first": "1"}))]);
    fleet.write("second", &[config_map("two", json!({})), labelled(json!({"team": "x", "second": "2"}))]);
    let commit = fleet.commit();
    fleet.kustomization("first", json!({}), json!({})).await;
    fleet.kustomization("second", json!({}), json!({})).await;
    fleet.answered("first", &commit, "True").await;
    fleet.answered("second", &commit, "True").await;
    let has_all = |found: Option<&Object>| {
        found.is_some_and(|found| ["team", "first", "second"].into_iter().all(|label| found.label(label).is_some()))
    };
    fleet.until(MOVED, "shared", has_all).await;
    fleet.calm().await;
    // Whoever adds something to it, both look, and nobody writes anything of the other's.
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    let writes: Vec<_> =
        fleet.requests("moved").into_iter().filter(|(verb, dry, _)| *verb == "apply" && !dry).collect();
    assert_eq!(writes, [], "at rest nobody writes");
    let [first, second] = [shared_events(&fleet, "first").await, shared_events(&fleet, "second").await];
    let (told, silent) = if first.is_empty() { (second, first) } else { (first, second) };
    assert_eq!((told.len(), silent.len()), (1, 0), "whoever came second is told of it, once: {told:?}");
    assert!(told[0].contains("ConfigMap/apps/moved is shared with Kustomization/apps/"), "{told:?}");
    // Each puts back its own part.
    let none = json!({"metadata": {"labels": {"first": null, "second": null}}});
    fleet.edit("v1", "ConfigMap", "moved", none).await;
    fleet.until(MOVED, "as both declare it", has_all).await;
    let before = uid(&fleet).await;
    let found = fleet.get("v1", "ConfigMap", "moved").await.expect("it is there");
    let owner = found.label(OWNER).expect("somebody owns it").to_owned();
    let (other, number) = if owner == "first" { ("second", "two") } else { ("first", "one") };
    fleet.write(&owner, &[config_map(if number == "two" { "one" } else { "two" }, json!({}))]);
    let commit = fleet.commit();
    fleet.answered(&owner, &commit, "True").await;
    fleet.until(MOVED, "the other's", is_owned_by(other)).await;
    fleet.calm().await;
    assert_eq!(uid(&fleet).await, before, "it is the same object");
    let told = [shared_events(&fleet, "first").await, shared_events(&fleet, "second").await].concat();
    assert_eq!(told.len(), 1, "no landing has told it again: {told:?}");
    let found = fleet.get("v1", "ConfigMap", "moved").await.expect("it is there");
    assert_eq!((found.label(&owner), found.label(other).is_some()), (None, true), "{}", found.value());
    fleet.delete("kustomize.toolkit.fluxcd.io/v1", "Kustomization", other).await;
    fleet.until(unit(other), "gone", |found| found.is_none()).await;
    fleet.until(MOVED, "gone with the last that declared it", |found| found.is_none()).await;
    fleet.end().await;
}

/// A unit gives the object up; `second` has this in its spec, by which it never lands, and wants these objects then.
async fn gives_up_beside(spec: Value, wanted: &[Value]) -> Fleet {
    let fleet = Fleet::new().await;
    fleet.write("first", &[config_map("one", json!({})), config_map("moved", json!({"a": "1"}))]);
    fleet.write("second", &[config_map("two", json!({}))]);
    let commit = fleet.commit();
    fleet.kustomization("first", json!({}), json!({})).await;
    fleet.kustomization("second", json!({}), spec).await;
    fleet.answered("first", &commit, "True").await;
    fleet.write("first", &[config_map("one", json!({}))]);
    fleet.write("second", wanted);
    let commit = fleet.commit();
    fleet.answered("first", &commit, "True").await;
    fleet
}

#[tokio::test]
async fn a_unit_that_waits_for_good_keeps_nobody_from_pruning_what_it_does_not_want() {
    let spec = json!({"dependsOn": [{"name": "nobody"}]});
    let fleet = gives_up_beside(spec.clone(), &[config_map("two", json!({}))]).await;
    fleet.until(MOVED, "gone", |found| found.is_none()).await;
    fleet.end().await;
    let fleet = gives_up_beside(spec, &[config_map("two", json!({})), config_map("moved", json!({"a": "2"}))]).await;
    fleet.calm().await;
    assert!(!uid(&fleet).await.is_empty(), "what it wants is kept for it");
    fleet.end().await;
}

#[tokio::test]
async fn a_unit_that_is_stalled_wants_nothing() {
    let checks = json!([{"apiVersion": "example.com/v1", "kind": "Database", "current": "status.phase ="}]);
    let wanted = [config_map("two", json!({})), config_map("moved", json!({"a": "2"}))];
    let fleet = gives_up_beside(json!({"healthCheckExprs": checks}), &wanted).await;
    fleet.until(MOVED, "gone", |found| found.is_none()).await;
    fleet.end().await;
}

/// A Kustomization that another one applies.
fn child(name: &str, folder: &str, more: Value) -> Value {
    let mut spec = json!({"path": format!("./{folder}"), "interval": "10m", "retryInterval": "1s", "timeout": "10s",
        "prune": true, "wait": true, "sourceRef": {"kind": "GitRepository", "name": "repo"}});
    spec.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
    object("kustomize.toolkit.fluxcd.io/v1", "Kustomization", name, json!({ "spec": spec }))
}

/// The new Kustomization lands a commit with the same object, and the old one is gone.
async fn has_taken_over(fleet: Fleet, commit: &str, before: &str) {
    fleet.answered("new", commit, "True").await;
    fleet.until(unit("old"), "gone", |found| found.is_none()).await;
    fleet.until(MOVED, "the new one's", is_owned_by("new")).await;
    assert_eq!(uid(&fleet).await, before, "it is the same object in {NAMESPACE}");
    fleet.end().await;
}

#[tokio::test]
async fn a_kustomization_that_is_renamed_keeps_its_objects() {
    let fleet = Fleet::new().await;
    fleet.write("child", &[config_map("moved", json!({"a": "1"}))]);
    fleet.write("root", &[child("old", "child", json!({}))]);
    let commit = fleet.commit();
    fleet.kustomization("root", json!({}), json!({"wait": false})).await;
    fleet.answered("old", &commit, "True").await;
    let before = uid(&fleet).await;
    fleet.write("root", &[child("new", "child", json!({}))]);
    let commit = fleet.commit();
    has_taken_over(fleet, &commit, &before).await;
}

#[tokio::test]
async fn a_kustomization_that_is_renamed_and_broken_at_once_keeps_its_objects() {
    let fleet = Fleet::new().await;
    let child = |name: &str| child(name, "child", json!({"timeout": "1s"}));
    let objects = |is_bad: bool| {
        let other = if is_bad { "Not a name" } else { "other" };
        [config_map("moved", json!({"a": is_bad.to_string()})), config_map(other, json!({}))]
    };
    fleet.write("child", &objects(false));
    fleet.write("root", &[child("old")]);
    let commit = fleet.commit();
    fleet.kustomization("root", json!({}), json!({"wait": false})).await;
    fleet.answered("old", &commit, "True").await;
    let before = uid(&fleet).await;
    fleet.write("root", &[child("new")]);
    fleet.write("child", &objects(true));
    let commit = fleet.commit();
    fleet.answered("new", &commit, "False").await;
    // Longer than the timeout of the one that goes.
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!(uid(&fleet).await, before, "nobody has deleted it");
    fleet.write("child", &objects(false));
    let commit = fleet.commit();
    has_taken_over(fleet, &commit, &before).await;
}

#[tokio::test]
async fn what_a_unit_has_shared_and_cannot_keep_healthy_goes_back_to_what_the_owner_left() {
    let fleet = Fleet::new().await;
    fleet.write("first", &[config_map("one", json!({})), config_map("moved", json!({"a": "1"}))]);
    fleet.write("second", &[config_map("two", json!({"a": ""}))]);
    let commit = fleet.commit();
    fleet.kustomization("first", json!({}), json!({})).await;
    fleet.kustomization("second", json!({}), json!({"healthCheckExprs": [is_not_bad()]})).await;
    fleet.answered("first", &commit, "True").await;
    fleet.answered("second", &commit, "True").await;
    fleet.write("second", &[config_map("two", json!({"a": ""})), config_map("moved", json!({"a": "bad"}))]);
    let commit = fleet.commit();
    fleet.answered("second", &commit, "True").await;
    fleet.write("first", &[config_map("one", json!({}))]);
    let commit = fleet.commit();
    fleet.answered("first", &commit, "True").await;
    fleet.answered("second", &commit, "False").await;
    fleet.calm().await;
    fleet.until(MOVED, "as the owner left it", has("1", "first")).await;
    fleet.end().await;
}

/// A check of ConfigMaps by which those with a bad value have failed.
fn is_not_bad() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "failed": "data.a == 'bad'", "current": "data.a != 'bad'"})
}

fn has<'a>(value: &'a str, owner: &'a str) -> impl Fn(Option<&Object>) -> bool + 'a {
    move |found| found.is_some_and(|found| found.text("/data/a") == Some(value)) && is_owned_by(owner)(found)
}

/// A Kustomization is held, since what it wants does not become healthy, and renamed. Who applies it waits for it, or not.
async fn is_renamed_while_it_is_held(is_awaited: bool) {
    let fleet = Fleet::new().await;
    let child = |name: &str| child(name, "child", json!({"timeout": "2s", "healthCheckExprs": [is_not_bad()]}));
    let write =
        |a: &str| fleet.write("child", &[config_map("moved", json!({"a": a})), config_map("extra", json!({"a": a}))]);
    write("1");
    // Nobody has looked at it with the newest revision before its health is known.
    fleet.write("slow", &[deployment("slow", 1, &["nowhere"])]);
    let slow = self::child("slow", "slow", json!({"timeout": "5s"}));
    fleet.write("root", &[child("old"), slow.clone()]);
    let commit = fleet.commit();
    fleet.kustomization("root", json!({}), json!({"wait": is_awaited})).await;
    fleet.answered("old", &commit, "True").await;
    write("bad");
    let commit = fleet.commit();
    fleet.answered("old", &commit, "False").await;
    fleet.write("slow", &[deployment("slow", 2, &["nowhere"])]);
    fleet.write("root", &[child("new"), slow]);
    let commit = fleet.commit();
    let held = fleet.answered("new", &commit, "False").await;
    let message = fleet::condition(&held, "Ready")["message"].to_string();
    assert!(message.contains("held at nothing"), "none of it has ever landed: {message}");
    fleet.answered("root", &commit, if is_awaited { "False" } else { "True" }).await;
    fleet.until(MOVED, "as it landed last", has("1", "old")).await;
    assert!(fleet.get("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "old").await.is_some(), "it holds what runs");
    fleet.write("child", &[config_map("moved", json!({"a": "2"}))]);
    fleet.write("slow", &[deployment("slow", 1, &[])]);
    let commit = fleet.commit();
    fleet.answered("new", &commit, "True").await;
    fleet.until(unit("old"), "gone", |found| found.is_none()).await;
    fleet.until(("v1", "ConfigMap", "extra"), "gone", |found| found.is_none()).await;
    fleet.until(MOVED, "the new one's", has("2", "new")).await;
    fleet.end().await;
}

#[tokio::test]
async fn a_kustomization_that_is_renamed_while_it_is_held_is_held_under_its_new_name() {
    is_renamed_while_it_is_held(false).await;
}

#[tokio::test]
async fn so_it_is_where_the_new_one_is_awaited_before_the_old_one_goes() {
    is_renamed_while_it_is_held(true).await;
}

#[tokio::test]
async fn kustomizations_that_leave_together_go_although_one_waits_for_the_other() {
    let fleet = Fleet::new().await;
    let child = |name: &str, more: Value| child(name, name, more);
    fleet.write("one", &[config_map("one", json!({}))]);
    fleet.write("two", &[config_map("moved", json!({}))]);
    fleet.write(
        "root",
        &[
            config_map("root", json!({})),
            child("one", json!({})),
            child("two", json!({"dependsOn": [{"name": "one"}]})),
        ],
    );
    let commit = fleet.commit();
    fleet.kustomization("root", json!({}), json!({})).await;
    fleet.answered("two", &commit, "True").await;
    // With the folder of the first, the second never hears of the commit.
    fleet.write("root", &[config_map("root", json!({}))]);
    fleet.remove("one");
    fleet.commit();
    fleet.until(unit("one"), "gone", |found| found.is_none()).await;
    fleet.until(unit("two"), "gone", |found| found.is_none()).await;
    fleet.until(MOVED, "gone with it", |found| found.is_none()).await;
    fleet.end().await;
}

//! What a commit no longer declares, on the cluster in memory: held until it is acknowledged, or deleted.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here stops the test")]

#[path = "support/fleet.rs"]
mod fleet;
#[path = "support/repository.rs"]
mod repository;

use fleet::{Fleet, condition, config_map};
use manifest::Object;
use serde_json::{Value, json};

const NAMESPACE: (&str, &str, &str) = ("v1", "Namespace", "team");

fn namespace() -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
}

/// The acknowledgement that the unit asks for.
fn token(held: &Object) -> String {
    let message = condition(held, "Ready")["message"].as_str().expect("a message").to_owned();
    let (_, rest) = message.split_once("prune-acknowledged: \"").expect("it says how");
    rest.split('"').next().expect("a token").to_owned()
}

async fn is_there(fleet: &Fleet, what: &str) -> bool {
    let at = apply::Reference::new("v1", if what == NAMESPACE.2 { "Namespace" } else { "ConfigMap" }, "", what);
    let at = if what == NAMESPACE.2 { at } else { apply::Reference { namespace: fleet::NAMESPACE.into(), ..at } };
    fleet.cluster.get(&at).await.expect("it is served").is_some_and(|found| !found.is_terminating())
}

/// unmet.md 20: a commit that would delete a Namespace (or a claim, a definition, a HelmRelease) is held until it is
/// acknowledged in Git.
#[tokio::test]
async fn requirement_20_a_commit_that_deletes_a_namespace_is_held_until_it_is_acknowledged() {
    let fleet = Fleet::new().await;
    fleet.write("team", &[namespace(), config_map("kept", json!({"a": "1"}))]);
    let commit = fleet.commit();
    fleet.kustomization("team", json!({}), json!({})).await;
    fleet.answered("team", &commit, "True").await;

    fleet.write("team", &[config_map("kept", json!({"a": "2"}))]);
    let commit = fleet.commit();
    let held = fleet.answered("team", &commit, "False").await;
    let message = condition(&held, "Ready")["message"].to_string();
    assert!(message.contains("nothing was written") && message.contains("Namespace/team"), "{message}");
    assert!(is_there(&fleet, "team").await);
    let kept = fleet.get("v1", "ConfigMap", "kept").await.expect("it stays");
    assert_eq!(kept.text("/data/a"), Some("1"), "the plan is held as a whole");

    let wrong = json!({"lockstep.dev/prune-acknowledged": "something"});
    fleet.kustomization("team", wrong, json!({})).await;
    fleet.calm().await;
    assert!(is_there(&fleet, "team").await);
    let acknowledged = json!({"lockstep.dev/prune-acknowledged": token(&held)});
    fleet.kustomization("team", acknowledged, json!({})).await;
    fleet.answered("team", &commit, "True").await;
    assert!(!is_there(&fleet, "team").await);
    fleet.end().await;
}

/// unmet.md 20: so is one that deletes a claim, a definition or a HelmRelease; what can be had back goes.
#[tokio::test]
async fn requirement_20_so_is_one_that_deletes_a_claim_a_definition_or_a_release_and_no_other() {
    let fleet = Fleet::new().await;
    let storage = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    let reference = json!({"kind": "GitRepository", "name": "repo"});
    // Nobody installs it: the guard is about what is declared.
    let release =
        json!({"interval": "10m", "suspend": true, "chart": {"spec": {"chart": "./c", "sourceRef": reference}}});
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "gadgets.example.com"}, "spec": {"group": "example.com", "scope": "Namespaced",
        "names": {"kind": "Gadget", "plural": "gadgets"}, "versions": [{"name": "v1", "served": true, "storage": true,
        "schema": {"openAPIV3Schema": {"type": "object"}}}]}});
    let all = [
        ("claim", fleet::object("v1", "PersistentVolumeClaim", "lost", json!({"spec": storage})), true),
        ("definition", definition, true),
        ("release", fleet::object("helm.toolkit.fluxcd.io/v2", "HelmRelease", "lost", json!({"spec": release})), true),
        ("secret", fleet::object("v1", "Secret", "lost", json!({})), false),
    ];
    for (unit, object, _) in &all {
        fleet.write(unit, &[object.clone(), config_map(unit, json!({}))]);
    }
    let commit = fleet.commit();
    for (unit, ..) in &all {
        fleet.kustomization(unit, json!({}), json!({"wait": false})).await;
        fleet.answered(unit, &commit, "True").await;
    }
    for (unit, ..) in &all {
        fleet.write(unit, &[config_map(unit, json!({}))]);
    }
    let commit = fleet.commit();
    for (unit, object, is_held) in all {
        let status = if is_held { "False" } else { "True" };
        let told = condition(&fleet.answered(unit, &commit, status).await, "Ready")["message"].to_string();
        let object = Object::new(object).expect("an object");
        let found = fleet.cluster.get(&apply::Reference::of(&object)).await.expect("it is served");
        assert_eq!(found.is_some_and(|found| !found.is_terminating()), is_held, "{unit}");
        assert_eq!(told.contains(&format!("among them {}", object.id())), is_held, "{told}");
    }
    fleet.end().await;
}

/// unmet.md 20: a commit that would delete more than half of a unit is held.
#[tokio::test]
async fn requirement_20_a_commit_that_deletes_most_of_a_unit_is_held_and_the_guard_can_be_off() {
    let fleet = Fleet::new().await;
    let all: Vec<Value> = (0..12).map(|n| config_map(&format!("c{n}"), json!({}))).collect();
    fleet.write("many", &all);
    let commit = fleet.commit();
    fleet.kustomization("many", json!({}), json!({})).await;
    fleet.answered("many", &commit, "True").await;
    fleet.write("many", &all[..5]);
    let commit = fleet.commit();
    let held = fleet.answered("many", &commit, "False").await;
    assert!(condition(&held, "Ready")["message"].to_string().contains("7 of 12 objects would be deleted"));
    assert!(is_there(&fleet, "c11").await);
    fleet.kustomization("many", json!({"lockstep.dev/prune-guard": "off"}), json!({})).await;
    fleet.answered("many", &commit, "True").await;
    assert!(!is_there(&fleet, "c11").await && is_there(&fleet, "c1").await);
    fleet.end().await;
}

/// unmet.md 8: whoever deletes Flux's definitions has not asked for what Kustomizations made to be deleted with them. Flux
/// prunes then; this is a deliberate difference.
#[tokio::test]
async fn requirement_8_kustomizations_that_go_with_their_definition_delete_nothing() {
    let fleet = Fleet::new().await;
    fleet.write("team", &[config_map("kept", json!({"a": "1"}))]);
    let commit = fleet.commit();
    fleet.kustomization("team", json!({}), json!({})).await;
    fleet.answered("team", &commit, "True").await;
    let name = "kustomizations.kustomize.toolkit.fluxcd.io";
    let at = apply::Reference::new("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", name);
    let propagation = apply::cluster::Propagation::Background;
    let call = apply::Call::Delete { at: at.clone(), uid: None, resource_version: None, propagation, dry_run: false };
    fleet.cluster.call(call).await.expect("it is deleted");
    let began = std::time::Instant::now();
    while fleet.cluster.get(&at).await.expect("it is served").is_some() {
        assert!(began.elapsed() < std::time::Duration::from_secs(60), "the definition never went");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    fleet.calm().await;
    assert!(is_there(&fleet, "kept").await, "nobody asked for it to be deleted");
    fleet.end().await;
}

/// unmet.md 8, as far as it can be met: all of Flux's and External Secrets' definitions go. What is applied, decrypted, merged into
/// or orphaned stays; a Secret that belongs to its ExternalSecret goes with it, as by External Secrets: Kubernetes deletes
/// what has no owner any more, and a Secret without its owner would not be theirs.
#[tokio::test]
async fn requirement_8_of_the_secrets_only_those_go_with_the_definitions_whose_owner_goes() {
    const VERSION: &str = "external-secrets.io/v1";
    let fleet = Fleet::new().await;
    let provider = json!({"fake": {"data": [{"key": "a", "value": "v"}]}});
    let external = |name: &str, policy: &str| {
        let spec = json!({"secretStoreRef": {"name": "store"}, "data": [{"secretKey": "a", "remoteRef": {"key": "a"}}],
            "target": {"creationPolicy": policy}});
        fleet::object(VERSION, "ExternalSecret", name, json!({"spec": spec}))
    };
    fleet.apply(fleet::object("v1", "Secret", "merged", json!({"data": {"b": "Yg=="}}))).await;
    fleet.write(
        "team",
        &[
            fleet::object(VERSION, "SecretStore", "store", json!({"spec": {"provider": provider}})),
            external("owned", "Owner"),
            external("orphaned", "Orphan"),
            external("merged", "Merge"),
            fleet::object("v1", "Secret", "plain", json!({"data": {"a": "YQ=="}})),
        ],
    );
    let commit = fleet.commit();
    fleet.kustomization("team", json!({}), json!({})).await;
    fleet.answered("team", &commit, "True").await;
    let all = ["owned", "orphaned", "merged", "plain"];
    for name in all {
        fleet.until(("v1", "Secret", name), "made", |found| found.is_some()).await;
    }
    for schema in lockstep::api::schema::ALL {
        let definition: Value = yaml::from_str(schema.text).expect("a schema");
        let name = definition["metadata"]["name"].as_str().expect("a name");
        let at = apply::Reference::new("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", name);
        let propagation = apply::cluster::Propagation::Background;
        let call = apply::Call::Delete { at, uid: None, resource_version: None, propagation, dry_run: false };
        fleet.cluster.call(call).await.expect("it is deleted");
    }
    fleet.until(("v1", "Secret", "owned"), "gone", |found| found.is_none()).await;
    fleet.calm().await;
    for name in &all[1..] {
        let secret = fleet.get("v1", "Secret", name).await;
        assert!(secret.is_some_and(|secret| !secret.is_terminating()), "{name}");
    }
    fleet.end().await;
}

/// A unit that another one makes carries Flux's finalizer from its first moment, which costs no request of its own; it goes
/// only after what it has made.
#[tokio::test]
async fn a_unit_of_a_unit_comes_with_its_finalizer_and_goes_after_what_it_has_made() {
    const UNIT: (&str, &str) = ("kustomize.toolkit.fluxcd.io/v1", "Kustomization");
    let fleet = Fleet::new().await;
    let spec = json!({"path": "./child", "interval": "10m", "prune": true,
        "sourceRef": {"kind": "GitRepository", "name": "repo"}});
    fleet.write(
        "parent",
        &[fleet::object(UNIT.0, UNIT.1, "child", json!({"spec": spec})), config_map("beside", json!({}))],
    );
    fleet.write("child", &[config_map("made", json!({}))]);
    let commit = fleet.commit();
    fleet.kustomization("parent", json!({}), json!({})).await;
    fleet.answered("parent", &commit, "True").await;
    let child = fleet.answered("child", &commit, "True").await;
    assert_eq!(child.value()["metadata"]["finalizers"], json!(["finalizers.fluxcd.io"]));
    let writes = fleet.requests("Kustomization/apps/child");
    let patches = writes.iter().filter(|(verb, ..)| *verb == "patch").count();
    assert_eq!(patches, 1, "its status: {writes:?}");

    fleet.write("parent", &[config_map("beside", json!({}))]);
    let commit = fleet.commit();
    fleet.answered("parent", &commit, "True").await;
    fleet.until((UNIT.0, UNIT.1, "child"), "gone", |found| found.is_none()).await;
    assert!(!is_there(&fleet, "made").await, "what it has made goes first");
    fleet.end().await;
}

/// Flux tries a prune that has failed again at its retry interval; so does a unit of which a part is held.
#[tokio::test]
async fn what_a_unit_that_landed_in_part_may_not_delete_is_tried_again_until_it_is_gone() {
    let fleet = Fleet::new().await;
    let service = |ports: Value| fleet::object("v1", "Service", "web", json!({"spec": {"ports": ports}}));
    fleet.write("team", &[config_map("kept", json!({})), config_map("old", json!({})), service(json!([{"port": 80}]))]);
    let commit = fleet.commit();
    fleet.kustomization("team", json!({}), json!({"wait": false})).await;
    fleet.answered("team", &commit, "True").await;

    fleet.protect("old");
    fleet.write("team", &[config_map("kept", json!({"a": "1"})), service(json!("none"))]);
    let commit = fleet.commit();
    let held = fleet.answered("team", &commit, "False").await;
    let message = condition(&held, "Ready")["message"].to_string();
    let is_told = |what: &str| message.contains(what);
    assert!(is_told("landed without parcel Service/apps/web") && is_told("old is forbidden"), "{message}");
    fleet.protect("");
    fleet.until(("v1", "ConfigMap", "old"), "gone", |found| found.is_none()).await;
    fleet.calm().await;
    let held = fleet.answered("team", &commit, "False").await;
    let message = condition(&held, "Ready")["message"].to_string();
    assert!(message.contains("landed without parcel Service/apps/web") && !message.contains("old"), "{message}");
    fleet.end().await;
}

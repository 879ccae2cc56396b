//! Objects that several units declare: who owns them, who shares them, and that nobody deletes what another one holds.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "support/stage.rs"]
mod stage;

use apply::cleanup::{Cleanup, Manager};
use apply::{Behaviour, Candidate, Desired, HealthScope, LandingScope, Outcome, Ruling, Verdict};
use futures::executor::block_on;
use manifest::Object;
use serde_json::{Value, json};
use stage::Stage;

const OWNER: &str = "kustomize.toolkit.fluxcd.io/name";
const MANAGER: &str = "kustomize-controller";

/// One of the units, and how it lands.
struct Unit {
    name: &'static str,
    stage: Stage,
}

impl Unit {
    fn behaviour(&self) -> Behaviour {
        let sharer = format!("{MANAGER} ({})", self.name);
        let managers = vec![Manager { prefix: sharer.clone(), applies: true }];
        Behaviour {
            prune: true,
            scope: LandingScope::Unit,
            health: HealthScope::All,
            owner_labels: vec![(OWNER.into(), self.name.into())],
            sharer,
            cleanup: Cleanup { managers, ..Cleanup::default() },
            ..Behaviour::default()
        }
    }

    fn land(&self, objects: &[Value]) -> Result<Outcome, String> {
        let desired = |value: &Value| {
            let mut value = value.clone();
            value["metadata"]["labels"][OWNER] = self.name.into();
            Desired::new(Object::new(value).unwrap(), MANAGER)
        };
        let objects: Vec<Desired> = objects.iter().map(desired).collect();
        let input = objects.iter().map(|desired| desired.object.value().to_string()).collect();
        let candidate = Candidate { revision: "r".into(), input, objects, ..Candidate::default() };
        block_on(self.stage.land_this(candidate, self.behaviour()))
    }

    /// It knows that the other one holds the Namespace.
    fn beside(&mut self, other: &str) {
        let id = Object::new(team(json!({}))).unwrap().id();
        self.stage.others.0.note(id, vec![(OWNER.to_owned(), other.to_owned())]);
        self.stage.others.1.0.insert("team".into(), Ruling::Theirs);
    }

    fn is_alone(&mut self) {
        self.stage.others = Default::default();
    }
}

fn team(labels: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "team", "namespace": "default", "labels": labels}})
}

fn app(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": {"a": "b"}})
}

fn workload(is_bad: bool) -> Value {
    let labels = if is_bad { json!({"app": "w", "testbed/fail": "true"}) } else { json!({"app": "w"}) };
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "w", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "w"}},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
}

/// Labels of the object that both declare.
fn labels(stage: &Stage) -> Option<Value> {
    let found = stage.list("v1", "ConfigMap").into_iter().find(|object| object.name() == "team")?;
    Some(found.value()["metadata"]["labels"].clone())
}

/// Two units: the first has landed and owns what both declare.
fn two() -> (Unit, Unit) {
    let stage = Stage::new(3);
    let b = Unit { name: "b", stage: stage.beside("Kustomization/flux-system/b") };
    let a = Unit { name: "a", stage };
    a.land(&[team(json!({"team": "one", "tier": "x"})), app("a")]).unwrap();
    (a, b)
}

#[test]
fn who_comes_second_adds_what_the_owner_does_not_declare_and_neither_writes_again() {
    let (mut a, mut b) = two();
    b.beside("a");
    b.land(&[team(json!({"team": "two", "zone": "z"})), app("b")]).unwrap();
    let both = json!({OWNER: "a", "team": "one", "tier": "x", "zone": "z"});
    assert_eq!(labels(&a.stage), Some(both.clone()));
    a.beside("b");
    let versions = a.stage.versions();
    a.land(&[team(json!({"team": "one", "tier": "x"})), app("a")]).unwrap();
    b.land(&[team(json!({"team": "two", "zone": "z"})), app("b")]).unwrap();
    assert_eq!(a.stage.versions(), versions, "neither writes again");
    assert_eq!(labels(&a.stage), Some(both));
}

#[test]
fn who_shares_an_object_gives_up_its_own_part_and_deletes_nothing() {
    let (mut a, mut b) = two();
    b.beside("a");
    b.land(&[team(json!({"zone": "z"})), app("b")]).unwrap();
    a.beside("b");
    let outcome = b.land(&[app("b")]).unwrap();
    assert!(outcome.pruned.is_empty(), "{outcome:?}");
    assert_eq!(labels(&a.stage), Some(json!({OWNER: "a", "team": "one", "tier": "x"})));
}

#[test]
fn an_owner_that_gives_an_object_up_leaves_it_to_who_shares_it() {
    let (mut a, mut b) = two();
    b.beside("a");
    b.land(&[team(json!({"zone": "z"})), app("b")]).unwrap();
    a.beside("b");
    let outcome = a.land(&[app("a")]).unwrap();
    assert!(outcome.pruned.is_empty(), "{outcome:?}");
    b.is_alone();
    b.land(&[team(json!({"zone": "z"})), app("b")]).unwrap();
    assert_eq!(
        labels(&b.stage),
        Some(json!({OWNER: "b", "zone": "z"})),
        "it owns it now, and only its own fields are left"
    );
    let versions = b.stage.versions();
    b.land(&[team(json!({"zone": "z"})), app("b")]).unwrap();
    assert_eq!(b.stage.versions(), versions);
    let outcome = b.land(&[app("b")]).unwrap();
    assert_eq!(outcome.pruned.len(), 1, "nobody else holds it now");
    assert_eq!(labels(&b.stage), None);
}

#[test]
fn what_may_be_declared_by_a_unit_that_nobody_has_looked_at_is_kept_for_now() {
    let (mut a, _) = two();
    a.stage.others.1.0.insert("team".into(), Ruling::Unsure);
    let outcome = a.land(&[app("a")]).unwrap();
    assert_eq!((outcome.verdict, outcome.kept.len(), outcome.pruned.len()), (Verdict::Landed, 1, 0));
    assert!(labels(&a.stage).is_some());
}

#[test]
fn undoing_takes_back_its_own_part_and_leaves_what_another_unit_has_taken_meanwhile() {
    let (a, mut b) = two();
    b.beside("a");
    let before = labels(&a.stage);
    let outcome = b.land(&[team(json!({"zone": "z"})), workload(true)]).unwrap();
    assert_eq!(outcome.verdict, Verdict::Undone, "{outcome:?}");
    assert_eq!(labels(&a.stage), before);
    // It makes one that another unit takes before it fails.
    a.land(&[app("a")]).unwrap();
    b.is_alone();
    b.stage.others.1.0.insert("team".into(), Ruling::Theirs);
    let outcome = b.land(&[team(json!({"zone": "z"})), workload(true)]).unwrap();
    assert_eq!(outcome.verdict, Verdict::Undone);
    assert!(labels(&a.stage).is_some(), "it stays");
}

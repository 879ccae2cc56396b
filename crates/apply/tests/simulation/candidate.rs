//! A revision as the engine is given it.

use std::collections::BTreeMap;
use std::time::Duration;

use apply::desired::{Candidate, Declarer, Desired, Hook, Policy, Put, Release, Removal};
use apply::report::Step;
use apply::{Failure, Landing, Reading, Reference};
use manifest::{Object, ObjectId};
use serde_json::{Value, json};

use super::repository::{Flaw, Kind, NAMESPACE, Said, Thing};
use super::spoil;
use super::world::World;

/// The unit's field manager.
pub(crate) const MANAGER: &str = "unit";
/// Name of the release.
const CHART: &str = "chart";

/// What the snapshot at `index` wants now, where that stands which `landed` last.
pub(crate) fn of(world: &World, index: usize, landed: Option<&Landing>) -> Candidate {
    let (repository, input) = {
        let state = world.state();
        (state.snapshots[index].repository.clone(), state.snapshots[index].input.clone())
    };
    let mut candidate = Candidate {
        revision: input.clone(),
        input: input.clone(),
        read_set: Value::String(input),
        ..Candidate::default()
    };
    for thing in &repository.things {
        let said = spoil::heard(world.spoilt, thing.said);
        let objects = repository.objects(thing).into_iter().map(|declared| {
            let mut desired = Desired::new(object(declared.value), MANAGER);
            if let Some(owner) = declared.owner {
                desired.declarer = Declarer::ExternalSecret(owner.id());
                desired.owner = Some(owner);
                desired.manager = "external-secrets".into();
            }
            desired.awaited = !matches!(thing.kind, Kind::External | Kind::Target);
            desired.force = world.terms.force;
            spoil::written(world.spoilt, thing, &mut desired);
            desired
        });
        let stood =
            || landed.into_iter().flat_map(Landing::changes).any(|c| c.desired.reference() == thing.reference());
        let is_missed = said == Said::Gone && thing.kind == Kind::External && !stood();
        if is_missed || thing.flaw == Some(Flaw::Unresolved) {
            unresolved(objects, &mut candidate);
        } else if said == Said::Gone {
            let reference = Reference::new("v1", "Secret", NAMESPACE, &thing.name);
            let declarer = Declarer::ExternalSecret(thing.reference().id());
            candidate.removals.push(Removal { reference, declarer });
            candidate.objects.extend(objects.take(1));
        } else if said.is_doubt() {
            doubted(objects, landed, &mut candidate);
        } else if thing.kind == Kind::Release {
            release(world, thing, objects.collect(), &mut candidate);
        } else {
            candidate.objects.extend(objects);
        }
    }
    candidate
}

/// An ExternalSecret alone: its Secret cannot be made.
fn unresolved(objects: impl Iterator<Item = Desired>, candidate: &mut Candidate) {
    let objects: Vec<Desired> = objects.take(1).collect();
    let about = |desired: &Desired| Failure::about(Step::Expand, &desired.object, "the store has no such key");
    candidate.failures.extend(objects.iter().map(about));
    candidate.objects.extend(objects);
}

/// An ExternalSecret of which nobody knows the bytes keeps the Secret that landed, if it is the one that landed; as
/// `src/pipeline/expand.rs` has it.
fn doubted(mut objects: impl Iterator<Item = Desired>, landed: Option<&Landing>, candidate: &mut Candidate) {
    let Some(external) = objects.next() else { return };
    let id = external.object.id();
    let before: Vec<&Desired> = landed.iter().flat_map(|landed| landed.changes()).map(|c| &c.desired).collect();
    let spec = |desired: &Desired| desired.object.value()["spec"].clone();
    let is_known = before.iter().any(|desired| desired.object.id() == id && spec(desired) == spec(&external));
    if !is_known {
        return unresolved(std::iter::once(external), candidate);
    }
    let declarer = Declarer::ExternalSecret(id);
    let own = before.into_iter().filter(|desired| desired.declarer == declarer);
    candidate.objects.extend(std::iter::once(external).chain(own.cloned()));
}

/// Last-good once more, as `src/landing.rs` has it.
pub(crate) fn again(landed: &Landing) -> Candidate {
    Candidate {
        revision: landed.revision.clone(),
        input: landed.input.clone(),
        read_set: landed.read_set.clone(),
        objects: landed.changes().map(|change| change.desired.clone()).collect(),
        is_landed: true,
        ..Candidate::default()
    }
}

/// Seals that can be read: `version` for the bytes of one secret, and `name=version` lines for several.
pub(crate) fn seal(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    match text.split_once("7:version") {
        Some((_, after)) => {
            let version = after.split_once(":v").and_then(|(_, rest)| rest.split_once(';'));
            version.map_or_else(|| "none".to_owned(), |(version, _)| version.to_owned())
        }
        None => text.into_owned(),
    }
}

fn object(value: Value) -> Object {
    Object::new(value).expect("a thing is an object")
}

/// Name of a release's record.
pub(crate) fn record_name(version: u32) -> String {
    format!("sh.helm.release.v1.{CHART}.v{version}")
}

fn record(version: u32, status: &str) -> Object {
    object(json!({ "apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1",
        "metadata": { "name": record_name(version), "namespace": NAMESPACE, "labels": { "owner": "helm", "status": status } },
        "data": { "release": "eA==" } }))
}

fn put(version: u32, status: &str, undo: Option<&str>) -> Put {
    let undo: Vec<Object> = undo.map(|status| record(version, status)).into_iter().collect();
    Put { object: record(version, status), manager: "helm".into(), undo_deletes: undo.is_empty(), undo }
}

/// The last version that is deployed, as Helm's storage has it.
pub(crate) fn deployed(world: &World) -> Option<u32> {
    recorded(world, "deployed").into_iter().max()
}

/// Versions whose records have this status.
fn recorded(world: &World, status: &str) -> Vec<u32> {
    let records = world.list("v1", "Secret").into_iter().filter(|record| record.label("status") == Some(status));
    records.filter_map(|record| record.name().rsplit_once(".v")?.1.parse().ok()).collect()
}

fn release(world: &World, thing: &Thing, objects: Vec<Desired>, candidate: &mut Candidate) {
    let id = ObjectId {
        namespace: NAMESPACE.into(),
        name: CHART.into(),
        group: "helm.toolkit.fluxcd.io".into(),
        kind: "HelmRelease".into(),
    };
    let own = |policy: Policy| {
        let of_chart = |mut desired: Desired| {
            desired.declarer = Declarer::Release(id.clone());
            desired.object.set_annotation("meta.helm.sh/release-name", CHART);
            Desired { manager: "helm".into(), policy, ..desired }
        };
        objects.iter().cloned().map(of_chart).collect::<Vec<_>>()
    };
    let before = deployed(world);
    if before == Some(thing.version) {
        candidate.objects.extend(own(Policy::Untouched));
        return;
    }
    let superseded = before.map(|version| put(version, "superseded", Some("deployed")));
    // As `src/render/storage.rs` has it: what was cut off is ended by whoever comes next.
    let stale = recorded(world, "pending").into_iter().filter(|version| *version != thing.version);
    let unlocked = stale.map(|version| Put { undo_deletes: false, ..put(version, "failed", None) });
    candidate.releases.push(Release {
        id: id.clone(),
        begin: unlocked.chain([put(thing.version, "pending", None)]).collect(),
        before: vec![hook("before", thing)],
        objects: own(Policy::Override),
        wait: Some((Reading::Release, Duration::from_secs(60))),
        after: vec![hook("after", thing)],
        finish: superseded.into_iter().chain([put(thing.version, "deployed", None)]).collect(),
    });
}

fn hook(place: &str, thing: &Thing) -> Hook {
    let pod = json!({ "restartPolicy": "Never", "containers": [{ "name": "a", "image": "a" }] });
    let annotations = BTreeMap::from([("version", thing.version.to_string())]);
    Hook {
        object: object(json!({ "apiVersion": "batch/v1", "kind": "Job",
            "metadata": { "name": format!("hook-{place}"), "namespace": NAMESPACE, "annotations": annotations },
            "spec": { "template": { "spec": pod } } })),
        manager: "helm".into(),
        delete_before: true,
        delete_succeeded: true,
        delete_failed: false,
        timeout: Duration::from_secs(60),
    }
}

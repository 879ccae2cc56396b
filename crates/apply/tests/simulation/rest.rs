//! The rules that hold at rest: the cluster shows one whole revision, everything of others, and no leftovers.

use std::collections::{BTreeMap, BTreeSet};

use apply::Reference;
use serde_json::Value;

use super::candidate;
use super::events::content;
use super::ledger::{lines, stamp, workloads};
use super::repository::{Flaw, Kind, NAMESPACE, Repository, Thing, reference};
use super::world::{OWN, State, World};

/// Looks at everything.
pub(crate) fn check(world: &World) {
    if let Err(rule) = judge(world) {
        world.break_rule(format!("at rest: {rule}"));
    }
}

fn judge(world: &World) -> Result<(), String> {
    if world.state().ledger.header.open.is_some() {
        // Somebody has deleted what it waits for, and what would take its place is refused.
        let is_stuck = world.state().snapshots.last().is_some_and(|head| head.repository.is_flawed(Flaw::Invalid));
        if is_stuck {
            return others(world);
        }
        return Err("the journal holds a landing open".into());
    }
    let entries = world.list("v1", "Secret").iter().filter(|secret| secret.namespace() == OWN).count();
    if entries > 2 {
        return Err(format!("{entries} entries of the journal, where a header and a body would do"));
    }
    if super::events::is_hindered(world) {
        return others(world);
    }
    let shown = shown(world)?;
    others(world)?;
    stamps(world, shown)?;
    world.state().ledger.rested = shown;
    world.state().ledger.tampered.clear();
    Ok(())
}

/// The revision that the cluster shows, all of it.
fn shown(world: &World) -> Result<usize, String> {
    let (first, last, may_hold) = {
        let state = world.state();
        (state.ledger.rested, state.snapshots.len() - 1, state.may_hold)
    };
    let mut reasons = Vec::new();
    for index in (first..=last).rev() {
        let repository = world.state().snapshots[index].repository.clone();
        let stays = index == first;
        let faults = if stays { Vec::new() } else { flaws(world, &repository) };
        let faults = if faults.is_empty() { mismatches(world, &repository) } else { faults };
        if faults.is_empty() {
            return Ok(index);
        }
        reasons.push(format!("\n  not revision {index}: {}", faults.join(", ")));
        let must_land = index == last && !may_hold && is_sound(&repository);
        if must_land {
            break;
        }
    }
    Err(format!("no revision is whole{}", reasons.concat()))
}

/// Whether nothing can keep a revision from landing.
fn is_sound(repository: &Repository) -> bool {
    let has = |kind: Kind| repository.things.iter().any(|thing| thing.kind == kind);
    repository.things.iter().all(|thing| thing.flaw.is_none()) && (has(Kind::Definition) || !has(Kind::Widget))
}

/// Why a revision must not land.
fn flaws(world: &World, repository: &Repository) -> Vec<String> {
    let fails = |thing: &&Thing| match thing.flaw {
        Some(Flaw::Invalid) => true,
        Some(Flaw::Unhealthy) => world.waits,
        None => false,
    };
    repository.things.iter().filter(fails).map(|thing| format!("flawed {}", thing.name)).collect()
}

/// Where the cluster is not what a revision wants.
fn mismatches(world: &World, repository: &Repository) -> Vec<String> {
    let mut faults = Vec::new();
    for thing in &repository.things {
        for declared in repository.objects(thing) {
            let at = reference(&declared.value);
            faults.extend(mismatch(world, &at, &declared.value).map(|why| format!("{} {why}", at.id())));
            faults.extend(declared.owner.and_then(|owner| orphan(world, &at, &owner)));
        }
        if thing.kind == Kind::Release {
            faults.extend(records(world, thing));
        }
    }
    let wanted = repository.names();
    let (excused, known) = known(&world.state());
    let strange = known.difference(&wanted).filter(|at| !excused.contains(at) && world.get(at).is_some());
    faults.extend(strange.map(|at| format!("{} is there", at.id())));
    faults
}

/// Objects that may be there without being wanted, and all that some revision has wanted.
fn known(state: &State) -> (BTreeSet<Reference>, BTreeSet<Reference>) {
    let things = || state.snapshots.iter().flat_map(|snapshot| &snapshot.repository.things);
    let left = things().filter(|thing| thing.kind.is_irreplaceable() || thing.kind == Kind::Release);
    let excused = left.map(Thing::reference).chain(state.ledger.made_by_others.iter().cloned()).collect();
    (excused, state.snapshots.iter().flat_map(|snapshot| snapshot.repository.names()).collect())
}

fn mismatch(world: &World, at: &Reference, wanted: &Value) -> Option<String> {
    let Some(live) = world.get(at) else { return Some("is missing".into()) };
    if live.is_terminating() {
        return Some("is being deleted".into());
    }
    if let Some(path) = lacks(live.value(), wanted, "") {
        return Some(format!("differs in {path}"));
    }
    for map in ["/metadata/annotations", "/data"] {
        let keys = |value: &Value| -> BTreeSet<String> {
            let map = value.pointer(map).and_then(Value::as_object);
            map.into_iter().flat_map(|map| map.keys().cloned()).collect()
        };
        // Of an adopted object, others own what they have made.
        let theirs = ["theirs", "by", "stays", "v0", "only-v0", "meta.helm.sh/release-name"];
        let foreign = |key: &String| !theirs.contains(&key.as_str());
        if let Some(key) = keys(live.value()).difference(&keys(wanted)).find(|key| foreign(key)) {
            return Some(format!("still has {key}"));
        }
    }
    None
}

/// A path at which `live` does not hold what is wanted.
fn lacks(live: &Value, wanted: &Value, path: &str) -> Option<String> {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted.iter().find_map(|(key, wanted)| {
            let path = format!("{path}.{key}");
            live.get(key).map_or_else(|| Some(path.clone()), |live| lacks(live, wanted, &path))
        }),
        (Value::Array(live), Value::Array(wanted)) if live.len() == wanted.len() => {
            live.iter().zip(wanted).find_map(|(live, wanted)| lacks(live, wanted, path))
        }
        (live, wanted) => (live != wanted).then(|| path.to_owned()),
    }
}

fn orphan(world: &World, at: &Reference, owner: &Reference) -> Option<String> {
    let uid = world.get(owner)?.uid().to_owned();
    let live = world.get(at)?;
    let is_owned = live.text("/metadata/ownerReferences/0/uid") == Some(uid.as_str());
    (!is_owned).then(|| format!("{} is not owned", at.id()))
}

/// A release has one record that is deployed, and none that is under way.
fn records(world: &World, thing: &Thing) -> Vec<String> {
    let records = world.list("v1", "Secret");
    let status = |wanted: &str| -> Vec<String> {
        let found = records.iter().filter(|record| record.label("status") == Some(wanted));
        found.map(|record| record.name().to_owned()).collect()
    };
    let mut faults: Vec<String> = status("pending").into_iter().map(|name| format!("{name} is pending")).collect();
    if status("deployed") != [candidate::record_name(thing.version)] {
        faults.push(format!("deployed is {:?}", status("deployed")));
    }
    faults
}

/// What others made is as they left it, and what they added is there.
fn others(world: &World) -> Result<(), String> {
    let (foreign, shared) = {
        let state = world.state();
        (state.ledger.foreign.clone(), state.ledger.shared.clone())
    };
    for (at, wanted) in foreign {
        let live = world.get(&at).ok_or_else(|| format!("{} of others is gone", at.id()))?;
        if content(live.value()) != wanted {
            return Err(format!("{} of others has changed: {} was {wanted}", at.id(), content(live.value())));
        }
    }
    for (at, uid) in shared {
        let live = world.get(&at).filter(|live| live.uid() == uid);
        if live.is_some_and(|live| live.annotation("theirs") != Some("kept")) {
            return Err(format!("{} has lost a field of others", at.id()));
        }
    }
    Ok(())
}

/// A stamp changes exactly when bytes change that were read before and still are.
fn stamps(world: &World, shown: usize) -> Result<(), String> {
    let repository = world.state().snapshots[shown].repository.clone();
    let before = std::mem::take(&mut world.state().ledger.stamps);
    let mut now = BTreeMap::new();
    for workload in workloads(world).iter().filter(|workload| workload.namespace() == NAMESPACE) {
        let Some(thing) = repository.things.iter().find(|t| t.kind.is_workload() && t.name == workload.name()) else {
            continue;
        };
        let secrets = thing.needs.keys().filter_map(|id| repository.find(*id));
        let versions: BTreeMap<String, u32> = secrets.map(|secret| (secret.name.clone(), secret.version)).collect();
        let stamp = stamp(workload);
        if let Some((old, last, version)) = before.get(workload.name()) {
            let is_rotated = old.iter().any(|(name, version)| versions.get(name).is_some_and(|now| now != version));
            let is_current = stamp.as_deref().is_some_and(|stamp| lines(stamp) == versions);
            if is_rotated && !is_current {
                return Err(format!("{} was not restarted for new bytes: {stamp:?}, not {versions:?}", workload.id()));
            }
            if !is_rotated && stamp != *last && *version == thing.version {
                return Err(format!("{} was restarted for nothing: {last:?}, now {stamp:?}", workload.id()));
            }
        }
        now.insert(workload.name().to_owned(), (versions, stamp, thing.version));
    }
    world.state().ledger.stamps = now;
    Ok(())
}

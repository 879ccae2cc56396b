//! The rules that hold at rest: the cluster shows one whole revision, everything of others, and no leftovers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use apply::{LandingScope, OnFailure, Reference};
use serde_json::Value;

use super::candidate;
use super::events::content;
use super::ledger::{lines, stamp, workloads};
use super::repository::{Flaw, Kind, NAMESPACE, Thing};
use super::scenario::Terms;
use super::standing::{Standing, Wanted};
use super::versions::{self, Versions};
use super::world::{OWN, State, World};

/// Looks at everything.
pub(crate) fn check(world: &World) {
    if let Err(rule) = judge(world) {
        world.break_rule(format!("at rest: {rule}"));
    }
}

fn judge(world: &World) -> Result<(), String> {
    let open = open(&world.state())?;
    if let Some(is_excused) = open {
        return if is_excused { others(world) } else { Err("the journal holds a landing open".into()) };
    }
    let entries = world.list("v1", "Secret").iter().filter(|secret| secret.namespace() == OWN).count();
    if entries > 2 {
        return Err(format!("{entries} entries of the journal, where a header and a body would do"));
    }
    if super::events::is_hindered(world) {
        return others(world);
    }
    let standing = world.state().ledger.standing.clone();
    let faults = mismatches(world, &standing);
    if !faults.is_empty() {
        return Err(format!("the cluster is not what has landed: {}", faults.join(", ")));
    }
    newest(&world.state())?;
    others(world)?;
    if world.terms.versioned {
        versions::newest(world, &standing)?;
    } else {
        stamps(world, &standing)?;
    }
    world.state().ledger.tampered.clear();
    Ok(())
}

/// Whether a landing that is open at rest has an excuse; `None` where none is open.
fn open(state: &State) -> Result<Option<bool>, String> {
    let Some((_, phase)) = &state.ledger.header.open else { return Ok(None) };
    let head = state.snapshots.last();
    let is_flawed = |flaw: Flaw| head.is_some_and(|head| head.repository.is_flawed(flaw));
    if phase == "held" && state.terms.on_failure != OnFailure::Hold {
        return Err("a landing is held, and nobody asked for it".into());
    }
    let is_any_flawed = [Flaw::Unhealthy, Flaw::Invalid, Flaw::Unresolved].into_iter().any(is_flawed);
    Ok(Some(phase == "held" && (is_any_flawed || state.may_hold)))
}

/// A landing was concluded: what stands now, and whether it may.
pub(crate) fn conclude(state: &mut State) {
    let Some(landed) = state.ledger.concluded() else { return };
    let old = &state.ledger.standing;
    let held: BTreeSet<Reference> = old.all_with(landed.wanted).into_iter().filter(|at| (landed.held)(at)).collect();
    // What nobody could look at before is refused when it is written; where failures end nothing, it is left out alone.
    let goes_on = state.terms.on_failure == OnFailure::Continue && state.may_hold;
    let flawed = landed.wanted.flawed(|flaw| goes_on && flaw == Flaw::Invalid);
    let left_out = landed.wanted.with_readers(&flawed & &landed.refused);
    let rule = judge_held(&state.terms, old, landed.wanted, &held, &left_out).err();
    let rule = rule.map(|rule| format!("revision {} is concluded: {rule}", landed.input));
    let excused = (!landed.supersedes).then(|| old.closure(landed.wanted, landed.wanted.doubtful(old)));
    let unexcused = excused.map(|excused| held.difference(&excused).cloned().collect()).unwrap_or_default();
    let standing = old.landed(landed.wanted, |at| held.contains(at) || left_out.contains(at));
    drop(landed);
    let ledger = &mut state.ledger;
    ledger.foreign.retain(|at, _| !standing.contains(at));
    (ledger.standing, ledger.unexcused) = (Arc::new(standing), unexcused);
    if let Some(rule) = rule {
        state.violation.get_or_insert(rule);
    }
}

/// What is held is all that stands or falls together, and all that is flawed but for what is left out.
fn judge_held(
    terms: &Terms,
    old: &Standing,
    wanted: &Standing,
    held: &BTreeSet<Reference>,
    left_out: &BTreeSet<Reference>,
) -> Result<(), String> {
    let closed = old.closure(wanted, held.clone());
    if let Some(at) = closed.difference(held).next() {
        return Err(format!("{} is not held, and something that it stands or falls with is", at.id()));
    }
    if terms.scope == LandingScope::Unit
        && let Some(at) = held.first()
        && *held != old.all_with(wanted)
    {
        return Err(format!("{} is held alone, of a unit that lands whole", at.id()));
    }
    let flawed = wanted.flawed(|flaw| terms.refuses(flaw)).into_iter().chain(wanted.unresolved(old));
    let landed = |at: &Reference| !held.contains(at) && !left_out.contains(at);
    match flawed.into_iter().find(landed) {
        Some(at) => Err(format!("{} has landed, and is flawed", at.id())),
        None => Ok(()),
    }
}

/// The newest revision stands, unless it is flawed or something stood in its way; and only what is flawed is held.
fn newest(state: &State) -> Result<(), String> {
    let Some(head) = state.snapshots.last().filter(|_| !state.may_hold) else { return Ok(()) };
    let wanted = &head.standing;
    if state.ledger.landed_input() == Some(&head.input) {
        return match state.ledger.unexcused.first() {
            Some(at) => Err(format!("{} is held, and nothing is wrong with it", at.id())),
            None => Ok(()),
        };
    }
    let standing = &state.ledger.standing;
    let flawed = wanted.doubtful(standing);
    let is_all = |held: BTreeSet<Reference>| standing.all_with(wanted).is_subset(&held);
    let is_excused =
        !flawed.is_empty() && (state.terms.scope == LandingScope::Unit || is_all(standing.closure(wanted, flawed)));
    // Nothing at all is nothing to land.
    let is_excused = is_excused || (wanted.0.is_empty() && standing.0.is_empty());
    if is_excused { Ok(()) } else { Err(format!("revision {} has not landed", head.input)) }
}

/// Where the cluster is not what stands.
fn mismatches(world: &World, standing: &Standing) -> Vec<String> {
    let mut faults = Vec::new();
    let versions = versions::all(world);
    for (at, wanted) in &standing.0 {
        faults.extend(mismatch(world, at, &wanted.value, &versions).map(|why| format!("{} {why}", at.id())));
        faults.extend(wanted.owner.as_ref().and_then(|owner| orphan(world, at, owner)));
        if wanted.kind == Kind::Release {
            faults.extend(records(world, wanted));
        }
    }
    let (excused, known) = known(&world.state());
    let strange = known.iter().filter(|at| !standing.contains(at) && !excused.contains(at));
    faults.extend(strange.filter(|at| world.get(at).is_some()).map(|at| format!("{} is there", at.id())));
    faults
}

/// Objects that may be there without being wanted, and all that some revision has wanted.
fn known(state: &State) -> (BTreeSet<Reference>, BTreeSet<Reference>) {
    let things = || state.snapshots.iter().flat_map(|snapshot| &snapshot.repository.things);
    let left = things().filter(|thing| thing.kind.is_irreplaceable() || thing.kind == Kind::Release);
    let ledger = &state.ledger;
    // What others delete of an adopted object stays gone, unless the landing itself may have deleted it to make it anew, or
    // they have added something to what it has made in its place.
    let brought_back = ledger.made_by_others.iter().filter(|at| state.terms.force || ledger.shared.contains_key(at));
    let of_others = ledger.foreign.keys().chain(brought_back).cloned();
    let excused = left.map(Thing::reference).chain(of_others).collect();
    (excused, state.snapshots.iter().flat_map(|snapshot| snapshot.standing.0.keys().cloned()).collect())
}

fn mismatch(world: &World, at: &Reference, wanted: &Value, versions: &Versions) -> Option<String> {
    let Some(live) = world.get(at) else { return Some("is missing".into()) };
    if live.is_terminating() {
        return Some("is being deleted".into());
    }
    let plain = (!versions.is_empty() && at.gvk.kind != "Secret").then(|| versions::plain(live.value(), versions));
    if let Some(path) = lacks(plain.as_ref().unwrap_or(live.value()), wanted, "") {
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
fn records(world: &World, release: &Wanted) -> Vec<String> {
    let records = world.list("v1", "Secret");
    let status = |wanted: &str| -> Vec<String> {
        let found = records.iter().filter(|record| record.label("status") == Some(wanted));
        found.map(|record| record.name().to_owned()).collect()
    };
    let mut faults: Vec<String> = status("pending").into_iter().map(|name| format!("{name} is pending")).collect();
    if status("deployed") != [candidate::record_name(release.version)] {
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
        // What is adopted by a landing that is left as it stands is not given back yet.
        if world.state().ledger.is_begun(&at) {
            continue;
        }
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
fn stamps(world: &World, standing: &Standing) -> Result<(), String> {
    let before = std::mem::take(&mut world.state().ledger.stamps);
    let gone = world.state().ledger.gone.clone();
    let mut now = BTreeMap::new();
    for workload in workloads(world).iter().filter(|workload| workload.namespace() == NAMESPACE) {
        let Some(wanted) = standing.0.get(&Reference::of(workload)) else { continue };
        // One that is gone may come back: its bytes are compared with those of before.
        let known = |name: &str| before.get(workload.name()).and_then(|(versions, ..)| versions.get(name).copied());
        let version = |at: &Reference| standing.0.get(at).map(|wanted| wanted.version).or_else(|| known(&at.name));
        let secrets = wanted.reads.iter().filter_map(|at| Some((at.name.clone(), version(at)?)));
        let versions: BTreeMap<String, u32> = secrets.collect();
        let stamp = stamp(workload);
        if let Some((old, last, version)) = before.get(workload.name()) {
            let is_rotated = old.iter().any(|(name, version)| versions.get(name).is_some_and(|now| now != version));
            // It may name one that it does not read any more: that alone is no reason to restart it. Nor is one that it has
            // come to read since: the template that reads it is new itself.
            let named = lines(stamp.as_deref().unwrap_or_default());
            let is_named = |(name, version): (&String, &u32)| match named.get(name) {
                Some(known) => known == version,
                None => !old.contains_key(name),
            };
            let is_current = versions.iter().all(is_named);
            if is_rotated && !is_current {
                return Err(format!("{} was not restarted for new bytes: {stamp:?}, not {versions:?}", workload.id()));
            }
            // The last bytes of what is gone, or was, may never have been seen at rest.
            let is_known = !wanted.reads.iter().any(|at| gone.contains(&at.name));
            if is_known && !is_rotated && stamp != *last && *version == wanted.version {
                return Err(format!("{} was restarted for nothing: {last:?}, now {stamp:?}", workload.id()));
            }
        }
        now.insert(workload.name().to_owned(), (versions, stamp, wanted.version));
    }
    world.state().ledger.stamps = now;
    Ok(())
}

//! What goes with a landing: what was declared before and is not now.

use std::collections::{BTreeMap, BTreeSet};

use manifest::ObjectId;

use super::Base;
use crate::change::{Change, Landing, Prior, Stale, Step};
use crate::cluster::Reference;
use crate::desired::{Candidate, Declarer, Desired, Policy};
use crate::order;
use crate::parcels::edges;
use crate::versions::Old;

/// What is not wanted any more.
pub(super) struct Gone {
    pub(super) stale: Vec<Stale>,
    /// Old versions of Secrets that are in use.
    pub(super) retired: Vec<Stale>,
    /// What should be gone and is not.
    pub(super) undeleted: Vec<Desired>,
}

impl Gone {
    /// What landed last, and is neither declared nor deleted.
    pub(super) fn dropped(&self, base: &Base, steps: &[Step]) -> Vec<Desired> {
        let declared = steps.iter().filter_map(Step::id);
        let deleted = self.stale.iter().chain(&self.retired).map(|stale| stale.reference.id());
        let known: BTreeSet<ObjectId> = declared.chain(deleted).collect();
        let landed = base.landed.iter().flat_map(Landing::changes).map(|change| &change.desired);
        landed.filter(|desired| !known.contains(&desired.object.id())).cloned().collect()
    }
}

/// What an earlier landing should have deleted and the inventory lists still, as it landed.
pub(super) fn undeleted(base: &Base) -> Vec<Desired> {
    let Some(landed) = &base.landed else { return Vec::new() };
    let listed: BTreeSet<ObjectId> = base.inventory.iter().map(Reference::id).collect();
    let stands: BTreeSet<ObjectId> = landed.changes().map(|change| change.desired.object.id()).collect();
    let stale = landed.stale.iter().filter(|stale| stale.declarer == Declarer::Unit);
    let known = stale.filter_map(|stale| stale.landed.as_deref()).chain(&landed.undeleted);
    let is_left = |id: &ObjectId| listed.contains(id) && !stands.contains(id);
    known.filter(|desired| is_left(&desired.object.id())).cloned().collect()
}

/// A version whose Secret is not declared any more is an object like any other.
fn of_unit(declarer: &Declarer) -> Declarer {
    match declarer {
        Declarer::Version(_) => Declarer::Unit,
        other => other.clone(),
    }
}

/// What was declared before and is not now, in the reverse of the commit's order.
///
/// Objects of a release or an ExternalSecret are stale only while their declarer stays: with it they go by
/// uninstall or by garbage collection. Removals are asked for by name and do not depend on `prune`.
pub(super) fn stale(
    candidate: &Candidate,
    base: &Base,
    prune: bool,
    mut wanted: BTreeSet<ObjectId>,
    old: &Old,
) -> Vec<Stale> {
    // Versions go when nobody refers to them; without their Secret like all else.
    wanted.extend(old.ids());
    let releases: BTreeSet<&ObjectId> = candidate.releases.iter().map(|release| &release.id).collect();
    let mut stale: BTreeMap<ObjectId, Stale> = BTreeMap::new();
    let landed: BTreeMap<ObjectId, &Desired> =
        base.landed.iter().flat_map(Landing::changes).map(|c| (c.desired.object.id(), &c.desired)).collect();
    let mut note = |reference: Reference, declarer: Declarer| {
        let id = reference.id();
        let landed = landed.get(&id).copied();
        let is_left = base.others.hold(&id) && declarer == Declarer::Unit && landed.is_none_or(|l| !l.shared);
        if !wanted.contains(&id) && !is_left {
            let landed = landed.map(|desired| Box::new(desired.clone()));
            stale.insert(id, Stale { reference, declarer, landed });
        }
    };
    // What others had made before a landing that did not land is given back to them.
    let is_theirs = |change: &&Change| {
        matches!(change.prior, Prior::Adopted(_)) && !landed.contains_key(&change.desired.object.id())
    };
    let begun = base.superseded.iter().flat_map(Landing::begun).filter(|change| !is_theirs(change));
    let landings: [Vec<&Change>; 2] = [base.landed.iter().flat_map(Landing::changes).collect(), begun.collect()];
    for changes in landings {
        let known = changes.into_iter().map(|c| &c.desired).filter(|d| !d.keep && d.policy != Policy::Ignore);
        let may_go = |declarer: &Declarer| match declarer {
            Declarer::Unit | Declarer::Version(_) => prune,
            Declarer::Release(id) => releases.contains(id),
            Declarer::ExternalSecret(id) => wanted.contains(id),
        };
        for desired in known.filter(|d| may_go(&d.declarer)) {
            note(desired.reference(), of_unit(&desired.declarer));
        }
    }
    if prune {
        // What could not be deleted of an ExternalSecret is still its own: it says so itself.
        let left = base.landed.iter().flat_map(|landed| &landed.stale);
        let is_of_external =
            |declarer: &&Declarer| matches!(declarer, Declarer::ExternalSecret(id) if wanted.contains(id));
        let left: BTreeMap<ObjectId, &Declarer> = left.map(|stale| (stale.reference.id(), &stale.declarer)).collect();
        for reference in &base.inventory {
            let declarer = left.get(&reference.id()).copied().filter(is_of_external).unwrap_or(&Declarer::Unit);
            note(reference.clone(), declarer.clone());
        }
    }
    for removal in &candidate.removals {
        note(removal.reference.clone(), removal.declarer.clone());
    }
    let mut stale: Vec<Stale> = stale.into_values().collect();
    stale.sort_by_key(|s| (order::place(&s.reference.gvk), s.reference.clone()));
    stale.reverse();
    // Without its API nobody could delete an object.
    let is_api = |stale: &&Stale| stale.reference.gvk.kind == "APIService";
    let apis: BTreeSet<String> = stale.iter().filter(is_api).map(|stale| stale.reference.name.clone()).collect();
    if !apis.is_empty() {
        stale.sort_by_key(|stale| !apis.contains(&edges::api_of(&stale.reference.gvk)));
    }
    stale
}

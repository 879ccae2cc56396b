//! Which units hold which objects: so that nobody deletes what another one holds, and an object that moves from one unit
//! to another in one commit is handed over.
//!
//! **Guarantees.** A unit that gives up an object which others share, or takes one that others hold, makes those look. As
//! long as a unit of the same source has not been looked at with its newest artifact, or what it makes has not landed, what
//! another one does not declare any more is kept, unless that one is known not to want it.
//!
//! **Caveat.** Everything here can be lost. Until the units have been looked at after a restart, the inventories of their
//! statuses stand for what they hold.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use apply::{Base, Candidate, Claims as Holders, Declarer, Landing, Others, Reference, Ruling};
use manifest::{Object, ObjectId};

use super::needs::{self, Need, Needs};
use super::{Key, Kind, Shared, triggers};
use crate::api::kustomization::KustomizationStatus;
use crate::pipeline::owner_labels;
use crate::pipeline::sources::SourceName;
use crate::status::kustomization::GROUP;
use crate::unit::Unit;

/// Claims of all units.
#[derive(Default)]
pub struct Claims {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Hardly ever more than one.
    holders: HashMap<ObjectId, Vec<Unit>>,
    held: HashMap<Unit, BTreeSet<ObjectId>>,
    /// The artifact with which each unit was looked at last.
    looked_at: HashMap<Unit, String>,
    /// Kustomizations that each unit is deleting, or is about to.
    dismissed: HashMap<Unit, BTreeSet<Unit>>,
    /// Units that keep objects of which nobody knows yet whether another one wants them.
    unsure: HashMap<Unit, Vec<Reference>>,
}

impl Claims {
    /// What a unit has landed is all that it holds; those who are to look: they hold something that it has given up, or
    /// that it owns now.
    pub fn landed(&self, unit: &Unit, landing: &Landing) -> Vec<Unit> {
        let own = || landing.changes().map(|change| &change.desired).filter(|d| d.declarer == Declarer::Unit);
        let shared: BTreeSet<ObjectId> = own().filter(|desired| desired.shared).map(|d| d.object.id()).collect();
        let ids = own().map(|desired| desired.object.id()).collect();
        let mut state = self.lock();
        let before = state.put(unit, ids);
        let now = &state.held[unit];
        let changed = before.symmetric_difference(now).filter(|id| !shared.contains(id));
        let others: BTreeSet<&Unit> = changed.filter_map(|id| state.holders.get(id)).flatten().collect();
        others.into_iter().filter(|other| *other != unit).cloned().collect()
    }

    /// What the status of a unit lists stands for what it holds, as long as nothing better is known.
    pub fn listed(&self, unit: &Unit, status: &KustomizationStatus) {
        let mut state = self.lock();
        if !state.held.contains_key(unit) {
            let entries = status.inventory.iter().flat_map(|inventory| inventory.entries.iter());
            let ids = entries.filter_map(|entry| ObjectId::from_inventory(&entry.id).ok()).collect();
            state.put(unit, ids);
        }
    }

    /// A unit is gone; those who are to look: they hold what it has held, too.
    pub fn forget(&self, unit: &Unit) -> Vec<Unit> {
        let mut state = self.lock();
        let before = state.put(unit, BTreeSet::new());
        state.held.remove(unit);
        state.looked_at.remove(unit);
        state.unsure.remove(unit);
        state.dismissed.remove(unit);
        state.dismissed.values_mut().for_each(|leaving| {
            leaving.remove(unit);
        });
        let others: BTreeSet<&Unit> = before.iter().filter_map(|id| state.holders.get(id)).flatten().collect();
        others.into_iter().cloned().collect()
    }

    /// What a unit starts from, with what others hold of all that it has landed, lists or wants. What it wants and one holds
    /// that goes, it takes.
    pub fn beside(&self, unit: &Unit, base: Base, candidate: &Candidate, goes: impl Fn(&Unit) -> bool) -> Base {
        let landings = [&base.landed, &base.superseded].into_iter().flatten();
        let before = landings.flat_map(Landing::changes).map(|change| change.desired.object.id());
        let wanted: BTreeSet<ObjectId> = candidate.objects.iter().map(|desired| desired.object.id()).collect();
        let listed = base.inventory.iter().map(Reference::id);
        let ids: BTreeSet<ObjectId> = before.chain(listed).chain(wanted.iter().cloned()).collect();
        let going: BTreeSet<Unit> = self.holders_of(unit, &wanted).into_iter().filter(goes).collect();
        let is_left_to_us = |id: &ObjectId, holder: &Unit| going.contains(holder) && wanted.contains(id);
        Base { others: self.others_but(unit, &ids, is_left_to_us), ..base }
    }

    /// Units but `unit` that hold an object.
    pub fn holders(&self, unit: &Unit, id: &ObjectId) -> Vec<Unit> {
        let state = self.lock();
        let holders = state.holders.get(id).into_iter().flatten();
        holders.filter(|holder| *holder != unit).cloned().collect()
    }

    /// Units but `unit` that hold any of these objects.
    pub fn holders_of<'a>(&self, unit: &Unit, ids: impl IntoIterator<Item = &'a ObjectId>) -> BTreeSet<Unit> {
        let state = self.lock();
        let holders = ids.into_iter().filter_map(|id| state.holders.get(id)).flatten();
        holders.filter(|holder| *holder != unit).cloned().collect()
    }

    /// Which of these objects others than `unit` hold.
    pub fn others<'a>(&self, unit: &Unit, ids: impl IntoIterator<Item = &'a ObjectId>) -> Holders {
        self.others_but(unit, ids, |_, _| false)
    }

    fn others_but<'a>(
        &self,
        unit: &Unit,
        ids: impl IntoIterator<Item = &'a ObjectId>,
        is_left_out: impl Fn(&ObjectId, &Unit) -> bool,
    ) -> Holders {
        let (state, mut holders) = (self.lock(), Holders::default());
        for id in ids {
            let others = state.holders.get(id).into_iter().flatten().filter(|other| *other != unit);
            for other in others.filter(|other| !is_left_out(id, other)) {
                holders.note(id.clone(), owner_labels(&other.namespace, &other.name));
            }
        }
        holders
    }

    /// These Kustomizations are deleted by `unit`, or about to be, and no others; those that stay after all.
    pub fn dismiss(&self, unit: &Unit, leaving: BTreeSet<Unit>) -> Vec<Unit> {
        let mut state = self.lock();
        let before = state.dismissed.remove(unit).unwrap_or_default();
        let stay = before.difference(&leaving).cloned().collect();
        if !leaving.is_empty() {
            state.dismissed.insert(unit.clone(), leaving);
        }
        stay
    }

    /// Whether a Kustomization is about to be deleted by another one.
    pub fn is_dismissed(&self, unit: &Unit) -> bool {
        self.lock().dismissed.values().any(|leaving| leaving.contains(unit))
    }

    /// What a unit holds.
    pub fn held(&self, unit: &Unit) -> BTreeSet<ObjectId> {
        self.lock().held.get(unit).cloned().unwrap_or_default()
    }

    /// Whether another unit holds an object.
    pub fn is_held_beside(&self, unit: &Unit, id: &ObjectId) -> bool {
        self.lock().holders.get(id).is_some_and(|holders| holders.iter().any(|holder| holder != unit))
    }

    /// A unit was looked at with an artifact: what it wants of it is known.
    pub fn looked_at(&self, unit: &Unit, version: &str) {
        let mut state = self.lock();
        match state.looked_at.get_mut(unit) {
            Some(known) if known == version => {}
            Some(known) => version.clone_into(known),
            None => drop(state.looked_at.insert(unit.clone(), version.to_owned())),
        }
    }

    /// What a unit keeps although it does not declare it, until it is known whether another one does.
    pub fn keeps(&self, unit: &Unit, kept: &[Reference]) {
        let mut state = self.lock();
        if kept.is_empty() {
            state.unsure.remove(unit);
        } else {
            state.unsure.insert(unit.clone(), kept.to_vec());
        }
    }

    /// What each unit keeps.
    pub fn unsure(&self) -> Vec<(Unit, Vec<Reference>)> {
        self.lock().unsure.iter().map(|(unit, kept)| (unit.clone(), kept.clone())).collect()
    }

    /// What one unit keeps.
    pub fn kept(&self, unit: &Unit) -> Vec<Reference> {
        self.lock().unsure.get(unit).cloned().unwrap_or_default()
    }

    /// Whether a unit was looked at with an artifact.
    pub fn is_looked_at(&self, unit: &Unit, version: &str) -> bool {
        self.lock().looked_at.get(unit).is_some_and(|known| known == version)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns what the unit held before.
    fn put(&mut self, unit: &Unit, ids: BTreeSet<ObjectId>) -> BTreeSet<ObjectId> {
        let before = self.held.insert(unit.clone(), ids).unwrap_or_default();
        let Self { holders, held, .. } = self;
        let Some(now) = held.get(unit) else { return before };
        for id in before.difference(now) {
            if let Some(units) = holders.get_mut(id) {
                units.retain(|holder| holder != unit);
                if units.is_empty() {
                    holders.remove(id);
                }
            }
        }
        now.difference(&before).for_each(|id| {
            holders.entry(id.clone()).or_insert_with(|| Vec::with_capacity(1)).push(unit.clone());
        });
        before
    }
}

/// The other units, as one of them sees them.
pub struct Neighbours {
    /// The agent.
    pub shared: Arc<Shared>,
    /// Who looks.
    pub unit: Unit,
    /// What it is built from.
    pub source: SourceName,
    /// Whether it does not wait any more for those that nobody can look at.
    pub is_impatient: bool,
    /// Kustomizations that it does not declare any more itself: what those want does not count.
    pub leaving: BTreeSet<Unit>,
}

/// The Kustomizations among objects that are to go.
pub fn units_among<'a>(going: impl IntoIterator<Item = &'a Reference>) -> BTreeSet<Unit> {
    let is_unit = |at: &&Reference| at.gvk.group == GROUP && at.gvk.kind == "Kustomization";
    going.into_iter().filter(is_unit).map(Unit::of).collect()
}

impl Others for Neighbours {
    fn ruling(&self, at: &Reference) -> Ruling {
        let (Shared { claims, needs, .. }, id) = (&*self.shared, at.id());
        match ruling(claims, needs, &self.unit, &id, || self.is_anybody_unknown()) {
            Ruling::Unsure if self.is_impatient && !self.is_wanted(&id) => Ruling::Nobodys,
            ruling => ruling,
        }
    }
}

/// To whom an object belongs that `unit` does not declare any more: those who hold it, those who are about to make it, or
/// perhaps those of whom nobody knows what they want.
pub fn ruling(
    claims: &Claims,
    needs: &Needs,
    unit: &Unit,
    id: &ObjectId,
    is_anybody_unknown: impl FnOnce() -> bool,
) -> Ruling {
    if claims.is_held_beside(unit, id) {
        return Ruling::Theirs;
    }
    if needs.maker(unit, &Need::Object(id.clone())).is_some() || is_anybody_unknown() {
        return Ruling::Unsure;
    }
    Ruling::Nobodys
}

impl Neighbours {
    /// Whether others want any of a landing; `None` as long as nobody knows that.
    pub fn want(&self, landing: &Landing) -> Option<bool> {
        let ruled = landing.changes().map(|change| change.desired.reference()).map(|at| (self.ruling(&at), at.id()));
        let ruled: Vec<(Ruling, ObjectId)> = ruled.collect();
        let is_wanted = |(ruling, id): &(Ruling, ObjectId)| *ruling == Ruling::Theirs || self.is_wanted(id);
        match ruled.iter().any(is_wanted) {
            true => Some(true),
            false => ruled.iter().all(|(ruling, _)| *ruling != Ruling::Unsure).then_some(false),
        }
    }

    /// Whether a unit that stays is known to want an object. It may have failed: one that was renamed and broken by the same
    /// commit is to find what runs.
    fn is_wanted(&self, id: &ObjectId) -> bool {
        let found = |unit: &Unit| triggers::key_of(unit).and_then(|key| self.shared.index.get(&key));
        let makers = self.shared.needs.makers(&self.unit, &Need::Object(id.clone()));
        makers.iter().filter_map(found).any(|object| needs::is_at_work(&object))
    }

    /// Whether a Kustomization of the same source is left of which nobody knows what it wants of the newest artifact.
    fn is_anybody_unknown(&self) -> bool {
        let Some(version) = self.shared.world.sources.version(&self.source) else { return false };
        let is_unknown = |key: &Key| {
            let unit = Unit::of(&key.reference());
            unit != self.unit && !self.leaving.contains(&unit) && !self.shared.claims.is_looked_at(&unit, &version)
        };
        let is_of_source =
            |object: &Object| needs::is_at_work(object) && source_of(object).as_ref() == Some(&self.source);
        let promised = self.shared.needs.promised_units(&self.unit);
        promised.iter().any(|unit| *unit != self.unit && !self.leaving.contains(unit))
            || self.shared.index.any(Kind::Kustomization, is_unknown, is_of_source)
    }
}

/// Those look who keep something and can know now whether another unit wants it.
pub fn wake_who_are_sure(shared: &Arc<Shared>) {
    for (unit, kept) in shared.claims.unsure() {
        let Some(key) = triggers::key_of(&unit) else { continue };
        if is_sure(shared, &key, &unit, &kept) {
            shared.queue.add(key);
        }
    }
}

/// Whether it is known of all that a unit keeps whether another unit wants it.
pub fn is_sure(shared: &Arc<Shared>, key: &Key, unit: &Unit, kept: &[Reference]) -> bool {
    let Some(source) = shared.index.get(key).and_then(|object| source_of(&object)) else { return true };
    let (shared, unit, leaving) = (shared.clone(), unit.clone(), units_among(kept));
    let neighbours = Neighbours { shared, unit, source, is_impatient: false, leaving };
    kept.iter().all(|at| neighbours.ruling(at) != Ruling::Unsure)
}

/// What a Kustomization is built from.
fn source_of(object: &Object) -> Option<SourceName> {
    let text = |field: &str| object.text(&format!("/spec/sourceRef/{field}"));
    let namespace = text("namespace").unwrap_or(object.namespace());
    Some((text("kind")?.to_owned(), namespace.to_owned(), text("name")?.to_owned()))
}

#[cfg(test)]
mod tests {
    use apply::Desired;
    use apply::plan::{Action, Change, Prior, Proof, Step};
    use serde_json::json;

    use super::*;

    fn id(name: &str) -> ObjectId {
        Reference::new("v1", "ConfigMap", "n", name).id()
    }

    /// A landing of these objects; those with a star are shared.
    fn landing(names: &[&str]) -> Landing {
        let desired = |name: &&str| {
            let value = json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": name.trim_end_matches('*'), "namespace": "n"}});
            Desired { shared: name.ends_with('*'), ..Desired::new(Object::new(value).unwrap(), "m") }
        };
        let (prior, action, proof) = (Prior::Absent, Action::Create, Proof::Server);
        let change = |desired| Change { desired, prior: prior.clone(), action, proof, cleans: false };
        let steps = names.iter().map(desired).map(|desired| Step::Apply(Box::new(change(desired)))).collect();
        Landing { steps, ..Landing::default() }
    }

    #[test]
    fn who_holds_something_too_looks_when_it_is_given_up_or_taken() {
        let (claims, a, b) = (Claims::default(), Unit::kustomization("n", "a"), Unit::kustomization("n", "b"));
        let only_b = vec![b.clone()];
        assert!(claims.landed(&a, &landing(&["x", "y"])).is_empty());
        assert!(claims.landed(&b, &landing(&["x*"])).is_empty(), "who shares disturbs nobody");
        assert!(claims.others(&b, [&id("x")]).hold(&id("x")));
        assert!(!claims.others(&b, [&id("y")]).hold(&id("z")));
        assert_eq!(claims.landed(&a, &landing(&["y"])), only_b, "the owner has given it up");
        assert!(claims.landed(&b, &landing(&["x"])).is_empty());
        assert_eq!(claims.landed(&a, &landing(&["x", "y"])), only_b, "it took what another one holds");
        assert_eq!(claims.forget(&a), only_b);
        assert!(!claims.is_held_beside(&b, &id("x")));
    }
}

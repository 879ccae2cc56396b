//! What units need of each other, found out instead of declared (landing.md section 4).
//!
//! **Flow.** A unit that has been compiled *promises* what it will make until it has landed. One that needs what is not
//! there looks who promises it, and waits for those; where nobody does, but units are left that nobody has compiled yet, it
//! waits until they are known. Without hope it goes on, and fails as it would have. Whoever makes or promises what
//! others need wakes them: nobody polls, but for an API whose server is starting, of which nobody tells when its kinds are
//! known.
//!
//! **Guarantees.** Units that wait for each other in a circle are told so. Everything here can be lost: a restart costs
//! a look.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use apply::parcels::edges;
use apply::{Candidate, Desired, Reference};
use manifest::{Gvk, Object, ObjectId, kinds};

use crate::unit::Unit;

mod search;

pub use search::{Lacking, Search};

/// One thing that a unit cannot do without.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Need {
    /// An object.
    Object(ObjectId),
    /// A kind, by its definition.
    Kind {
        /// API group.
        group: String,
        /// Kind.
        kind: String,
    },
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(id) => id.fmt(f),
            Self::Kind { group, kind } => write!(f, "the definition of {kind}.{group}"),
        }
    }
}

/// What a candidate will make.
pub fn promised(candidate: &Candidate) -> BTreeSet<Need> {
    let mut found = BTreeSet::new();
    for object in objects(candidate) {
        found.insert(Need::Object(object.id()));
        found.extend(edges::promised(object).into_iter().map(Need::Object));
        if object.kind() == "CustomResourceDefinition" {
            let [group, kind] =
                ["/spec/group", "/spec/names/kind"].map(|at| object.text(at).unwrap_or_default().to_owned());
            found.insert(Need::Kind { group, kind });
        }
    }
    found
}

/// What each object of a candidate needs and the candidate has not: what it refers to, its namespace, its kind.
pub fn foreign(candidate: &Candidate, own: &BTreeSet<Need>) -> BTreeMap<ObjectId, BTreeSet<Need>> {
    let mut found = BTreeMap::new();
    for object in objects(candidate) {
        let Gvk { group, kind, .. } = object.gvk();
        // What these declare is done by themselves, in their own time.
        if group == "kustomize.toolkit.fluxcd.io" {
            continue;
        }
        let mut needs: BTreeSet<Need> = edges::needed(object).into_iter().map(placed).map(Need::Object).collect();
        if !is_built_in(&group) && !own.contains(&served_by(&object.gvk())) {
            needs.insert(Need::Kind { group, kind });
        }
        needs.retain(|need| !own.contains(need) && !is_told_elsewhere(need));
        if !needs.is_empty() {
            found.insert(object.id(), needs);
        }
    }
    found
}

/// Whether a group is Kubernetes' own, which nobody brings. Others below `k8s.io` have definitions as everybody's have:
/// `gateway.networking`, `snapshot.storage`, `autoscaling`.
fn is_built_in(group: &str) -> bool {
    !group.contains('.') || kinds::has_group(group)
}

/// The APIService that may serve a kind.
fn served_by(gvk: &Gvk) -> Need {
    Need::Object(api(gvk).id())
}

fn api(gvk: &Gvk) -> Reference {
    Reference::new("apiregistration.k8s.io/v1", "APIService", "", &edges::api_of(gvk))
}

/// A reference does not say whether it means an object of the namespace or of the cluster.
fn placed(id: ObjectId) -> ObjectId {
    let is_of_cluster = id.kind.starts_with("Cluster") || id.kind.ends_with("Class") || id.kind == "Namespace";
    if is_of_cluster { ObjectId { namespace: String::new(), ..id } } else { id }
}

/// HelmReleases that depend on each other wait by their own rules.
fn is_told_elsewhere(need: &Need) -> bool {
    matches!(need, Need::Object(id) if id.kind == "HelmRelease")
}

/// Whether a unit may make or give up anything.
pub fn is_at_work(object: &Object) -> bool {
    let is_suspended = object.value().pointer("/spec/suspend").is_some_and(|suspend| suspend == true);
    !is_suspended && !object.is_terminating()
}

fn objects(candidate: &Candidate) -> impl Iterator<Item = &Object> {
    let releases = candidate.releases.iter().flat_map(|release| &release.objects);
    candidate.objects.iter().chain(releases).map(|desired: &Desired| &desired.object)
}

/// Landings of which it is remembered what they have made.
const REMEMBERED: usize = 256;

/// Needs and promises of all units.
#[derive(Default)]
pub struct Needs {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Units that have been looked at since the start: what they promise is known.
    looked_at: HashSet<Unit>,
    /// What units make that have not landed yet.
    promises: HashMap<Unit, BTreeSet<Need>>,
    /// Namespaces and kinds that were seen: they hardly ever go, and every unit asks for them.
    seen: HashSet<Need>,
    /// What units lack that wait or have failed.
    lacks: HashMap<Unit, Lack>,
    /// How often a unit has landed, and what the last ones have made.
    landings: usize,
    made: VecDeque<BTreeSet<Need>>,
}

/// What a unit lacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lack {
    /// All that it needs of others, there or not.
    pub needs: BTreeSet<Need>,
    /// What it waits for, and the units that make it.
    pub waits: BTreeMap<Need, Unit>,
    /// What it will make, and holds until then.
    pub held: BTreeSet<Need>,
    /// Whether it waits until every unit has been looked at.
    pub for_the_unknown: bool,
}

impl Needs {
    /// A unit has been compiled and will make this; those who need any of it.
    pub fn promise(&self, unit: &Unit, made: BTreeSet<Need>) -> Vec<Unit> {
        let mut state = self.lock();
        let news: BTreeSet<Need> = match state.promises.get(unit) {
            Some(before) => made.difference(before).cloned().collect(),
            None => made.clone(),
        };
        state.promises.insert(unit.clone(), made);
        state.in_need_of(unit, &news)
    }

    /// A unit has landed, all of it or a part; those who need any of what it has promised.
    pub fn landed(&self, unit: &Unit, is_whole: bool) -> Vec<Unit> {
        let mut state = self.lock();
        let made = match is_whole {
            true => state.promises.remove(unit),
            false => state.promises.get(unit).cloned(),
        };
        let made = made.unwrap_or_default();
        let waiting = state.in_need_of(unit, &made);
        state.landings += 1;
        state.made.push_back(made);
        if state.made.len() > REMEMBERED {
            state.made.pop_front();
        }
        waiting
    }

    /// How often a unit has landed until now.
    pub fn landings(&self) -> usize {
        self.lock().landings
    }

    /// Whether any of this may have been made since so many landings.
    pub fn have_come(&self, needs: &BTreeSet<Need>, since: usize) -> bool {
        let state = self.lock();
        let news = state.landings.saturating_sub(since);
        news > state.made.len() || state.made.iter().rev().take(news).any(|made| !made.is_disjoint(needs))
    }

    /// A unit has been looked at; whether that is news.
    pub fn looked_at(&self, unit: &Unit) -> bool {
        self.lock().looked_at.insert(unit.clone())
    }

    /// Whether a unit has been looked at since the start.
    pub fn knows(&self, unit: &Unit) -> bool {
        self.lock().looked_at.contains(unit)
    }

    /// Those who wait until every unit has been looked at.
    pub fn waiting_for_the_unknown(&self) -> Vec<Unit> {
        let state = self.lock();
        let waiting = state.lacks.iter().filter(|(_, lack)| lack.for_the_unknown);
        waiting.map(|(unit, _)| unit.clone()).collect()
    }

    /// A thing was there; kept for those that hardly ever go.
    pub fn saw(&self, need: &Need) {
        if matches!(need, Need::Kind { .. }) || matches!(need, Need::Object(id) if id.kind == "Namespace") {
            self.lock().seen.insert(need.clone());
        }
    }

    /// Whether a thing was there, and hardly ever goes.
    pub fn has_seen(&self, need: &Need) -> bool {
        self.lock().seen.contains(need)
    }

    /// What a unit has promised and not made yet.
    pub fn promises(&self, unit: &Unit) -> BTreeSet<Need> {
        self.lock().promises.get(unit).cloned().unwrap_or_default()
    }

    /// Kustomizations that others than `unit` have promised, and that nobody has looked at yet.
    pub fn promised_units(&self, unit: &Unit) -> Vec<Unit> {
        let state = self.lock();
        let others = state.promises.iter().filter(|(maker, _)| *maker != unit);
        let ids = others.flat_map(|(_, made)| made).filter_map(|need| match need {
            Need::Object(id) if id.group == "kustomize.toolkit.fluxcd.io" => Some(id),
            _ => None,
        });
        let units = ids.map(|id| Unit::kustomization(&id.namespace, &id.name));
        units.filter(|unit| !state.looked_at.contains(unit)).collect()
    }

    /// Which unit but `unit` will make a thing.
    pub fn maker(&self, unit: &Unit, need: &Need) -> Option<Unit> {
        self.lock().makers(unit, need).next().cloned()
    }

    /// All units but `unit` that will make a thing.
    pub fn makers(&self, unit: &Unit, need: &Need) -> BTreeSet<Unit> {
        self.lock().makers(unit, need).cloned().collect()
    }

    /// Notes what a unit lacks; whether that is news.
    pub fn lacks(&self, unit: &Unit, lack: Lack) -> bool {
        self.lock().lacks.insert(unit.clone(), lack.clone()) != Some(lack)
    }

    /// A unit lacks nothing any more.
    pub fn has_all(&self, unit: &Unit) {
        self.lock().lacks.remove(unit);
    }

    /// A unit is gone.
    pub fn forget(&self, unit: &Unit) -> Vec<Unit> {
        let waiting = self.landed(unit, true);
        let mut state = self.lock();
        state.lacks.remove(unit);
        state.looked_at.remove(unit);
        waiting
    }

    /// The way from a unit over those that it waits for back to itself.
    pub fn circle(&self, from: &Unit) -> Option<Vec<Unit>> {
        let state = self.lock();
        let (mut ways, mut seen) = (vec![vec![from.clone()]], BTreeSet::new());
        while let Some(way) = ways.pop() {
            let lack = way.last().and_then(|last| state.lacks.get(last));
            // What a maker does not hold comes, whatever it waits for.
            let is_held =
                |need: &Need, maker: &Unit| state.lacks.get(maker).is_some_and(|lack| lack.held.contains(need));
            let waits = lack.into_iter().flat_map(|lack| &lack.waits).filter(|(need, maker)| is_held(need, maker));
            for (_, maker) in waits {
                let longer: Vec<Unit> = way.iter().chain([maker]).cloned().collect();
                if maker == from {
                    return Some(longer);
                }
                if seen.insert(maker.clone()) {
                    ways.push(longer);
                }
            }
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn makers<'a>(&'a self, unit: &'a Unit, need: &'a Need) -> impl Iterator<Item = &'a Unit> {
        let makers = self.promises.iter().filter(move |(maker, made)| *maker != unit && made.contains(need));
        makers.map(|(maker, _)| maker)
    }

    fn in_need_of(&self, unit: &Unit, made: &BTreeSet<Need>) -> Vec<Unit> {
        let is_concerned =
            |lack: &Lack| lack.waits.values().any(|maker| maker == unit) || !lack.needs.is_disjoint(made);
        let concerned = self.lacks.iter().filter(|(other, lack)| *other != unit && is_concerned(lack));
        concerned.map(|(other, _)| other.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_have_made_since_is_known_as_far_as_it_is_remembered() {
        let (needs, maker) = (Needs::default(), Unit::kustomization("n", "maker"));
        let need = |name: &str| BTreeSet::from([Need::Object(Reference::new("v1", "Secret", "n", name).id())]);
        let lands = |name: &str| {
            needs.promise(&maker, need(name));
            needs.landed(&maker, true);
        };
        lands("old");
        let since = needs.landings();
        assert!(!needs.have_come(&need("old"), since), "it was there before");
        lands("new");
        assert!(needs.have_come(&need("new"), since) && !needs.have_come(&need("other"), since));
        (0..REMEMBERED).for_each(|_| lands("more"));
        assert!(needs.have_come(&need("other"), since), "nobody knows any more what it was");
    }
}

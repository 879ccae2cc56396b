//! Parcels: the smallest parts of a unit that must land together, and what is held with what.
//!
//! A parcel is a connected component of the *belongs-with* relation, over what the candidate declares **and** what landed
//! last: a Secret that is to be pruned stays with the workload that still reads it while that one is held. *Depends-on*
//! works one way: what depends on a held parcel is held, too. The edges are data: [`edges`].
//!
//! **Guarantee.** The same objects make the same parcels, in the same order, with the same names.

use std::collections::{BTreeMap, BTreeSet};

use manifest::{Object, ObjectId};

use crate::desired::{Declarer, Desired, LandingScope};
use crate::report::Failure;

pub mod edges;
pub(crate) mod webhooks;

use edges::{Known, Relation};

/// Label or annotation that joins objects of a unit into one parcel of that name.
pub const JOIN: &str = "lockstep.dev/parcel";

/// One part of a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parcel {
    /// The name that [`JOIN`] gives it, or its leading object.
    pub name: String,
    /// What is in it, by identity: objects that are declared, those that landed last, and Secrets that are to come.
    pub members: BTreeSet<ObjectId>,
    /// Parcels that must not be held if this one is to land.
    pub needs: BTreeSet<usize>,
}

/// The parcels of a unit. None at all means one that holds everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parcels {
    all: Vec<Parcel>,
    of: BTreeMap<ObjectId, usize>,
}

impl Parcels {
    /// Parts what is `wanted` and what `landed` before.
    pub fn of<'a>(
        wanted: impl Iterator<Item = &'a Desired>,
        landed: impl Iterator<Item = &'a Desired>,
        scope: LandingScope,
    ) -> Self {
        if scope == LandingScope::Unit {
            return Self::default();
        }
        let mut graph = Graph::default();
        let (wanted, landed): (Vec<_>, Vec<_>) = (wanted.collect(), landed.collect());
        for group in [&wanted, &landed] {
            graph.nodes(group);
        }
        // References are looked up among what they were declared with.
        for group in [&wanted, &landed] {
            graph.edges(group);
        }
        graph.parcels()
    }

    /// Those that the journal has kept.
    pub(crate) fn from_list(all: Vec<Parcel>) -> Self {
        let of =
            all.iter().enumerate().flat_map(|(index, parcel)| parcel.members.iter().map(move |id| (id.clone(), index)));
        Self { of: of.collect(), all }
    }

    /// All of them, in order.
    pub fn list(&self) -> &[Parcel] {
        &self.all
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len().max(1)
    }

    /// Numbers of all of them.
    pub fn numbers(&self) -> BTreeSet<usize> {
        (0..self.count()).collect()
    }

    /// Number of the parcel that an object is in; `None` for one that is in none of them.
    pub fn number_of(&self, id: &ObjectId) -> Option<usize> {
        if self.all.is_empty() { Some(0) } else { self.of.get(id).copied() }
    }

    /// Whether an object is in one of these parcels.
    pub fn is_in(&self, id: &ObjectId, parcels: &BTreeSet<usize>) -> bool {
        self.number_of(id).is_some_and(|number| parcels.contains(&number))
    }

    /// Adds what belongs with an object that is known: a record, a hook.
    pub(crate) fn join(&mut self, id: ObjectId, with: &ObjectId) {
        if let Some(number) = self.of.get(with).copied()
            && let Some(parcel) = self.all.get_mut(number)
        {
            parcel.members.insert(id.clone());
            self.of.insert(id, number);
        }
    }

    /// Parcels that failures hold: their own, and those that depend on them. A failure about no object, or about one that
    /// is in no parcel, holds everything.
    pub fn held_by<'f>(&self, failures: impl IntoIterator<Item = &'f Failure>) -> BTreeSet<usize> {
        let mut held = BTreeSet::new();
        for failure in failures {
            match failure.id.as_ref().and_then(|id| self.number_of(id)) {
                Some(number) => held.insert(number),
                None => return self.numbers(),
            };
        }
        self.with_dependents(held)
    }

    /// These parcels, and those that depend on them.
    pub fn with_dependents(&self, mut held: BTreeSet<usize>) -> BTreeSet<usize> {
        loop {
            let depends = |(_, parcel): &(usize, &Parcel)| !parcel.needs.is_disjoint(&held);
            let more: Vec<usize> = self.all.iter().enumerate().filter(depends).map(|(number, _)| number).collect();
            let before = held.len();
            held.extend(more);
            if held.len() == before {
                return held;
            }
        }
    }

    /// Names of parcels, for people.
    pub fn names(&self, parcels: &BTreeSet<usize>) -> Vec<String> {
        parcels.iter().filter_map(|number| self.all.get(*number)).map(|parcel| parcel.name.clone()).collect()
    }
}

/// What each of some objects leads to, among those that exist.
pub fn relations<'a>(
    objects: impl Iterator<Item = &'a Object> + Clone,
    exists: impl Fn(&ObjectId) -> bool,
) -> Vec<(ObjectId, Relation, ObjectId)> {
    let known = Known::new(objects.clone(), &exists);
    let found = objects.flat_map(|object| known.edges(object).into_iter().map(|(how, to)| (object.id(), how, to)));
    found.filter(|(.., to)| exists(to)).collect()
}

/// Objects and their relations; nodes are numbered in the order in which they came.
#[derive(Default)]
struct Graph {
    ids: BTreeMap<ObjectId, usize>,
    /// Union-find: the number of a node nearer to the root.
    up: Vec<usize>,
    needs: Vec<(usize, usize)>,
    names: BTreeMap<usize, String>,
    /// The node of each name that [`JOIN`] gives.
    named: BTreeMap<String, usize>,
}

impl Graph {
    fn node(&mut self, id: ObjectId) -> usize {
        let next = self.up.len();
        let node = *self.ids.entry(id).or_insert(next);
        if node == next {
            self.up.push(next);
        }
        node
    }

    fn nodes(&mut self, group: &[&Desired]) {
        for desired in group {
            let node = self.node(desired.object.id());
            // What is to come of an ExternalSecret or a chart is known before it is there.
            for id in edges::promised(&desired.object) {
                let promised = self.node(id);
                self.join(node, promised);
            }
            if let Declarer::Release(id) | Declarer::ExternalSecret(id) | Declarer::Version(id) = &desired.declarer {
                let declarer = self.node(id.clone());
                self.join(node, declarer);
            }
            if let Some(name) = joined_by(&desired.object) {
                let first = *self.named.entry(name.to_owned()).or_insert(node);
                self.names.insert(node, name.to_owned());
                self.join(node, first);
            }
        }
    }

    fn edges(&mut self, group: &[&Desired]) {
        for (from, relation, to) in
            relations(group.iter().map(|desired| &desired.object), |id| self.ids.contains_key(id))
        {
            let (Some(from), Some(to)) = (self.ids.get(&from).copied(), self.ids.get(&to).copied()) else { continue };
            match relation {
                Relation::BelongsWith => self.join(from, to),
                Relation::DependsOn => self.needs.push((from, to)),
            }
        }
    }

    fn root(&mut self, mut node: usize) -> usize {
        while self.up[node] != node {
            self.up[node] = self.up[self.up[node]];
            node = self.up[node];
        }
        node
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.up[one.max(other)] = one.min(other);
    }

    fn parcels(mut self) -> Parcels {
        let ids = std::mem::take(&mut self.ids);
        let mut parcels: BTreeMap<usize, Parcel> = BTreeMap::new();
        for (id, node) in &ids {
            let root = self.root(*node);
            parcels.entry(root).or_default().members.insert(id.clone());
        }
        for (node, name) in std::mem::take(&mut self.names) {
            let root = self.root(node);
            if let Some(parcel) = parcels.get_mut(&root).filter(|parcel| parcel.name.is_empty()) {
                parcel.name = name;
            }
        }
        for parcel in parcels.values_mut().filter(|parcel| parcel.name.is_empty()) {
            parcel.name = parcel
                .members
                .iter()
                .min_by_key(|id| (edges::rank(id), *id))
                .map(ToString::to_string)
                .unwrap_or_default();
        }
        let mut ordered: Vec<(usize, Parcel)> = parcels.into_iter().collect();
        ordered.sort_by(|(_, one), (_, other)| (&one.name, &one.members).cmp(&(&other.name, &other.members)));
        let numbers: BTreeMap<usize, usize> =
            ordered.iter().enumerate().map(|(number, (root, _))| (*root, number)).collect();
        let mut all: Vec<Parcel> = ordered.into_iter().map(|(_, parcel)| parcel).collect();
        for (from, to) in std::mem::take(&mut self.needs) {
            let [from, to] = [from, to].map(|node| numbers.get(&self.root(node)).copied());
            if let (Some(from), Some(to)) = (from, to)
                && from != to
            {
                all[from].needs.insert(to);
            }
        }
        Parcels::from_list(all)
    }
}

fn joined_by(object: &Object) -> Option<&str> {
    object.annotation(JOIN).or_else(|| object.label(JOIN)).filter(|name| !name.is_empty())
}

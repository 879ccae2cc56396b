//! What the cluster must show at rest, object by object, and which objects stand or fall together: the rules of parcels
//! once more, from the things of the story instead of from their objects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use apply::Reference;
use serde_json::Value;

use super::repository::{Flaw, Kind, NAMESPACE, Repository, Said, Thing, reference};

/// One object as a revision wants it.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) value: Value,
    /// The object that owns it.
    pub(crate) owner: Option<Reference>,
    pub(crate) kind: Kind,
    /// Version of its thing.
    pub(crate) version: u32,
    pub(crate) flaw: Option<Flaw>,
    said: Said,
    /// What it stands or falls with.
    with: BTreeSet<Reference>,
    /// Secrets that a workload reads.
    pub(crate) reads: BTreeSet<Reference>,
    /// What it cannot be without.
    needs: BTreeSet<Reference>,
}

/// All objects of one state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing(pub(crate) BTreeMap<Reference, Arc<Wanted>>);

impl Repository {
    /// What this revision wants.
    pub(crate) fn standing(&self) -> Standing {
        let mut all = BTreeMap::new();
        for thing in &self.things {
            for declared in self.objects(thing) {
                let at = reference(&declared.value);
                let (with, reads) = self.company(thing, declared.owner.as_ref());
                let (value, owner, flaw, said) = (declared.value, declared.owner, thing.flaw, thing.said);
                let needs = needs(thing, &at);
                let wanted =
                    Wanted { value, owner, kind: thing.kind, version: thing.version, flaw, said, with, reads, needs };
                all.insert(at, Arc::new(wanted));
            }
        }
        Standing(all)
    }

    fn company(&self, thing: &Thing, owner: Option<&Reference>) -> (BTreeSet<Reference>, BTreeSet<Reference>) {
        let secrets = || thing.needs.keys().filter_map(|id| self.find(*id));
        let reads: BTreeSet<Reference> =
            secrets().map(|secret| Reference::new("v1", "Secret", NAMESPACE, &secret.name)).collect();
        // What reads a Secret that is gone goes with the ExternalSecret that would make it.
        let makers = secrets().filter(|secret| secret.said == Said::Gone).map(Thing::reference);
        (reads.iter().chain(owner).cloned().chain(makers).collect(), reads)
    }
}

fn needs(thing: &Thing, at: &Reference) -> BTreeSet<Reference> {
    let namespace = Reference::new("v1", "Namespace", "", NAMESPACE);
    let definition =
        Reference::new("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "widgets.sim.example.com");
    let home = (!at.namespace.is_empty()).then_some(namespace);
    home.into_iter().chain((thing.kind == Kind::Widget).then_some(definition)).collect()
}

impl Standing {
    pub(crate) fn contains(&self, at: &Reference) -> bool {
        self.0.contains_key(at)
    }

    /// What stands when `next` lands but for what is `held`.
    pub(crate) fn landed(&self, next: &Self, is_held: impl Fn(&Reference) -> bool) -> Self {
        let kept = self.0.iter().filter(|(at, _)| is_held(at));
        let new = next.0.iter().filter(|(at, _)| !is_held(at));
        Self(kept.chain(new).map(|(at, wanted)| (at.clone(), wanted.clone())).collect())
    }

    /// Objects that stand or fall with these when `next` is to land.
    pub(crate) fn closure(&self, next: &Self, mut held: BTreeSet<Reference>) -> BTreeSet<Reference> {
        loop {
            let before = held.len();
            for group in [self, next] {
                group.spread(&mut held);
            }
            if held.len() == before {
                return held;
            }
        }
    }

    fn spread(&self, held: &mut BTreeSet<Reference>) {
        for (at, wanted) in &self.0 {
            let with = || wanted.with.iter().filter(|other| self.contains(other));
            if held.contains(at) {
                held.extend(with().cloned());
            } else if with().any(|other| held.contains(other))
                || wanted.needs.iter().any(|other| self.contains(other) && held.contains(other))
            {
                held.insert(at.clone());
            }
        }
    }

    /// Objects that cannot land for what they are, by the flaws that count.
    pub(crate) fn flawed(&self, counts: impl Fn(Flaw) -> bool) -> BTreeSet<Reference> {
        let is_flawed = |wanted: &Arc<Wanted>| wanted.flaw.is_some_and(&counts);
        self.0.iter().filter(|(_, wanted)| is_flawed(wanted)).map(|(at, _)| at.clone()).collect()
    }

    /// Objects of ExternalSecrets that are not what they were in `old`, while nobody knows their bytes; or that are new, and
    /// the store has none.
    pub(crate) fn unresolved(&self, old: &Self) -> BTreeSet<Reference> {
        let spec = |standing: &Self, at: &Reference| Some(standing.0.get(at)?.value["spec"].clone());
        let is_new = |(at, wanted): &(&Reference, &Arc<Wanted>)| {
            let declarer = wanted.owner.as_ref().unwrap_or(at);
            let is_unknown = wanted.said == Said::Gone && wanted.kind == Kind::External && !old.contains(declarer);
            is_unknown || (wanted.said.is_doubt() && spec(self, declarer) != spec(old, declarer))
        };
        self.0.iter().filter(is_new).map(|(at, _)| at.clone()).collect()
    }

    /// These objects, and those that cannot be written without them.
    pub(crate) fn with_readers(&self, objects: BTreeSet<Reference>) -> BTreeSet<Reference> {
        let reads = |wanted: &Wanted| !wanted.reads.is_disjoint(&objects) || !wanted.needs.is_disjoint(&objects);
        let readers = self.0.iter().filter(|(_, wanted)| reads(wanted)).map(|(at, _)| at.clone()).collect();
        &objects | &readers
    }

    /// Objects that may not land for what they are where `old` stands: of any flaw, or of a kind that nobody may have made
    /// known.
    pub(crate) fn doubtful(&self, old: &Self) -> BTreeSet<Reference> {
        let is_defined = self.0.values().any(|wanted| wanted.kind == Kind::Definition);
        let widgets = self.0.iter().filter(|(_, wanted)| wanted.kind == Kind::Widget && !is_defined);
        self.flawed(|_| true).into_iter().chain(widgets.map(|(at, _)| at.clone())).chain(self.unresolved(old)).collect()
    }

    /// Objects of either.
    pub(crate) fn all_with(&self, next: &Self) -> BTreeSet<Reference> {
        self.0.keys().chain(next.0.keys()).cloned().collect()
    }
}

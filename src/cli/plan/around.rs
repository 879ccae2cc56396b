//! The units around those that are planned: what they hold, and what they will make, as the agent knows it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use apply::{Cluster, ClusterError, Landing, Others, Reference, Ruling, Selection};
use manifest::{Object, ObjectId};

use super::FLUX;
use super::unit::source_name;
use crate::api::Kind as _;
use crate::api::kustomization::Kustomization;
use crate::pipeline::sources::SourceName;
use crate::reconcile::claims::{self, Claims};
use crate::reconcile::needs::{self, Need, Needs};
use crate::unit::Unit;

/// What is known of all units.
#[derive(Default)]
pub(super) struct Around {
    pub(super) needs: Needs,
    pub(super) claims: Claims,
    /// Kustomizations of the cluster of which nobody knows what they want at their newest revision.
    unknown: BTreeMap<Unit, Object>,
    /// Whether what the cluster has is that of a cluster, not only what the plan has put there.
    pub(super) has_cluster: bool,
}

impl Around {
    /// Those of the cluster, as their statuses list what they hold.
    pub(super) fn of(kustomizations: &[Object], has_cluster: bool) -> Self {
        let mut around = Self { has_cluster, ..Self::default() };
        for object in kustomizations {
            let unit = Unit::of(&Reference::of(object));
            around.claims.listed(&unit, &Kustomization::status(object).unwrap_or_default());
            if needs::is_at_work(object) {
                around.unknown.insert(unit, object.clone());
            }
        }
        around
    }

    /// Takes the units of which nobody knows what they want; of one source, where one is meant.
    pub(super) fn take_unknown(&mut self, source: Option<&SourceName>) -> Vec<Object> {
        let is_meant = |object: &Object| source.is_none_or(|source| source_name(object) == *source);
        self.unknown.extract_if(.., |_, object| is_meant(object)).map(|(_, object)| object).collect()
    }

    /// A unit has been looked at, and will make this.
    pub(super) fn looked_at(&mut self, unit: &Unit, made: BTreeSet<Need>) {
        self.unknown.remove(unit);
        self.needs.promise(unit, made);
    }

    /// What a unit has made is there.
    pub(super) fn landed(&self, unit: &Unit, landing: &Landing) {
        self.needs.landed(unit, landing.held.is_empty());
        self.claims.landed(unit, landing);
    }

    /// Whether there is a unit but this one of which nobody knows what it wants.
    pub(super) fn is_anybody_unknown(&self, but: &Unit) -> bool {
        self.unknown.keys().any(|unit| unit != but)
    }

    /// Units but `unit` that hold an object or will make it.
    pub(super) fn beside(&self, unit: &Unit, id: &ObjectId) -> BTreeSet<Unit> {
        let mut found = self.needs.makers(unit, &Need::Object(id.clone()));
        found.extend(self.claims.holders(unit, id));
        found
    }
}

/// All Kustomizations, or those of one namespace for whoever may not list more.
pub(super) async fn all(cluster: &Arc<dyn Cluster>, namespace: &str) -> Result<Vec<Object>, ClusterError> {
    let all = Selection::all(FLUX, "Kustomization");
    let listed = match cluster.list(&all).await {
        Err(ClusterError::Forbidden { .. }) => cluster.list(&all.within(namespace)).await,
        listed => listed,
    };
    match listed {
        Err(ClusterError::NoKind { .. }) => Ok(Vec::new()),
        listed => listed,
    }
}

/// The other units, as one that is planned sees them.
pub(super) struct Neighbours<'a> {
    pub(super) around: &'a Around,
    pub(super) unit: &'a Unit,
    pub(super) source: &'a SourceName,
    /// Kustomizations that it does not declare any more itself.
    pub(super) leaving: BTreeSet<Unit>,
}

impl Others for Neighbours<'_> {
    fn ruling(&self, at: &Reference) -> Ruling {
        let Around { claims, needs, unknown, .. } = self.around;
        let counts = |unit: &Unit| unit != self.unit && !self.leaving.contains(unit);
        let is_anybody_unknown =
            || unknown.iter().any(|(unit, object)| counts(unit) && source_name(object) == *self.source);
        claims::ruling(claims, needs, self.unit, &at.id(), is_anybody_unknown)
    }
}

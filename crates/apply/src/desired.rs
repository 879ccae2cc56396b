//! What a unit wants: the input of a plan.

use std::time::Duration;

use manifest::{Object, ObjectId};
use serde::{Deserialize, Serialize};

use crate::cleanup::Cleanup;
use crate::cluster::Reference;
use crate::report::Failure;
use crate::share::OwnerLabels;

/// Who declares an object within a unit. Decides which inventory lists it and when it may be pruned.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Declarer {
    /// The unit's own manifests.
    Unit,
    /// The chart of a HelmRelease of the unit.
    Release(ObjectId),
    /// An ExternalSecret of the unit, whose target this is.
    ExternalSecret(ObjectId),
    /// A Secret of the unit, of which this is a version ([`crate::versions`]).
    Version(ObjectId),
}

/// How an object's fields meet those that are live (`kustomize.toolkit.fluxcd.io/ssa`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Policy {
    /// Takes over the fields that it names.
    #[default]
    Override,
    /// The same, but keeps what `kubectl` added.
    Merge,
    /// Creates only; an object that is there is left alone.
    IfNotPresent,
    /// Left alone altogether, yet stays in the inventory.
    Ignore,
    /// Landed before and not wanted anew: an object of a release that does not change. It stays known, so that it is
    /// deleted when the release drops it; it is written only when a secret that it reads has changed.
    Untouched,
}

/// One object as a unit wants it.
#[derive(Clone, Debug)]
pub struct Desired {
    /// Content; its namespace is set unless the kind is cluster-scoped.
    pub object: Object,
    /// Field manager that applies it.
    pub manager: String,
    /// How it meets what is live.
    pub policy: Policy,
    /// Controller that owns it; its UID is filled in when the object is written.
    pub owner: Option<Reference>,
    /// Who declares it.
    pub declarer: Declarer,
    /// Whether it may be deleted and made anew when an immutable field changes.
    pub force: bool,
    /// Whether it stays when nobody declares it any more (`prune: disabled`, `helm.sh/resource-policy: keep`).
    pub keep: bool,
    /// Whether its own status counts for the health of the landing. Not for what is told from the landing's outcome,
    /// such as an ExternalSecret's: the landing would wait for itself, and for a store that does not answer.
    pub awaited: bool,
    /// Whether another unit owns it: only what is declared beyond that unit is applied, and it is never deleted.
    pub shared: bool,
}

impl Desired {
    /// An object of the unit's own manifests with default behaviour.
    pub fn new(object: Object, manager: &str) -> Self {
        Self {
            object,
            manager: manager.into(),
            policy: Policy::Override,
            owner: None,
            declarer: Declarer::Unit,
            force: false,
            keep: false,
            awaited: true,
            shared: false,
        }
    }

    /// Where it lives.
    pub fn reference(&self) -> Reference {
        Reference::of(&self.object)
    }
}

/// A Helm hook: an object that is made, awaited and mostly deleted again.
#[derive(Clone, Debug)]
pub struct Hook {
    /// Content, with its namespace.
    pub object: Object,
    /// Field manager that creates it.
    pub manager: String,
    /// Deletes a leftover of an earlier run first (`before-hook-creation`, the default).
    pub delete_before: bool,
    /// Deletes it after success (`hook-succeeded`).
    pub delete_succeeded: bool,
    /// Deletes it after failure (`hook-failed`).
    pub delete_failed: bool,
    /// How long it may take.
    pub timeout: Duration,
}

/// An object that is written whole, not merged: a Helm release record.
#[derive(Clone, Debug)]
pub struct Put {
    /// Content.
    pub object: Object,
    /// Field manager.
    pub manager: String,
    /// What is put instead when the landing is undone.
    pub undo: Vec<Object>,
    /// Whether undoing deletes `object`.
    pub undo_deletes: bool,
}

/// What happens to one HelmRelease: everything between its first and its last record.
#[derive(Clone, Debug)]
pub struct Release {
    /// The HelmRelease.
    pub id: ObjectId,
    /// Records written first (`pending-install`, `pending-upgrade`).
    pub begin: Vec<Put>,
    /// Hooks before the objects, in order of execution.
    pub before: Vec<Hook>,
    /// The chart's objects, in Helm's install order.
    pub objects: Vec<Desired>,
    /// How to wait for the objects before the hooks that follow, and how long; `None` for not at all.
    pub wait: Option<(Reading, Duration)>,
    /// Hooks after the objects.
    pub after: Vec<Hook>,
    /// Records written last (`deployed`, `superseded`).
    pub finish: Vec<Put>,
}

/// An object that was confirmed to be unwanted for another reason than its absence from the unit: the target of an
/// ExternalSecret whose source was deleted.
#[derive(Clone, Debug)]
pub struct Removal {
    /// Which object.
    pub reference: Reference,
    /// Who declared it.
    pub declarer: Declarer,
}

/// Everything that one revision of a unit wants from the cluster.
#[derive(Clone, Debug, Default)]
pub struct Candidate {
    /// Revision as status shows it, such as `main@sha1:…`.
    pub revision: String,
    /// Digest over everything that was read to make the candidate.
    pub input: String,
    /// What was read, with versions, in the form that the caller can read again. Journaled as it is.
    pub read_set: serde_json::Value,
    /// Objects of the unit and targets of its ExternalSecrets, in any order.
    pub objects: Vec<Desired>,
    /// Releases, in order of their dependencies.
    pub releases: Vec<Release>,
    /// Objects to delete, besides those that the plan finds stale.
    pub removals: Vec<Removal>,
    /// What went wrong when the candidate was made, and is known to concern some objects only: these are held.
    pub failures: Vec<Failure>,
    /// Secrets of others that its workloads read, as they are: not written, but their bytes count for the stamps.
    pub foreign: Vec<Object>,
    /// Whether it is what has landed, wanted again as it is: its Secrets have their versions already.
    pub is_landed: bool,
}

/// How a unit lands; from its spec and its `lockstep.dev/` annotations.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// Deletes what the last revision had and this one has not.
    pub prune: bool,
    /// What lands together.
    pub scope: LandingScope,
    /// What happens when a landing fails.
    pub on_failure: OnFailure,
    /// Whether what is stale goes after health, or before.
    pub order: Order,
    /// Which objects must become healthy.
    pub health: HealthScope,
    /// How long they may take, and how long one landing tries to write.
    pub timeout: Duration,
    /// Labels that a live object must carry to be pruned, so that nothing of others is touched.
    pub owner_labels: OwnerLabels,
    /// Field manager for what is applied to objects that another unit owns.
    pub sharer: String,
    /// Whether pod templates are stamped when secrets change.
    pub rollout: bool,
    /// Whether Secrets land in versions that never change, where they do not say otherwise.
    pub is_versioned: bool,
    /// What other tools left, and is undone.
    pub cleanup: Cleanup,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            prune: false,
            scope: LandingScope::Unit,
            on_failure: OnFailure::Revert,
            order: Order::Landing,
            health: HealthScope::None,
            timeout: Duration::from_secs(300),
            owner_labels: OwnerLabels::new(),
            sharer: String::new(),
            rollout: true,
            is_versioned: false,
            cleanup: Cleanup::default(),
        }
    }
}

/// What lands together (`lockstep.dev/scope`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LandingScope {
    /// Each parcel by itself: one that fails is held alone, with what depends on it.
    Parcel,
    /// The whole unit.
    #[default]
    Unit,
}

/// What happens when a landing that has begun fails (`lockstep.dev/on-failure`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// Everything goes back to last-good.
    #[default]
    Revert,
    /// Stops and leaves what is written.
    Hold,
    /// Goes on with the other objects, as Flux does.
    Continue,
}

/// When what nobody declares any more is deleted (`lockstep.dev/order`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Order {
    /// When what takes its place is healthy, since a delete cannot be undone.
    #[default]
    Landing,
    /// Before health is awaited, as kustomize-controller does it: what waits for a host port or a volume becomes healthy
    /// only then. Undoing makes it anew, so that what this would not bring back still goes after health.
    Flux,
}

/// Whose rules say what healthy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// Flux's: a Job must have completed.
    Unit,
    /// Helm's `--wait`: a Job need only have started.
    Release,
    /// Helm's `--wait-for-jobs`.
    ReleaseJobs,
    /// Helm's for hooks: Jobs and pods must complete, all else need only be there.
    Hook,
    /// An APIService must be available, and the kinds that it serves be known.
    Served,
}

/// Which objects of a landing must become healthy before it is concluded. Workloads that a rotated secret restarts are
/// always among them.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum HealthScope {
    /// None (`wait: false` without `healthChecks`).
    #[default]
    None,
    /// All that the landing applies (`wait: true`).
    All,
    /// Those named (`healthChecks`).
    These(Vec<Reference>),
}

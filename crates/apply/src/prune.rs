//! Deletes what nobody declares any more. Comes after health, since a delete cannot be undone; in Flux's order before it,
//! as far as [`crate::rollback`] can make it anew.

use std::time::Duration;

use manifest::{Object, ObjectId};

use crate::cleanup::says;
use crate::cluster::{ClusterError, Propagation, Reference};
use crate::commit;
use crate::context::{Context, Progress};
use crate::desired::Declarer;
use crate::plan::{Landing, Stale};
use crate::report::{Failure, Step as At};
use crate::share::{self, Ruling};

/// What came of the landing's stale objects.
#[derive(Default)]
pub(crate) struct Pruned {
    /// Those that were deleted.
    pub(crate) gone: Vec<ObjectId>,
    /// Those that another unit may declare, as far as it is known yet.
    pub(crate) kept: Vec<Reference>,
    /// What could not be deleted.
    pub(crate) failures: Vec<Failure>,
}

/// What becomes of one stale object.
enum Fate {
    Gone,
    /// It stays on purpose, or was not there.
    Left,
    Kept,
}

/// Deletes stale objects of the landing, but for what belongs to others or is asked to stay.
pub(crate) async fn prune(stale: impl Iterator<Item = &Stale>, landing: &Landing, ctx: &Context<'_>) -> Pruned {
    let deadline = ctx.clock.now() + landing.behaviour.timeout;
    let mut pruned = Pruned::default();
    for stale in stale {
        let id = stale.reference.id();
        match prune_one(stale, landing, ctx, deadline).await {
            Ok(Fate::Gone) => {
                ctx.tell(Progress::Pruned(id.clone()));
                pruned.gone.push(id);
            }
            Ok(Fate::Left) => {}
            Ok(Fate::Kept) => pruned.kept.push(stale.reference.clone()),
            Err(error) => pruned.failures.push(Failure {
                step: At::Prune,
                id: Some(id),
                origin: None,
                message: error.to_string(),
                transient: error.is_transient(),
            }),
        }
    }
    pruned
}

async fn prune_one(
    stale: &Stale,
    landing: &Landing,
    ctx: &Context<'_>,
    deadline: Duration,
) -> Result<Fate, ClusterError> {
    let live = match ctx.read(&stale.reference, deadline).await {
        Ok(live) => live,
        // A kind that is no longer served has no objects.
        Err(ClusterError::NoKind { .. } | ClusterError::NotFound { .. }) => None,
        Err(error) => return Err(error),
    };
    let Some(live) = live.filter(|live| !live.is_terminating()) else { return Ok(Fate::Left) };
    let sharer = &landing.behaviour.sharer;
    if stale.declarer == Declarer::Unit && share::is_shared_by(&live, sharer) {
        share::release(&live, sharer, ctx, deadline).await?;
        return Ok(Fate::Left);
    }
    if !is_ours(&live, stale, landing) || asks_to_stay(&live) {
        return Ok(Fate::Left);
    }
    if stale.declarer == Declarer::Unit {
        match ctx.others.ruling(&stale.reference) {
            Ruling::Nobodys => {}
            Ruling::Theirs => return Ok(Fate::Left),
            Ruling::Unsure => return Ok(Fate::Kept),
        }
    }
    commit::delete(&stale.reference, Propagation::Background, ctx, deadline).await?;
    Ok(Fate::Gone)
}

/// Whether the live object still says that it belongs to the declarer: nothing of others is deleted.
fn is_ours(live: &Object, stale: &Stale, landing: &Landing) -> bool {
    match &stale.declarer {
        Declarer::Unit => {
            landing.behaviour.owner_labels.iter().all(|(key, value)| live.label(key) == Some(value.as_str()))
        }
        Declarer::Release(_) => live.annotation("meta.helm.sh/release-name").is_some() || is_record(live),
        Declarer::ExternalSecret(_) => live.label("reconcile.external-secrets.io/managed") == Some("true"),
    }
}

/// Helm's record of a revision of a release.
fn is_record(live: &Object) -> bool {
    live.is_secret() && live.text("/type") == Some("helm.sh/release.v1") && live.label("owner") == Some("helm")
}

/// Flux's switches, and Helm's.
fn asks_to_stay(live: &Object) -> bool {
    says(live, "kustomize.toolkit.fluxcd.io/prune", "disabled")
        || says(live, "helm.sh/resource-policy", "keep")
        || is_withdrawn(live)
}

/// Flux's switches by which people take a live object out of our hands for a while.
pub(crate) fn is_withdrawn(live: &Object) -> bool {
    says(live, "kustomize.toolkit.fluxcd.io/reconcile", "disabled")
        || says(live, "kustomize.toolkit.fluxcd.io/ssa", "ignore")
}

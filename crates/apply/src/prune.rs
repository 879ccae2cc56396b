//! Deletes what nobody declares any more. Comes after health, since a delete cannot be undone.

use std::time::Duration;

use manifest::{Object, ObjectId};

use crate::cleanup::says;
use crate::cluster::{ClusterError, Propagation};
use crate::commit;
use crate::context::{Context, Progress};
use crate::desired::Declarer;
use crate::plan::{Landing, Stale};
use crate::report::{Failure, Step as At};

/// Deletes the landing's stale objects; returns those that are gone or stay on purpose, and the failures.
pub(crate) async fn prune(landing: &Landing, ctx: &Context<'_>) -> (Vec<ObjectId>, Vec<Failure>) {
    let deadline = ctx.clock.now() + landing.behaviour.timeout;
    let (mut pruned, mut failures) = (Vec::new(), Vec::new());
    for stale in &landing.stale {
        match prune_one(stale, landing, ctx, deadline).await {
            Ok(true) => {
                ctx.tell(Progress::Pruned(stale.reference.id()));
                pruned.push(stale.reference.id());
            }
            Ok(false) => {}
            Err(error) => failures.push(Failure {
                step: At::Prune,
                id: Some(stale.reference.id()),
                origin: None,
                message: error.to_string(),
                transient: error.is_transient(),
            }),
        }
    }
    (pruned, failures)
}

async fn prune_one(
    stale: &Stale,
    landing: &Landing,
    ctx: &Context<'_>,
    deadline: Duration,
) -> Result<bool, ClusterError> {
    let live = match ctx.read(&stale.reference, deadline).await {
        Ok(live) => live,
        // A kind that is no longer served has no objects.
        Err(ClusterError::NoKind { .. } | ClusterError::NotFound { .. }) => None,
        Err(error) => return Err(error),
    };
    let Some(live) = live.filter(|live| !live.is_terminating()) else { return Ok(false) };
    if !is_ours(&live, stale, landing) || asks_to_stay(&live) {
        return Ok(false);
    }
    commit::delete(&stale.reference, Propagation::Background, ctx, deadline).await?;
    Ok(true)
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

//! Deletes what nobody declares any more. Comes after health, since a delete cannot be undone; in Flux's order before it,
//! as far as [`crate::rollback`] can make it anew.
//!
//! **Guarantee.** What could not be deleted keeps what it needs: a Secret does not go before the pods that read it. So does
//! what lives as it was before, since it could not be written or is held ([`needed`]).

use std::time::Duration;

use manifest::{Object, ObjectId};
use serde_json::Value;

use crate::cleanup::says;
use crate::cluster::{ClusterError, Propagation, Reference};
use crate::commit;
use crate::context::{Context, Progress};
use crate::desired::Declarer;
use crate::plan::{Landing, Stale};
use crate::report::{Failure, Step as At};
use crate::share::{self, Others, OwnerLabels, Ruling};

mod needed;

use needed::Needed;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// It is deleted.
    Deleted,
    /// It is not there, or about to go.
    Absent,
    /// It is another unit's, and what this one has added is taken back.
    Released,
    /// It is not the unit's any more, or asks to stay.
    Left,
    /// Another unit holds it.
    Theirs,
    /// It stays until it is known whether another unit wants it.
    Unsure,
}

/// What becomes of a stale object that lives so.
pub fn outlook(stale: &Stale, live: Option<&Object>, landing: &Landing, others: &dyn Others) -> Outlook {
    let Some(live) = live.filter(|live| !live.is_terminating()) else { return Outlook::Absent };
    let is_of_unit = stale.declarer == Declarer::Unit;
    if is_of_unit && share::is_shared_by(live, &landing.behaviour.sharer) {
        return Outlook::Released;
    }
    if !may_delete(live, stale, &landing.behaviour.owner_labels) {
        return Outlook::Left;
    }
    match is_of_unit.then(|| others.ruling(&stale.reference)) {
        None | Some(Ruling::Nobodys) => Outlook::Deleted,
        Some(Ruling::Theirs) => Outlook::Theirs,
        Some(Ruling::Unsure) => Outlook::Unsure,
    }
}

/// Deletes stale objects of the landing, but for what belongs to others, is asked to stay, or is needed by what stays as it
/// is; `failures` tells what could not be written.
pub(crate) async fn prune(
    stale: impl Iterator<Item = &Stale>,
    landing: &Landing,
    failures: &[Failure],
    ctx: &Context<'_>,
) -> Pruned {
    let deadline = ctx.clock.now() + landing.behaviour.timeout;
    let (mut pruned, stale) = (Pruned::default(), stale.collect::<Vec<_>>());
    let live = match needed::look(&stale, landing, failures, ctx, deadline).await {
        Ok(live) => live,
        Err(error) => {
            let unsure = |stale: &&Stale| failed(stale.reference.id(), error.to_string(), true);
            pruned.failures.extend(stale.iter().map(unsure));
            return pruned;
        }
    };
    let mut needed = Needed::of(&stale, landing, &live);
    for one in &stale {
        let id = one.reference.id();
        if let Some(failure) = needed.keeps(&id) {
            pruned.failures.push(failure);
            continue;
        }
        match prune_one(one, landing, ctx, deadline).await {
            Ok(Outlook::Deleted) => {
                ctx.tell(Progress::Pruned(id.clone()));
                pruned.gone.push(id);
            }
            Ok(Outlook::Unsure) => pruned.kept.push(one.reference.clone()),
            Ok(_) => {}
            Err((error, live)) => {
                needed.note(&id, live.as_ref(), error.is_transient());
                pruned.failures.push(failed(id, error.to_string(), error.is_transient()));
            }
        }
    }
    pruned
}

fn failed(id: ObjectId, message: String, transient: bool) -> Failure {
    Failure { step: At::Prune, id: Some(id), origin: None, message, transient }
}

/// A live object. A kind that is no longer served has none.
async fn read(at: &Reference, ctx: &Context<'_>, deadline: Duration) -> Result<Option<Object>, ClusterError> {
    match ctx.read(at, deadline).await {
        Err(ClusterError::NoKind { .. } | ClusterError::NotFound { .. }) => Ok(None),
        live => live,
    }
}

/// What cannot be deleted is told with how it lives.
async fn prune_one(
    stale: &Stale,
    landing: &Landing,
    ctx: &Context<'_>,
    deadline: Duration,
) -> Result<Outlook, (ClusterError, Option<Object>)> {
    let live = read(&stale.reference, ctx, deadline).await.map_err(|error| (error, None))?;
    let outlook = outlook(stale, live.as_ref(), landing, ctx.others);
    let done = match (outlook, &live) {
        (Outlook::Deleted, _) => commit::delete(&stale.reference, Propagation::Background, ctx, deadline).await,
        (Outlook::Released, Some(live)) => share::release(live, &landing.behaviour.sharer, ctx, deadline).await,
        _ => Ok(()),
    };
    done.map(|()| outlook).map_err(|error| (error, live))
}

/// Whether the unit of these labels may delete a live object.
pub(crate) fn may_delete(live: &Object, stale: &Stale, labels: &OwnerLabels) -> bool {
    is_ours(live, stale, labels) && !asks_to_stay(live)
}

/// Whether the live object still says that it belongs to the declarer: nothing of others is deleted.
fn is_ours(live: &Object, stale: &Stale, labels: &OwnerLabels) -> bool {
    match &stale.declarer {
        Declarer::Unit | Declarer::Version(_) => {
            labels.iter().all(|(key, value)| live.label(key) == Some(value.as_str()))
        }
        Declarer::Release(_) => live.annotation("meta.helm.sh/release-name").is_some() || is_record(live),
        Declarer::ExternalSecret(id) => {
            live.label("reconcile.external-secrets.io/managed") == Some("true") && is_owned_by(live, id)
        }
    }
}

/// Whether an object says that it goes with another one.
fn is_owned_by(live: &Object, owner: &ObjectId) -> bool {
    let owners = live.value().pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let is = |reference: &Value, field: &str, value: &str| reference[field].as_str() == Some(value);
    owners
        .into_iter()
        .flatten()
        .any(|reference| is(reference, "kind", &owner.kind) && is(reference, "name", &owner.name))
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

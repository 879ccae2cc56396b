//! Deletes what nobody declares any more. Comes after health, since a delete cannot be undone; in Flux's order before it,
//! as far as [`crate::rollback`] can make it anew.
//!
//! **Guarantee.** What could not be deleted keeps what it needs: a Secret does not go before the pods that read it. So does,
//! where failures end nothing, what could not be brought to what is declared.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use manifest::{Object, ObjectId};
use serde_json::Value;

use crate::cleanup::says;
use crate::cluster::{ClusterError, Propagation, Reference};
use crate::commit;
use crate::context::{Context, Progress};
use crate::desired::{Declarer, OnFailure};
use crate::parcels::{self, edges};
use crate::plan::{self, Action, Landing, Stale};
use crate::report::{Failure, Step as At};
use crate::share::{self, Others, OwnerLabels, Ruling};

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

/// Deletes stale objects of the landing, but for what belongs to others or is asked to stay.
pub(crate) async fn prune(stale: impl Iterator<Item = &Stale>, landing: &Landing, ctx: &Context<'_>) -> Pruned {
    let deadline = ctx.clock.now() + landing.behaviour.timeout;
    let (mut pruned, stale) = (Pruned::default(), stale.collect::<Vec<_>>());
    let landed = stale.iter().filter_map(|stale| stale.landed.as_deref()).chain(&landing.undeleted);
    let landed: Vec<&Object> = landed.map(|desired| &desired.object).collect();
    let mut needed = Needed::default();
    match standing(&stale, landing, ctx, deadline).await {
        Ok(standing) => {
            let all: Vec<&Object> = landed.iter().copied().chain(&standing).collect();
            standing.iter().for_each(|object| needed.note(&stale, &all, &object.id(), NOT_BROUGHT, false));
        }
        Err(error) => {
            let unsure = |stale: &&Stale| failed(stale.reference.id(), error.to_string(), error.is_transient());
            pruned.failures.extend(stale.iter().map(unsure));
            return pruned;
        }
    }
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
            Err(error) => {
                needed.note(&stale, &landed, &id, "could not be deleted", error.is_transient());
                pruned.failures.push(failed(id, error.to_string(), error.is_transient()));
            }
        }
    }
    pruned
}

fn failed(id: ObjectId, message: String, transient: bool) -> Failure {
    Failure { step: At::Prune, id: Some(id), origin: None, message, transient }
}

const NOT_BROUGHT: &str = "could not be brought to what is declared";

/// Objects that may live as they were before, as they live: where failures end nothing, those that could not be written.
/// A crash may have forgotten which those are, and what was not written once counts as landed: only they themselves tell.
async fn standing(
    stale: &[&Stale],
    landing: &Landing,
    ctx: &Context<'_>,
    deadline: Duration,
) -> Result<Vec<Object>, ClusterError> {
    if stale.is_empty() || landing.behaviour.on_failure != OnFailure::Continue {
        return Ok(Vec::new());
    }
    let looks: Vec<BoxFuture<'_, _>> = landing
        .changes()
        .filter(|change| change.action != Action::Unchanged)
        .map(|change| unlike(&change.desired.object, change.desired.reference(), ctx, deadline).boxed())
        .collect();
    let standing: Vec<Option<Object>> = stream::iter(looks).buffered(plan::PARALLEL).try_collect().await?;
    Ok(standing.into_iter().flatten().collect())
}

/// A live object that needs what it does not need as it is declared.
async fn unlike(
    declared: &Object,
    at: Reference,
    ctx: &Context<'_>,
    deadline: Duration,
) -> Result<Option<Object>, ClusterError> {
    let live = read(&at, ctx, deadline).await?;
    let needed = edges::needed(declared);
    Ok(live.filter(|live| !edges::needed(live).is_subset(&needed)))
}

/// A live object. A kind that is no longer served has none.
async fn read(at: &Reference, ctx: &Context<'_>, deadline: Duration) -> Result<Option<Object>, ClusterError> {
    match ctx.read(at, deadline).await {
        Err(ClusterError::NoKind { .. } | ClusterError::NotFound { .. }) => Ok(None),
        live => live,
    }
}

/// What is needed by something that stays: by what, why that stays, and whether that may pass.
#[derive(Default)]
struct Needed(BTreeMap<ObjectId, (ObjectId, &'static str, bool)>);

impl Needed {
    fn keeps(&self, id: &ObjectId) -> Option<Failure> {
        let (by, why, transient) = self.0.get(id)?;
        Some(failed(id.clone(), format!("is needed by {by}, which {why}"), *transient))
    }

    /// Something stays as it is, of these objects.
    fn note(&mut self, stale: &[&Stale], objects: &[&Object], by: &ObjectId, why: &'static str, transient: bool) {
        let (needs, mut open) = (needs(stale, objects), vec![by.clone()]);
        while let Some(next) = open.pop() {
            for id in needs.get(&next).into_iter().flatten().filter(|id| *id != by) {
                if self.0.insert(id.clone(), (by.clone(), why, transient)).is_none() {
                    open.push(id.clone());
                }
            }
        }
    }
}

/// What each object leads to among those that are stale: what it reads, who makes that, and what it depends on.
fn needs(stale: &[&Stale], objects: &[&Object]) -> BTreeMap<ObjectId, BTreeSet<ObjectId>> {
    let promised =
        |object: &Object| edges::promised(object).into_iter().map(|id| (id, object.id())).collect::<Vec<_>>();
    let objects = objects.iter().copied();
    let makers: BTreeMap<ObjectId, ObjectId> = objects.clone().flat_map(promised).collect();
    let ids: BTreeSet<ObjectId> = stale.iter().map(|stale| stale.reference.id()).collect();
    let mut needs: BTreeMap<ObjectId, BTreeSet<ObjectId>> = BTreeMap::new();
    for (from, _, to) in parcels::relations(objects, |id| ids.contains(id) || makers.contains_key(id)) {
        let maker = makers.get(&to).filter(|maker| **maker != from).cloned();
        needs.entry(from).or_default().extend(maker.into_iter().chain([to]));
    }
    needs
}

async fn prune_one(
    stale: &Stale,
    landing: &Landing,
    ctx: &Context<'_>,
    deadline: Duration,
) -> Result<Outlook, ClusterError> {
    let live = read(&stale.reference, ctx, deadline).await?;
    let outlook = outlook(stale, live.as_ref(), landing, ctx.others);
    match (outlook, &live) {
        (Outlook::Deleted, _) => commit::delete(&stale.reference, Propagation::Background, ctx, deadline).await?,
        (Outlook::Released, Some(live)) => share::release(live, &landing.behaviour.sharer, ctx, deadline).await?,
        _ => {}
    }
    Ok(outlook)
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

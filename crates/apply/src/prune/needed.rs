//! What is stale and stays all the same: something needs it that could not be deleted, or that lives as it was before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use manifest::{Object, ObjectId};

use super::{failed, read};
use crate::cluster::ClusterError;
use crate::commit;
use crate::context::Context;
use crate::desired::OnFailure;
use crate::parcels::{self, edges};
use crate::plan::{self, Action, Change, Landing, Stale};
use crate::report::Failure;

/// What leads where, among what is stale.
type Needs = BTreeMap<ObjectId, BTreeSet<ObjectId>>;

pub(super) struct Needed<'a> {
    /// What is stale, as it landed or lives.
    objects: Vec<&'a Object>,
    ids: BTreeSet<ObjectId>,
    /// What stays: by what it is needed, why that stays, and whether it may pass.
    kept: BTreeMap<ObjectId, (ObjectId, &'static str, bool)>,
}

/// What may live otherwise than it is declared, and what is stale and never landed here, as they live.
#[derive(Default)]
pub(super) struct Live<'a> {
    standing: Vec<(&'a Change, Object)>,
    unknown: Vec<Object>,
}

/// Reads what could not be written, and what is held where failures end nothing, or ended nothing: that may count as landed
/// and was never written either.
///
/// # Errors
/// When the server cannot tell now.
pub(super) async fn look<'a>(
    stale: &[&Stale],
    landing: &'a Landing,
    failures: &[Failure],
    ctx: &Context<'_>,
    deadline: Duration,
) -> Result<Live<'a>, ClusterError> {
    let counts_as_landed = landing.behaviour.on_failure == OnFailure::Continue || !landing.undeleted.is_empty();
    let stands = |change: &&Change| {
        let id = change.desired.object.id();
        let is_held = change.action == Action::Skip && landing.holds(&id);
        (is_held && counts_as_landed) || commit::unwritten(failures).any(|(unwritten, _)| *unwritten == id)
    };
    let changes: Vec<&Change> = landing.changes().filter(stands).collect();
    if stale.is_empty() || changes.is_empty() {
        return Ok(Live::default());
    }
    let standing: Vec<BoxFuture<'_, _>> = changes
        .into_iter()
        .map(|change| async move { Ok((change, as_it_lives(change, ctx, deadline).await?)) }.boxed())
        .collect();
    let unknown: Vec<BoxFuture<'_, _>> = stale
        .iter()
        .filter(|stale| stale.landed.is_none())
        .map(|stale| read(&stale.reference, ctx, deadline).boxed())
        .collect();
    let standing: Vec<(&Change, Option<Object>)> =
        stream::iter(standing).buffered(plan::PARALLEL).try_collect().await?;
    let standing = standing.into_iter().filter_map(|(change, live)| Some((change, live?))).collect();
    // One that cannot be read is not deleted either.
    let unknown: Vec<Result<_, _>> = stream::iter(unknown).buffered(plan::PARALLEL).collect().await;
    Ok(Live { standing, unknown: unknown.into_iter().filter_map(|live| live.ok().flatten()).collect() })
}

/// What may not be read lives as it stood before, as far as anybody knows.
async fn as_it_lives(change: &Change, ctx: &Context<'_>, deadline: Duration) -> Result<Option<Object>, ClusterError> {
    match read(&change.desired.reference(), ctx, deadline).await {
        Err(error) if !error.is_transient() => Ok(change.prior.object().cloned()),
        live => live,
    }
}

impl<'a> Needed<'a> {
    pub(super) fn of(stale: &'a [&Stale], landing: &'a Landing, live: &'a Live<'_>) -> Self {
        let landed = stale.iter().filter_map(|stale| stale.landed.as_deref()).chain(&landing.undeleted);
        let objects = landed.map(|desired| &desired.object).chain(&live.unknown).collect();
        let ids = stale.iter().map(|stale| stale.reference.id()).collect();
        let mut needed = Self { objects, ids, kept: BTreeMap::new() };
        for (change, live) in &live.standing {
            let id = live.id();
            let (needs, declared) = (needed.with(live), needed.with(&change.desired.object));
            let [now, then] = [&needs, &declared].map(|needs| needs.get(&id).cloned().unwrap_or_default());
            needed.keep(&needs, &id, now.difference(&then).cloned().collect(), ("stands as it was", false));
        }
        needed
    }

    /// Why something stays.
    pub(super) fn keeps(&self, id: &ObjectId) -> Option<Failure> {
        let (by, why, transient) = self.kept.get(id)?;
        Some(failed(id.clone(), format!("is needed by {by}, which {why}"), *transient))
    }

    /// Something could not be deleted, which lives so.
    pub(super) fn note(&mut self, by: &ObjectId, live: Option<&Object>, transient: bool) {
        let needs = live.map_or_else(|| self.needs(self.objects.iter().copied()), |live| self.with(live));
        let first = needs.get(by).into_iter().flatten().cloned().collect();
        self.keep(&needs, by, first, ("could not be deleted", transient));
    }

    fn keep(&mut self, needs: &Needs, by: &ObjectId, mut open: Vec<ObjectId>, (why, transient): (&'static str, bool)) {
        while let Some(id) = open.pop() {
            if id != *by && self.kept.insert(id.clone(), (by.clone(), why, transient)).is_none() {
                open.extend(needs.get(&id).into_iter().flatten().cloned());
            }
        }
    }

    fn with(&self, object: &Object) -> Needs {
        self.needs(self.objects.iter().copied().chain([object]))
    }

    /// What each object leads to among those that are stale: what it reads, who makes that, and what it depends on.
    fn needs<'o>(&self, objects: impl Iterator<Item = &'o Object> + Clone) -> Needs {
        let promised =
            |object: &Object| edges::promised(object).into_iter().map(|id| (id, object.id())).collect::<Vec<_>>();
        let makers: BTreeMap<ObjectId, ObjectId> = objects.clone().flat_map(promised).collect();
        let mut needs = Needs::new();
        for (from, _, to) in parcels::relations(objects, |id| self.ids.contains(id) || makers.contains_key(id)) {
            let maker = makers.get(&to).filter(|maker| **maker != from).cloned();
            needs.entry(from).or_default().extend(maker.into_iter().chain([to]));
        }
        needs
    }
}

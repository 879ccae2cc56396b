//! The end of a Kustomization: what it applied is deleted, or stays, as its deletion policy says. What was applied in the
//! name of a ServiceAccount that is gone stays, too, as in Flux: a namespace with all that is in it must be able to go.

use std::time::Duration;

use apply::{Behaviour, Candidate, Reference};

use jiff::{SignedDuration, Timestamp};

use super::{FINALIZER, Turn, waits};
use crate::api::kustomization::DeletionPolicy;
use crate::landing;
use crate::pipeline::terms;
use crate::reconcile::{Error, Told, goes_with_its_kind};
use crate::status::Next;

/// How soon it is asked again whether another unit wants what this one leaves.
const UNSURE: Duration = Duration::from_secs(1);

/// Deletes what is to be deleted, forgets the journal, and lets the object go.
pub(super) async fn finalize(turn: &mut Turn<'_>) -> Result<Told, Error> {
    let mut journal = turn.journal().await?;
    let base = turn.base(&journal, &Candidate::default());
    let has_applied = base.landed.is_some() || !base.inventory.is_empty();
    let is_left = has_applied && is_left(turn).await?;
    if deletes(turn) && has_applied && !is_left && !turn.spec.suspend {
        let behaviour = Behaviour { prune: true, ..terms::behaviour(turn.object, &turn.spec) };
        let (cluster, keys) = (turn.cluster(), &turn.shared.world.keys);
        let prepared = terms::propose(Candidate::default(), behaviour, &base, &cluster, keys).await;
        let retry = || Ok(Told::nothing(Next::After(turn.retry_interval())));
        let Ok(prepared) = prepared else { return retry() };
        let site = turn.site(landing::never(), &prepared.landing().stale);
        let outcome = landing::land(prepared, &mut journal, &site).await?;
        if !outcome.failures.is_empty() {
            return retry();
        }
        turn.shared.claims.keeps(&turn.unit(), &outcome.kept);
        if !outcome.kept.is_empty() {
            return Ok(Told::nothing(Next::After(UNSURE)));
        }
    }
    journal.forget().await?;
    turn.shared.units.forget(&turn.unit());
    waits::wake(turn.shared, turn.shared.needs.forget(&turn.unit()));
    turn.shared.owned.forget(&turn.unit());
    waits::wake(turn.shared, turn.shared.claims.forget(&turn.unit()));
    turn.shared.set_finalizer(turn.key, turn.object, FINALIZER, false).await?;
    Ok(Told::nothing(Next::OnEvent))
}

/// Whether what the unit applied stays, because nobody is there to delete it, or nobody has asked for that.
async fn is_left(turn: &Turn<'_>) -> Result<bool, Error> {
    let why = if goes_with_its_kind(turn.key, turn.shared).await? {
        "it goes because its kind is deleted"
    } else if lacks_account(turn).await? {
        "the ServiceAccount to impersonate is gone"
    } else {
        return Ok(false);
    };
    tracing::error!(unit = %turn.unit(), "nothing is pruned: {why}");
    Ok(true)
}

/// Whether the ServiceAccount in whose name the unit is written is gone.
async fn lacks_account(turn: &Turn<'_>) -> Result<bool, Error> {
    let world = &turn.shared.world;
    let named = turn.spec.service_account_name.as_deref().or(world.settings.default_service_account.as_deref());
    let Some(name) = named else { return Ok(false) };
    let at = Reference::new("v1", "ServiceAccount", &turn.key.namespace, name);
    Ok(world.cluster.get(&at).await?.is_none())
}

impl Turn<'_> {
    /// Whether the unit has been about to go for longer than a landing of it may take.
    pub(super) fn is_overdue(&self) -> bool {
        let since = self.object.text("/metadata/deletionTimestamp").and_then(|text| text.parse::<Timestamp>().ok());
        since.is_some_and(|since| {
            Timestamp::now().duration_since(since)
                > SignedDuration::try_from(self.timeout()).unwrap_or(SignedDuration::MAX)
        })
    }
}

fn deletes(turn: &Turn<'_>) -> bool {
    match turn.spec.deletion_policy {
        DeletionPolicy::Orphan => false,
        DeletionPolicy::Delete | DeletionPolicy::WaitForTermination => true,
        DeletionPolicy::MirrorPrune | DeletionPolicy::Other(_) => *turn.spec.prune,
    }
}

//! The end of a Kustomization: what it applied is deleted, or stays, as its deletion policy says. What was applied in the
//! name of a ServiceAccount that is gone stays, too, as in Flux: a namespace with all that is in it must be able to go.
//!
//! **Guarantee.** What stays is not left in the middle of a landing: that is finished or taken back first.

use std::time::Duration;

use apply::{Behaviour, Candidate, Journal, Outcome, Phase, Reference, Verdict};
use jiff::{SignedDuration, Timestamp};

use super::{FINALIZER, Turn, guard, inputs, waits};
use crate::landing;
use crate::pipeline::terms;
use crate::reconcile::{Error, Told, goes_with_its_kind, guests};
use crate::status::Next;

/// How soon it is asked again whether another unit wants what this one leaves, or has left it.
pub(super) const UNSURE: Duration = Duration::from_secs(1);

/// Deletes what is to be deleted, forgets the journal, and lets the object go.
pub(super) async fn finalize(turn: &mut Turn<'_>) -> Result<Told, Error> {
    let mut journal = turn.journal().await?;
    let base = turn.base(&journal, &Candidate::default());
    let has_applied = base.landed.is_some() || !base.inventory.is_empty();
    let is_left = has_applied && is_left(turn).await?;
    if !is_left && let Some(next) = turn.end_what_stays(&mut journal).await? {
        return Ok(Told::nothing(next));
    }
    if turn.spec.deletes_what_it_made() && has_applied && !is_left {
        let base = turn.base(&journal, &Candidate::default());
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
    /// A suspended unit begins nothing, but a landing that was begun is finished or undone.
    pub(super) async fn only_end_what_is_open(mut self) -> Result<Told, Error> {
        let mut journal = self.journal().await?;
        let outcome = self.resume_until(landing::never(), &mut journal).await?;
        Ok(outcome.map_or_else(|| Told::nothing(Next::OnEvent), |outcome| self.resumed(outcome)))
    }

    /// Ends what is open where anything of it stays; when to come back, as long as it has not ended, or nobody knows whether
    /// others want any of it.
    async fn end_what_stays(&self, journal: &mut Journal) -> Result<Option<Next>, Error> {
        let Some(open) = journal.open() else { return Ok(None) };
        match self.neighbours(&[]).want(&open.landing) {
            // Nobody waits for what is orphaned.
            _ if !self.spec.deletes_what_it_made() => self.retreat(journal).await?,
            Some(true) => self.end_what_is_open(journal).await?,
            Some(false) => return Ok(None),
            None => {
                let kept: Vec<Reference> = open.landing.changes().map(|change| change.desired.reference()).collect();
                self.shared.claims.keeps(&self.unit(), &kept);
                return Ok(Some(Next::After(UNSURE)));
            }
        };
        let is_stuck = journal.open().is_some_and(|open| open.phase == Phase::Undo);
        Ok(is_stuck.then(|| Next::After(self.retry_interval())))
    }

    /// Ends what is open: what is not healthy in time, or when something newer is to come in its place, is taken back.
    pub(super) async fn end_what_is_open(&self, journal: &mut Journal) -> Result<Option<Outcome>, Error> {
        let Some(open) = journal.open() else { return Ok(None) };
        let newer = inputs::newer_revision(self, &guard::source_name(self), &open.landing.read_set);
        let (tell, at) = (self.telling(&open.landing.revision), self.work.subscribe());
        let outcome = self.shared.notices.while_at(self.resume_until(newer, journal), at, tell).await?;
        match outcome.as_ref().map(|outcome| outcome.verdict) {
            Some(Verdict::Waiting | Verdict::Superseded) => Ok(self.retreat(journal).await?.or(outcome)),
            _ => Ok(outcome),
        }
    }

    async fn retreat(&self, journal: &mut Journal) -> Result<Option<Outcome>, Error> {
        let why = "the Kustomization is about to be deleted, and it is not healthy yet";
        Ok(landing::retreat(journal, why, &self.site(landing::never(), &[])).await?)
    }

    /// Finishes or undoes what is open, unless something newer comes while its health is awaited.
    pub(super) async fn resume_until(
        &self,
        superseded: landing::Superseded,
        journal: &mut Journal,
    ) -> Result<Option<Outcome>, Error> {
        let Some(open) = journal.open() else { return Ok(None) };
        let visit = guests::recall(&open.landing, self.shared);
        let site = landing::Site { guests: visit.clusters.clone(), ..self.site(superseded, &open.landing.stale) };
        Ok(landing::resume(journal, &site).await?)
    }

    /// Whether the unit has been about to go for longer than a landing of it may take.
    pub(super) fn is_overdue(&self) -> bool {
        let since = self.object.text("/metadata/deletionTimestamp").and_then(|text| text.parse::<Timestamp>().ok());
        since.is_some_and(|since| {
            Timestamp::now().duration_since(since)
                > SignedDuration::try_from(self.timeout()).unwrap_or(SignedDuration::MAX)
        })
    }
}

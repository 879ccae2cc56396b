//! One Kustomization comes in another one's place, as when it is renamed: it takes over what that one holds.
//!
//! **Flow.** Who is about to delete Kustomizations dismisses them before its landing begins. One that is dismissed goes on
//! until another one wants what it holds: then it ends what it has open, and begins nothing more. That other one waits until
//! then, and takes what it wants with a landing that goes back to what it finds.

use std::collections::BTreeSet;

use apply::plan::Stale;
use apply::{Journal, Outcome, Reference, Ruling, Verdict};
use manifest::ObjectId;

use super::finalize::UNSURE;
use super::guard::Refusal;
use super::{Turn, waits};
use crate::api::condition::reason;
use crate::pipeline::Compiled;
use crate::reconcile::needs::Need;
use crate::reconcile::{Error, Shared, Told, claims, triggers};
use crate::status::Next;
use crate::unit::{ReadSet, Unit};

/// Whether a unit is being deleted, or about to be.
pub(super) fn goes(shared: &Shared, unit: &Unit) -> bool {
    let found = || triggers::key_of(unit).and_then(|key| shared.index.get(&key));
    shared.claims.is_dismissed(unit) || found().is_some_and(|object| object.is_terminating())
}

impl Turn<'_> {
    /// Whether the unit is dismissed, and another one takes over what it holds. Who has dismissed it may wait for long. A
    /// Namespace is shared by many.
    pub(super) fn gives_way(&self) -> bool {
        let (Shared { claims, needs, .. }, unit) = (&**self.shared, self.unit());
        let is_wanted = |id: &ObjectId| {
            let is_promised = || needs.maker(&unit, &Need::Object(id.clone())).is_some();
            id.kind != "Namespace" && (claims.is_held_beside(&unit, id) || is_promised())
        };
        claims.is_dismissed(&unit) && claims.held(&unit).iter().any(is_wanted)
    }

    /// Ends what is open, and begins nothing.
    pub(super) async fn make_way(mut self) -> Result<Told, Error> {
        let mut journal = self.journal().await?;
        let outcome = self.end_what_is_open(&mut journal).await?;
        let told = outcome.map_or_else(|| Told::nothing(Next::OnEvent), |outcome| self.after(&outcome));
        Ok(if journal.open().is_some() { Told { next: Next::After(self.retry_interval()), ..told } } else { told })
    }

    /// Kustomizations that the unit is about to delete give way to those who want what they hold, unless they are another
    /// one's.
    pub(super) fn dismiss(&self, stale: &[Stale]) {
        let (claims, needs, unit) = (&self.shared.claims, &self.shared.needs, self.unit());
        let is_nobodys = |at: &&Reference| claims::ruling(claims, needs, &unit, &at.id(), || false) == Ruling::Nobodys;
        let leaving = claims::units_among(stale.iter().map(|stale| &stale.reference).filter(is_nobodys));
        waits::wake(self.shared, claims.dismiss(&unit, leaving));
    }

    /// What became of them.
    pub(super) fn dismissed(&self, outcome: &Outcome) {
        if !matches!(outcome.verdict, Verdict::Waiting | Verdict::Superseded) {
            let goes = |at: &&Reference| outcome.pruned.contains(&at.id()) || outcome.kept.contains(at);
            let leaving = claims::units_among(outcome.landing.stale.iter().map(|stale| &stale.reference).filter(goes));
            waits::wake(self.shared, self.shared.claims.dismiss(&self.unit(), leaving));
        }
    }

    /// Whoever goes ends its own landing before another unit takes what it holds.
    pub(super) async fn comes_after(&self, compiled: &Compiled) -> Result<Option<Refusal>, Error> {
        let Some(before) = self.predecessor(compiled).await? else { return Ok(None) };
        self.shared.units.failed(self.unit(), ReadSet::from_value(&compiled.candidate.read_set), true);
        let message = format!("{before}, whose objects it takes over, ends its landing first");
        Ok(Some(Refusal { why: reason::DEPENDENCY_NOT_READY, message, next: UNSURE, is_terminal: false }))
    }

    /// A unit that goes, holds something that this one wants, and has not ended its own landing.
    async fn predecessor(&self, compiled: &Compiled) -> Result<Option<Unit>, Error> {
        let (shared, world) = (self.shared, &self.shared.world);
        let ids: BTreeSet<ObjectId> = compiled.candidate.objects.iter().map(|desired| desired.object.id()).collect();
        for holder in shared.claims.holders_of(&self.unit(), &ids) {
            if !goes(shared, &holder) {
                continue;
            }
            let is_running = triggers::key_of(&holder).is_some_and(|key| shared.queue.is_running(&key));
            let name = holder.to_string();
            let journal = Journal::load(world.journals.clone(), &name, world.epoch);
            if is_running || journal.await?.open().is_some() {
                return Ok(Some(holder));
            }
        }
        Ok(None)
    }
}

//! What a unit needs of others and nobody has made yet: what needs it waits, and the rest lands (`needs`).

use std::sync::Arc;
use std::time::Duration;

use apply::plan::Change;
use apply::{Action, Journal, Landing, Outcome, Reference};

use super::Turn;
use super::guard::{self, Refusal};
use crate::api::condition::reason;
use crate::pipeline::sources::Fetched;
use crate::pipeline::{self, Compiled, terms};
use crate::reconcile::claims;
use crate::reconcile::needs::{self, Lacking, Search};
use crate::reconcile::{Error, Key, Kind, Shared, Told, triggers};
use crate::status::Next;
use crate::unit::Unit;

/// How long a watch may take to tell of an object that was made.
const LONGEST_SILENCE: Duration = Duration::from_secs(1);

/// Whether what could not be built waits for others.
pub(super) enum Waits {
    /// It does.
    For(Refusal),
    /// It did: what it needs has come meanwhile.
    NoLonger,
    /// It fails for itself.
    ForNothing,
}

impl Turn<'_> {
    /// Holds what needs something that another unit is still to make. Says what this unit will make itself. `since` is how
    /// many landings there had been when it was compiled.
    ///
    /// `false` where it failed for want of something that has come meanwhile: it is to be compiled once more.
    pub(super) async fn hold_for_others(
        &self,
        compiled: &mut Compiled,
        landed: Option<&Landing>,
        since: usize,
    ) -> Result<bool, Error> {
        let (unit, candidate) = (self.unit(), &mut compiled.candidate);
        let own = needs::promised(candidate);
        wake(self.shared, self.shared.needs.promise(&unit, own.clone()));
        looked_at(self.shared, &unit);
        let scope = terms::behaviour(self.object, &self.spec).scope;
        let is_anybody_unknown = || is_anybody_unknown(self.shared, self.key);
        let search = self.search(&unit, &is_anybody_unknown);
        let lacking = search.of_candidate(candidate, &own, landed, scope).await?;
        let is_late = candidate.failures.iter().any(|failure| failure.transient)
            && self.shared.needs.have_come(&lacking.lack.needs, since);
        candidate.failures.extend(self.note(&search, lacking).failures);
        Ok(!is_late)
    }

    /// The same for what the unit reads before it is built; why it waits, when it does.
    pub(super) async fn waits_to_be_built(&self, since: usize) -> Result<Waits, Error> {
        let (unit, is_anybody_unknown) = (self.unit(), || is_anybody_unknown(self.shared, self.key));
        let search = self.search(&unit, &is_anybody_unknown);
        let lacking = search.of_build(self.object, &self.spec).await?;
        let is_late = self.shared.needs.have_come(&lacking.lack.needs, since);
        let lacking = self.note(&search, lacking);
        let messages: Vec<String> = lacking.failures.into_iter().map(|failure| failure.message).collect();
        let next = self.shared.world.settings.requeue_dependency;
        let (why, message) = (reason::DEPENDENCY_NOT_READY, messages.join("; "));
        Ok(match (messages.is_empty(), is_late) {
            (false, _) => Waits::For(Refusal { why, message, next, is_terminal: false }),
            (true, true) => Waits::NoLonger,
            (true, false) => Waits::ForNothing,
        })
    }

    /// What it needs has come while it was compiled without.
    pub(super) fn once_more(&self) -> Told {
        self.shared.units.wake(&self.unit());
        Told::nothing(Next::After(Duration::ZERO))
    }

    /// What the unit wants of this artifact is known: others that have waited for it look.
    pub(super) fn is_known_with(&self, source: &Fetched) {
        self.shared.claims.looked_at(&self.unit(), &source.digest);
        claims::wake_who_are_sure(self.shared);
    }

    /// It is refused as it is: nobody has to keep anything for it.
    pub(super) fn wants_nothing(&self) {
        if let Some(version) = self.shared.world.sources.version(&guard::source_name(self)) {
            self.shared.claims.looked_at(&self.unit(), &version);
            claims::wake_who_are_sure(self.shared);
        }
    }

    /// A unit that waits for its dependencies says what it wants, where others keep something until that is known: they may
    /// wait for good.
    pub(super) async fn promise_meanwhile(&self, source: &Fetched, journal: &Journal) {
        let (claims, needs, unit) = (&self.shared.claims, &self.shared.needs, self.unit());
        if claims.unsure().is_empty() || claims.is_looked_at(&unit, &source.digest) {
            return;
        }
        let landed = journal.landed().map(Arc::as_ref);
        if let Ok(compiled) = pipeline::compile(&self.job(source, landed), &self.shared.world).await {
            wake(self.shared, needs.promise(&unit, needs::promised(&compiled.candidate)));
        }
        self.is_known_with(source);
    }

    fn search<'s>(&'s self, unit: &'s Unit, is_anybody_unknown: &'s (dyn Fn() -> bool + Send + Sync)) -> Search<'s> {
        Search { unit, needs: &self.shared.needs, cluster: &self.shared.world.cluster, is_anybody_unknown }
    }

    /// Keeps what is lacking for those who will make it.
    fn note(&self, search: &Search<'_>, mut lacking: Lacking) -> Lacking {
        wake(self.shared, search.note(&mut lacking));
        // Somebody may have made it, or been looked at, since we looked.
        let mut waits = lacking.lack.waits.keys();
        let is_stale = waits.any(|need| search.needs.maker(search.unit, need).is_none());
        if is_stale || (lacking.lack.for_the_unknown && !(search.is_anybody_unknown)()) {
            self.shared.queue.add(self.key.clone());
        } else if let Some(again) = lacking.again {
            self.shared.queue.add_after(self.key.clone(), again);
        }
        lacking
    }
}

/// A unit has been looked at: when it was the last one, those look who waited for all to be known.
pub(super) fn looked_at(shared: &Shared, unit: &Unit) {
    if shared.needs.looked_at(unit) {
        wake_when_all_are_known(shared);
    }
}

/// Waits until the Kustomizations that a landing has made are known to be there: in between nobody has promised them any more,
/// and nobody would wait for what they make.
pub(super) async fn until_known(shared: &Shared, outcome: &Outcome) {
    let is_made = |change: &&Change| change.action == Action::Create && change.desired.object.kind() == "Kustomization";
    let made = outcome.landing.changes().filter(is_made);
    let made: Vec<Reference> = made.map(|change| change.desired.reference()).collect();
    let made = claims::units_among(&made);
    let are_known = || made.iter().filter_map(triggers::key_of).all(|key| shared.index.get(&key).is_some());
    let mut changes = shared.changes.subscribe();
    let known = async { while !are_known() && changes.changed().await.is_ok() {} };
    // A watch that is silent for longer is broken, and lists anew.
    let _ = tokio::time::timeout(LONGEST_SILENCE, known).await;
}

fn wake_when_all_are_known(shared: &Shared) {
    let waiting = shared.needs.waiting_for_the_unknown().into_iter();
    let is_over = |unit: &Unit| triggers::key_of(unit).is_some_and(|key| !is_anybody_unknown(shared, &key));
    wake(shared, waiting.filter(is_over).collect());
}

/// These look again, although nothing that they have read has changed.
pub(super) fn wake(shared: &Shared, units: Vec<Unit>) {
    for unit in units {
        shared.units.wake(&unit);
        triggers::key_of(&unit).into_iter().for_each(|key| shared.queue.add(key));
    }
}

/// A unit has landed, whole or in part: those look who need what it has made.
pub(super) fn landed(shared: &Shared, unit: &Unit, is_whole: bool) {
    if is_whole {
        shared.needs.has_all(unit);
    }
    wake(shared, shared.needs.landed(unit, is_whole));
    wake_when_all_are_known(shared);
}

/// Whether there is a Kustomization that nobody has looked at since the start.
fn is_anybody_unknown(shared: &Shared, but: &Key) -> bool {
    let is_unknown = |key: &Key| key != but && !shared.needs.knows(&Unit::of(&key.reference()));
    let promised = shared.needs.promised_units(&Unit::of(&but.reference()));
    let mut promised = promised.into_iter().filter_map(|unit| triggers::key_of(&unit));
    promised.any(|key| key != *but) || shared.index.any(Kind::Kustomization, is_unknown, needs::is_at_work)
}

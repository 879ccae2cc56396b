//! Drift of what has landed: put back at once, object by object, without a build; or only reported
//! (`lockstep.dev/drift: warn`).

use std::collections::BTreeSet;
use std::time::Duration;

use apply::desired::Desired;
use apply::{Failure, Journal, Landing, order};

use super::{Turn, inputs};
use crate::api::condition::DRIFTED;
use crate::landing::{self, Held};
use crate::pipeline::{switch, terms};
use crate::reconcile::drift::Suspects;
use crate::reconcile::{Error, Told};
use crate::status::{Event, Next, drift as tell};
use crate::unit::ReadSet;

/// Pause from which on it is told that somebody keeps changing an object.
const WORTH_TELLING: Duration = Duration::from_secs(1);

impl Turn<'_> {
    /// Whether drift is left as it is, and only told.
    pub(super) fn only_warns(&self) -> bool {
        switch(self.object, "drift") == Some("warn")
    }

    /// Whether the inventory has more than what landed: who pruned it has died, before or after.
    pub(super) fn lists_more(&self, journal: &Journal) -> bool {
        let landed = || journal.landed().into_iter();
        let wanted = landed().flat_map(|landed| landed.changes()).map(|change| change.desired.object.id());
        let old = landed().flat_map(|landed| landed.old_versions()).map(|stale| stale.reference.id());
        let known: BTreeSet<String> = wanted.chain(old).map(|id| id.inventory()).collect();
        let entries = self.status.inventory.iter().flat_map(|inventory| inventory.entries.iter());
        entries.into_iter().any(|entry| !known.contains(&entry.id))
    }

    /// Whether Secrets have old versions to which nobody can go back any more.
    pub(super) async fn may_drop_versions(&self, journal: &Journal) -> bool {
        match journal.landed() {
            Some(landed) => apply::versions::may_go(landed, &self.cluster()).await,
            None => false,
        }
    }

    /// Looks at the objects that somebody may have changed since they landed, and holds them to what landed.
    pub(super) async fn hold(&mut self, journal: &Journal) -> Result<(), Error> {
        let (owned, unit) = (&self.shared.owned, self.unit());
        let Some(landed) = journal.landed().filter(|_| journal.open().is_none()) else { return Ok(()) };
        if !owned.knows(&unit) {
            self.claim(landed, journal.marks());
            self.shared.units.recall(&unit, ReadSet::from_value(&landed.read_set));
        }
        let Suspects { objects, .. } = owned.suspects(&unit, self.interval());
        if objects.is_empty() {
            return self.forget_drift(landed).await;
        }
        // It lands next, and puts everything back then: last-good has the stamps of last-good secrets.
        let read_set = inputs::tried(journal, landed);
        if inputs::has_changed(self.shared, &read_set, inputs::is_foreign_secret).await? {
            return Ok(());
        }
        let mut suspects: Vec<Desired> =
            landed.changes().map(|c| &c.desired).filter(|d| objects.contains(&d.object.id())).cloned().collect();
        suspects.sort_by_cached_key(|desired| order::key(&desired.object));
        self.hold_these(suspects, landed).await
    }

    async fn hold_these(&mut self, suspects: Vec<Desired>, landed: &Landing) -> Result<(), Error> {
        // What has landed may stand at a newer revision by now.
        let revision = self.status.last_applied_revision.clone().unwrap_or_else(|| landed.revision.clone());
        let (owned, unit, revision) = (&self.shared.owned, self.unit(), revision.as_str());
        let (mut written, mut failures, mut events) = (Vec::new(), Vec::<Failure>::new(), Vec::new());
        let site = self.site(landing::never(), &[]);
        let behaviour = terms::behaviour(self.object, &self.spec);
        for desired in suspects {
            let id = desired.object.id();
            tracing::debug!(unit = %self.unit(), object = %id, "somebody may have changed it");
            let others = self.shared.claims.others(&unit, [&id]);
            match landing::hold(desired, &behaviour, others, !self.only_warns(), &site).await {
                Held::AsLanded => owned.rests(&id, &unit, None),
                Held::Drifted(drifted) => {
                    owned.rests(&id, &unit, tell::difference(drifted.action(), drifted.diff()));
                }
                Held::PutBack(action) => {
                    let (times, pause) = owned.tried(&id, &unit, false);
                    let is_told = pause >= WORTH_TELLING;
                    events.extend(is_told.then(|| tell::keeps_changing(&id, times, pause, revision)));
                    written.push((id, action));
                }
                Held::Failed(why) => {
                    owned.tried(&id, &unit, true);
                    failures.extend(why);
                }
            }
        }
        if !written.is_empty() {
            events.insert(0, tell::put_back(&written, revision));
        }
        self.is_adrift = !failures.is_empty();
        if self.is_adrift {
            events.push(tell::failed(&failures, revision));
        }
        self.shared.metrics.drift_corrected(&self.key.namespace, &self.key.name, written.len());
        self.tell_drift(events, revision).await
    }

    /// What was reported does not stand any more: it was landed over, perhaps before a restart.
    async fn forget_drift(&mut self, landed: &Landing) -> Result<(), Error> {
        if self.status.conditions.get(DRIFTED).is_none() || !self.shared.owned.reported(&self.unit()).is_empty() {
            return Ok(());
        }
        self.tell_drift(Vec::new(), &landed.revision).await
    }

    async fn tell_drift(&mut self, mut events: Vec<Event>, revision: &str) -> Result<(), Error> {
        let reported = self.shared.owned.reported(&self.unit());
        let moment = self.moment();
        events.extend(tell::report(&mut self.status.conditions, moment, &reported, revision));
        self.shared.metrics.drifted(&self.key.namespace, &self.key.name, reported.len());
        let told = Told::status(&self.status, events, Next::OnEvent);
        Ok(self.shared.tell(self.key, self.object, told).await?)
    }
}

//! A unit that is held, or has landed in part: whether that is told already, and telling it again.

use std::sync::Arc;

use apply::journal::Attempt;
use apply::{Journal, Landing};

use super::{LONGEST_WAIT, Told, Turn, inputs};
use crate::api::condition::{READY, Truth, reason};
use crate::status::{Next, kustomization as tell};
use crate::unit::ReadSet;

impl Turn<'_> {
    /// It failed, and will fail again before an input changes; `None` when nobody knows any more why.
    pub(super) fn still_held(&mut self, journal: &Journal) -> Option<Told> {
        let next = Next::After(self.interval());
        let is_untold = journal.attempt().is_some_and(|attempt| self.is_untold(attempt));
        if !self.is_interrupted() && !is_untold {
            return Some(Told::status(&self.status, Vec::new(), next));
        }
        let (attempt, moment) = (journal.attempt()?, self.moment());
        let (landed, kept) = (journal.landed().map(Arc::as_ref), self.kept(&ReadSet::from_value(&attempt.read_set)));
        let event = tell::held_before(&mut self.status, attempt, landed, kept.as_deref(), moment);
        Some(Told::status(&self.status, vec![event], next))
    }

    /// Whether the status speaks of work, or of waiting for others, that is over; or of what landed before the failure, which
    /// could not be written.
    pub(super) fn is_interrupted(&self) -> bool {
        let passing = [reason::PROGRESSING, reason::ARTIFACT_FAILED, reason::DEPENDENCY_NOT_READY];
        let ready = self.status.conditions.get(READY);
        ready.is_none_or(|ready| ready.status == Truth::True) || self.is_held_by(&passing)
    }

    /// Whether the status speaks of an earlier attempt than the journal does, and of no later refusal: the process ended in
    /// between.
    pub(super) fn is_untold(&self, attempt: &Attempt) -> bool {
        let told = self.status.last_attempted_revision.as_deref();
        inputs::refused(self).is_none() && told != Some(attempt.revision.as_str())
    }

    /// Whether something failed in what stands as landed: a deletion, or anything where failures do not end a landing
    /// (`lockstep.dev/on-failure: continue`). It is tried again until it succeeds.
    pub(super) fn has_landed_with_failures(&self, journal: &Journal) -> bool {
        let failed = [reason::PRUNE_FAILED, reason::HEALTH_CHECK_FAILED, reason::RECONCILIATION_FAILED];
        // The process may have ended before that was told.
        self.is_held_by(&failed) || journal.is_unfinished()
    }

    /// Whether the status says that it is not ready, for one of these reasons.
    pub(super) fn is_held_by(&self, reasons: &[&str]) -> bool {
        let ready = self.status.conditions.get(READY);
        ready.is_some_and(|ready| ready.status != Truth::True && reasons.contains(&ready.reason.as_str()))
    }

    /// What has landed in part is as it was, and so is what it holds.
    pub(super) fn held_still(&mut self, attempt: &Attempt, landed: Option<&Landing>) -> Told {
        let moment = self.moment();
        let kept = self.kept(&ReadSet::from_value(&attempt.read_set));
        let event = tell::held_before(&mut self.status, attempt, landed, kept.as_deref(), moment);
        let is_news = !self.says_already(&event.reason, &event.message);
        let next = if attempt.transient { self.retry_interval().min(LONGEST_WAIT) } else { self.interval() };
        Told::status(&self.status, if is_news { vec![event] } else { Vec::new() }, Next::After(next))
    }
}

//! What stays of an ExternalSecret while its store is in doubt: it does not answer, or has not all of it any more.
//!
//! What had landed stays with the bytes that the live Secret has of it, which a suspended unit may have brought further than its
//! journal knows. A key that is missing stays as it was, and the others follow the store. Nobody knows what a template would
//! have made of that: then all of it stays, and an ExternalSecret that has changed must resolve.

use apply::Landing;
use apply::desired::{Declarer, Desired};
use futures::future::{FutureExt as _, join_all};
use manifest::Object;
use serde_json::{Map, Value};

use super::{Expanded, ExternalTold, Work, landed_with};
use crate::resolve::{self, Deletion, Missing, Outcome, Pass, ResolveError, target};
use crate::unit::{MISSING, ReadSet};

/// What an ExternalSecret says whose store had not all of it when it was looked at once.
pub const MISSED_ONCE: &str = "the store has not all of it any more; what is missing goes when that is seen again";
/// What holds one that has changed meanwhile.
pub(super) const CHANGED_IN_DOUBT: &str =
    "the store has not all of it any more, and its template or what it is made of has changed";
/// Version of what a store was found not to have, while nobody acts on it: none that a store gives.
pub const MISSED: &str = "missed";

/// An ExternalSecret and its Secret.
pub(super) struct Standing<'a> {
    pub(super) external: &'a Object,
    /// As it is, or as the unit declares it.
    pub(super) live: Option<Object>,
}

impl Work<'_> {
    /// Whether a Secret loses what there is of it, while the store has not all of it: a key, or, where templates make the
    /// values, what they made.
    pub(super) fn loses(&self, at: &Standing<'_>, secret: &resolve::Desired, missing: &[Missing]) -> bool {
        let is_changed = || {
            let before = self.landed_secret(at);
            has_news(self.landed, missing)
                && target::is_templated(at.external)
                && before.is_some_and(|before| data(&before.object) != data(&secret.object))
        };
        !missing.is_empty() && (!self.lost(at, secret).is_empty() || is_changed())
    }

    /// Entries that would be lost; those that landed where somebody has deleted the Secret.
    fn lost(&self, at: &Standing<'_>, secret: &resolve::Desired) -> Map<String, Value> {
        if at.live.is_some() {
            return secret.lost.clone();
        }
        let before = self.landed_secret(at).and_then(|before| data(&before.object).cloned()).unwrap_or_default();
        let now = data(&secret.object);
        before.into_iter().filter(|(key, _)| !now.is_some_and(|now| now.contains_key(key))).collect()
    }

    /// Takes what an ExternalSecret wants, with what there was in the place of what its store has not; whether that can be said.
    pub(super) async fn without_loss(
        &mut self,
        pass: &Pass,
        at: &Standing<'_>,
        secret: &resolve::Desired,
        expanded: &mut Expanded,
    ) -> Result<bool, ResolveError> {
        if target::is_templated(at.external) {
            let is_as_landed = self.landed.is_some_and(|landed| landed_with(landed, at.external));
            if is_as_landed {
                self.stay(at, expanded);
            }
            return Ok(is_as_landed);
        }
        let kept = pass.resolve_keeping(at.external, at.live.as_ref(), self.lost(at, secret)).await?;
        if let Outcome::Secret(secret) = kept.outcome {
            self.place(at.external, *secret, expanded);
        }
        Ok(true)
    }

    /// What landed stays until a deletion in the store is confirmed. (External Secrets acts at first sight.)
    pub(super) fn doubt(&mut self, missing: &[Missing]) -> ExternalTold {
        self.missed.extend(missing.iter().map(|missing| missing.thing.clone()));
        ExternalTold::Failed(MISSED_ONCE.into())
    }

    /// The Secret of an ExternalSecret as it landed last, with the bytes that it has now.
    pub(super) fn landed_secret(&self, at: &Standing<'_>) -> Option<Desired> {
        let declarer = Declarer::ExternalSecret(at.external.id());
        let mut landed = self.landed.into_iter().flat_map(Landing::changes).map(|change| &change.desired);
        let mut before = landed.find(|desired| desired.declarer == declarer)?.clone();
        if let Some(live) = at.live.as_ref().filter(|live| live.id() == before.object.id()) {
            target::follow(&mut before.object, live, &before.manager);
        }
        Some(before)
    }
}

/// Whether anything is missing that a landing had.
pub fn has_news(landed: Option<&Landing>, missing: &[Missing]) -> bool {
    let read = landed.map(|landed| ReadSet::from_value(&landed.read_set)).unwrap_or_default();
    missing.iter().any(|missing| read.version(&missing.thing) != Some(MISSING))
}

/// Whether the store has a record of all that was deleted. Without one a deletion must have been seen for an interval.
pub(super) async fn is_recorded(pass: &Pass, missing: &[Missing]) -> bool {
    let records = join_all(missing.iter().map(|missing| pass.deletion(missing).boxed())).await;
    !records.is_empty() && records.iter().all(|deletion| *deletion == Deletion::Recorded)
}

fn data(secret: &Object) -> Option<&Map<String, Value>> {
    secret.value().get("data")?.as_object()
}

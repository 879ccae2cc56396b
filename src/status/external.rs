//! The status of External Secrets' kinds, as that project's controllers write it.

use std::collections::{HashMap, HashSet};

use apply::{Action, Declarer, Outcome};
use jiff::Timestamp;
use manifest::ObjectId;

use super::Event;
use crate::api::condition::{Condition, Conditions, READY, Truth, reason};
use crate::api::secret::{Binding, ExternalSecretStatus};
use crate::api::store::StoreStatus;
use crate::pipeline::expand::ExternalTold;
use crate::resolve::Verdict;

/// A store was judged. The event is left out when it would say nothing new.
pub fn store(status: &mut StoreStatus, verdict: &Verdict, now: Timestamp) -> Option<Event> {
    match verdict {
        Verdict::Foreign => None,
        Verdict::Valid => {
            status.capabilities = Some("ReadWrite".into());
            ready(&mut status.conditions, reason::VALID, "store validated", now)
        }
        Verdict::Unknown => {
            ready(&mut status.conditions, reason::VALIDATION_UNKNOWN, "could not determine validation status", now)
        }
        Verdict::Invalid { message, cause } => {
            let event = not_ready(&mut status.conditions, reason::INVALID_PROVIDER_CONFIG, message, now);
            event.map(|event| Event { message: cause.to_string(), ..event })
        }
    }
}

/// What was done for an ExternalSecret.
#[derive(Clone, Copy, Default)]
pub struct Done {
    /// To its Secret.
    pub action: Option<Action>,
    /// Secrets that it had under other names, and that were deleted.
    pub orphans: usize,
}

impl Done {
    /// What a landing has done, by ExternalSecret.
    pub fn of(outcome: &Outcome) -> HashMap<ObjectId, Self> {
        let mut done: HashMap<ObjectId, Self> = HashMap::new();
        for change in outcome.landing.changes() {
            if let Declarer::ExternalSecret(id) = &change.desired.declarer {
                done.entry(id.clone()).or_default().action = Some(change.action);
            }
        }
        let pruned: HashSet<&ObjectId> = outcome.pruned.iter().collect();
        for stale in outcome.landing.stale.iter().filter(|stale| pruned.contains(&stale.reference.id())) {
            if let Declarer::ExternalSecret(id) = &stale.declarer {
                done.entry(id.clone()).or_default().orphans += 1;
            }
        }
        done
    }

    /// The events that tell of it, as External Secrets words them. A Secret that goes because the store has none is no orphan.
    pub fn events(self, told: &ExternalTold) -> impl Iterator<Item = Event> {
        let written = match self.action {
            Some(Action::Create) => Some(Event::info(reason::CREATED, "secret created")),
            Some(Action::Configure | Action::Replace) => Some(Event::info(reason::UPDATED, "secret updated")),
            Some(Action::Unchanged | Action::Skip) | None => None,
        };
        let orphans = if matches!(told, ExternalTold::Synced) { self.orphans } else { 0 };
        let orphan = Event::info(reason::DELETED, "secret deleted because it was orphaned");
        written.into_iter().chain(std::iter::repeat_n(orphan, orphans))
    }
}

/// What was synced, and when.
pub fn synced(status: &mut ExternalSecretStatus, version: String, secret: String, now: Timestamp) {
    status.refresh_time = Some(now.into());
    status.synced_resource_version = Some(version);
    status.binding = Some(Binding { name: Some(secret) });
}

/// An ExternalSecret was resolved, or could not be. The event is left out when it says no more than [`Done::events`].
pub fn secret(status: &mut ExternalSecretStatus, told: &ExternalTold, now: Timestamp) -> Option<Event> {
    let conditions = &mut status.conditions;
    match told {
        ExternalTold::Synced => {
            ready(conditions, reason::SECRET_SYNCED, "secret synced", now);
            None
        }
        ExternalTold::Retained => {
            let message = "secret retained due to DeletionPolicy=Retain";
            ready(conditions, reason::SECRET_SYNCED, message, now)
        }
        ExternalTold::Deleted => {
            let message = "secret deleted due to DeletionPolicy=Delete";
            ready(conditions, reason::SECRET_DELETED, message, now)
        }
        ExternalTold::NoTarget => {
            let message = "secret will not be created due to CreationPolicy=Merge";
            ready(conditions, reason::SECRET_MISSING, message, now)
        }
        ExternalTold::Failed(cause) => {
            let message = format!("could not get secret data from provider: {cause}");
            let event = not_ready(conditions, reason::SECRET_SYNCED_ERROR, &message, now);
            event.map(|event| Event { reason: reason::UPDATE_FAILED.into(), ..event })
        }
        ExternalTold::Foreign => None,
    }
}

fn ready(conditions: &mut Conditions, why: &str, message: &str, now: Timestamp) -> Option<Event> {
    let is_news = says_anew(conditions, Truth::True, why, message);
    conditions.set_external(Condition::new(READY, Truth::True, why, message), now);
    is_news.then(|| Event::info(why, message))
}

/// The object does not work. The event is left out when it would say nothing new.
pub fn not_ready(conditions: &mut Conditions, why: &str, message: &str, now: Timestamp) -> Option<Event> {
    let is_news = says_anew(conditions, Truth::False, why, message);
    conditions.set_external(Condition::new(READY, Truth::False, why, message), now);
    is_news.then(|| Event::warning(why, message))
}

fn says_anew(conditions: &Conditions, status: Truth, why: &str, message: &str) -> bool {
    let same = |ready: &Condition| ready.status == status && ready.reason == why && ready.message == message;
    !conditions.get(READY).is_some_and(same)
}

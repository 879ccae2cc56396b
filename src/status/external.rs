//! The status of External Secrets' kinds, as that project's controllers write it.

use apply::Action;
use jiff::Timestamp;

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

/// The event of what was done to a Secret.
pub fn written(action: Option<Action>) -> Option<Event> {
    match action? {
        Action::Create => Some(Event::info("Created", "secret created")),
        Action::Configure | Action::Replace => Some(Event::info("Updated", "secret updated")),
        Action::Unchanged | Action::Skip => None,
    }
}

/// What was synced, and when.
pub fn synced(status: &mut ExternalSecretStatus, version: String, secret: String, now: Timestamp) {
    status.refresh_time = Some(now.into());
    status.synced_resource_version = Some(version);
    status.binding = Some(Binding { name: Some(secret) });
}

/// An ExternalSecret was resolved, or could not be. The event is left out when it says no more than [`written`].
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
            event.map(|event| Event { reason: "UpdateFailed".into(), ..event })
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

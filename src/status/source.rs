//! The status of sources, as source-controller writes it.

use super::{Event, Moment};
use crate::api::condition::{ARTIFACT_IN_STORAGE, ARTIFACT_OUTDATED, Conditions, FETCH_FAILED, READY, Truth, reason};
use crate::api::source::ArtifactRecord;

/// API group, which is the prefix of event metadata.
pub const GROUP: &str = "source.toolkit.fluxcd.io";

/// A revision is stored.
pub fn stored(conditions: &mut Conditions, revision: &str, moment: Moment) {
    conditions.remove(FETCH_FAILED);
    conditions.remove(ARTIFACT_OUTDATED);
    let message = format!("stored artifact for revision '{revision}'");
    moment.ready(conditions, reason::SUCCEEDED, &message);
    moment.set(conditions, ARTIFACT_IN_STORAGE, Truth::True, reason::SUCCEEDED, &message);
}

/// The revision that is stored is still the newest.
pub fn unchanged(conditions: &mut Conditions, artifact: Option<&ArtifactRecord>, moment: Moment) {
    if let Some(artifact) = artifact {
        stored(conditions, &artifact.revision, moment);
    }
}

/// The source could not be fetched; it is tried again. The event is left out when it would say nothing new.
pub fn failed(conditions: &mut Conditions, moment: Moment, why: &str, message: &str) -> Option<Event> {
    let is_news = says_anew(conditions, why, message);
    moment.retrying(conditions, why, message);
    moment.set(conditions, FETCH_FAILED, Truth::True, why, message);
    is_news.then(|| Event::warning(why, message))
}

/// The source asks for what cannot be; only a changed spec helps.
pub fn stalled(conditions: &mut Conditions, moment: Moment, why: &str, message: &str) -> Option<Event> {
    let is_news = says_anew(conditions, why, message);
    moment.stalled(conditions, why, message);
    is_news.then(|| Event::warning(why, message))
}

fn says_anew(conditions: &Conditions, why: &str, message: &str) -> bool {
    conditions.get(READY).is_none_or(|ready| ready.reason != why || ready.message != message)
}

//! The status of sources, as source-controller writes it.

use super::{Event, Moment};
use crate::api::condition::{ARTIFACT_IN_STORAGE, ARTIFACT_OUTDATED, Conditions, FETCH_FAILED, READY, Truth, reason};
use crate::api::source::ArtifactRecord;

/// API group, which is the prefix of event metadata.
pub const GROUP: &str = "source.toolkit.fluxcd.io";

/// A revision is stored.
pub fn stored(conditions: &mut Conditions, revision: &str, moment: Moment) {
    in_storage(conditions, &format!("stored artifact for revision '{revision}'"), moment);
}

/// The index of a Helm repository is stored.
pub fn stored_index(conditions: &mut Conditions, revision: &str, moment: Moment) {
    in_storage(conditions, &format!("stored artifact: revision '{revision}'"), moment);
}

fn in_storage(conditions: &mut Conditions, message: &str, moment: Moment) {
    conditions.remove(FETCH_FAILED);
    conditions.remove(ARTIFACT_OUTDATED);
    moment.ready(conditions, reason::SUCCEEDED, message);
    moment.set(conditions, ARTIFACT_IN_STORAGE, Truth::True, reason::SUCCEEDED, message);
}

/// A size as Flux's events have it (docker's `HumanSize`): four digits at most, `2.746MB`.
pub fn human_size(bytes: usize) -> String {
    let mut size = bytes as f64;
    let mut units = ["B", "kB", "MB", "GB", "TB"].iter();
    let mut unit = units.next();
    while size >= 1000.0 {
        let Some(next) = units.next() else { break };
        (size, unit) = (size / 1000.0, Some(next));
    }
    let digits = if size >= 100.0 {
        1
    } else if size >= 10.0 {
        2
    } else {
        3
    };
    let text = format!("{size:.digits$}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{}", unit.copied().unwrap_or_default())
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
    moment.retrying(conditions, why, message, (reason::PROGRESSING_WITH_RETRY, "building artifact"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_four_digits_at_most() {
        let sizes = [(0, "0B"), (999, "999B"), (1500, "1.5kB"), (2_746_000, "2.746MB"), (123_456_789, "123.5MB")];
        sizes.iter().for_each(|(bytes, text)| assert_eq!(human_size(*bytes), *text));
    }
}

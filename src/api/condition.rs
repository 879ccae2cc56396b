//! Conditions, and the rules by which Flux and External Secrets set them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::duration::Time;
use super::field::{Field, choices, structs};

pub mod reason;

/// Bytes that the schema allows in a message.
const MESSAGE_LIMIT: usize = 32_768;

choices! {
    /// What is known about a condition.
    pub enum Truth {
        /// Nothing is known yet.
        Unknown = "Unknown",
        /// It holds.
        True = "True",
        /// It does not hold.
        False = "False",
    }
}

structs! {
    /// One aspect of an object's state.
    #[derive(Debug)]
    pub struct Condition {
        /// Aspect that the condition is about, such as Ready.
        #[serde(rename = "type")]
        pub kind: String,
        /// Whether the aspect holds: True, False or Unknown.
        pub status: Truth,
        /// Generation of the object that the condition was found for; an older one than that of the object is out of date.
        pub observed_generation: i64,
        /// When the condition last changed.
        pub last_transition_time: Time,
        /// The cause in one word, for programs.
        pub reason: String,
        /// The cause in a sentence, for people.
        pub message: String,
    }
}

impl Condition {
    /// A condition that was not set yet.
    pub fn new(kind: &str, status: Truth, reason: &str, message: &str) -> Self {
        let (kind, reason, message) = (kind.to_owned(), reason.to_owned(), shortened(message));
        Self { kind, status, reason, message, ..Self::default() }
    }

    fn says_the_same_as(&self, other: &Self) -> bool {
        self.status == other.status && self.reason == other.reason && self.message == other.message
    }
}

/// A message that fits the schema; cut as Flux does it, but never within a character.
fn shortened(message: &str) -> String {
    if message.len() <= MESSAGE_LIMIT {
        return message.to_owned();
    }
    let end = message.floor_char_boundary(MESSAGE_LIMIT - 3);
    format!("{}...", &message[..end])
}

/// The conditions of an object, at most one of each type.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Conditions(Vec<Condition>);

impl Conditions {
    /// The condition of one type.
    pub fn get(&self, kind: &str) -> Option<&Condition> {
        self.0.iter().find(|condition| condition.kind == kind)
    }

    /// Whether the condition of one type is there and True.
    pub fn is_true(&self, kind: &str) -> bool {
        self.get(kind).is_some_and(|condition| condition.status == Truth::True)
    }

    /// All of them, in the order of the object.
    pub fn iter(&self) -> impl Iterator<Item = &Condition> {
        self.0.iter()
    }

    /// Sets a condition of a Flux object of `generation`, as Flux does: its time changes when status, reason or message
    /// does, a new generation alone keeps it; Stalled, Reconciling and Ready stand first.
    pub fn set(&mut self, mut condition: Condition, generation: i64, now: jiff::Timestamp) {
        condition.observed_generation = generation;
        condition.last_transition_time = match self.get(&condition.kind) {
            Some(present) if present.says_the_same_as(&condition) => present.last_transition_time.clone(),
            _ => now.into(),
        };
        self.remove(&condition.kind.clone());
        self.0.push(condition);
        self.0
            .sort_by_key(|condition| (weight(&condition.kind), -condition.observed_generation, condition.kind.clone()));
    }

    /// Sets a condition of an External Secrets object, as that does: its time changes when the status does, it carries
    /// no generation, and one that says something new moves to the end.
    pub fn set_external(&mut self, mut condition: Condition, now: jiff::Timestamp) {
        condition.last_transition_time = match self.get(&condition.kind) {
            Some(present) if present.says_the_same_as(&condition) => return,
            Some(present) if present.status == condition.status => present.last_transition_time.clone(),
            _ => now.into(),
        };
        self.remove(&condition.kind.clone());
        self.0.push(condition);
    }

    /// Takes a condition away; none of that type is no error.
    pub fn remove(&mut self, kind: &str) {
        self.0.retain(|condition| condition.kind != kind);
    }
}

/// Place among the conditions of a Flux object.
fn weight(kind: &str) -> u8 {
    match kind {
        STALLED => 0,
        RECONCILING => 1,
        READY => 2,
        _ => 3,
    }
}

impl Field for Conditions {
    fn is_absent(&self) -> bool {
        self.0.is_empty()
    }

    fn describe(path: &str, descriptions: &mut Vec<(String, String)>) {
        Vec::<Condition>::describe(path, descriptions);
    }
}

/// One line for a person: `Ready=False (BuildFailed)`. The message stays out; it belongs to the redactor's callers.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={} ({})", self.kind, self.status.as_str(), self.reason)
    }
}

/// The object works as its spec says.
pub const READY: &str = "Ready";
/// Work is under way; absent otherwise.
pub const RECONCILING: &str = "Reconciling";
/// Nothing more happens before the spec changes; absent otherwise.
pub const STALLED: &str = "Stalled";
/// A source's artifact is stored.
pub const ARTIFACT_IN_STORAGE: &str = "ArtifactInStorage";
/// A source's artifact is older than its upstream; absent otherwise.
pub const ARTIFACT_OUTDATED: &str = "ArtifactOutdated";
/// A source was verified.
pub const SOURCE_VERIFIED: &str = "SourceVerified";
/// A source could not be fetched; absent otherwise.
pub const FETCH_FAILED: &str = "FetchFailed";
/// A chart could not be built; absent otherwise.
pub const BUILD_FAILED: &str = "BuildFailed";
/// An included source is missing; absent otherwise.
pub const INCLUDE_UNAVAILABLE: &str = "IncludeUnavailable";
/// An artifact could not be stored; absent otherwise.
pub const STORAGE_OPERATION_FAILED: &str = "StorageOperationFailed";
/// What a Kustomization applied is healthy.
pub const HEALTHY: &str = "Healthy";
/// The last install or upgrade of a release.
pub const RELEASED: &str = "Released";
/// The last tests of a release.
pub const TEST_SUCCESS: &str = "TestSuccess";
/// A failed release was rolled back or uninstalled.
pub const REMEDIATED: &str = "Remediated";
/// The cluster differs from the release.
pub const DRIFTED: &str = "Drifted";
/// An ExternalSecret's target was deleted.
pub const DELETED: &str = "Deleted";

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> jiff::Timestamp {
        jiff::Timestamp::from_second(second).unwrap()
    }

    fn ready(status: Truth, reason: &str, message: &str) -> Condition {
        Condition::new(READY, status, reason, message)
    }

    fn time_of<'a>(conditions: &'a Conditions, kind: &str) -> &'a str {
        conditions.get(kind).unwrap().last_transition_time.as_str()
    }

    #[test]
    fn the_time_of_a_flux_condition_changes_with_status_reason_and_message() {
        let mut conditions = Conditions::default();
        conditions.set(ready(Truth::True, "Succeeded", "done"), 1, at(0));
        conditions.set(ready(Truth::True, "Succeeded", "done"), 2, at(10));
        assert_eq!(time_of(&conditions, READY), "1970-01-01T00:00:00Z");
        assert_eq!(conditions.get(READY).unwrap().observed_generation, 2);
        conditions.set(ready(Truth::True, "Succeeded", "done again"), 2, at(20));
        assert_eq!(time_of(&conditions, READY), "1970-01-01T00:00:20Z");
    }

    #[test]
    fn the_time_of_an_external_secret_condition_changes_with_the_status_alone() {
        let mut conditions = Conditions::default();
        conditions.set_external(ready(Truth::True, "SecretSynced", "done"), at(0));
        conditions.set_external(Condition::new(DELETED, Truth::False, "x", ""), at(0));
        conditions.set_external(ready(Truth::True, "SecretSynced", "done again"), at(10));
        assert_eq!(time_of(&conditions, READY), "1970-01-01T00:00:00Z");
        assert_eq!(conditions.iter().map(|condition| condition.kind.as_str()).collect::<Vec<_>>(), [DELETED, READY]);
        conditions.set_external(ready(Truth::False, "SecretSyncedError", "no"), at(20));
        assert_eq!(time_of(&conditions, READY), "1970-01-01T00:00:20Z");
        assert_eq!(conditions.get(READY).unwrap().observed_generation, 0);
    }

    #[test]
    fn stalled_reconciling_and_ready_stand_first() {
        let mut conditions = Conditions::default();
        for (kind, generation) in [("B", 1), ("A", 1), ("Z", 2), (READY, 1), (RECONCILING, 1), (STALLED, 1)] {
            conditions.set(Condition::new(kind, Truth::True, "x", ""), generation, at(0));
        }
        let order: Vec<_> = conditions.iter().map(|condition| condition.kind.as_str()).collect();
        assert_eq!(order, [STALLED, RECONCILING, READY, "Z", "A", "B"]);
    }

    #[test]
    fn a_removed_condition_is_gone() {
        let mut conditions = Conditions::default();
        conditions.set(ready(Truth::True, "Succeeded", ""), 1, at(0));
        conditions.remove(READY);
        conditions.remove(READY);
        assert!(conditions.is_absent() && !conditions.is_true(READY));
    }

    #[test]
    fn a_long_message_is_cut_to_what_the_schema_allows() {
        let long = ready(Truth::False, "BuildFailed", &"\u{e9}".repeat(MESSAGE_LIMIT));
        assert!(long.message.len() <= MESSAGE_LIMIT && long.message.ends_with("..."));
    }
}

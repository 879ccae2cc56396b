//! How results read: conditions, events, reasons. The only place that tells; it does nothing itself.
//!
//! Every function here is pure: a status and a result in, the new status and the events out. What is written is the
//! difference, so that a result that says nothing new is no write.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::api::condition::{Condition, Conditions, READY, RECONCILING, STALLED, Truth, reason};
use crate::pipeline::{Problem, Stage};

pub mod drift;
pub mod external;
pub mod helm_release;
pub mod kustomization;
pub mod source;

/// Something worth telling a person who watches an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whether it is a warning.
    pub is_warning: bool,
    /// The cause in one word.
    pub reason: String,
    /// The cause in a sentence.
    pub message: String,
    /// Annotations of the event, such as the revision.
    pub metadata: BTreeMap<String, String>,
}

impl Event {
    /// A normal event.
    pub fn info(reason: &str, message: impl Into<String>) -> Self {
        Self { is_warning: false, reason: reason.into(), message: message.into(), metadata: BTreeMap::new() }
    }

    /// A warning.
    pub fn warning(reason: &str, message: impl Into<String>) -> Self {
        Self { is_warning: true, ..Self::info(reason, message) }
    }

    /// The same event with the revision that it is about, under the key of its API group.
    #[must_use]
    pub fn at(mut self, group: &str, revision: &str) -> Self {
        if !revision.is_empty() {
            self.metadata.insert(format!("{group}/revision"), revision.into());
        }
        self
    }
}

/// When an object is to be looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// After this time, or when an event asks for it.
    After(Duration),
    /// After a pause that grows with each time in a row.
    Retry,
    /// When an event asks for it.
    OnEvent,
}

/// Moment and generation that conditions are set for.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Generation of the object's spec.
    pub generation: i64,
    /// Now.
    pub now: Timestamp,
}

impl Moment {
    fn set(self, conditions: &mut Conditions, kind: &str, status: Truth, reason: &str, message: &str) {
        conditions.set(Condition::new(kind, status, reason, message), self.generation, self.now);
    }

    /// It works: Ready, and neither Reconciling nor Stalled.
    pub fn ready(self, conditions: &mut Conditions, reason: &str, message: &str) {
        conditions.remove(RECONCILING);
        conditions.remove(STALLED);
        self.set(conditions, READY, Truth::True, reason, message);
    }

    /// Work is under way.
    pub fn progressing(self, conditions: &mut Conditions, message: &str) {
        conditions.remove(STALLED);
        self.set(conditions, READY, Truth::Unknown, reason::PROGRESSING, "Reconciliation in progress");
        self.set(conditions, RECONCILING, Truth::True, reason::PROGRESSING, message);
    }

    /// It does not work now, and is tried again; `work` is the reason and message of what is under way.
    pub fn retrying(self, conditions: &mut Conditions, why: &str, message: &str, work: (&str, &str)) {
        conditions.remove(STALLED);
        self.set(conditions, READY, Truth::False, why, message);
        self.set(conditions, RECONCILING, Truth::True, work.0, work.1);
    }

    /// As [`Moment::retrying`], for an object whose work was told by [`Moment::progressing`]: how far it came stays told.
    pub fn stopped(self, conditions: &mut Conditions, why: &str, message: &str) {
        conditions.remove(STALLED);
        self.set(conditions, READY, Truth::False, why, message);
        if let Some(work) = conditions.get(RECONCILING).map(|condition| condition.message.clone()) {
            self.set(conditions, RECONCILING, Truth::True, reason::PROGRESSING_WITH_RETRY, &work);
        }
    }

    /// It does not work, and is not tried again before an input changes.
    pub fn stalled(self, conditions: &mut Conditions, why: &str, message: &str) {
        conditions.remove(RECONCILING);
        self.set(conditions, READY, Truth::False, why, message);
        self.set(conditions, STALLED, Truth::True, why, message);
    }
}

/// Flux's reason for a compile that failed: that of the earliest step.
pub fn reason_of_compile(problems: &[Problem]) -> &'static str {
    match problems.iter().map(|problem| problem.stage).min() {
        Some(Stage::Source) => reason::ARTIFACT_FAILED,
        Some(Stage::Build) | None => reason::BUILD_FAILED,
        Some(Stage::Resolve | Stage::Render) => reason::RECONCILIATION_FAILED,
    }
}

/// A duration as Go prints it, in milliseconds.
pub fn go_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let (minutes, rest) = (millis / 60_000, millis % 60_000);
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let seconds = format!("{}", rest as f64 / 1000.0);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// The message for fields that Lockstep does not act on yet.
pub fn unsupported_message(fields: &[String]) -> String {
    format!("not supported yet: {}", fields.join(", "))
}

/// One line that says how many, then one line each: `kubectl get` shows the first, `kubectl describe` all.
pub fn list(summary: &str, problems: &[String]) -> String {
    match problems {
        [] => summary.to_owned(),
        [only] => format!("{summary}: {only}"),
        many => format!("{summary}: {} problems\n- {}", many.len(), many.join("\n- ")),
    }
}

/// What must be patched (RFC 7386) so that `before` becomes `after`; `None` when they are the same.
pub fn difference(before: &Value, after: &Value) -> Option<Value> {
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        return (before != after).then(|| after.clone());
    };
    let mut patch = Map::new();
    for (key, value) in new {
        match old.get(key) {
            Some(present) => patch.extend(difference(present, value).map(|inner| (key.clone(), inner))),
            None => drop(patch.insert(key.clone(), value.clone())),
        }
    }
    let removed = old.keys().filter(|key| !new.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    patch.extend(removed);
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_same_status_is_no_patch_and_what_is_gone_is_null() {
        let before = json!({"a": 1, "b": {"c": [1, 2], "d": 2}, "e": 1});
        assert_eq!(difference(&before, &before), None);
        let after = json!({"a": 1, "b": {"c": [1]}, "f": 3});
        assert_eq!(difference(&before, &after), Some(json!({"b": {"c": [1], "d": null}, "e": null, "f": 3})));
    }

    #[test]
    fn failing_with_retry_says_so_and_success_clears_it() {
        let moment = Moment { generation: 3, now: Timestamp::UNIX_EPOCH };
        let mut conditions = Conditions::default();
        moment.retrying(&mut conditions, reason::BUILD_FAILED, "bad", (reason::PROGRESSING_WITH_RETRY, "work"));
        assert_eq!(conditions.get(RECONCILING).unwrap().reason, reason::PROGRESSING_WITH_RETRY);
        moment.ready(&mut conditions, reason::RECONCILIATION_SUCCEEDED, "good");
        assert!(conditions.is_true(READY) && conditions.get(RECONCILING).is_none());
    }
}

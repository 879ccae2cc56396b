//! How drift reads: in kustomize-controller's words where it is put back, in helm-controller's where it is only reported.

use std::collections::BTreeMap;
use std::time::Duration;

use apply::diff::{Diff, FieldChange};
use apply::{Action, Failure};
use manifest::ObjectId;

use super::kustomization::GROUP;
use super::{Event, Moment, go_duration, list};
use crate::api::condition::{Condition, Conditions, DRIFTED, Truth, reason};

/// Fields of an object that are told by name.
const FIELDS: usize = 5;

/// What was put back: Flux's event of an apply.
pub fn put_back(written: &[(ObjectId, Action)], revision: &str) -> Event {
    let lines: Vec<String> = written.iter().map(|(id, action)| format!("{id} {action}")).collect();
    Event::info(reason::PROGRESSING, lines.join("\n")).at(GROUP, revision)
}

/// Somebody keeps changing an object.
pub fn keeps_changing(id: &ObjectId, times: u32, pause: Duration, revision: &str) -> Event {
    let message = format!(
        "{id} was put back {times} times in a row: somebody else keeps changing it (kubectl get --show-managed-fields tells \
         who); the next time is not before {} have passed",
        go_duration(pause)
    );
    Event::warning(reason::DRIFT_DETECTED, message).at(GROUP, revision)
}

/// What could not be put back.
pub fn failed(failures: &[Failure], revision: &str) -> Event {
    let texts: Vec<String> = failures.iter().map(ToString::to_string).collect();
    let message = list("drift could not be corrected", &texts);
    Event::warning(reason::RECONCILIATION_FAILED, message).at(GROUP, revision)
}

/// Sets the condition `Drifted` where drift is only reported; an event when that is news.
pub fn report(
    conditions: &mut Conditions,
    moment: Moment,
    drifted: &BTreeMap<ObjectId, String>,
    revision: &str,
) -> Option<Event> {
    if drifted.is_empty() {
        conditions.remove(DRIFTED);
        return None;
    }
    let lines: Vec<String> = drifted.iter().map(|(id, what)| format!("{id} {what}")).collect();
    let message = format!("Cluster state has drifted from the desired state:\n{}", lines.join("\n"));
    let is_news = conditions.get(DRIFTED).is_none_or(|condition| condition.message != message);
    let condition = Condition::new(DRIFTED, Truth::True, reason::DRIFT_DETECTED, &message);
    conditions.set(condition, moment.generation, moment.now);
    is_news.then(|| Event::warning(reason::DRIFT_DETECTED, message).at(GROUP, revision))
}

/// How an object differs, by its fields' names alone: `removed`, or `changed (1 additions, 2 changes, 0 removals): …`.
/// `None` where every field is as it should be, and others only own some of them.
pub fn difference(action: Action, diff: Option<&Diff>) -> Option<String> {
    if action == Action::Create {
        return Some("removed".into());
    }
    // The diff tells what putting back would do: what it removes, others have added.
    let is_field = |(path, _): &&(String, FieldChange)| !path.starts_with("metadata.managedFields");
    let fields: Vec<_> = diff.into_iter().flat_map(|diff| &diff.fields).filter(is_field).collect();
    let count = |is: fn(&FieldChange) -> bool| fields.iter().filter(|(_, change)| is(change)).count();
    let additions = count(|change| matches!(change, FieldChange::Removed(_)));
    let changes = count(|change| matches!(change, FieldChange::Changed(_)));
    let removals = count(|change| matches!(change, FieldChange::Added(_)));
    let names: Vec<&str> = fields.iter().map(|(path, _)| path.as_str()).take(FIELDS).collect();
    let counts = format!("{additions} additions, {changes} changes, {removals} removals");
    (!names.is_empty()).then(|| format!("changed ({counts}): {}", names.join(", ")))
}

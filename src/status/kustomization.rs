//! The status of a Kustomization, as kustomize-controller writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use apply::journal::Attempt;
use apply::plan::Change;
use apply::report::{Failure, Step};
use apply::{Declarer, Landing, Outcome, Reference, Verdict};
use manifest::ObjectId;

use super::{Event, Moment, go_duration, list};
use crate::api::condition::{Condition, HEALTHY, RECONCILING, Truth, reason};
use crate::api::duration;
use crate::api::field::Required;
use crate::api::kustomization::{HistoryEntry, KustomizationStatus};
use crate::api::reference::{Inventory, InventoryEntry};

/// API group, which is the prefix of event metadata.
pub const GROUP: &str = "kustomize.toolkit.fluxcd.io";
/// Results that the history keeps.
const HISTORY: usize = 5;

/// Kinds that Flux applies before others, and after them.
const FIRST: [&str; 23] = [
    "CustomResourceDefinition",
    "Namespace",
    "ClusterRole",
    "ClusterClass",
    "RuntimeClass",
    "PriorityClass",
    "StorageClass",
    "VolumeSnapshotClass",
    "IngressClass",
    "GatewayClass",
    "ClusterRoleBinding",
    "ResourceQuota",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ConfigMap",
    "Secret",
    "Service",
    "LimitRange",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];
const LAST: [&str; 2] = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// What is known of a landing besides its outcome.
pub struct Facts<'a> {
    /// Moment of telling.
    pub moment: Moment,
    /// Whether it was landed for the present spec; one that was begun for an earlier spec says nothing of this one.
    pub is_current: bool,
    /// Revision that was landed or tried.
    pub revision: &'a str,
    /// Digest of what was built, `sha256:…`.
    pub digest: &'a str,
    /// How long it took.
    pub took: Duration,
    /// At which versions secrets landed last that it read at others, for people.
    pub kept: Option<String>,
}

/// How far a reconciliation came, in kustomize-controller's words and order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// The path of the artifact is looked up.
    Fetching,
    /// Built, decrypted, substituted; external secrets and releases, too.
    Building,
    /// Compared with the cluster, and applied.
    Applying,
    /// Health is awaited.
    Checking,
}

impl Work {
    /// What was under way when a reconciliation failed for a reason.
    pub fn of(why: &str) -> Self {
        match why {
            reason::ARTIFACT_FAILED => Self::Fetching,
            reason::BUILD_FAILED => Self::Building,
            reason::HEALTH_CHECK_FAILED => Self::Checking,
            _ => Self::Applying,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Fetching => "Fetching manifests",
            Self::Building => "Building manifests",
            Self::Applying => "Detecting drift",
            Self::Checking => "Running health checks",
        }
    }

    fn message(self, revision: &str, timeout: Duration) -> String {
        format!("{} for revision {revision} with a timeout of {}", self.words(), go_duration(timeout))
    }
}

/// Work on `revision` is under way. While health is awaited nothing is said of it that was so before.
pub fn at_work(status: &mut KustomizationStatus, moment: Moment, work: Work, revision: &str, timeout: Duration) {
    let message = work.message(revision, timeout);
    moment.progressing(&mut status.conditions, &message);
    if work == Work::Checking {
        let unknown = Condition::new(HEALTHY, Truth::Unknown, reason::PROGRESSING, &message);
        status.conditions.set(unknown, moment.generation, moment.now);
    }
}

/// How far a reconciliation came that is now told to have failed.
pub fn came_to(status: &mut KustomizationStatus, moment: Moment, work: Work, revision: &str, timeout: Duration) {
    let message = work.message(revision, timeout);
    let condition = Condition::new(RECONCILING, Truth::True, reason::PROGRESSING_WITH_RETRY, &message);
    status.conditions.set(condition, moment.generation, moment.now);
}

/// Nothing was written: the source, a dependency, the build or the plan is not as it must be.
pub fn not_ready(status: &mut KustomizationStatus, moment: Moment, why: &str, message: &str) -> Event {
    moment.stopped(&mut status.conditions, why, message);
    Event::warning(why, message)
}

/// The server refused what was built: nothing was written.
pub fn refused(status: &mut KustomizationStatus, why: &str, message: &str, facts: &Facts<'_>) -> Event {
    status.last_attempted_revision = Some(facts.revision.into());
    remember(status, why, facts);
    not_ready(status, facts.moment, why, message).at(GROUP, facts.revision)
}

/// The object asks for something that is not supported, or makes no sense.
pub fn stalled(status: &mut KustomizationStatus, moment: Moment, why: &str, message: &str) -> Event {
    moment.stalled(&mut status.conditions, why, message);
    status.observed_generation = moment.generation;
    Event::warning(why, message)
}

/// A landing has ended, or waits.
pub fn landed(status: &mut KustomizationStatus, outcome: &Outcome, has_health: bool, facts: &Facts<'_>) -> Vec<Event> {
    status.last_attempted_revision = Some(facts.revision.into());
    match outcome.verdict {
        Verdict::Landed => whole(status, outcome, has_health, facts),
        Verdict::Partly => partly(status, outcome, facts),
        Verdict::Superseded => Vec::new(),
        Verdict::Undone | Verdict::Held | Verdict::Waiting => vec![held(status, outcome, facts)],
    }
}

fn whole(status: &mut KustomizationStatus, outcome: &Outcome, has_health: bool, facts: &Facts<'_>) -> Vec<Event> {
    status.inventory = Some(inventory(&outcome.landing));
    // One event for both: it is a tenth of what a small landing writes.
    let news: Vec<String> = changes(outcome).into_iter().chain(healthy(status, outcome, has_health, facts)).collect();
    let mut events: Vec<Event> = if news.is_empty() { Vec::new() } else { vec![info(facts, &news.join("\n"))] };
    events.extend(by_hand(outcome, facts));
    // The landing stands; what could not be pruned, or not yet, is tried again, so it stays in the inventory.
    keep_in_inventory(status, outcome);
    if outcome.failures.is_empty() {
        applied(status, facts);
        return events;
    }
    let why = reason_of(&outcome.failures);
    let message = list("landed, but not all of it", &texts(&outcome.failures));
    facts.moment.stopped(&mut status.conditions, why, &message);
    remember(status, why, facts);
    events.push(Event::warning(why, message).at(GROUP, facts.revision));
    events
}

/// Says whether all is healthy; what is new about it.
fn healthy(status: &mut KustomizationStatus, outcome: &Outcome, has_health: bool, facts: &Facts<'_>) -> Option<String> {
    if !has_health {
        status.conditions.remove(HEALTHY);
        return None;
    }
    if status.conditions.is_true(HEALTHY) && outcome.changed().next().is_none() {
        return None;
    }
    let message = format!("Health check passed in {}", go_duration(facts.took));
    let healthy = Condition::new(HEALTHY, Truth::True, reason::SUCCEEDED, &message);
    status.conditions.set(healthy, facts.moment.generation, facts.moment.now);
    Some(message)
}

/// Workloads whose pods nobody replaces: they run with the old bytes until somebody deletes them.
fn by_hand(outcome: &Outcome, facts: &Facts<'_>) -> Option<Event> {
    let names: Vec<String> = outcome.landing.rolled_by_hand().map(|object| object.id().to_string()).collect();
    let what = "a secret has changed, and updateStrategy OnDelete keeps their pods until they are deleted";
    (!names.is_empty()).then(|| info(facts, &format!("{}: {what}", names.join(", "))))
}

/// Objects that others own are shared from now on, each with the units that hold it, too. Every application may declare its
/// Namespace; anything else that two units declare is likely a mistake, and a warning.
pub fn begins_to_share(news: &[(ObjectId, Vec<String>)], revision: &str) -> Event {
    let line = |(id, others): &(ObjectId, Vec<String>)| {
        let others = if others.is_empty() { "another unit".to_owned() } else { others.join(", ") };
        format!("{id} is shared with {others}: where both name a field, the value of the unit that owns it stands")
    };
    let message = news.iter().map(line).collect::<Vec<_>>().join("\n");
    let is_usual = news.iter().all(|(id, _)| id.group.is_empty() && id.kind == "Namespace");
    let event = if is_usual {
        Event::info(reason::OBJECT_SHARED, message)
    } else {
        Event::warning(reason::OBJECT_SHARED, message)
    };
    event.at(GROUP, revision)
}

/// Some parcels have landed; the others are as they were, and so are their entries in the inventory.
fn partly(status: &mut KustomizationStatus, outcome: &Outcome, facts: &Facts<'_>) -> Vec<Event> {
    let before = status.inventory.replace(inventory(&outcome.landing));
    let gone: BTreeSet<String> = outcome.pruned.iter().map(ObjectId::inventory).collect();
    let kept = before.into_iter().flat_map(|before| before.entries.0).filter(|entry| !gone.contains(&entry.id));
    add(status, kept.map(|entry| (entry.id, entry.version)).collect());
    keep_left(status, outcome);
    let mut events: Vec<Event> = changes(outcome).map(|message| info(facts, &message)).into_iter().collect();
    events.extend(by_hand(outcome, facts));
    let why = reason_of(&outcome.failures);
    let names = outcome.landing.parcels.names(&outcome.landing.held);
    let mut message = list(&landed_without(status, facts.revision, &names), &texts(&outcome.failures));
    message.push_str(&left_in_place(outcome));
    unhealthy(status, facts.moment, why, &message);
    facts.moment.stopped(&mut status.conditions, why, &message);
    remember(status, why, facts);
    events.push(Event::warning(why, message).at(GROUP, facts.revision));
    events
}

/// Names of parcels that are told.
const NAMES: usize = 5;

fn landed_without(status: &KustomizationStatus, revision: &str, names: &[String]) -> String {
    let good = status.last_applied_revision.as_deref().unwrap_or("nothing");
    let (shown, more) = names.split_at(names.len().min(NAMES));
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    let word = if names.len() == 1 { "parcel" } else { "parcels" };
    // The revision itself has landed before: something else is new, such as a rotated secret.
    let what = if good == revision { "what has changed beside it".to_owned() } else { format!("revision {revision}") };
    format!("held at {good}: {what} landed without {word} {}{more}", shown.join(", "))
}

fn left_in_place(outcome: &Outcome) -> String {
    let left: Vec<String> = outcome.left_in_place.iter().map(|at| at.id().to_string()).collect();
    if left.is_empty() { String::new() } else { format!("\nleft in place: {}", left.join(", ")) }
}

/// What has landed stands, though nobody came to tell it, or something else was told since. What more the inventory holds
/// is left to the prune.
pub fn stands(status: &mut KustomizationStatus, landing: &Landing, has_health: bool, facts: &Facts<'_>) {
    status.last_attempted_revision = Some(facts.revision.into());
    let entries = inventory(landing).entries.0;
    add(status, entries.into_iter().map(|entry| (entry.id, entry.version)).collect());
    if has_health && !status.conditions.is_true(HEALTHY) {
        let healthy = Condition::new(HEALTHY, Truth::True, reason::SUCCEEDED, "Health check passed");
        status.conditions.set(healthy, facts.moment.generation, facts.moment.now);
    }
    applied(status, facts);
}

fn applied(status: &mut KustomizationStatus, facts: &Facts<'_>) {
    let message = format!("Applied revision: {}", facts.revision);
    facts.moment.ready(&mut status.conditions, reason::RECONCILIATION_SUCCEEDED, &message);
    status.last_applied_revision = Some(facts.revision.into());
    if facts.is_current {
        status.observed_generation = facts.moment.generation;
    }
    remember(status, reason::RECONCILIATION_SUCCEEDED, facts);
}

/// Where a unit stands that could not go on.
fn good(status: &KustomizationStatus, kept: Option<&str>) -> String {
    let revision = status.last_applied_revision.as_deref().unwrap_or("nothing");
    kept.map_or_else(|| revision.to_owned(), |kept| format!("{revision}, {kept}"))
}

fn held(status: &mut KustomizationStatus, outcome: &Outcome, facts: &Facts<'_>) -> Event {
    let why = reason_of(&outcome.failures);
    let good = good(status, facts.kept.as_deref());
    let summary = match outcome.verdict {
        Verdict::Undone => format!("held at {good}: revision {} was taken back", facts.revision),
        Verdict::Waiting => format!("revision {} is applied and not healthy yet", facts.revision),
        _ => format!("revision {} was left as it stands", facts.revision),
    };
    let message = list(&summary, &texts(&outcome.failures)) + &left_in_place(outcome);
    keep_left(status, outcome);
    unhealthy(status, facts.moment, why, &message);
    facts.moment.stopped(&mut status.conditions, why, &message);
    remember(status, why, facts);
    Event::warning(why, message).at(GROUP, facts.revision)
}

/// A landing was taken back, or landed in part, and that is told again.
pub fn held_before(
    status: &mut KustomizationStatus,
    attempt: &Attempt,
    landed: Option<&Landing>,
    kept: Option<&str>,
    moment: Moment,
) -> Event {
    if let Some(landed) = landed.filter(|_| !attempt.held.is_empty()) {
        // What has landed in part belongs to the unit, though nobody came to tell it.
        let entries = inventory(landed).entries.0.into_iter();
        add(status, entries.map(|entry| (entry.id, entry.version)).collect());
    }
    let why = reason_of_step(Some(attempt.step));
    let good = good(status, kept);
    let summary = match attempt.held.as_slice() {
        [] => format!("held at {good}: revision {} was taken back", attempt.revision),
        names => landed_without(status, &attempt.revision, names),
    };
    let message = list(&summary, &attempt.failures);
    status.last_attempted_revision = Some(attempt.revision.clone());
    unhealthy(status, moment, why, &message);
    not_ready(status, moment, why, &message).at(GROUP, &attempt.revision)
}

fn unhealthy(status: &mut KustomizationStatus, moment: Moment, why: &str, message: &str) {
    if why == reason::HEALTH_CHECK_FAILED {
        let unhealthy = Condition::new(HEALTHY, Truth::False, why, message);
        status.conditions.set(unhealthy, moment.generation, moment.now);
    }
}

/// Flux's reason for the step that failed first.
pub fn reason_of(failures: &[Failure]) -> &'static str {
    reason_of_step(failures.iter().map(|failure| failure.step).min())
}

fn reason_of_step(step: Option<Step>) -> &'static str {
    match step {
        Some(Step::Health) => reason::HEALTH_CHECK_FAILED,
        Some(Step::Prune) => reason::PRUNE_FAILED,
        Some(Step::Depend) => reason::DEPENDENCY_NOT_READY,
        _ => reason::RECONCILIATION_FAILED,
    }
}

/// Each failure in one line.
pub fn texts(failures: &[Failure]) -> Vec<String> {
    failures.iter().map(ToString::to_string).collect()
}

/// Flux's inventory: what the unit itself declares, and versions of Secrets, old ones, too. Objects of its releases and
/// external secrets belong to these.
fn inventory(landing: &Landing) -> Inventory {
    let is_own = |change: &&Change| matches!(change.desired.declarer, Declarer::Unit | Declarer::Version(_));
    let own = landing.changes().filter(is_own).map(|change| Reference::of(&change.desired.object));
    let all = own.chain(landing.retired.iter().map(|stale| stale.reference.clone()));
    let mut entries: Vec<InventoryEntry> =
        all.map(|at| InventoryEntry { id: at.id().inventory(), version: at.gvk.version }).collect();
    entries.sort_by_cached_key(inventory_place);
    Inventory { entries: Required(entries) }
}

fn keep_in_inventory(status: &mut KustomizationStatus, outcome: &Outcome) {
    let failed = outcome.failures.iter().filter(|f| f.step == Step::Prune).filter_map(|f| f.id.as_ref());
    let stale: BTreeMap<_, _> =
        outcome.landing.stale.iter().map(|s| (s.reference.id(), s.reference.gvk.version.clone())).collect();
    let kept = failed.filter_map(|id| Some((id.inventory(), stale.get(id)?.clone())));
    let unsure = outcome.kept.iter().map(|at| (at.id().inventory(), at.gvk.version.clone()));
    add(status, kept.chain(unsure).collect());
}

/// What undo leaves in place stays known, so that it is pruned once nobody declares it.
fn keep_left(status: &mut KustomizationStatus, outcome: &Outcome) {
    let left = outcome.left_in_place.iter().map(|at| (at.id().inventory(), at.gvk.version.clone()));
    add(status, left.collect());
}

fn add(status: &mut KustomizationStatus, more: Vec<(String, String)>) {
    let inventory = status.inventory.get_or_insert_default();
    for (id, version) in more {
        if !inventory.entries.0.iter().any(|entry| entry.id == id) {
            inventory.entries.0.push(InventoryEntry { id, version });
        }
    }
    inventory.entries.0.sort_by_cached_key(inventory_place);
}

/// Where Flux lists an object: in the order in which it would apply it (fluxcd/pkg/ssa `ApplyAllStaged`, `ReconcileOrder`).
fn inventory_place(entry: &InventoryEntry) -> impl Ord + use<> {
    let id = ObjectId::from_inventory(&entry.id).ok();
    let (group, kind) = id.as_ref().map_or(("", ""), |id| (id.group.as_str(), id.kind.as_str()));
    let stage = match (group, kind) {
        ("apiextensions.k8s.io", "CustomResourceDefinition") | ("", "Namespace") => 0,
        ("rbac.authorization.k8s.io", "ClusterRole") => 0,
        (_, kind) if kind.ends_with("Class") => 1,
        _ => 2,
    };
    let first = FIRST.iter().position(|first| *first == kind);
    let last = LAST.iter().position(|last| *last == kind).map(|place| FIRST.len() + 1 + place);
    let place = first.or(last).unwrap_or(FIRST.len());
    let name = id.as_ref().map(|id| (id.namespace.clone(), id.name.clone()));
    (stage, place, group.to_owned(), kind.to_owned(), name)
}

/// Flux's event of an apply: one line for each object that was written or deleted.
fn changes(outcome: &Outcome) -> Option<String> {
    let written = outcome.changed().map(|(id, action)| format!("{id} {action}"));
    let pruned = outcome.pruned.iter().map(|id| format!("{id} deleted"));
    let lines: Vec<String> = written.chain(pruned).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn info(facts: &Facts<'_>, message: &str) -> Event {
    Event::info(reason::PROGRESSING, message).at(GROUP, facts.revision)
}

/// Flux's history: results of the same build and reason are counted together, newest first.
fn remember(status: &mut KustomizationStatus, why: &str, facts: &Facts<'_>) {
    let same = |entry: &HistoryEntry| entry.digest == facts.digest && entry.last_reconciled_status == why;
    let known = status.history.iter().position(same).map(|index| status.history.remove(index));
    let first = known.as_ref().map(|entry| entry.first_reconciled.clone());
    let entry = HistoryEntry {
        digest: facts.digest.into(),
        first_reconciled: first.unwrap_or_else(|| facts.moment.now.into()),
        last_reconciled: facts.moment.now.into(),
        last_reconciled_duration: duration::Duration::parse(&go_duration(facts.took)).unwrap_or_default(),
        last_reconciled_status: why.into(),
        total_reconciliations: known.map_or(0, |entry| entry.total_reconciliations) + 1,
        metadata: [("revision".to_owned(), facts.revision.to_owned())].into(),
    };
    status.history.insert(0, entry);
    status.history.truncate(HISTORY);
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use std::sync::Arc;

    fn facts(revision: &str) -> Facts<'_> {
        let moment = Moment { generation: 2, now: Timestamp::UNIX_EPOCH };
        Facts {
            moment,
            is_current: true,
            revision,
            digest: "sha256:abc",
            took: Duration::from_millis(61_500),
            kept: None,
        }
    }

    fn outcome(verdict: Verdict, failures: Vec<Failure>) -> Outcome {
        let landing = Arc::new(Landing::default());
        Outcome {
            verdict,
            landing,
            failures,
            left_in_place: Vec::new(),
            pruned: Vec::new(),
            kept: Vec::new(),
            took: Duration::ZERO,
        }
    }

    #[test]
    fn a_landing_that_was_taken_back_keeps_the_applied_revision() {
        let mut status = KustomizationStatus::default();
        landed(&mut status, &outcome(Verdict::Landed, Vec::new()), false, &facts("main@sha1:a"));
        assert_eq!(status.last_applied_revision.as_deref(), Some("main@sha1:a"));
        assert!(status.conditions.is_true("Ready"));
        let failure = Failure::general(Step::Health, "Deployment/a/b is not healthy", false);
        let events = landed(&mut status, &outcome(Verdict::Undone, vec![failure]), true, &facts("main@sha1:b"));
        assert_eq!(status.last_applied_revision.as_deref(), Some("main@sha1:a"));
        assert_eq!(status.last_attempted_revision.as_deref(), Some("main@sha1:b"));
        let ready = status.conditions.get("Ready").unwrap();
        assert_eq!(ready.reason, "HealthCheckFailed");
        assert!(ready.message.starts_with("held at main@sha1:a"), "{}", ready.message);
        assert!(events[0].is_warning);
        assert_eq!(status.history.len(), 2);
    }

    #[test]
    fn what_was_begun_for_an_earlier_spec_says_nothing_of_the_present_one() {
        let mut status = KustomizationStatus::default();
        let earlier = Facts { is_current: false, ..facts("main@sha1:a") };
        landed(&mut status, &outcome(Verdict::Landed, Vec::new()), false, &earlier);
        assert_eq!(status.observed_generation, KustomizationStatus::default().observed_generation);
        assert_eq!(status.conditions.get("Ready").unwrap().observed_generation, 2);
    }

    #[test]
    fn the_same_result_is_counted_and_only_five_are_kept() {
        let mut status = KustomizationStatus::default();
        for _ in 0..3 {
            remember(&mut status, "ReconciliationSucceeded", &facts("r"));
        }
        assert_eq!(status.history[0].total_reconciliations, 3);
        for number in 0..6 {
            let digest = number.to_string();
            remember(&mut status, "X", &Facts { digest: &digest, ..facts("r") });
        }
        assert_eq!(status.history.len(), 5);
    }

    #[test]
    fn durations_read_as_in_go() {
        let shown = |millis| go_duration(Duration::from_millis(millis));
        assert_eq!([shown(5), shown(1500), shown(61_500), shown(3_600_000)], ["5ms", "1.5s", "1m1.5s", "1h0m0s"]);
    }
}

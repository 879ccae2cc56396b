//! The status of a HelmRelease, as helm-controller writes it.

use helm::Action;
use helm::record::{History, Release};
use sha2::{Digest as _, Sha256};

use super::{Event, Moment};
use crate::api::condition::{DRIFTED, READY, RECONCILING, RELEASED, REMEDIATED, STALLED, Truth, reason};
use crate::api::duration::Duration;
use crate::api::helm::{HelmReleaseStatus, ReleaseAction, Snapshot};
use crate::pipeline::expand::Attempt;

/// API group, which is the prefix of event metadata.
pub const GROUP: &str = "helm.toolkit.fluxcd.io";
/// Snapshots that the history keeps.
const HISTORY: usize = 5;
/// Version of the rules by which snapshots are made.
const SNAPSHOT: &str = "v2";

/// What became of a release.
#[derive(Clone, Debug)]
pub enum Fate {
    /// It is in the cluster as its HelmRelease wants it.
    Released,
    /// It was tried, failed, and was brought back to what it was before.
    TakenBack(String),
    /// It was tried, failed, and stands somewhere in between.
    Stuck(String),
    /// Nothing of it was written.
    Refused(String),
}

/// What is told of a release beside what became of it.
pub struct Facts<'a> {
    /// The revision that was tried.
    pub attempt: &'a Attempt,
    /// The records as they are now.
    pub history: &'a History,
    /// Digest of `commonMetadata`.
    pub common_digest: Option<String>,
    /// Moment of telling.
    pub moment: Moment,
}

/// Tells what became of a release. A release that is as before makes no event.
pub fn told(status: &mut HelmReleaseStatus, fate: &Fate, facts: &Facts<'_>) -> Vec<Event> {
    let Facts { attempt, history, moment, .. } = facts;
    attempted(status, attempt, *moment);
    let action = attempt.action.map(action_of);
    status.history = snapshots(history, status, action);
    status.observed_common_metadata_digest.clone_from(&facts.common_digest);
    status.conditions.remove(RECONCILING);
    status.conditions.remove(DRIFTED);
    let events = match fate {
        Fate::Released => released(status, facts),
        Fate::Refused(why) => failed(status, facts, why, None),
        Fate::TakenBack(why) => failed(status, facts, why, Some(None)),
        Fate::Stuck(why) => failed(status, facts, why, Some(Some(why))),
    };
    status.observed_generation = moment.generation;
    events
}

fn action_of(action: Action) -> ReleaseAction {
    match action {
        Action::Install => ReleaseAction::Install,
        Action::Upgrade => ReleaseAction::Upgrade,
    }
}

/// What fails next is the first failure.
pub fn forget_failures(status: &mut HelmReleaseStatus) {
    (status.failures, status.install_failures, status.upgrade_failures) = (0, 0, 0);
    if status.conditions.get(RELEASED).is_some_and(|released| released.status == Truth::False) {
        status.conditions.remove(RELEASED);
    }
}

/// What was tried; failures of something else are forgotten.
fn attempted(status: &mut HelmReleaseStatus, attempt: &Attempt, moment: Moment) {
    let is_other = status.last_attempted_generation != moment.generation
        || status.last_attempted_revision.as_deref() != Some(&attempt.chart_version)
        || status.last_attempted_config_digest.as_deref() != Some(&attempt.config_digest);
    if is_other {
        forget_failures(status);
    }
    status.storage_namespace = Some(attempt.target.storage.clone());
    status.last_attempted_generation = moment.generation;
    status.last_attempted_revision = Some(attempt.chart_version.clone());
    status.last_attempted_config_digest = Some(attempt.config_digest.clone());
    if let Some(action) = attempt.action {
        status.last_attempted_release_action = Some(action_of(action));
        let took = attempt.took.and_then(|took| Duration::parse(&super::go_duration(took)).ok());
        status.last_attempted_release_action_duration = took;
    }
}

fn released(status: &mut HelmReleaseStatus, facts: &Facts<'_>) -> Vec<Event> {
    let Facts { attempt, moment, .. } = facts;
    status.inventory = Some(attempt.inventory.clone());
    status.conditions.remove(REMEDIATED);
    status.conditions.remove(STALLED);
    let is_first = attempt.action == Some(Action::Install) || (attempt.action.is_none() && attempt.version == 1);
    let (why, word) = match is_first {
        true => (reason::INSTALL_SUCCEEDED, "install"),
        false => (reason::UPGRADE_SUCCEEDED, "upgrade"),
    };
    let message = format!(
        "Helm {word} succeeded for release {} with chart {}",
        full_name(attempt, attempt.version),
        chart(attempt)
    );
    set(status, RELEASED, Truth::True, why, &message, *moment);
    set(status, READY, Truth::True, why, &message, *moment);
    let event = attempt.action.map(|_| about(Event::info(why, message), attempt));
    event.into_iter().collect()
}

/// `undone`: whether it was tried to bring it back, and why that failed.
fn failed(status: &mut HelmReleaseStatus, facts: &Facts<'_>, why: &str, undone: Option<Option<&String>>) -> Vec<Event> {
    let Facts { attempt, moment, .. } = facts;
    let is_install = attempt.action == Some(Action::Install);
    let (word, why_failed) =
        if is_install { ("install", reason::INSTALL_FAILED) } else { ("upgrade", reason::UPGRADE_FAILED) };
    let (namespace, name) = (&attempt.target.namespace, &attempt.target.name);
    let message = format!("Helm {word} failed for release {namespace}/{name} with chart {}: {why}", chart(attempt));
    let is_news = status.conditions.get(RELEASED).is_none_or(|known| known.message != message);
    status.conditions.remove(REMEDIATED);
    set(status, RELEASED, Truth::False, why_failed, &message, *moment);
    set(status, READY, Truth::False, why_failed, &message, *moment);
    if !is_news {
        return Vec::new();
    }
    status.failures += 1;
    *if is_install { &mut status.install_failures } else { &mut status.upgrade_failures } += 1;
    let mut events = vec![about(Event::warning(why_failed, message), attempt)];
    if let Some(trouble) = undone {
        events.push(remediated(status, facts, trouble));
        let count = if is_install { status.install_failures } else { status.upgrade_failures };
        let message = format!("Failed to {word} after {count} attempt(s)");
        set(status, STALLED, Truth::True, "RetriesExceeded", &message, *moment);
    }
    events
}

fn remediated(status: &mut HelmReleaseStatus, facts: &Facts<'_>, trouble: Option<&String>) -> Event {
    let Facts { attempt, moment, .. } = facts;
    let (what, done, failed) = match &attempt.previous {
        Some((version, chart)) => (
            format!("Helm rollback to previous release {} with chart {chart}", full_name(attempt, *version)),
            reason::ROLLBACK_SUCCEEDED,
            reason::ROLLBACK_FAILED,
        ),
        None => (
            format!(
                "Helm uninstall remediation for release {} with chart {}",
                full_name(attempt, attempt.version),
                chart(attempt)
            ),
            reason::UNINSTALL_SUCCEEDED,
            reason::UNINSTALL_FAILED,
        ),
    };
    let (truth, why, message) = match trouble {
        None => (Truth::True, done, format!("{what} succeeded")),
        Some(trouble) => (Truth::False, failed, format!("{what} failed: {trouble}")),
    };
    set(status, REMEDIATED, truth.clone(), why, &message, *moment);
    set(status, READY, Truth::False, why, &message, *moment);
    let event = if truth == Truth::True { Event::info(why, message) } else { Event::warning(why, message) };
    about(event, attempt)
}

/// Nothing was tried, because something that it needs is not there. The event is left out when it says nothing new.
pub fn not_ready(status: &mut HelmReleaseStatus, moment: Moment, why: &str, message: &str) -> Option<Event> {
    let work = match why {
        reason::INSTALL_FAILED => "Running 'install' action",
        reason::UPGRADE_FAILED => "Running 'upgrade' action",
        _ => "Fulfilling prerequisites",
    };
    let is_news = status.conditions.get(READY).is_none_or(|ready| ready.reason != why || ready.message != message);
    moment.retrying(&mut status.conditions, why, message, (reason::PROGRESSING, work));
    match why {
        _ if !is_news => None,
        reason::SOURCE_NOT_READY => None,
        reason::DEPENDENCY_NOT_READY => Some(Event::info(why, message)),
        _ => Some(Event::warning(why, message)),
    }
}

/// The object asks for something that is not supported, or makes no sense.
pub fn stalled(status: &mut HelmReleaseStatus, moment: Moment, why: &str, message: &str) -> Option<Event> {
    let is_news = status.conditions.get(READY).is_none_or(|ready| ready.reason != why || ready.message != message);
    moment.stalled(&mut status.conditions, why, message);
    status.observed_generation = moment.generation;
    is_news.then(|| Event::warning(why, message))
}

/// The event and message of an uninstallation.
pub fn uninstalled(release: &Release, problem: Option<&str>) -> Event {
    let what = format!(
        "release {}/{}.v{} with chart {}@{}",
        release.namespace, release.name, release.version, release.chart.metadata.name, release.chart.metadata.version
    );
    match problem {
        None => Event::info(reason::UNINSTALL_SUCCEEDED, format!("Helm uninstall succeeded for {what}")),
        Some(problem) => {
            Event::warning(reason::UNINSTALL_FAILED, format!("Helm uninstall failed for {what}: {problem}"))
        }
    }
}

fn set(status: &mut HelmReleaseStatus, kind: &str, truth: Truth, why: &str, message: &str, moment: Moment) {
    moment.set(&mut status.conditions, kind, truth, why, message);
}

fn about(event: Event, attempt: &Attempt) -> Event {
    let mut event = event.at(GROUP, &attempt.chart_version);
    event.metadata.insert(format!("{GROUP}/token"), attempt.config_digest.clone());
    if !attempt.app_version.is_empty() {
        event.metadata.insert(format!("{GROUP}/app-version"), attempt.app_version.clone());
    }
    event
}

fn full_name(attempt: &Attempt, version: i64) -> String {
    format!("{}/{}.v{version}", attempt.target.namespace, attempt.target.name)
}

fn chart(attempt: &Attempt) -> String {
    format!("{}@{}", attempt.chart, attempt.chart_version)
}

/// The newest record, and those before it down to the last one that was in the cluster.
fn snapshots(history: &History, status: &HelmReleaseStatus, action: Option<ReleaseAction>) -> Vec<Snapshot> {
    use helm::record::Status::{Deployed, Superseded};
    let newest_first = history.releases().iter().rev();
    let mut snapshots = Vec::new();
    for (index, release) in newest_first.take(HISTORY).enumerate() {
        snapshots.push(snapshot(release, status, action.as_ref(), index == 0));
        if index > 0 && matches!(release.status, Deployed | Superseded) {
            break;
        }
    }
    snapshots
}

/// The action stands with the newest alone: helm-controller reads the others back from their records, which do not hold it.
fn snapshot(
    release: &Release,
    status: &HelmReleaseStatus,
    action: Option<&ReleaseAction>,
    is_newest: bool,
) -> Snapshot {
    let time = |nanoseconds: Option<i128>| {
        nanoseconds.and_then(|at| jiff::Timestamp::from_nanosecond(at).ok()).map(crate::api::duration::Time::from)
    };
    let known = status.history.iter().find(|known| known.version == release.version && known.name == release.name);
    let known_action = known.and_then(|known| known.action.clone());
    let action = action.map(|action| action.as_str().to_owned());
    let metadata = &release.chart.metadata;
    Snapshot {
        api_version: Some(SNAPSHOT.into()),
        digest: digest(release),
        name: release.name.clone(),
        namespace: release.namespace.clone(),
        version: release.version,
        status: release.status.name().into(),
        action: known_action.or(action).filter(|_| is_newest),
        chart_name: metadata.name.clone(),
        chart_version: metadata.version.clone(),
        app_version: Some(metadata.app_version.clone()).filter(|version| !version.is_empty()),
        config_digest: crate::pipeline::expand::config_digest(&release.config),
        first_deployed: time(release.first_deployed).unwrap_or_default(),
        last_deployed: time(release.last_deployed).unwrap_or_default(),
        deleted: time(release.deleted),
        ..Snapshot::default()
    }
}

/// Digest of a record. Flux takes it over another form of the record, so that it would upgrade once after a change of
/// hands.
fn digest(release: &Release) -> String {
    let state = (release.version, release.status.name(), release.last_deployed);
    format!("sha256:{:x}", Sha256::digest(format!("{state:?}\n{}", release.manifest)))
}

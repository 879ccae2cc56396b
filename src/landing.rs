//! The landing engine with a runtime: its clock, its judge of health, and the word of a newer revision.
//!
//! The protocol itself, with its guarantees, is [`apply::landing`]; nothing here decides anything about it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use apply::desired::{Behaviour, Candidate, Desired, Release};
use apply::drift::{self, Drifted};
use apply::stamp::Seal;
use apply::{
    Action, Claims, Clock, Cluster, Context, Failure, Health, Journal, Landing, Others, Outcome, Prepared, Progress,
    Reading, Reference, StoreError, Waited,
};
use futures::future::{BoxFuture, FutureExt as _};
use jiff::Timestamp;
use manifest::Object;
use tokio::time::Instant;

use crate::health;
use crate::unit::Unit;

pub mod place;
mod routed;
mod written;
use routed::Routed;
use written::Written;

/// Ends when a landing need not become healthy any more, because a newer revision is there. May be asked many times.
pub type Superseded = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// Ends when somebody has deleted something of a landing that waits for health, given what it has written.
pub type Lost = Box<dyn Fn(&[Object]) -> BoxFuture<'static, ()> + Send + Sync>;

/// Hears of the steps of a landing.
pub type Told = Box<dyn Fn(&Progress) + Send + Sync>;

/// The identities of workloads that are not the unit's own.
pub type Guests = BTreeMap<Reference, Arc<dyn Cluster>>;

/// Where a unit lands.
pub struct Site {
    /// The cluster, as the unit's identity.
    pub cluster: Arc<dyn Cluster>,
    /// The cluster as whose workloads of others are written that land with the unit's secrets.
    pub guests: Guests,
    /// The unit, for the log.
    pub unit: Unit,
    /// Judges the health of the unit's objects first.
    pub judge: Option<health::Judge>,
    /// Whether something newer has come.
    pub superseded: Superseded,
    /// Whether something is missing that was there.
    pub lost: Lost,
    /// What other units hold.
    pub others: Arc<dyn Others>,
    /// Told of every step that was done.
    pub told: Told,
}

impl Site {
    /// A unit that nothing supersedes or disturbs, beside which nobody holds anything.
    pub fn alone(cluster: Arc<dyn Cluster>, unit: Unit) -> Self {
        Self {
            cluster,
            guests: Guests::new(),
            unit,
            judge: None,
            superseded: never(),
            lost: unseen(),
            others: Arc::new(apply::Alone),
            told: Box::new(|_| {}),
        }
    }
}

/// Nothing newer ever comes.
pub fn never() -> Superseded {
    Box::new(|| futures::future::pending().boxed())
}

/// Nobody looks whether something is missing.
pub fn unseen() -> Lost {
    Box::new(|_| futures::future::pending().boxed())
}

/// The cluster as a unit sees it, but as their own identities what is about workloads of others.
pub fn as_guests(own: &Arc<dyn Cluster>, guests: &Guests) -> Arc<dyn Cluster> {
    if guests.is_empty() { own.clone() } else { Arc::new(Routed::new(own.clone(), guests.clone())) }
}

/// Lands a candidate that is one new object by making it ([`apply::create`]); `None` where it must be proposed.
///
/// # Errors
/// When the journal cannot be written.
pub async fn create(
    candidate: &Candidate,
    behaviour: &Behaviour,
    seal: Seal<'_>,
    journal: &mut Journal,
    site: &Site,
) -> Result<Option<Outcome>, StoreError> {
    let parts = Parts::new(site);
    apply::create(candidate, behaviour, seal, journal, &parts.context()).await
}

/// Lands what was prepared.
///
/// # Errors
/// When the journal cannot be written.
pub async fn land(prepared: Prepared, journal: &mut Journal, site: &Site) -> Result<Outcome, StoreError> {
    let parts = Parts::new(site);
    apply::land(prepared, journal, &parts.context()).await
}

/// Goes on with what the journal holds open.
///
/// # Errors
/// When the journal cannot be written.
pub async fn resume(journal: &mut Journal, site: &Site) -> Result<Option<Outcome>, StoreError> {
    let parts = Parts::new(site);
    apply::resume(journal, &parts.context()).await
}

/// Takes back what the journal holds open and has not become healthy.
///
/// # Errors
/// When the journal cannot be written.
pub async fn retreat(journal: &mut Journal, why: &str, site: &Site) -> Result<Option<Outcome>, StoreError> {
    let parts = Parts::new(site);
    apply::retreat(journal, why, &parts.context()).await
}

/// How an object stands against what landed.
pub enum Held {
    /// As it landed, or left alone on purpose.
    AsLanded,
    /// It differs, and nothing was written.
    Drifted(Box<Drifted>),
    /// It differed, and was put back.
    PutBack(Action),
    /// It could not be looked at or put back.
    Failed(Vec<Failure>),
}

/// Looks at one object that has landed; where it differs, puts it back if it `is_corrected`.
pub async fn hold(desired: Desired, behaviour: &Behaviour, others: Claims, is_corrected: bool, site: &Site) -> Held {
    let drifted = match drift::look(desired, behaviour, others, &site.cluster).await {
        Ok(Some(drifted)) if is_corrected => drifted,
        Ok(Some(drifted)) => return Held::Drifted(Box::new(drifted)),
        Ok(None) => return Held::AsLanded,
        Err(failures) => return Held::Failed(failures),
    };
    let parts = Parts::new(site);
    match drift::put_back(&drifted, &parts.context(), behaviour.timeout).await {
        Ok(()) => Held::PutBack(drifted.action()),
        Err(failure) => Held::Failed(vec![failure]),
    }
}

/// What landed last, wanted again: to put back what others changed. Releases are kept as objects; nothing of them runs.
pub fn again(landed: &Landing) -> Candidate {
    Candidate {
        revision: landed.revision.clone(),
        input: landed.input.clone(),
        read_set: landed.read_set.clone(),
        objects: landed.changes().map(|change| change.desired.clone()).collect(),
        releases: Vec::<Release>::new(),
        removals: Vec::new(),
        failures: Vec::new(),
        foreign: Vec::new(),
        is_landed: true,
    }
}

/// The runtime's side of a landing.
struct Parts<'a> {
    start: Instant,
    site: &'a Site,
    cluster: Arc<Written>,
    tell: Box<dyn Fn(Progress) + Send + Sync + 'a>,
}

impl<'a> Parts<'a> {
    fn new(site: &'a Site) -> Self {
        let unit = site.unit.clone();
        let tell = move |progress: Progress| {
            tracing::debug!(unit = %unit, %progress, "landing");
            (site.told)(&progress);
        };
        let cluster = Arc::new(Written::new(as_guests(&site.cluster, &site.guests)));
        Self { start: Instant::now(), site, cluster, tell: Box::new(tell) }
    }

    fn context(&self) -> Context<'_> {
        let others = &*self.site.others;
        Context { cluster: self.cluster.clone(), clock: self, health: self, others, progress: &*self.tell }
    }

    /// Whether an object was written by this landing, and is of a kind whose status nobody writes: being accepted is all
    /// its health.
    fn is_plain(&self, at: &Reference, rules: &health::Rules) -> bool {
        let is_kind = matches!(at.gvk.group.as_str(), "networking.k8s.io" | "rbac.authorization.k8s.io")
            || (at.gvk.group.is_empty() && !matches!(at.gvk.kind.as_str(), "Pod" | "PersistentVolumeClaim"));
        is_kind && self.cluster.answer(at).is_some_and(|object| rules.judge(&object, Timestamp::now()).is_current())
    }
}

impl Clock for Parts<'_> {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(duration).boxed()
    }
}

impl Health for Parts<'_> {
    fn wait<'b>(&'b self, targets: &'b [Reference], reading: Reading, timeout: Duration) -> BoxFuture<'b, Waited> {
        async move {
            let first = self.site.judge.clone().filter(|_| reading == Reading::Unit);
            let rules =
                health::Rules { reading: rules_of(reading), fail_fast: true, judge: first, ..health::Rules::default() };
            let targets: Vec<Reference> = targets.iter().filter(|at| !self.is_plain(at, &rules)).cloned().collect();
            let cluster = self.cluster.as_ref();
            let deadline = tokio::time::sleep(timeout);
            // What a barrier or a hook waits for is looked at by itself.
            let lost = if reading == Reading::Unit { &self.site.lost } else { &unseen() };
            let lost = lost(&cluster.answers());
            let wait = place::aside(async {
                tokio::select! {
                    outcome = health::wait(cluster, &targets, &rules, deadline, &|_, _| {}) => Ok(outcome),
                    () = (self.site.superseded)() => Err(Waited::Superseded),
                    () = lost => Err(Waited::Disturbed),
                }
            });
            match wait.await {
                Ok(outcome) => judge(cluster, outcome, timeout).await,
                Err(waited) => waited,
            }
        }
        .boxed()
    }
}

fn rules_of(reading: Reading) -> health::Reading {
    match reading {
        Reading::Unit => health::Reading::Flux,
        Reading::Release => health::Reading::Plain,
        Reading::ReleaseJobs => health::Reading::HelmJobs,
        Reading::Hook => health::Reading::HelmHooks,
        Reading::Served => health::Reading::Served,
    }
}

/// What failed, and what was only slow: a rollout whose pods cannot run has failed, however long its deadline still is.
async fn judge(cluster: &dyn Cluster, outcome: health::Outcome, awaited: Duration) -> Waited {
    if outcome.is_healthy() {
        return Waited::Healthy;
    }
    let (mut failed, mut pending) = (Vec::new(), Vec::new());
    for (at, health) in outcome.unhealthy() {
        let trouble = if health.is_failed() { None } else { health::trouble_of_pods(cluster, at, awaited).await };
        match trouble {
            Some(trouble) => failed.push((at.id(), trouble)),
            None if health.is_failed() => failed.push((at.id(), described(health))),
            None => pending.push((at.id(), described(health))),
        }
    }
    Waited::Unhealthy { failed, pending }
}

fn described(health: &health::Health) -> String {
    format!("{}: {}", health.name(), health.message())
}

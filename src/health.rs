//! Health: what an object's status says, and waiting until all of a set are as they should be.
//!
//! What an object's status says is decided as kstatus decides it (`rules`; fluxcd/cli-utils 1.2.2, which Flux 2.9 and
//! Helm 4 use), so that what was healthy under Flux is healthy here.
//!
//! # Flow
//! One watch for each kind and namespace among the targets; every event is judged, and the wait ends with the event that
//! decides it. Nothing is polled. StatefulSets and ReplicaSets that are in progress are judged by their pods, too.
//!
//! # Assumptions
//! A target that cannot be read (kind not served, forbidden) is [`Health::Unknown`] until it can; only the deadline ends
//! that.

mod expressions;
mod pods;
mod rules;
mod targets;

pub use expressions::judge;
pub use pods::trouble_of_pods;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use apply::{Answer, Call, Cluster, Reference};
use futures::future::FutureExt as _;
use futures::stream::{self, StreamExt as _, select_all};
use jiff::Timestamp;
use manifest::{Object, ObjectId};

use targets::Followed;

/// What an object's status says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// As its spec wants it.
    Current {
        /// In a few words, such as `Deployment is available. Replicas: 2`.
        message: String,
    },
    /// On its way.
    InProgress {
        /// What is missing.
        message: String,
    },
    /// It will not become healthy by itself.
    Failed {
        /// Why.
        message: String,
    },
    /// Its deletion has begun.
    Terminating,
    /// It is not there.
    NotFound,
    /// It cannot be read, or its status has an unknown form.
    Unknown {
        /// Why.
        message: String,
    },
}

impl Health {
    /// The name of the state, as Flux's messages have it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Current { .. } => "Current",
            Self::InProgress { .. } => "InProgress",
            Self::Failed { .. } => "Failed",
            Self::Terminating => "Terminating",
            Self::NotFound => "NotFound",
            Self::Unknown { .. } => "Unknown",
        }
    }

    /// What is said beyond the name.
    pub fn message(&self) -> &str {
        match self {
            Self::Current { message }
            | Self::InProgress { message }
            | Self::Failed { message }
            | Self::Unknown { message } => message,
            Self::Terminating => "Resource scheduled for deletion",
            Self::NotFound => "Resource not found",
        }
    }

    /// Whether it is as its spec wants it.
    pub fn is_current(&self) -> bool {
        matches!(self, Self::Current { .. })
    }

    /// Whether it will not become healthy by itself.
    pub fn is_failed(&self) -> bool {
        matches!(self, Self::Failed { .. })
    }
}

/// Whose rules judge Jobs and pods; everything else is judged alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// kustomize-controller's: a Job must complete, or be suspended.
    #[default]
    Flux,
    /// kstatus as it is, and Helm's `--wait`: a Job need only have started.
    Plain,
    /// Helm's `--wait-for-jobs`: a Job must complete.
    HelmJobs,
    /// Helm's hooks: Jobs must complete, pods must succeed, all else need only be there.
    HelmHooks,
    /// An APIService must be available; kstatus has no rule for it.
    Served,
}

/// Judges an object before the rules do, such as a CEL expression of a Kustomization; `None` leaves it to them.
pub type Judge = Arc<dyn Fn(&Object) -> Option<Health> + Send + Sync>;

/// What an object's status says at `now`.
pub fn status(object: &Object, reading: Reading, now: Timestamp) -> Health {
    rules::judge(object, reading, now).unwrap_or_else(|message| Health::Unknown { message })
}

/// How to wait.
#[derive(Clone, Default)]
pub struct Rules {
    /// Whose rules judge Jobs and pods.
    pub reading: Reading,
    /// Ends with the first failure, not when all have ended.
    pub fail_fast: bool,
    /// Jobs that delete themselves when they are done: their absence is success.
    pub vanishing: Vec<ObjectId>,
    /// Judges first.
    pub judge: Option<Judge>,
}

/// How a wait ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Every target, as it was seen last.
    pub states: BTreeMap<Reference, Health>,
    /// The deadline ended it.
    pub timed_out: bool,
    vanishing: Vec<ObjectId>,
}

impl Outcome {
    /// Whether all are as they should be.
    pub fn is_healthy(&self) -> bool {
        self.unhealthy().next().is_none()
    }

    /// Those that are not as they should be.
    pub fn unhealthy(&self) -> impl Iterator<Item = (&Reference, &Health)> {
        self.states.iter().filter(|(at, health)| !counts_as_current(at, health, &self.vanishing))
    }

    /// The message of kustomize-controller's Health condition: which objects failed, or were in the way of time.
    pub fn message(&self) -> String {
        let listed = self.unhealthy().filter(|(_, health)| self.timed_out || health.is_failed());
        let texts: Vec<String> = listed.map(|(at, health)| line(at, health)).collect();
        let head = if self.timed_out { "timeout waiting for" } else { "failed early due to stalled resources" };
        format!("{head}: [{}]", texts.join(", "))
    }
}

fn line(at: &Reference, health: &Health) -> String {
    match health {
        Health::Unknown { message } => format!("{} status: 'Unknown': {message}", at.id()),
        other => format!("{} status: '{}'", at.id(), other.name()),
    }
}

fn counts_as_current(at: &Reference, health: &Health, vanishing: &[ObjectId]) -> bool {
    health.is_current() || (*health == Health::NotFound && vanishing.contains(&at.id()))
}

/// Waits until all `targets` are current, one has failed (as `rules` say), or `deadline` ends. `progress` is told of
/// every change of a target's state.
pub async fn wait(
    cluster: &dyn Cluster,
    targets: &[Reference],
    rules: &Rules,
    deadline: impl Future<Output = ()> + Send,
    progress: &(dyn Fn(&Reference, &Health) + Send + Sync),
) -> Outcome {
    let mut waiting = Waiting { states: BTreeMap::new(), targets, rules, progress };
    waiting.read_plain(cluster).await;
    let mut followed = Followed::new(targets.iter().filter(|at| !waiting.states.contains_key(*at)), rules);
    let watches = followed.selections().into_iter().enumerate();
    let mut events =
        select_all(watches.map(|(index, selection)| cluster.watch(selection).map(move |event| (index, event))));
    let mut deadline = pin!(deadline);
    while !waiting.is_decided() {
        let soon = followed.next_change(Timestamp::now());
        tokio::select! {
            biased;
            () = &mut deadline => {
                waiting.read_undecided(cluster).await;
                break;
            }
            Some((index, event)) = events.next() => waiting.see(followed.take(index, event, Timestamp::now())),
            () = tokio::time::sleep(soon.unwrap_or_default()), if soon.is_some() => {
                waiting.see(followed.judge_all(Timestamp::now()));
            }
        }
    }
    let timed_out = !waiting.is_decided();
    waiting.outcome(timed_out)
}

/// What is known so far.
struct Waiting<'a> {
    states: BTreeMap<Reference, Health>,
    targets: &'a [Reference],
    rules: &'a Rules,
    progress: &'a (dyn Fn(&Reference, &Health) + Send + Sync),
}

impl Waiting<'_> {
    /// Reads, once, what only has to be there: a watch would bring all its siblings with their data.
    async fn read_plain(&mut self, cluster: &dyn Cluster) {
        let plain = self
            .targets
            .iter()
            .filter(|at| at.gvk.group.is_empty() && matches!(at.gvk.kind.as_str(), "ConfigMap" | "Secret"));
        for seen in self.read(cluster, plain.collect()).await {
            self.see(vec![seen]);
        }
    }

    /// Reads, in the end, what is not known to be as it should: a watch may have fallen silent, and nothing is taken back for
    /// that.
    async fn read_undecided(&mut self, cluster: &dyn Cluster) {
        let is_open =
            |at: &&Reference| self.states.get(at).is_none_or(|health| !health.is_current() && !health.is_failed());
        let open = self.targets.iter().filter(is_open).collect();
        let current = self.read(cluster, open).await.into_iter().filter(|(_, health)| health.is_current());
        self.see(current.collect());
    }

    async fn read(&self, cluster: &dyn Cluster, targets: Vec<&Reference>) -> Vec<(Reference, Health)> {
        let reads: Vec<_> = targets
            .into_iter()
            .map(|at| async { (at.clone(), cluster.call(Call::Get(at.clone())).await) }.boxed())
            .collect();
        let answers: Vec<_> = stream::iter(reads).buffer_unordered(READS_AT_ONCE).collect().await;
        let health = |(at, answer)| match answer {
            Ok(Answer::Object(Some(object))) => Some((at, self.rules.judge(&object, Timestamp::now()))),
            _ => None,
        };
        answers.into_iter().filter_map(health).collect()
    }

    fn see(&mut self, seen: Vec<(Reference, Health)>) {
        for (at, health) in seen {
            let before = self.states.get(&at);
            // A watch that stumbles does not make a known state unknown.
            let stumbled = matches!(health, Health::Unknown { .. }) && before.is_some();
            if !stumbled && before != Some(&health) {
                (self.progress)(&at, &health);
                self.states.insert(at, health);
            }
        }
    }

    fn is_decided(&self) -> bool {
        let failed = self.states.values().any(Health::is_failed);
        let ended = |(at, health): (&Reference, &Health)| {
            health.is_failed() || counts_as_current(at, health, &self.rules.vanishing)
        };
        (failed && self.rules.fail_fast)
            || (self.targets.iter().all(|at| self.states.contains_key(at)) && self.states.iter().all(ended))
    }

    fn outcome(mut self, timed_out: bool) -> Outcome {
        for at in self.targets {
            let unseen = || Health::Unknown { message: "nothing was heard of it".into() };
            self.states.entry(at.clone()).or_insert_with(unseen);
        }
        Outcome { states: self.states, timed_out, vanishing: self.rules.vanishing.clone() }
    }
}

/// Requests at once for what only has to be there.
const READS_AT_ONCE: usize = 32;

impl Rules {
    /// What an object's status says by these rules.
    pub fn judge(&self, object: &Object, now: Timestamp) -> Health {
        let first = self.judge.as_ref().and_then(|judge| judge(object));
        first.unwrap_or_else(|| status(object, self.reading, now))
    }
}

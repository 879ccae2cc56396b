//! A Kubernetes API in memory: the demo and the crash tests run on it.
//!
//! It answers as a kube-apiserver 1.36 does: server-side apply with real `managedFields`, resource versions, generations,
//! finalizers, owner references, namespaces, custom resource definitions, refusals in the server's words.
//! `tests/conformance.rs` of the root package sends the same calls here and to a real server.
//!
//! # Guarantees
//! - A request is done when its future is first polled, whole or not at all; a future that is dropped unpolled did nothing.
//! - The same seed, clock and calls give the same answers.
//! - Memory is bounded by what is stored, and a log of some thousand changes that all watches share.
//!
//! # Differences from a real server
//! - Built-in kinds get the defaults in `defaults` and the validation in `check`; a real server has more of both.
//! - Garbage collection, namespaces and definitions settle before the call returns.
//! - CEL rules, admission webhooks, quota on more than the number of objects, authorization, and conversion between versions are not there.

mod check;
mod collect;
mod defaults;
mod fields;
mod kinds;
mod managed;
mod merge;
mod pods;
mod quota;
mod selector;
mod shape;
mod simulate;
mod store;
mod stored;
mod watch;
mod words;
mod write;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt as _};
use jiff::{SignedDuration, Timestamp};
use manifest::Object;
use serde_json::{Value, json};

use crate::{Answer, Call, Cluster, ClusterError, Selection, WatchEvent};
use simulate::Controllers;
use store::State;
use watch::Watch;

pub use watch::Gap;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Sees every request with its user (`None` for the cluster's own) and its answer.
pub type Observer = Arc<dyn Fn(Option<&str>, &Call, &Result<Answer, ClusterError>) + Send + Sync>;

/// Controllers that make workloads ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Simulation {
    /// How many steps ([`MemoryCluster::advance`]) after its write a workload becomes ready; 0 is at once.
    pub steps: u32,
}

/// How a cluster in memory starts.
#[derive(Clone)]
pub struct Settings {
    /// Where times come from.
    pub clock: Clock,
    /// UIDs and generated names follow from it.
    pub seed: u64,
    /// Without it, nobody writes the status of a workload.
    pub simulation: Option<Simulation>,
    /// Sees every request.
    pub observer: Option<Observer>,
}

impl Default for Settings {
    /// A clock that stands at the beginning of 2026, and controllers that make everything ready at once.
    fn default() -> Self {
        let start = Timestamp::from_second(1_767_225_600).unwrap_or_default();
        Self { clock: Arc::new(move || start), seed: 0, simulation: Some(Simulation::default()), observer: None }
    }
}

/// The version of Kubernetes that it answers as.
const VERSION: &str = "v1.36.0";

/// A Kubernetes API in memory. Clones and impersonated forms are the same cluster.
#[derive(Clone)]
pub struct MemoryCluster {
    state: Arc<Mutex<State>>,
    observer: Option<Observer>,
    user: Option<Arc<str>>,
}

impl MemoryCluster {
    /// An empty cluster: the namespaces `default`, `kube-system` and `kube-public`, nothing else.
    pub fn new(settings: Settings) -> Self {
        let controllers = settings.simulation.map(Controllers::new);
        let mut state = State::new(settings.seed, settings.clock, controllers);
        for name in ["default", "kube-system", "kube-public"] {
            let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
            if let Ok(object) = Object::new(namespace) {
                let manager = "kube-apiserver".into();
                // Nothing in an empty cluster refuses a namespace.
                let _ = state.answer(&Call::Create { object, manager, dry_run: false, subresource: None });
            }
        }
        state.settle();
        Self { state: Arc::new(Mutex::new(state)), observer: settings.observer, user: None }
    }

    /// Lets virtual time run ahead of the clock, and the controllers do one step.
    pub fn advance(&self, by: SignedDuration) {
        let mut state = self.lock();
        let was_silent = state.is_silent();
        state.advance(by);
        if was_silent {
            state.wake();
        }
        state.step();
        state.settle();
    }

    /// Something happens to all watches.
    pub fn disturb(&self, gap: Gap) {
        self.lock().disturb(gap);
    }

    /// Whether watches are in a [`Gap::Silence`].
    pub fn is_silent(&self) -> bool {
        self.lock().is_silent()
    }

    /// Everything that must outlive the process. It holds the bytes of Secrets.
    pub fn snapshot(&self) -> Value {
        self.lock().snapshot()
    }

    /// The revision of the last change; a snapshot of the same revision is the same.
    pub fn revision(&self) -> u64 {
        self.lock().revision()
    }

    /// Takes the place of everything that is stored; watches start anew.
    ///
    /// # Errors
    /// When `snapshot` is none; nothing has changed then.
    pub fn restore(&self, snapshot: &Value) -> Result<(), SnapshotError> {
        let mut state = self.lock();
        state.restore(snapshot).ok_or(SnapshotError)?;
        state.settle();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, call: &Call) -> Result<Answer, ClusterError> {
        let mut state = self.lock();
        let answer = state.answer(call);
        state.settle();
        answer
    }
}

impl Cluster for MemoryCluster {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, ClusterError>> {
        Box::pin(async move {
            let answer = self.send(&call);
            if let Some(observer) = &self.observer {
                observer(self.user.as_deref(), &call, &answer);
            }
            answer
        })
    }

    fn watch(&self, selection: Selection) -> BoxStream<'static, Result<WatchEvent, ClusterError>> {
        Watch::new(self.state.clone(), selection).boxed()
    }

    fn impersonate(&self, user: &str) -> Arc<dyn Cluster> {
        Arc::new(Self { user: Some(user.into()), ..self.clone() })
    }
}

/// A value that is no snapshot of a cluster in memory.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("not a snapshot of a cluster in memory")]
pub struct SnapshotError;

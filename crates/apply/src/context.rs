//! What a landing needs besides the cluster: time, health, and somebody to tell how far it is.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use manifest::{Object, ObjectId};

use crate::cluster::{Call, Cluster, ClusterError, Reference};
use crate::desired::Reading;
use crate::journal::Phase;
use crate::plan::Action;
use crate::share::Others;

/// Time, given by the caller so that a test can have its own.
pub trait Clock: Send + Sync {
    /// Time since some fixed moment.
    fn now(&self) -> Duration;

    /// Ends after `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// What became of a wait for health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waited {
    /// All are as they should be.
    Healthy,
    /// Some failed for good, or did not become healthy in time.
    Unhealthy {
        /// Those that failed, each with the reason.
        failed: Vec<(ObjectId, String)>,
        /// Those that were still making progress when time ran out.
        pending: Vec<(ObjectId, String)>,
    },
    /// A newer revision is there: this landing need not become healthy any more.
    Superseded,
    /// Somebody may have deleted something of the landing: it is looked at before it is awaited further.
    Disturbed,
}

/// Judge of objects' health.
pub trait Health: Send + Sync {
    /// Waits until all `targets` are healthy, one has failed, or `timeout` is over.
    fn wait<'a>(&'a self, targets: &'a [Reference], reading: Reading, timeout: Duration) -> BoxFuture<'a, Waited>;
}

/// How far a landing is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A phase was entered.
    Phase(Phase),
    /// An object was written.
    Wrote(ObjectId, Action),
    /// A Helm hook has run.
    Ran(ObjectId),
    /// An object that nobody declares any more was deleted.
    Pruned(ObjectId),
    /// An object was brought back to last-good.
    Restored(ObjectId),
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Phase(phase) => write!(f, "phase {phase:?}"),
            Self::Wrote(id, action) => write!(f, "{id} {action}"),
            Self::Ran(id) => write!(f, "{id} ran"),
            Self::Pruned(id) => write!(f, "{id} deleted"),
            Self::Restored(id) => write!(f, "{id} restored"),
        }
    }
}

/// What a landing works with.
pub struct Context<'a> {
    /// Where objects are written, as the unit's identity.
    pub cluster: Arc<dyn Cluster>,
    /// Time.
    pub clock: &'a dyn Clock,
    /// Health.
    pub health: &'a dyn Health,
    /// What other units hold.
    pub others: &'a dyn Others,
    /// Told of every step that was done.
    pub progress: &'a (dyn Fn(Progress) + Send + Sync),
}

/// Pause before the first repetition of a request; each further one waits twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause between two repetitions.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl Context<'_> {
    /// Sends a request, again after failures that may pass, until `deadline` on the context's clock. Apply and the
    /// guarded forms of update and delete may be repeated safely although an earlier one was done.
    pub(crate) async fn send(&self, call: Call, deadline: Duration) -> Result<Option<Object>, ClusterError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.cluster.call(call.clone()).await {
                Ok(crate::cluster::Answer::Object(object)) => return Ok(object),
                Ok(_) => return Ok(None),
                Err(error) => error,
            };
            let wait = match &error {
                ClusterError::Unavailable { retry_after: Some(wait), .. } => (*wait).max(pause),
                _ => pause,
            };
            // What a guarded write was made from has changed: only its caller can make it anew.
            let is_stale = matches!(error, ClusterError::Conflict { .. }) && !matches!(call, Call::Apply { .. });
            let may_pass = error.is_transient() && !is_stale && !matches!(error, ClusterError::Fenced);
            if !may_pass || self.clock.now() + wait > deadline {
                return Err(error);
            }
            self.clock.sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Waits for health whatever others do meanwhile: nothing of the landing is made again in the middle of a step.
    pub(crate) async fn wait(&self, targets: &[Reference], reading: Reading, timeout: Duration) -> Waited {
        let end = self.clock.now() + timeout;
        loop {
            let waited = self.health.wait(targets, reading, end.saturating_sub(self.clock.now())).await;
            if waited != Waited::Disturbed {
                return waited;
            }
        }
    }

    /// Waits a moment before something is tried once more.
    pub(crate) async fn pause(&self) {
        self.clock.sleep(FIRST_PAUSE).await;
    }

    /// Reads one object as [`Context::send`] does.
    pub(crate) async fn read(&self, at: &Reference, deadline: Duration) -> Result<Option<Object>, ClusterError> {
        self.send(Call::Get(at.clone()), deadline).await
    }

    /// Tells progress.
    pub(crate) fn tell(&self, progress: Progress) {
        (self.progress)(progress);
    }
}

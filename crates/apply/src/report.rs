//! What went wrong, gathered: every failure of a step, not the first.

use std::fmt;

use manifest::{Object, ObjectId, Origin};
use serde::{Deserialize, Serialize};

use crate::cluster::ClusterError;

/// The step of a landing in which something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Resolving an ExternalSecret, rendering a HelmRelease.
    Expand,
    /// Comparing with what is live.
    Plan,
    /// The dry run of all objects.
    Prepare,
    /// Writing the journal.
    Journal,
    /// Writing the objects.
    Commit,
    /// Waiting until they are healthy.
    Health,
    /// Deleting what is stale.
    Prune,
    /// Bringing back last-good.
    Undo,
    /// Waiting for what another unit makes; told only when nothing else is wrong.
    Depend,
}

/// One thing that failed, and where it was declared. Never a value of an object.
#[derive(Clone, Debug)]
pub struct Failure {
    /// In which step.
    pub step: Step,
    /// Which object, when it is about one.
    pub id: Option<ObjectId>,
    /// Where that object was declared.
    pub origin: Option<Origin>,
    /// What failed, without values.
    pub message: String,
    /// Whether it may pass later although no input changes.
    pub transient: bool,
}

impl Failure {
    /// About `object`.
    pub fn about(step: Step, object: &Object, message: impl Into<String>) -> Self {
        Self {
            step,
            id: Some(object.id()),
            origin: object.origin().cloned(),
            message: message.into(),
            transient: false,
        }
    }

    /// What the cluster said about `object`. Rights are granted without anybody telling, as quotas get room.
    pub fn refused(step: Step, object: &Object, error: &ClusterError) -> Self {
        let transient = error.is_transient() || matches!(error, ClusterError::Forbidden { .. });
        Self { transient, ..Self::about(step, object, error.to_string()) }
    }

    /// About no object of the unit.
    pub fn general(step: Step, message: impl Into<String>, transient: bool) -> Self {
        Self { step, id: None, origin: None, message: message.into(), transient }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        if let Some(id) = self.id.as_ref().filter(|id| !self.message.starts_with(&id.to_string())) {
            write!(f, "{id}: ")?;
        }
        f.write_str(&self.message)
    }
}

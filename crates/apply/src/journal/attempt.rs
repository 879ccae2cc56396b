//! A landing that failed, and why: what is not tried again as it was.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::codec::StoredFailure;
use crate::plan::Landing;
use crate::report::{Failure, Step};

/// A landing that failed, or of which parcels did: not to be tried again before an input changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its revision.
    pub revision: String,
    /// Names of the parcels that are held; none when all of it was taken back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<String>,
    /// What it had read.
    pub read_set: serde_json::Value,
    /// The step that failed first.
    pub step: Step,
    /// Everything that failed, without values.
    pub failures: Vec<String>,
    /// Whether it may pass later although no input changes.
    pub transient: bool,
    /// Parcels that failed when they were written, for good.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<Failed>,
}

/// A parcel that failed when it was written, and would fail again as it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failed {
    /// A seal over what it wanted.
    pub(crate) wanted: String,
    failures: Vec<StoredFailure>,
}

impl Failed {
    /// Why it failed.
    pub(crate) fn failures(&self) -> Vec<Failure> {
        self.failures.iter().filter_map(|failure| failure.clone().try_into().ok()).collect()
    }

    /// Those of a landing. What was refused before it was written is tried anew, which writes nothing; and a parcel of which
    /// only something stale could not be deleted has landed.
    fn of(landing: &Landing, failures: &[Failure]) -> Vec<Self> {
        let mut failed: BTreeMap<usize, Vec<StoredFailure>> = BTreeMap::new();
        let is_outside = |failure: &Failure| failure.step < Step::Commit || failure.step == Step::Prune;
        let is_final = |failure: &&Failure| !failure.transient && !is_outside(failure);
        for failure in failures.iter().filter(is_final) {
            if let Some(number) = failure.id.as_ref().and_then(|id| landing.parcels.number_of(id)) {
                failed.entry(number).or_default().push(failure.into());
            }
        }
        let wanted = |number: usize| landing.wants.get(number).cloned();
        failed.into_iter().filter_map(|(number, failures)| Some(Self { wanted: wanted(number)?, failures })).collect()
    }
}

impl Attempt {
    /// What is kept of a landing of which the parcels `held` failed.
    pub(super) fn of(landing: &Landing, held: &BTreeSet<usize>, failures: &[Failure]) -> Self {
        let is_whole = held.len() == landing.parcels.count();
        Self {
            revision: landing.revision.clone(),
            held: if is_whole { Vec::new() } else { landing.parcels.names(held) },
            read_set: landing.read_set.clone(),
            step: failures.first().map_or(Step::Undo, |failure| failure.step),
            failures: failures.iter().map(ToString::to_string).collect(),
            transient: landing.may_pass(failures),
            failed: Failed::of(landing, failures),
        }
    }

    /// Everything that failed, for whoever goes on after a crash.
    pub(crate) fn causes(&self) -> Vec<Failure> {
        self.failures.iter().map(|cause| Failure::general(self.step, cause, self.transient)).collect()
    }
}

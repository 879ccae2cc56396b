//! The revisions of one release, and what follows from them.

use super::{Release, Status};

/// The revisions of a release that the cluster holds records of.
#[derive(Clone, Debug, Default)]
pub struct History {
    oldest_first: Vec<Release>,
}

impl History {
    /// Takes the revisions of one release, in any order.
    pub fn new(releases: impl IntoIterator<Item = Release>) -> Self {
        let mut oldest_first: Vec<Release> = releases.into_iter().collect();
        oldest_first.sort_by_key(|release| release.version);
        Self { oldest_first }
    }

    /// All of them, the oldest first.
    pub fn releases(&self) -> &[Release] {
        &self.oldest_first
    }

    /// The latest one, whatever became of it.
    pub fn last(&self) -> Option<&Release> {
        self.oldest_first.last()
    }

    /// The latest one that is in the cluster.
    pub fn deployed(&self) -> Option<&Release> {
        self.oldest_first.iter().rev().find(|release| release.status == Status::Deployed)
    }

    /// The one that an upgrade starts from: what is in the cluster or, if nothing is, the last one when it failed or
    /// was superseded. `None`: only an installation can follow.
    pub fn current(&self) -> Option<&Release> {
        let stranded = |release: &&Release| matches!(release.status, Status::Failed | Status::Superseded);
        self.deployed().or_else(|| self.last().filter(stranded))
    }

    /// The revision that the next operation gets.
    pub fn next_revision(&self) -> i64 {
        self.last().map_or(1, |last| last.version.saturating_add(1))
    }

    /// The records to delete, oldest first, so that with a new one there are at most `limit`; 0 keeps all. What is in
    /// the cluster stays, so that there may be one too many.
    pub fn excess(&self, limit: usize) -> impl Iterator<Item = &Release> {
        let kept = self.deployed().map(|deployed| deployed.version);
        let count = limit.checked_sub(1).map_or(0, |others| self.oldest_first.len().saturating_sub(others));
        self.oldest_first.iter().filter(move |release| Some(release.version) != kept).take(count)
    }
}

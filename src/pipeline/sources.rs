//! What was fetched: the newest revision of every source, for those who build from it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::artifact::Verified;
use crate::source::helm::Index;
use crate::unit::Thing;

/// Name of a source: kind, namespace, name.
pub type SourceName = (String, String, String);

/// A revision of a source that holds files.
#[derive(Clone)]
pub struct Fetched {
    /// Which source.
    pub name: SourceName,
    /// Revision as Flux writes it.
    pub revision: String,
    /// Digest of the artifact.
    pub digest: String,
    /// The files.
    pub verified: Verified,
}

impl Fetched {
    /// What a read-set calls it.
    pub fn thing(&self) -> Thing {
        let (kind, namespace, name) = self.name.clone();
        Thing::Artifact { kind, namespace, name }
    }
}

/// The index of a Helm repository.
#[derive(Clone)]
pub struct Charts {
    /// Revision as Flux writes it: the digest of the index.
    pub revision: String,
    /// The index, and how charts of it are downloaded.
    pub index: Arc<Index>,
}

/// The newest revision of every source.
#[derive(Default)]
pub struct Sources {
    files: RwLock<HashMap<SourceName, Fetched>>,
    charts: RwLock<HashMap<SourceName, Charts>>,
}

impl Sources {
    /// The newest revision of a source with files.
    pub fn files(&self, name: &SourceName) -> Option<Fetched> {
        self.files.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Puts a revision.
    pub fn put_files(&self, fetched: Fetched) {
        self.files.write().unwrap_or_else(PoisonError::into_inner).insert(fetched.name.clone(), fetched);
    }

    /// The newest index of a Helm repository.
    pub fn charts(&self, name: &SourceName) -> Option<Charts> {
        self.charts.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Puts an index.
    pub fn put_charts(&self, name: SourceName, charts: Charts) {
        self.charts.write().unwrap_or_else(PoisonError::into_inner).insert(name, charts);
    }

    /// The version of a source, whatever it holds: what a read-set notes of it.
    pub fn version(&self, name: &SourceName) -> Option<String> {
        let files = self.files(name).map(|fetched| fetched.digest);
        files.or_else(|| self.charts(name).map(|charts| charts.revision))
    }

    /// Forgets a source that is gone.
    pub fn forget(&self, name: &SourceName) {
        self.files.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.charts.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

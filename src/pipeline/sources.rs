//! What was fetched: the newest revision of every source, for those who build from it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use apply::Reference;
use manifest::Object;

use super::World;
use super::compile::values_of;
use crate::api::condition::reason;
use crate::artifact::Verified;
use crate::redact::{Live, Redactor};
use crate::source::helm::{Index, Repository};
use crate::unit::Thing;

pub mod git;
pub mod helm;

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
    /// Keeps the credentials known to the redactor.
    pub secrets: Vec<Live>,
}

impl Fetched {
    /// What a read-set calls it.
    pub fn thing(&self) -> Thing {
        artifact(&self.name)
    }
}

/// What a read-set calls the artifact of a source.
pub fn artifact(name: &SourceName) -> Thing {
    let (kind, namespace, name) = name.clone();
    Thing::Artifact { kind, namespace, name }
}

/// The index of a Helm repository.
#[derive(Clone)]
pub struct Charts {
    /// Revision as Flux writes it: the digest of the index.
    pub revision: String,
    /// The index.
    pub index: Arc<Index>,
    /// Downloads charts.
    pub client: reqwest::Client,
    /// Where charts are downloaded from, and as whom.
    pub repository: Arc<Repository>,
    /// Keeps the credentials known to the redactor.
    pub secrets: Vec<Live>,
}

/// Why a source was not fetched, as source-controller tells it.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Reason of the condition.
    pub why: &'static str,
    /// Its message: the error with its causes.
    pub message: String,
}

impl Failure {
    fn new(why: &'static str, error: &dyn std::error::Error) -> Self {
        let message = std::iter::successors(error.source(), |error| error.source())
            .fold(error.to_string(), |message, cause| format!("{message}: {cause}"));
        Self { why, message }
    }
}

/// Objects that count before those of the cluster.
pub type Known<'a> = &'a (dyn Fn(&Reference) -> Option<Object> + Send + Sync);

/// No object counts before those of the cluster.
pub fn nothing_known(_: &Reference) -> Option<Object> {
    None
}

/// A Secret that a source names.
struct Account {
    /// `namespace/name`.
    name: String,
    values: Vec<(String, Vec<u8>)>,
}

impl Account {
    fn value(&self, key: &str) -> Option<&[u8]> {
        self.values.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_slice())
    }

    fn register(&self, redactor: &Redactor) -> Live {
        redactor.register(self.values.iter().map(|(_, value)| value.as_slice()))
    }
}

async fn secret(namespace: &str, name: &str, world: &World, known: Known<'_>) -> Result<Account, Failure> {
    let at = Reference::new("v1", "Secret", namespace, name);
    let found = match known(&at) {
        Some(object) => Some(object),
        None => {
            let read = world.cluster.get(&at).await;
            read.map_err(|error| Failure::new(reason::AUTHENTICATION_FAILED, &error))?
        }
    };
    let shown = format!("{namespace}/{name}");
    let missing = || Failure {
        why: reason::AUTHENTICATION_FAILED,
        message: format!("failed to get secret '{shown}': secrets \"{name}\" not found"),
    };
    let secret = found.ok_or_else(missing)?;
    Ok(Account { name: shown, values: values_of(&secret) })
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

//! What the journal tells, read and never written.

use std::sync::Arc;

use apply::journal::{Entry, Phase};
use apply::{Cluster, Journal, Landing, Store, StoreError};
use futures::future::{BoxFuture, FutureExt as _};

use crate::cluster::journal::{ClusterStore, Keys};
use crate::pipeline::compile::values_of;
use crate::redact::{Live, Redactor};
use crate::unit::Unit;

/// What a journal holds of a unit.
pub(super) struct Kept {
    pub(super) journal: Journal,
    /// Keeps the values of its Secrets known to the redactor.
    pub(super) secrets: Vec<Live>,
}

/// Reads the journal of a unit.
///
/// # Errors
/// Why it cannot be read, in words.
pub(super) async fn read(
    cluster: &Arc<dyn Cluster>,
    unit: &Unit,
    namespace: &str,
    redactor: &Redactor,
) -> Result<Kept, String> {
    let keys = Keys::read(cluster, namespace).await.map_err(|error| error.to_string())?;
    let keys = keys.ok_or_else(|| format!("no agent has its keys in the namespace {namespace}"))?;
    let store = ClusterStore::new(cluster.clone(), namespace, Arc::new(keys));
    let store: Arc<dyn Store> = Arc::new(Unwritten(store));
    // Whatever epoch wrote it: nothing is written here.
    let journal = Journal::load(store, &unit.to_string(), u64::MAX).await.map_err(|error| error.to_string())?;
    let open = journal.open().map(|open| open.landing);
    let landings: Vec<Arc<Landing>> = journal.landed().cloned().into_iter().chain(open).collect();
    let secrets = landings.iter().map(|landing| register(landing, redactor)).collect();
    Ok(Kept { journal, secrets })
}

fn register(landing: &Landing, redactor: &Redactor) -> Live {
    let objects = landing.changes().map(|change| &change.desired.object).filter(|object| object.is_secret());
    let values: Vec<Vec<u8>> = objects.flat_map(values_of).map(|(_, value)| value).collect();
    redactor.register(values.iter().map(Vec::as_slice))
}

/// How far an open landing has come, in words.
pub(super) fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Commit => "its objects are being written",
        Phase::Health => "written; it waits until all is healthy",
        Phase::Prune => "healthy; what is stale is being deleted",
        Phase::Undo => "being taken back",
        Phase::Held => "stopped by a failure, and left as it stands (on-failure: hold)",
    }
}

/// A store of which nothing is written or deleted: a journal sweeps leftovers when it is read.
struct Unwritten(ClusterStore);

impl Store for Unwritten {
    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        self.0.get(name)
    }

    fn put<'a>(&'a self, name: &'a str, _: Vec<u8>, _: Option<&'a str>) -> BoxFuture<'a, Result<String, StoreError>> {
        let error = StoreError::Failed { name: name.into(), message: "it is only read here".into() };
        async { Err(error) }.boxed()
    }

    fn delete<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        async { Ok(()) }.boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        self.0.list(prefix)
    }

    fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.0.seal(plain)
    }

    fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.0.open(sealed)
    }
}

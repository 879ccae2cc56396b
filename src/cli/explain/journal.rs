//! What the journal tells, read and never written.

use std::sync::Arc;

use apply::journal::{Entry, Open, Phase};
use apply::{Claims, Cluster, Journal, Landing, Store, StoreError, drift};
use futures::future::{BoxFuture, FutureExt as _};
use jiff::Timestamp;
use manifest::ObjectId;

use crate::cluster::journal::{ClusterStore, Keys};
use crate::health::{self, Health};
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

/// How far a landing has come that is written or awaited, and what it waits for. The journal does not tell the two apart: that
/// health is awaited costs no write of its own. So what it writes is tried against what is there.
pub(super) async fn how_far(cluster: &Arc<dyn Cluster>, open: &Open) -> (&'static str, Vec<String>) {
    if open.phase == Phase::Commit {
        match are_written(cluster, open).await {
            Some(true) => {}
            Some(false) => return (phase(Phase::Commit), Vec::new()),
            None => {
                return ("its objects are being written, or all are and it waits until they are healthy", Vec::new());
            }
        }
    }
    let (rules, mut awaited) = (health::Rules::default(), Vec::new());
    for at in open.awaited() {
        let health = match cluster.get(&at).await {
            Ok(Some(object)) => rules.judge(&object, Timestamp::now()),
            Ok(None) => Health::NotFound,
            Err(error) => Health::Unknown { message: error.to_string() },
        };
        if !health.is_current() {
            let said = format!("{}: {}: {}", at.id(), health.name(), health.message());
            awaited.push(said.trim_end_matches(": ").to_owned());
        }
    }
    (phase(Phase::Health), awaited)
}

/// Whether everything that the landing writes is as it writes it; `None` for whoever may not find out.
async fn are_written(cluster: &Arc<dyn Cluster>, open: &Open) -> Option<bool> {
    let landing = &open.landing;
    let is_over = |id: &ObjectId| landing.holds(id) || landing.parcels.is_in(id, &open.undone);
    let changes = landing.changes().filter(|change| change.is_written() && !is_over(&change.desired.object.id()));
    for change in changes {
        match drift::look(change.desired.clone(), &landing.behaviour, Claims::default(), cluster).await {
            Ok(None) => {}
            Ok(Some(_)) => return Some(false),
            Err(_) => return None,
        }
    }
    Some(true)
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

//! The frame of every kind: take a key, look at its object, work, tell, come again.
//!
//! Each kind has a file with one `reconcile`, which returns what is to be told; this module reads the object, writes the
//! status and the events if they say anything new, and sees to it that one object is worked on once at a time.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apply::cluster::{PatchKind, Subresource};
use apply::{Call, ClusterError, Reference, StoreError};
use futures::future::{BoxFuture, FutureExt as _};
use jiff::Timestamp;
use manifest::Object;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::api::condition::{Condition, Conditions, READY, Truth, reason};
use crate::cluster::journal;
use crate::cluster::noted::Noted;
use crate::landing::place::{Place, Places};
use crate::pipeline::World;
use crate::status::{self, Event, Next};
use crate::telemetry::Metrics;

mod alone;
pub mod claims;
pub mod drift;
pub mod external_secret;
mod git_repository;
pub mod guests;
pub mod helm_release;
mod helm_repository;
pub mod index;
mod kustomization;
pub mod needs;
mod notices;
pub mod queue;
pub mod recorder;
mod secret_store;
pub mod triggers;
pub mod units;
mod unserved;

use claims::Claims;
use drift::Owned;
use external_secret::Externals;
use guests::Guests;
use helm_release::Releases;
use index::Index;
use needs::Needs;
use notices::Notices;
use queue::Queue;
use recorder::Recorder;
use units::Units;

/// Pause after a failure that is not the object's own, doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// A kind that is reconciled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Flux's Git source.
    GitRepository,
    /// Flux's Helm chart repository.
    HelmRepository,
    /// A folder to land.
    Kustomization,
    /// A chart to land.
    HelmRelease,
    /// A namespaced secret store.
    SecretStore,
    /// A secret store of the cluster.
    ClusterSecretStore,
    /// A secret to resolve.
    ExternalSecret,
    /// A kind that is not reconciled yet.
    Unserved(unserved::Unserved),
}

impl Kind {
    /// Those that Lockstep reconciles.
    pub const SERVED: [Self; 7] = [
        Self::GitRepository,
        Self::HelmRepository,
        Self::Kustomization,
        Self::HelmRelease,
        Self::SecretStore,
        Self::ClusterSecretStore,
        Self::ExternalSecret,
    ];

    /// Those whose objects are watched.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::SERVED.into_iter().chain(unserved::ALL.into_iter().map(Self::Unserved))
    }

    /// Whether objects lie in namespaces.
    pub fn is_namespaced(self) -> bool {
        match self {
            Self::ClusterSecretStore => false,
            Self::Unserved(unserved) => unserved.is_namespaced,
            _ => true,
        }
    }

    /// `kind` as objects carry it.
    pub fn name(self) -> &'static str {
        match self {
            Self::GitRepository => "GitRepository",
            Self::HelmRepository => "HelmRepository",
            Self::Kustomization => "Kustomization",
            Self::HelmRelease => "HelmRelease",
            Self::SecretStore => "SecretStore",
            Self::ClusterSecretStore => "ClusterSecretStore",
            Self::ExternalSecret => "ExternalSecret",
            Self::Unserved(unserved) => unserved.kind,
        }
    }

    /// `apiVersion` of the served version.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::GitRepository | Self::HelmRepository => "source.toolkit.fluxcd.io/v1",
            Self::Kustomization => "kustomize.toolkit.fluxcd.io/v1",
            Self::HelmRelease => "helm.toolkit.fluxcd.io/v2",
            Self::SecretStore | Self::ClusterSecretStore | Self::ExternalSecret => "external-secrets.io/v1",
            Self::Unserved(unserved) => unserved.api_version,
        }
    }

    /// The controller of the original whose name events and status patches carry.
    pub fn controller(self) -> &'static str {
        match self {
            Self::GitRepository | Self::HelmRepository => "source-controller",
            Self::Kustomization => "kustomize-controller",
            Self::HelmRelease => "helm-controller",
            Self::SecretStore | Self::ClusterSecretStore | Self::ExternalSecret => "external-secrets",
            Self::Unserved(unserved) => unserved.controller,
        }
    }
}

/// An object to work on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; empty for a ClusterSecretStore.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Key {
    /// The key of an object of `kind`.
    pub fn of(kind: Kind, object: &Object) -> Self {
        Self { kind, namespace: object.namespace().into(), name: object.name().into() }
    }

    /// Where the object lives.
    pub fn reference(&self) -> Reference {
        Reference::new(self.kind.api_version(), self.kind.name(), &self.namespace, &self.name)
    }
}

/// Whether an object goes because its kind does: its definition is about to be deleted, or is gone. Nobody has asked for what
/// the object made to be deleted with it (a deliberate difference from Flux, which prunes and uninstalls).
async fn goes_with_its_kind(key: &Key, shared: &Shared) -> Result<bool, Error> {
    let gvk = key.reference().gvk;
    let name = format!("{}s.{}", gvk.kind.to_lowercase(), gvk.group);
    let at = Reference::new("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", &name);
    match shared.world.cluster.get(&at).await {
        Ok(definition) => Ok(definition.is_none_or(|definition| definition.is_terminating())),
        // Whoever may not look cannot know.
        Err(ClusterError::Forbidden { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind.name(), self.namespace, self.name)
    }
}

/// What a reconciliation wants to have told.
pub struct Told {
    /// The whole new status; `None` leaves it.
    pub status: Option<Value>,
    /// Events, in order.
    pub events: Vec<Event>,
    /// When to look again.
    pub next: Next,
}

impl Told {
    /// Nothing to tell.
    pub fn nothing(next: Next) -> Self {
        Self { status: None, events: Vec::new(), next }
    }

    /// A new status with its events.
    pub fn status(status: &impl serde::Serialize, events: Vec<Event>, next: Next) -> Self {
        Self { status: serde_json::to_value(status).ok(), events, next }
    }
}

/// Looks at one object.
fn reconcile<'a>(key: &'a Key, object: &'a Object, shared: &'a Arc<Shared>) -> BoxFuture<'a, Result<Told, Error>> {
    match key.kind {
        Kind::GitRepository => git_repository::reconcile(key, object, shared).boxed(),
        Kind::HelmRepository => helm_repository::reconcile(key, object, shared).boxed(),
        Kind::Kustomization => kustomization::reconcile(key, object, shared).boxed(),
        Kind::HelmRelease => helm_release::reconcile(key, object, shared).boxed(),
        Kind::SecretStore | Kind::ClusterSecretStore => secret_store::reconcile(key, object, shared).boxed(),
        Kind::ExternalSecret => external_secret::reconcile(key, object, shared).boxed(),
        Kind::Unserved(_) => unserved::reconcile(key, object, shared).boxed(),
    }
}

/// A failure that says nothing about the object: it is logged and the object comes again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The API server.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] apply::StoreError),
    /// The work panicked; the message stays where it was.
    #[error("internal error")]
    Panic,
}

/// What all reconciliations share.
pub struct Shared {
    /// What the process has.
    pub world: World,
    /// Objects as they were seen last.
    pub index: Index,
    /// What is to be done.
    pub queue: Queue,
    /// What dashboards see.
    pub metrics: Metrics,
    /// Who writes events.
    pub recorder: Recorder,
    /// What is remembered of units.
    pub units: Units,
    /// What units need of each other.
    pub needs: Needs,
    /// Who tells that it has begun.
    notices: Notices,
    /// Which units hold which objects.
    pub claims: Claims,
    /// What of ours is live.
    pub owned: Arc<Owned>,
    /// Units that rest while another lands with workloads of theirs.
    pub guests: Guests,
    /// What is remembered of ExternalSecrets.
    pub externals: Externals,
    /// What is to be told of HelmReleases.
    pub releases: Releases,
    /// Told whenever a source, a store or a spec has changed, which may supersede a landing that waits for health. Not
    /// told of statuses: hundreds may wait.
    pub changes: watch::Sender<u64>,
    /// Failures in a row that were not the object's own.
    strikes: Mutex<BTreeMap<Key, u32>>,
}

impl Shared {
    /// Nothing is known and nothing waits.
    pub fn new(mut world: World) -> Self {
        let owned = Arc::new(Owned::new(world.settings.only.is_some()));
        world.cluster = Arc::new(Noted::new(world.cluster, drift::told(&owned)));
        let recorder = Recorder::new(world.cluster.clone(), world.redactor.clone());
        Self {
            world,
            index: Index::default(),
            queue: Queue::default(),
            metrics: Metrics::default(),
            recorder,
            units: Units::default(),
            needs: Needs::default(),
            notices: Notices::default(),
            claims: Claims::default(),
            owned,
            guests: Guests::default(),
            externals: Externals::default(),
            releases: Releases::default(),
            changes: watch::Sender::default(),
            strikes: Mutex::default(),
        }
    }

    /// Tells landings that wait for health to look whether they are superseded.
    pub fn inputs_changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Works on keys until the queue is closed, then ends what is worked on; what only waits is left to the next process.
    pub async fn work(self: &Arc<Self>, places: &Places) {
        let mut under_way = JoinSet::new();
        while let Some(key) = self.queue.next().await {
            // Once a key is here: those who have waited for their health need a place again, too.
            let place = places.take().await;
            under_way.spawn(self.clone().work_on(key, place));
            while under_way.try_join_next().is_some() {}
        }
        places.end(&mut under_way).await;
    }

    async fn work_on(self: Arc<Self>, key: Key, place: Place) {
        // A panic costs one reconciliation, and the key is given back.
        let turn = AssertUnwindSafe(place.work(self.turn(&key))).catch_unwind();
        let result = turn.await.unwrap_or(Err(Error::Panic));
        self.settle(&key, result);
        self.queue.done(&key);
    }

    async fn turn(self: &Arc<Self>, key: &Key) -> Result<Next, Error> {
        let Some(object) = self.index.get(key) else {
            self.queue.forget(key);
            self.metrics.forget(key.kind.name(), &key.namespace, &key.name);
            return Ok(Next::OnEvent);
        };
        let began = Instant::now();
        let told = match reconcile(key, &object, self).await {
            Err(Error::Journal(error @ StoreError::Unreadable { .. })) => {
                self.tell(key, &object, self.without_journal(key, &object, &error)).await?;
                return Err(error.into());
            }
            told => told?,
        };
        self.metrics.reconciled(key.kind.name(), &key.namespace, &key.name, began.elapsed());
        let next = told.next;
        self.tell(key, &object, told).await?;
        Ok(next)
    }

    /// Nobody works on an object whose journal cannot be read: that stands where people look.
    fn without_journal(&self, key: &Key, object: &Object, error: &StoreError) -> Told {
        let mut status = object.value().get("status").cloned().unwrap_or(json!({}));
        let conditions = status.get("conditions").cloned().unwrap_or_default();
        let mut conditions: Conditions = serde_json::from_value(conditions).unwrap_or_default();
        let (namespace, keys, label) = (&self.world.settings.namespace, journal::KEYS, journal::LABEL);
        let message = format!(
            "{error}: nothing is written before it can be. Bring Secret {namespace}/{keys} back if it was lost; or delete the Secrets \
             of that namespace that are labelled {label} and restart the agent: then what runs is taken over as it is"
        );
        let now = Timestamp::now();
        let event = if key.kind == Kind::ExternalSecret {
            status::external::not_ready(&mut conditions, reason::SECRET_SYNCED_ERROR, &message, now)
        } else {
            let is_news = conditions.get(READY).is_none_or(|ready| ready.message != message);
            let ready = Condition::new(READY, Truth::False, reason::RECONCILIATION_FAILED, &message);
            conditions.set(ready, object.generation(), now);
            is_news.then(|| Event::warning(reason::RECONCILIATION_FAILED, message))
        };
        status["conditions"] = serde_json::to_value(conditions).unwrap_or_default();
        let events = event.into_iter().collect();
        Told { status: Some(status), events, next: Next::Retry }
    }

    fn settle(&self, key: &Key, result: Result<Next, Error>) {
        let next = result.unwrap_or_else(|error| {
            tracing::error!(kind = key.kind.name(), namespace = key.namespace, name = key.name, %error, "reconciliation failed");
            Next::Retry
        });
        let mut strikes = self.strikes.lock().unwrap_or_else(PoisonError::into_inner);
        if next != Next::Retry {
            strikes.remove(key);
        }
        match next {
            Next::After(delay) => self.queue.come_back(key.clone(), delay),
            Next::OnEvent => self.queue.forget(key),
            Next::Retry => {
                let count = strikes.entry(key.clone()).or_default();
                let pause = (FIRST_PAUSE * 2_u32.pow((*count).min(16))).min(LONGEST_PAUSE);
                *count += 1;
                self.queue.come_back(key.clone(), pause);
            }
        }
    }

    /// Writes a status and events, as far as they say anything new, and without any secret value.
    ///
    /// # Errors
    /// When the API server refuses the status; an object that is gone is no error.
    pub async fn tell(&self, key: &Key, object: &Object, told: Told) -> Result<(), ClusterError> {
        if let Some(mut status) = told.status {
            self.world.redactor.redact_messages(&mut status);
            self.write_status(key, object, &status).await?;
        }
        for event in told.events {
            log(key, &event);
            self.recorder.record(key, object, event);
        }
        Ok(())
    }

    async fn write_status(&self, key: &Key, object: &Object, status: &Value) -> Result<(), ClusterError> {
        let seen = self.index.get(key);
        let before = seen.as_ref().unwrap_or(object).value().get("status").cloned().unwrap_or(json!({}));
        let Some(patch) = status::difference(&before, status) else { return Ok(()) };
        let call = Call::Patch {
            at: key.reference(),
            kind: PatchKind::Merge,
            patch: json!({"status": patch}),
            manager: format!("gotk-{}", key.kind.controller()),
            dry_run: false,
            subresource: Some(Subresource::Status),
        };
        match self.world.cluster.write(call).await {
            Ok(written) => self.wrote(key, &written),
            Err(ClusterError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The server has answered a write with the whole object. The watch will tell nothing new of it, so who waits for the
    /// status is told here, and what somebody else has asked for in the meantime is noticed here.
    fn wrote(&self, key: &Key, written: &Object) {
        let Some(before) = self.index.replace(key, written) else { return };
        if triggers::asks_more(&before, written) {
            triggers::asked(self, key);
        }
        if triggers::says_more(&before, written) {
            triggers::changed(self, key);
        }
    }

    /// Sets or removes our finalizer.
    ///
    /// # Errors
    /// When the API server refuses it; an object that is gone is no error.
    pub async fn set_finalizer(
        &self,
        key: &Key,
        object: &Object,
        finalizer: &str,
        present: bool,
    ) -> Result<(), ClusterError> {
        let list = object.value().pointer("/metadata/finalizers").and_then(Value::as_array);
        let mut names: Vec<Value> = list.cloned().unwrap_or_default();
        if names.iter().any(|name| name == finalizer) == present {
            return Ok(());
        }
        names.retain(|name| name != finalizer);
        if present {
            names.push(finalizer.into());
        }
        let call = Call::Patch {
            at: key.reference(),
            kind: PatchKind::Merge,
            patch: json!({"metadata": {"finalizers": names, "resourceVersion": object.resource_version()}}),
            manager: format!("gotk-{}", key.kind.controller()),
            dry_run: false,
            subresource: None,
        };
        match self.world.cluster.write(call).await {
            Ok(written) if present => self.wrote(key, &written),
            Ok(_) | Err(ClusterError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn log(key: &Key, event: &Event) {
    let (kind, namespace, name) = (key.kind.name(), &key.namespace, &key.name);
    if event.is_warning {
        tracing::error!(kind, namespace, name, error = event.message, "{}", event.reason);
    } else {
        tracing::info!(kind, namespace, name, "{}", event.message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::journal::Keys;
    use crate::cluster::local::Local;
    use crate::pipeline::{Parts, Settings};

    fn external(version: u32, force_sync: &str) -> Object {
        let metadata = json!({"name": "e", "namespace": "n", "uid": "u", "generation": 1,
            "resourceVersion": version.to_string(), "annotations": {"force-sync": force_sync}});
        let kind = Kind::ExternalSecret;
        Object::unchecked(json!({"apiVersion": kind.api_version(), "kind": kind.name(), "metadata": metadata}))
    }

    /// Everything, on an empty cluster in memory.
    pub(super) fn shared() -> Shared {
        let local = Local::open(None, apply::memory::Simulation::default()).unwrap();
        let (keys, redactor) = (Keys::generate().unwrap(), crate::redact::Redactor::default());
        let (pod, settings) = (Default::default(), Settings::default());
        Shared::new(World::new(Parts { cluster: Arc::new(local), keys, epoch: 0, redactor, pod, settings }).unwrap())
    }

    #[test]
    fn what_somebody_asks_for_while_a_status_is_written_is_worked_on() {
        let (shared, seen) = (shared(), external(1, "no"));
        let key = Key::of(Kind::ExternalSecret, &seen);
        shared.index.put(key.clone(), seen);
        shared.wrote(&key, &external(2, "no"));
        assert!(shared.queue.is_idle(), "our own status asks for nothing");
        let mut asked = external(4, "yes");
        asked.metadata().insert("managedFields".into(), json!([{"manager": "kubectl"}]));
        shared.wrote(&key, &asked);
        assert!(!shared.queue.is_idle());
        let kept = |object: &Object| object.value().pointer("/metadata/managedFields").is_some();
        assert!(!kept(&shared.index.get(&key).unwrap()), "it would be more than half of what is kept");
        shared.wrote(&key, &external(3, "no"));
        let version = || shared.index.get(&key).map(|object| object.resource_version().to_owned());
        assert_eq!(version().as_deref(), Some("4"), "an answer that comes late replaces nothing newer");
        shared.index.remove(&key);
        shared.wrote(&key, &external(5, "yes"));
        assert_eq!(version(), None, "nor does it bring back what is gone");
    }
}

//! What a resolve reads of the cluster: stores, ServiceAccounts, Secrets and ConfigMaps, the candidate's own first.
//!
//! **Guarantee.** What others have read is taken if they began after the look was wanted, as with values of a store
//! (`recent`): thousands that are due at a start read their store and its ServiceAccount once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use apply::{Call, Cluster, ClusterError, Reference, cluster::Subresource};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use manifest::{Object, ObjectId};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::store::{Bytes, Cause};
use crate::api::store::{SecretKey, StoreKind};

/// Objects that are about to land, by identity: what they declare counts before what the cluster has.
pub type Candidate = Arc<dyn Fn(&ObjectId) -> Option<Object> + Send + Sync>;

/// How long an object is kept that was read.
const KEPT: Duration = Duration::from_secs(60);

/// Objects of the cluster that were read lately; no Secrets.
pub(super) struct Objects {
    cluster: Arc<dyn Cluster>,
    reads: Mutex<HashMap<Reference, Read>>,
}

/// One read: it is under way, or has ended.
struct Read {
    began: Instant,
    answer: Arc<OnceCell<Object>>,
}

impl Objects {
    /// Reads through `cluster`, with the rights that it has.
    pub(super) fn new(cluster: Arc<dyn Cluster>) -> Arc<Self> {
        Arc::new(Self { cluster, reads: Mutex::default() })
    }

    /// Forgets what was read: something of it has changed.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    /// An object as a read showed it that began after `since`. That there is none, or that the read failed, is no answer to
    /// others.
    async fn get(&self, at: &Reference, since: Instant) -> Result<Option<Object>, ClusterError> {
        // Whoever needs a secret value reads it: none stays here, and none is older than its use.
        if at.gvk.kind == "Secret" {
            return self.cluster.get(at).await;
        }
        let answer = self.entry(at, since);
        let read = async || self.cluster.get(at).await.map_err(Some)?.ok_or(None);
        match answer.get_or_try_init(read).await {
            Ok(object) => Ok(Some(object.clone())),
            Err(error) => error.map_or(Ok(None), Err),
        }
    }

    fn entry(&self, at: &Reference, since: Instant) -> Arc<OnceCell<Object>> {
        let mut reads = self.lock();
        if let Some(read) = reads.get(at).filter(|read| read.began >= since) {
            return read.answer.clone();
        }
        reads.retain(|_, read| read.began.elapsed() < KEPT);
        let answer = Arc::<OnceCell<_>>::default();
        reads.insert(at.clone(), Read { began: Instant::now(), answer: answer.clone() });
        answer
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Reference, Read>> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads objects: the candidate's, then the cluster's.
#[derive(Clone)]
pub struct Lookup {
    objects: Arc<Objects>,
    candidate: Option<Candidate>,
    /// Since when the look is wanted.
    since: Instant,
}

/// In which namespace a store's references are looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct StoreScope {
    /// SecretStore or ClusterSecretStore.
    pub kind: StoreKindKey,
    /// The namespace of the ExternalSecret.
    pub namespace: String,
}

/// The two kinds of stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StoreKindKey {
    /// Serves its own namespace.
    SecretStore,
    /// Serves all namespaces that it allows.
    ClusterSecretStore,
}

impl StoreKindKey {
    /// The kind that a reference names.
    ///
    /// # Errors
    /// [`Cause::Spec`] for another kind.
    pub(super) fn of(kind: &StoreKind) -> Result<Self, Cause> {
        match kind {
            StoreKind::SecretStore => Ok(Self::SecretStore),
            StoreKind::ClusterSecretStore => Ok(Self::ClusterSecretStore),
            StoreKind::Other(kind) => Err(Cause::Spec { message: format!("unsupported secret store kind: {kind}") }),
        }
    }

    /// The kind's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::SecretStore => "SecretStore",
            Self::ClusterSecretStore => "ClusterSecretStore",
        }
    }
}

impl StoreScope {
    /// Where a reference points: only a ClusterSecretStore may name a namespace, and one that names none means the
    /// ExternalSecret's own.
    pub(super) fn reference_namespace<'a>(&'a self, named: Option<&'a str>) -> &'a str {
        match (self.kind, named) {
            (StoreKindKey::ClusterSecretStore, Some(namespace)) => namespace,
            _ => &self.namespace,
        }
    }
}

impl Lookup {
    /// Reads for a look that is wanted `since` then.
    pub(super) fn new(objects: Arc<Objects>, candidate: Option<Candidate>, since: Instant) -> Self {
        Self { objects, candidate, since }
    }

    /// The object at `at`, when there is one.
    pub(super) async fn get(&self, at: &Reference) -> Result<Option<Object>, Cause> {
        if let Some(object) = self.candidate.as_ref().and_then(|candidate| candidate(&at.id())) {
            return Ok(Some(object));
        }
        Ok(self.objects.get(at, self.since).await?)
    }

    /// The object, or [`Cause::Missing`].
    pub(super) async fn required(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Object, Cause> {
        let at = Reference::new(api_version, kind, namespace, name);
        self.get(&at).await?.ok_or_else(|| Cause::Missing { id: at.id() })
    }

    /// One key of a Secret that a store refers to, as text.
    pub(super) async fn secret_key(&self, scope: &StoreScope, key: &SecretKey) -> Result<Zeroizing<String>, Cause> {
        let namespace = scope.reference_namespace(key.namespace.as_deref());
        let (name, key) = (key.name.as_deref().unwrap_or_default(), key.key.as_deref().unwrap_or_default());
        let secret = self.required("v1", "Secret", namespace, name).await?;
        let bytes =
            secret_value(&secret, key).ok_or_else(|| Cause::MissingKey { id: secret.id(), key: key.to_owned() })?;
        let text = std::str::from_utf8(&bytes).map_err(|_| Cause::Content { expected: "text" })?;
        Ok(Zeroizing::new(text.to_owned()))
    }
}

/// One key of a Secret: `stringData` of one that was not written yet, or `data`.
pub(super) fn secret_value(secret: &Object, key: &str) -> Option<Bytes> {
    let part = |field: &str| secret.value().get(field)?.get(key)?.as_str();
    match part("stringData") {
        Some(text) => Some(Bytes::from(text.as_bytes().to_vec())),
        None => STANDARD.decode(part("data")?).ok().map(Bytes::from),
    }
}

/// A token of a ServiceAccount for `audiences`.
///
/// # Errors
/// When the API server makes none.
pub async fn service_account_token(
    cluster: &Arc<dyn Cluster>,
    namespace: &str,
    name: &str,
    audiences: &[String],
) -> Result<String, Cause> {
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"audiences": audiences},
    });
    let no_token = |message: &str| Cause::NoToken { message: message.to_owned() };
    let object = Object::new(request).map_err(|error| no_token(&error.to_string()))?;
    let call =
        Call::Create { object, manager: "lockstep".into(), dry_run: false, subresource: Some(Subresource::Token) };
    let answer = cluster.write(call).await?;
    let token = answer.value().pointer("/status/token").and_then(Value::as_str);
    token.map(str::to_owned).ok_or_else(|| no_token("the API server's answer holds no token"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use apply::memory::{MemoryCluster, Settings};

    #[tokio::test(start_paused = true)]
    async fn a_look_is_met_by_a_read_that_began_after_it_was_wanted_and_absence_by_none() {
        let cluster: Arc<dyn Cluster> = Arc::new(MemoryCluster::new(Settings::default()));
        let objects = Objects::new(cluster.clone());
        let at = Reference::new("v1", "ConfigMap", "default", "a");
        let write = async |value: &str| {
            let metadata = json!({"name": "a", "namespace": "default"});
            let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"k": value}});
            let (object, manager) = (Object::unchecked(object), "m".to_owned());
            cluster
                .write(Call::Apply { object, manager, force: true, dry_run: false, subresource: None })
                .await
                .unwrap();
        };
        let read = async |since: Instant| {
            let found = objects.get(&at, since).await.unwrap();
            found.map(|object| object.value()["data"]["k"].as_str().unwrap().to_owned())
        };
        let start = Instant::now();
        assert_eq!(read(start).await, None);
        write("1").await;
        assert_eq!(read(start).await.as_deref(), Some("1"), "it may have come since");
        write("2").await;
        assert_eq!(read(start).await.as_deref(), Some("1"), "it was read after it was wanted");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(read(Instant::now()).await.as_deref(), Some("2"), "somebody wants what is there now");
        write("3").await;
        objects.forget();
        assert_eq!(read(start).await.as_deref(), Some("3"));
    }
}

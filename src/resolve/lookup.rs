//! What a resolve reads of the cluster: stores, ServiceAccounts, Secrets and ConfigMaps, the candidate's own first.

use std::sync::Arc;

use apply::{Call, Cluster, Reference, cluster::Subresource};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use manifest::{Object, ObjectId};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::store::{Bytes, Cause};
use crate::api::store::{SecretKey, StoreKind};

/// Objects that are about to land, by identity: what they declare counts before what the cluster has.
pub type Candidate = Arc<dyn Fn(&ObjectId) -> Option<Object> + Send + Sync>;

/// Reads objects: the candidate's, then the cluster's.
#[derive(Clone)]
pub struct Lookup {
    cluster: Arc<dyn Cluster>,
    candidate: Option<Candidate>,
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
    /// Reads through `cluster`, with the rights that it has.
    pub fn new(cluster: Arc<dyn Cluster>, candidate: Option<Candidate>) -> Self {
        Self { cluster, candidate }
    }

    /// The object at `at`, when there is one.
    pub(super) async fn get(&self, at: &Reference) -> Result<Option<Object>, Cause> {
        if let Some(object) = self.candidate.as_ref().and_then(|candidate| candidate(&at.id())) {
            return Ok(Some(object));
        }
        Ok(self.cluster.get(at).await?)
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
pub(super) async fn service_account_token(
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

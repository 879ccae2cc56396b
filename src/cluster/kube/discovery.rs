//! Which kinds the server serves: aggregated discovery, two requests for everything.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ::kube::client::{Body, Client};
use apply::{ClusterError, Scope};
use http::Request;
use manifest::Gvk;
use serde_json::Value;

use super::{exchange, failure};

/// One kind, as URLs name it.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    pub(super) gvk: Gvk,
    pub(super) plural: String,
    pub(super) scope: Scope,
}

/// Everything that is served, by kind.
pub(super) type Kinds = HashMap<Gvk, Arc<Resource>>;

/// What was discovered last.
pub(super) struct Catalogue {
    client: Client,
    timeout: Duration,
    kinds: RwLock<Option<Arc<Kinds>>>,
    /// Held while somebody discovers: the others wait and take the outcome.
    discovering: tokio::sync::Mutex<()>,
}

impl Catalogue {
    pub(super) fn new(client: Client, timeout: Duration) -> Self {
        Self { client, timeout, kinds: RwLock::new(None), discovering: tokio::sync::Mutex::new(()) }
    }

    fn current(&self) -> Option<Arc<Kinds>> {
        self.kinds.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was discovered last; discovers when nothing was.
    pub(super) async fn known(&self) -> Result<Arc<Kinds>, ClusterError> {
        match self.current() {
            Some(kinds) => Ok(kinds),
            None => self.newer_than(None).await,
        }
    }

    /// Discovers anew.
    pub(super) async fn refresh(&self) -> Result<Arc<Kinds>, ClusterError> {
        self.newer_than(self.current()).await
    }

    /// A kind's resource; a kind that is not known is looked for once more.
    pub(super) async fn resolve(&self, gvk: &Gvk) -> Result<Arc<Resource>, ClusterError> {
        let known = self.known().await?;
        if let Some(resource) = known.get(gvk) {
            return Ok(resource.clone());
        }
        let newer = self.newer_than(Some(known)).await?;
        newer.get(gvk).cloned().ok_or_else(|| ClusterError::NoKind { gvk: gvk.clone() })
    }

    /// Discovers, unless somebody else has since `seen`.
    async fn newer_than(&self, seen: Option<Arc<Kinds>>) -> Result<Arc<Kinds>, ClusterError> {
        let _turn = self.discovering.lock().await;
        let same = |now: &Arc<Kinds>| seen.as_ref().is_some_and(|seen| Arc::ptr_eq(now, seen));
        if let Some(now) = self.current().filter(|now| !same(now)) {
            return Ok(now);
        }
        let mut kinds = Kinds::new();
        for path in ["/api", "/apis"] {
            collect(&self.fetch(path).await?, &mut kinds);
        }
        let kinds = Arc::new(kinds);
        *self.kinds.write().unwrap_or_else(PoisonError::into_inner) = Some(kinds.clone());
        Ok(kinds)
    }

    /// Reads a document of the server about itself.
    pub(super) async fn fetch(&self, path: &str) -> Result<Value, ClusterError> {
        const FORM: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let unavailable = |message: String| ClusterError::Unavailable { id: None, message, retry_after: None };
        let request = Request::get(path).header("accept", FORM).body(Body::empty());
        let request = request.map_err(|error| unavailable(error.to_string()))?;
        let (status, body) = exchange(&self.client, request, self.timeout)
            .await
            .map_err(|error| unavailable(format!("discovery: {}", error.message())))?;
        if !status.is_success() {
            return Err(failure::discovery(&failure::Status::read(status, &body)));
        }
        failure::parse(&body).ok_or_else(|| unavailable("discovery: the server's answer has another form".into()))
    }
}

/// Reads an `APIGroupDiscoveryList`.
fn collect(list: &Value, kinds: &mut Kinds) {
    let each = |value: &Value, field: &str| value.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let text =
        |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    for group in each(list, "items") {
        for version in each(&group, "versions") {
            for resource in each(&version, "resources") {
                let gvk = Gvk {
                    // Definitions' own `responseKind` has no group.
                    group: text(&group, "/metadata/name"),
                    version: text(&version, "/version"),
                    kind: text(&resource, "/responseKind/kind"),
                };
                let scope = if resource["scope"] == "Cluster" { Scope::Cluster } else { Scope::Namespaced };
                let found = Resource { gvk: gvk.clone(), plural: text(&resource, "/resource"), scope };
                kinds.insert(gvk, Arc::new(found));
            }
        }
    }
}

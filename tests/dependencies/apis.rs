//! Objects of an API that another unit brings: an `APIService`, whose kinds nobody knows before its server answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use apply::cluster::Subresource;
use apply::{Answer, Call, Cluster, ClusterError, Reference, Selection, WatchEvent};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde_json::json;

use super::stage::{Stage, ready, unit};

const GROUP: &str = "metrics.example.com";
const GAUGE: &str = "apiVersion: metrics.example.com/v1
kind: Gauge
metadata: {name: load, namespace: default}
spec: {level: 1}
";
const API: &str = "apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.metrics.example.com}
spec:
  group: metrics.example.com
  version: v1
  groupPriorityMinimum: 100
  versionPriority: 10
  service: {name: server, namespace: default}
";

fn gauge() -> Reference {
    Reference::new("metrics.example.com/v1", "Gauge", "default", "load")
}

fn api() -> Reference {
    Reference::new("apiregistration.k8s.io/v1", "APIService", "", "v1.metrics.example.com")
}

/// A cluster that knows the kinds of the API once it is available and they were discovered since.
struct Aggregated {
    inner: Arc<dyn Cluster>,
    is_discovered: Arc<AtomicBool>,
}

impl Cluster for Aggregated {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, ClusterError>> {
        async move {
            if matches!(call, Call::Discover) {
                let live = self.inner.get(&api()).await.ok().flatten();
                let is_available = live.is_some_and(|live| {
                    live.text("/status/conditions/0/status").is_some_and(|status| status == "True")
                });
                self.is_discovered.store(is_available, Ordering::SeqCst);
            }
            let gvk = match &call {
                Call::Scope(gvk) => Some(gvk.clone()),
                call => call.reference().map(|at| at.gvk),
            };
            match (gvk.filter(|gvk| gvk.group == GROUP && !self.is_discovered.load(Ordering::SeqCst)), &call) {
                (Some(_), Call::Scope(_)) => Ok(Answer::Scope(None)),
                (Some(gvk), _) => Err(ClusterError::NoKind { gvk }),
                (None, _) => self.inner.call(call).await,
            }
        }
        .boxed()
    }

    fn watch(&self, selection: Selection) -> BoxStream<'static, Result<WatchEvent, ClusterError>> {
        self.inner.watch(selection)
    }

    fn impersonate(&self, user: &str) -> Arc<dyn Cluster> {
        Arc::new(Self { inner: self.inner.impersonate(user), is_discovered: self.is_discovered.clone() })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_of_an_api_of_another_unit_waits_until_that_is_served() {
    let stage = Stage::through(|inner| Arc::new(Aggregated { inner, is_discovered: Arc::default() })).await;
    // Where the server keeps its objects.
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let versions = json!([{"name": "v1", "served": true, "storage": true, "schema": schema}]);
    stage
        .apply(json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("gauges.{GROUP}")}, "spec": {"group": GROUP, "scope": "Namespaced",
            "names": {"kind": "Gauge", "plural": "gauges"}, "versions": versions}}))
        .await;
    stage.push(&[("gauge/gauge.yaml", GAUGE), ("api/api.yaml", API)]).await;
    stage.kustomization("gauge", json!({})).await;
    let message = stage.told("gauge", "ReconciliationFailed").await;
    assert!(message.contains("no matches for kind \"Gauge\""), "{message}");

    // Somebody brings it, and its server is not there yet.
    stage.kustomization("api", json!({})).await;
    stage.landed("api").await;
    let message = stage.told("gauge", "DependencyNotReady").await;
    let words =
        "waits for the definition of Gauge.metrics.example.com, which APIService/v1.metrics.example.com will serve";
    let is_so = |found: &manifest::Object| ready(found)["message"].as_str().is_some_and(|told| told.contains(words));
    stage.until(&unit("gauge"), is_so).await;
    assert!(message.contains("waits for"), "{message}");

    let available =
        json!([{"type": "Available", "status": "True", "lastTransitionTime": jiff::Timestamp::now().to_string()}]);
    stage.patch(&api(), json!({"status": {"conditions": available}}), Some(Subresource::Status)).await;
    stage.landed("gauge").await;
    assert!(stage.get(&gauge()).await.is_some());
    stage.end().await;
}

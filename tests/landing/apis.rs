//! Objects of an API that another Kustomization brings, with the real API server between: it finds out that the API is
//! available, and which kinds it has, in its own time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::agent::condition;
use super::scene::Scene;
use super::served::{Request, serve};
use super::testbed::Testbed;

const GROUP: &str = "metrics.example.com";
const API: &str = "apiVersion: v1
kind: Service
metadata: {name: operator}
spec: {type: ExternalName, externalName: localhost, ports: [{port: PORT}]}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.metrics.example.com}
spec:
  group: metrics.example.com
  version: v1
  groupPriorityMinimum: 100
  versionPriority: 10
  caBundle: CA
  service: {name: operator, namespace: NAMESPACE, port: PORT}
";
const GAUGE: &str = "apiVersion: metrics.example.com/v1\nkind: Gauge\nmetadata: {name: load}\nspec: {level: 1}\n";

/// A server of gauges: what it keeps, by path.
#[derive(Default)]
struct Gauges {
    is_up: AtomicBool,
    kept: Mutex<BTreeMap<String, Value>>,
}

impl Gauges {
    fn answer(&self, request: &Request) -> Option<(u16, Value)> {
        if !self.is_up.load(Ordering::SeqCst) {
            return None;
        }
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let group = format!("/apis/{GROUP}/v1");
        let Some(rest) = path.strip_prefix(&group) else { return Some(status(404)) };
        let mut kept = self.kept.lock().expect("a store");
        Some(match (request.method.as_str(), rest.rsplit_once("/gauges")) {
            ("GET", None) if rest.is_empty() => (200, kinds()),
            ("GET", Some((_, ""))) if query.contains("watch=") => return None,
            ("GET", Some((_, ""))) => {
                let items: Vec<&Value> = kept.values().collect();
                let metadata = json!({"resourceVersion": "1"});
                (
                    200,
                    json!({"apiVersion": format!("{GROUP}/v1"), "kind": "GaugeList", "metadata": metadata, "items": items}),
                )
            }
            ("GET", _) => kept.get(path).map_or(status(404), |found| (200, found.clone())),
            ("PATCH", _) => {
                let applied = applied(&request.body);
                if !query.contains("dryRun") {
                    kept.insert(path.to_owned(), applied.clone());
                }
                (200, applied)
            }
            ("DELETE", _) => kept.remove(path).map_or(status(404), |found| (200, found)),
            _ => status(405),
        })
    }
}

fn status(code: u16) -> (u16, Value) {
    let reason = if code == 404 { "NotFound" } else { "MethodNotAllowed" };
    (code, json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason}))
}

fn kinds() -> Value {
    let verbs = ["get", "list", "watch", "create", "patch", "update", "delete"];
    let gauges =
        json!({"name": "gauges", "singularName": "gauge", "namespaced": true, "kind": "Gauge", "verbs": verbs});
    json!({"apiVersion": "v1", "kind": "APIResourceList", "groupVersion": format!("{GROUP}/v1"), "resources": [gauges]})
}

/// What an apply makes of an object that nobody else writes.
fn applied(body: &Value) -> Value {
    let mut object = body.clone();
    let metadata = &mut object["metadata"];
    (metadata["uid"], metadata["resourceVersion"], metadata["generation"]) = (json!("1"), json!("1"), json!(1));
    object
}

#[test]
#[ignore = "needs the testbed: make test"]
fn an_object_of_an_api_of_another_unit_lands_when_the_api_server_knows_its_kind() {
    // An API that nobody answers for disturbs others on the same API server.
    let scene = Scene::on(Box::leak(Box::new(Testbed::own())), "apis");
    let gauges = Arc::new(Gauges::default());
    let server = gauges.clone();
    let port = serve(scene.testbed, &scene.agent.namespace, move |request| server.answer(&request)).to_string();
    let ca = STANDARD.encode(std::fs::read(scene.testbed.ca()).expect("the CA"));
    let parts = [("NAMESPACE", scene.agent.namespace.as_str()), ("PORT", &port), ("CA", &ca)];
    let api = parts.iter().fold(API.to_owned(), |text, (from, to)| text.replace(from, to));
    scene.git.write("api/api.yaml", &api);
    scene.git.write("gauge/gauge.yaml", GAUGE);
    scene.push("an API, and an object of it elsewhere");
    scene.kustomization("gauge");
    scene.agent.ready("kustomization/gauge", "False", "ReconciliationFailed");
    scene.kustomization("api");
    scene.agent.ready("kustomization/api", "True", "ReconciliationSucceeded");
    let words = "which APIService/v1.metrics.example.com will serve";
    scene.agent.until("kustomization/gauge", |found| {
        let ready = condition(found, "Ready");
        ready["reason"] == "DependencyNotReady" && ready["message"].as_str().is_some_and(|told| told.contains(words))
    });
    assert!(gauges.kept.lock().expect("a store").is_empty());
    gauges.is_up.store(true, Ordering::SeqCst);
    scene.agent.ready("kustomization/gauge", "True", "ReconciliationSucceeded");
    let kept: Vec<Value> = gauges.kept.lock().expect("a store").values().map(|gauge| gauge["spec"].clone()).collect();
    assert_eq!(kept, [json!({"level": 1})]);
    scene.testbed.kubectl(&["delete", "kustomization", "gauge", "-n", &scene.agent.namespace, "--timeout=60s"]);
    assert!(gauges.kept.lock().expect("a store").is_empty(), "it is pruned");
    scene.finish();
}

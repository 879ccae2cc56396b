//! Objects of an API that a workload of the same landing serves (an `APIService`): nobody knows their kind before. They land
//! when the workload is ready and the API available, and go back the same way.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "support/server.rs"]
mod server;
#[path = "support/stage.rs"]
mod stage;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use apply::fault::{self, Fault, FaultyCluster, Plan};
use apply::memory::MemoryCluster;
use apply::plan::Step;
use apply::{
    Answer, Behaviour, Call, Candidate, Cluster, ClusterError, LandingScope, Proof, Reading, Reference, Selection,
    Verdict, WatchEvent,
};
use futures::FutureExt as _;
use futures::executor::block_on;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use manifest::Object;
use serde_json::{Value, json};
use server::{candidate, server};
use stage::{Stage, differences};

const VERSION: &str = "metrics.example.com/v1";

/// The API server's side of the API: its objects are kept where nobody loses them, and can be had as long as there is the
/// APIService and its workload's newest pods are healthy. What is discovered stays known until the next discovery.
struct Aggregated {
    memory: MemoryCluster,
    healthy: Arc<Mutex<std::collections::BTreeMap<String, i64>>>,
    is_discovered: Arc<AtomicBool>,
}

impl Aggregated {
    fn has(&self, version: &str, kind: &str) -> Option<Object> {
        let memory: &dyn Cluster = &self.memory;
        memory.list(&Selection::all(version, kind)).now_or_never()?.ok()?.into_iter().next()
    }

    fn is_served(&self) -> bool {
        let served = self
            .has("apps/v1", "Deployment")
            .is_some_and(|live| self.healthy.lock().unwrap().get("server") == Some(&live.generation()));
        served && self.has("apiregistration.k8s.io/v1", "APIService").is_some()
    }
}

impl Cluster for Aggregated {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, ClusterError>> {
        let gvk = match &call {
            Call::Scope(gvk) => Some(gvk.clone()),
            call => call.reference().map(|at| at.gvk),
        };
        if matches!(call, Call::Discover) {
            self.is_discovered.store(self.is_served(), Ordering::SeqCst);
        }
        let is_about = gvk.filter(|gvk| gvk.group == "metrics.example.com");
        let Some(gvk) = is_about else { return self.memory.call(call) };
        if !self.is_discovered.load(Ordering::SeqCst) {
            let answer = if matches!(call, Call::Scope(_)) {
                Ok(Answer::Scope(None))
            } else {
                Err(ClusterError::NoKind { gvk })
            };
            return async move { answer }.boxed();
        }
        if !matches!(call, Call::Scope(_)) && !self.is_served() {
            let id = call.reference().map(|at| at.id());
            let message = "the server is currently unable to handle the request".to_owned();
            return async move { Err(ClusterError::Unavailable { id, message, retry_after: None }) }.boxed();
        }
        self.memory.call(call)
    }

    fn watch(&self, selection: Selection) -> BoxStream<'static, Result<WatchEvent, ClusterError>> {
        self.memory.watch(selection)
    }

    fn impersonate(&self, user: &str) -> Arc<dyn Cluster> {
        self.memory.impersonate(user)
    }
}

/// A server of a version, and the level of an object of its API.
#[derive(Clone, Copy)]
struct Revision {
    server: u64,
    level: u64,
    is_bad: bool,
}

impl Revision {
    fn new(server: u64, level: u64) -> Self {
        Self { server, level, is_bad: false }
    }

    fn bad(self) -> Self {
        Self { is_bad: true, ..self }
    }

    fn values(self) -> Vec<Value> {
        let own = json!({"name": "load", "namespace": "app", "labels": {"owner": "unit"}});
        let mut values = vec![
            json!({"apiVersion": VERSION, "kind": "Gauge", "metadata": own, "spec": {"level": self.level}}),
            json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
                "metadata": {"name": "v1.metrics.example.com", "labels": {"owner": "unit"}},
                "spec": {"group": "metrics.example.com", "version": "v1", "groupPriorityMinimum": 100,
                    "versionPriority": 10, "service": {"name": "server", "namespace": "app"}}}),
        ];
        values.extend(server("server", self.server, self.is_bad));
        values
    }

    fn candidate(self) -> Candidate {
        candidate(&format!("{}.{}.{}", self.server, self.level, self.is_bad), self.values())
    }
}

fn behaviour(scope: LandingScope) -> Behaviour {
    Behaviour { prune: true, scope, owner_labels: vec![("owner".into(), "unit".into())], ..Behaviour::default() }
}

fn begin(landed: Option<Revision>) -> Stage {
    let mut stage = Stage::new(7);
    let memory = stage.memory();
    // Where the server keeps its objects.
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let kept = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "gauges.metrics.example.com"},
        "spec": {"group": "metrics.example.com", "scope": "Namespaced",
            "names": {"kind": "Gauge", "plural": "gauges", "singular": "gauge", "listKind": "GaugeList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}]}});
    let call = Call::Apply {
        object: Object::new(kept).unwrap(),
        manager: "others".into(),
        force: true,
        dry_run: false,
        subresource: None,
    };
    block_on(memory.call(call)).expect("defined");
    block_on(memory.call(Call::Discover)).expect("known");
    let is_discovered = Arc::default();
    let aggregated = Aggregated { memory, healthy: stage.healthy.clone(), is_discovered };
    stage.cluster = FaultyCluster::new(Arc::new(aggregated), fault::none());
    if let Some(revision) = landed {
        assert_eq!(land(&stage, revision), Ok(Verdict::Landed));
    }
    stage
}

fn land(stage: &Stage, revision: Revision) -> Result<Verdict, String> {
    Ok(block_on(stage.land_this(revision.candidate(), behaviour(LandingScope::Unit)))?.verdict)
}

/// Everything, with the API and its objects, whether somebody serves them or not.
fn picture(stage: &Stage) -> Value {
    let mut picture = stage.picture();
    let memory = stage.memory();
    for (version, kind) in [(VERSION, "Gauge"), ("apiregistration.k8s.io/v1", "APIService")] {
        let memory: &dyn Cluster = &memory;
        for object in block_on(memory.list(&Selection::all(version, kind))).expect("is listed") {
            picture[object.id().to_string()] = apply::diff::content(&object);
        }
    }
    picture
}

fn steps(prepared: &apply::Prepared) -> Vec<String> {
    let told = |step: &Step| match step {
        Step::Apply(change) => change.desired.object.kind().to_owned(),
        Step::Await(targets, reading, _) if *reading == Reading::Served => format!("served {}", targets[0].name),
        Step::Await(targets, ..) => format!("await {}", targets[0].name),
        Step::Put(_) | Step::Hook(_) => "other".to_owned(),
    };
    prepared.landing().steps.iter().map(told).collect()
}

#[test]
fn objects_of_a_new_api_are_not_tried_and_land_behind_it() {
    for scope in [LandingScope::Unit, LandingScope::Parcel] {
        let stage = begin(None);
        let prepared = block_on(stage.prepare(Revision::new(1, 1).candidate(), behaviour(scope))).expect("accepted");
        let expected = [
            "Namespace",
            "Service",
            "Deployment",
            "await server",
            "APIService",
            "served v1.metrics.example.com",
            "Gauge",
        ];
        assert_eq!(steps(&prepared), expected);
        let gauge = prepared.landing().changes().find(|change| change.desired.object.kind() == "Gauge").unwrap();
        assert_eq!(gauge.proof, Proof::None);
        let outcome = block_on(stage.commit(prepared)).expect("lands");
        assert_eq!((outcome.verdict, outcome.failures.len()), (Verdict::Landed, 0));
        let again = block_on(stage.prepare(Revision::new(1, 1).candidate(), behaviour(scope))).expect("accepted");
        assert!(again.landing().is_empty(), "at rest nothing is written");
    }
}

#[test]
fn an_api_that_is_not_available_is_waited_for_unless_the_landing_brings_it() {
    let stage = begin(Some(Revision::new(1, 1)));
    stage.healthy.lock().unwrap().clear();
    let broken = land(&stage, Revision::new(1, 2)).expect_err("nobody serves it");
    assert!(broken.contains("Gauge/app/load"), "{broken}");
    assert_eq!(land(&stage, Revision::new(2, 2)), Ok(Verdict::Landed), "the server is mended by the same commit");
    let without: Vec<Value> =
        Revision::new(3, 3).values().into_iter().filter(|value| value["kind"] != "APIService").collect();
    let stage = begin(None);
    let refused =
        block_on(stage.prepare(candidate("3", without), behaviour(LandingScope::Unit))).err().expect("unknown");
    assert!(refused.contains("Gauge"), "{refused}");
}

#[test]
fn a_server_that_does_not_become_ready_takes_its_api_and_its_objects_back() {
    for before in [None, Some(Revision::new(1, 1))] {
        let stage = begin(before);
        let old = picture(&stage);
        assert_eq!(land(&stage, Revision::new(2, 2).bad()), Ok(Verdict::Undone));
        let mut now = picture(&stage);
        if before.is_none() {
            // Never deleted by an undo.
            assert!(now.as_object_mut().unwrap().remove("Namespace app").is_some());
        }
        assert_eq!(differences(&now, &old), "");
    }
}

#[test]
fn an_api_that_leaves_with_its_objects_goes_after_them() {
    let stage = begin(Some(Revision::new(1, 1)));
    let namespace = server("server", 1, false).into_iter().take(1).collect();
    let outcome = block_on(stage.land_this(candidate("2", namespace), behaviour(LandingScope::Unit))).expect("lands");
    assert_eq!((outcome.verdict, outcome.failures.len()), (Verdict::Landed, 0));
    let gone: Vec<String> = outcome.pruned.iter().map(|id| id.kind.clone()).collect();
    assert_eq!(gone.iter().position(|kind| kind == "Gauge"), Some(0), "{gone:?}");
    let left = block_on((&stage.memory() as &dyn Cluster).get(&Reference::new(VERSION, "Gauge", "app", "load")));
    assert_eq!(left.expect("read").map(|object| object.id()), None);
}

#[test]
fn after_a_crash_anywhere_an_api_and_its_objects_are_old_or_new() {
    let crashing = |number: u64, crash: &Fault| -> Plan { fault::at_call(number, crash.clone()) };
    for (before, revision) in [
        (None, Revision::new(1, 1)),
        (Some(Revision::new(1, 1)), Revision::new(2, 2)),
        (Some(Revision::new(1, 1)), Revision::new(2, 2).bad()),
    ] {
        let calm = begin(before);
        let old = picture(&calm);
        calm.cluster.restart(fault::none());
        let verdict = land(&calm, revision).expect("lands or is undone");
        let (calls, new) = (calm.cluster.calls(), picture(&calm));
        for number in 1..=calls {
            for crash in [Fault::CrashBefore, Fault::CrashAfter] {
                let stage = begin(before);
                stage.cluster.restart(crashing(number, &crash));
                block_on(
                    stage.cluster.until_crash(stage.land_this(revision.candidate(), behaviour(LandingScope::Unit))),
                );
                stage.cluster.restart(fault::none());
                let place = format!("{crash:?} at call {number} of {calls}");
                block_on(stage.resume()).expect("resumes");
                let now = picture(&stage);
                assert!(now == old || now == new, "{place}: a third state\n{}", differences(&now, &old));
                assert_eq!(land(&stage, revision), Ok(verdict), "{place}");
                assert_eq!(differences(&picture(&stage), &new), "", "{place}");
            }
        }
    }
}

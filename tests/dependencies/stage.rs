//! A cluster in memory, a repository and an agent that waits for nothing but events.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use apply::cluster::{PatchKind, Subresource};
use apply::memory::Simulation;
use apply::{Call, Cluster, Reference};
use lockstep::agent::Agent;
use lockstep::api::schema;
use lockstep::cluster::journal::Keys;
use lockstep::cluster::local::Local;
use lockstep::pipeline::{Parts, Settings, World};
use lockstep::redact::Redactor;
use lockstep::resolve::azure::PodIdentity;
use manifest::Object;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::repository::Repository;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The namespace of Flux's objects.
pub(crate) const FLUX: &str = "flux-system";
const SYSTEM: &str = "system";

pub(crate) struct Stage {
    pub(crate) cluster: Arc<dyn Cluster>,
    pub(crate) git: Repository,
    folder: tempfile::TempDir,
    agent: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    time: JoinHandle<()>,
}

impl Stage {
    /// With an agent that runs.
    pub(crate) async fn new() -> Self {
        Self::through(|cluster| cluster).await
    }

    /// With an agent that sees the cluster through something.
    pub(crate) async fn through(seen: impl FnOnce(Arc<dyn Cluster>) -> Arc<dyn Cluster>) -> Self {
        let (folder, git) = (tempfile::tempdir().expect("a folder"), Repository::new());
        let local = Local::open(None, Simulation { steps: 1 }).expect("a cluster");
        let cluster: Arc<dyn Cluster> = Arc::new(local.clone());
        let time = tokio::spawn(async move { drop(local.run().await) });
        let mut stage = Self { cluster, git, folder, agent: None, time };
        for schema in schema::ALL {
            stage.apply(yaml::from_str(schema.text).expect("a schema")).await;
        }
        for name in [SYSTEM, FLUX] {
            stage.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})).await;
        }
        stage.start(seen(stage.cluster.clone())).await;
        stage
    }

    async fn start(&mut self, cluster: Arc<dyn Cluster>) {
        let settings = Settings {
            namespace: SYSTEM.into(),
            cache: self.folder.path().join("cache"),
            mirrors: vec![format!("https://git.example.com/app={}", self.git.url()).parse().expect("a rule")],
            requeue_dependency: Duration::from_secs(3600),
            ..Settings::default()
        };
        let parts = Parts {
            keys: Keys::load(&cluster, SYSTEM).await.expect("keys"),
            cluster,
            epoch: 0,
            redactor: Redactor::default(),
            pod: PodIdentity::default(),
            settings,
        };
        let agent = Agent::new(World::new(parts).expect("a world"), 4);
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(async move { agent.run(async { drop(stopped.await) }).await });
        self.agent = Some((stop, running));
    }

    /// Ends the agent in good order.
    pub(crate) async fn end(mut self) {
        if let Some((stop, running)) = self.agent.take() {
            drop(stop);
            running.await.expect("the agent ends");
        }
        self.time.abort();
    }

    pub(crate) async fn apply(&self, value: Value) {
        let object = Object::new(value).expect("an object");
        let call = Call::Apply { object, manager: "kubectl".into(), force: true, dry_run: false, subresource: None };
        self.cluster.write(call).await.expect("it is accepted");
    }

    /// Commits these files, and declares the source or has it looked at.
    pub(crate) async fn push(&self, files: &[(&str, &str)]) -> String {
        let commit = self.git.commit("main", "a change", files);
        self.apply(json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"name": "repo", "namespace": FLUX, "annotations": {"reconcile.fluxcd.io/requestedAt": commit}},
            "spec": {"url": "https://git.example.com/app", "interval": "1h", "ref": {"branch": "main"}}}))
            .await;
        commit
    }

    /// A Kustomization for the folder of the same name.
    pub(crate) async fn kustomization(&self, name: &str, spec: Value) {
        self.apply(kustomization(name, spec)).await;
    }

    /// Merges into an object; into its status when it has none else.
    pub(crate) async fn patch(&self, at: &Reference, patch: Value, subresource: Option<Subresource>) {
        let (at, manager) = (at.clone(), "somebody".to_owned());
        let call = Call::Patch { at, kind: PatchKind::Merge, patch, manager, dry_run: false, subresource };
        self.cluster.write(call).await.expect("it is accepted");
    }

    pub(crate) async fn get(&self, at: &Reference) -> Option<Object> {
        self.cluster.get(at).await.ok().flatten()
    }

    /// Waits until an object is so.
    pub(crate) async fn until(&self, at: &Reference, is_so: impl Fn(&Object) -> bool) -> Object {
        let began = Instant::now();
        loop {
            let found = self.get(at).await;
            if let Some(found) = found.as_ref().filter(|found| is_so(found)) {
                return found.clone();
            }
            if began.elapsed() > PATIENCE {
                panic!("{}: {:#}", at.id(), found.map(|found| found.value()["status"].clone()).unwrap_or_default());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until a Kustomization's Ready condition has this reason, and tells its message.
    pub(crate) async fn told(&self, name: &str, reason: &str) -> String {
        let is_so = |found: &Object| ready(found)["reason"] == reason;
        let found = self.until(&unit(name), is_so).await;
        ready(&found)["message"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until a Kustomization is ready.
    pub(crate) async fn landed(&self, name: &str) {
        self.until(&unit(name), |found| {
            ready(found)["status"] == "True" && found.value()["status"]["observedGeneration"] == found.generation()
        })
        .await;
    }
}

/// The Ready condition.
pub(crate) fn ready(object: &Object) -> Value {
    let conditions = object.value().pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready").cloned().unwrap_or_default()
}

/// Where a Kustomization lies.
pub(crate) fn unit(name: &str) -> Reference {
    Reference::new("kustomize.toolkit.fluxcd.io/v1", "Kustomization", FLUX, name)
}

/// A Kustomization for the folder of the same name.
pub(crate) fn kustomization(name: &str, spec: Value) -> Value {
    let mut value = json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
        "metadata": {"name": name, "namespace": FLUX}, "spec": {"interval": "1h", "retryInterval": "1h", "timeout": "20s",
            "prune": true, "path": name, "sourceRef": {"kind": "GitRepository", "name": "repo"}}});
    for (key, part) in spec.as_object().expect("a map") {
        value["spec"][key] = part.clone();
    }
    value
}

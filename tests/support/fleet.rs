//! An agent in this process on a cluster in memory, with a Git repository of several Kustomizations and a log of every
//! request. Included by path, beside `repository`.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apply::memory::Simulation;
use apply::{Answer, Call, Cluster, ClusterError, Reference, Selection, WatchEvent};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt as _};
use lockstep::agent::Agent;
use lockstep::api::schema;
use lockstep::cluster::journal::Keys;
use lockstep::cluster::local::Local;
use lockstep::pipeline::{Parts, Settings, World};
use lockstep::reconcile::Shared;
use lockstep::redact::Redactor;
use lockstep::resolve::azure::PodIdentity;
use manifest::Object;
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};

use super::repository::Repository;

pub const NAMESPACE: &str = "apps";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request of the agent: verb, whether it was a dry run, object.
pub type Request = (&'static str, bool, String);

/// Keeps every request, tears watches, and refuses deletes.
#[derive(Clone)]
struct Logged {
    inner: Arc<dyn Cluster>,
    log: Arc<Mutex<Vec<Request>>>,
    undeletable: Arc<Mutex<String>>,
    gap: watch::Receiver<bool>,
}

/// A watch that tells nothing in a gap, breaks at its end, and then lists anew: what happened in between is told by nothing else.
struct Torn {
    inner: Arc<dyn Cluster>,
    selection: Selection,
    events: BoxStream<'static, Result<WatchEvent, ClusterError>>,
    gap: watch::Receiver<bool>,
}

impl Torn {
    async fn next(&mut self) -> Result<WatchEvent, ClusterError> {
        loop {
            if *self.gap.borrow_and_update() {
                self.gap.changed().await.expect("the fleet is there");
                self.events = self.inner.watch(self.selection.clone());
                let message = "the connection has broken".into();
                return Err(ClusterError::Unavailable { id: None, message, retry_after: None });
            }
            tokio::select! {
                biased;
                Ok(()) = self.gap.changed() => {}
                Some(event) = self.events.next() => return event,
            }
        }
    }
}

impl Cluster for Logged {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, ClusterError>> {
        if let Some(at) = call.reference() {
            let is_dry_run = matches!(&call, Call::Apply { dry_run: true, .. });
            self.log.lock().expect("a log").push((call.verb(), is_dry_run, at.id().to_string()));
            if matches!(call, Call::Delete { .. }) && *self.undeletable.lock().expect("a name") == at.name {
                let refusal = ClusterError::Forbidden { id: Some(at.id()), message: "no role allows it".into() };
                return Box::pin(std::future::ready(Err(refusal)));
            }
        }
        self.inner.call(call)
    }

    fn watch(&self, selection: Selection) -> BoxStream<'static, Result<WatchEvent, ClusterError>> {
        let (inner, gap) = (self.inner.clone(), self.gap.clone());
        let torn = Torn { events: inner.watch(selection.clone()), inner, selection, gap };
        stream::unfold(torn, |mut torn| async move { Some((torn.next().await, torn)) }).boxed()
    }

    fn impersonate(&self, user: &str) -> Arc<dyn Cluster> {
        Arc::new(Self { inner: self.inner.impersonate(user), ..self.clone() })
    }
}

pub struct Fleet {
    pub cluster: Arc<dyn Cluster>,
    pub git: Repository,
    /// What kustomizations may name as `https://git.example.com/base`.
    pub base: Repository,
    /// How the agent is started.
    pub no_remote_bases: bool,
    files: Mutex<BTreeMap<String, String>>,
    log: Arc<Mutex<Vec<Request>>>,
    undeletable: Arc<Mutex<String>>,
    gap: watch::Sender<bool>,
    folder: tempfile::TempDir,
    shared: Option<Arc<Shared>>,
    running: Option<(oneshot::Sender<()>, tokio::task::JoinHandle<()>)>,
    time: tokio::task::JoinHandle<()>,
}

impl Fleet {
    pub async fn new() -> Self {
        let local = Local::open(None, Simulation { steps: 1 }).expect("a cluster");
        let cluster: Arc<dyn Cluster> = Arc::new(local.clone());
        let time = tokio::spawn(async move { drop(local.run().await) });
        let folder = tempfile::tempdir().expect("a folder");
        let (git, base, files, log) = (Repository::new(), Repository::new(), Mutex::default(), Arc::default());
        let (gap, undeletable) = (watch::Sender::new(false), Arc::default());
        let mut fleet = Self {
            cluster,
            git,
            base,
            no_remote_bases: false,
            files,
            log,
            undeletable,
            gap,
            folder,
            shared: None,
            running: None,
            time,
        };
        for schema in schema::ALL {
            fleet.apply(yaml::from_str(schema.text).expect("a schema")).await;
        }
        for name in ["system", NAMESPACE] {
            fleet.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})).await;
        }
        let source = json!({"url": "https://git.example.com/app", "interval": "1s", "ref": {"branch": "main"}});
        fleet.apply(object("source.toolkit.fluxcd.io/v1", "GitRepository", "repo", json!({"spec": source}))).await;
        fleet.start().await;
        fleet
    }

    pub async fn start(&mut self) {
        let rules = [("app", &self.git), ("base", &self.base)];
        let rules = rules.map(|(name, git)| format!("https://git.example.com/{name}={}", git.url()));
        let settings = Settings {
            namespace: "system".into(),
            cache: self.folder.path().join("cache"),
            mirrors: rules.iter().map(|rule| rule.parse().expect("a rule")).collect(),
            no_remote_bases: self.no_remote_bases,
            requeue_dependency: Duration::from_secs(1),
            watched_configs: Some("reconcile.fluxcd.io/watch=Enabled".into()),
            ..Settings::default()
        };
        let keys = Keys::load(&self.cluster, "system").await.expect("keys");
        let gap = self.gap.subscribe();
        let (inner, log, undeletable) = (self.cluster.clone(), self.log.clone(), self.undeletable.clone());
        let cluster = Arc::new(Logged { inner, log, undeletable, gap });
        let (redactor, pod) = (Redactor::default(), PodIdentity::default());
        let world = World::new(Parts { cluster, keys, epoch: 0, redactor, pod, settings }).expect("a world");
        let agent = Agent::new(world, 4);
        self.shared = Some(agent.shared().clone());
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(async move { agent.run(async { drop(stopped.await) }).await });
        self.running = Some((stop, running));
    }

    pub async fn stop(&mut self) {
        if let Some((stop, running)) = self.running.take() {
            drop(stop);
            running.await.expect("the agent ends");
        }
    }

    /// Nothing of what was fetched is kept.
    pub fn forget_fetched(&self) {
        drop(std::fs::remove_dir_all(self.folder.path().join("cache")));
    }

    pub async fn end(mut self) {
        self.stop().await;
        self.time.abort();
    }

    /// The agent may not delete what has this name; any name before may be deleted again.
    pub fn protect(&self, name: &str) {
        name.clone_into(&mut self.undeletable.lock().expect("a name"));
    }

    /// From here on the agent's watches tell nothing; or they break, and list anew.
    pub fn blind(&self, is_blind: bool) {
        self.gap.send_replace(is_blind);
    }

    /// What is scraped.
    pub fn metrics(&self) -> String {
        self.shared.as_ref().map(|shared| shared.metrics.text()).unwrap_or_default()
    }

    /// Requests about an object since this was asked last.
    pub fn requests(&self, about: &str) -> Vec<Request> {
        let log = std::mem::take(&mut *self.log.lock().expect("a log"));
        log.into_iter().filter(|(.., id)| id.contains(about)).collect()
    }

    /// Makes a Kustomization of the folder of its name; `more` goes into its spec.
    pub async fn kustomization(&self, name: &str, annotations: Value, more: Value) {
        let mut spec = json!({"path": format!("./{name}"), "interval": "10m", "retryInterval": "1s", "timeout": "10s",
            "prune": true, "wait": true, "sourceRef": {"kind": "GitRepository", "name": "repo"}});
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        let metadata = json!({"name": name, "namespace": NAMESPACE, "annotations": annotations});
        let (version, kind) = ("kustomize.toolkit.fluxcd.io/v1", "Kustomization");
        self.apply(json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})).await;
    }

    /// Writes a unit's objects, to be committed.
    pub fn write(&self, unit: &str, objects: &[Value]) {
        let text: String = objects.iter().map(|object| format!("---\n{}", yaml::emit::to_yaml(object))).collect();
        self.files.lock().expect("files").insert(format!("{unit}/all.yaml"), text);
    }

    /// Writes a file, to be committed.
    pub fn put(&self, path: &str, text: &str) {
        self.files.lock().expect("files").insert(path.into(), text.into());
    }

    /// Takes a unit's objects out, to be committed.
    pub fn remove(&self, unit: &str) {
        self.files.lock().expect("files").remove(&format!("{unit}/all.yaml"));
    }

    /// Commits what was written.
    pub fn commit(&self) -> String {
        let files = self.files.lock().expect("files");
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        self.git.commit("main", "a revision", &files)
    }

    /// A SecretStore that holds these values.
    pub async fn store(&self, values: &[(&str, &str)]) {
        let data: Vec<Value> = values.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
        let spec = json!({"spec": {"provider": {"fake": {"data": data}}}});
        self.apply(object("external-secrets.io/v1", "SecretStore", "store", spec)).await;
    }

    /// What stands at `value` in a Secret.
    pub async fn secret(&self, name: &str) -> String {
        let secret = self.get("v1", "Secret", name).await.expect("it landed");
        let bytes = STANDARD.decode(secret.text("/data/value").expect("a key")).expect("base64");
        String::from_utf8(bytes).expect("text")
    }

    /// What a person does with kubectl.
    pub async fn apply(&self, value: Value) -> Object {
        let object = Object::new(value).expect("an object");
        let call = Call::Apply { object, manager: "tester".into(), force: true, dry_run: false, subresource: None };
        self.cluster.write(call).await.expect("it is accepted")
    }

    /// What `kubectl edit` does.
    pub async fn edit(&self, version: &str, kind: &str, name: &str, patch: Value) -> Object {
        self.patch("kubectl-edit", version, kind, name, patch).await
    }

    /// What some program does.
    pub async fn patch(&self, manager: &str, version: &str, kind: &str, name: &str, patch: Value) -> Object {
        let at = Reference::new(version, kind, NAMESPACE, name);
        let kind = apply::cluster::PatchKind::Merge;
        let manager = manager.into();
        let call = Call::Patch { at, kind, patch, manager, dry_run: false, subresource: None };
        self.cluster.write(call).await.expect("it is accepted")
    }

    pub async fn delete(&self, version: &str, kind: &str, name: &str) {
        let at = Reference::new(version, kind, NAMESPACE, name);
        let propagation = apply::cluster::Propagation::Background;
        let call = Call::Delete { at, uid: None, resource_version: None, propagation, dry_run: false };
        self.cluster.call(call).await.expect("it is deleted");
    }

    pub async fn get(&self, version: &str, kind: &str, name: &str) -> Option<Object> {
        self.cluster.get(&Reference::new(version, kind, NAMESPACE, name)).await.expect("it is served")
    }

    pub async fn until(
        &self,
        (version, kind, name): (&str, &str, &str),
        what: &str,
        is_so: impl Fn(Option<&Object>) -> bool,
    ) -> Option<Object> {
        let began = std::time::Instant::now();
        loop {
            let found = self.get(version, kind, name).await;
            if is_so(found.as_ref()) {
                return found;
            }
            if began.elapsed() > PATIENCE {
                panic!("{kind} {name} never became {what}: {:?}", found.map(|found| found.value().to_string()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the unit has answered to a commit.
    pub async fn answered(&self, unit: &str, commit: &str, status: &str) -> Object {
        let at = ("kustomize.toolkit.fluxcd.io/v1", "Kustomization", unit);
        let is_so = |found: Option<&Object>| {
            found.is_some_and(|found| {
                let attempted = found.text("/status/lastAttemptedRevision").is_some_and(|r| r.ends_with(commit));
                attempted && condition(found, "Ready")["status"] == status
            })
        };
        self.until(at, &format!("{status} at {commit}"), is_so).await.expect("it is there")
    }

    /// Messages of the events about a Kustomization, with their reasons.
    pub async fn events(&self, unit: &str) -> Vec<(String, String)> {
        if let Some(shared) = &self.shared {
            shared.recorder.settle().await;
        }
        let events = self.cluster.list(&Selection::all("v1", "Event").within(NAMESPACE)).await.expect("a list");
        let about = events.iter().filter(|event| event.text("/involvedObject/name") == Some(unit));
        let text = |event: &Object, at: &str| event.text(at).unwrap_or_default().to_owned();
        about.map(|event| (text(event, "/reason"), text(event, "/message"))).collect()
    }

    /// Waits until every object of the unit's kinds has been told of, and nothing is asked any more.
    pub async fn calm(&self) {
        if let Some(shared) = &self.shared {
            shared.recorder.settle().await;
        }
        let (mut quiet, began) = (0, std::time::Instant::now());
        while quiet < 5 {
            let log = || self.log.lock().expect("a log").iter().rev().take(20).cloned().collect::<Vec<_>>();
            assert!(began.elapsed() < PATIENCE, "it never becomes calm: {:?}", log());
            tokio::time::sleep(Duration::from_millis(60)).await;
            let count = self.log.lock().expect("a log").len();
            tokio::time::sleep(Duration::from_millis(60)).await;
            quiet = if self.log.lock().expect("a log").len() == count { quiet + 1 } else { 0 };
        }
        self.log.lock().expect("a log").clear();
    }
}

/// An object of the fleet's namespace.
pub fn object(version: &str, kind: &str, name: &str, rest: Value) -> Value {
    let mut value = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}});
    for (key, part) in rest.as_object().into_iter().flatten() {
        value[key] = part.clone();
    }
    value
}

/// An ExternalSecret of the same name as its key, which stands at `value`.
pub fn external(name: &str) -> Value {
    let data = json!([{"secretKey": "value", "remoteRef": {"key": name}}]);
    let spec = json!({"refreshInterval": "1s", "secretStoreRef": {"name": "store"}, "data": data});
    object("external-secrets.io/v1", "ExternalSecret", name, json!({ "spec": spec }))
}

pub fn config_map(name: &str, data: Value) -> Value {
    object("v1", "ConfigMap", name, json!({ "data": data }))
}

/// A Deployment that reads all of some Secrets.
pub fn deployment(name: &str, replicas: u32, secrets: &[&str]) -> Value {
    let sources: Vec<Value> = secrets.iter().map(|secret| json!({"secretRef": {"name": secret}})).collect();
    let container = json!({"name": "c", "image": "app:1", "envFrom": sources});
    let template = json!({"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}});
    let spec = json!({"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template});
    object("apps/v1", "Deployment", name, json!({ "spec": spec }))
}

pub fn condition(object: &Object, kind: &str) -> Value {
    let list = object.value().pointer("/status/conditions").and_then(Value::as_array);
    list.into_iter().flatten().find(|condition| condition["type"] == kind).cloned().unwrap_or_default()
}

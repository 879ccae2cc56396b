//! A unit on a cluster in memory, with the journal in the same cluster: what the crash tests play on.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apply::cluster::Propagation;
use apply::desired::{Candidate, Declarer, Desired, Hook, Put, Release};
use apply::fault::{Attempt, Fault, FaultyCluster};
use apply::journal::{Entry, Journal, Store, StoreError};
use apply::memory::{MemoryCluster, Settings};
use apply::{
    Answer, Base, Behaviour, Call, Claims, Clock, Cluster, ClusterError, Context, Health, Others, Outcome, Prepared,
    Reading, Reference, Ruling, Selection, Waited,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::{BoxFuture, FutureExt as _};
use manifest::{Object, ObjectId};
use serde_json::{Value, json};

/// One revision of the unit.
#[derive(Clone)]
pub struct Revision {
    pub number: u64,
    pub behaviour: Behaviour,
    /// The workload never becomes healthy.
    pub is_bad: bool,
    /// The server refuses two of its objects.
    pub is_invalid: bool,
    pub has_release: bool,
    /// It is too large to stand in a journal's header.
    pub is_large: bool,
}

impl Revision {
    pub fn new(number: u64, behaviour: Behaviour) -> Self {
        let owner_labels = vec![("owner".to_owned(), "unit".to_owned())];
        let behaviour = Behaviour { owner_labels, ..behaviour };
        Self { number, behaviour, is_bad: false, is_invalid: false, has_release: false, is_large: false }
    }

    pub fn with_release(self) -> Self {
        Self { has_release: true, ..self }
    }

    /// What the unit wants; a release that is deployed already asks for nothing.
    fn candidate(&self, is_deployed: bool) -> Candidate {
        let number = self.number.to_string();
        let own = |name: &str| json!({"name": name, "namespace": "app", "labels": {"owner": "unit"}});
        let config = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": own(name), "data": {"revision": number}});
        let ports = if self.is_invalid { json!("none") } else { json!([{"port": 80}]) };
        let values = [
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "app", "labels": {"owner": "unit"}}}),
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": own("db"), "data": {"version": STANDARD.encode(&number)}}),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": own("settings"),
                "data": {"revision": number, "padding": "x".repeat(if self.is_large { 50_000 } else { 0 })}}),
            config(&format!("only-{number}")),
            json!({"apiVersion": "v1", "kind": "Service", "metadata": own("web"),
                "spec": {"selector": {"app": "web"}, "ports": ports}}),
            self.workload(),
        ];
        let objects = values.into_iter().map(|value| Desired::new(Object::new(value).unwrap(), "unit")).collect();
        let releases = if self.has_release && !is_deployed { vec![self.release()] } else { Vec::new() };
        Candidate { revision: number.clone(), input: number, objects, releases, ..Candidate::default() }
    }

    fn workload(&self) -> Value {
        let mut labels = json!({"app": "web"});
        if self.is_bad {
            labels["testbed/fail"] = "true".into();
        }
        let containers = json!([{"name": "web", "image": "web", "env": [
            {"name": "VERSION", "valueFrom": {"secretKeyRef": {"name": "db", "key": "version"}}}]}]);
        let containers = if self.is_invalid { json!("none") } else { containers };
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "app", "labels": {"owner": "unit"}},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": {
                "metadata": {"labels": labels, "annotations": {"revision": self.number.to_string()}},
                "spec": {"containers": containers}}}})
    }

    fn release(&self) -> Release {
        let put = |status: &str, undo_deletes: bool| Put {
            object: Object::new(json!({"apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1",
                "metadata": {"name": "sh.helm.release.v1.chart.v1", "namespace": "app", "labels": {"status": status}},
                "data": {"release": "eA=="}}))
            .unwrap(),
            manager: "helm".into(),
            undo: Vec::new(),
            undo_deletes,
        };
        let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "migrate", "namespace": "app"},
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]}}}});
        let hook = Hook {
            object: Object::new(job).unwrap(),
            manager: "helm".into(),
            delete_before: true,
            delete_succeeded: true,
            delete_failed: false,
            timeout: Duration::from_secs(60),
        };
        let id = ObjectId {
            namespace: "app".into(),
            name: "chart".into(),
            group: "helm".into(),
            kind: "HelmRelease".into(),
        };
        let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "chart", "namespace": "app",
            "annotations": {"meta.helm.sh/release-name": "chart"}}});
        let object =
            Desired { declarer: Declarer::Release(id.clone()), ..Desired::new(Object::new(config).unwrap(), "helm") };
        Release {
            id,
            begin: vec![put("pending-install", true)],
            before: vec![hook],
            objects: vec![object],
            wait: Some((Reading::Release, Duration::from_secs(60))),
            after: Vec::new(),
            finish: vec![put("deployed", false)],
        }
    }
}

/// What was seen of the order of writes.
#[derive(Default)]
struct Seen {
    secret: Option<u64>,
    workload: Option<u64>,
    violations: Vec<String>,
    hooks: u64,
}

/// A cluster with one unit.
pub struct Stage {
    pub cluster: FaultyCluster,
    memory: MemoryCluster,
    seen: Arc<Mutex<Seen>>,
    unit: String,
    /// What other units hold, and what is said of what is about to be deleted.
    pub others: (Claims, Rulings),
    /// What the unit's status lists besides what landed.
    pub inventory: Vec<Reference>,
    /// Generation of each object with which it was found healthy, by name.
    pub healthy: Healthy,
}

pub type Healthy = Arc<Mutex<BTreeMap<String, i64>>>;

/// By name; of all else it is said that it is nobody's.
#[derive(Clone, Default)]
pub struct Rulings(pub BTreeMap<String, Ruling>);

impl Others for Rulings {
    fn ruling(&self, at: &Reference) -> Ruling {
        self.0.get(&at.name).copied().unwrap_or(Ruling::Nobodys)
    }
}

impl Stage {
    pub fn new(seed: u64) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let observer = {
            let seen = seen.clone();
            Arc::new(move |_: Option<&str>, call: &Call, answer: &Result<Answer, ClusterError>| {
                observe(&mut seen.lock().unwrap(), call, answer);
            })
        };
        let memory = MemoryCluster::new(Settings { seed, observer: Some(observer), ..Settings::default() });
        let cluster = FaultyCluster::new(Arc::new(memory.clone()), apply::fault::none());
        Self {
            cluster,
            memory,
            seen,
            unit: "Kustomization/flux-system/app".into(),
            others: Default::default(),
            inventory: Vec::new(),
            healthy: Arc::default(),
        }
    }

    /// Another unit on the same cluster.
    pub fn beside(&self, unit: &str) -> Self {
        let (cluster, memory, seen) = (self.cluster.clone(), self.memory.clone(), self.seen.clone());
        let (others, inventory, healthy) = (Default::default(), Vec::new(), self.healthy.clone());
        Self { cluster, memory, seen, unit: unit.into(), others, inventory, healthy }
    }

    /// The cluster without faults.
    pub fn memory(&self) -> MemoryCluster {
        self.memory.clone()
    }

    pub fn shared(&self) -> Arc<dyn Cluster> {
        Arc::new(self.cluster.clone())
    }

    async fn journal(&self) -> Result<Journal, String> {
        self.journal_of(1).await
    }

    /// The journal as the leader of an epoch finds it.
    pub async fn journal_of(&self, epoch: u64) -> Result<Journal, String> {
        let store = Arc::new(PlainStore(self.shared()));
        Journal::load(store, &self.unit, epoch).await.map_err(|e| e.to_string())
    }

    /// The epoch of a leader, by the lease's.
    pub async fn epoch(&self, of_lease: u64) -> Result<u64, String> {
        let store: Arc<dyn apply::Store> = Arc::new(PlainStore(self.shared()));
        Journal::epoch(&store, of_lease).await.map_err(|e| e.to_string())
    }

    /// Another leader goes on with what is open, and dies with its first write to an object.
    pub async fn take_over(&self, epoch: u64) -> Result<(), String> {
        let mut journal = self.journal_of(epoch).await?;
        let is_apply = |attempt: &Attempt<'_>| matches!(attempt.call, Call::Apply { .. });
        self.cluster.restart(Box::new(move |attempt| is_apply(attempt).then_some(Fault::CrashBefore)));
        let parts = Parts::new(self);
        self.cluster.until_crash(apply::resume(&mut journal, &parts.context())).await;
        self.cluster.restart(apply::fault::none());
        Ok(())
    }

    /// What the agent does with a revision: first what is open, then the new one.
    pub async fn land(&self, revision: &Revision) -> Result<Outcome, String> {
        self.resume().await?;
        let is_deployed = self.is_deployed().await;
        self.land_this(revision.candidate(is_deployed), revision.behaviour.clone()).await
    }

    /// The same, with a candidate.
    pub async fn land_this(&self, candidate: Candidate, behaviour: Behaviour) -> Result<Outcome, String> {
        self.resume().await?;
        let prepared = self.prepare(candidate, behaviour).await?;
        self.commit(prepared).await
    }

    /// Compares and tries.
    pub async fn prepare(&self, candidate: Candidate, behaviour: Behaviour) -> Result<Prepared, String> {
        let journal = self.journal().await?;
        let landed = journal.landed().map(|landed| landed.as_ref().clone());
        let failed = journal.attempt().map(|attempt| attempt.failed.clone()).unwrap_or_default();
        let (others, inventory) = (self.others.0.clone(), self.inventory.clone());
        let base = Base { landed, failed, others, inventory, ..Base::default() };
        let told =
            |failures: Vec<apply::Failure>| failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let cluster = self.shared();
        apply::propose(candidate, behaviour, &base, &cluster, &seal).await.map_err(told)
    }

    /// Lands what is prepared.
    pub async fn commit(&self, prepared: Prepared) -> Result<Outcome, String> {
        let mut journal = self.journal().await?;
        let parts = Parts::new(self);
        apply::land(prepared, &mut journal, &parts.context()).await.map_err(|e| e.to_string())
    }

    /// What the agent does with what stands alone: it makes it, or else proposes and lands it.
    pub async fn create_or_land(&self, candidate: Candidate, behaviour: Behaviour) -> Result<Outcome, String> {
        self.resume().await?;
        let mut journal = self.journal().await?;
        let parts = Parts::new(self);
        let created = apply::create(&candidate, &behaviour, &seal, &mut journal, &parts.context()).await;
        match created.map_err(|e| e.to_string())? {
            Some(outcome) => Ok(outcome),
            None => self.land_this(candidate, behaviour).await,
        }
    }

    /// What the agent does at its start.
    pub async fn resume(&self) -> Result<Option<Outcome>, String> {
        let mut journal = self.journal().await?;
        let parts = Parts::new(self);
        apply::resume(&mut journal, &parts.context()).await.map_err(|e| e.to_string())
    }

    /// Content of everything but the journal and what stands in every cluster.
    pub fn picture(&self) -> Value {
        let mut picture = serde_json::Map::new();
        for (version, kind) in KINDS {
            for object in self.list(version, kind) {
                if !object.name().starts_with("landing-") && !object.namespace().starts_with("kube") {
                    picture.insert(format!("{kind} {}", object.name()), content(&object));
                }
            }
        }
        Value::Object(picture)
    }

    /// Resource versions of the same objects.
    pub fn versions(&self) -> BTreeMap<String, String> {
        let all = KINDS.iter().flat_map(|(version, kind)| self.list(version, kind));
        let own = all.filter(|object| !object.name().starts_with("landing-"));
        own.map(|object| (object.id().to_string(), object.resource_version().to_owned())).collect()
    }

    /// Entries of the journal besides its header and the body of what landed.
    pub fn leftovers(&self) -> Vec<String> {
        let names = self.list("v1", "Secret").into_iter().map(|object| object.name().to_owned());
        let mut entries: Vec<String> = names.filter(|name| name.starts_with("landing-")).collect();
        entries.sort();
        entries.split_off(entries.len().min(2))
    }

    pub fn assert_no_consumer_was_newer_than_its_secret(&self, place: &str) {
        let seen = self.seen.lock().unwrap();
        assert!(seen.violations.is_empty(), "{place}: {:?}", seen.violations);
    }

    pub fn assert_hooks_ran_once(&self, place: &str) {
        let hooks = self.seen.lock().unwrap().hooks;
        assert!(hooks <= 1, "{place}: the hook ran {hooks} times");
    }

    async fn is_deployed(&self) -> bool {
        let memory: Arc<dyn Cluster> = Arc::new(self.memory.clone());
        let records = memory.list(&Selection::all("v1", "Secret")).await.expect("is served");
        records.iter().any(|record| record.label("status") == Some("deployed"))
    }

    pub fn list(&self, version: &str, kind: &str) -> Vec<Object> {
        let memory: Arc<dyn Cluster> = Arc::new(self.memory.clone());
        futures::executor::block_on(memory.list(&Selection::all(version, kind))).expect("is served")
    }
}

const KINDS: [(&str, &str); 6] = [
    ("v1", "Namespace"),
    ("v1", "Secret"),
    ("v1", "ConfigMap"),
    ("v1", "Service"),
    ("apps/v1", "Deployment"),
    ("batch/v1", "Job"),
];

/// Content without the addresses that the server deals out in the order of requests.
fn content(object: &Object) -> Value {
    let mut content = apply::diff::content(object);
    if let Some(spec) = content.get_mut("spec").and_then(Value::as_object_mut) {
        spec.retain(|field, _| field != "clusterIP" && field != "clusterIPs");
    }
    content
}

fn seal(bytes: &[u8]) -> String {
    format!("{:x}", bytes.iter().fold(7_u64, |sum, b| sum.wrapping_mul(31) + u64::from(*b)))
}

/// What differs between two pictures, one line each.
pub fn differences(left: &Value, right: &Value) -> String {
    let keys = |picture: &Value| picture.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let all: BTreeSet<String> = keys(left).union(&keys(right)).cloned().collect();
    let lines = all.iter().filter(|key| left.get(key) != right.get(key));
    lines.map(|key| format!("{key}:\n  {}\n  {}\n", show(left.get(key)), show(right.get(key)))).collect()
}

fn show(value: Option<&Value>) -> String {
    value.map_or_else(|| "absent".to_owned(), Value::to_string)
}

/// Notes writes to the Secret and its consumer: the consumer's revision must never be above the Secret's.
fn observe(seen: &mut Seen, call: &Call, answer: &Result<Answer, ClusterError>) {
    let Some(at) = call.reference().filter(|_| call.is_write() && answer.is_ok()) else { return };
    let object = match answer {
        Ok(Answer::Object(object)) => object.as_ref(),
        _ => None,
    };
    let is_deletion = matches!(call, Call::Delete { .. });
    let live = object.filter(|_| !is_deletion);
    match (at.gvk.kind.as_str(), at.name.as_str()) {
        ("Secret", "db") => {
            let text = live.and_then(|object| object.text("/data/version"));
            seen.secret = text.and_then(|text| String::from_utf8(STANDARD.decode(text).ok()?).ok()?.parse().ok());
        }
        ("Deployment", "web") => {
            let text = live.and_then(|object| object.text("/spec/template/metadata/annotations/revision"));
            seen.workload = text.and_then(|text| text.parse().ok());
        }
        ("Job", "migrate") if matches!(call, Call::Create { .. }) => seen.hooks += 1,
        _ => return,
    }
    if seen.workload > seen.secret {
        seen.violations.push(format!("workload {:?} beside secret {:?}", seen.workload, seen.secret));
    }
}

/// What a landing needs besides the cluster.
struct Parts {
    cluster: Arc<dyn Cluster>,
    /// Virtual time, which passes only while somebody sleeps.
    now: Arc<Mutex<Duration>>,
    others: Rulings,
    healthy: Healthy,
}

impl Parts {
    fn new(stage: &Stage) -> Self {
        let (others, healthy) = (stage.others.1.clone(), stage.healthy.clone());
        Self { cluster: stage.shared(), now: Arc::default(), others, healthy }
    }

    fn context(&self) -> Context<'_> {
        Context { cluster: self.cluster.clone(), clock: self, health: self, others: &self.others, progress: &|_| {} }
    }
}

impl Clock for Parts {
    fn now(&self) -> Duration {
        *self.now.lock().unwrap()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        *self.now.lock().unwrap() += duration;
        futures::future::ready(()).boxed()
    }
}

impl Health for Parts {
    fn wait<'a>(&'a self, targets: &'a [Reference], _: Reading, _: Duration) -> BoxFuture<'a, Waited> {
        async move {
            let mut failed = Vec::new();
            for target in targets {
                let live = self.cluster.get(target).await.ok().flatten();
                let label = |name: &str| {
                    let at = format!("/spec/template/metadata/labels/testbed~1{name}");
                    live.as_ref().and_then(|live| live.text(&at)).map(str::to_owned)
                };
                if label("fail").is_some() {
                    failed.push((target.id(), "crash loop".to_owned()));
                } else if let Some(live) = &live {
                    self.healthy.lock().unwrap().insert(target.name.clone(), live.generation());
                }
                // It cannot run beside that one.
                let rival = label("rival").map(|name| Reference { name, ..target.clone() });
                if let Some(rival) = rival
                    && self.cluster.get(&rival).await.is_ok_and(|live| live.is_some())
                {
                    failed.push((target.id(), "unschedulable".to_owned()));
                }
            }
            if failed.is_empty() { Waited::Healthy } else { Waited::Unhealthy { failed, pending: Vec::new() } }
        }
        .boxed()
    }
}

/// Journal entries as Secrets, not encrypted.
struct PlainStore(Arc<dyn Cluster>);

fn at(name: &str) -> Reference {
    Reference::new("v1", "Secret", "default", name)
}

fn failed(name: &str) -> impl Fn(ClusterError) -> StoreError + '_ {
    move |error| StoreError::Failed { name: name.into(), message: error.to_string() }
}

impl Store for PlainStore {
    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        async move {
            let found = self.0.get(&at(name)).await.map_err(failed(name))?;
            Ok(found.map(|secret| {
                let bytes = STANDARD.decode(secret.text("/data/entry").unwrap()).unwrap();
                (bytes, secret.resource_version().to_owned())
            }))
        }
        .boxed()
    }

    fn put<'a>(
        &'a self,
        name: &'a str,
        bytes: Vec<u8>,
        version: Option<&'a str>,
    ) -> BoxFuture<'a, Result<String, StoreError>> {
        let mut value = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "default"},
            "data": {"entry": STANDARD.encode(bytes)}});
        let (manager, dry_run, subresource) = ("journal".to_owned(), false, None);
        let call = match version {
            Some(version) => {
                value["metadata"]["resourceVersion"] = version.into();
                Call::Update { object: Object::new(value).unwrap(), manager, dry_run, subresource }
            }
            None => Call::Create { object: Object::new(value).unwrap(), manager, dry_run, subresource },
        };
        async move { Ok(self.0.write(call).await.map_err(failed(name))?.resource_version().to_owned()) }.boxed()
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        let call = Call::Delete {
            at: at(name),
            uid: None,
            resource_version: None,
            propagation: Propagation::Background,
            dry_run: false,
        };
        async move { self.0.call(call).await.map(drop).map_err(failed(name)) }.boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        async move {
            let all = self.0.list(&Selection::all("v1", "Secret").within("default")).await.map_err(failed(prefix))?;
            let names = all.iter().map(|secret| secret.name().to_owned());
            Ok(names.filter(|name| name.starts_with(prefix)).collect())
        }
        .boxed()
    }

    /// Never the same bytes twice, as with any good cipher.
    fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        static NONCE: AtomicU64 = AtomicU64::new(0);
        Ok([&NONCE.fetch_add(1, Ordering::Relaxed).to_be_bytes(), plain].concat())
    }

    fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        Ok(sealed.get(8..).unwrap_or_default().to_vec())
    }
}

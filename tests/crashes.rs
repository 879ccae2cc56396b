//! The agent dies at random calls to the API server, in the middle of landings, on the cluster in memory: what starts
//! next brings each unit to rest, whole, with one rollout, and leaves nothing behind.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here stops the test")]

#[path = "support/dice.rs"]
mod dice;
#[path = "support/repository.rs"]
mod repository;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use apply::fault::{self, Fault, FaultyCluster};
use apply::memory::{MemoryCluster, Settings as MemorySettings, Simulation};
use apply::{Answer, Call, Cluster, ClusterError, Journal, Reference, Selection};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dice::Dice;
use jiff::{SignedDuration, Timestamp};
use lockstep::agent::Agent;
use lockstep::api::schema;
use lockstep::cluster::journal::{ClusterStore, Keys};
use lockstep::pipeline::{Parts, Settings, World};
use lockstep::redact::Redactor;
use lockstep::resolve::azure::PodIdentity;
use manifest::Object;
use serde_json::{Value, json};
use sops::{Format, Identities, Indents, MasterKey, Rule, RuleKind, Sealed};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// Clusters side by side, and kills on each.
const STAGES: u64 = 4;
const KILLS: u64 = 50;
const NAMESPACE: &str = "apps";
const SYSTEM: &str = "system";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A cluster with a repository and one Kustomization; agents come and go.
struct Stage {
    memory: MemoryCluster,
    seen: Arc<Mutex<Seen>>,
    folder: tempfile::TempDir,
    git: repository::Repository,
    recipient: String,
    number: u64,
    /// The newest revision that can become healthy: what is to be there at rest.
    good: u64,
    /// Rollouts so far.
    rollouts: i64,
    commit: String,
}

/// What was seen of the order of writes: which revision each object shows.
#[derive(Default)]
struct Seen {
    shows: BTreeMap<String, u64>,
    breaches: Vec<String>,
}

/// One agent, from its start to its end.
struct Life {
    runtime: Runtime,
    cluster: FaultyCluster,
    stop: oneshot::Sender<()>,
    running: tokio::task::JoinHandle<()>,
}

impl Stage {
    fn new(seed: u64) -> Self {
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let observer = {
            let seen = seen.clone();
            Arc::new(move |_: Option<&str>, call: &Call, answer: &Result<Answer, ClusterError>| {
                seen.lock().expect("no observer panics").observe(call, answer);
            })
        };
        let settings = MemorySettings {
            clock: Arc::new(Timestamp::now),
            seed,
            simulation: Some(Simulation { steps: 2 }),
            observer: Some(observer),
        };
        let (identity, recipient) = sops::generate();
        let (folder, git) = (tempfile::tempdir().expect("a folder"), repository::Repository::new());
        let memory = MemoryCluster::new(settings);
        let stage =
            Self { memory, seen, folder, git, recipient, number: 0, good: 0, rollouts: 0, commit: String::new() };
        schema::ALL.iter().for_each(|schema| stage.apply(yaml::from_str(schema.text).expect("a schema")));
        for name in [SYSTEM, NAMESPACE] {
            stage.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
        }
        stage.apply(
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sops-age", "namespace": NAMESPACE},
            "data": {"age.agekey": STANDARD.encode(identity.as_bytes())}}),
        );
        stage
    }

    fn cluster(&self) -> Arc<dyn Cluster> {
        Arc::new(self.memory.clone())
    }

    fn apply(&self, value: Value) {
        let object = Object::new(value).expect("an object");
        let call = Call::Apply { object, manager: "kubectl".into(), force: true, dry_run: false, subresource: None };
        futures::executor::block_on(self.cluster().write(call)).expect("it is accepted");
    }

    fn get(&self, version: &str, kind: &str, name: &str) -> Option<Object> {
        let at = Reference::new(version, kind, NAMESPACE, name);
        futures::executor::block_on(self.cluster().get(&at)).expect("it is served")
    }

    fn list(&self, version: &str, kind: &str, namespace: &str) -> Vec<Object> {
        let selection = Selection::all(version, kind).within(namespace);
        futures::executor::block_on(self.cluster().list(&selection)).expect("it is served")
    }

    /// Source and Kustomization.
    fn declare(&self) {
        self.source("0");
        self.apply(json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": "app", "namespace": NAMESPACE},
            "spec": {"path": "./app", "interval": "10m", "retryInterval": "1s", "timeout": "20s", "prune": true,
                "wait": true, "targetNamespace": NAMESPACE, "sourceRef": {"kind": "GitRepository", "name": "repo"},
                "decryption": {"provider": "sops", "secretRef": {"name": "sops-age"}}}}));
    }

    fn source(&self, requested: &str) {
        self.apply(
            json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"name": "repo", "namespace": NAMESPACE, "annotations": {"reconcile.fluxcd.io/requestedAt": requested}},
            "spec": {"url": "https://git.example.com/app", "interval": "10m", "ref": {"branch": "main"}}}),
        );
    }

    /// Commits the next revision, and asks for it. One that is bad has pods that never become ready.
    fn push(&mut self, is_bad: bool) {
        self.number += 1;
        let number = self.number;
        // What is taken back rolls forth and back.
        self.rollouts += if is_bad { 2 } else { 1 };
        self.good = if is_bad { self.good } else { number };
        let sealed = self.sealed(number);
        let files = [("app/app.yaml", manifests(number, is_bad)), ("app/sealed.yaml", sealed)];
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        self.commit = self.git.commit("main", "a revision", &files);
        self.source(&number.to_string());
    }

    fn sealed(&self, number: u64) -> String {
        let plain = format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: sealed\nstringData:\n  revision: 'sealed {number}'\n"
        );
        let rule = Rule { kind: RuleKind::EncryptedRegex, text: "^(data|stringData)$".into() };
        let groups = vec![vec![MasterKey::age(&self.recipient)]];
        let settings = sops::Settings { groups, rule, ..sops::Settings::default() };
        let mut random = |bytes: &mut [u8]| getrandom::fill(bytes).expect("randomness");
        let sealed = Sealed::encrypt(
            plain.as_bytes(),
            Format::Yaml,
            settings,
            &Identities::default(),
            "2026-01-02T03:04:05Z",
            &mut random,
        );
        let text = sealed.expect("it is encrypted").emit(Format::Yaml, Indents::default()).expect("it is written");
        String::from_utf8(text).expect("text")
    }

    /// Waits until `is_so`, while time passes for the controllers; tells whether it came to be.
    fn until(&self, is_so: impl Fn() -> bool) -> bool {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if is_so() {
                return true;
            }
            self.memory.advance(SignedDuration::from_millis(500));
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    /// Whether everybody says that the present revision is there, or was taken back.
    fn is_at_rest(&self) -> bool {
        let (unit, revision) = (self.unit(), format!("main@sha1:{}", self.commit));
        let ready = condition(&unit);
        if self.good < self.number {
            return unit.text("/status/lastAttemptedRevision") == Some(&revision)
                && ready["reason"] == "HealthCheckFailed"
                && ready["message"].as_str().is_some_and(|message| message.starts_with("held at "));
        }
        let external = self.get("external-secrets.io/v1", "ExternalSecret", "fetched");
        ready["status"] == "True"
            && unit.text("/status/lastAppliedRevision") == Some(&revision)
            && external.is_some_and(|external| condition(&external)["status"] == "True" && is_synced(&external))
    }

    /// Every status, for a failure.
    fn told(&self) -> String {
        let kinds = [
            ("source.toolkit.fluxcd.io/v1", "GitRepository", "repo"),
            ("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "app"),
            ("external-secrets.io/v1", "ExternalSecret", "fetched"),
        ];
        let all = kinds.iter().filter_map(|(version, kind, name)| self.get(version, kind, name));
        let told = |object: Object| {
            let status = object.value()["status"].clone();
            format!("\n{} of generation {}: {status}", object.kind(), object.generation())
        };
        all.map(told).collect()
    }

    fn unit(&self) -> Object {
        self.get("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "app").expect("it was applied")
    }

    /// The unit is wholly at its newest good revision, and nothing else is there.
    fn check(&self, place: &str) {
        let number = self.good;
        let text = |object: Option<Object>, at: &str| {
            object.and_then(|object| object.text(at).map(str::to_owned)).unwrap_or_else(|| panic!("{place}: no {at}"))
        };
        let secret = |name: &str| text(self.get("v1", "Secret", name), "/data/revision");
        assert_eq!(secret("sealed"), STANDARD.encode(format!("sealed {number}")), "{place}");
        assert_eq!(secret("fetched"), STANDARD.encode(format!("fetched {number}")), "{place}");
        let settings = text(self.get("v1", "ConfigMap", "settings"), "/data/revision");
        assert_eq!(settings, number.to_string(), "{place}");
        let web = self.get("apps/v1", "Deployment", "web").unwrap_or_else(|| panic!("{place}: no Deployment"));
        let marker = text(Some(web.clone()), "/spec/template/metadata/annotations/revision");
        assert_eq!(marker, number.to_string(), "{place}");
        assert_eq!(web.generation(), self.rollouts, "{place}: a revision is one rollout");
        assert_eq!(self.present(), self.inventory(), "{place}");
        let others: Vec<String> = self.list("v1", "ConfigMap", NAMESPACE).iter().map(|o| o.name().to_owned()).collect();
        assert_eq!(others.len(), 2, "{place}: {others:?}");
        let entries = self.list("v1", "Secret", SYSTEM).into_iter().filter(|o| o.name().starts_with("landing-"));
        assert_eq!(entries.count(), 1, "{place}: the journal is one entry, with the body of what landed");
        let seen = self.seen.lock().expect("no observer panics");
        assert!(seen.breaches.is_empty(), "{place}: {:?}", seen.breaches);
    }

    /// An agent that starts at rest writes nothing.
    fn check_quiet(&self) {
        let (life, before) = (Life::begin(self), self.memory.revision());
        let mut calls = 0;
        loop {
            // Longer than anything takes that it does at its start.
            std::thread::sleep(Duration::from_secs(2));
            let now = life.cluster.calls();
            if now == calls && now > 0 {
                break;
            }
            calls = now;
        }
        life.end();
        let written = self.written_since(before);
        assert_eq!(self.memory.revision(), before, "an agent that starts at rest writes nothing: {written}");
    }

    /// What has a newer version.
    fn written_since(&self, revision: u64) -> String {
        let kinds = [
            ("v1", "Event"),
            ("v1", "Secret"),
            ("apps/v1", "Deployment"),
            ("external-secrets.io/v1", "ExternalSecret"),
            ("external-secrets.io/v1", "SecretStore"),
            ("kustomize.toolkit.fluxcd.io/v1", "Kustomization"),
            ("source.toolkit.fluxcd.io/v1", "GitRepository"),
        ];
        let spaces = || [NAMESPACE, SYSTEM].into_iter();
        let all = kinds.iter().flat_map(|kind| spaces().map(move |namespace| (kind, namespace)));
        let all = all.flat_map(|((version, kind), namespace)| self.list(version, kind, namespace));
        let newer = all.filter(|object| object.resource_version().parse::<u64>().is_ok_and(|at| at > revision));
        newer.map(|object| format!("\n{}", object.value())).collect()
    }

    /// What carries the unit's label, without the Secret that has it from its ExternalSecret.
    fn present(&self) -> Vec<String> {
        let kinds = [
            ("v1", "Secret"),
            ("v1", "ConfigMap"),
            ("apps/v1", "Deployment"),
            ("external-secrets.io/v1", "ExternalSecret"),
            ("external-secrets.io/v1", "SecretStore"),
        ];
        let all = kinds.iter().flat_map(|(version, kind)| self.list(version, kind, NAMESPACE));
        let own = all.filter(|object| object.label("kustomize.toolkit.fluxcd.io/name") == Some("app"));
        let own = own.filter(|object| object.label("reconcile.external-secrets.io/managed").is_none());
        let mut ids: Vec<String> = own.map(|object| object.id().inventory()).collect();
        ids.sort();
        ids
    }

    fn inventory(&self) -> Vec<String> {
        let unit = self.unit();
        let entries = unit.value().pointer("/status/inventory/entries").and_then(Value::as_array);
        let ids = entries.into_iter().flatten().map(|entry| entry["id"].as_str().expect("an id").to_owned());
        let mut ids: Vec<String> = ids.collect();
        ids.sort();
        ids
    }
}

impl Seen {
    /// Notes which revision an object shows; a pod template must never be ahead of a Secret that it reads.
    fn observe(&mut self, call: &Call, answer: &Result<Answer, ClusterError>) {
        let Some(at) = call.reference().filter(|_| call.is_write()) else { return };
        let (Ok(Answer::Object(Some(object))), false) = (answer, at.namespace != NAMESPACE) else { return };
        let number = match (at.gvk.kind.as_str(), at.name.as_str()) {
            ("Secret", "sealed" | "fetched") => object.text("/data/revision").and_then(number_of),
            ("Deployment", "web") => {
                object.text("/spec/template/metadata/annotations/revision").and_then(|text| text.parse().ok())
            }
            _ => return,
        };
        self.shows.insert(at.name.clone(), number.unwrap_or_default());
        let shows = |name: &str| self.shows.get(name).copied().unwrap_or_default();
        if shows("web") > shows("sealed").min(shows("fetched")) {
            self.breaches.push(format!("{} was written: {:?}", at.name, self.shows));
        }
    }
}

/// The number at the end of a value, `sealed 7`.
fn number_of(encoded: &str) -> Option<u64> {
    let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    text.rsplit(' ').next()?.parse().ok()
}

impl Life {
    fn begin(stage: &Stage) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let cluster = FaultyCluster::new(stage.cluster(), fault::none());
        let parts = Parts {
            cluster: Arc::new(cluster.clone()),
            keys: runtime.block_on(Keys::load(&stage.cluster(), SYSTEM)).expect("keys"),
            epoch: 0,
            redactor: Redactor::default(),
            pod: PodIdentity::default(),
            settings: Settings {
                namespace: SYSTEM.into(),
                cache: stage.folder.path().join("cache"),
                mirrors: vec![format!("https://git.example.com/app={}", stage.git.url()).parse().expect("a rule")],
                requeue_dependency: Duration::from_secs(1),
                ..Settings::default()
            },
        };
        let _guard = runtime.enter();
        let agent = Agent::new(World::new(parts).expect("a world"), 4);
        let (stop, stopped) = oneshot::channel();
        let running = runtime.spawn(async move { agent.run(async { drop(stopped.await) }).await });
        drop(_guard);
        Self { runtime, cluster, stop, running }
    }

    /// From now on, the process dies at the `number`th call.
    fn doom(&self, number: u64, fault: Fault) {
        self.cluster.restart(fault::at_call(number, fault));
    }

    /// It is dead: no task of it goes on.
    fn bury(self) {
        self.runtime.shutdown_timeout(PATIENCE);
    }

    /// Ends it in good order.
    fn end(self) {
        drop(self.stop);
        self.runtime.block_on(self.running).expect("the agent ends");
        self.runtime.shutdown_timeout(PATIENCE);
    }
}

fn condition(object: &Object) -> Value {
    let conditions = object.value().pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready").cloned().unwrap_or_default()
}

/// Whether the status of an ExternalSecret is about its present spec.
fn is_synced(external: &Object) -> bool {
    let synced = external.text("/status/syncedResourceVersion").unwrap_or_default();
    synced.starts_with(&format!("{}-", external.generation()))
}

fn manifests(number: u64, is_bad: bool) -> String {
    format!(
        "apiVersion: external-secrets.io/v1
kind: SecretStore
metadata: {{name: store}}
spec: {{provider: {{fake: {{data: [{{key: revision-{number}, value: fetched {number}}}]}}}}}}
---
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {{name: fetched}}
spec: {{refreshInterval: 1h, secretStoreRef: {{name: store}}, data: [{{secretKey: revision, remoteRef: {{key: revision-{number}}}}}]}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings}}
data: {{revision: '{number}'}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: only-{}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  progressDeadlineSeconds: 5
  template:
    metadata: {{labels: {{app: web, testbed/fail: '{is_bad}'}}, annotations: {{revision: '{number}'}}}}
    spec:
      containers:
      - name: web
        image: web:1
        envFrom: [{{secretRef: {{name: sealed}}}}, {{secretRef: {{name: fetched}}}}, {{configMapRef: {{name: settings}}}}]
",
        number % 2
    )
}

/// A cluster's kills, one after the other; how many struck.
fn kills(seed: u64) -> u64 {
    let (mut stage, mut dice, mut struck) = (Stage::new(seed), Dice(seed), 0);
    stage.push(false);
    stage.declare();
    let mut life = Life::begin(&stage);
    assert!(stage.until(|| stage.is_at_rest()), "the first landing: {}", stage.told());
    stage.check("the first landing");
    life.cluster.restart(fault::none());
    stage.push(false);
    assert!(stage.until(|| stage.is_at_rest()), "a calm landing: {}", stage.told());
    stage.check("a calm landing");
    let calls = life.cluster.calls();
    assert!(calls > 40, "{calls} calls are too few to prove much");
    while struck < KILLS {
        // Each fourth time the successor dies as well, at its start or while it goes on.
        let deaths = if dice.below(4) == 0 { 2 } else { 1 };
        let mut place = format!("seed {seed}, revision {}", stage.number + 1);
        for death in 0..deaths {
            let fault = if dice.below(2) == 0 { Fault::CrashBefore } else { Fault::CrashAfter };
            let call = dice.below(calls) + 1;
            place = format!("{place}, {fault:?} at call {call} of {calls}");
            life.doom(call, fault);
            if death == 0 {
                stage.push(dice.below(5) == 0);
            }
            let is_over = || life.cluster.is_crashed() || stage.is_at_rest();
            assert!(stage.until(is_over), "{place}: {}", stage.told());
            struck += u64::from(life.cluster.is_crashed());
            life.bury();
            life = Life::begin(&stage);
        }
        let is_quiet = || stage.is_at_rest();
        assert!(stage.until(is_quiet), "{place}: it does not come to rest: {}", stage.told());
        stage.check(&place);
    }
    life.end();
    stage.check_quiet();
    let unit = lockstep::unit::Unit::kustomization(NAMESPACE, "app").to_string();
    let keys = Arc::new(futures::executor::block_on(Keys::load(&stage.cluster(), SYSTEM)).expect("keys"));
    let store = Arc::new(ClusterStore::new(stage.cluster(), SYSTEM, keys));
    let journal = futures::executor::block_on(Journal::load(store, &unit, 0)).expect("a good journal");
    assert!(journal.open().is_none(), "the journal is concluded");
    struck
}

/// The agent dies at each of the later calls of a revision that is taken back, as the one before it was: its successor tells
/// of the newer one.
#[test]
fn a_revision_that_is_taken_back_after_another_one_is_told_wherever_the_agent_dies() {
    let mut stage = Stage::new(1);
    stage.push(false);
    stage.declare();
    let mut life = Life::begin(&stage);
    assert!(stage.until(|| stage.is_at_rest()), "the first landing: {}", stage.told());
    stage.push(true);
    assert!(stage.until(|| stage.is_at_rest()), "a bad landing: {}", stage.told());
    // From when it undoes to some after it has told.
    for call in 40..76 {
        life.doom(call, Fault::CrashAfter);
        stage.push(true);
        assert!(stage.until(|| life.cluster.is_crashed() || stage.is_at_rest()), "call {call}: {}", stage.told());
        life.bury();
        life = Life::begin(&stage);
        assert!(stage.until(|| stage.is_at_rest()), "call {call} was the last: {}", stage.told());
        stage.check(&format!("call {call} was the last"));
    }
    life.end();
}

/// Seed of one cluster, for the same kills once more: a failure prints its own.
const SEED: &str = "LOCKSTEP_CRASH_SEED";

#[test]
fn killed_at_random_calls_the_agent_brings_its_unit_to_rest_whole_and_rolls_it_once() {
    let began = Instant::now();
    let seeds = match std::env::var(SEED) {
        Ok(seed) => {
            lockstep::telemetry::start("debug", Arc::new(str::to_owned));
            vec![seed.parse().expect("a number")]
        }
        Err(_) => {
            let first = Timestamp::now().as_microsecond().unsigned_abs();
            (first..first + STAGES).collect()
        }
    };
    let stages = seeds.len() as u64;
    let threads: Vec<_> = seeds.into_iter().map(|seed| std::thread::spawn(move || kills(seed))).collect();
    let struck: Vec<_> = threads.into_iter().map(std::thread::JoinHandle::join).collect();
    let struck: Option<u64> = struck.into_iter().map(Result::ok).sum();
    let struck = struck.unwrap_or_else(|| panic!("the seed is above; {SEED} runs it again"));
    println!("{struck} kills on {stages} clusters in {:?}", began.elapsed());
    assert!(struck >= stages * KILLS);
}

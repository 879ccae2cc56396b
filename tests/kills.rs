//! `kill -9` of the agent on the testbed, at random moments of landings: what is started again brings the unit to rest at
//! the new revision, whole; and a killed leader's successor goes on under the lease.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here stops the test")]

#[path = "support/agent.rs"]
mod agent;
#[path = "support/scene.rs"]
mod scene;
#[path = "support/secrecy.rs"]
mod secrecy;
#[path = "support/testbed.rs"]
mod testbed;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use agent::condition;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use scene::{History, Scene, generation};
use serde_json::Value;
use testbed::run;

const KILLS: usize = 20;
/// For the same moments once more: every run prints its own.
const SEED: &str = "LOCKSTEP_CRASH_SEED";
/// Secrets of SOPS, and of the vault.
const SEALED: [&str; 2] = ["sealed-one", "sealed-two"];
const FETCHED: [&str; 2] = ["fetched-one", "fetched-two"];
/// Each reads one Secret of either kind and a ConfigMap.
const WORKLOADS: [&str; 2] = ["web", "worker"];

/// A scene with the unit `app`, of which revisions come one after the other.
struct Story {
    scene: Scene,
    number: usize,
    commit: String,
}

impl Story {
    fn new(name: &str) -> Self {
        let scene = Scene::new(name);
        let keys = scene.testbed.data().join("keys").join(&scene.agent.namespace);
        std::fs::create_dir_all(&keys).expect("the data folder can be written");
        let key = keys.join("age.agekey");
        let key = key.to_str().expect("text");
        run(scene.testbed.tool("age-keygen").args(["-o", key]));
        let from_file = format!("--from-file={key}");
        let namespace = scene.agent.namespace.clone();
        scene.testbed.kubectl(&["create", "secret", "generic", "sops-age", "-n", &namespace, &from_file]);
        let recipient = run(scene.testbed.tool("age-keygen").args(["-y", key]));
        let rules = format!("creation_rules: [{{encrypted_regex: ^(data|stringData)$, age: {recipient}}}]\n");
        std::fs::write(scene.git.work().join(".sops.yaml"), rules).expect("the work tree can be written");
        let mut story = Self { scene, number: 0, commit: String::new() };
        story.push();
        let decryption = ", decryption: {provider: sops, secretRef: {name: sops-age}}";
        story.scene.testbed.apply(&scene::kustomization("app", &namespace, decryption));
        story.rest();
        story
    }

    fn value(&self, secret: &str, number: usize) -> String {
        self.scene.canary(&format!("{secret}/{number}"))
    }

    /// Pushes the next revision; nobody is told of it yet.
    fn push(&mut self) {
        self.number += 1;
        let number = self.number;
        for secret in SEALED {
            let file = format!("app/{secret}.yaml");
            let value = serde_json::to_string(&self.value(secret, number)).expect("text");
            let plain = format!(
                "apiVersion: v1\nkind: Secret\nmetadata: {{name: {secret}}}\nstringData: {{password: {value}}}\n"
            );
            self.scene.git.write(&file, &plain);
            let mut sops = self.scene.testbed.tool("sops");
            run(sops.current_dir(self.scene.git.work()).args(["encrypt", "-i", &file]));
        }
        FETCHED.iter().for_each(|key| {
            self.scene.vault.put(&format!("{key}-{number}"), &self.value(key, number));
        });
        self.scene.git.write("app/app.yaml", &manifests(number));
        self.commit = self.scene.git.push("a revision");
    }

    /// Waits until everything says that the present revision is there.
    fn rest(&self) {
        let revision = format!("main@sha1:{}", self.commit);
        let is_ready = |object: &Value| condition(object, "Ready")["status"] == "True";
        self.scene.agent.until("kustomization/app", |unit| {
            is_ready(unit) && unit["status"]["lastAppliedRevision"] == revision.as_str()
        });
        for name in FETCHED {
            self.scene.agent.until(&format!("externalsecret/{name}"), |external| {
                let synced = external["status"]["syncedResourceVersion"].as_str().unwrap_or_default();
                is_ready(external) && synced.starts_with(&format!("{}-", generation(external)))
            });
        }
    }

    /// The unit is wholly at the present revision, and nothing else is there.
    fn check(&self, place: &str) {
        let number = self.number;
        for secret in SEALED.iter().chain(&FETCHED) {
            assert_eq!(self.scene.secret(secret), self.value(secret, number), "{place}: {secret}");
        }
        let objects = self.objects();
        for object in objects.iter().filter(|object| object["kind"] == "Deployment") {
            let marker = &object["spec"]["template"]["metadata"]["annotations"]["revision"];
            assert_eq!(*marker, number.to_string(), "{place}");
            assert_eq!(generation(object), number as i64, "{place}: a revision is one rollout");
        }
        let marker = number.to_string();
        let mut maps = objects.iter().filter(|object| object["kind"] == "ConfigMap");
        assert!(maps.all(|map| map["data"]["revision"] == marker), "{place}");
        let present: BTreeSet<String> = objects.iter().map(inventory_id).collect();
        let unit = self.scene.agent.get("kustomization/app").expect("it is there");
        let entries = unit["status"]["inventory"]["entries"].as_array().expect("an inventory");
        let inventory: BTreeSet<String> = entries.iter().map(|e| e["id"].as_str().expect("an id").to_owned()).collect();
        assert_eq!(present, inventory, "{place}");
        assert_eq!(present.len(), 12, "{place}");
        self.check_journal(place);
    }

    /// Everything that carries the unit's label, without the Secrets that have it from their ExternalSecrets.
    fn objects(&self) -> Vec<Value> {
        let kinds = "secrets,configmaps,services,deployments,externalsecrets";
        let label = "kustomize.toolkit.fluxcd.io/name=app,!reconcile.external-secrets.io/managed";
        let namespace = &self.scene.agent.namespace;
        let text = self.scene.testbed.kubectl(&["get", kinds, "-n", namespace, "-l", label, "-o", "json"]);
        let list: Value = serde_json::from_str(&text).expect("kubectl writes JSON");
        list["items"].as_array().expect("a list").clone()
    }

    /// The journal is one header, which says that nothing is open and holds the body.
    fn check_journal(&self, place: &str) -> u64 {
        let namespace = &self.scene.agent.namespace;
        let journal = self.scene.testbed.kubectl(&[
            "get",
            "secrets",
            "-n",
            namespace,
            "-l",
            "lockstep.dev/journal",
            "-o",
            "json",
        ]);
        let journal: Value = serde_json::from_str(&journal).expect("kubectl writes JSON");
        let entries = journal["items"].as_array().expect("a list");
        let names: Vec<_> = entries.iter().map(|entry| entry["metadata"]["name"].to_string()).collect();
        assert_eq!(entries.len(), 1, "{place}: one entry, with the body of what landed: {names:?}");
        let header = entries.iter().find_map(|entry| {
            let bytes = STANDARD.decode(entry["data"]["entry"].as_str()?).ok()?;
            serde_json::from_slice::<Value>(&bytes).ok()
        });
        let header = header.unwrap_or_else(|| panic!("{place}: no header"));
        assert_eq!(header["open"], Value::Null, "{place}: the journal is concluded");
        header["epoch"].as_u64().expect("an epoch")
    }

    /// No workload was ever at a revision whose Secrets were not there yet; how many states were compared.
    fn check_order(&self, history: &History) -> usize {
        let mut compared = 0;
        for (index, workload) in WORKLOADS.iter().enumerate() {
            for (version, state) in history.states("Deployment", workload) {
                let marker = state["spec"]["template"]["metadata"]["annotations"]["revision"].as_str();
                let number = marker.and_then(|marker| marker.parse().ok()).expect("a marker");
                for secret in [SEALED[index], FETCHED[index]] {
                    let wanted = STANDARD.encode(self.value(secret, number));
                    let states = history.states("Secret", secret).iter();
                    let first =
                        states.filter(|(_, state)| state["data"]["password"] == wanted).map(|(at, _)| *at).min();
                    let first = first.unwrap_or_else(|| panic!("{secret} never had the bytes of revision {number}"));
                    assert!(first < *version, "{workload} was at revision {number} before {secret} was");
                    compared += 1;
                }
            }
        }
        compared
    }
}

fn inventory_id(object: &Value) -> String {
    let text = |at: &str| object.pointer(at).and_then(Value::as_str).expect("objects have it");
    let group = text("/apiVersion").rsplit_once('/').map_or("", |(group, _)| group);
    format!("{}_{}_{group}_{}", text("/metadata/namespace"), text("/metadata/name"), text("/kind"))
}

/// Twelve objects with the two files of SOPS; one comes and goes.
fn manifests(number: usize) -> String {
    let mut all = Vec::new();
    for key in FETCHED {
        all.push(format!(
            "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {{name: {key}}}\n\
             spec: {{refreshInterval: 1h, secretStoreRef: {{name: vault}}, data: [{{secretKey: password, remoteRef: {{key: {key}-{number}}}}}]}}\n"
        ));
    }
    let marker = ["one", "two", "three", if number.is_multiple_of(2) { "even" } else { "odd" }];
    for name in marker {
        all.push(format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{revision: '{number}'}}\n"
        ));
    }
    for name in WORKLOADS {
        all.push(format!("apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{selector: {{app: {name}}}, ports: [{{port: 80}}]}}\n"));
    }
    for (index, name) in WORKLOADS.iter().enumerate() {
        all.push(format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\n\
             spec:\n  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    \
             metadata: {{labels: {{app: {name}}}, annotations: {{revision: '{number}'}}}}\n    \
             spec: {{containers: [{{name: app, image: 'app:1', envFrom: [{{secretRef: {{name: {}}}}}, {{secretRef: {{name: {}}}}}, {{configMapRef: {{name: one}}}}]}}]}}\n",
            SEALED[index], FETCHED[index]
        ));
    }
    all.join("---\n")
}

#[test]
#[ignore = "needs the testbed: make test"]
fn killed_at_random_moments_of_landings_the_agent_brings_its_unit_to_rest_whole() {
    let mut story = Story::new("kills");
    // Nobody else leads: a successor need not wait for the lease of the one that was killed.
    story.scene.agent.restart_with("--enable-leader-election=false");
    let history = story.scene.record(&["secrets", "deployments"]);
    story.push();
    let began = Instant::now();
    story.scene.agent.request("gitrepository/repo");
    story.rest();
    let calm = began.elapsed();
    story.check("a calm landing");
    let seed = std::env::var(SEED).ok().map(|seed| seed.parse().expect("a number"));
    let seed = seed.unwrap_or_else(|| jiff::Timestamp::now().as_microsecond().unsigned_abs());
    println!("a calm landing took {calm:?}; seed {seed}");
    let mut dice = seed;
    for kill in 1..=KILLS {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let moment = calm.mul_f64((dice >> 40) as f64 / (1_u64 << 24) as f64);
        story.push();
        story.scene.agent.request("gitrepository/repo");
        std::thread::sleep(moment);
        story.scene.agent.kill();
        let place = format!("kill {kill}, {moment:?} after the request (seed {seed})");
        println!("{place}");
        story.scene.agent.start();
        story.rest();
        story.check(&place);
    }
    println!("{KILLS} kills in {:?}", began.elapsed());
    println!("{} states of workloads were never newer than their Secrets", story.check_order(&history.end()));
    story.scene.finish();
}

#[test]
#[ignore = "needs the testbed: make test"]
fn the_successor_of_a_killed_leader_waits_for_the_lease_and_goes_on_with_a_higher_epoch() {
    let mut story = Story::new("lease");
    let before = story.check_journal("before");
    story.push();
    story.scene.agent.request("gitrepository/repo");
    let namespace = story.scene.agent.namespace.clone();
    let lease = || {
        let lease = story.scene.testbed.kubectl(&["get", "lease", "lockstep-leader", "-n", &namespace, "-o", "json"]);
        serde_json::from_str::<Value>(&lease).expect("kubectl writes JSON")["spec"].clone()
    };
    // The landing has begun: its first object is written.
    let number = story.number.to_string();
    story.scene.agent.until("configmap/one", |map| map["data"]["revision"] == number.as_str());
    let dead = lease();
    story.scene.agent.kill();
    story.scene.agent.start();
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(lease()["holderIdentity"], dead["holderIdentity"], "the successor waits for the end of the lease");
    story.scene.agent.until("lease/lockstep-leader", |lease| lease["spec"]["holderIdentity"] != dead["holderIdentity"]);
    story.rest();
    story.check("after the lease");
    let alive = lease();
    assert_eq!(alive["leaseTransitions"].as_u64(), dead["leaseTransitions"].as_u64().map(|count| count + 1));
    // The landing may have ended just before the kill: the next one is the successor's for certain.
    story.push();
    story.scene.agent.request("gitrepository/repo");
    story.rest();
    let after = story.check_journal("after the lease");
    assert!(after > before, "the journal is written with the successor's epoch: {after}, and {before} before");
    story.scene.finish();
}

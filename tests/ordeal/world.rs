//! A testbed of its own with the unit on it, an agent behind a gate, and everything that can be done to them.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::agent::{Agent, condition};
use crate::dice::Dice;
use crate::gate::{Count, Gate, Side, Stopped, Trap};
use crate::ledger::Ledger;
use crate::rules::{self, Objects, revision};
use crate::scene::{self, Scene, generation};
use crate::testbed::azure::Fault;
use crate::testbed::{Testbed, attempt, run};
use crate::unit::{self, Flavour};

/// How soon all must be at rest once nothing happens any more.
const BOUND: Duration = Duration::from_secs(120);
/// At rest nobody has written for so long.
const QUIET: Duration = Duration::from_millis(800);

pub struct World {
    pub scene: Scene,
    pub gate: Gate,
    pub ledger: Ledger,
    /// A second replica.
    pub twin: Option<(Agent<'static>, Gate)>,
    /// The newest revision, the one that is to be there at rest, and the bytes of the turning Secret.
    number: u64,
    good: u64,
    turned: u64,
    commit: String,
    charts: String,
    /// What a calm landing asks for, and how long it takes.
    pub calm: (Count, Duration),
    /// Longest way to rest since [`World::longest`] was asked, and how often an agent ended by itself.
    longest: Duration,
    pub revived: usize,
    /// Generations of the unit's Deployments at the last rest.
    generations: BTreeMap<String, i64>,
    seed: u64,
}

/// Something that a landing is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Commit(Flavour),
    /// The bytes in the vault turn.
    Turn,
    /// The vault answers nothing but this for a while.
    Outage(u16),
}

impl World {
    pub fn new(testbed: &'static Testbed, name: &str, seed: u64, arguments: &[&str]) -> Self {
        let mut scene = Scene::on(testbed, name);
        let namespace = scene.agent.namespace.clone();
        others(testbed, &namespace);
        decryption(&scene);
        let charts = testbed.charts();
        let folder = testbed.data().join("work").join(&namespace).join("chart");
        for (file, text) in unit::chart() {
            let file = folder.join(file);
            std::fs::create_dir_all(file.parent().expect("it has one")).expect("the data folder can be written");
            std::fs::write(file, text).expect("the data folder can be written");
        }
        charts.publish(&testbed.package(&folder));
        let gate = Gate::new(testbed, &namespace);
        scene.agent.restart_through(&gate.kubeconfig, arguments);
        let ledger = Ledger::start(testbed, &namespace, unit::rules());
        let charts = charts.real_url();
        let calm = (Count::default(), Duration::from_secs(20));
        let mut world = Self {
            scene,
            gate,
            ledger,
            twin: None,
            number: 0,
            good: 0,
            turned: 1,
            commit: String::new(),
            charts,
            calm,
            longest: Duration::ZERO,
            revived: 0,
            generations: BTreeMap::new(),
            seed,
        };
        world.begin();
        world
    }

    /// The first landing; then one in calm, to know what it takes.
    fn begin(&mut self) {
        self.scene.vault.put("turning", &self.bytes("turning", 1));
        self.make(Change::Commit(Flavour::Good));
        let namespace = self.scene.agent.namespace.clone();
        let decryption = ", decryption: {provider: sops, secretRef: {name: sops-age}}";
        self.scene.testbed.apply(&scene::kustomization("app", &namespace, decryption));
        self.rest("the first landing");
        self.scene.testbed.kubectl(&["scale", "deployment/web-0", "--replicas=2", "-n", &namespace]);
        let (before, began) = (self.gate.count(), Instant::now());
        self.make(Change::Commit(Flavour::Good));
        self.rest("a calm landing");
        let after = self.gate.count();
        let (requests, writes) = (after.requests - before.requests, after.writes - before.writes);
        let count = Count { requests, writes, ..after };
        self.count_rollouts(Change::Commit(Flavour::Good), "the beginning");
        self.calm = (count, began.elapsed().saturating_sub(QUIET));
        println!("a calm landing: {} requests, {} of them writes, {:.1?}", count.requests, count.writes, self.calm.1);
    }

    fn bytes(&self, secret: &str, number: u64) -> String {
        self.scene.canary(&format!("{secret}/{number}"))
    }

    /// Pushes the next revision; nobody is told of it yet.
    fn push(&mut self, flavour: Flavour) {
        self.number += 1;
        let number = self.number;
        match flavour {
            Flavour::Good => self.good = number,
            Flavour::Refused => drop(self.ledger.page().rules.refused.insert(number)),
            Flavour::Crashing => {}
        }
        for name in unit::fetched(number) {
            self.scene.vault.put(&format!("{name}-{number}"), &self.bytes(&name, number));
        }
        let values = serde_json::to_string(&self.bytes("values", number)).expect("text");
        self.scene.vault.put(&format!("values-{number}"), &format!("password: {values}\n"));
        for index in 0..unit::SEALED {
            let file = format!("app/sealed-{index}.yaml");
            let value = serde_json::to_string(&self.bytes("sealed", number)).expect("text");
            let plain = format!(
                "apiVersion: v1\nkind: Secret\nmetadata: {{name: sealed-{index}}}\nstringData: {{password: {value}}}\n"
            );
            self.scene.git.write(&file, &plain);
            let mut sops = self.scene.testbed.tool("sops");
            run(sops.current_dir(self.scene.git.work()).args(["encrypt", "-i", &file]));
        }
        self.scene.git.write("app/app.yaml", &unit::manifests(number, flavour, &self.charts));
        self.commit = self.scene.git.push(&format!("revision {number}, {flavour:?}"));
    }

    /// Which change comes next. After a bad revision comes a good one: who wants what is known.
    pub fn choose(&self, dice: &mut Dice) -> Change {
        match dice.below(100) {
            _ if self.good != self.number => Change::Commit(Flavour::Good),
            0..60 => Change::Commit(Flavour::Good),
            60..70 => Change::Commit(Flavour::Refused),
            70..78 => Change::Commit(Flavour::Crashing),
            78..92 => Change::Turn,
            _ => Change::Outage([401, 403, 404, 429, 503][dice.below(5) as usize]),
        }
    }

    /// Makes a change, and has the agent look.
    pub fn make(&mut self, change: Change) {
        match change {
            Change::Commit(flavour) => {
                self.push(flavour);
                self.scene.agent.request("gitrepository/repo");
            }
            Change::Turn => {
                self.turned += 1;
                self.scene.vault.put("turning", &self.bytes("turning", self.turned));
                self.look_at_the_vault();
            }
            Change::Outage(status) => {
                self.scene.vault.set_faults(&[Fault { status: Some(status), ..Fault::default() }]);
                self.look_at_the_vault();
            }
        }
    }

    /// Ends an outage; the Secrets are as they were.
    pub fn end_outage(&self) {
        std::thread::sleep(Duration::from_secs(1)); // A restarted agent has asked the vault meanwhile.
        self.scene.vault.set_faults(&[]);
        self.look_at_the_vault();
    }

    fn look_at_the_vault(&self) {
        let (now, namespace) = (format!("force-sync={}", jiff::Timestamp::now()), &self.scene.agent.namespace);
        self.scene.testbed.kubectl(&[
            "annotate",
            "--overwrite",
            "externalsecret",
            "turning",
            "fetched-0",
            "-n",
            namespace,
            &now,
        ]);
    }

    /// Somewhere in the requests of a landing; a rotation makes a tenth of them.
    pub fn trap(&self, change: Change, dice: &mut Dice) -> Trap {
        let writes_only = dice.hits(60);
        let count = if writes_only { self.calm.0.writes } else { self.calm.0.requests };
        let count = match change {
            Change::Commit(Flavour::Refused) => self.calm.0.requests / 2,
            Change::Commit(_) => count,
            Change::Turn | Change::Outage(_) => count / 10,
        };
        let writes_only = writes_only && change != Change::Commit(Flavour::Refused);
        let side = if dice.hits(50) { Side::Before } else { Side::After };
        Trap { nth: 1 + dice.below(count), writes_only, side }
    }

    /// Waits for what runs into the trap; `None` when all came to rest before, or within a calm landing's time doubled.
    pub fn caught(&mut self, armed: &mpsc::Receiver<Stopped>) -> Option<Stopped> {
        let began = Instant::now();
        while began.elapsed() < 2 * self.calm.1 + Duration::from_secs(3) {
            if let Ok(stopped) = armed.recv_timeout(Duration::from_millis(50)) {
                return Some(stopped);
            }
            if began.elapsed() > 2 * QUIET && self.is_at_rest() {
                break;
            }
        }
        self.gate.disarm();
        armed.try_recv().ok()
    }

    /// Waits until all is at rest, and holds it to the rules. How long it took.
    pub fn rest(&mut self, place: &str) -> Duration {
        let began = Instant::now();
        while !self.is_at_rest() {
            if began.elapsed() > BOUND {
                self.complain(place);
                return began.elapsed();
            }
            self.revive();
            self.ledger.wait(Duration::from_millis(50));
        }
        let took = began.elapsed().saturating_sub(QUIET);
        self.longest = self.longest.max(took);
        let mut page = self.ledger.page();
        let found = page.rules.at_rest(&page.objects, &unit::keys(self.good), self.good, self.turned);
        if let [first, ..] = found.as_slice() {
            println!("  BREACH at rest, {place}: {found:#?}");
            let breach = format!("{place}: {} at rest, such as {first}", found.len());
            page.breaches.push(breach);
        }
        took
    }

    /// Waits until the twin leads.
    pub fn taken_over(&mut self) {
        let twin = self.twin.as_ref().map(|(_, gate)| gate.count().writes).expect("there is one");
        let began = Instant::now();
        while self.twin.as_ref().is_none_or(|(_, gate)| gate.count().writes == twin) && began.elapsed() < BOUND {
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Wakes or starts the agent that led: it writes nothing more. The twin leads from now on, and changes places with it.
    pub fn wake(&mut self, is_frozen: bool) {
        let before = self.gate.count().accepted;
        if is_frozen {
            self.scene.agent.signal("CONT");
        } else {
            self.scene.agent.start();
        }
        std::thread::sleep(Duration::from_secs(8));
        if is_frozen && !self.ends() {
            println!("  BREACH who lost the lease goes on");
            self.ledger.page().breaches.push("who lost the lease goes on".into());
        }
        self.revive();
        let after = self.gate.count().accepted;
        if after != before {
            let breach =
                format!("who lost the lease wrote {} times, at last {:?}", after - before, self.gate.last_write());
            println!("  BREACH {breach}");
            self.ledger.page().breaches.push(breach);
        }
        if let Some((twin, gate)) = self.twin.as_mut() {
            std::mem::swap(&mut self.scene.agent, twin);
            std::mem::swap(&mut self.gate, gate);
        }
    }

    /// Whether the agent that led ends within the bound; it is started again.
    fn ends(&mut self) -> bool {
        let began = Instant::now();
        while !self.scene.agent.revive() {
            if began.elapsed() > BOUND {
                return false;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        self.revived += 1;
        true
    }

    /// Holds the rollouts since this was called last to what a change may cost: one, and one more where it is taken back.
    pub fn count_rollouts(&mut self, change: Change, place: &str) {
        let most = |name: &str| match change {
            Change::Commit(Flavour::Good) => 1,
            Change::Commit(Flavour::Crashing) => 2,
            Change::Turn => i64::from(name == "turner"),
            Change::Commit(Flavour::Refused) | Change::Outage(_) => 0,
        };
        let mut page = self.ledger.page();
        let wanted = unit::keys(self.good).into_iter().filter(|(resource, _)| resource == "deployments");
        let now = wanted.filter_map(|key| Some((key.1.clone(), generation(page.objects.get(&key)?)))).collect();
        let before = std::mem::replace(&mut self.generations, now);
        let found = rules::rollouts(&before, &self.generations, most);
        if !found.is_empty() {
            println!("  BREACH {place}: {found:#?}");
            page.breaches.extend(found);
        }
    }

    /// What has been the longest way to rest since this was asked last.
    pub fn longest(&mut self) -> Duration {
        std::mem::take(&mut self.longest)
    }

    /// Nothing is written while nothing happens: what is still told after all is at rest ends within the bound.
    pub fn silence(&mut self, seconds: u64) {
        let (began, mut since, mut before) = (Instant::now(), Instant::now(), self.writes());
        let mut last = Vec::new();
        while since.elapsed() < Duration::from_secs(seconds) {
            std::thread::sleep(Duration::from_millis(200));
            if self.writes() != before {
                (since, before) = (Instant::now(), self.writes());
                last.extend(self.gate.last_write().map(|(_, what)| what));
            }
            if began.elapsed() > Duration::from_secs(seconds) + BOUND {
                println!("  BREACH no {seconds} s without a write: {last:#?}");
                self.ledger.page().breaches.push(format!("no {seconds} s without a write: {last:?}"));
                return;
            }
        }
    }

    fn writes(&self) -> u64 {
        self.gate.count().writes + self.twin.as_ref().map_or(0, |(_, gate)| gate.count().writes)
    }

    fn revive(&mut self) {
        let twin = self.twin.as_mut().map(|(agent, _)| agent);
        self.revived +=
            std::iter::once(&mut self.scene.agent).chain(twin).filter_map(|agent| agent.revive().then_some(())).count();
    }

    fn is_at_rest(&self) -> bool {
        let gates = std::iter::once(&self.gate).chain(self.twin.as_ref().map(|(_, gate)| gate));
        let is_quiet = |gate: &Gate| gate.last_write().is_none_or(|(since, _)| since > QUIET);
        gates.into_iter().all(is_quiet) && self.unfinished().is_none()
    }

    /// What does not say yet that all is done.
    fn unfinished(&self) -> Option<String> {
        let page = self.ledger.page();
        let find = |resource: &str, name: &str| page.objects.get(&(resource.to_owned(), name.to_owned()));
        let unit = find("kustomizations", "app")?;
        let newest = format!("main@sha1:{}", self.commit);
        let is_good = self.good == self.number;
        let (ready, why) = (&condition(unit, "Ready")["status"], &condition(unit, "Ready")["reason"]);
        let wanted = (if is_good { "True" } else { "False" }, newest.as_str());
        let field = if is_good { "lastAppliedRevision" } else { "lastAttemptedRevision" };
        // Where nothing refuses a revision, only its pods can fail for good.
        let may_be_refused = page.rules.refused.contains(&self.number);
        let passing = ["Progressing", "ArtifactFailed", "DependencyNotReady", "ReconciliationFailed"];
        let is_passing = passing.iter().take(if may_be_refused { 3 } else { 4 }).any(|passing| why == passing);
        if *ready != wanted.0 || unit["status"][field] != wanted.1 || is_passing {
            return Some(format!("kustomization/app: {:#}", unit["status"]));
        }
        let turning = ("secrets".to_owned(), "turning".to_owned());
        if page.objects.get(&turning).and_then(|secret| revision(&turning, secret)) != Some(self.turned) {
            return Some("secret/turning has the old bytes".into());
        }
        if let Some(open) = open_journal(&page.objects) {
            return Some(open);
        }
        // Parts of a revision that was taken back keep what they said of it until the next landing.
        let wanted = if is_good { unit::keys(self.good) } else { Default::default() };
        let is_done = |object: &Value| {
            let synced = object["status"]["syncedResourceVersion"].as_str();
            let is_seen = synced.is_none_or(|synced| synced.starts_with(&format!("{}-", generation(object))));
            condition(object, "Ready")["status"] == "True" && is_seen
        };
        let own = wanted.iter().filter(|(resource, _)| matches!(resource.as_str(), "externalsecrets" | "helmreleases"));
        let open = |(resource, name): &&(String, String)| !find(resource, name).is_some_and(is_done);
        own.into_iter().find(open).map(|(resource, name)| {
            format!("{resource}/{name}: {:#}", find(resource, name).map_or(&Value::Null, |found| &found["status"]))
        })
    }

    fn complain(&mut self, place: &str) {
        let why = self.unfinished().unwrap_or_else(|| format!("writes go on: {:?}", self.gate.last_write()));
        let log = self.scene.agent.log();
        let file = std::env::temp_dir().join(format!("ordeal-{}-{}.log", self.seed, self.number));
        // Whose fault it is that nothing becomes available: ours, or that of the cluster's own controllers.
        let kinds = "nodes,leases,deployments,replicasets,pods";
        let state = attempt(self.scene.testbed.tool("kubectl").args(["get", kinds, "-A", "-o", "yaml"]));
        let controllers = self.scene.testbed.data().join("log/kube-controller-manager.log");
        let controllers = std::fs::read_to_string(controllers).unwrap_or_else(|error| error.to_string());
        let text = format!("{log}\n{}\n{controllers}", state.unwrap_or_else(|said| said));
        std::fs::write(&file, text).expect("the temporary folder can be written");
        println!(
            "  BREACH {place}: not at rest within {BOUND:?} (seed {}): {why}\nthe agent's log, workloads with their pods, and the controller manager's log are in {}",
            self.seed,
            file.display()
        );
        self.ledger.page().breaches.push(format!("{place}: not at rest within {BOUND:?}"));
    }
}

/// The journal's header says that nothing is open.
fn open_journal(objects: &Objects) -> Option<String> {
    let entries = objects.values().filter(|object| object.pointer("/metadata/labels/lockstep.dev~1journal").is_some());
    let headers = entries.filter_map(|entry| {
        let bytes = STANDARD.decode(entry["data"]["entry"].as_str()?).ok()?;
        serde_json::from_slice::<Value>(&bytes).ok()
    });
    let headers: Vec<Value> = headers.collect();
    let open = headers.iter().filter(|header| !header["open"].is_null()).count();
    (headers.is_empty() || open > 0).then(|| format!("{open} of {} journals are open", headers.len()))
}

/// What nobody but its owner may touch.
fn others(testbed: &Testbed, namespace: &str) {
    let meta = format!("metadata: {{name: theirs, namespace: {namespace}}}");
    testbed.apply(&format!(
        "apiVersion: v1\nkind: ConfigMap\n{meta}\ndata: {{a: b}}\n---\napiVersion: v1\nkind: Secret\n{meta}\nstringData: {{password: theirs}}\n---\n\
         apiVersion: apps/v1\nkind: Deployment\n{meta}\nspec:\n  selector: {{matchLabels: {{app: theirs}}}}\n  template:\n    \
         metadata: {{labels: {{app: theirs}}}}\n    spec: {{containers: [{{name: app, image: 'app:1', envFrom: [{{secretRef: {{name: fetched-0, optional: true}}}}]}}]}}\n"
    ));
}

/// A key for SOPS, the cluster's and the repository's.
fn decryption(scene: &Scene) {
    let namespace = &scene.agent.namespace;
    let keys = scene.testbed.data().join("keys").join(namespace);
    std::fs::create_dir_all(&keys).expect("the data folder can be written");
    let key = keys.join("age.agekey");
    let key = key.to_str().expect("text");
    run(scene.testbed.tool("age-keygen").args(["-o", key]));
    let from_file = format!("--from-file={key}");
    scene.testbed.kubectl(&["create", "secret", "generic", "sops-age", "-n", namespace, &from_file]);
    let recipient = run(scene.testbed.tool("age-keygen").args(["-y", key]));
    let rules = format!("creation_rules: [{{encrypted_regex: ^(data|stringData)$, age: {recipient}}}]\n");
    std::fs::write(scene.git.work().join(".sops.yaml"), rules).expect("the work tree can be written");
}

//! Several units on one cluster, their requests interleaved, with faults and crashes: each story from its seed.
//!
//! Each unit has a Secret that a workload of the one before reads, a ConfigMap that all declare, and one that goes from unit
//! to unit; units come and go. Who lands after whom is decided above this crate: here a workload is made for the bytes that
//! have landed when its own landing begins, and all units of a round land at once.
//!
//! **Rules at every write.** Of an object that another unit owns, nobody writes more than its share, unless that one has
//! given it up; nobody deletes it. No workload is newer than the Secret that it reads. **At rest.** Every unit stands whole,
//! one that is gone has left nothing, and what is declared by somebody is there, owned by who declares it.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[expect(dead_code, reason = "the simulation uses all of it")]
#[path = "simulation/dice.rs"]
mod dice;
#[path = "support/stage.rs"]
mod stage;

use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use apply::cleanup::{Cleanup, Manager};
use apply::fault::{Attempt, Fault, FaultyCluster, Plan};
use apply::memory::MemoryCluster;
use apply::{Answer, Behaviour, Call, Candidate, Cluster as _, ClusterError, Desired, HealthScope, LandingScope};
use apply::{Reference, Ruling};
use dice::Dice;
use futures::FutureExt as _;
use futures::executor::block_on;
use futures::future::join_all;
use manifest::Object;
use serde_json::{Value, json};
use stage::Stage;

const OWNER: &str = "kustomize.toolkit.fluxcd.io/name";
const MANAGER: &str = "kustomize-controller";
const UNITS: [&str; 3] = ["a", "b", "c"];

/// What is committed, unit by unit.
#[derive(Clone, Default)]
struct Wanted {
    /// Versions of their Secrets; 0 where a unit is gone.
    versions: [u32; 3],
    /// Whose pods crash.
    flawed: Option<usize>,
    /// Who declares what goes from unit to unit.
    holder: usize,
    /// For which bytes workloads are made.
    needs: [u32; 3],
    /// Who had landed what all declare when the round began: nobody else is known to hold it.
    holds: [bool; 3],
    /// Who owned that when the round began.
    owned: Option<usize>,
}

/// Names of units whose words are taken, and rules that were broken.
type Shared = Arc<Mutex<(Wanted, Option<String>)>>;

struct Unit {
    number: usize,
    stage: Stage,
    shared: Shared,
}

fn get(memory: &MemoryCluster, at: &Reference) -> Option<Object> {
    match memory.call(Call::Get(at.clone())).now_or_never()? {
        Ok(Answer::Object(object)) => object,
        _ => None,
    }
}

fn at(kind: &str, name: &str) -> Reference {
    Reference::new(if kind == "Deployment" { "apps/v1" } else { "v1" }, kind, "default", name)
}

fn number(object: Option<&Object>, pointer: &str) -> u32 {
    object.and_then(|object| object.text(pointer)).and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// The unit whose labels an object has.
fn owner_of(live: &Object) -> Option<usize> {
    UNITS.iter().position(|unit| live.label(OWNER) == Some(unit))
}

fn sharer(unit: &str) -> String {
    format!("{MANAGER} ({unit})")
}

impl Wanted {
    fn is_there(&self, unit: usize) -> bool {
        self.versions[unit] > 0
    }

    /// Whether a unit declares an object.
    fn declares(&self, unit: usize, name: &str) -> bool {
        let own = [format!("s-{}", UNITS[unit]), format!("w-{}", UNITS[unit])];
        let is_own = own.iter().any(|own| own == name) || name == "team";
        self.is_there(unit) && (is_own || (name == "handed" && self.holder == unit))
    }

    fn objects(&self, unit: usize) -> Vec<Value> {
        if !self.is_there(unit) {
            return Vec::new();
        }
        let (name, version) = (UNITS[unit], self.versions[unit].to_string());
        let object = |kind: &str, name: &str, rest: Value| {
            let metadata = json!({"name": name, "namespace": "default", "labels": {OWNER: UNITS[unit]}, "annotations": {"version": version}});
            let mut value = json!({"apiVersion": at(kind, name).gvk.api_version(), "kind": kind, "metadata": metadata});
            value.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            value
        };
        let mut team = object("ConfigMap", "team", json!({"data": {format!("of-{name}"): "x"}}));
        team["metadata"].as_object_mut().unwrap().remove("annotations");
        let secret = object("Secret", &format!("s-{name}"), json!({"stringData": {"version": version}}));
        let mut labels = json!({"app": name});
        if self.flawed == Some(unit) {
            labels["testbed/fail"] = "true".into();
        }
        let read = (unit + 1) % UNITS.len();
        let needs = self.needs[unit];
        let env = match needs {
            0 => json!([]),
            _ => {
                json!([{"name": "V", "valueFrom": {"secretKeyRef": {"name": format!("s-{}", UNITS[read]), "key": "version"}}}])
            }
        };
        let template = json!({"metadata": {"labels": labels, "annotations": {"needs": needs.to_string(), "own": version}},
            "spec": {"containers": [{"name": "c", "image": "i", "env": env}]}});
        let spec = json!({"spec": {"selector": {"matchLabels": {"app": name}}, "template": template}});
        let handed = (self.holder == unit).then(|| object("ConfigMap", "handed", json!({"data": {"v": version}})));
        [team, secret, object("Deployment", &format!("w-{name}"), spec)].into_iter().chain(handed).collect()
    }
}

impl Unit {
    fn name(&self) -> &'static str {
        UNITS[self.number]
    }

    fn behaviour(&self) -> Behaviour {
        // As the agent has it: its own updates are what undoing restored.
        let own = Manager { prefix: MANAGER.into(), applies: false };
        let managers = vec![Manager { prefix: sharer(self.name()), applies: true }, own];
        Behaviour {
            prune: true,
            scope: LandingScope::Unit,
            health: HealthScope::All,
            owner_labels: vec![(OWNER.into(), self.name().into())],
            sharer: sharer(self.name()),
            cleanup: Cleanup { managers, ..Cleanup::default() },
            ..Behaviour::default()
        }
    }

    /// What the agent knows of the other units: what they declare, and what they have landed.
    async fn look_around(&mut self, all: &[(usize, Vec<Object>)], wanted: &Wanted) {
        self.stage.others = Default::default();
        for (other, landed) in all.iter().filter(|(other, _)| *other != self.number) {
            let labels = vec![(OWNER.to_owned(), UNITS[*other].to_owned())];
            for object in landed.iter().filter(|object| wanted.declares(*other, object.name())) {
                self.stage.others.0.note(object.id(), labels.clone());
            }
            for name in ["team", "handed"].into_iter().filter(|name| wanted.declares(*other, name)) {
                self.stage.others.1.0.insert(name.into(), Ruling::Theirs);
            }
        }
    }

    /// What it has landed, by its journal.
    async fn landed(&self) -> Vec<Object> {
        let journal = self.stage.journal_of(1).await.unwrap();
        let changes = journal.landed().map(|landed| landed.changes().map(|c| c.desired.object.clone()).collect());
        changes.unwrap_or_default()
    }

    async fn land(&self, wanted: &Wanted, seed: u64) {
        for attempt in 0..12 {
            let objects = wanted.objects(self.number);
            let input = objects.iter().map(Value::to_string).collect::<String>();
            let desired = objects.into_iter().map(|value| Desired::new(Object::new(value).unwrap(), MANAGER)).collect();
            let candidate = Candidate { revision: "r".into(), input, objects: desired, ..Candidate::default() };
            let landing = self.stage.land_this(candidate, self.behaviour());
            match self.stage.cluster.until_crash(landing).await {
                Some(Ok(outcome)) if outcome.failures.iter().all(|failure| !failure.transient) => return,
                Some(_) => {}
                None => self.stage.cluster.restart(self.plan(seed.wrapping_add(attempt + 1), 2)),
            }
        }
    }

    /// Every request waits for some turns of the others; of a hundred, so many fail.
    fn plan(&self, seed: u64, percent: u64) -> Plan {
        let (memory, shared, unit) = (self.stage.memory(), self.shared.clone(), self.number);
        let dice = Mutex::new(Dice::new(seed));
        Box::new(move |attempt: &Attempt<'_>| {
            let wanted = shared.lock().unwrap().0.clone();
            if let Some(rule) = judge(&memory, &wanted, unit, attempt.call) {
                shared.lock().unwrap().1.get_or_insert(format!("{} {}: {rule}", UNITS[unit], attempt.call.verb()));
            }
            let mut dice = dice.lock().unwrap();
            if dice.roll(100) >= percent {
                return Some(Fault::Delay(Duration::from_millis(dice.roll(4))));
            }
            let unavailable = ClusterError::Unavailable { id: None, message: "not now".into(), retry_after: None };
            match dice.roll(5) {
                0 => Some(Fault::CrashBefore),
                1 => Some(Fault::CrashAfter),
                2 => Some(Fault::After),
                3 if attempt.call.is_write() => Some(Fault::Conflict),
                _ => Some(Fault::Before(unavailable)),
            }
        })
    }
}

/// The rule that a request of a unit would break.
fn judge(memory: &MemoryCluster, wanted: &Wanted, unit: usize, call: &Call) -> Option<String> {
    newer(memory, wanted).or_else(|| {
        let at = call.reference().filter(|at| call.is_write() && !at.name.starts_with("landing-"))?;
        let live = get(memory, &at)?;
        let owner = owner_of(&live)?;
        let is_share = matches!(call, Call::Apply { manager, .. } if *manager == sharer(UNITS[unit]));
        let is_given_up = !wanted.declares(owner, &at.name) && wanted.declares(unit, &at.name);
        let is_deleted = matches!(call, Call::Delete { .. });
        // Who comes, or takes over what its owner has left, at the same moment as another, is known after the next look.
        let is_new = !wanted.holds[owner] || wanted.owned != Some(owner);
        let is_unknown = at.name == "team" && is_new && !is_deleted;
        let is_theirs = owner != unit && !is_share && !is_unknown && (is_deleted || !is_given_up);
        is_theirs.then(|| format!("{} is {}'s", at.id(), UNITS[owner]))
    })
}

/// A workload that is newer than the Secret that it reads.
fn newer(memory: &MemoryCluster, wanted: &Wanted) -> Option<String> {
    (0..UNITS.len()).find_map(|unit| {
        let read = (unit + 1) % UNITS.len();
        let workload = get(memory, &at("Deployment", &format!("w-{}", UNITS[unit])));
        let needs = number(workload.as_ref(), "/spec/template/metadata/annotations/needs");
        let secret = get(memory, &at("Secret", &format!("s-{}", UNITS[read])));
        let has = number(secret.as_ref(), "/metadata/annotations/version");
        (wanted.is_there(read) && needs > has)
            .then(|| format!("w-{} needs {needs}, s-{} has {has}", UNITS[unit], UNITS[read]))
    })
}

/// Where the cluster is not what is wanted.
fn at_rest(memory: &MemoryCluster, wanted: &Wanted) -> Option<String> {
    let names = |unit: usize| [format!("s-{}", UNITS[unit]), format!("w-{}", UNITS[unit])];
    for unit in 0..UNITS.len() {
        for (kind, name) in ["Secret", "Deployment"].into_iter().zip(names(unit)) {
            let live = get(memory, &at(kind, &name));
            let version = number(live.as_ref(), "/metadata/annotations/version");
            if version != wanted.versions[unit] || live.is_some() != wanted.is_there(unit) {
                return Some(format!("{name} is of version {version}, not {}", wanted.versions[unit]));
            }
        }
    }
    for name in ["team", "handed"] {
        let live = get(memory, &at("ConfigMap", name));
        let owner = live.as_ref().and_then(owner_of);
        let is_declared = (0..UNITS.len()).any(|unit| wanted.declares(unit, name));
        if live.is_some() != is_declared || owner.is_some_and(|owner| !wanted.declares(owner, name)) {
            return Some(format!("{name} is owned by {:?}", owner.map(|owner| UNITS[owner])));
        }
        for unit in (0..UNITS.len()).filter(|_| name == "team") {
            let is_shared = live.as_ref().is_some_and(|live| live.text(&format!("/data/of-{}", UNITS[unit])).is_some());
            if is_shared != wanted.is_there(unit) {
                return Some(format!("the share of {} in team", UNITS[unit]));
            }
        }
    }
    None
}

/// The next commits, of all units at once.
fn revise(wanted: &mut Wanted, dice: &mut Dice) {
    for unit in 0..UNITS.len() {
        match dice.roll(10) {
            0..6 => wanted.versions[unit] += 1,
            6 if wanted.versions.iter().filter(|version| **version > 0).count() > 1 => wanted.versions[unit] = 0,
            _ => {}
        }
    }
    let there: Vec<usize> = (0..UNITS.len()).filter(|unit| wanted.is_there(*unit)).collect();
    if !wanted.is_there(wanted.holder) || dice.roll(3) == 0 {
        wanted.holder = there[dice.roll(there.len() as u64) as usize];
    }
    wanted.flawed = (dice.roll(4) == 0).then(|| there[dice.roll(there.len() as u64) as usize]);
}

/// A sleep lasts so many turns.
async fn turns(count: u128) {
    let mut left = count;
    futures::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Lands what is wanted by all units at once.
async fn land_all(units: &mut [Unit], wanted: &mut Wanted, seed: u64, percent: u64) {
    let mut landed = Vec::new();
    for unit in units.iter() {
        unit.stage.cluster.restart(Box::new(|_| None));
        landed.push((unit.number, unit.landed().await));
    }
    wanted.owned = get(&units[0].stage.memory(), &at("ConfigMap", "team")).and_then(|live| owner_of(&live));
    for unit in 0..UNITS.len() {
        let read = (unit + 1) % UNITS.len();
        let name = format!("s-{}", UNITS[read]);
        let secret = landed[read].1.iter().find(|object| object.name() == name);
        wanted.holds[unit] = landed[unit].1.iter().any(|object| object.name() == "team");
        wanted.needs[unit] = if wanted.is_there(read) { number(secret, "/metadata/annotations/version") } else { 0 };
    }
    units[0].shared.lock().unwrap().0 = wanted.clone();
    for unit in units.iter_mut() {
        unit.look_around(&landed, wanted).await;
        unit.stage.cluster.restart(unit.plan(seed ^ (unit.number as u64) << 40, percent));
    }
    join_all(units.iter().map(|unit| unit.land(wanted, seed ^ (unit.number as u64) << 20))).await;
}

/// Plays a story; the rule that it breaks.
fn play(seed: u64) -> Option<String> {
    let mut dice = Dice::new(seed);
    let stage = Stage::new(seed);
    let shared = Shared::default();
    let journals = ["a", "b", "c"].map(|name| format!("Kustomization/flux-system/{name}"));
    let mut units: Vec<Unit> = (0..UNITS.len())
        .map(|number| {
            let mut own = stage.beside(&journals[number]);
            let sleeper = Arc::new(|time: Duration| turns(time.as_millis()).boxed());
            own.cluster = FaultyCluster::with_sleeper(Arc::new(stage.memory()), apply::fault::none(), sleeper);
            Unit { number, stage: own, shared: shared.clone() }
        })
        .collect();
    let mut wanted = Wanted::default();
    for round in 0..4 {
        if round == 0 {
            wanted.versions = [1; 3];
        }
        revise(&mut wanted, &mut dice);
        block_on(land_all(&mut units, &mut wanted, seed.wrapping_add(round), 3));
        // What is flawed is mended, and nothing fails: everything lands, and those that waited for others do.
        wanted.flawed = None;
        for _ in 0..3 {
            block_on(land_all(&mut units, &mut wanted, seed.wrapping_add(round), 0));
        }
        let broken = shared.lock().unwrap().1.take();
        if let Some(rule) = broken.or_else(|| at_rest(&stage.memory(), &wanted)) {
            return Some(format!("round {round}: {rule}"));
        }
    }
    None
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the seeds are chosen by who runs it")]
fn units_that_land_at_once_leave_each_other_whole() {
    let given = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (first, count) = (given("UNITS_FROM").unwrap_or(0), given("UNITS").unwrap_or(40));
    let broken: Vec<String> =
        (first..first + count).filter_map(|seed| Some(format!("seed {seed}: {}", play(seed)?))).collect();
    assert!(broken.is_empty(), "{} of {count} seeds\n{}", broken.len(), broken.join("\n"));
}

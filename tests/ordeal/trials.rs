//! What is done to the world, one kind of bad day after the other.

use std::time::{Duration, Instant};

use comfy_table::Table;
use serde_json::json;

use crate::dice::Dice;
use crate::gate::{Gate, Weather};
use crate::testbed::{Part, attempt};
use crate::unit::Flavour;
use crate::world::{Change, World};

/// What came of one kind of bad day.
pub struct Row {
    what: &'static str,
    /// How often it was done.
    count: usize,
    /// How many of them in the middle of what a landing asks for, at a request.
    at_requests: usize,
    landings: usize,
    longest: Duration,
    took: Duration,
    pub breaches: Vec<String>,
}

/// The rows as text.
pub fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.set_header(["bad day", "times", "at a request", "landings", "longest way to rest", "took", "rules broken"]);
    for row in rows {
        let seconds = |span: Duration| format!("{:.1} s", span.as_secs_f64());
        let numbers = [row.count, row.at_requests, row.landings].map(|number| number.to_string());
        let [count, at_requests, landings] = numbers;
        let broken = row.breaches.len().to_string();
        table.add_row([
            row.what.to_owned(),
            count,
            at_requests,
            landings,
            seconds(row.longest),
            seconds(row.took),
            broken,
        ]);
    }
    table.to_string()
}

/// Runs one kind, and gathers what came of it.
fn trial(world: &mut World, what: &'static str, silence: u64, play: impl FnOnce(&mut World, &mut Row)) -> Row {
    let began = Instant::now();
    let mut row = Row {
        what,
        count: 0,
        at_requests: 0,
        landings: 0,
        longest: Duration::ZERO,
        took: Duration::ZERO,
        breaches: Vec::new(),
    };
    play(world, &mut row);
    if row.count > 0 {
        world.silence(silence);
    }
    (row.longest, row.took) = (world.longest(), began.elapsed());
    row.breaches = std::mem::take(&mut world.ledger.page().breaches);
    println!("{}", table(std::slice::from_ref(&row)));
    row
}

/// Numbers of one step that do not depend on how the steps before went.
fn dice(seed: u64, kind: u64, step: usize) -> Dice {
    let mut dice = Dice(seed.wrapping_add(kind << 40).wrapping_add(step as u64));
    dice.below(1);
    dice
}

/// The agent is killed: mostly at a request of a landing, else at any time, and sometimes again on its way back.
pub fn kills(world: &mut World, count: usize, seed: u64) -> Row {
    trial(world, "agent killed", if count > 50 { 30 } else { 3 }, |world, row| {
        let mut step = 0;
        while row.count < count {
            step += 1;
            let mut dice = dice(seed, 1, step);
            let change = world.choose(&mut dice);
            let mut place = format!("kill {} of {count}: {change:?}", row.count + 1);
            let mut is_first = true;
            while row.count < count && (is_first || dice.hits(25)) {
                let at = kill(world, is_first.then_some(change), &mut dice);
                row.count += 1;
                row.at_requests += usize::from(at.is_some());
                place += &format!(", {}", at.as_deref().unwrap_or("at some time"));
                is_first = false;
            }
            finish(world, row, change, &place);
        }
    })
}

/// Kills the agent once, and starts it again; at which request it was, if at one.
fn kill(world: &mut World, change: Option<Change>, dice: &mut Dice) -> Option<String> {
    let by_time = dice.hits(20).then(|| world.calm.1.mul_f64(dice.below(1000) as f64 / 1000.0));
    let armed = world.gate.arm(world.trap(change.unwrap_or(Change::Turn), dice));
    if by_time.is_some() {
        world.gate.disarm();
    }
    if let Some(change) = change {
        world.make(change);
    }
    let stopped = match by_time {
        Some(moment) => {
            std::thread::sleep(moment);
            None
        }
        None => world.caught(&armed),
    };
    world.scene.agent.kill();
    let what = stopped.map(|stopped| stopped.what);
    world.scene.agent.start();
    what
}

/// Brings a step to rest.
fn finish(world: &mut World, row: &mut Row, change: Change, place: &str) {
    if matches!(change, Change::Outage(_)) {
        world.end_outage();
    }
    let took = world.rest(place);
    world.count_rollouts(change, place);
    row.landings += 1;
    println!("{place}: at rest after {:.1} s", took.as_secs_f64());
}

/// The API server and its database are killed and started at once.
pub fn components(world: &mut World, count: usize, seed: u64) -> [Row; 2] {
    [("API server killed", Part::ApiServer), ("database killed", Part::Etcd)].map(|(what, part)| {
        trial(world, what, 5, |world, row| {
            for step in 1..=count {
                let mut dice = dice(seed, 2 + part as u64, step);
                let change = world.choose(&mut dice);
                let armed = world.gate.arm(world.trap(change, &mut dice));
                world.make(change);
                let stopped = world.caught(&armed);
                world.scene.testbed.kill(part);
                row.count += 1;
                row.at_requests += usize::from(stopped.is_some());
                let at = stopped.map_or("at some time".into(), |stopped| {
                    let what = stopped.what.clone();
                    stopped.go_on();
                    what
                });
                world.scene.testbed.start(part);
                if part == Part::Etcd {
                    // It gives up what a server without its database refuses (500), and looks at it again after two minutes; a
                    // kubelet tries again at once.
                    world.scene.testbed.kill(Part::Kwok);
                    world.scene.testbed.start(Part::Kwok);
                }
                finish(world, row, change, &format!("{what}, {step} of {count}: {change:?}, {at}"));
            }
        })
    })
}

/// Requests are cut, five of a hundred, and some landings have a second between the agent and the server besides.
pub fn weather(world: &mut World, count: usize, seed: u64) -> Row {
    trial(world, "requests cut and slow", 5, |world, row| {
        for step in 1..=count {
            let mut dice = dice(seed, 20, step);
            let change = world.choose(&mut dice);
            let delay = Duration::from_secs(u64::from(step.is_multiple_of(3)));
            world.gate.weather(Weather { delay, cut: 5 }, seed + step as u64);
            world.make(change);
            world.scene.agent.revive();
            std::thread::sleep(world.calm.1 * 2 + delay * 20);
            world.gate.weather(Weather::default(), 0);
            row.count += 1;
            finish(world, row, change, &format!("bad weather {step} of {count}, {delay:?} slow: {change:?}"));
        }
    })
}

/// The database says that it is full, from a request of a landing on: it takes no more writes until somebody has compacted
/// it, and has put the alarm off.
pub fn full_database(world: &mut World, count: usize, seed: u64) -> Row {
    trial(world, "database full", 5, |world, row| {
        for step in 1..=count {
            let mut dice = dice(seed, 30, step);
            let change = world.choose(&mut dice);
            let armed = world.gate.arm(world.trap(change, &mut dice));
            world.make(change);
            let stopped = world.caught(&armed);
            alarm(world, "ACTIVATE");
            let at = stopped.map_or("at some time".into(), |stopped| {
                let what = stopped.what.clone();
                stopped.go_on();
                row.at_requests += 1;
                what
            });
            std::thread::sleep(Duration::from_millis(dice.below(3000)));
            if dice.hits(50) {
                world.scene.agent.kill();
                world.scene.agent.start();
            }
            std::thread::sleep(Duration::from_millis(dice.below(5000)));
            make_room(world);
            row.count += 1;
            finish(world, row, change, &format!("database full, {step} of {count}: {change:?}, {at}"));
        }
    })
}

fn alarm(world: &World, action: &str) {
    let path = "/v3/maintenance/alarm";
    let member = world.ledger.ask(path, &json!({"action": "GET"}))["header"]["member_id"].clone();
    let answer = world.ledger.ask(path, &json!({"action": action, "memberID": member, "alarm": "NOSPACE"}));
    assert!(answer["alarms"].is_array(), "{action}: {answer}");
}

/// As an administrator does: compact, defragment, and the alarm off.
fn make_room(world: &World) {
    let revision = world.ledger.page().revision();
    world.ledger.ask("/v3/kv/compaction", &json!({"revision": revision.to_string(), "physical": true}));
    world.ledger.ask("/v3/maintenance/defragment", &json!({}));
    alarm(world, "DEACTIVATE");
}

/// Size of the disk.
const DISK: &str = "8m";

/// The disk under the agent's work folder is full: while it starts, or when the commit comes.
pub fn full_disk(world: &mut World, count: usize, seed: u64) -> Row {
    trial(world, "disk full", 3, |world, row| {
        if count == 0 {
            return;
        }
        if let Err(said) = attempt(world.scene.testbed.tool("unshare").args(["--mount", "true"])) {
            println!("no disk is filled, since none may be mounted here: {said}");
            return;
        }
        let cache = world.scene.agent.cache();
        // A disk of its own, which ends with it.
        let mount = format!("mount -t tmpfs -o size={DISK} none {} && exec \"$0\" \"$@\"", cache.display());
        world.scene.agent.kill();
        world.scene.agent.wrapper = ["unshare", "--mount", "sh", "-c", &mount].map(str::to_owned).into();
        world.scene.agent.start();
        for step in 1..=count {
            let mut dice = dice(seed, 40, step);
            if dice.hits(50) {
                world.scene.agent.kill();
                world.scene.agent.start();
            }
            world.rest("before the disk is full");
            let ballast = fill(world);
            let change = Change::Commit(Flavour::Good);
            world.make(change);
            std::thread::sleep(Duration::from_millis(dice.below(4000)));
            std::fs::remove_file(ballast).expect("it is there");
            row.count += 1;
            finish(world, row, change, &format!("disk full {step} of {count}"));
        }
        world.scene.agent.kill();
        world.scene.agent.wrapper.clear();
        world.scene.agent.start();
        world.rest("with the old disk again");
    })
}

/// Fills the agent's disk to the last byte.
fn fill(world: &World) -> std::path::PathBuf {
    let process = world.scene.agent.process().expect("it runs");
    let process = std::path::Path::new("/proc").join(process.to_string());
    let cache = world.scene.agent.cache();
    // A process that has just begun may not have mounted it yet.
    let has_disk =
        || std::fs::read_to_string(process.join("mountinfo")).is_ok_and(|all| all.contains(&*cache.to_string_lossy()));
    let began = Instant::now();
    while !has_disk() {
        assert!(began.elapsed() < Duration::from_secs(30), "the agent has no disk of its own");
        std::thread::sleep(Duration::from_millis(20));
    }
    let file = process.join("root").join(cache.strip_prefix("/").expect("it is absolute")).join("ballast");
    let error = std::fs::write(&file, vec![0; 16 << 20]).expect_err("the disk is smaller");
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    file
}

/// Of two replicas the leader is killed or frozen in a landing; the other ends it, and who wakes up writes nothing.
pub fn replicas(world: &mut World, count: usize, seed: u64) -> Row {
    let gate = Gate::new(world.scene.testbed, &format!("{}-twin", world.scene.agent.namespace));
    let mut twin = world.scene.agent.replica(&gate.kubeconfig);
    twin.start();
    world.twin = Some((twin, gate));
    trial(world, "leader killed or frozen", 10, |world, row| {
        for step in 1..=count {
            let mut dice = dice(seed, 50, step);
            let (change, is_frozen) = (world.choose(&mut dice), step % 2 == 1);
            let armed = world.gate.arm(world.trap(change, &mut dice));
            world.make(change);
            let stopped = world.caught(&armed);
            row.count += 1;
            row.at_requests += usize::from(stopped.is_some());
            let at = stopped.as_ref().map_or("at some time".into(), |stopped| stopped.what.clone());
            if is_frozen {
                world.scene.agent.signal("STOP");
                // What it had sent is on its way.
                stopped.into_iter().for_each(crate::gate::Stopped::go_on);
            } else {
                world.scene.agent.kill();
                drop(stopped);
            }
            world.taken_over();
            let verb = if is_frozen { "frozen" } else { "killed" };
            finish(world, row, change, &format!("{verb} {step} of {count}: {change:?}, {at}"));
            world.wake(is_frozen);
        }
    })
}

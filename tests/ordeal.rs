//! The landing on bad days, on the real thing: agents are killed and frozen, the API server and its database die, the
//! database and the disk are full, the way between them is slow and cut; and after every write, and at rest, the rules
//! of `ordeal/rules.rs` are held against what stands in the database.
//!
//! `make test` plays a short form. `make ordeal` plays 300 kills of the agent, 30 of either component, and the rest;
//! counts are chosen by `KILLS`, `COMPONENTS`, `REPLICAS`, `FULL`, `CUT`, and the run by `SEED`, which every run prints.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "what fails stops the test; long work is seen"
)]
#![allow(unreachable_pub, reason = "modules of a test binary")]

#[path = "support/agent.rs"]
mod agent;
#[path = "support/dice.rs"]
mod dice;
#[path = "ordeal/gate.rs"]
mod gate;
#[path = "ordeal/ledger.rs"]
mod ledger;
#[path = "ordeal/rules.rs"]
mod rules;
#[path = "support/scene.rs"]
mod scene;
#[path = "support/secrecy.rs"]
mod secrecy;
#[path = "support/testbed.rs"]
mod testbed;
#[path = "ordeal/trials.rs"]
mod trials;
#[path = "ordeal/unit.rs"]
mod unit;
#[path = "ordeal/world.rs"]
mod world;

use testbed::Testbed;
use trials::{Row, table};
use world::World;

/// How often something is done: as the environment says, else as often as `make test` has time for.
fn count(name: &str, short: usize) -> usize {
    std::env::var(name).ok().filter(|text| !text.is_empty()).map_or(short, |text| text.parse().expect("a number"))
}

fn seed() -> u64 {
    let seed = std::env::var("SEED").ok().filter(|text| !text.is_empty()).map(|text| text.parse().expect("a number"));
    seed.unwrap_or_else(|| jiff::Timestamp::now().as_microsecond().unsigned_abs())
}

/// A world on a testbed of its own, whose database can be read.
fn world(name: &str, seed: u64, arguments: &[&str]) -> World {
    let testbed = Testbed::own_with(&[("APISERVER_EXTRA", ledger::APISERVER)]);
    World::new(Box::leak(Box::new(testbed)), name, seed, arguments)
}

/// Nothing was broken, and no secret value stands where it must not.
fn judge(world: World, rows: &[Row], seed: u64) {
    println!("SEED={seed}\n{}", table(rows));
    let breaches: Vec<&String> = rows.iter().flat_map(|row| &row.breaches).collect();
    assert!(breaches.is_empty(), "{breaches:#?}");
    world.scene.finish();
}

#[test]
#[ignore = "needs the testbed: make test"]
fn on_bad_days_a_landing_is_finished_or_undone() {
    let seed = seed();
    println!("SEED={seed}");
    // Nobody else leads: a successor need not wait for the lease of the one that was killed.
    let mut world = world("ordeal", seed, &["--enable-leader-election=false"]);
    let mut rows: Vec<Row> = vec![trials::kills(&mut world, count("KILLS", 3), seed)];
    rows.extend(trials::components(&mut world, count("COMPONENTS", 1), seed));
    rows.push(trials::weather(&mut world, count("CUT", 1), seed));
    rows.push(trials::full_database(&mut world, count("FULL", 0), seed));
    rows.push(trials::full_disk(&mut world, count("FULL", 1), seed));
    judge(world, &rows, seed);
}

#[test]
#[ignore = "needs the testbed: make test"]
fn of_two_replicas_one_goes_on_where_the_other_was_killed_or_frozen() {
    let (seed, replicas) = (seed(), count("REPLICAS", 2));
    println!("SEED={seed}");
    let mut world = world("replicas", seed, &[]);
    let row = trials::replicas(&mut world, replicas, seed);
    world.twin = None;
    judge(world, &[row], seed);
}

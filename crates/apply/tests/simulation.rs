//! Deterministic simulation of a unit on a cluster in memory: random repositories, commits, rotations, doings of others,
//! successors and faults, each story from its seed, in virtual time, on one thread.
//!
//! **Rules at every write.** The journal holds the landing open, in a phase that allows the write; everything was tried
//! before it was begun; no workload is made newer than a secret that it reads, by its commit or by its stamp; what is
//! deleted is not wanted, is ours, and is the object that was looked at; no Secret is emptied; a hook runs once; nobody
//! writes the journal of a landing that a successor has taken over.
//!
//! **Rules at rest.** The cluster shows one revision, all of it: the newest, unless that one is flawed or something stood
//! in its way. What others made is as they left it, and what they added is there. Stamps have changed exactly with bytes.
//! The journal holds a header and a body. Rest comes within a bound, and then nothing more is written.
//!
//! **Parcels.** What is held is closed: with an object all that it stands or falls with, by the things of the story and not
//! by the engine's word. What is flawed is held, nothing else is, and nothing of it is written or deleted.
//!
//! **Themes.** Seeds below 2^40 play units that land whole; from 2^40 on units of many parcels, from 2^41 on those with other
//! switches (`on-failure`, `force`). From 2^42 on the agent knows only what watches tell it, and watches break, lag and miss
//! what happens ([`followed`]). From 2^43 on Secrets have immutable versions ([`versions`]). From 2^44 on the unit is an
//! ExternalSecret that stands alone: its Secret is made by one request, without a landing in the journal, and only where
//! nothing is there. From 2^45 on the store does not always answer, or says that it has nothing: what landed stays until it
//! is confirmed that there is no such key, and an ExternalSecret that is new meanwhile does not land.
//!
//! `make simulate SEEDS=n FROM=k` plays the stories k to k + n: of each theme in turn, so that n of them are n / 7 seeds of
//! every one. From 2^40 on, k is the first seed of a theme, and n seeds of it are played; with `SEEDS=1` k is the seed itself,
//! and its story is told. A story that breaks a rule is made as small as it goes before it is told.
//!
//! **The rules themselves.** Engines that do one thing wrong ([`spoil`]) are each caught by some of the first seeds, and by the
//! rule that is about it.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

#[path = "simulation/agent.rs"]
mod agent;
#[path = "simulation/candidate.rs"]
mod candidate;
#[path = "simulation/dice.rs"]
mod dice;
#[path = "simulation/events.rs"]
mod events;
#[path = "simulation/followed.rs"]
mod followed;
#[path = "simulation/journal.rs"]
mod journal;
#[path = "simulation/ledger.rs"]
mod ledger;
#[path = "simulation/policy.rs"]
mod policy;
#[path = "simulation/repository.rs"]
mod repository;
#[path = "simulation/rest.rs"]
mod rest;
#[path = "simulation/run.rs"]
mod run;
#[path = "simulation/scenario.rs"]
mod scenario;
#[path = "simulation/spoil.rs"]
mod spoil;
#[path = "simulation/standing.rs"]
mod standing;
#[path = "simulation/time.rs"]
mod time;
#[path = "simulation/versions.rs"]
mod versions;
#[path = "simulation/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use scenario::Scenario;

/// What came of many seeds.
#[derive(Default)]
struct Played {
    /// Requests of all stories.
    calls: u64,
    /// Seeds that break a rule, and which.
    broken: BTreeMap<u64, String>,
}

/// Seeds that break a rule after which no more are played.
const ENOUGH: usize = 100;

/// Plays `count` stories from `first`, on every core. One alone is that seed; many are of all themes in turn.
fn simulate(first: u64, count: u64) -> Played {
    let next = AtomicU64::new(first);
    let played = Mutex::new(Played::default());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while played.lock().unwrap().broken.len() < ENOUGH {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= first + count {
                        return;
                    }
                    let seed = if count == 1 { number } else { scenario::seed(number) };
                    let ended = run::play(&Scenario::new(seed), false);
                    let mut played = played.lock().unwrap();
                    match ended {
                        Ok(calls) => played.calls += calls,
                        Err(broken) => drop(played.broken.insert(seed, broken.rule)),
                    }
                }
            });
        }
    });
    played.into_inner().unwrap()
}

/// What is told of the seeds that break a rule: all of them, and the story of the first.
fn verdict(played: &Played) -> Result<(), String> {
    let Some(first) = played.broken.keys().next() else { return Ok(()) };
    let list: String = played.broken.iter().map(|(seed, rule)| format!("seed {seed}: {rule}\n")).collect();
    Err(format!("{list}{} seeds break a rule\n\n{}", played.broken.len(), explain(*first)))
}

/// The smallest story of a seed that breaks a rule, and what happened in it.
fn explain(seed: u64) -> String {
    let whole = Scenario::new(seed);
    let Err(first) = run::play(&whole, true) else { return format!("{whole}\nbreaks no rule") };
    let smallest = run::shrink(&whole);
    match run::play(&smallest, true) {
        Ok(_) => format!("{whole}\n{}\n\n{}", first.trace.join("\n"), first.rule),
        Err(broken) => {
            format!("{smallest}\n{}\n\n{}\n\nmake simulate SEEDS=1 FROM={seed}", broken.trace.join("\n"), broken.rule)
        }
    }
}

/// Stories without `SEEDS`; `make test` plays 10,000.
const FEW: u64 = 2400;

/// Seeds that have broken a rule, and what was wrong.
const FOUND: &[(u64, &str)] = &[
    (37, "a namespace was deleted by others while its objects were brought back: undoing was tried for ever"),
    (301, "what a superseded landing had made was taken for made by others when the next one was undone"),
    (337, "the release of a superseded landing stayed when the landing that superseded it was undone"),
    (504, "what a twice superseded landing had made, and nobody wanted any more, was forgotten"),
    (794, "an object that somebody deleted while its health was awaited was awaited for ever"),
    (908, "an object of a superseded landing stayed when a landing without it was undone"),
    (1182, "a landing that had failed was tried again each time that drift was put right"),
    (1474, "what a landing waited for was deleted, and the commit that would have taken its place was refused"),
    (4461, "what others had deleted of an adopted object was brought back when the landing was undone"),
    (18115, "a Secret was pruned although the workload that reads it could not be deleted"),
    (271_740, "undo took a field from an adopted object that others had added after it was looked at"),
    (
        315_702,
        "no fault: a trial in a namespace that was going was taken for a refusal of what was then tried in another one",
    ),
    (342_443, "a commit that a crash had interrupted made a workload whose Secret others had deleted in the meantime"),
    (551_455, "a workload got back a template whose Secret others had deleted, and which the landing had not wanted"),
    (404_238, "no fault: a workload was held to be outdated for not naming a Secret that it had only come to read"),
    (
        scenario::PARCELS + 1962,
        "a leader that was frozen wrote the journal of a landing that its successor went on with",
    ),
    (
        scenario::PARCELS + 2493,
        "a Secret that somebody deleted while its reader was awaited was not put back before the wait had ended",
    ),
    (
        scenario::PARCELS + 31_259,
        "a journal that could not be cleared up kept the next commit from being tried once more",
    ),
    (
        scenario::PARCELS + 41_104,
        "what could not be deleted once stayed for as long as anything else was held: nobody knew its parcel any more",
    ),
    (scenario::PARCELS + 32_230, "a workload that others had deleted was brought back before its Secret"),
    (
        scenario::MODES + 312,
        "what a superseded landing had made anew could not be brought back: undoing was tried for ever",
    ),
    (scenario::MODES + 459, "who goes on after failures concluded a release of which the end was not written"),
    (scenario::MODES + 2333, "an object of others that was adopted and made anew could not be given back"),
    (scenario::MODES + 2380, "who stops at failures stopped for good at one that had passed"),
    (scenario::MODES + 26_194, "what was new in a namespace that was there already was tried in another one"),
    (
        scenario::MODES + 30_932,
        "a Secret whose owner others had deleted could not be brought back: undoing was tried for ever",
    ),
    (scenario::ALONE + 6022, "what others had changed before a landing was to write it was put back as it had been"),
    (scenario::MODES + 31_227, "an object was to be made anew although the server would not have taken the new one"),
    (
        scenario::WATCHES + 104_794,
        "a release that could not be taken back was superseded, and its record said for ever that it was under way",
    ),
    (
        scenario::VERSIONS + 1_005_412,
        "a version of a Secret was deleted although the workload that names it could not be taken back: an earlier landing had \
         given it that name",
    ),
    (scenario::MODES + 9574, "who goes on after failures wrote a workload whose Secret was refused at its write"),
    (scenario::MODES + 9615, "no fault: a release that was cut off was not unlocked by the one that came in its place"),
    (
        scenario::MODES + 14_277,
        "who goes on after failures pruned, in the end, what a workload that could not be written still read",
    ),
    (scenario::MODES + 26_722, "who goes on after failures pruned at once what such a workload still read"),
    (scenario::MODES + 19_407, "no fault: what was refused at its write alone was held to have landed"),
    (
        scenario::STORES + 30_903,
        "no fault: a new ExternalSecret of which the store had nothing landed with its readers",
    ),
    (682_831, "after a crash nobody knew that something stale could not be deleted"),
    (
        scenario::MODES + 36_680,
        "a namespace deleted between the trial and the write was made anew without what had been found in it",
    ),
    (
        scenario::VERSIONS + 85_061,
        "the Secret of an ExternalSecret that a parcel which was taken back had dropped did not count as landed any more",
    ),
];

#[test]
fn what_was_wrong_once_stays_right() {
    for (seed, what) in FOUND {
        if run::play(&Scenario::new(*seed), false).is_err() {
            panic!("{what}\n{}", explain(*seed));
        }
    }
}

/// Seeds within which an engine that does one thing wrong is caught.
const TELLING: u64 = 300;

#[test]
fn an_engine_that_does_one_thing_wrong_is_caught() {
    for (spoilt, first, rule) in spoil::ALL {
        let play = |seed: u64| run::play(&Scenario { spoilt: Some(*spoilt), ..Scenario::new(seed) }, false).err();
        let is_caught = |seed: &u64| play(*seed).is_some_and(|broken| broken.rule.contains(rule));
        let caught = (*first..first + TELLING).find(is_caught);
        println!("{spoilt:?}: seed {caught:?}");
        assert!(caught.is_some(), "{spoilt:?} does not break the rule \"{rule}\" in {TELLING} seeds");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the seeds are chosen by who runs it")]
fn no_story_breaks_a_rule() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let (first, count) = (number("FROM").unwrap_or(0), number("SEEDS").unwrap_or(FEW));
    let played = simulate(first, count);
    println!("simulation: {count} stories from {first}, {} requests", played.calls);
    if let Err(told) = verdict(&played) {
        panic!("{told}");
    }
    if count == 1 {
        println!("{}", explain(first));
    }
}

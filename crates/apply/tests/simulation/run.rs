//! Plays a story on one thread, and makes one that breaks a rule as small as it can.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;

use super::agent;
use super::dice::Dice;
use super::events;
use super::repository::{Edit, Kind};
use super::rest;
use super::scenario::{Event, Round, Scenario};
use super::time::Task;
use super::world::World;

/// Requests that a story may take.
const MOST_CALLS: u64 = 20_000;
/// Reconciliations after the last event or fault until everybody is at rest.
const MOST_PASSES: u64 = 30;
/// Reconciliations after which nobody waits any longer for what the world does not allow.
const PATIENCE: u64 = 6;

/// A broken rule.
pub(crate) struct Broken {
    pub(crate) rule: String,
    pub(crate) trace: Vec<String>,
}

/// Plays a story; how many requests it took.
pub(crate) fn play(scenario: &Scenario, traced: bool) -> Result<u64, Broken> {
    let world = World::new(scenario, traced);
    let mut player = Player { world: world.clone(), tasks: Vec::new(), dice: Dice::new(scenario.schedule) };
    player.spawn();
    for round in scenario.rounds.iter().chain([&calm()]) {
        events::fire(&world, round);
        if matches!(round.event, Event::TakeOver) {
            world.state().epoch += 1;
            player.spawn();
        }
        player.play(round.patience);
        if world.state().violation.is_some() {
            break;
        }
    }
    player.end();
    rest::check(&world);
    let mut state = world.state();
    match state.violation.take() {
        None => Ok(state.all_calls),
        Some(rule) => Err(Broken { rule, trace: state.trace.take().unwrap_or_default() }),
    }
}

/// In the end all that stands in the way goes, and what is wrong is mended: this must land.
fn calm() -> Round {
    Round { event: Event::Calm, patience: u64::MAX, faults: BTreeMap::new(), gaps: BTreeMap::new() }
}

struct Player {
    world: Arc<World>,
    tasks: Vec<Task>,
    dice: Dice,
}

impl Player {
    fn spawn(&mut self) {
        let epoch = self.world.state().epoch;
        self.tasks.push(Task::new(epoch, agent::live(self.world.clone(), epoch)));
    }

    /// Plays until the next event is due, everybody is at rest, or a rule is broken.
    fn play(&mut self, patience: u64) {
        loop {
            let (calls, is_over, epoch, is_at_rest) = {
                let state = self.world.state();
                let is_at_rest = state.resting.iter().any(|(epoch, _)| *epoch == state.epoch);
                (state.calls, state.violation.is_some(), state.epoch, is_at_rest)
            };
            let is_ready = self.tasks.iter().any(|task| task.epoch == epoch && task.is_ready());
            if is_over || calls >= patience || (is_at_rest && !is_ready) {
                return;
            }
            if self.world.state().passes > PATIENCE && events::is_in_want(&self.world) {
                return;
            }
            self.take_turn();
        }
    }

    /// Lets those go on whose time is over, until they notice.
    fn end(&mut self) {
        let epoch = self.world.state().epoch;
        while self.world.state().violation.is_none() && self.tasks.iter().any(|task| task.epoch != epoch) {
            self.take_turn();
        }
    }

    fn take_turn(&mut self) {
        let ready: Vec<usize> = (0..self.tasks.len()).filter(|index| self.tasks[*index].is_ready()).collect();
        let Some(chosen) = self.dice.pick(&ready).copied() else {
            match self.world.time.pass() {
                Some(passed) => self.world.memory.advance(SignedDuration::try_from(passed).unwrap_or_default()),
                None => self.world.break_rule("nobody goes on, and nobody is at rest".into()),
            }
            return;
        };
        let has_ended = self.tasks[chosen].go_on();
        let crashed = self.world.state().crashed.take();
        if has_ended || crashed.is_some() {
            self.tasks.remove(chosen);
        }
        if let Some(crashed) = crashed {
            self.restart(crashed);
        }
        let state = self.world.state();
        let (calls, passes) = (state.all_calls, state.passes);
        drop(state);
        if passes > MOST_PASSES || calls > MOST_CALLS {
            self.world.break_rule(format!("it does not come to rest: {passes} reconciliations, {calls} requests"));
        }
    }

    /// A process that is gone is started again, unless it was not the leader any more.
    fn restart(&mut self, crashed: u64) {
        self.world.say(|| format!("-- agent {crashed} is gone"));
        let is_leader = self.world.state().epoch == crashed;
        if is_leader {
            self.world.state().epoch += 1;
            self.spawn();
        }
    }
}

/// The smallest story found that still breaks a rule.
pub(crate) fn shrink(scenario: &Scenario) -> Scenario {
    let mut best = scenario.clone();
    let mut left = 1000;
    loop {
        let smaller = candidates(&best).into_iter().find(|candidate| {
            left -= 1;
            left > 0 && play(candidate, false).is_err()
        });
        match smaller {
            Some(smaller) => best = smaller,
            None => return best,
        }
    }
}

/// Stories with one thing less.
fn candidates(from: &Scenario) -> Vec<Scenario> {
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut Scenario)| {
        let mut scenario = from.clone();
        change(&mut scenario);
        all.push(scenario);
    };
    for index in (1..from.rounds.len()).rev() {
        with(&|s| drop(s.rounds.remove(index)));
    }
    for (index, round) in from.rounds.iter().enumerate() {
        for number in round.faults.keys() {
            with(&|s| s.rounds[index].faults.retain(|known, _| known != number));
        }
        for number in round.gaps.keys() {
            with(&|s| s.rounds[index].gaps.retain(|known, _| known != number));
        }
        if let Event::Commit(edits) = &round.event {
            for edit in (0..edits.len()).rev() {
                with(&|s| {
                    if let Event::Commit(edits) = &mut s.rounds[index].event {
                        edits.remove(edit);
                    }
                });
            }
        }
        if round.patience < u64::MAX {
            with(&|s| s.rounds[index].patience = u64::MAX);
        }
    }
    if from.steps > 0 {
        with(&|s| s.steps = 0);
    }
    if from.terms.waits {
        with(&|s| s.terms.waits = false);
    }
    if from.schedule != 0 {
        with(&|s| s.schedule = 0);
    }
    all
}

impl Scenario {
    /// Whether the unit itself declares its namespace at first.
    pub(crate) fn declares_namespace(&self) -> bool {
        let Some(Event::Commit(edits)) = self.rounds.first().map(|round| &round.event) else { return false };
        edits.iter().any(|edit| matches!(edit, Edit::Add(thing) if thing.kind == Kind::Namespace))
    }
}

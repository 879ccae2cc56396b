//! What is remembered of units between reconciliations: what they read, how that ended, which secrets they hold.
//! Everything here can be lost: a restart costs a build, and nothing else.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::redact::Live;
use crate::unit::{ReadSet, Thing, Unit};

/// How the last compile of a unit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was handed to the landing.
    Compiled,
    /// It failed, or the server refused it.
    Failed {
        /// Whether it may pass later although no input changes.
        is_transient: bool,
    },
}

/// How long changed secrets are gathered before they land together: one rollout for a batch of rotations.
const WINDOW: Duration = Duration::from_millis(1500);

#[derive(Default)]
struct Memory {
    read_set: ReadSet,
    ended: Option<Ended>,
    /// Keeps the values known to the redactor.
    secrets: Vec<Live>,
    looked_at: Option<Instant>,
    /// Whether others have changed since the last compile began what it may depend on.
    is_woken: bool,
}

/// What is remembered of each unit, and who has read what.
#[derive(Default)]
struct Known {
    memories: HashMap<Unit, Memory>,
    readers: HashMap<Thing, BTreeSet<Unit>>,
}

impl Known {
    /// What is remembered of a unit that has read this.
    fn has_read(&mut self, unit: Unit, read_set: ReadSet) -> &mut Memory {
        self.forget_readings(&unit);
        for (thing, _) in read_set.iter() {
            self.readers.entry(thing.clone()).or_default().insert(unit.clone());
        }
        let memory = self.memories.entry(unit).or_default();
        memory.read_set = read_set;
        memory
    }

    fn forget_readings(&mut self, unit: &Unit) {
        let Some(memory) = self.memories.get_mut(unit) else { return };
        for (thing, _) in std::mem::take(&mut memory.read_set).iter() {
            let Some(readers) = self.readers.get_mut(thing) else { continue };
            readers.remove(unit);
            if readers.is_empty() {
                self.readers.remove(thing);
            }
        }
    }
}

/// Memory of all units.
#[derive(Default)]
pub struct Units {
    known: Mutex<Known>,
    /// Newest versions of remote secrets that anybody has seen.
    remote: Mutex<HashMap<Thing, String>>,
    /// Until when the changed secrets of a unit are gathered.
    gathering: Mutex<HashMap<Unit, Instant>>,
}

impl Units {
    /// A compile succeeded.
    pub fn compiled(&self, unit: Unit, read_set: ReadSet, secrets: Vec<Live>) {
        self.saw_all(&read_set);
        let mut known = self.lock();
        let memory = known.has_read(unit, read_set);
        memory.secrets = secrets;
        (memory.ended, memory.looked_at) = (Some(Ended::Compiled), Some(Instant::now()));
    }

    /// A compile failed after it had read this.
    pub fn failed(&self, unit: Unit, read_set: ReadSet, is_transient: bool) {
        self.saw_all(&read_set);
        self.lock().has_read(unit, read_set).ended = Some(Ended::Failed { is_transient });
    }

    fn saw_all(&self, read_set: &ReadSet) {
        let is_seen = |thing: &Thing| matches!(thing, Thing::Remote { .. } | Thing::Chart { .. });
        read_set
            .iter()
            .filter(|(thing, _)| is_seen(thing))
            .for_each(|(thing, version)| drop(self.remember(thing.clone(), version)));
    }

    /// The server refused what was compiled.
    pub fn refused(&self, unit: &Unit, is_transient: bool) {
        if let Some(memory) = self.lock().memories.get_mut(unit) {
            memory.ended = Some(Ended::Failed { is_transient });
        }
    }

    /// It is compiled once more, whatever it has read: others have made something, or are about to.
    pub fn wake(&self, unit: &Unit) {
        self.lock().memories.entry(unit.clone()).or_default().is_woken = true;
    }

    /// A compile begins, and sees what there is now.
    pub fn begins(&self, unit: &Unit) {
        if let Some(memory) = self.lock().memories.get_mut(unit) {
            memory.is_woken = false;
        }
    }

    /// What failed is tried once more: something else has changed than what it had read.
    pub fn look_anew(&self, unit: &Unit) {
        if let Some(memory) = self.lock().memories.get_mut(unit) {
            memory.ended = memory.ended.filter(|ended| *ended == Ended::Compiled);
        }
    }

    /// What the last compile read, and how it ended.
    pub fn last(&self, unit: &Unit) -> Option<(ReadSet, Ended)> {
        let known = self.lock();
        let memory = known.memories.get(unit)?;
        let woken = memory.is_woken.then_some(Ended::Failed { is_transient: true });
        Some((memory.read_set.clone(), woken.or(memory.ended)?))
    }

    /// What a unit has read is known from its journal.
    pub fn recall(&self, unit: &Unit, read_set: ReadSet) {
        let mut known = self.lock();
        if known.memories.get(unit).is_none_or(|memory| memory.ended.is_none()) {
            known.has_read(unit.clone(), read_set);
        }
    }

    /// Units that have read a thing.
    pub fn readers_of(&self, thing: &Thing) -> BTreeSet<Unit> {
        self.lock().readers.get(thing).cloned().unwrap_or_default()
    }

    /// Drift was looked for.
    pub fn looked_at(&self, unit: &Unit) {
        self.lock().memories.entry(unit.clone()).or_default().looked_at = Some(Instant::now());
    }

    /// How long until drift is to be looked for again; nothing when it was not since the start.
    pub fn until_due(&self, unit: &Unit, interval: Duration) -> Duration {
        let last = self.lock().memories.get(unit).and_then(|memory| memory.looked_at);
        last.map_or(Duration::ZERO, |last| interval.saturating_sub(last.elapsed()))
    }

    /// A remote secret or a chart was seen at a version; whether that is news.
    pub fn saw(&self, thing: Thing, version: &str) -> bool {
        self.remember(thing, version).as_deref() != Some(version)
    }

    fn remember(&self, thing: Thing, version: &str) -> Option<String> {
        self.remote.lock().unwrap_or_else(PoisonError::into_inner).insert(thing, version.to_owned())
    }

    /// The newest version at which a remote secret was seen; `None` when nobody has looked since the start.
    pub fn seen(&self, thing: &Thing) -> Option<String> {
        self.remote.lock().unwrap_or_else(PoisonError::into_inner).get(thing).cloned()
    }

    /// A secret that a unit reads has changed: how long until those that change with it are gathered.
    pub fn gather(&self, unit: &Unit) -> Duration {
        let mut gathering = self.gathering.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        gathering.retain(|_, end| *end > now);
        gathering.entry(unit.clone()).or_insert(now + WINDOW).saturating_duration_since(now)
    }

    /// How long changed secrets of a unit are still gathered; `None` when they are not.
    pub fn is_gathering(&self, unit: &Unit) -> Option<Duration> {
        let gathering = self.gathering.lock().unwrap_or_else(PoisonError::into_inner);
        let left = gathering.get(unit)?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// A unit is gone.
    pub fn forget(&self, unit: &Unit) {
        let mut known = self.lock();
        known.forget_readings(unit);
        known.memories.remove(unit);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use apply::Reference;

    use super::*;

    fn secret(name: &str) -> Thing {
        Thing::object(&Reference::new("v1", "Secret", "apps", name))
    }

    fn reading(names: &[&str]) -> ReadSet {
        let mut read_set = ReadSet::default();
        names.iter().for_each(|name| read_set.note(secret(name), "1"));
        read_set
    }

    #[test]
    fn whoever_is_woken_while_it_is_compiled_is_compiled_once_more() {
        let units = Units::default();
        let unit = Unit::kustomization("apps", "first");
        let ended = || units.last(&unit).map(|(_, ended)| ended);
        units.begins(&unit);
        units.wake(&unit);
        units.compiled(unit.clone(), reading(&["db"]), Vec::new());
        units.refused(&unit, false);
        assert_eq!(ended(), Some(Ended::Failed { is_transient: true }), "it has not seen what came meanwhile");
        units.begins(&unit);
        assert_eq!(ended(), Some(Ended::Failed { is_transient: false }));
    }

    #[test]
    fn readers_of_a_thing_are_those_who_read_it_last_time() {
        let units = Units::default();
        let unit = |name| Unit::of(&Reference::new("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "apps", name));
        let [first, second] = [unit("first"), unit("second")];
        let readers =
            |name: &str| units.readers_of(&secret(name)).into_iter().map(|unit| unit.name).collect::<Vec<_>>();
        units.compiled(first.clone(), reading(&["db", "mail"]), Vec::new());
        units.recall(&second, reading(&["db"]));
        assert_eq!((readers("db"), readers("mail")), (vec!["first".into(), "second".into()], vec!["first".into()]));
        units.failed(first.clone(), reading(&["mail"]), true);
        units.recall(&first, reading(&["db"]));
        assert_eq!(
            (readers("db"), readers("mail")),
            (vec!["second".into()], vec!["first".into()]),
            "what it has just read"
        );
        units.forget(&first);
        units.forget(&second);
        assert!(units.lock().readers.is_empty());
    }
}

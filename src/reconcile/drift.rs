//! What of ours is live, and whether somebody has changed it: known from watches of metadata, without asking.
//!
//! **Flow.** A unit claims the objects of its last landing. For each kind of them one watch is followed ([`watches`]). Every
//! object has two marks ([`apply::imprint`]): that of its last state that is known to be good, which the answers to our own
//! applies tell, and that of its last state that a watch has told. Where they differ the unit is called to look.
//!
//! **Guarantees.** A write of our own calls nobody, whichever comes first, its answer or its event. Each change by somebody
//! else calls its unit once. What a status, an autoscaler or a controller writes into fields of its own calls nobody.
//!
//! **Caveats.** An object that somebody keeps changing is put back after a growing pause. What `kubectl rollout restart`
//! adds calls nobody: it would be undone before a pod has started. A Job that is gone waits for its unit's interval, since
//! Jobs that have ended are deleted by their time to live.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use apply::desired::Policy;
use apply::imprint::{Imprint, Writer};
use apply::{Declarer, Landing, Selection};
use manifest::{Gvk, Object, ObjectId};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::cluster::noted::Note;
use crate::pipeline::MANAGER;
use crate::unit::Unit;

mod losses;
pub mod watches;

/// Mark of an object that is gone.
const GONE: u64 = 0;
/// Mark of an object of which a watch has told before anybody claimed it, when nobody listened.
const UNHEARD: u64 = 1;
/// Times that an object is put back at once.
const AT_ONCE: u32 = 2;
/// First pause afterwards; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// After so long without a change, all is forgiven.
const FORGIVEN: Duration = Duration::from_secs(1200);
/// Labels of our objects, and the selector of each.
const LABELS: [(&str, &str); 2] = [
    ("kustomize.toolkit.fluxcd.io/name", "kustomize.toolkit.fluxcd.io/name"),
    ("reconcile.external-secrets.io/managed", "reconcile.external-secrets.io/managed=true"),
];

/// Whose writes matter: our own, since whoever takes a field changes them, and those that an apply undoes.
fn counts(writer: &Writer) -> bool {
    let manager = writer.manager.as_str();
    let is_applied = manager.strip_prefix(MANAGER).is_some_and(|rest| rest.is_empty() || rest.starts_with(" ("));
    let is_ours = is_applied || manager.starts_with("externalsecrets.external-secrets.io/");
    let is_undone = manager.starts_with("kubectl") || manager.starts_with("before-first-apply");
    is_ours || is_undone && manager != "kubectl-rollout"
}

/// Objects that are followed by one watch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Follow {
    gvk: Gvk,
    selector: Option<&'static str>,
    namespace: Option<String>,
}

impl Follow {
    fn of(object: &Object, narrow: &BTreeSet<Gvk>, only: bool) -> Self {
        let selector = LABELS.iter().find(|(label, _)| object.label(label).is_some()).map(|(_, selector)| *selector);
        let is_narrow = only || narrow.contains(&object.gvk());
        let namespace = Some(object.namespace().to_owned()).filter(|name| is_narrow && !name.is_empty());
        Self { gvk: object.gvk(), selector, namespace }
    }

    fn selection(&self) -> Selection {
        let labels = self.selector.map(str::to_owned);
        Selection { gvk: self.gvk.clone(), namespace: self.namespace.clone(), name: None, labels, shared: false }
    }

    fn id(&self, imprint: &Imprint) -> ObjectId {
        let (namespace, name) = (imprint.namespace.clone(), imprint.name.clone());
        ObjectId { namespace, name, group: self.gvk.group.clone(), kind: self.gvk.kind.clone() }
    }
}

/// How a watch fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    /// It is beginning, or tells what happens.
    Good,
    /// It has failed and is tried again.
    Broken,
}

struct Following {
    objects: usize,
    health: Health,
    /// Whether it has told of all objects since it began, or was mended.
    has_listed: bool,
}

/// What a watch has told of an object that no unit has claimed.
struct Told {
    follow: Follow,
    mark: u64,
    version: u64,
}

/// One object of a unit's last landing.
struct Entry {
    unit: Unit,
    /// Units that share it with that one.
    sharers: BTreeSet<Unit>,
    /// Those of them that are to look.
    called: BTreeSet<Unit>,
    follow: Follow,
    /// Mark of the last state that is known to be good.
    good: Option<u64>,
    /// Mark of the last state that was told.
    seen: Option<u64>,
    /// Newest resourceVersion of either.
    version: u64,
    /// Since when it is not as it should be.
    since: Option<Instant>,
    /// When it was put back last, how often in a row, and before when it is not put back again.
    last: Option<Instant>,
    times: u32,
    not_before: Option<Instant>,
    /// What differs, where drift is only reported.
    reported: Option<String>,
}

impl Entry {
    fn is_suspect(&self) -> bool {
        self.seen.is_some() && self.seen != self.good
    }

    fn units(&self) -> impl Iterator<Item = &Unit> {
        std::iter::once(&self.unit).chain(&self.sharers)
    }

    /// Whether a unit has a part in it that may have changed.
    fn concerns(&self, unit: &Unit) -> bool {
        if self.unit == *unit { self.is_suspect() } else { self.called.contains(unit) }
    }

    /// When it may be looked at.
    fn due(&self, interval: Duration) -> Option<Instant> {
        let is_ended_job = self.seen == Some(GONE) && self.follow.gvk.kind == "Job";
        let waits = self.since.filter(|_| is_ended_job).map(|since| since + interval);
        waits.max(self.not_before)
    }

    fn saw(&mut self, mark: u64, version: u64) -> bool {
        if version != 0 && version < self.version {
            return false;
        }
        let is_news = self.seen != Some(mark);
        (self.seen, self.version) = (Some(mark), self.version.max(version));
        if !self.is_suspect() {
            self.since = None;
        } else if is_news {
            self.since = Some(Instant::now());
            self.called.clone_from(&self.sharers);
        }
        is_news && self.is_suspect()
    }
}

/// What is to be looked at.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Suspects {
    /// Objects that somebody may have changed.
    pub objects: BTreeSet<ObjectId>,
    /// How long until more of them may be looked at.
    pub wait: Option<Duration>,
}

/// Everything of ours that is live.
pub struct Owned {
    state: Mutex<State>,
    /// Which watches there should be.
    wanted: watch::Sender<BTreeSet<Follow>>,
    /// Whether only namespaces are followed.
    only: bool,
}

#[derive(Default)]
struct State {
    objects: HashMap<ObjectId, Entry>,
    units: HashMap<Unit, Vec<ObjectId>>,
    follows: HashMap<Follow, Following>,
    /// Applied and not claimed yet: mark and resourceVersion.
    fresh: HashMap<ObjectId, (u64, u64)>,
    /// Told of and not claimed: after a start watches tell of all units' objects before the last unit has claimed its own.
    unclaimed: HashMap<ObjectId, Told>,
    /// Kinds that may not be followed over the whole cluster.
    narrow: BTreeSet<Gvk>,
    losses: losses::Losses,
}

impl Owned {
    /// Knows of nothing. With `only`, no watch is wider than a namespace.
    pub fn new(only: bool) -> Self {
        Self { state: Mutex::default(), wanted: watch::Sender::default(), only }
    }

    /// Our own apply, or its dry run, was answered.
    pub fn noted(&self, note: &Note<'_>) {
        let imprint = Imprint::of(note.object);
        if note.object.resource_version().is_empty() {
            return;
        }
        let (id, mark) = (note.object.id(), imprint.mark(counts));
        let mut state = self.lock();
        let Some(entry) = state.objects.get_mut(&id) else {
            state.fresh.insert(id, (mark, imprint.version));
            return;
        };
        if !note.is_dry_run {
            (entry.good, entry.seen, entry.since) = (Some(mark), Some(mark), None);
            (entry.version, entry.reported) = (entry.version.max(imprint.version), None);
        } else if entry.good.is_none() && entry.seen.is_none() {
            entry.good = Some(mark);
        }
    }

    /// How the objects of a landing stand, in the order of its changes; 0 where nobody knows.
    pub fn marks(&self, landing: &Landing) -> Vec<u64> {
        let state = self.lock();
        let mark = |id: ObjectId| match state.objects.get(&id) {
            Some(entry) => entry.good,
            None => state.fresh.get(&id).map(|(mark, _)| *mark),
        };
        landing.changes().map(|change| mark(change.desired.object.id()).unwrap_or_default()).collect()
    }

    /// A unit has landed, or is known to have: its objects are followed from now on, and no others of it. `marks` says how
    /// they stood when they had landed, as far as that is known.
    pub fn claim(&self, unit: &Unit, landing: &Landing, marks: &[u64]) {
        let mut state = self.lock();
        let mut ids = Vec::new();
        let is_meant = marks.len() == landing.changes().count();
        let marks = marks.iter().filter(|_| is_meant).map(|mark| Some(*mark).filter(|mark| *mark != 0));
        for (change, mark) in landing.changes().zip(marks.chain(std::iter::repeat(None))) {
            let desired = &change.desired;
            let is_followed = !matches!(desired.declarer, Declarer::Release(_)) && desired.policy != Policy::Ignore;
            if is_followed {
                let id = desired.object.id();
                let follow = Follow::of(&desired.object, &state.narrow, self.only);
                state.put(id.clone(), unit, follow, (mark, desired.shared));
                ids.push(id);
            }
        }
        let before = state.units.insert(unit.clone(), ids.clone()).unwrap_or_default();
        let ids: BTreeSet<ObjectId> = ids.into_iter().collect();
        before.iter().filter(|id| !ids.contains(id)).for_each(|id| state.abandon(id, unit));
        state.unfollow(unit);
        self.tell(&state);
    }

    /// Whether a unit has claimed its objects since the start.
    pub fn knows(&self, unit: &Unit) -> bool {
        self.lock().units.contains_key(unit)
    }

    /// A unit is gone.
    pub fn forget(&self, unit: &Unit) {
        let mut state = self.lock();
        let ids = state.units.remove(unit).unwrap_or_default();
        ids.iter().for_each(|id| state.abandon(id, unit));
        state.unfollow(unit);
        self.tell(&state);
    }

    /// Whether watches tell of every change to what a unit has landed.
    pub fn is_followed(&self, unit: &Unit) -> bool {
        let state = self.lock();
        let Some(ids) = state.units.get(unit) else { return false };
        let follows = ids.iter().filter_map(|id| state.objects.get(id)).filter_map(|e| state.follows.get(&e.follow));
        follows.into_iter().all(|following| following.health == Health::Good)
    }

    /// Objects of a unit that somebody may have changed. `interval` is how often the unit is looked at anyway.
    pub fn suspects(&self, unit: &Unit, interval: Duration) -> Suspects {
        let (state, now) = (self.lock(), Instant::now());
        let mut suspects = Suspects::default();
        for id in state.units.get(unit).into_iter().flatten() {
            let Some(entry) = state.objects.get(id).filter(|entry| entry.concerns(unit)) else {
                continue;
            };
            match entry.due(interval).filter(|due| *due > now) {
                None => drop(suspects.objects.insert(id.clone())),
                Some(due) => suspects.wait = Some(suspects.wait.unwrap_or(Duration::MAX).min(due - now)),
            }
        }
        suspects
    }

    /// An object was looked at and is as it should be, or is left as it is; `reported` says what differs.
    pub fn rests(&self, id: &ObjectId, unit: &Unit, reported: Option<String>) {
        if let Some(entry) = self.lock().objects.get_mut(id) {
            if !entry.called.remove(unit) {
                (entry.good, entry.since) = (entry.seen, None);
            }
            entry.reported = reported;
        }
    }

    /// An object was put back, or could not be: how often in a row, and how long it is left alone from now on.
    pub fn tried(&self, id: &ObjectId, unit: &Unit, has_failed: bool) -> (u32, Duration) {
        let (mut state, now) = (self.lock(), Instant::now());
        let Some(entry) = state.objects.get_mut(id) else { return (0, Duration::ZERO) };
        if entry.last.is_none_or(|last| now - last > FORGIVEN) {
            entry.times = 0;
        }
        entry.times += 1;
        let is_shared = if has_failed { entry.called.contains(unit) } else { entry.called.remove(unit) };
        if has_failed && !is_shared {
            entry.good = None;
            entry.since.get_or_insert(now);
        }
        let grows = if has_failed { entry.times } else { entry.times.saturating_sub(AT_ONCE) };
        let pause = match grows {
            0 => Duration::ZERO,
            _ => FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(grows - 1)).min(LONGEST_PAUSE),
        };
        (entry.last, entry.not_before) = (Some(now), Some(now + pause));
        (entry.times, pause)
    }

    /// What differs of a unit where drift is only reported.
    pub fn reported(&self, unit: &Unit) -> BTreeMap<ObjectId, String> {
        let state = self.lock();
        let ids = state.units.get(unit).into_iter().flatten();
        ids.filter_map(|id| Some((id.clone(), state.objects.get(id)?.reported.clone()?))).collect()
    }

    /// A watch has told of one object; the units that are to look.
    fn saw(&self, follow: &Follow, imprint: &Imprint, is_gone: bool) -> Vec<Unit> {
        // It is about to go: then it is told of once more.
        if imprint.is_terminating && !is_gone {
            return Vec::new();
        }
        let mark = if is_gone { GONE } else { imprint.mark(counts) };
        let (mut state, id) = (self.lock(), follow.id(imprint));
        if is_gone {
            state.is_lost(&id, imprint.version);
        }
        let Some(entry) = state.objects.get_mut(&id) else {
            state.nobodys(id, follow, mark, imprint.version);
            return Vec::new();
        };
        if entry.saw(mark, imprint.version) { entry.units().cloned().collect() } else { Vec::new() }
    }

    /// A watch has told of all objects; the units that are to look.
    fn saw_all(&self, follow: &Follow, imprints: &[Imprint]) -> BTreeSet<Unit> {
        let mut units: BTreeSet<Unit> = imprints.iter().flat_map(|imprint| self.saw(follow, imprint, false)).collect();
        let present: BTreeSet<ObjectId> = imprints.iter().map(|imprint| follow.id(imprint)).collect();
        let mut state = self.lock();
        state.unclaimed.retain(|id, told| told.follow != *follow || present.contains(id));
        state.are_lost(follow, |id| present.contains(id));
        if let Some(following) = state.follows.get_mut(follow) {
            following.has_listed = true;
        }
        for (id, entry) in &mut state.objects {
            if entry.follow == *follow && !present.contains(id) && entry.saw(GONE, 0) {
                units.extend(entry.units().cloned());
            }
        }
        units
    }

    fn fares(&self, follow: &Follow, health: Health) {
        if let Some(following) = self.lock().follows.get_mut(follow) {
            following.health = health;
            following.has_listed &= health == Health::Good;
        }
    }

    /// A watch over the whole cluster is not allowed: its namespaces are followed instead. `false` where that was done.
    fn narrow(&self, follow: &Follow) -> bool {
        if follow.namespace.is_some() {
            return false;
        }
        let mut state = self.lock();
        let is_new = state.narrow.insert(follow.gvk.clone());
        let ids: Vec<ObjectId> = state
            .objects
            .iter()
            .filter(|(id, entry)| entry.follow == *follow && !id.namespace.is_empty())
            .map(|(id, _)| id.clone())
            .collect();
        for id in &ids {
            let narrower = Follow { namespace: Some(id.namespace.clone()), ..follow.clone() };
            state.follow(id, narrower);
        }
        self.tell(&state);
        is_new && !ids.is_empty()
    }

    fn tell(&self, state: &State) {
        self.wanted.send_if_modified(|wanted| {
            let is_same = wanted.len() == state.follows.len() && state.follows.keys().all(|key| wanted.contains(key));
            if !is_same {
                *wanted = state.follows.keys().cloned().collect();
            }
            !is_same
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put(&mut self, id: ObjectId, unit: &Unit, follow: Follow, (landed, is_shared): (Option<u64>, bool)) {
        let fresh = self.fresh.remove(&id);
        if let Some(entry) = self.objects.get_mut(&id) {
            if is_shared && entry.unit != *unit {
                entry.sharers.insert(unit.clone());
                return;
            }
            let before = std::mem::replace(&mut entry.unit, unit.clone());
            entry.sharers.insert(before);
            entry.sharers.remove(unit);
            return self.follow(&id, follow);
        }
        self.count(&follow);
        let (good, version) = (fresh.map(|(mark, _)| mark).or(landed), fresh.map(|(_, version)| version));
        let seen = self.told_before(&id, &follow, version);
        let entry = Entry {
            unit: unit.clone(),
            sharers: BTreeSet::new(),
            called: BTreeSet::new(),
            follow,
            good,
            seen: seen.map(|(mark, _)| mark),
            version: seen.map(|(_, version)| version).max(version).unwrap_or_default(),
            since: seen.filter(|(mark, _)| Some(*mark) != good).map(|_| Instant::now()),
            last: None,
            times: 0,
            not_before: None,
            reported: None,
        };
        self.objects.insert(id, entry);
    }

    /// What a watch has told of an object before it was claimed. `applied` is the version of an apply of our own, of which
    /// the watch may not have heard yet.
    fn told_before(&mut self, id: &ObjectId, follow: &Follow, applied: Option<u64>) -> Option<(u64, u64)> {
        let told = self.unclaimed.remove(id).filter(|told| told.follow == *follow);
        let has_listed = self.follows.get(follow).is_some_and(|following| following.has_listed);
        let silent = if follow.selector.is_some() { GONE } else { UNHEARD };
        match (told, applied) {
            (Some(told), applied) => (Some(told.version) >= applied).then_some((told.mark, told.version)),
            (None, None) => has_listed.then_some((silent, 0)),
            (None, Some(_)) => None,
        }
    }

    /// Kept where only objects with our labels are told of.
    fn nobodys(&mut self, id: ObjectId, follow: &Follow, mark: u64, version: u64) {
        if mark == GONE {
            self.unclaimed.remove(&id);
        } else if follow.selector.is_some() {
            self.unclaimed.insert(id, Told { follow: follow.clone(), mark, version });
        }
    }

    fn follow(&mut self, id: &ObjectId, follow: Follow) {
        let Some(entry) = self.objects.get_mut(id).filter(|entry| entry.follow != follow) else { return };
        let before = std::mem::replace(&mut entry.follow, follow.clone());
        self.count(&follow);
        self.release(&before);
    }

    /// Another unit may have claimed it meanwhile.
    fn abandon(&mut self, id: &ObjectId, unit: &Unit) {
        let Some(entry) = self.objects.get_mut(id) else { return };
        if entry.sharers.remove(unit) || entry.unit != *unit {
            return;
        }
        if let Some(next) = entry.sharers.pop_first() {
            entry.unit = next;
        } else if let Some(entry) = self.objects.remove(id) {
            if let Some(mark) = entry.seen {
                self.nobodys(id.clone(), &entry.follow, mark, entry.version);
            }
            self.release(&entry.follow);
        }
    }

    fn count(&mut self, follow: &Follow) {
        let following = self.follows.entry(follow.clone());
        following.or_insert(Following { objects: 0, health: Health::Good, has_listed: false }).objects += 1;
    }

    fn release(&mut self, follow: &Follow) {
        let Some(following) = self.follows.get_mut(follow) else { return };
        following.objects = following.objects.saturating_sub(1);
        if following.objects == 0 {
            self.follows.remove(follow);
            self.unclaimed.retain(|_, told| told.follow != *follow);
        }
    }
}

/// Tells `owned` what is applied.
pub fn told(owned: &Arc<Owned>) -> crate::cluster::noted::Told {
    let owned = owned.clone();
    Arc::new(move |note| owned.noted(&note))
}

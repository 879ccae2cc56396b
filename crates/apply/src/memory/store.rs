//! What the cluster holds: objects by place, one counter of revisions, and a bounded log of changes for watches.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use jiff::{SignedDuration, Timestamp};
use manifest::Object;
use serde_json::{Value, json};

use super::Clock;
use super::kinds::{Kind, Kinds};
use super::managed::Managers;
use super::selector::Selector;
use super::simulate::Controllers;
use super::stored::Stored;
use super::watch::Gaps;
use crate::Selection;

/// A watch that falls behind by more changes than this starts anew with a reset.
const LOG_LENGTH: usize = 4096;

/// Where an object is stored. The order keeps a kind together, and within it a namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) group: String,
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Place {
    pub(super) fn new(kind: &Kind, namespace: &str, name: &str) -> Self {
        Self {
            group: kind.gvk.group.clone(),
            kind: kind.gvk.kind.clone(),
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    pub(super) fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }

    pub(super) fn namespace_of(name: &str) -> Self {
        Self { group: String::new(), kind: "Namespace".into(), namespace: String::new(), name: name.into() }
    }
}

/// One change of one object.
pub(super) struct Change {
    pub(super) revision: u64,
    pub(super) place: Place,
    pub(super) before: Option<Stored>,
    pub(super) after: Option<Stored>,
}

/// Everything behind the lock.
pub(super) struct State {
    objects: BTreeMap<Place, Stored>,
    /// UID -> its object.
    uids: BTreeMap<String, Place>,
    /// UID of an owner -> what it owns.
    owned: BTreeMap<String, BTreeSet<Place>>,
    pub(super) kinds: Kinds,
    revision: u64,
    /// How many UIDs and names were made.
    made: u64,
    seed: u64,
    log: VecDeque<Arc<Change>>,
    /// Changes that the controllers have not seen.
    pub(super) unseen: VecDeque<Arc<Change>>,
    pub(super) controllers: Option<Controllers>,
    wakers: Vec<Waker>,
    pub(super) gaps: Gaps,
    clock: Clock,
    /// How far virtual time runs before the clock.
    ahead: SignedDuration,
}

impl State {
    pub(super) fn new(seed: u64, clock: Clock, controllers: Option<Controllers>) -> Self {
        Self {
            objects: BTreeMap::new(),
            uids: BTreeMap::new(),
            owned: BTreeMap::new(),
            kinds: Kinds::default(),
            revision: 1,
            made: 0,
            seed,
            log: VecDeque::new(),
            unseen: VecDeque::new(),
            controllers,
            wakers: Vec::new(),
            gaps: Gaps::default(),
            clock,
            ahead: SignedDuration::ZERO,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.clock)().checked_add(self.ahead).unwrap_or(Timestamp::MAX)
    }

    /// Now, as objects carry it: whole seconds.
    pub(super) fn time(&self) -> String {
        Timestamp::from_second(self.now().as_second()).unwrap_or_default().to_string()
    }

    pub(super) fn advance(&mut self, by: SignedDuration) {
        self.ahead = self.ahead.saturating_add(by);
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn get(&self, place: &Place) -> Option<&Stored> {
        self.objects.get(place)
    }

    /// The objects of a kind, in one namespace or in all.
    pub(super) fn of_kind<'a>(
        &'a self,
        group: &'a str,
        kind: &'a str,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Place, &'a Stored)> {
        let from = Place {
            group: group.into(),
            kind: kind.into(),
            namespace: namespace.unwrap_or_default().into(),
            name: String::new(),
        };
        let within = move |place: &Place| namespace.is_none_or(|namespace| place.namespace == namespace);
        self.objects.range(from..).take_while(move |(place, _)| place.is(group, kind) && within(place))
    }

    /// Everything in a namespace.
    pub(super) fn within(&self, namespace: &str) -> Vec<Place> {
        self.objects.keys().filter(|place| place.namespace == namespace).cloned().collect()
    }

    pub(super) fn owned_by(&self, uid: &str) -> Vec<Place> {
        self.owned.get(uid).into_iter().flatten().cloned().collect()
    }

    pub(super) fn by_uid(&self, uid: &str) -> Option<&Place> {
        self.uids.get(uid)
    }

    /// Stores an object under a new resourceVersion; its managers stay as they are.
    pub(super) fn put(&mut self, place: &Place, value: Value) -> Stored {
        let managers = self.objects.get(place).map(|live| live.managers().clone()).unwrap_or_default();
        self.put_managed(place, value, managers)
    }

    /// Stores an object and its managers under a new resourceVersion.
    pub(super) fn put_managed(&mut self, place: &Place, mut value: Value, managers: Managers) -> Stored {
        self.revision += 1;
        value["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        let before = self.objects.get(place).cloned();
        let after = Stored::new(value, managers);
        let keeps = |before: &Stored| uid(before) == uid(&after) && owners(before).eq(owners(&after));
        if let Some(slot) = self.objects.get_mut(place).filter(|before| keeps(before)) {
            *slot = after.clone();
        } else {
            self.forget(place, before.as_deref());
            self.remember(place, &after);
        }
        self.tell(Change { revision: self.revision, place: place.clone(), before, after: Some(after.clone()) });
        after
    }

    /// Removes an object; its last state carries a new resourceVersion.
    pub(super) fn remove(&mut self, place: &Place) {
        let Some(last) = self.objects.get(place).cloned() else { return };
        self.revision += 1;
        self.forget(place, Some(&last));
        let mut value = Value::clone(&last);
        value["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        let last = Stored::new(value, last.managers().clone());
        self.tell(Change { revision: self.revision, place: place.clone(), before: Some(last), after: None });
    }

    fn remember(&mut self, place: &Place, value: &Stored) {
        self.uids.insert(uid(value).into(), place.clone());
        for owner in owners(value) {
            self.owned.entry(owner.into()).or_default().insert(place.clone());
        }
        self.objects.insert(place.clone(), value.clone());
    }

    fn forget(&mut self, place: &Place, value: Option<&Value>) {
        let Some(value) = value else { return };
        self.objects.remove(place);
        self.uids.remove(uid(value));
        for owner in owners(value) {
            if let Some(owned) = self.owned.get_mut(owner) {
                owned.remove(place);
                if owned.is_empty() {
                    self.owned.remove(owner);
                }
            }
        }
    }

    fn tell(&mut self, change: Change) {
        let change = Arc::new(change);
        if self.log.len() == LOG_LENGTH {
            self.log.pop_front();
        }
        self.log.push_back(change.clone());
        self.unseen.push_back(change);
        self.wake();
    }

    /// Watches look again.
    pub(super) fn wake(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }

    /// The first change after `revision`; `Err` when it is forgotten already, or of another time.
    pub(super) fn after(&self, revision: u64) -> Result<Option<&Change>, ()> {
        let oldest = self.log.front().map_or(self.revision + 1, |change| change.revision);
        if revision > self.revision || (revision + 1 < oldest && revision < self.revision) {
            return Err(());
        }
        let index = self.log.partition_point(|change| change.revision <= revision);
        Ok(self.log.get(index).map(AsRef::as_ref))
    }

    pub(super) fn wake_later(&mut self, waker: &Waker) {
        if !self.wakers.iter().any(|known| known.will_wake(waker)) {
            self.wakers.push(waker.clone());
        }
    }

    /// A UID of the usual form, from the seed and a counter.
    pub(super) fn make_uid(&mut self) -> String {
        let (high, low) = (self.make_number(), self.make_number());
        let (a, b, c) = (high >> 32, (high >> 16) & 0xffff, high & 0xfff);
        format!("{a:08x}-{b:04x}-4{c:03x}-{:04x}-{:012x}", 0x8000 | (low >> 50), low & 0xffff_ffff_ffff)
    }

    /// What `generateName` appends.
    pub(super) fn make_suffix(&mut self) -> String {
        const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
        let mut number = self.make_number();
        let letter = || {
            let letter = LETTERS.get((number % 27) as usize).copied().unwrap_or(b'x');
            number /= 27;
            char::from(letter)
        };
        std::iter::repeat_with(letter).take(5).collect()
    }

    /// Numbers that look random and follow from the seed (SplitMix64).
    fn make_number(&mut self) -> u64 {
        self.made += 1;
        let mut z = self.seed.wrapping_add(self.made.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// How many numbers were made; an address for a Service follows from it.
    pub(super) fn made(&self) -> u64 {
        self.made
    }

    /// All that must outlive the process.
    pub(super) fn snapshot(&self) -> Value {
        let objects: Vec<&Value> = self.objects.values().map(|stored| stored.whole().value()).collect();
        json!({ "revision": self.revision, "made": self.made, "seed": self.seed, "objects": objects })
    }

    /// Takes a snapshot over. Watches start anew.
    pub(super) fn restore(&mut self, snapshot: &Value) -> Option<()> {
        let number = |name: &str| snapshot.get(name).and_then(Value::as_u64);
        let (revision, made, seed) = (number("revision")?, number("made")?, number("seed")?);
        let objects = snapshot.get("objects").and_then(Value::as_array)?;
        let objects: Vec<Object> =
            objects.iter().map(|value| Object::new(value.clone()).ok()).collect::<Option<_>>()?;
        (self.revision, self.made, self.seed) = (revision, made, seed);
        (self.objects, self.uids, self.owned) = Default::default();
        self.log.clear();
        self.unseen.clear();
        for object in objects {
            let id = object.id();
            let place = Place { group: id.group, kind: id.kind, namespace: id.namespace, name: id.name };
            if place.is("apiextensions.k8s.io", "CustomResourceDefinition") {
                self.kinds.define(object.value());
            }
            let stored = Stored::of(object);
            self.remember(&place, &stored);
            self.resume(&place);
            let before = Some(stored.clone());
            self.unseen.push_back(Arc::new(Change { revision, place, before, after: Some(stored) }));
        }
        self.kinds.discover();
        Some(())
    }
}

pub(super) fn uid(value: &Value) -> &str {
    metadata(value, "uid").and_then(Value::as_str).unwrap_or_default()
}

/// A field of the metadata; it is asked for too often for a pointer.
fn metadata<'a>(value: &'a Value, field: &str) -> Option<&'a Value> {
    value.get("metadata")?.get(field)
}

/// What stands at a pointer without escapes and list items: `Value::pointer` makes new text of every part.
pub(super) fn find<'a>(value: &'a Value, pointer: &str) -> Option<&'a Value> {
    pointer.split('/').skip(1).try_fold(value, |value, name| value.get(name))
}

pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    find(value, pointer).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn owners(value: &Value) -> impl Iterator<Item = &str> {
    let list = metadata(value, "ownerReferences").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|owner| owner.get("uid")?.as_str())
}

pub(super) fn is_terminating(value: &Value) -> bool {
    metadata(value, "deletionTimestamp").is_some_and(|time| !time.is_null())
}

pub(super) fn finalizers(value: &Value) -> impl Iterator<Item = &str> {
    let list = metadata(value, "finalizers").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str)
}

/// A selection, ready to be matched.
pub(super) struct Filter {
    namespace: Option<String>,
    name: Option<String>,
    labels: Selector,
}

impl Filter {
    /// `None` when the label selector is none.
    pub(super) fn of(selection: &Selection) -> Option<Self> {
        Some(Self {
            namespace: selection.namespace.clone(),
            name: selection.name.clone(),
            labels: Selector::parse(selection.labels.as_deref().unwrap_or_default())?,
        })
    }

    pub(super) fn covers(&self, place: &Place, value: &Value) -> bool {
        self.namespace.as_ref().is_none_or(|namespace| *namespace == place.namespace)
            && self.name.as_ref().is_none_or(|name| *name == place.name)
            && self.labels.matches(value)
    }

    pub(super) fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }
}

//! What a landing is made of: its changes, in order, and what each of them replaces.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use manifest::{Object, ObjectId};

use crate::cluster::Reference;
use crate::desired::{Behaviour, Declarer, Desired, Hook, Order, Put, Reading};
use crate::guest::Guest;
use crate::order;
use crate::parcels::{self, Parcels};
use crate::report::{self, Failure};
use crate::stamp::Stamps;
use crate::versions;

/// What is done with one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// It is not there yet.
    Create,
    /// It is there and differs.
    Configure,
    /// It is there as wanted: no write.
    Unchanged,
    /// An immutable field differs: deleted and made anew.
    Replace,
    /// Left alone, as its annotations ask.
    Skip,
}

/// Flux's words, and `replaced`.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "created",
            Self::Configure => "configured",
            Self::Unchanged => "unchanged",
            Self::Replace => "replaced",
            Self::Skip => "skipped",
        })
    }
}

/// How far an object is known to be acceptable before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// Not looked at yet.
    Pending,
    /// The server's dry run passed, or the server has made it ([`crate::create`]).
    Server,
    /// The dry run passed in another namespace, because the object's own comes with the same landing.
    StandIn,
    /// Its kind comes with the same landing: the server cannot know it yet.
    Schema,
    /// A webhook refuses dry runs, the user may not make them, or a webhook will judge that the landing itself changes.
    None,
}

/// What stood in an object's place before the landing; where undo goes back to.
#[derive(Clone, Debug)]
pub enum Prior {
    /// Nothing.
    Absent,
    /// What the unit's last landing applied.
    Landed(Box<Desired>),
    /// A live object that no landing of the unit had applied: adopted.
    Adopted(Box<Object>),
}

impl Prior {
    /// What stood there, as far as it was seen.
    pub(crate) fn object(&self) -> Option<&Object> {
        match self {
            Self::Absent => None,
            Self::Landed(desired) => Some(&desired.object),
            Self::Adopted(object) => Some(object),
        }
    }
}

/// One object of the plan.
#[derive(Clone, Debug)]
pub struct Change {
    /// What is wanted, stamp and owner included.
    pub desired: Desired,
    /// What stood there before.
    pub prior: Prior,
    /// What will be done.
    pub action: Action,
    /// Why it is believed to pass.
    pub proof: Proof,
    /// Whether what other tools left on the live object is undone before the apply.
    pub cleans: bool,
}

impl Change {
    /// Whether the landing writes it.
    pub fn is_written(&self) -> bool {
        !matches!(self.action, Action::Unchanged | Action::Skip)
    }
}

/// One step of a commit, in order.
#[derive(Clone, Debug)]
pub enum Step {
    /// Applies an object.
    Apply(Box<Change>),
    /// Writes a release record.
    Put(Box<Put>),
    /// Runs a Helm hook, once.
    Hook(Box<Hook>),
    /// Waits until these are established or healthy before the steps that follow.
    Await(Vec<Reference>, Reading, Duration),
}

/// An object that nobody declares any more.
#[derive(Clone, Debug)]
pub struct Stale {
    /// Where it lives.
    pub reference: Reference,
    /// Who declared it.
    pub declarer: Declarer,
    /// As it landed last; `None` where only a status lists it.
    pub landed: Option<Box<Desired>>,
}

impl Stale {
    /// Whether it is an old version of a Secret that is wanted still: it goes when nobody refers to it any more.
    pub(crate) fn is_version(&self) -> bool {
        matches!(self.declarer, Declarer::Version(_))
    }

    /// Whether applying what landed last brings back all of it. What has no such past, or is another unit's, is not made anew.
    fn comes_back(&self) -> bool {
        self.landed.as_ref().is_some_and(|landed| !landed.shared) && order::comes_back(&self.reference.gvk)
    }
}

/// A landing, self-contained: what it does, what it read, how to undo it. This is what the journal holds.
#[derive(Clone, Debug, Default)]
pub struct Landing {
    /// Revision as status shows it.
    pub revision: String,
    /// Digest over everything that was read.
    pub input: String,
    /// What was read, for the caller to read again.
    pub read_set: serde_json::Value,
    /// Steps in order.
    pub steps: Vec<Step>,
    /// What the landings that this one supersedes have written, in order: undone with it.
    pub past: Vec<Step>,
    /// Objects to delete after health, in order.
    pub stale: Vec<Stale>,
    /// Old versions of Secrets that somebody may go back to: looked at after health, and by the landings that follow.
    pub retired: Vec<Stale>,
    /// What earlier landings should have deleted and could not, as it landed: it tells the parcel of what is stale still.
    pub undeleted: Vec<Desired>,
    /// What landed last, and is neither declared nor deleted by this landing: it goes with its ExternalSecret, or stays without
    /// us. Kept where its parcel is held. None for a single parcel.
    pub dropped: Vec<Desired>,
    /// What is known of the workloads' secrets.
    pub stamps: Stamps,
    /// What was known of them before: where that differs, and all of it where the unit has parcels.
    pub stamps_before: Stamps,
    /// Workloads of others that are stamped with it.
    pub guests: Vec<Guest>,
    /// How it is to land.
    pub behaviour: Behaviour,
    /// What lands together.
    pub parcels: Parcels,
    /// A seal over what each parcel wants: it tells whether one is wanted again as it failed. None for a single parcel.
    pub wants: Vec<String>,
    /// Parcels that do not land: of them it holds what landed last.
    pub held: BTreeSet<usize>,
    /// Why they do not, as far as it was known before the first write.
    pub failures: Vec<Failure>,
}

impl Step {
    /// The change, of a step that applies one.
    pub fn change(&self) -> Option<&Change> {
        match self {
            Self::Apply(change) => Some(change),
            _ => None,
        }
    }

    /// [`Step::change`], to be altered.
    pub(crate) fn change_mut(&mut self) -> Option<&mut Change> {
        match self {
            Self::Apply(change) => Some(change),
            _ => None,
        }
    }

    /// Where it stands in a commit.
    pub(crate) fn place(&self) -> (order::Stage, u8) {
        match self {
            Self::Apply(change) if !matches!(change.desired.declarer, Declarer::Release(_)) => {
                order::place(&change.desired.object.gvk())
            }
            Self::Apply(_) | Self::Put(_) | Self::Hook(_) => (order::Stage::Releases, 0),
            Self::Await(..) => (order::Stage::Foundations, u8::MAX),
        }
    }

    /// Whether it is one of the steps of releases, which follow one another.
    pub(crate) fn is_of_release(&self) -> bool {
        self.place().0 == order::Stage::Releases
    }

    /// The object that it writes.
    pub(crate) fn id(&self) -> Option<ObjectId> {
        match self {
            Self::Apply(change) => Some(change.desired.object.id()),
            Self::Put(put) => Some(put.object.id()),
            Self::Hook(hook) => Some(hook.object.id()),
            Self::Await(..) => None,
        }
    }
}

impl Landing {
    /// The changes among the steps.
    pub fn changes(&self) -> impl Iterator<Item = &Change> + Clone {
        self.steps.iter().filter_map(Step::change)
    }

    /// Workloads with a new stamp whose pods get it only when somebody deletes them (`updateStrategy: OnDelete`).
    pub fn rolled_by_hand(&self) -> impl Iterator<Item = &Object> {
        let moved = versions::moved(self);
        let is_stamped = move |object: &Object| {
            let [now, before] = [&self.stamps, &self.stamps_before].map(|stamps| stamps.get(&object.id()));
            let is_new = now.zip(before).is_some_and(|(now, before)| now.value != before.value);
            is_new && now.is_some_and(|stamp| stamp.value.is_some()) || moved.contains(&object.id())
        };
        let written = self.changes().filter(|change| change.is_written()).map(|change| &change.desired.object);
        written.filter(move |object| object.text("/spec/updateStrategy/type") == Some("OnDelete") && is_stamped(object))
    }

    /// Versions of Secrets that were current before.
    pub fn old_versions(&self) -> impl Iterator<Item = &Stale> {
        self.retired.iter().chain(self.stale.iter().filter(|stale| stale.is_version()))
    }

    /// What the superseded landings have written, each with what stood there before the first of them.
    pub(crate) fn past_changes(&self) -> impl Iterator<Item = &Change> {
        self.past.iter().filter_map(Step::change)
    }

    /// The changes of this landing and of those that it supersedes which may be in the cluster.
    pub(crate) fn begun(&self) -> impl Iterator<Item = &Change> {
        self.past_changes().chain(self.changes().filter(|change| change.is_written()))
    }

    /// What a landing that supersedes this one has to undo besides its own steps.
    pub(crate) fn to_supersede(&self) -> Vec<Step> {
        let mine = self.steps.iter().filter(|step| match step {
            Step::Apply(change) => change.is_written(),
            Step::Put(_) => true,
            Step::Hook(_) | Step::Await(..) => false,
        });
        let mut all: Vec<Step> = self.past_alone().chain(mine).cloned().collect();
        for change in all.iter_mut().filter_map(Step::change_mut) {
            change.desired.force = self.may_have_replaced(change);
        }
        all
    }

    /// Whether this landing, or one that it supersedes, may have deleted an object and made it anew.
    pub(crate) fn may_have_replaced(&self, change: &Change) -> bool {
        let replaces = |change: &Change| change.action == Action::Replace || change.desired.force;
        let is_same = |past: &&Change| past.desired.object.id() == change.desired.object.id();
        replaces(change) || self.past_changes().filter(is_same).any(replaces)
    }

    /// All that there is to undo, in the order of the commit.
    pub(crate) fn to_undo(&self) -> Vec<&Step> {
        let mut all: Vec<&Step> = self.past_alone().chain(&self.steps).collect();
        all.sort_by_key(|step| step.place());
        all
    }

    /// Of the past, what this landing does not write itself.
    fn past_alone(&self) -> impl Iterator<Item = &Step> {
        let mine = self.changes().filter(|change| change.is_written()).map(|change| change.desired.object.id());
        let mine: BTreeSet<ObjectId> = mine.collect();
        self.past.iter().filter(move |step| !step.change().is_some_and(|c| mine.contains(&c.desired.object.id())))
    }

    /// What is deleted before health is awaited, where the unit asks for Flux's order; in the order of deletion.
    pub(crate) fn deleted_early(&self) -> impl Iterator<Item = &Stale> {
        let is_early = self.behaviour.order == Order::Flux;
        self.stale.iter().filter(move |stale| is_early && !stale.is_version() && stale.comes_back())
    }

    /// Of that, what these parcels hold or cannot do without, and the rest.
    pub(crate) fn deleted_early_by(&self, parcels: &BTreeSet<usize>) -> (Vec<&Stale>, Vec<&Stale>) {
        let needed = self.needed_by(parcels);
        self.deleted_early().partition(|stale| {
            let id = stale.reference.id();
            self.parcels.is_in(&id, parcels) || needed.contains(&id)
        })
    }

    /// Whether the landing writes anything at all.
    pub fn is_empty(&self) -> bool {
        let applies = self.changes().any(Change::is_written);
        let runs = self.steps.iter().any(|step| matches!(step, Step::Put(_) | Step::Hook(_)));
        !applies && !runs && self.stale.is_empty() && self.guests.is_empty()
    }

    /// Whether an object is in a parcel that does not land.
    pub fn holds(&self, id: &ObjectId) -> bool {
        self.parcels.is_in(id, &self.held)
    }

    /// Whether anything of an object's parcel may have been written.
    pub fn has_tried(&self, id: &ObjectId) -> bool {
        !self.parcels.is_in(id, &self.parcels.held_by(&self.failures))
    }

    /// Whether some parcel failed of nothing but what may pass. One failure that will not pass holds its whole parcel: trying
    /// again would restart what becomes healthy, for nothing. Where only something stale stays, all else has landed: as in a
    /// unit of which nothing is held, it is tried again until it is gone.
    pub(crate) fn may_pass(&self, failures: &[Failure]) -> bool {
        if failures.iter().any(|failure| failure.step == report::Step::Prune) {
            return true;
        }
        let mut parcels: BTreeMap<usize, bool> = BTreeMap::new();
        // What is about no object has held those parcels, too, in which nothing is wrong.
        let mut of_all: Option<bool> = None;
        for failure in failures {
            match failure.id.as_ref().and_then(|id| self.parcels.number_of(id)) {
                Some(number) => *parcels.entry(number).or_insert(true) &= failure.transient,
                None if self.parcels.count() == 1 => *parcels.entry(0).or_insert(true) &= failure.transient,
                None => *of_all.get_or_insert(true) &= failure.transient,
            }
        }
        of_all.unwrap_or_else(|| parcels.into_values().any(|may_pass| may_pass))
    }

    /// The landing with these parcels held: of them only what landed last is kept, and nothing is written or deleted.
    pub(crate) fn holding(mut self, parcels: &BTreeSet<usize>) -> Self {
        if parcels.is_empty() {
            return self;
        }
        let guests = std::mem::take(&mut self.guests);
        self.guests = guests.into_iter().filter(|guest| !guest.is_of(&self, parcels)).collect();
        let needed = self.needed_by(parcels);
        let Self { steps, stale, retired, dropped, parcels: all, stamps, stamps_before, .. } = &mut self;
        let is_held = |id: &ObjectId| all.is_in(id, parcels);
        *steps = std::mem::take(steps).into_iter().filter_map(|step| held_step(step, is_held)).collect();
        for list in [stale, retired] {
            let (held, rest) = std::mem::take(list).into_iter().partition::<Vec<_>, _>(|stale| match &stale.landed {
                // One that was old before is of no parcel.
                None if stale.is_version() => false,
                _ if needed.contains(&stale.reference.id()) => true,
                // What no landing of ours made is of no parcel: it may be what a held one still needs.
                _ => all.number_of(&stale.reference.id()).is_none_or(|number| parcels.contains(&number)),
            });
            *list = rest;
            let landed = held.into_iter().filter_map(|stale| stale.landed);
            steps.extend(landed.map(|landed| Step::Apply(Box::new(as_landed(*landed)))));
        }
        let kept = dropped.extract_if(.., |desired| is_held(&desired.object.id()));
        steps.extend(kept.map(|landed| Step::Apply(Box::new(as_landed(landed)))));
        stamps.retain(|id, _| !is_held(id));
        let before = stamps_before.iter().filter(|(id, _)| is_held(id));
        stamps.extend(before.map(|(id, stamp)| (id.clone(), stamp.clone())));
        self.held.extend(parcels);
        self
    }

    /// What is stale that these parcels, as they landed last, cannot do without.
    fn needed_by(&self, parcels: &BTreeSet<usize>) -> BTreeSet<ObjectId> {
        let stale: BTreeSet<ObjectId> = self.stale.iter().map(|stale| stale.reference.id()).collect();
        if stale.is_empty() || parcels.is_empty() {
            return BTreeSet::new();
        }
        let before = self.changes().filter_map(|change| match &change.prior {
            Prior::Landed(landed) => Some(&landed.object),
            Prior::Absent | Prior::Adopted(_) => None,
        });
        let gone = self.stale.iter().filter_map(|stale| Some(&stale.landed.as_deref()?.object));
        let all: Vec<&Object> = before.chain(gone).collect();
        let is_held = |object: &&&Object| self.parcels.is_in(&object.id(), parcels);
        let mut open: Vec<ObjectId> = all.iter().filter(is_held).map(|object| object.id()).collect();
        let relations = parcels::relations(all.into_iter(), |id| stale.contains(id));
        let mut needed = BTreeSet::new();
        while let Some(from) = open.pop() {
            let leads = relations.iter().filter(|(id, ..)| *id == from).map(|(.., to)| to);
            open.extend(leads.filter(|to| needed.insert((*to).clone())).cloned());
        }
        needed
    }
}

/// A step of a landing as it is when objects are held; `None` when nothing of it stays.
fn held_step(step: Step, is_held: impl Fn(&ObjectId) -> bool) -> Option<Step> {
    if let Step::Await(targets, reading, timeout) = step {
        let rest: Vec<Reference> = targets.into_iter().filter(|at| !is_held(&at.id())).collect();
        return (!rest.is_empty()).then_some(Step::Await(rest, reading, timeout));
    }
    if !step.id().is_some_and(|id| is_held(&id)) {
        return Some(step);
    }
    match step {
        Step::Apply(change) => match change.prior {
            Prior::Landed(landed) => Some(Step::Apply(Box::new(as_landed(*landed)))),
            // Nothing of ours had landed there, also where a superseded landing has written what is wanted.
            Prior::Absent | Prior::Adopted(_) => None,
        },
        Step::Put(_) | Step::Hook(_) | Step::Await(..) => None,
    }
}

/// What landed last, not to be written.
fn as_landed(desired: Desired) -> Change {
    let prior = Prior::Landed(Box::new(desired.clone()));
    Change { desired, prior, action: Action::Skip, proof: Proof::Server, cleans: false }
}

//! A landing as bytes, for the journal alone: the one place where plaintext is put into a serial form, which the
//! journal's store encrypts before it goes anywhere.

use std::collections::BTreeSet;
use std::time::Duration;

use manifest::{Gvk, Object, ObjectId, Origin};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cleanup::Cleanup;
use crate::cluster::Reference;
use crate::desired::{
    Behaviour, Declarer, Desired, HealthScope, Hook, LandingScope, OnFailure, Order, Policy, Put, Reading,
};
use crate::guest::Guest;
use crate::parcels::{Parcel, Parcels};
use crate::plan::{Action, Change, Landing, Prior, Proof, Stale, Step};
use crate::report::{self, Failure};
use crate::stamp::{Stamp, Stamps};

/// The bytes of a landing.
pub(crate) fn encode(landing: &Landing) -> Vec<u8> {
    // Every part is a string, a number, a list or a map with string keys: nothing that JSON refuses.
    serde_json::to_vec(&StoredLanding::from(landing)).unwrap_or_default()
}

/// A landing from its bytes.
pub(crate) fn decode(bytes: &[u8]) -> Result<Landing, serde_json::Error> {
    let stored: StoredLanding = serde_json::from_slice(bytes)?;
    stored.try_into()
}

#[derive(Serialize, Deserialize)]
struct StoredLanding {
    revision: String,
    input: String,
    read_set: Value,
    steps: Vec<StoredStep>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    past: Vec<StoredStep>,
    stale: Vec<StoredStale>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    retired: Vec<StoredStale>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    undeleted: Vec<StoredDesired>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dropped: Vec<StoredDesired>,
    stamps: Vec<StoredStamp>,
    stamps_before: Vec<StoredStamp>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    guests: Vec<StoredGuest>,
    behaviour: StoredBehaviour,
    parcels: Vec<StoredParcel>,
    wants: Vec<String>,
    held: BTreeSet<usize>,
    failures: Vec<StoredFailure>,
}

#[derive(Serialize, Deserialize)]
struct StoredGuest {
    workload: StoredReference,
    uid: String,
    host: String,
    secrets: BTreeSet<String>,
    stamp: Option<String>,
    before: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct StoredStale {
    reference: StoredReference,
    declarer: StoredDeclarer,
    landed: Option<Box<StoredDesired>>,
}

#[derive(Serialize, Deserialize)]
struct StoredParcel {
    name: String,
    members: Vec<String>,
    needs: BTreeSet<usize>,
}

/// A failure in the form that is stored, in a body or in a header.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredFailure {
    step: report::Step,
    id: Option<String>,
    file: Option<String>,
    line: u32,
    message: String,
    transient: bool,
}

#[derive(Serialize, Deserialize)]
struct StoredStamp {
    id: String,
    seals: std::collections::BTreeMap<String, String>,
    value: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct StoredBehaviour {
    prune: bool,
    by_parcel: bool,
    on_failure: String,
    health: Option<Vec<StoredReference>>,
    health_all: bool,
    timeout_ms: u64,
    owner_labels: Vec<(String, String)>,
    #[serde(default)]
    sharer: String,
    rollout: bool,
    #[serde(default)]
    is_versioned: bool,
    #[serde(default)]
    cleanup: Cleanup,
    #[serde(default)]
    prunes_early: bool,
}

#[derive(Serialize, Deserialize)]
struct StoredReference(String, String, String, String);

#[derive(Serialize, Deserialize)]
enum StoredDeclarer {
    Unit,
    Release(String),
    ExternalSecret(String),
    Version(String),
}

#[derive(Serialize, Deserialize)]
struct StoredObject {
    value: Value,
    file: Option<String>,
    line: u32,
}

#[derive(Serialize, Deserialize)]
struct StoredDesired {
    object: StoredObject,
    manager: String,
    policy: u8,
    owner: Option<StoredReference>,
    declarer: StoredDeclarer,
    force: bool,
    keep: bool,
    awaited: bool,
    #[serde(default)]
    shared: bool,
}

#[derive(Serialize, Deserialize)]
enum StoredPrior {
    Absent,
    /// What is wanted is what landed.
    Same,
    Landed(StoredDesired),
    Adopted(StoredObject),
}

#[derive(Serialize, Deserialize)]
enum StoredStep {
    Apply {
        desired: Box<StoredDesired>,
        prior: Box<StoredPrior>,
        action: u8,
        #[serde(default)]
        cleans: bool,
    },
    Put {
        object: StoredObject,
        manager: String,
        undo: Vec<StoredObject>,
        undo_deletes: bool,
    },
    Hook {
        object: StoredObject,
        manager: String,
        delete: [bool; 3],
        timeout_ms: u64,
    },
    Await(Vec<StoredReference>, Reading, u64),
}

const POLICIES: [Policy; 5] =
    [Policy::Override, Policy::Merge, Policy::IfNotPresent, Policy::Ignore, Policy::Untouched];
const ACTIONS: [Action; 5] = [Action::Create, Action::Configure, Action::Unchanged, Action::Replace, Action::Skip];

fn number<T: PartialEq>(all: &[T], one: &T) -> u8 {
    all.iter().position(|item| item == one).and_then(|index| u8::try_from(index).ok()).unwrap_or_default()
}

fn numbered<T: Copy>(all: &[T], number: u8) -> Result<T, serde_json::Error> {
    all.get(usize::from(number)).copied().ok_or_else(|| bad("unknown number"))
}

fn bad(message: impl std::fmt::Display) -> serde_json::Error {
    serde::de::Error::custom(message)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl From<&Landing> for StoredLanding {
    fn from(landing: &Landing) -> Self {
        Self {
            revision: landing.revision.clone(),
            input: landing.input.clone(),
            read_set: landing.read_set.clone(),
            steps: landing.steps.iter().map(Into::into).collect(),
            past: landing.past.iter().map(Into::into).collect(),
            stale: landing.stale.iter().map(Into::into).collect(),
            retired: landing.retired.iter().map(Into::into).collect(),
            undeleted: landing.undeleted.iter().map(Into::into).collect(),
            dropped: landing.dropped.iter().map(Into::into).collect(),
            stamps: stored_stamps(&landing.stamps),
            stamps_before: stored_stamps(&landing.stamps_before),
            guests: landing.guests.iter().map(Into::into).collect(),
            behaviour: (&landing.behaviour).into(),
            parcels: landing.parcels.list().iter().map(Into::into).collect(),
            wants: landing.wants.clone(),
            held: landing.held.clone(),
            failures: landing.failures.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<StoredLanding> for Landing {
    type Error = serde_json::Error;

    fn try_from(stored: StoredLanding) -> Result<Self, Self::Error> {
        let parcels = stored.parcels.into_iter().map(TryInto::try_into).collect::<Result<_, Self::Error>>()?;
        Ok(Self {
            revision: stored.revision,
            input: stored.input,
            read_set: stored.read_set,
            steps: stored.steps.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            past: stored.past.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            stale: stored.stale.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            retired: stored.retired.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            undeleted: stored.undeleted.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            dropped: stored.dropped.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            stamps: stamps(stored.stamps)?,
            stamps_before: stamps(stored.stamps_before)?,
            guests: stored.guests.into_iter().map(Into::into).collect(),
            behaviour: stored.behaviour.try_into()?,
            parcels: Parcels::from_list(parcels),
            wants: stored.wants,
            held: stored.held,
            failures: stored.failures.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
        })
    }
}

fn stored_stamps(stamps: &Stamps) -> Vec<StoredStamp> {
    let stored = |(id, stamp): (&ObjectId, &Stamp)| StoredStamp {
        id: id.inventory(),
        seals: stamp.seals.clone(),
        value: stamp.value.clone(),
    };
    stamps.iter().map(stored).collect()
}

fn stamps(stored: Vec<StoredStamp>) -> Result<Stamps, serde_json::Error> {
    stored.into_iter().map(|s| Ok((id(&s.id)?, Stamp { seals: s.seals, value: s.value }))).collect()
}

impl From<&Guest> for StoredGuest {
    fn from(guest: &Guest) -> Self {
        let Guest { workload, uid, host, secrets, stamp, before } = guest.clone();
        Self { workload: (&workload).into(), uid, host, secrets, stamp, before }
    }
}

impl From<StoredGuest> for Guest {
    fn from(stored: StoredGuest) -> Self {
        let StoredGuest { workload, uid, host, secrets, stamp, before } = stored;
        Self { workload: workload.into(), uid, host, secrets, stamp, before }
    }
}

impl From<&Stale> for StoredStale {
    fn from(stale: &Stale) -> Self {
        Self {
            reference: (&stale.reference).into(),
            declarer: (&stale.declarer).into(),
            landed: stale.landed.as_deref().map(|desired| Box::new(desired.into())),
        }
    }
}

impl TryFrom<StoredStale> for Stale {
    type Error = serde_json::Error;

    fn try_from(stored: StoredStale) -> Result<Self, Self::Error> {
        let landed = stored.landed.map(|desired| (*desired).try_into().map(Box::new)).transpose()?;
        Ok(Self { reference: stored.reference.into(), declarer: stored.declarer.try_into()?, landed })
    }
}

impl From<&Parcel> for StoredParcel {
    fn from(parcel: &Parcel) -> Self {
        let members = parcel.members.iter().map(ObjectId::inventory).collect();
        Self { name: parcel.name.clone(), members, needs: parcel.needs.clone() }
    }
}

impl TryFrom<StoredParcel> for Parcel {
    type Error = serde_json::Error;

    fn try_from(stored: StoredParcel) -> Result<Self, Self::Error> {
        let members = stored.members.iter().map(|text| id(text)).collect::<Result<_, _>>()?;
        Ok(Self { name: stored.name, members, needs: stored.needs })
    }
}

impl From<&Failure> for StoredFailure {
    fn from(failure: &Failure) -> Self {
        let origin = failure.origin.as_ref();
        Self {
            step: failure.step,
            id: failure.id.as_ref().map(ObjectId::inventory),
            file: origin.map(|origin| origin.file.clone()),
            line: origin.map(|origin| origin.line).unwrap_or_default(),
            message: failure.message.clone(),
            transient: failure.transient,
        }
    }
}

impl TryFrom<StoredFailure> for Failure {
    type Error = serde_json::Error;

    fn try_from(stored: StoredFailure) -> Result<Self, Self::Error> {
        Ok(Self {
            step: stored.step,
            id: stored.id.map(|text| id(&text)).transpose()?,
            origin: stored.file.map(|file| Origin { file, line: stored.line }),
            message: stored.message,
            transient: stored.transient,
        })
    }
}

impl From<&Behaviour> for StoredBehaviour {
    fn from(behaviour: &Behaviour) -> Self {
        let on_failure = match behaviour.on_failure {
            OnFailure::Revert => "revert",
            OnFailure::Hold => "hold",
            OnFailure::Continue => "continue",
        };
        let health = match &behaviour.health {
            HealthScope::These(references) => Some(references.iter().map(Into::into).collect()),
            HealthScope::None | HealthScope::All => None,
        };
        Self {
            prune: behaviour.prune,
            by_parcel: behaviour.scope == LandingScope::Parcel,
            on_failure: on_failure.into(),
            health,
            health_all: behaviour.health == HealthScope::All,
            timeout_ms: millis(behaviour.timeout),
            owner_labels: behaviour.owner_labels.clone(),
            sharer: behaviour.sharer.clone(),
            rollout: behaviour.rollout,
            is_versioned: behaviour.is_versioned,
            cleanup: behaviour.cleanup.clone(),
            prunes_early: behaviour.order == Order::Flux,
        }
    }
}

impl TryFrom<StoredBehaviour> for Behaviour {
    type Error = serde_json::Error;

    fn try_from(stored: StoredBehaviour) -> Result<Self, Self::Error> {
        let on_failure = match stored.on_failure.as_str() {
            "revert" => OnFailure::Revert,
            "hold" => OnFailure::Hold,
            "continue" => OnFailure::Continue,
            other => return Err(bad(format!("on_failure '{other}'"))),
        };
        let health = match stored.health {
            Some(references) => HealthScope::These(references.into_iter().map(Into::into).collect()),
            None if stored.health_all => HealthScope::All,
            None => HealthScope::None,
        };
        Ok(Self {
            prune: stored.prune,
            scope: if stored.by_parcel { LandingScope::Parcel } else { LandingScope::Unit },
            on_failure,
            order: if stored.prunes_early { Order::Flux } else { Order::Landing },
            health,
            timeout: Duration::from_millis(stored.timeout_ms),
            owner_labels: stored.owner_labels,
            sharer: stored.sharer,
            rollout: stored.rollout,
            is_versioned: stored.is_versioned,
            cleanup: stored.cleanup,
        })
    }
}

impl From<&Reference> for StoredReference {
    fn from(r: &Reference) -> Self {
        Self(r.gvk.api_version(), r.gvk.kind.clone(), r.namespace.clone(), r.name.clone())
    }
}

impl From<StoredReference> for Reference {
    fn from(StoredReference(version, kind, namespace, name): StoredReference) -> Self {
        Self { gvk: Gvk::new(&version, &kind), namespace, name }
    }
}

fn id(text: &str) -> Result<ObjectId, serde_json::Error> {
    ObjectId::from_inventory(text).map_err(bad)
}

impl From<&Declarer> for StoredDeclarer {
    fn from(declarer: &Declarer) -> Self {
        match declarer {
            Declarer::Unit => Self::Unit,
            Declarer::Release(id) => Self::Release(id.inventory()),
            Declarer::ExternalSecret(id) => Self::ExternalSecret(id.inventory()),
            Declarer::Version(id) => Self::Version(id.inventory()),
        }
    }
}

impl TryFrom<StoredDeclarer> for Declarer {
    type Error = serde_json::Error;

    fn try_from(stored: StoredDeclarer) -> Result<Self, Self::Error> {
        Ok(match stored {
            StoredDeclarer::Unit => Self::Unit,
            StoredDeclarer::Release(text) => Self::Release(id(&text)?),
            StoredDeclarer::ExternalSecret(text) => Self::ExternalSecret(id(&text)?),
            StoredDeclarer::Version(text) => Self::Version(id(&text)?),
        })
    }
}

impl From<&Object> for StoredObject {
    fn from(object: &Object) -> Self {
        let origin = object.origin();
        Self {
            value: object.value().clone(),
            file: origin.map(|o| o.file.clone()),
            line: origin.map(|o| o.line).unwrap_or_default(),
        }
    }
}

impl TryFrom<StoredObject> for Object {
    type Error = serde_json::Error;

    fn try_from(stored: StoredObject) -> Result<Self, Self::Error> {
        let object = Object::new(stored.value).map_err(bad)?;
        Ok(match stored.file {
            Some(file) => object.at(Origin { file, line: stored.line }),
            None => object,
        })
    }
}

impl From<&Desired> for StoredDesired {
    fn from(desired: &Desired) -> Self {
        Self {
            object: (&desired.object).into(),
            manager: desired.manager.clone(),
            policy: number(&POLICIES, &desired.policy),
            owner: desired.owner.as_ref().map(Into::into),
            declarer: (&desired.declarer).into(),
            force: desired.force,
            keep: desired.keep,
            awaited: desired.awaited,
            shared: desired.shared,
        }
    }
}

impl TryFrom<StoredDesired> for Desired {
    type Error = serde_json::Error;

    fn try_from(stored: StoredDesired) -> Result<Self, Self::Error> {
        Ok(Self {
            object: stored.object.try_into()?,
            manager: stored.manager,
            policy: numbered(&POLICIES, stored.policy)?,
            owner: stored.owner.map(Into::into),
            declarer: stored.declarer.try_into()?,
            force: stored.force,
            keep: stored.keep,
            awaited: stored.awaited,
            shared: stored.shared,
        })
    }
}

impl From<&Step> for StoredStep {
    fn from(step: &Step) -> Self {
        match step {
            Step::Apply(change) => Self::Apply {
                desired: Box::new((&change.desired).into()),
                prior: Box::new(match &change.prior {
                    Prior::Landed(landed)
                        if !change.is_written() && landed.object.value() == change.desired.object.value() =>
                    {
                        StoredPrior::Same
                    }
                    // A superseded landing has written what is wanted.
                    Prior::Landed(landed) if change.action == Action::Unchanged => {
                        StoredPrior::Landed(landed.as_ref().into())
                    }
                    // What is not written need not be undone: its past would only make the journal larger.
                    _ if !change.is_written() => StoredPrior::Absent,
                    Prior::Absent => StoredPrior::Absent,
                    Prior::Landed(desired) => StoredPrior::Landed(desired.as_ref().into()),
                    Prior::Adopted(object) => StoredPrior::Adopted(object.as_ref().into()),
                }),
                action: number(&ACTIONS, &change.action),
                cleans: change.cleans,
            },
            Step::Put(put) => Self::Put {
                object: (&put.object).into(),
                manager: put.manager.clone(),
                undo: put.undo.iter().map(Into::into).collect(),
                undo_deletes: put.undo_deletes,
            },
            Step::Hook(hook) => Self::Hook {
                object: (&hook.object).into(),
                manager: hook.manager.clone(),
                delete: [hook.delete_before, hook.delete_succeeded, hook.delete_failed],
                timeout_ms: millis(hook.timeout),
            },
            Step::Await(references, reading, timeout) => {
                Self::Await(references.iter().map(Into::into).collect(), *reading, millis(*timeout))
            }
        }
    }
}

impl TryFrom<StoredStep> for Step {
    type Error = serde_json::Error;

    fn try_from(stored: StoredStep) -> Result<Self, Self::Error> {
        Ok(match stored {
            StoredStep::Apply { desired, prior, action, cleans } => {
                let desired: Desired = (*desired).try_into()?;
                let prior = match *prior {
                    StoredPrior::Absent => Prior::Absent,
                    StoredPrior::Same => Prior::Landed(Box::new(desired.clone())),
                    StoredPrior::Landed(desired) => Prior::Landed(Box::new(desired.try_into()?)),
                    StoredPrior::Adopted(object) => Prior::Adopted(Box::new(object.try_into()?)),
                };
                let (action, proof) = (numbered(&ACTIONS, action)?, Proof::Server);
                Self::Apply(Box::new(Change { desired, prior, action, proof, cleans }))
            }
            StoredStep::Put { object, manager, undo, undo_deletes } => Self::Put(Box::new(Put {
                object: object.try_into()?,
                manager,
                undo: undo.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
                undo_deletes,
            })),
            StoredStep::Hook { object, manager, delete: [before, succeeded, failed], timeout_ms } => {
                Self::Hook(Box::new(Hook {
                    object: object.try_into()?,
                    manager,
                    delete_before: before,
                    delete_succeeded: succeeded,
                    delete_failed: failed,
                    timeout: Duration::from_millis(timeout_ms),
                }))
            }
            StoredStep::Await(references, reading, timeout) => {
                let references = references.into_iter().map(Into::into).collect();
                Self::Await(references, reading, Duration::from_millis(timeout))
            }
        })
    }
}

//! Engines that do one thing wrong, to show that the rules notice it: what the engine sends is held back, reordered or
//! changed on its way.

use apply::desired::Desired;
use apply::{Answer, Call, ClusterError, Selection};
use manifest::Object;
use serde_json::{Value, json};

use super::journal::bytes_of;
use super::repository::{NAMESPACE, Said, Thing};
use super::scenario::{ALONE, STORES, VERSIONS, WATCHES};
use super::world::{OWN, Wire};

/// What an engine does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoilt {
    /// It writes workloads before the Secrets that they are the first to read.
    NewSecretsLast,
    /// It writes workloads, stamped, before the new bytes of their Secrets.
    NewBytesLast,
    /// It undoes in the order of the commit: Secrets get their old bytes before the workloads their old templates.
    UndoneInOrder,
    /// It begins a landing in the journal after its first write.
    JournalLate,
    /// It deletes what nobody wants any more, and concludes, before anything is healthy.
    HealthNotAwaited,
    /// It deletes whatever has the name.
    DeletesAnything,
    /// It trusts its watches: after a gap it takes no second list.
    TrustsWatches,
    /// It looks for no ReplicaSets before it deletes old versions of Secrets.
    ForgetsReplicaSets,
    /// It writes the one object that it is to make also where one is there.
    OverwritesUnseen,
    /// It takes a key that is missing once, or a store that does not answer, for a key that is gone.
    DeletesOnDoubt,
    /// It writes what an empty answer amounts to.
    EmptiesOnDoubt,
}

impl Spoilt {
    /// The first seed of those that tell.
    pub(crate) fn first(self) -> u64 {
        match self {
            Self::TrustsWatches => WATCHES,
            Self::ForgetsReplicaSets => VERSIONS,
            Self::OverwritesUnseen => ALONE,
            Self::DeletesOnDoubt | Self::EmptiesOnDoubt => STORES,
            _ => 0,
        }
    }

    pub(crate) const ALL: [Self; 11] = [
        Self::NewSecretsLast,
        Self::NewBytesLast,
        Self::UndoneInOrder,
        Self::JournalLate,
        Self::HealthNotAwaited,
        Self::DeletesAnything,
        Self::TrustsWatches,
        Self::ForgetsReplicaSets,
        Self::OverwritesUnseen,
        Self::DeletesOnDoubt,
        Self::EmptiesOnDoubt,
    ];

    /// Whether a request waits for a later one.
    fn holds_back(self, wire: &Wire, call: &Call) -> bool {
        let Some(at) = call.reference() else { return false };
        let is_applied = matches!(call, Call::Apply { dry_run: false, .. }) && at.namespace == NAMESPACE;
        let is_there = || wire.world.get(&at).is_some();
        let is_undone = || wire.world.state().ledger.is_undone(&at);
        let is_secret = at.gvk.kind == "Secret";
        match self {
            Self::NewSecretsLast => is_applied && is_secret && !is_there() && !is_undone(),
            Self::NewBytesLast => is_applied && is_secret && is_there() && !is_undone(),
            Self::UndoneInOrder => is_applied && is_workload(call) && is_undone(),
            Self::JournalLate => begins(call) && wire.world.state().ledger.phase().is_none(),
            _ => false,
        }
    }

    /// Whether what was held back follows this request.
    fn releases(self, call: &Call) -> bool {
        let is_secret = call.reference().is_some_and(|at| at.gvk.kind == "Secret");
        match self {
            Self::NewSecretsLast | Self::NewBytesLast => is_workload(call),
            Self::UndoneInOrder => is_secret,
            _ => true,
        }
    }

    /// The request as it is sent.
    fn changed(self, call: &Call) -> Call {
        let mut call = call.clone();
        match &mut call {
            Call::Delete { uid, .. } if self == Self::DeletesAnything => *uid = None,
            Call::Update { object, .. } if self == Self::JournalLate && object.namespace() == OWN => {
                object.metadata().remove("resourceVersion");
            }
            Call::Apply { object, force, .. } if self == Self::OverwritesUnseen => {
                object.metadata().remove("resourceVersion");
                *force = true;
            }
            _ => {}
        }
        call
    }
}

/// What an engine makes of the store's answer.
pub(crate) fn heard(spoilt: Option<Spoilt>, said: Said) -> Said {
    match spoilt {
        Some(Spoilt::DeletesOnDoubt) if said.is_doubt() => Said::Gone,
        Some(Spoilt::EmptiesOnDoubt) if said == Said::Empty => Said::Value,
        _ => said,
    }
}

/// What an engine wants of a thing.
pub(crate) fn written(spoilt: Option<Spoilt>, thing: &Thing, desired: &mut Desired) {
    if spoilt == Some(Spoilt::EmptiesOnDoubt) && thing.said == Said::Empty && desired.object.is_secret() {
        desired.object.value_mut()["data"] = json!({ "version": "" });
    }
}

/// Sends a request as a spoilt engine would have sent it.
pub(crate) fn send(wire: &Wire, spoilt: Spoilt, call: &Call) -> Result<Answer, ClusterError> {
    if spoilt.holds_back(wire, call) {
        let answer = wire.world.ask(dry(call));
        if answer.is_ok() {
            wire.world.state().held_back.push(spoilt.changed(call));
        }
        return answer;
    }
    let is_of_sets = |selection: &Selection| selection.gvk.kind == "ReplicaSet";
    if spoilt == Spoilt::ForgetsReplicaSets && matches!(call, Call::List(selection) if is_of_sets(selection)) {
        return Ok(Answer::Objects(Vec::new()));
    }
    if is_header(call) {
        release(wire);
    }
    let answer = wire.execute(&spoilt.changed(call));
    if call.is_write() && spoilt.releases(call) {
        release(wire);
    }
    answer
}

fn release(wire: &Wire) {
    let held_back = std::mem::take(&mut wire.world.state().held_back);
    held_back.iter().for_each(|call| drop(wire.execute(call)));
}

fn is_workload(call: &Call) -> bool {
    let is_one = |object: &Object| apply::reads::pod_template(object).is_some();
    matches!(call, Call::Apply { object, dry_run: false, .. } if is_one(object))
}

fn is_header(call: &Call) -> bool {
    call.is_write() && call.reference().is_some_and(|at| at.namespace == OWN && at.name.matches('-').count() == 1)
}

/// Whether the journal's header says that a landing is open.
fn begins(call: &Call) -> bool {
    let (Call::Create { object, .. } | Call::Update { object, .. }) = call else { return false };
    let header: Value = serde_json::from_slice(&bytes_of(object)).unwrap_or_default();
    is_header(call) && header.pointer("/open/phase").is_some_and(Value::is_string)
}

fn dry(call: &Call) -> Call {
    let mut call = call.clone();
    if let Call::Apply { dry_run, .. } | Call::Create { dry_run, .. } | Call::Update { dry_run, .. } = &mut call {
        *dry_run = true;
    }
    call
}

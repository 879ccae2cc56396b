//! Engines that do one thing wrong, to show that the rules notice it: what the engine sends is held back, reordered or
//! changed on its way.

use apply::cluster::Propagation;
use std::time::Duration;

use apply::desired::Desired;
use apply::{Answer, Call, ClusterError, Reference, Selection};
use manifest::Object;
use serde_json::{Value, json};

use super::journal::bytes_of;
use super::repository::{NAMESPACE, Said, Thing};
use super::scenario::{ALONE, PARCELS, STORES, VERSIONS, WATCHES};
use super::world::{OWN, Wire};

/// Long enough for a successor to go on with what it finds.
const LONG: Duration = Duration::from_secs(40);

/// Hides from an engine that a name is that of a Secret.
const HIDDEN: &str = "hidden-";

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
    /// It writes its journal whatever stands there; also when it wakes up, frozen since another one took its place.
    JournalUnguarded,
    /// It tries nothing on the server before it begins.
    TriesNothing,
    /// It takes for drift, now and then, what the server adds to a ConfigMap.
    SeesDifferences,
    /// It replaces objects instead of applying what it wants of them.
    WritesWhole,
    /// Each process seals with a key of its own.
    SealsAnew,
    /// It runs each hook once more.
    RunsHooksTwice,
    /// It does not see what workloads read, and holds only what has failed itself.
    HoldsAlone,
    /// It lands each parcel by itself whatever was asked for.
    LandsInParts,
}

/// Each, with the first seed of those that tell, and what the rule says that it breaks.
pub(crate) const ALL: &[(Spoilt, u64, &str)] = &[
    (Spoilt::NewSecretsLast, 0, "is newer than secret"),
    (Spoilt::NewBytesLast, 0, "is newer than secret"),
    (Spoilt::UndoneInOrder, 0, "is newer than secret"),
    (Spoilt::JournalLate, 0, "no landing is begun in the journal"),
    (Spoilt::JournalUnguarded, 0, "that a successor has taken over"),
    (Spoilt::HealthNotAwaited, 0, "has landed, and is flawed"),
    (Spoilt::DeletesAnything, 0, "the delete is not for the object that was looked at"),
    (Spoilt::TriesNothing, 0, "it was not tried before the landing was begun"),
    (Spoilt::SeesDifferences, 0, "at rest, and it writes"),
    (Spoilt::WritesWhole, 0, "has lost a field of others"),
    (Spoilt::SealsAnew, 0, "was restarted for nothing"),
    (Spoilt::RunsHooksTwice, 0, "the hook is run a second time"),
    (Spoilt::HoldsAlone, PARCELS, "is not held, and something that it stands or falls with is"),
    (Spoilt::LandsInParts, 0, "is held alone, of a unit that lands whole"),
    (Spoilt::TrustsWatches, WATCHES, "the cluster is not what has landed"),
    (Spoilt::ForgetsReplicaSets, VERSIONS, "names it"),
    (Spoilt::OverwritesUnseen, ALONE, "it was there"),
    (Spoilt::DeletesOnDoubt, STORES, "it is wanted"),
    (Spoilt::EmptiesOnDoubt, STORES, "it is emptied"),
];

impl Spoilt {
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

    fn is_of_journal(self) -> bool {
        matches!(self, Self::JournalLate | Self::JournalUnguarded)
    }

    /// What the engine makes of an answer.
    fn misread(self, wire: &Wire, call: &Call, mut answer: Answer) -> Answer {
        if let (Call::Apply { dry_run: true, .. }, Answer::Object(Some(object))) = (call, &mut answer)
            && self == Self::SeesDifferences
            && wire.world.state().all_calls.is_multiple_of(5)
            && object.kind() == "ConfigMap"
        {
            object.set_annotation("added", "by the server");
        }
        answer
    }

    /// The request as it is sent.
    fn changed(self, wire: &Wire, call: &Call) -> Call {
        let mut call = call.clone();
        match &mut call {
            Call::Delete { uid, .. } if self == Self::DeletesAnything => *uid = None,
            Call::Update { object, .. } if self.is_of_journal() && object.namespace() == OWN => {
                object.metadata().remove("resourceVersion");
            }
            Call::Apply { object, .. } if self == Self::HoldsAlone => *object = renamed(object, HIDDEN, ""),
            Call::Apply { object, manager, dry_run: false, .. }
                if self == Self::WritesWhole && wire.world.get(&Reference::of(object)).is_some() =>
            {
                let (object, manager) = (object.clone(), manager.clone());
                call = Call::Update { object, manager, dry_run: false, subresource: None };
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
    if spoilt == Some(Spoilt::HoldsAlone) && thing.kind.is_workload() {
        for secret in ["secret-", "external-"] {
            desired.object = renamed(&desired.object, secret, &format!("{HIDDEN}{secret}"));
        }
    }
}

/// Sends a request as a spoilt engine would have sent it.
pub(crate) fn send(wire: &Wire, spoilt: Spoilt, call: &Call) -> Result<Answer, ClusterError> {
    if spoilt.holds_back(wire, call) {
        let answer = wire.world.ask(dry(call));
        if answer.is_ok() {
            wire.world.state().held_back.push(spoilt.changed(wire, call));
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
    if spoilt == Spoilt::RunsHooksTwice && matches!(call, Call::Create { object, .. } if object.kind() == "Job") {
        run_first(wire, call);
    }
    let answer = wire.execute(&spoilt.changed(wire, call)).map(|answer| spoilt.misread(wire, call, answer));
    if call.is_write() && spoilt.releases(call) {
        release(wire);
    }
    answer
}

/// How long an engine is frozen before it sends a request.
pub(crate) fn freeze(wire: &Wire, call: &Call) -> Option<Duration> {
    let is_frozen = wire.world.spoilt == Some(Spoilt::JournalUnguarded) && is_header(call);
    (is_frozen && wire.world.state().epoch != wire.epoch).then_some(LONG)
}

/// A hook is run, and deleted, before it is run.
fn run_first(wire: &Wire, call: &Call) {
    if let (Ok(Answer::Object(Some(job))), Some(at)) = (wire.execute(call), call.reference()) {
        let (uid, propagation) = (Some(job.uid().into()), Propagation::Background);
        let _ = wire.execute(&Call::Delete { at, uid, resource_version: None, propagation, dry_run: false });
    }
}

/// A seal, by the process of this epoch.
pub(crate) fn sealed(spoilt: Option<Spoilt>, epoch: u64, seal: String) -> String {
    if spoilt == Some(Spoilt::SealsAnew) { format!("{seal}.{epoch}") } else { seal }
}

/// An object in which what starts with `from` in references by name starts with `to`.
fn renamed(object: &Object, from: &str, to: &str) -> Object {
    let text = object.value().to_string().replace(&format!("\"name\":\"{from}"), &format!("\"name\":\"{to}"));
    serde_json::from_str(&text).ok().and_then(|value| Object::new(value).ok()).unwrap_or_else(|| object.clone())
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

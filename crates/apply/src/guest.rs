//! Workloads of others that read what a landing rotates: stamped with it, awaited with it, taken back with it.
//!
//! **Flow.** Whoever knows them proposes [`Guest`]s; [`Prepared::invite`] tries each on the server and takes those that may
//! be written. The commit stamps them after all else, health is awaited for them too, and undoing takes their stamps back
//! before a Secret gets its old bytes.
//!
//! **Guarantees.** Of a guest only the stamp on its pod template is written, by a field manager of its own. One that cannot
//! be stamped, or is only slow, holds nobody: its own unit goes on with it. One that is gone, or was stamped anew by its own
//! unit, is neither awaited nor taken back.
//!
//! **Assumption.** The units of guests rest while the landing is under way. Where they do not, as after a crash, a workload
//! may roll once more than it must.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use manifest::{Object, ObjectId};
use serde_json::{Value, json};

use crate::change::Landing;
use crate::cluster::{Call, Cluster, ClusterError, Reference};
use crate::commit;
use crate::context::{Context, Progress, Waited};
use crate::plan::Action;
use crate::prepare::Prepared;
use crate::reads;
use crate::report::{Failure, Step as At};
use crate::stamp;

/// Field manager of stamps on workloads of others.
pub const MANAGER: &str = "lockstep-stamp";

/// A workload that is not the unit's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Where it lives.
    pub workload: Reference,
    /// No other object of the same name is written.
    pub uid: String,
    /// Whose it is, for people.
    pub host: String,
    /// Names of the landing's Secrets that it reads and that change.
    pub secrets: BTreeSet<String>,
    /// The stamp that it gets; `None` where one that an earlier landing gave is taken away.
    pub stamp: Option<String>,
    /// The stamp that it had.
    pub before: Option<String>,
}

impl Guest {
    /// A live workload that is to be stamped.
    pub fn new(live: &Object, host: String, secrets: BTreeSet<String>, stamp: String) -> Self {
        let (workload, uid, before) = (Reference::of(live), live.uid().to_owned(), stamp::current(live));
        Self { workload, uid, host, secrets, stamp: Some(stamp), before }
    }

    fn reads(&self) -> impl Iterator<Item = ObjectId> {
        let namespace = self.workload.namespace.as_str();
        self.secrets.iter().map(move |name| Reference::new("v1", "Secret", namespace, name).id())
    }

    /// Whether it reads anything of these parcels.
    pub(crate) fn is_of(&self, landing: &Landing, parcels: &BTreeSet<usize>) -> bool {
        self.reads().any(|secret| landing.parcels.is_in(&secret, parcels))
    }

    /// Sets the stamp and nothing else.
    fn call(&self, stamp: Option<&str>, dry_run: bool) -> Call {
        let Reference { gvk, namespace, name } = &self.workload;
        let mut value = json!({"apiVersion": gvk.api_version(), "kind": gvk.kind,
            "metadata": {"name": name, "namespace": namespace, "uid": self.uid}});
        let pointer = reads::pod_template(&Object::unchecked(value.clone()));
        if let (Some(stamp), Some(pointer)) = (stamp, pointer) {
            let mut at = &mut value;
            for field in pointer.split('/').skip(1).chain(["metadata", "annotations"]) {
                at[field] = Value::Object(serde_json::Map::new());
                at = &mut at[field];
            }
            at[stamp::ANNOTATION] = stamp.into();
        }
        let (object, manager) = (Object::unchecked(value), MANAGER.to_owned());
        Call::Apply { object, manager, force: true, dry_run, subresource: None }
    }
}

impl Prepared {
    /// Takes in workloads of others, each tried on the server. What a superseded landing has stamped keeps what it had
    /// before that. Returns those that may not be written, and why.
    pub async fn invite(&mut self, guests: Vec<Guest>, cluster: &Arc<dyn Cluster>) -> Vec<(Guest, ClusterError)> {
        let mut refused = Vec::new();
        for mut guest in guests {
            let known = self.landing.guests.iter().position(|known| known.workload == guest.workload);
            if let Err(error) = cluster.call(guest.call(guest.stamp.as_deref(), true)).await {
                refused.push((guest, error));
                continue;
            }
            if let Some(index) = known {
                guest.before = self.landing.guests.remove(index).before;
            }
            self.landing.guests.push(guest);
        }
        refused
    }

    /// Secrets whose bytes the landing changes, each as it was and as it will be. One that it creates has no readers.
    pub fn rotated(&self) -> Vec<(&Object, &Object)> {
        let bytes = |object: &Object| ["data", "stringData"].map(|field| object.value().get(field).cloned());
        let changes = self.landing.changes().filter(|change| change.action != Action::Skip);
        let pairs = changes.filter_map(|change| Some((change.prior.object()?, &change.desired.object)));
        pairs.filter(|(before, now)| now.is_secret() && bytes(before) != bytes(now)).collect()
    }
}

/// Guests of a landing that is superseded: stamped anew, or not at all.
pub(crate) fn inherited(superseded: Option<&Landing>) -> Vec<Guest> {
    let guests = superseded.into_iter().flat_map(|landing| landing.guests.iter().cloned());
    guests.map(|guest| Guest { stamp: guest.before.clone(), ..guest }).collect()
}

/// Stamps all guests but those of parcels that were taken back, and those that read what could not be written.
pub(crate) async fn stamp(
    landing: &Landing,
    undone: &BTreeSet<usize>,
    failed: &[Failure],
    ctx: &Context<'_>,
    deadline: Duration,
) {
    let is_unwritten = |id: ObjectId| commit::unwritten(failed).any(|(unwritten, _)| *unwritten == id);
    let stays = |guest: &&Guest| guest.is_of(landing, undone) || guest.reads().any(is_unwritten);
    for guest in landing.guests.iter().filter(|guest| !stays(guest)) {
        // Its own unit stamps one that could not be.
        if settle(guest, guest.stamp.as_deref(), ctx, deadline).await.is_ok_and(|written| written) {
            ctx.tell(Progress::Wrote(guest.workload.id(), Action::Configure));
        }
    }
}

/// Takes the stamps of guests back that read anything of these parcels. Returns what failed, each with its guest.
pub(crate) async fn take_back<'l>(
    landing: &'l Landing,
    parcels: &BTreeSet<usize>,
    ctx: &Context<'_>,
    deadline: Duration,
) -> Vec<(&'l Guest, Failure)> {
    let mut failures = Vec::new();
    for guest in landing.guests.iter().filter(|guest| guest.is_of(landing, parcels)) {
        match settle(guest, guest.before.as_deref(), ctx, deadline).await {
            Ok(true) => ctx.tell(Progress::Restored(guest.workload.id())),
            Err(error) if error.is_transient() => {
                let message = format!("{}: the stamp of {}: {error}", guest.workload.id(), guest.host);
                failures.push((guest, Failure::general(At::Undo, message, true)));
            }
            // Whoever took the right away has the workload.
            Ok(false) | Err(_) => {}
        }
    }
    failures
}

/// Sees to it that a guest carries `wanted`, or what it should not have any more is gone; whether it was written.
async fn settle(
    guest: &Guest,
    wanted: Option<&str>,
    ctx: &Context<'_>,
    deadline: Duration,
) -> Result<bool, ClusterError> {
    let Some(live) = ctx.read(&guest.workload, deadline).await?.filter(|live| live.uid() == guest.uid) else {
        return Ok(false);
    };
    let now = stamp::current(&live);
    // To stamp one is always right; taken away is only what we gave.
    let is_back = wanted == guest.before.as_deref() && !is_by_us(&live);
    if now.as_deref() == wanted || is_back {
        return Ok(false);
    }
    ctx.send(guest.call(wanted, false), deadline).await?;
    Ok(true)
}

fn is_by_us(live: &Object) -> bool {
    let entries = live.value().pointer("/metadata/managedFields").and_then(Value::as_array);
    entries.into_iter().flatten().any(|entry| entry.get("manager").and_then(Value::as_str) == Some(MANAGER))
}

/// Guests that carry our stamp, and are to become healthy with the landing.
pub(crate) async fn awaited(landing: &Landing, undone: &BTreeSet<usize>, ctx: &Context<'_>) -> Vec<Reference> {
    let mut awaited = Vec::new();
    let stamped = landing.guests.iter().filter(|guest| guest.stamp.is_some() && guest.stamp != guest.before);
    for guest in stamped.filter(|guest| !guest.is_of(landing, undone)) {
        let live = ctx.cluster.get(&guest.workload).await.ok().flatten();
        let carries = |live: &Object| live.uid() == guest.uid && stamp::current(live) == guest.stamp;
        if live.as_ref().is_some_and(carries) {
            awaited.push(guest.workload.clone());
        }
    }
    awaited
}

/// A wait's outcome without the guests, and what they say: one that has failed is a failure of the Secrets that it reads.
pub(crate) fn told(landing: &Landing, waited: Waited) -> (Waited, Vec<Failure>) {
    let Waited::Unhealthy { mut failed, mut pending } = waited else { return (waited, Vec::new()) };
    let guest_at = |id: &ObjectId| landing.guests.iter().find(|guest| guest.workload.id() == *id);
    let failures = failed.iter().filter_map(|(id, why)| Some(failures_of(guest_at(id)?, why, landing))).flatten();
    let failures = failures.collect();
    failed.retain(|(id, _)| guest_at(id).is_none());
    pending.retain(|(id, _)| guest_at(id).is_none());
    (Waited::Unhealthy { failed, pending }, failures)
}

fn failures_of(guest: &Guest, why: &str, landing: &Landing) -> Vec<Failure> {
    let origin = |id: &ObjectId| {
        let object = landing.changes().map(|change| &change.desired.object).find(|object| object.id() == *id);
        object.and_then(|object| object.origin().cloned())
    };
    let message = format!("{} of {} reads it: {why}", guest.workload.id(), guest.host);
    let failure = |id: ObjectId| Failure {
        step: At::Health,
        origin: origin(&id),
        id: Some(id),
        message: message.clone(),
        transient: false,
    };
    guest.reads().map(failure).collect()
}

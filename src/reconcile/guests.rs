//! Workloads outside a unit that read a Secret which it is about to rotate: they land with it (`apply::guest`).
//!
//! **Whose.** Workloads of other Kustomizations, as their last landing knows them; and workloads that nobody of ours has
//! made, where they ask for it by `lockstep.dev/rollout: enabled` on themselves.
//!
//! **Guarantees.** A workload of another unit is read and written as that unit's identity, one of nobody as the landing
//! unit's: what that may not do is not done, and the workload is left to its own unit, which lands next. A unit whose
//! workloads are guests rests until the landing has ended. Only healthy workloads are taken in: one that was ill before
//! says nothing about the new secret, and must not keep others from it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use apply::stamp::{Secrets, Stamp};
use apply::{Cluster, Guest, Journal, Landing, Prepared, Reference, Selection};
use jiff::Timestamp;
use manifest::Object;

use super::{Key, Kind, Shared, triggers};
use crate::api::Kind as _;
use crate::api::condition::READY;
use crate::api::kustomization::Kustomization;
use crate::health::{self, Reading};
use crate::landing;
use crate::pipeline::switch;
use crate::unit::{Thing, Unit};

/// Kinds with a pod template that is rolled out.
const WORKLOADS: [(&str, &str); 4] =
    [("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"), ("apps/v1", "DaemonSet"), ("batch/v1", "CronJob")];
/// Labels by which a workload is known as some unit's.
const OWNERS: [&str; 2] = ["kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name"];

/// Units that rest while others land with workloads of theirs, and in how many landings.
#[derive(Default)]
pub struct Guests(Mutex<BTreeMap<Unit, usize>>);

impl Guests {
    /// Whether workloads of a unit are landing with another.
    pub fn are_out(&self, unit: &Unit) -> bool {
        self.lock().contains_key(unit)
    }

    fn take(&self, unit: &Unit) {
        *self.lock().entry(unit.clone()).or_default() += 1;
    }

    fn give_back(&self, unit: &Unit) {
        let mut out = self.lock();
        if let Some(count) = out.get_mut(unit) {
            *count -= 1;
            if *count == 0 {
                out.remove(unit);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Unit, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The guests of one landing; when it is dropped, their units go on.
pub(super) struct Visit {
    shared: Arc<Shared>,
    hosts: Vec<Unit>,
    /// As whom they are read and written.
    pub(super) clusters: landing::Guests,
}

impl Visit {
    fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: shared.clone(), hosts: Vec::new(), clusters: landing::Guests::new() }
    }

    /// A unit rests from now on.
    fn hold(&mut self, unit: &Unit) {
        self.shared.guests.take(unit);
        self.hosts.push(unit.clone());
    }

    /// It goes on.
    fn release(&mut self, unit: &Unit) {
        self.hosts.retain(|host| host != unit);
        self.let_go(unit);
    }

    fn let_go(&self, unit: &Unit) {
        self.shared.guests.give_back(unit);
        triggers::key_of(unit).into_iter().for_each(|key| self.shared.queue.add(key));
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.hosts.iter().for_each(|unit| self.let_go(unit));
    }
}

/// The guests of a landing that an earlier reconciliation, or an earlier process, had begun.
pub(super) fn recall(landing: &Landing, shared: &Arc<Shared>) -> Visit {
    let mut visit = Visit::new(shared);
    for guest in &landing.guests {
        let Ok(unit) = guest.host.parse::<Unit>() else { continue };
        let Some(host) = triggers::key_of(&unit).and_then(|key| shared.index.get(&key)) else { continue };
        visit.clusters.insert(guest.workload.clone(), cluster_of(&host, shared));
        visit.hold(&unit);
    }
    visit
}

/// Takes in those who read what a unit is about to rotate. Doubt takes in nobody: they land next.
pub(super) async fn invite(
    prepared: &mut Prepared,
    unit: &Unit,
    own: &Arc<dyn Cluster>,
    shared: &Arc<Shared>,
) -> Visit {
    let mut visit = recall(prepared.landing(), shared);
    let rotated = prepared.rotated();
    if rotated.is_empty() {
        return visit;
    }
    let keys = shared.world.keys.clone();
    let seal = move |bytes: &[u8]| keys.seal(bytes);
    let before = Secrets::of(rotated.iter().map(|(before, _)| *before), &seal);
    let now = Secrets::of(rotated.iter().map(|(_, now)| *now), &seal);
    let mut found = Vec::new();
    for host in hosts(&rotated, unit, shared) {
        visit.hold(&host);
        let guests = of_unit(&host, &now, shared).await;
        if guests.is_empty() {
            visit.release(&host);
        }
        for (guest, cluster) in guests {
            visit.clusters.insert(guest.workload.clone(), cluster);
            found.push(guest);
        }
    }
    let namespaces: BTreeSet<&str> = rotated.iter().map(|(_, now)| now.namespace()).collect();
    for namespace in namespaces {
        found.extend(of_nobody(namespace, (&before, &now), own).await);
    }
    let cluster = landing::as_guests(own, &visit.clusters);
    for (guest, error) in prepared.invite(found, &cluster).await {
        tracing::info!(%unit, workload = %guest.workload.id(), %error, "it lands on its own");
    }
    visit
}

/// Kustomizations that have read one of these Secrets and are at rest.
fn hosts(rotated: &[(&Object, &Object)], unit: &Unit, shared: &Shared) -> Vec<Unit> {
    let secrets = rotated.iter().map(|(_, now)| Thing::object(&Reference::of(now)));
    let readers: BTreeSet<Unit> = secrets.flat_map(|secret| shared.units.readers_of(&secret)).collect();
    let is_meant = |host: &Unit| host != unit && !shared.guests.are_out(host) && is_at_rest(host, shared);
    readers.into_iter().filter(is_meant).collect()
}

fn is_at_rest(host: &Unit, shared: &Shared) -> bool {
    let Some(key) = triggers::key_of(host).filter(|key| key.kind == Kind::Kustomization) else { return false };
    let Some(object) = shared.index.get(&key).filter(|object| !object.is_terminating()) else { return false };
    let status = Kustomization::status(&object).unwrap_or_default();
    let is_suspended = Kustomization::spec(&object).is_ok_and(|spec| spec.suspend);
    status.conditions.is_true(READY) && !is_suspended && switch(&object, "rollout") != Some("disabled")
}

fn cluster_of(host: &Object, shared: &Shared) -> Arc<dyn Cluster> {
    shared.world.cluster_of(host.namespace(), host.text("/spec/serviceAccountName"))
}

/// Workloads of a unit whose stamp changes, with the unit's identity.
async fn of_unit(host: &Unit, rotated: &Secrets<'_>, shared: &Arc<Shared>) -> Vec<(Guest, Arc<dyn Cluster>)> {
    let world = &shared.world;
    let Some(key) = triggers::key_of(host) else { return Vec::new() };
    // It is held back by now: either it is not at work, or it began before and is left alone.
    let is_free = |key: &Key| !shared.queue.is_running(key);
    let Some(object) = shared.index.get(&key).filter(|_| is_free(&key)) else { return Vec::new() };
    let journal = Journal::load(world.journals.clone(), &host.to_string(), world.epoch).await;
    let Some(landed) = journal.ok().filter(|journal| journal.open().is_none()).and_then(|j| j.landed().cloned()) else {
        return Vec::new();
    };
    let cluster = cluster_of(&object, shared);
    let mut guests = Vec::new();
    for change in landed.changes() {
        let workload = &change.desired.object;
        let stamp = landed.stamps.get(&workload.id());
        let Some((secrets, value)) = stamp.and_then(|stamp| rotated.restamp(workload, stamp)) else { continue };
        let live = cluster.get(&Reference::of(workload)).await.ok().flatten();
        if let Some(live) = live.filter(is_well) {
            guests.push((Guest::new(&live, host.to_string(), secrets, value), cluster.clone()));
        }
    }
    guests
}

/// Workloads that nobody of ours has made and that ask to be rolled out.
async fn of_nobody(namespace: &str, (before, now): (&Secrets<'_>, &Secrets<'_>), own: &Arc<dyn Cluster>) -> Vec<Guest> {
    let mut guests = Vec::new();
    for (version, kind) in WORKLOADS {
        let live = own.list(&Selection::all(version, kind).within(namespace)).await.unwrap_or_default();
        for live in live.iter().filter(|live| asks(live) && is_well(live)) {
            let stamp = before.stamp(live, None, None).unwrap_or_else(Stamp::default);
            let restamped = now.restamp(live, &stamp);
            guests.extend(restamped.map(|(secrets, value)| Guest::new(live, "no unit".into(), secrets, value)));
        }
    }
    guests
}

fn asks(live: &Object) -> bool {
    switch(live, "rollout") == Some("enabled") && OWNERS.iter().all(|label| live.label(label).is_none())
}

/// Whether a workload would say something about its secrets: it is healthy, and rolls out by itself.
fn is_well(live: &Object) -> bool {
    let is_paused = live.value().pointer("/spec/paused") == Some(&serde_json::Value::Bool(true));
    let is_by_hand = live.text("/spec/updateStrategy/type") == Some("OnDelete");
    let is_healthy = health::status(live, Reading::Flux, Timestamp::now()).is_current();
    is_healthy && !is_paused && !is_by_hand && !live.is_terminating()
}

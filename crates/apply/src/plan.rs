//! Desired, journaled and live -> [`Plan`]: what would be done, in order. Reads only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{self, StreamExt as _};
use manifest::{Gvk, Object, ObjectId};

use crate::cluster::{Call, Cluster, ClusterError, Reference, Scope};
use crate::desired::{Behaviour, Candidate, Declarer, Desired, LandingScope, Order, Policy, Reading, Release};
use crate::gate::{Gates, is_of_api};
use crate::guest;
use crate::journal::Failed;
use crate::order;
use crate::parcels::{Parcels, edges};
use crate::report::{Failure, Step as At};
use crate::share::{self, Claims};
use crate::stamp::{self, Seal, Secrets, Stamps};
use crate::versions::{self, Old};

mod gone;

use gone::Gone;

pub use crate::change::{Action, Change, Landing, Prior, Proof, Stale, Step};

/// How many reads and dry runs are under way at once.
pub(crate) const PARALLEL: usize = 16;

/// What the unit's journal knows: the base of every comparison.
#[derive(Clone, Debug, Default)]
pub struct Base {
    /// The last concluded landing.
    pub landed: Option<Landing>,
    /// A landing that was written but neither concluded nor undone, because a newer revision takes its place.
    pub superseded: Option<Landing>,
    /// What the unit's status lists; covers units that another tool applied before.
    pub inventory: Vec<Reference>,
    /// Parcels that failed when they were written, for good: not to be tried again as they were.
    pub failed: Vec<Failed>,
    /// What other units hold.
    pub others: Claims,
}

/// A landing that was compared with the cluster, and not yet tried.
pub struct Plan {
    pub(crate) landing: Landing,
    /// Live objects by reference; what is missing was not there.
    pub(crate) live: BTreeMap<Reference, Object>,
    /// Namespaces that this landing itself makes.
    pub(crate) own_namespaces: BTreeSet<String>,
    /// API services of this landing: before they are available, nobody knows the kinds of their objects.
    pub(crate) own_apis: BTreeSet<String>,
    /// Objects that were not read, because nobody is known to have made them: their dry run tells whether they are there.
    pub(crate) presumed: BTreeSet<Reference>,
}

/// Compares a candidate with what landed before and with what is live.
///
/// # Errors
/// All objects that cannot be planned: declared twice, of a kind that nobody serves, without a namespace, unreadable.
pub fn plan<'a>(
    candidate: Candidate,
    behaviour: Behaviour,
    base: &'a Base,
    cluster: &'a Arc<dyn Cluster>,
    seal: Seal<'a>,
) -> BoxFuture<'a, Result<Plan, Vec<Failure>>> {
    planned(candidate, behaviour, base, cluster, seal).boxed()
}

async fn planned(
    candidate: Candidate,
    behaviour: Behaviour,
    base: &Base,
    cluster: &Arc<dyn Cluster>,
    seal: Seal<'_>,
) -> Result<Plan, Vec<Failure>> {
    let planned = attempt(candidate, behaviour, base, cluster, seal, Look::AtAll).await;
    planned.map_err(|unplanned| unplanned.failures)
}

/// Which live objects are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Those of all that is wanted.
    AtAll,
    /// Those that are known, by the journal or the inventory. The others are presumed to be absent.
    AtKnown,
}

/// What is wanted in a namespace that neither the journal nor the inventory knows.
pub(crate) fn unknown<'a>(candidate: &'a Candidate, base: &Base) -> impl Iterator<Item = &'a Desired> {
    let landings = [&base.landed, &base.superseded].into_iter().flatten();
    let changes = landings.flat_map(|landing| landing.past_changes().chain(landing.changes()));
    let mut known: BTreeSet<ObjectId> = changes.map(|change| change.desired.object.id()).collect();
    known.extend(base.inventory.iter().map(Reference::id));
    let objects = candidate.objects.iter().chain(candidate.releases.iter().flat_map(|release| &release.objects));
    objects.filter(move |desired| !desired.object.namespace().is_empty() && !known.contains(&desired.object.id()))
}

/// A candidate that cannot be planned, and why.
pub(crate) struct Unplanned {
    pub(crate) failures: Vec<Failure>,
    pub(crate) candidate: Candidate,
    pub(crate) parcels: Parcels,
}

/// [`plan`], that gives the candidate back.
pub(crate) async fn attempt(
    candidate: Candidate,
    behaviour: Behaviour,
    base: &Base,
    cluster: &Arc<dyn Cluster>,
    seal: Seal<'_>,
    look: Look,
) -> Result<Plan, Unplanned> {
    let mut planner = Planner::new(candidate, cluster);
    planner.settle_scopes().await;
    planner.failures.extend(versions::split(&mut planner.candidate, &behaviour, seal));
    let undeleted = gone::undeleted(base);
    let mut parcels = planner.parcels(base, &undeleted, behaviour.scope);
    planner.find_twins();
    if look == Look::AtKnown {
        planner.presume(base);
    }
    planner.read_live(base).await;
    if !undeleted.is_empty() {
        // Where failures ended nothing, what counts as landed may live as it was before, and need what should be gone.
        let standing = planner.live.values().map(|live| Desired::new(live.clone(), ""));
        let landed: Vec<Desired> = undeleted.iter().cloned().chain(standing).collect();
        parcels = planner.parcels(base, &landed, behaviour.scope);
    }
    planner.share(&base.others, &behaviour);
    planner.fill_owners().await;
    if !planner.failures.is_empty() {
        return Err(Unplanned { failures: planner.failures, candidate: planner.candidate, parcels });
    }
    let stamps = planner.stamp(base, seal, behaviour.rollout);
    let wanted = planner.all().map(|desired| desired.object.id()).collect();
    let old = Old::of(base, &behaviour.owner_labels, &wanted, cluster).await;
    let stale = gone::stale(&planner.candidate, base, behaviour.prune, wanted, &old);
    let gone = Gone { stale: stale.into_iter().chain(old.free).collect(), retired: old.used, undeleted };
    Ok(planner.finish(base, behaviour, stamps, gone, parcels))
}

struct Planner<'a> {
    candidate: Candidate,
    cluster: &'a Arc<dyn Cluster>,
    live: BTreeMap<Reference, Object>,
    own_kinds: BTreeMap<(String, String), Scope>,
    own_namespaces: BTreeSet<String>,
    own_apis: BTreeSet<String>,
    presumed: BTreeSet<Reference>,
    failures: Vec<Failure>,
}

impl<'a> Planner<'a> {
    fn new(candidate: Candidate, cluster: &'a Arc<dyn Cluster>) -> Self {
        let objects = candidate.objects.iter().chain(candidate.releases.iter().flat_map(|release| &release.objects));
        let mut own_kinds = BTreeMap::new();
        let (mut own_namespaces, mut own_apis) = (BTreeSet::new(), BTreeSet::new());
        for Desired { object, .. } in objects {
            own_kinds.extend(defined_kind(object));
            if edges::is_namespace(object) {
                own_namespaces.insert(object.name().to_owned());
            }
            if edges::is_api(object) {
                own_apis.insert(object.name().to_owned());
            }
        }
        let (live, presumed, failures) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        Self { candidate, cluster, live, own_kinds, own_namespaces, own_apis, presumed, failures }
    }

    fn all(&self) -> impl Iterator<Item = &Desired> {
        self.candidate.objects.iter().chain(self.candidate.releases.iter().flat_map(|r| &r.objects))
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Desired> {
        let Candidate { objects, releases, .. } = &mut self.candidate;
        objects.iter_mut().chain(releases.iter_mut().flat_map(|r| &mut r.objects))
    }

    /// What lands together, with what is `standing` beside what landed. Records and hooks go with their release.
    fn parcels(&self, base: &Base, standing: &[Desired], scope: LandingScope) -> Parcels {
        let landed = base.landed.iter().flat_map(Landing::changes).map(|change| &change.desired);
        let begun = base.superseded.iter().flat_map(Landing::begun).map(|change| &change.desired);
        let mut parcels = Parcels::of(self.all(), landed.chain(begun).chain(standing), scope);
        for release in &self.candidate.releases {
            let puts = release.begin.iter().chain(&release.finish).map(|put| put.object.id());
            let hooks = release.before.iter().chain(&release.after).map(|hook| hook.object.id());
            puts.chain(hooks).for_each(|id| parcels.join(id, &release.id));
        }
        // Records of a superseded release stay with what they were written with.
        if let Some(superseded) = &base.superseded {
            for id in superseded.to_supersede().iter().filter_map(Step::id) {
                if parcels.number_of(&id).is_some() {
                    continue;
                }
                let with = superseded.parcels.list().iter().find(|parcel| parcel.members.contains(&id));
                let members = with.into_iter().flat_map(|parcel| &parcel.members);
                if let Some(member) = members.clone().find(|member| parcels.number_of(member).is_some()) {
                    parcels.join(id, &member.clone());
                }
            }
        }
        parcels
    }

    /// The same object declared twice has no right answer.
    fn find_twins(&mut self) {
        let mut first: BTreeMap<ObjectId, &Desired> = BTreeMap::new();
        let mut failures = Vec::new();
        for desired in self.all() {
            if let Some(twin) = first.insert(desired.object.id(), desired) {
                let place = twin.object.origin().map(|o| format!(", first at {o}")).unwrap_or_default();
                failures.push(Failure::about(At::Plan, &desired.object, format!("is declared twice{place}")));
            }
        }
        self.failures.extend(failures);
    }

    /// Sees to it that namespaced objects have a namespace and others have none.
    async fn settle_scopes(&mut self) {
        let (scopes, own_apis) = (self.scopes().await, self.own_apis.clone());
        let mut failures = Vec::new();
        for desired in self.all_mut() {
            let gvk = desired.object.gvk();
            match scopes.get(&gvk) {
                Some(Ok(None)) if is_of_api(&own_apis, desired) => {}
                Some(Ok(Some(Scope::Cluster))) => drop(desired.object.metadata().remove("namespace")),
                Some(Ok(Some(Scope::Namespaced))) if desired.object.namespace().is_empty() => {
                    failures.push(Failure::about(At::Plan, &desired.object, "namespace not specified"));
                }
                Some(Ok(Some(Scope::Namespaced))) => {}
                Some(Err(error)) => failures.push(Failure::refused(At::Plan, &desired.object, error)),
                Some(Ok(None)) | None => {
                    failures.push(Failure::refused(At::Plan, &desired.object, &ClusterError::NoKind { gvk }));
                }
            }
        }
        self.failures.extend(failures);
    }

    async fn scopes(&self) -> BTreeMap<Gvk, Result<Option<Scope>, ClusterError>> {
        let kinds: BTreeSet<Gvk> = self.all().map(|d| d.object.gvk()).collect();
        let mut scopes = BTreeMap::new();
        for gvk in kinds {
            let scope = self.scope(&gvk).await;
            scopes.insert(gvk, scope);
        }
        let is_unknown = |scope: &Result<Option<Scope>, ClusterError>| matches!(scope, Ok(None));
        if !scopes.values().any(is_unknown) {
            return scopes;
        }
        // Its definition may have come from elsewhere since the last discovery. Without an answer nobody knows.
        let discovered = self.cluster.call(Call::Discover).await;
        for (gvk, scope) in scopes.iter_mut().filter(|(_, scope)| is_unknown(scope)) {
            *scope = match &discovered {
                Ok(_) => self.scope(gvk).await,
                Err(error) => Err(error.clone()),
            };
        }
        scopes
    }

    async fn scope(&self, gvk: &Gvk) -> Result<Option<Scope>, ClusterError> {
        let own = self.own_kinds.get(&(gvk.group.clone(), gvk.kind.clone())).copied();
        Ok(self.cluster.scope(gvk).await?.or(own))
    }

    /// Finds the objects that need not be read. Objects of the whole cluster are often there, made by others; and of what
    /// is not tried, or only in another place, no dry run would tell whether it is there.
    fn presume(&mut self, base: &Base) {
        let is_tried = |desired: &&Desired| {
            let (object, gvk) = (&desired.object, desired.object.gvk());
            desired.policy == Policy::Override
                && !base.others.hold(&object.id())
                && !self.own_namespaces.contains(object.namespace())
                && !is_of_api(&self.own_apis, desired)
                && !self.own_kinds.contains_key(&(gvk.group, gvk.kind))
        };
        self.presumed = unknown(&self.candidate, base).filter(is_tried).map(Desired::reference).collect();
    }

    async fn read_live(&mut self, base: &Base) {
        let landed: BTreeSet<Reference> =
            base.landed.iter().flat_map(Landing::changes).map(|change| change.desired.reference()).collect();
        let is_ours = |desired: &&Desired| is_of_api(&self.own_apis, desired) && landed.contains(&desired.reference());
        let ours: BTreeSet<Reference> = self.all().filter(is_ours).map(Desired::reference).collect();
        let read = self.all().map(|d| (d, d.reference())).filter(|(_, at)| !self.presumed.contains(at));
        let targets: Vec<(Object, Reference)> = read.map(|(desired, at)| (desired.object.clone(), at)).collect();
        let cluster = self.cluster;
        let reads = targets.into_iter().map(|(object, at)| async move {
            let answer = cluster.get(&at).await;
            (object, at, answer)
        });
        let answers: Vec<_> = stream::iter(reads).buffer_unordered(PARALLEL).collect().await;
        for (object, at, answer) in answers {
            match answer {
                Ok(Some(live)) => drop(self.live.insert(at, live)),
                // A kind or a namespace that does not exist yet holds no object.
                Ok(None) | Err(ClusterError::NoKind { .. } | ClusterError::NotFound { .. }) => {}
                // What serves it is broken, and perhaps mended by this very landing.
                Err(ClusterError::Unavailable { .. }) if ours.contains(&at) => {}
                Err(error) => self.failures.push(Failure::refused(At::Plan, &object, &error)),
            }
        }
    }

    /// What another unit owns is shared with it.
    fn share(&mut self, others: &Claims, behaviour: &Behaviour) {
        let live = std::mem::take(&mut self.live);
        for desired in &mut self.candidate.objects {
            let live = live.get(&desired.reference());
            if let Some(live) = live.filter(|live| others.own_what_is_wanted(desired, live)) {
                *desired = share::shared(desired.clone(), live, behaviour);
            }
        }
        self.live = live;
    }

    /// Fills in the UID of owners that live already; of others when they are made.
    async fn fill_owners(&mut self) {
        let owners: BTreeSet<Reference> = self.all().filter_map(|d| d.owner.clone()).collect();
        let mut uids: BTreeMap<Reference, String> = BTreeMap::new();
        for owner in owners {
            let known = match self.live.get(&owner) {
                Some(live) => Some(live.uid().to_owned()),
                None => self.cluster.get(&owner).await.ok().flatten().map(|live| live.uid().to_owned()),
            };
            uids.extend(known.map(|uid| (owner, uid)));
        }
        for desired in self.all_mut() {
            let uid = desired.owner.as_ref().and_then(|owner| uids.get(owner)).cloned();
            if let Some(uid) = uid {
                own(desired, &uid);
            }
        }
    }

    /// Gives workloads their stamps. Where none is rolled out they keep those that they have, and new bytes are the baseline.
    fn stamp(&mut self, base: &Base, seal: Seal<'_>, rolls_out: bool) -> Stamps {
        let known = |id: &ObjectId| base.landed.as_ref().and_then(|landed| landed.stamps.get(id));
        let secrets = Secrets::of(self.all().map(|d| &d.object).chain(&self.candidate.foreign), seal);
        let mut stamps = Stamps::new();
        // What another unit owns that one stamps.
        for desired in self.all().filter(|desired| !desired.shared) {
            let id = desired.object.id();
            let live = self.live.get(&desired.reference());
            if let Some(mut stamp) = secrets.stamp(&desired.object, known(&id), live) {
                if let Some(known) = known(&id).filter(|_| !rolls_out) {
                    stamp.value.clone_from(&known.value);
                }
                stamps.insert(id, stamp);
            }
        }
        let restarts: BTreeSet<ObjectId> = stamps
            .iter()
            .filter(|(id, stamp)| known(id).is_some_and(|k| k.value != stamp.value))
            .map(|(id, _)| id.clone())
            .collect();
        for desired in self.all_mut() {
            let id = desired.object.id();
            if let Some(value) = stamps.get(&id).and_then(|stamp| stamp.value.as_deref()) {
                stamp::write(&mut desired.object, value);
            }
            if desired.policy == Policy::Untouched && restarts.contains(&id) {
                desired.policy = Policy::Override;
            }
        }
        stamps
    }

    fn finish(self, base: &Base, mut behaviour: Behaviour, stamps: Stamps, gone: Gone, parcels: Parcels) -> Plan {
        // What a superseded landing may have deleted, undoing this one brings back.
        if base.superseded.as_ref().is_some_and(|landing| landing.behaviour.order == Order::Flux) {
            behaviour.order = Order::Flux;
        }
        let Self { candidate, live, own_namespaces, own_apis, presumed, .. } = self;
        let before = base.landed.iter().flat_map(|landed| &landed.stamps);
        // Of a parcel that is held, they stay as they were, also those that did not change.
        let can_be_held = !parcels.list().is_empty();
        let stamps_before = before.filter(|(id, stamp)| can_be_held || stamps.get(id) != Some(stamp));
        let past = Past::new(base);
        let change = |desired: Desired| Step::Apply(Box::new(past.change(desired, &live, &behaviour)));
        let steps = arrange(candidate.objects, candidate.releases, behaviour.timeout, change);
        let dropped = if can_be_held { gone.dropped(base, &steps) } else { Vec::new() };
        let landing = Landing {
            revision: candidate.revision,
            input: candidate.input,
            read_set: candidate.read_set,
            steps,
            past: base.superseded.as_ref().map(Landing::to_supersede).unwrap_or_default(),
            stale: gone.stale,
            retired: gone.retired,
            undeleted: gone.undeleted,
            dropped,
            guests: guest::inherited(base.superseded.as_ref()),
            stamps_before: stamps_before.map(|(id, stamp)| (id.clone(), stamp.clone())).collect(),
            stamps,
            behaviour,
            parcels,
            wants: Vec::new(),
            held: BTreeSet::new(),
            failures: Vec::new(),
        };
        Plan { landing, live, own_namespaces, own_apis, presumed }
    }
}

/// Puts objects and releases into the order of the commit, with a barrier after new kinds and before what webhooks judge
/// that the landing itself serves.
fn arrange(
    mut objects: Vec<Desired>,
    releases: Vec<Release>,
    timeout: Duration,
    change: impl Fn(Desired) -> Step,
) -> Vec<Step> {
    let all = || objects.iter().chain(releases.iter().flat_map(|release| &release.objects));
    let (declarers, gates) = (declarers(all()), Gates::of(all().map(|desired| &desired.object)));
    let references: BTreeMap<ObjectId, Reference> = match gates.all.is_empty() {
        true => BTreeMap::new(),
        false => all().map(|desired| (desired.object.id(), desired.reference())).collect(),
    };
    objects.sort_by_cached_key(|desired| order::key(&desired.object));
    let stage = |desired: &Desired| order::place(&desired.object.gvk()).0;
    let (mut gated, mut objects): (Vec<_>, Vec<_>) =
        objects.into_iter().partition(|desired| gates.delay(&desired.object.id(), stage(desired)));
    let kinds = kinds_among(&objects);
    let after_foundations = objects.partition_point(|d| stage(d) <= order::Stage::Foundations);
    let after_workloads = objects.partition_point(|d| stage(d) < order::Stage::Releases);
    let admission = objects.split_off(objects.partition_point(|d| stage(d) < order::Stage::Admission));
    let late = objects.split_off(after_workloads);
    let middle = objects.split_off(after_foundations);
    let mut steps: Vec<Step> = objects.into_iter().map(&change).collect();
    if !kinds.is_empty() {
        steps.push(Step::Await(kinds, Reading::Unit, timeout));
    }
    steps.extend(middle.into_iter().map(&change));
    for release in releases {
        steps.extend(release.begin.into_iter().map(|put| Step::Put(Box::new(put))));
        steps.extend(release.before.into_iter().map(|hook| Step::Hook(Box::new(hook))));
        let waits_for = release.objects.iter().map(Desired::reference).filter(|at| !declarers.contains(&at.id()));
        let waits_for: Vec<Reference> = waits_for.collect();
        let kinds = kinds_among(&release.objects);
        steps.extend(release.objects.into_iter().map(&change));
        if let Some((reading, wait)) = release.wait {
            steps.push(Step::Await(waits_for, reading, wait));
        } else if !kinds.is_empty() {
            steps.push(Step::Await(kinds, Reading::Release, timeout));
        }
        steps.extend(release.after.into_iter().map(|hook| Step::Hook(Box::new(hook))));
        steps.extend(release.finish.into_iter().map(|put| Step::Put(Box::new(put))));
    }
    steps.extend(late.into_iter().map(&change));
    for (index, gate) in gates.all.iter().enumerate() {
        let await_all = |ids: &BTreeSet<ObjectId>, reading: Reading| {
            let waits_for: Vec<Reference> = ids.iter().filter_map(|id| references.get(id).cloned()).collect();
            (!waits_for.is_empty()).then_some(Step::Await(waits_for, reading, timeout))
        };
        steps.extend(await_all(&gate.servers, Reading::Unit));
        let later = gates.all.get(index + 1..).unwrap_or_default();
        let of_gate = |desired: &mut Desired| {
            let id = desired.object.id();
            gate.holds(&id) && !later.iter().any(|gate| gate.holds(&id))
        };
        // First what asks, then what is judged.
        let (judged, askers): (Vec<_>, Vec<_>) =
            gated.extract_if(.., of_gate).partition(|desired| gates.judge(&desired.object.id()));
        steps.extend(askers.into_iter().map(&change));
        steps.extend(await_all(&gate.apis, Reading::Served));
        steps.extend(judged.into_iter().map(&change));
    }
    steps.extend(admission.into_iter().map(&change));
    steps
}

/// Objects that others come from. They say that they are healthy when they are told that those have landed, which no
/// wait of the landing can see.
pub(crate) fn declarers<'a>(desired: impl Iterator<Item = &'a Desired>) -> BTreeSet<ObjectId> {
    let declarer = |desired: &'a Desired| match &desired.declarer {
        Declarer::Unit | Declarer::Version(_) => None,
        Declarer::Release(id) | Declarer::ExternalSecret(id) => Some(id.clone()),
    };
    desired.filter_map(declarer).collect()
}

/// The objects that make a kind known.
fn kinds_among(objects: &[Desired]) -> Vec<Reference> {
    objects.iter().filter(|d| defined_kind(&d.object).is_some()).map(Desired::reference).collect()
}

/// What the journal says of each object's past.
struct Past<'a> {
    landed: BTreeMap<ObjectId, &'a Desired>,
    /// What stood before a landing that is superseded: undoing must go back behind it.
    superseded: BTreeMap<ObjectId, &'a Prior>,
}

impl<'a> Past<'a> {
    fn new(base: &'a Base) -> Self {
        let changes = |landing: &'a Option<Landing>| landing.iter().flat_map(Landing::changes);
        Self {
            landed: changes(&base.landed).map(|c| (c.desired.object.id(), &c.desired)).collect(),
            superseded: base
                .superseded
                .iter()
                .flat_map(Landing::begun)
                .map(|c| (c.desired.object.id(), &c.prior))
                .collect(),
        }
    }

    fn change(&self, desired: Desired, live: &BTreeMap<Reference, Object>, behaviour: &Behaviour) -> Change {
        let id = desired.object.id();
        let live = live.get(&desired.reference());
        let prior = match (self.landed.get(&id), self.superseded.get(&id), live) {
            (Some(landed), _, Some(live)) if desired.shared && !landed.shared => {
                Prior::Landed(Box::new(share::shared((*landed).clone(), live, behaviour)))
            }
            // What it owns from now on it has only added to: all else of it was the owner's.
            (Some(landed), prior, Some(live)) if landed.shared && !desired.shared => match prior {
                Some(prior @ Prior::Adopted(_)) => (*prior).clone(),
                _ => Prior::Adopted(Box::new(live.clone())),
            },
            (Some(landed), ..) => Prior::Landed(Box::new((*landed).clone())),
            (None, Some(prior), _) => (*prior).clone(),
            (None, None, Some(live)) => Prior::Adopted(Box::new(live.clone())),
            (None, None, None) => Prior::Absent,
        };
        let action = if live.is_some() { Action::Configure } else { Action::Create };
        Change { desired, prior, action, proof: Proof::Pending, cleans: false }
    }
}

/// Writes the controller's ownerReference.
pub(crate) fn own(desired: &mut Desired, uid: &str) {
    let Some(owner) = desired.owner.clone() else { return };
    let reference = serde_json::json!([{
        "apiVersion": owner.gvk.api_version(), "kind": owner.gvk.kind, "name": owner.name, "uid": uid,
        "controller": true, "blockOwnerDeletion": true,
    }]);
    desired.object.metadata().insert("ownerReferences".into(), reference);
}

/// Group, kind and scope that a CustomResourceDefinition makes known.
fn defined_kind(object: &Object) -> Option<((String, String), Scope)> {
    if object.kind() != "CustomResourceDefinition" {
        return None;
    }
    let scope = if object.text("/spec/scope") == Some("Cluster") { Scope::Cluster } else { Scope::Namespaced };
    let group = object.text("/spec/group")?.to_owned();
    Some(((group, object.text("/spec/names/kind")?.to_owned()), scope))
}

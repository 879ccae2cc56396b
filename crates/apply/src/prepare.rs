//! [`Plan`] -> [`Prepared`]: the server's dry run of every object, all failures gathered. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{self, StreamExt as _};
use manifest::{Object, ObjectId};
use serde_json::Value;

use crate::change::{Action, Change, Landing, Proof, Stale, Step};
use crate::cleanup::{self, Cleanup};
use crate::cluster::{Call, Cluster, ClusterError, Reference};
use crate::definitions::{Definitions, Judge};
use crate::desired::{Behaviour, Candidate, Declarer, Desired, Policy};
use crate::diff::{self, Diff};
use crate::gate::{Gates, is_of_api};
use crate::journal::Failed;
use crate::plan::{self, Base, Look, PARALLEL, Plan};
use crate::prune::is_withdrawn;
use crate::report::{Failure, Step as At};
use crate::stamp::Seal;

/// Namespace for dry runs of objects whose own namespace comes with the same landing.
const STAND_IN: &str = "default";

/// A landing of which every object is known to be acceptable. Only this can be committed.
pub struct Prepared {
    pub(crate) landing: Landing,
    diffs: Diffs,
}

impl Prepared {
    /// What it will do.
    pub fn landing(&self) -> &Landing {
        &self.landing
    }

    /// What would change in an object; secret bytes only as same or changed. `None` for an object that stays as it is.
    pub fn diff(&self, reference: &Reference) -> Option<&Diff> {
        self.diffs.get(reference)
    }
}

/// Plans a candidate and tries it on the server: everything between a compile and the first write. What fails is held with
/// its parcel and with what depends on that; the landing is of the others, and tells what it holds and why.
///
/// What the unit wants for the first time is rarely there already: it is not read, since a dry run answers without a
/// resourceVersion for what it would create. Where one answers otherwise, or fails, all is planned anew with what is live.
///
/// # Errors
/// All failures in one pass, when they hold every parcel: what could not be compiled or planned, and what the server
/// refuses of the rest. Also when something cannot be asked, and when what is to be held was written by a landing that has
/// not ended: that is undone whole, or not at all.
pub fn propose<'a>(
    candidate: Candidate,
    behaviour: Behaviour,
    base: &'a Base,
    cluster: &'a Arc<dyn Cluster>,
    seal: Seal<'a>,
) -> BoxFuture<'a, Result<Prepared, Vec<Failure>>> {
    proposed(candidate, behaviour, base, cluster, seal).boxed()
}

async fn proposed(
    candidate: Candidate,
    behaviour: Behaviour,
    base: &Base,
    cluster: &Arc<dyn Cluster>,
    seal: Seal<'_>,
) -> Result<Prepared, Vec<Failure>> {
    let (mut landing, mut diffs, mut failures) = match presuming(&candidate, &behaviour, base, cluster, seal).await {
        Some((landing, diffs)) => (landing, diffs, Vec::new()),
        None => knowing(candidate, behaviour, base, cluster, seal).await?,
    };
    landing.wants = wants(&landing, seal);
    failures.extend(failed_before(&landing, base));
    let held = landing.parcels.held_by(&failures);
    let is_held = |change: &Change| landing.parcels.is_in(&change.desired.object.id(), &held);
    let is_gone = |stale: &Stale| landing.parcels.is_in(&stale.reference.id(), &held);
    let begun = base.superseded.iter();
    let holds_what_is_begun =
        begun.clone().flat_map(Landing::begun).any(is_held) || begun.flat_map(Landing::deleted_early).any(is_gone);
    if held.len() == landing.parcels.count() || holds_what_is_begun {
        return Err(failures);
    }
    let landing = Landing { failures, ..landing.holding(&held) };
    diffs.retain(|at, _| !landing.holds(&at.id()));
    Ok(Prepared { landing, diffs })
}

/// Plans and tries with the presumption that what is unknown is not there; `None` where that proves wrong, or anything fails.
async fn presuming(
    candidate: &Candidate,
    behaviour: &Behaviour,
    base: &Base,
    cluster: &Arc<dyn Cluster>,
    seal: Seal<'_>,
) -> Option<(Landing, Diffs)> {
    if !candidate.failures.is_empty() || plan::unknown(candidate, base).next().is_none() {
        return None;
    }
    let plan = plan::attempt(candidate.clone(), behaviour.clone(), base, cluster, seal, Look::AtKnown).await.ok()?;
    let (landing, diffs, failures) = try_all(plan, cluster).await;
    failures.is_empty().then_some((landing, diffs))
}

/// Plans and tries with everything that is live. What cannot be planned is left out, and the rest is planned all the same.
async fn knowing(
    mut candidate: Candidate,
    behaviour: Behaviour,
    base: &Base,
    cluster: &Arc<dyn Cluster>,
    seal: Seal<'_>,
) -> Result<(Landing, Diffs, Vec<Failure>), Vec<Failure>> {
    let mut failures = std::mem::take(&mut candidate.failures);
    let mut parted = None;
    let plan = loop {
        let unplanned = match plan::attempt(candidate, behaviour.clone(), base, cluster, seal, Look::AtAll).await {
            Ok(plan) => break plan,
            Err(unplanned) => unplanned,
        };
        failures.extend(unplanned.failures.iter().cloned());
        let cannot_tell = |failure: &Failure| failure.transient || failure.id.is_none();
        if unplanned.failures.iter().any(cannot_tell) {
            return Err(but_for_waiting(failures));
        }
        // What is left out is in a parcel all the same.
        parted.get_or_insert(unplanned.parcels);
        candidate = rest(unplanned.candidate, &unplanned.failures);
    };
    let (mut landing, diffs, refused) = try_all(plan, cluster).await;
    failures.extend(refused);
    landing.parcels = parted.unwrap_or(landing.parcels);
    Ok((landing, diffs, but_for_waiting(failures)))
}

/// A seal over what each parcel wants.
fn wants(landing: &Landing, seal: Seal<'_>) -> Vec<String> {
    if landing.parcels.list().is_empty() {
        return Vec::new();
    }
    let mut texts = vec![String::new(); landing.parcels.count()];
    for change in landing.changes() {
        let object = &change.desired.object;
        if let Some(text) = landing.parcels.number_of(&object.id()).and_then(|number| texts.get_mut(number)) {
            text.push_str(&object.value().to_string());
        }
    }
    texts.iter().map(|text| seal(text.as_bytes())).collect()
}

/// Why parcels failed that are wanted again as they were.
fn failed_before(landing: &Landing, base: &Base) -> Vec<Failure> {
    let again = base.failed.iter().filter(|failed| landing.wants.contains(&failed.wanted));
    again.flat_map(Failed::failures).collect()
}

/// A candidate without what has failed. Never the same again: each round is smaller.
fn rest(mut candidate: Candidate, failures: &[Failure]) -> Candidate {
    let has_failed = |desired: &Desired| failures.iter().any(|f| f.id.as_ref() == Some(&desired.object.id()));
    candidate.objects.retain(|desired| !has_failed(desired));
    candidate.releases.retain(|release| !release.objects.iter().any(has_failed));
    candidate
}

/// What else is wrong with an object that waits for another unit mostly follows from that, and is told when it still is so
/// afterwards.
fn but_for_waiting(mut failures: Vec<Failure>) -> Vec<Failure> {
    let waits = failures.iter().filter(|failure| failure.step == At::Depend).filter_map(|failure| failure.id.clone());
    let waits: BTreeSet<_> = waits.collect();
    failures.retain(|failure| failure.step == At::Depend || failure.id.as_ref().is_none_or(|id| !waits.contains(id)));
    failures
}

/// Tries every object on the server without writing it.
///
/// # Errors
/// Every object that the server refuses, or about which it gave no answer.
pub fn prepare(plan: Plan, cluster: &Arc<dyn Cluster>) -> BoxFuture<'_, Result<Prepared, Vec<Failure>>> {
    prepared(plan, cluster).boxed()
}

async fn prepared(plan: Plan, cluster: &Arc<dyn Cluster>) -> Result<Prepared, Vec<Failure>> {
    let (landing, diffs, failures) = try_all(plan, cluster).await;
    if failures.is_empty() { Ok(Prepared { landing, diffs }) } else { Err(failures) }
}

/// What changes, by object.
type Diffs = BTreeMap<Reference, Diff>;

async fn try_all(plan: Plan, cluster: &Arc<dyn Cluster>) -> (Landing, Diffs, Vec<Failure>) {
    let Plan { mut landing, live, mut own_namespaces, own_apis, presumed } = plan;
    own_namespaces.retain(|name| !is_home(&live, name));
    let definitions = &Definitions::of(&landing, &live);
    let (live, own_namespaces, presumed) = (&live, &own_namespaces, &presumed);
    let gates = Gates::of_landing(&landing);
    let (cleanup, webhooks) = (&landing.behaviour.cleanup, &gates.changing(&landing));
    let (own_apis, unserved) = (&own_apis, &gates.unserved(&landing));
    let trial = Trial { cluster, live, definitions, own_namespaces, own_apis, presumed, cleanup, webhooks, unserved };
    let trials: Vec<BoxFuture<'_, _>> = landing.steps.iter_mut().filter_map(|step| trial.of(step)).collect();
    let results: Vec<_> = stream::iter(trials).buffered(PARALLEL).collect().await;
    let mut failures = Vec::new();
    let mut diffs = BTreeMap::new();
    for result in results {
        match result {
            Ok(Some((reference, diff))) => drop(diffs.insert(reference, diff)),
            Ok(None) => {}
            Err(failure) => failures.push(failure),
        }
    }
    (landing, diffs, failures)
}

/// Whether a namespace is there already, so that what is new in it can be tried where it is to live.
fn is_home(live: &BTreeMap<Reference, Object>, namespace: &str) -> bool {
    live.get(&Reference::new("v1", "Namespace", "", namespace)).is_some_and(|live| !live.is_terminating())
}

/// What a trial shows: how an object would change.
type Tried = Result<Option<(Reference, Diff)>, Failure>;

struct Trial<'a> {
    cluster: &'a Arc<dyn Cluster>,
    live: &'a BTreeMap<Reference, Object>,
    definitions: &'a Definitions,
    own_namespaces: &'a BTreeSet<String>,
    own_apis: &'a BTreeSet<String>,
    presumed: &'a BTreeSet<Reference>,
    cleanup: &'a Cleanup,
    /// What messages call webhooks that nobody can ask yet, for each object that they will judge.
    webhooks: &'a BTreeMap<ObjectId, BTreeSet<String>>,
    /// What only the landing itself makes the server know.
    unserved: &'a BTreeSet<ObjectId>,
}

impl Trial<'_> {
    /// The trial of a step that applies something.
    fn of<'a>(&'a self, step: &'a mut Step) -> Option<BoxFuture<'a, Tried>> {
        match step {
            Step::Apply(change) => Some(self.run(change).boxed()),
            _ => None,
        }
    }

    async fn run(&self, change: &mut Change) -> Tried {
        let reference = change.desired.reference();
        let live = self.live.get(&reference);
        if is_left_alone(&change.desired, live) {
            (change.action, change.proof) = (Action::Skip, Proof::Server);
            return Ok(None);
        }
        let (proof, predicted) = self.try_on_server(change, live).await?;
        let would_be_new = predicted.as_ref().is_some_and(|object| object.resource_version().is_empty());
        if !would_be_new && self.presumed.contains(&reference) {
            return Err(Failure::about(At::Prepare, &change.desired.object, "is there already"));
        }
        change.proof = proof;
        change.cleans = live.is_some_and(|live| self.cleanup.patch(live, &change.desired).is_some());
        let Some(predicted) = predicted else {
            return Ok(Some((reference, diff::between(live, &change.desired.object))));
        };
        if !change.cleans && live.is_some_and(|live| is_same(live, &predicted, &change.desired.manager)) {
            change.action = Action::Unchanged;
            return Ok(None);
        }
        let predicted = self.cleanup.cleaned(predicted, &change.desired);
        let mut diff = diff::between(live, &predicted);
        if let Some(live) = live.filter(|_| change.cleans) {
            let managers = self.cleanup.undone(live, &change.desired.manager);
            diff.note_removed(self.cleanup.added(live, &change.desired));
            diff.note_managers(managers);
        }
        Ok(Some((reference, diff)))
    }

    /// The object as the server would have it, or `None` where the server cannot tell.
    async fn try_on_server(
        &self,
        change: &mut Change,
        live: Option<&Object>,
    ) -> Result<(Proof, Option<Object>), Failure> {
        let desired = &change.desired;
        let needs_stand_in = live.is_none() && self.own_namespaces.contains(desired.object.namespace());
        let object = if needs_stand_in { stood_in(&desired.object) } else { desired.object.clone() };
        let proof = if needs_stand_in { Proof::StandIn } else { Proof::Server };
        let call =
            Call::Apply { object, manager: desired.manager.clone(), force: true, dry_run: true, subresource: None };
        match self.cluster.write(call).await {
            // The stand-in has another name: its prediction would show as a difference.
            Ok(_) if needs_stand_in => Ok((proof, None)),
            Ok(predicted) => Ok((proof, Some(predicted))),
            Err(error) => self.judge(change, live, needs_stand_in, &error).await,
        }
    }

    async fn judge(
        &self,
        change: &mut Change,
        live: Option<&Object>,
        stand_in: bool,
        error: &ClusterError,
    ) -> Result<(Proof, Option<Object>), Failure> {
        let desired = &change.desired;
        if let Judge::Schema(verdict) = self.definitions.judge(&desired.object, error) {
            let refused = |why| format!("its definition, which comes with it, refuses it: {why}");
            return match verdict {
                Ok(()) => Ok((Proof::Schema, None)),
                // What the landing's own webhook fills in first, nobody can judge without it.
                Err(_) if self.webhooks.contains_key(&desired.object.id()) => Ok((Proof::None, None)),
                Err(why) => Err(Failure::about(At::Prepare, &desired.object, refused(why))),
            };
        }
        match error {
            ClusterError::NoKind { .. } | ClusterError::Unavailable { .. }
                if self.unserved.contains(&desired.object.id()) =>
            {
                Ok((Proof::None, None))
            }
            // It is to be available, and may be so in a moment.
            ClusterError::NoKind { .. } if is_of_api(self.own_apis, desired) => {
                Err(Failure { transient: true, ..Failure::refused(At::Prepare, &desired.object, error) })
            }
            ClusterError::Forbidden { .. } if stand_in => Ok((Proof::None, None)),
            _ if self.is_of_own_webhook(&desired.object.id(), error) => Ok((Proof::None, None)),
            ClusterError::Refused { message, .. } if refuses_dry_runs(message) => Ok((Proof::None, None)),
            _ if live.is_some() && desired.force && is_immutable(error) && !is_lossy(desired) => {
                let refused = |error: &ClusterError| Failure::refused(At::Prepare, &desired.object, error);
                if !would_be_made(self.cluster, desired, error).await.map_err(|error| refused(&error))? {
                    return Err(refused(error));
                }
                change.action = Action::Replace;
                Ok((Proof::StandIn, None))
            }
            _ => Err(Failure::refused(At::Prepare, &desired.object, error)),
        }
    }

    /// Whether a webhook speaks that the landing itself brings, or brings anew: what counts is how it judges then.
    fn is_of_own_webhook(&self, id: &ObjectId, error: &ClusterError) -> bool {
        let Some(names) = self.webhooks.get(id) else { return false };
        let told = error.to_string();
        names.iter().any(|name| told.contains(name))
    }
}

/// Whether an object that the server refuses where it lives may be brought back in the place of what lives there now, which
/// a landing of the unit has made anew.
pub(crate) async fn may_return(
    cluster: &Arc<dyn Cluster>,
    landed: &Desired,
    refusal: &ClusterError,
) -> Result<bool, ClusterError> {
    Ok(is_immutable(refusal) && !is_lossy(landed) && would_be_made(cluster, landed, refusal).await?)
}

/// Whether the server would take the object if it were not there: only then may the live one be deleted for it. It is
/// tried beside the live one, which may hold what only one can have, such as a port: a refusal that is about other
/// fields than the first comes of that.
async fn would_be_made(
    cluster: &Arc<dyn Cluster>,
    desired: &Desired,
    refusal: &ClusterError,
) -> Result<bool, ClusterError> {
    let (object, manager) = (renamed(&desired.object), desired.manager.clone());
    let call = Call::Apply { object, manager, force: true, dry_run: true, subresource: None };
    match cluster.write(call).await {
        Ok(_) => Ok(true),
        Err(ClusterError::Refused { fields, .. }) => {
            let first = fields_of(refusal);
            Ok(!first.is_empty() && !fields.is_empty() && !fields.iter().any(|field| first.contains(field)))
        }
        Err(error) => Err(error),
    }
}

/// Objects that their annotations take out of our hands, in Git or where they live.
pub(crate) fn is_left_alone(desired: &Desired, live: Option<&Object>) -> bool {
    if desired.declarer == Declarer::Unit && live.is_some_and(is_withdrawn) {
        return true;
    }
    match desired.policy {
        Policy::Ignore | Policy::Untouched => true,
        Policy::IfNotPresent => live.is_some(),
        Policy::Override | Policy::Merge => false,
    }
}

/// The object under a name and namespace that cannot meet a real one.
fn stood_in(object: &Object) -> Object {
    let mut object = renamed(object);
    object.set_namespace(STAND_IN);
    object
}

/// The object under a name that cannot meet a real one.
fn renamed(object: &Object) -> Object {
    let mut object = object.clone();
    let name: String = format!("lockstep-dry-run-{}", object.name()).chars().take(63).collect();
    object.metadata().insert("name".into(), name.trim_end_matches(['-', '.']).into());
    object
}

/// The fields that a refusal is about.
fn fields_of(error: &ClusterError) -> &[String] {
    match error {
        ClusterError::Refused { fields, .. } => fields,
        _ => &[],
    }
}

/// The server's words for a webhook whose side effects forbid dry runs (apiserver `NewDryRunUnsupportedErr`).
fn refuses_dry_runs(message: &str) -> bool {
    message.contains("does not support dry run")
}

/// Flux's rule for errors that `force` answers with a new object (fluxcd/pkg/ssa `IsImmutableError`). A policy that says no
/// without a word about fields is none of them: nothing is deleted because it could not be written just now.
fn is_immutable(error: &ClusterError) -> bool {
    match error {
        ClusterError::Refused { message, fields, .. } => !fields.is_empty() || message.contains("immutable"),
        ClusterError::Conflict { message, .. } => message.contains("immutable"),
        _ => false,
    }
}

/// Kinds whose replacement would lose what they hold, `force` or not.
fn is_lossy(desired: &Desired) -> bool {
    crate::order::is_irreplaceable(&desired.object.gvk())
}

/// Whether the live object is what the apply would make of it: same content, and the fields are ours already.
fn is_same(live: &Object, predicted: &Object, manager: &str) -> bool {
    is_ours(live, manager) && diff::is_same(live, predicted)
}

fn is_ours(live: &Object, manager: &str) -> bool {
    let entries = live.value().pointer("/metadata/managedFields").and_then(Value::as_array);
    entries.into_iter().flatten().any(|entry| cleanup::is_apply_of(entry, manager))
}

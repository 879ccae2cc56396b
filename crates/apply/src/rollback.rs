//! Brings the objects of an open landing back to what they were, in the reverse of the commit's order: a workload gets
//! its old template before its Secret gets its old bytes, so that no template is ever newer than its Secret.
//!
//! **Guarantees.** Only what this landing wrote is touched, and Secrets of the workloads among it that others have deleted:
//! an object that is there but does not carry our field manager was made by others and stays. What others have deleted of
//! what the landing had adopted stays gone. Namespaces, claims, volumes and CRDs are never deleted: they are left in place.
//! Undoing may be repeated.
//!
//! **Caveat.** Under `force` nobody can tell whether others or the landing itself have deleted an adopted object: it comes
//! back. So does one to which others have added something after the landing had made it anew.

use std::collections::BTreeSet;
use std::time::Duration;

use manifest::{Object, ObjectId};
use serde_json::{Map, Value};

use crate::cluster::{Call, ClusterError, Propagation, Reference};
use crate::commit;
use crate::context::{Context, Progress};
use crate::desired::{Desired, Policy, Put, Reading};
use crate::gate::{Gate, Gates};
use crate::guest;
use crate::order;
use crate::plan::{Change, Landing, Prior, Stale, Step};
use crate::prepare;
use crate::reads;
use crate::report::{Failure, Step as At};
use crate::set;
use crate::share::{self, Ruling};

/// What undoing could not or would not undo.
#[derive(Default)]
pub(crate) struct Undone {
    /// Objects that stay although the landing made them.
    pub(crate) left_in_place: Vec<Reference>,
    /// Objects that could not be brought back.
    pub(crate) failures: Vec<Failure>,
}

/// Undoes every step of these parcels; a step that fails does not keep the others from being undone, but for the Secrets
/// of a workload that still has its new template: they keep their new bytes until it is undone, too. `last_good` is what
/// landed before.
pub(crate) async fn undo(
    landing: &Landing,
    parcels: &BTreeSet<usize>,
    last_good: Option<&Landing>,
    ctx: &Context<'_>,
) -> Undone {
    let mut undone = Undone::default();
    let mut awaited = Awaited::default();
    let deadline = ctx.clock.now() + landing.behaviour.timeout;
    for (guest, failure) in guest::take_back(landing, parcels, ctx, deadline).await {
        let names = guest.secrets.iter().map(|name| (guest.workload.namespace.clone(), name.clone()));
        awaited.secrets.extend(names);
        undone.failures.push(failure);
    }
    for stale in landing.deleted_early_by(parcels).0.into_iter().rev() {
        let deadline = ctx.clock.now() + landing.behaviour.timeout;
        undone.failures.extend(bring_back(stale, ctx, deadline).await.err());
    }
    let is_meant = |step: &&Step| step.id().is_some_and(|id| landing.parcels.is_in(&id, parcels));
    let steps: Vec<&Step> = landing.to_undo().into_iter().rev().filter(is_meant).collect();
    let gates = Gates::of(steps.iter().filter_map(|step| step.change()).map(|change| &change.desired.object));
    let mut unasked: Vec<&Gate> = gates.all.iter().collect();
    let first = gates.come_with_their_api(&steps);
    for step in gates.undone(steps, &first) {
        let is_asked = step.change().is_some_and(Change::is_written);
        if let Some(id) = step.id().filter(|id| is_asked && !first.contains(id)) {
            for gate in unasked.extract_if(.., |gate| gate.judged.contains(&id)) {
                until_served(gate, landing, ctx).await;
            }
        }
        let deadline = ctx.clock.now() + landing.behaviour.timeout;
        let result = match step {
            Step::Apply(change) if awaited.holds(change) => Ok(()),
            Step::Apply(change) if change.is_written() => {
                let result = match secrets_first(change, last_good, ctx, deadline).await {
                    Ok(()) => undo_change(change, landing, ctx, deadline, &mut undone).await,
                    Err(error) => Err(error),
                };
                awaited.note(change, landing, result.is_err());
                result.map_err(|error| Failure::refused(At::Undo, &change.desired.object, &error))
            }
            Step::Put(put) => {
                let result = undo_record(put, ctx, deadline).await;
                result.map_err(|error| Failure::refused(At::Undo, &put.object, &error))
            }
            // A hook's effects are beyond us; the plan says so.
            Step::Apply(_) | Step::Hook(_) | Step::Await(..) => Ok(()),
        };
        undone.failures.extend(result.err());
    }
    undone
}

/// What others have deleted comes back in the order of a commit: Secrets that are gone, with what owns them, before the
/// template that read them. The landing may not want them any more.
async fn secrets_first(
    change: &Change,
    last_good: Option<&Landing>,
    ctx: &Context<'_>,
    deadline: Duration,
) -> Result<(), ClusterError> {
    let Prior::Landed(workload) = &change.prior else { return Ok(()) };
    let read = reads::secrets(&workload.object);
    let is_read = |object: &Object| {
        object.is_secret() && object.namespace() == workload.object.namespace() && read.contains_key(object.name())
    };
    let all = || last_good.into_iter().flat_map(Landing::changes).map(|change| &change.desired);
    let secrets: Vec<&Desired> = all().filter(|desired| is_read(&desired.object)).collect();
    let owners: BTreeSet<&Reference> = secrets.iter().filter_map(|secret| secret.owner.as_ref()).collect();
    let owners = all().filter(|desired| owners.contains(&desired.reference()));
    for landed in owners.chain(secrets.iter().copied()) {
        let at = landed.reference();
        let is_left = landed.policy == Policy::Ignore || ctx.others.ruling(&at) == Ruling::Theirs;
        if !is_left && ctx.read(&at, deadline).await?.is_none() {
            restore_landed(landed, landed.force, ctx, deadline).await?;
        }
    }
    Ok(())
}

/// Waits until the workloads of a webhook are ready again, as they were: what it judges goes back through it. Those that
/// the landing has made are gone by now, and so is the webhook.
async fn until_served(gate: &Gate, landing: &Landing, ctx: &Context<'_>) {
    let back = |ids: &BTreeSet<ObjectId>| -> Vec<Reference> {
        let is_back = |change: &&Change| {
            ids.contains(&change.desired.object.id()) && change.is_written() && !matches!(change.prior, Prior::Absent)
        };
        landing.begun().filter(is_back).map(|change| change.desired.reference()).collect()
    };
    let servers = back(&gate.servers);
    // An API is as available as its workload, written or not.
    let is_api = |change: &&Change| gate.apis.contains(&change.desired.object.id());
    let apis = landing.changes().filter(is_api).map(|change| change.desired.reference());
    let apis: Vec<Reference> = if servers.is_empty() { back(&gate.apis) } else { apis.collect() };
    for (targets, reading) in [(servers, Reading::Unit), (apis, Reading::Served)] {
        if !targets.is_empty() {
            // Ready or not, what follows is tried as long as it may take.
            ctx.wait(&targets, reading, landing.behaviour.timeout).await;
        }
    }
}

/// Makes anew what was deleted before health was awaited. It comes first: what is undone afterwards may need it.
async fn bring_back(stale: &Stale, ctx: &Context<'_>, deadline: Duration) -> Result<(), Failure> {
    let Some(landed) = stale.landed.as_deref().filter(|_| ctx.others.ruling(&stale.reference) != Ruling::Theirs) else {
        return Ok(());
    };
    let made = async {
        match ctx.read(&stale.reference, deadline).await? {
            Some(live) if !live.is_terminating() => return Ok(()),
            Some(_) => commit::until_gone(&stale.reference, ctx, deadline).await?,
            None => {}
        }
        if let Err(error) = commit::apply(landed, ctx, deadline).await {
            return unless_homeless(error, &landed.object, ctx, deadline).await;
        }
        ctx.tell(Progress::Restored(landed.object.id()));
        Ok(())
    };
    made.await.map_err(|error| Failure::refused(At::Undo, &landed.object, &error))
}

/// Gives back to others what a superseded landing had adopted and this one does not want.
pub(crate) async fn give_back(landing: &Landing, ctx: &Context<'_>) -> Vec<Failure> {
    let wanted: BTreeSet<ObjectId> = landing.changes().map(|change| change.desired.object.id()).collect();
    let is_theirs =
        |change: &&Change| matches!(change.prior, Prior::Adopted(_)) && !wanted.contains(&change.desired.object.id());
    let deadline = ctx.clock.now() + landing.behaviour.timeout;
    let mut undone = Undone::default();
    for change in landing.past_changes().filter(is_theirs) {
        let result = undo_change(change, landing, ctx, deadline, &mut undone).await;
        let failed = result.map_err(|error| Failure::refused(At::Prune, &change.desired.object, &error)).err();
        undone.failures.extend(failed);
    }
    undone.failures
}

/// Secrets that workloads read which could not be brought back, and what owns those Secrets.
#[derive(Default)]
struct Awaited {
    /// Namespace and name.
    secrets: BTreeSet<(String, String)>,
    owners: BTreeSet<ObjectId>,
}

impl Awaited {
    fn note(&mut self, change: &Change, landing: &Landing, has_failed: bool) {
        if !has_failed {
            return;
        }
        // Its live template may be that of a landing that this one supersedes.
        let is_same = |past: &&Change| past.desired.object.id() == change.desired.object.id();
        for begun in landing.past_changes().filter(is_same).chain([change]) {
            let object = &begun.desired.object;
            let secrets = reads::secrets(object).into_keys();
            self.secrets.extend(secrets.map(|name| (object.namespace().to_owned(), name)));
        }
    }

    fn holds(&mut self, change: &Change) -> bool {
        let Desired { object, owner, .. } = &change.desired;
        let is_read = || self.secrets.contains(&(object.namespace().to_owned(), object.name().to_owned()));
        if object.is_secret() && is_read() {
            self.owners.extend(owner.as_ref().map(Reference::id));
            return true;
        }
        self.owners.contains(&object.id())
    }
}

async fn undo_change(
    change: &Change,
    landing: &Landing,
    ctx: &Context<'_>,
    deadline: Duration,
    undone: &mut Undone,
) -> Result<(), ClusterError> {
    let id = change.desired.object.id();
    let is_replaced = landing.may_have_replaced(change);
    match &change.prior {
        // Another unit has it by now.
        Prior::Absent if ctx.others.ruling(&change.desired.reference()) == Ruling::Theirs => return Ok(()),
        Prior::Absent => {
            if !remove(&change.desired, ctx, deadline).await? {
                undone.left_in_place.push(change.desired.reference());
                return Ok(());
            }
        }
        Prior::Landed(landed) => restore_landed(landed, is_replaced || landed.force, ctx, deadline).await?,
        Prior::Adopted(_) if change.desired.shared => {
            if let Some(live) = ctx.read(&change.desired.reference(), deadline).await? {
                share::release(&live, &change.desired.manager, ctx, deadline).await?;
            }
        }
        // Others have deleted it. What the landing has made in its place is as if nothing had been there.
        Prior::Adopted(image) if !is_replaced && is_over(image, &change.desired, ctx, deadline).await? => {
            if !remove(&change.desired, ctx, deadline).await? {
                undone.left_in_place.push(change.desired.reference());
                return Ok(());
            }
        }
        Prior::Adopted(image) => {
            let image = landing.behaviour.cleanup.cleaned(image.as_ref().clone(), &change.desired);
            restore_adopted(&image, &change.desired, is_replaced, ctx, deadline).await?;
        }
    }
    if (id.group.as_str(), id.kind.as_str()) == ("apps", "StatefulSet") {
        set::free(&change.desired.reference(), ctx, deadline).await?;
    }
    ctx.tell(Progress::Restored(id));
    Ok(())
}

/// Deletes what the landing made; `false` when it must stay.
async fn remove(desired: &Desired, ctx: &Context<'_>, deadline: Duration) -> Result<bool, ClusterError> {
    let at = desired.reference();
    let live = match ctx.read(&at, deadline).await {
        Ok(live) => live,
        // Its kind went with the landing, or never came.
        Err(ClusterError::NoKind { .. } | ClusterError::NotFound { .. }) => None,
        Err(error) => return Err(error),
    };
    let Some(live) = live.filter(|live| is_made_by(live, &desired.manager)) else { return Ok(true) };
    if order::is_irreplaceable(&live.gvk()) {
        return Ok(false);
    }
    commit::delete(&at, Propagation::Background, ctx, deadline).await?;
    Ok(true)
}

fn is_made_by(live: &Object, manager: &str) -> bool {
    entries(live).any(|entry| entry["manager"] == manager)
}

/// Who holds fields of an object, but for those of its status.
fn holders(live: &Object) -> impl Iterator<Item = &str> {
    let own = entries(live).filter(|entry| entry.get("subresource").is_none());
    own.filter_map(|entry| entry.get("manager").and_then(Value::as_str))
}

fn entries(live: &Object) -> impl Iterator<Item = &Value> {
    live.value().pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten()
}

async fn restore_landed(
    landed: &Desired,
    is_replaced: bool,
    ctx: &Context<'_>,
    deadline: Duration,
) -> Result<(), ClusterError> {
    match commit::apply(landed, ctx, deadline).await {
        Ok(()) => Ok(()),
        Err(error) if is_replaced && prepare::may_return(&ctx.cluster, landed, &error).await? => {
            commit::replace(landed, ctx, deadline).await
        }
        // Somebody has deleted its owner, and it with that: both come back when drift is looked for.
        Err(ClusterError::NotFound { id, .. }) if landed.owner.as_ref().is_some_and(|owner| owner.id() == id) => Ok(()),
        Err(error) => unless_homeless(error, &landed.object, ctx, deadline).await,
    }
}

/// Nothing can be brought back into a namespace that is gone, or going: what landed in it comes back with it, when
/// drift is looked for.
async fn unless_homeless(
    error: ClusterError,
    object: &Object,
    ctx: &Context<'_>,
    deadline: Duration,
) -> Result<(), ClusterError> {
    let has_home = !object.namespace().is_empty();
    if !has_home || !matches!(error, ClusterError::NotFound { .. } | ClusterError::Forbidden { .. }) {
        return Err(error);
    }
    let home = ctx.read(&Reference::new("v1", "Namespace", "", object.namespace()), deadline).await?;
    if home.is_some_and(|home| !home.is_terminating()) { Err(error) } else { Ok(()) }
}

/// Whether an adopted object is not there any more, and at the most what the landing alone has made in its place.
async fn is_over(
    image: &Object,
    desired: &Desired,
    ctx: &Context<'_>,
    deadline: Duration,
) -> Result<bool, ClusterError> {
    let Some(live) = ctx.read(&Reference::of(image), deadline).await? else { return Ok(true) };
    Ok(live.uid() != image.uid() && holders(&live).all(|manager| manager == desired.manager))
}

/// Puts an adopted object back, also where it was made anew.
async fn restore_adopted(
    image: &Object,
    desired: &Desired,
    is_replaced: bool,
    ctx: &Context<'_>,
    deadline: Duration,
) -> Result<(), ClusterError> {
    let Err(error) = restore_image(image, &desired.manager, ctx, deadline).await else { return Ok(()) };
    let adopted = Desired { object: unborn(image), ..desired.clone() };
    if !is_replaced || !prepare::may_return(&ctx.cluster, &adopted, &error).await? {
        return Err(error);
    }
    commit::remove(&adopted.reference(), ctx, deadline).await?;
    put_back(&adopted.object, &adopted.manager, ctx, deadline).await
}

/// Puts an adopted object back as it was found, but for what other tools left on it. What is restored is `manager`'s, so
/// that the landing that succeeds drops what it does not declare.
async fn restore_image(
    image: &Object,
    manager: &str,
    ctx: &Context<'_>,
    deadline: Duration,
) -> Result<(), ClusterError> {
    let at = Reference::of(image);
    loop {
        let Some(live) = ctx.read(&at, deadline).await? else {
            return put_back(&unborn(image), manager, ctx, deadline).await;
        };
        // What we have not written is as others want it, who may have changed it since.
        if live.resource_version() == image.resource_version() || !is_made_by(&live, manager) {
            return Ok(());
        }
        let mut image = image.clone();
        keep_of_others(&mut image, &live, manager);
        image.metadata().insert("resourceVersion".into(), live.resource_version().into());
        image.metadata().insert("uid".into(), live.uid().into());
        let call = Call::Update { object: image, manager: manager.into(), dry_run: false, subresource: None };
        match ctx.send(call, deadline).await {
            // Somebody, such as its controller, wrote it meanwhile: read again.
            Err(ClusterError::Conflict { .. }) if ctx.clock.now() < deadline => {}
            other => return other.map(drop),
        }
    }
}

/// What others hold of the live object stays theirs: they may have written it after the image was taken. Lists are as in the
/// image.
fn keep_of_others(image: &mut Object, live: &Object, manager: &str) {
    let is_of_others = |entry: &&Value| entry["manager"] != manager && entry.get("subresource").is_none();
    for entry in entries(live).filter(is_of_others) {
        if let Some(fields) = entry.get("fieldsV1").and_then(Value::as_object) {
            keep(fields, image.value_mut(), live.value());
        }
        let list = image.metadata().entry("managedFields").or_insert_with(|| Value::Array(Vec::new()));
        let Some(list) = list.as_array_mut() else { continue };
        list.retain(|known| known["manager"] != entry["manager"] || known["operation"] != entry["operation"]);
        list.push(entry.clone());
    }
}

fn keep(fields: &Map<String, Value>, image: &mut Value, live: &Value) {
    let Some(image) = image.as_object_mut() else { return };
    for (field, below) in fields {
        let Some((name, theirs)) = field.strip_prefix("f:").and_then(|name| Some((name, live.get(name)?))) else {
            continue;
        };
        let below = below.as_object().filter(|below| below.keys().any(|part| part != "."));
        match below {
            None => drop(image.insert(name.to_owned(), theirs.clone())),
            Some(below) if below.keys().any(|part| part.starts_with("f:")) => {
                keep(below, image.entry(name).or_insert_with(|| Value::Object(Map::new())), theirs);
            }
            Some(_) => {}
        }
    }
}

/// An object without what the server gives to each that is made.
fn unborn(image: &Object) -> Object {
    let mut image = image.clone();
    for field in ["uid", "resourceVersion", "managedFields", "creationTimestamp", "generation"] {
        image.metadata().remove(field);
    }
    image
}

async fn put_back(object: &Object, manager: &str, ctx: &Context<'_>, deadline: Duration) -> Result<(), ClusterError> {
    match commit::write_whole(object, manager, ctx, deadline).await {
        Err(error) => unless_homeless(error, object, ctx, deadline).await,
        Ok(()) => Ok(()),
    }
}

async fn undo_record(put: &Put, ctx: &Context<'_>, deadline: Duration) -> Result<(), ClusterError> {
    // A record that is not there was not reached: its release has not begun, and needs no record of its end.
    if ctx.read(&Reference::of(&put.object), deadline).await?.is_none() {
        return Ok(());
    }
    for object in &put.undo {
        put_back(object, &put.manager, ctx, deadline).await?;
    }
    if put.undo_deletes {
        commit::delete(&Reference::of(&put.object), Propagation::Background, ctx, deadline).await?;
    }
    Ok(())
}

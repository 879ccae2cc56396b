//! The writes of a landing, in order. Objects of the same place in the order are written side by side.
//!
//! **Guarantees.** A hook that the journal says has run is not run again; one that this landing has started is awaited,
//! not started anew. Every write may be repeated: after a crash the whole commit runs again.

use std::collections::BTreeSet;
use std::ops::Range;
use std::pin::pin;
use std::time::Duration;

use futures::future::{BoxFuture, Either, FutureExt as _, select};
use futures::stream::{self, StreamExt as _};
use manifest::{Gvk, Object, ObjectId};

use crate::cleanup::{self, Cleanup};
use crate::cluster::{Call, ClusterError, Propagation, Reference, WatchEvent};
use crate::context::{Context, Progress, Waited};
use crate::desired::{Declarer, Desired, Hook, Put, Reading};
use crate::journal::{Journal, Open};
use crate::order;
use crate::parcels::edges;
use crate::plan::{self, Action, Change, Landing, Step};
use crate::report::{Failure, Step as At};
use crate::rival;

/// Writes of one place in the order that are under way at once.
const PARALLEL_WRITES: usize = 8;

/// Annotation on a hook's object that tells which landing made it.
pub const LANDING: &str = "lockstep.dev/landing";

/// Takes steps of one batch, as far as they are not taken back and need nothing of what has failed. Returns what fails.
pub(crate) async fn run(
    open: &Open,
    steps: Range<usize>,
    failed: &[Failure],
    journal: &mut Journal,
    ctx: &Context<'_>,
    deadline: Duration,
) -> Vec<Failure> {
    let landing = &open.landing;
    let is_over = |step: &Step| step.id().is_some_and(|id| landing.parcels.is_in(&id, &open.undone));
    let index = steps.start;
    match &landing.steps[index] {
        Step::Apply(_) => {
            let changes = landing.steps[steps].iter().filter(|step| !is_over(step)).filter_map(Step::change);
            apply_all(changes, failed, landing, ctx, deadline).await
        }
        step if is_over(step) => Vec::new(),
        Step::Put(put) => write_record(put, ctx, deadline).await.err().into_iter().collect(),
        Step::Hook(_) => hook_step(open, index, journal, ctx, deadline).await,
        Step::Await(targets, reading, timeout) => {
            let rest = targets.iter().filter(|at| !landing.parcels.is_in(&at.id(), &open.undone));
            wait_for(rest.cloned().collect(), *reading, *timeout, landing, ctx).await
        }
    }
}

/// How many steps from `start` on can be taken side by side.
pub(crate) fn batch(steps: &[Step], start: usize) -> usize {
    let place = |step: &Step| match step {
        Step::Apply(change) => {
            let declarer = match &change.desired.declarer {
                Declarer::Version(_) => Declarer::Unit,
                other => other.clone(),
            };
            Some((order::place(&change.desired.object.gvk()), declarer))
        }
        _ => None,
    };
    let Some(first) = place(&steps[start]) else { return 1 };
    steps[start..].iter().take_while(|step| place(step).as_ref() == Some(&first)).count()
}

async fn apply_all(
    changes: impl Iterator<Item = &Change>,
    failed: &[Failure],
    landing: &Landing,
    ctx: &Context<'_>,
    deadline: Duration,
) -> Vec<Failure> {
    let cleanup = &landing.behaviour.cleanup;
    let written = changes.filter(|change| change.is_written());
    let writes: Vec<BoxFuture<'_, _>> =
        written.map(|change| apply_one(change, failed, cleanup, ctx, deadline).boxed()).collect();
    let results: Vec<Result<(), Failure>> = stream::iter(writes).buffered(PARALLEL_WRITES).collect().await;
    results.into_iter().filter_map(Result::err).collect()
}

/// Objects that could not be written.
pub(crate) fn unwritten(failed: &[Failure]) -> impl Iterator<Item = (&ObjectId, &Failure)> {
    failed
        .iter()
        .filter(|failure| failure.step == At::Commit)
        .filter_map(|failure| Some((failure.id.as_ref()?, failure)))
}

/// Why an object is not written: one that it needs could not be. A workload would start without its Secret, or with the
/// bytes that it had before. Only where failures end nothing is there anything left to write then.
fn lacks(desired: &Desired, failed: &[Failure]) -> Option<Failure> {
    let mut unwritten = unwritten(failed).peekable();
    unwritten.peek()?;
    let needed = edges::needed(&desired.object);
    let (lacked, why) = unwritten.find(|(id, _)| needed.contains(*id))?;
    let message = format!("not written: {lacked} could not be, which it needs");
    Some(Failure { transient: why.transient, ..Failure::about(At::Commit, &desired.object, message) })
}

/// Writes one change, unless it needs something of what has failed: what other tools left is undone first, an immutable
/// field may replace the object.
pub(crate) async fn apply_one(
    change: &Change,
    failed: &[Failure],
    cleanup: &Cleanup,
    ctx: &Context<'_>,
    deadline: Duration,
) -> Result<(), Failure> {
    let desired = &change.desired;
    if let Some(failure) = lacks(desired, failed) {
        return Err(failure);
    }
    let refused = |error: ClusterError| Failure::refused(At::Commit, &desired.object, &error);
    if change.cleans {
        cleanup::clean(cleanup, desired, ctx, deadline).await.map_err(refused)?;
    }
    let written = match apply(desired, ctx, deadline).await {
        Err(ClusterError::Refused { .. } | ClusterError::Conflict { .. }) if change.action == Action::Replace => {
            replace(desired, ctx, deadline).await
        }
        other => other,
    };
    written.map_err(refused)?;
    ctx.tell(Progress::Wrote(desired.object.id(), change.action));
    Ok(())
}

/// Applies an object with its owner's UID as it is now.
pub(crate) async fn apply(desired: &Desired, ctx: &Context<'_>, deadline: Duration) -> Result<(), ClusterError> {
    let mut desired = desired.clone();
    if let Some(owner) = &desired.owner {
        let live = ctx.read(owner, deadline).await?;
        let missing = || ClusterError::NotFound { id: owner.id(), message: "it owns another object".into() };
        let uid = live.ok_or_else(missing)?.uid().to_owned();
        plan::own(&mut desired, &uid);
    }
    let Desired { object, manager, .. } = desired;
    let call = Call::Apply { object, manager, force: true, dry_run: false, subresource: None };
    ctx.send(call, deadline).await.map(drop)
}

/// Deletes the live object and makes it anew.
pub(crate) async fn replace(desired: &Desired, ctx: &Context<'_>, deadline: Duration) -> Result<(), ClusterError> {
    remove(&desired.reference(), ctx, deadline).await?;
    apply(desired, ctx, deadline).await
}

/// Deletes the live object until it is gone; the pods of a StatefulSet stay for the one that comes in its place.
pub(crate) async fn remove(at: &Reference, ctx: &Context<'_>, deadline: Duration) -> Result<(), ClusterError> {
    let keeps_pods = at.gvk.kind == "StatefulSet";
    let propagation = if keeps_pods { Propagation::Orphan } else { Propagation::Background };
    delete(at, propagation, ctx, deadline).await?;
    until_gone(at, ctx, deadline).await
}

/// Deletes the object that is live now, and no other of the same name.
pub(crate) async fn delete(
    at: &Reference,
    propagation: Propagation,
    ctx: &Context<'_>,
    deadline: Duration,
) -> Result<(), ClusterError> {
    let Some(live) = ctx.read(at, deadline).await? else { return Ok(()) };
    let uid = live.uid().to_owned();
    let is_same = |live: &Object| live.uid() == uid && !live.is_terminating();
    let mut live = Some(live);
    while live.as_ref().is_some_and(is_same) {
        let (at, uid) = (at.clone(), Some(uid.clone()));
        let call = Call::Delete { at: at.clone(), uid, resource_version: None, propagation, dry_run: false };
        match ctx.send(call, deadline).await {
            // Another object may have taken its place, or somebody wrote this one meanwhile: what is there tells.
            Err(ClusterError::Conflict { .. }) if ctx.clock.now() < deadline => {
                ctx.pause().await;
                live = ctx.read(&at, deadline).await?;
            }
            Ok(_) | Err(ClusterError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits until an object that is being deleted is gone. A watch may break or fall silent: the deadline ends the wait then.
pub(crate) async fn until_gone(at: &Reference, ctx: &Context<'_>, deadline: Duration) -> Result<(), ClusterError> {
    let mut events = ctx.cluster.watch(crate::cluster::Selection::one(at));
    let gone = async {
        while let Some(event) = events.next().await {
            match event {
                Ok(WatchEvent::Deleted(_)) => return true,
                // After a gap another object may have its name.
                Ok(WatchEvent::Reset(objects)) if !objects.iter().any(Object::is_terminating) => return true,
                _ => {}
            }
        }
        false
    };
    let rest = deadline.saturating_sub(ctx.clock.now());
    match select(pin!(gone), ctx.clock.sleep(rest)).await {
        Either::Left((true, _)) => Ok(()),
        _ => Err(ClusterError::Unavailable {
            id: Some(at.id()),
            message: "it is still being deleted".into(),
            retry_after: None,
        }),
    }
}

async fn write_record(put: &Put, ctx: &Context<'_>, deadline: Duration) -> Result<(), Failure> {
    write_whole(&put.object, &put.manager, ctx, deadline)
        .await
        .map_err(|error| Failure::refused(At::Commit, &put.object, &error))?;
    ctx.tell(Progress::Wrote(put.object.id(), Action::Configure));
    Ok(())
}

/// Makes the live object exactly `object`, whoever wrote it before.
pub(crate) async fn write_whole(
    object: &Object,
    manager: &str,
    ctx: &Context<'_>,
    deadline: Duration,
) -> Result<(), ClusterError> {
    loop {
        let (object, manager) = (object.clone(), manager.to_owned());
        let call = match ctx.read(&Reference::of(&object), deadline).await? {
            Some(live) => {
                let mut object = object;
                object.metadata().insert("resourceVersion".into(), live.resource_version().into());
                Call::Update { object, manager, dry_run: false, subresource: None }
            }
            None => Call::Create { object, manager, dry_run: false, subresource: None },
        };
        match ctx.send(call, deadline).await {
            // It was made meanwhile, by us before an answer was lost or by another: read again.
            Err(ClusterError::AlreadyExists { .. } | ClusterError::Conflict { .. }) if ctx.clock.now() < deadline => {}
            Err(error) => return Err(error),
            Ok(_) => return Ok(()),
        }
    }
}

/// Runs a hook unless it has run; after the last one of a row, and after one that fails, clears up behind the row.
async fn hook_step(
    open: &Open,
    index: usize,
    journal: &mut Journal,
    ctx: &Context<'_>,
    deadline: Duration,
) -> Vec<Failure> {
    let landing = &open.landing;
    let ran = match &landing.steps[index] {
        Step::Hook(hook) if !open.hooks.contains(&index) => {
            run_hook(hook, index, &landing.input, journal, ctx, deadline).await
        }
        _ => Ok(()),
    };
    if ran.is_ok() && matches!(landing.steps.get(index + 1), Some(Step::Hook(_))) {
        return Vec::new();
    }
    let end = if ran.is_ok() { index + 1 } else { index };
    let cleared = clear_hooks(landing, end, ctx, deadline).await;
    ran.err().into_iter().chain(cleared.err()).collect()
}

async fn run_hook(
    hook: &Hook,
    index: usize,
    landing: &str,
    journal: &mut Journal,
    ctx: &Context<'_>,
    deadline: Duration,
) -> Result<(), Failure> {
    let refused = |error: ClusterError| Failure::refused(At::Commit, &hook.object, &error);
    let at = Reference::of(&hook.object);
    start_hook(hook, &at, &mark(landing, index), ctx, deadline).await.map_err(refused)?;
    let waited = ctx.wait(std::slice::from_ref(&at), Reading::Hook, hook.timeout).await;
    if waited == Waited::Healthy {
        // Before it is deleted: after a crash nothing else would tell that it has run.
        let noted = journal.hook_ran(index).await;
        noted.map_err(|error| Failure::general(At::Journal, error.to_string(), true))?;
        ctx.tell(Progress::Ran(at.id()));
    }
    if waited != Waited::Healthy && hook.delete_failed {
        delete(&at, Propagation::Background, ctx, deadline).await.map_err(refused)?;
    }
    match waited {
        Waited::Healthy => Ok(()),
        Waited::Superseded | Waited::Disturbed => {
            Err(Failure::about(At::Commit, &hook.object, "hook superseded by a newer revision"))
        }
        Waited::Unhealthy { failed, pending } => {
            let why = failed.into_iter().chain(pending).map(|(_, reason)| reason).next().unwrap_or_default();
            Err(Failure::about(At::Commit, &hook.object, format!("hook failed: {why}")))
        }
    }
}

/// Deletes the objects of the hooks right before step `end`, the last one first, as far as they ask for it: only when
/// all of them have run, since one may need what another has made.
async fn clear_hooks(landing: &Landing, end: usize, ctx: &Context<'_>, deadline: Duration) -> Result<(), Failure> {
    for (index, step) in landing.steps[..end].iter().enumerate().rev() {
        let Step::Hook(hook) = step else { break };
        clear_hook(hook, index, &landing.input, ctx, deadline).await?;
    }
    Ok(())
}

/// Deletes the object of a hook that has run, if this landing has made it.
async fn clear_hook(
    hook: &Hook,
    index: usize,
    landing: &str,
    ctx: &Context<'_>,
    deadline: Duration,
) -> Result<(), Failure> {
    let at = Reference::of(&hook.object);
    let refused = |error: ClusterError| Failure::refused(At::Commit, &hook.object, &error);
    let live = ctx.read(&at, deadline).await.map_err(refused)?;
    let is_ours = live.is_some_and(|live| live.annotation(LANDING) == Some(mark(landing, index).as_str()));
    if is_ours && hook.delete_succeeded {
        delete(&at, Propagation::Background, ctx, deadline).await.map_err(refused)?;
    }
    Ok(())
}

/// Value of the annotation by which a hook's object is known as this landing's.
fn mark(landing: &str, index: usize) -> String {
    format!("{landing}/{index}")
}

/// Sees to it that the hook's object of this landing exists.
async fn start_hook(
    hook: &Hook,
    at: &Reference,
    mark: &str,
    ctx: &Context<'_>,
    deadline: Duration,
) -> Result<(), ClusterError> {
    if let Some(live) = ctx.read(at, deadline).await? {
        if live.annotation(LANDING) == Some(mark) {
            return Ok(());
        }
        if !hook.delete_before {
            return Err(ClusterError::AlreadyExists { id: at.id() });
        }
        delete(at, Propagation::Background, ctx, deadline).await?;
        until_gone(at, ctx, deadline).await?;
    }
    let mut object = hook.object.clone();
    object.set_annotation(LANDING, mark);
    let call = Call::Create { object, manager: hook.manager.clone(), dry_run: false, subresource: None };
    match ctx.send(call, deadline).await {
        // Made by us, when an earlier answer was lost: the mark tells.
        Err(ClusterError::AlreadyExists { id }) => match ctx.read(at, deadline).await? {
            Some(live) if live.annotation(LANDING) == Some(mark) => Ok(()),
            _ => Err(ClusterError::AlreadyExists { id }),
        },
        other => other.map(drop),
    }
}

/// Waits for objects that later steps need. Only those that the landing writes can have become unhealthy by it; an API
/// service also by what serves it, which matters where the landing writes objects of it.
async fn wait_for(
    mut targets: Vec<Reference>,
    reading: Reading,
    timeout: Duration,
    landing: &Landing,
    ctx: &Context<'_>,
) -> Vec<Failure> {
    let written: Vec<Reference> = landing.changes().filter(|c| c.is_written()).map(|c| c.desired.reference()).collect();
    let serves = |api: &Reference, at: &Reference| reading == Reading::Served && edges::api_of(&at.gvk) == api.name;
    targets.retain(|target| written.iter().any(|at| at == target && reading != Reading::Served || serves(target, at)));
    if targets.is_empty() {
        return Vec::new();
    }
    let end = ctx.clock.now() + timeout;
    let waited = ctx.wait(&targets, reading, timeout).await;
    if targets.iter().any(|target| target.gvk.kind == "CustomResourceDefinition")
        && let Err(error) = ctx.cluster.call(Call::Discover).await
    {
        return vec![Failure::general(At::Commit, error.to_string(), error.is_transient())];
    }
    let served = written.into_iter().filter(|at| targets.iter().any(|api| serves(api, at)));
    if waited == Waited::Healthy {
        until_known(served.map(|at| at.gvk).collect(), end, ctx).await;
    }
    let mut failures = unhealthy(At::Commit, landing, waited);
    if failures.iter().any(|failure| !failure.transient) {
        failures.retain(|failure| !failure.transient);
    }
    // A release that was not ready in time is taken back, and would be no sooner ready the next time.
    let is_final = matches!(reading, Reading::Release | Reading::ReleaseJobs);
    failures.into_iter().map(|failure| Failure { transient: failure.transient && !is_final, ..failure }).collect()
}

/// Discovers until these kinds are known, or time is up: a server takes notice of an API a moment after it is available.
async fn until_known(mut kinds: BTreeSet<Gvk>, end: Duration, ctx: &Context<'_>) {
    loop {
        let mut unknown = BTreeSet::new();
        for gvk in kinds {
            if !matches!(ctx.cluster.scope(&gvk).await, Ok(Some(_))) {
                unknown.insert(gvk);
            }
        }
        if unknown.is_empty() || ctx.clock.now() >= end {
            return;
        }
        // Whether or not it answers, the kinds are asked for.
        let _ = ctx.cluster.call(Call::Discover).await;
        ctx.pause().await;
        kinds = unknown;
    }
}

/// The failures of a wait, each with the place where its object was declared.
pub(crate) fn unhealthy(step: At, landing: &Landing, waited: Waited) -> Vec<Failure> {
    let find = |id: &ObjectId| landing.changes().map(|c| &c.desired.object).find(|object| object.id() == *id);
    let failure = |id: ObjectId, message: String, transient: bool| Failure {
        step,
        origin: find(&id).and_then(|object| object.origin().cloned()),
        id: Some(id),
        message,
        transient,
    };
    match waited {
        Waited::Healthy | Waited::Superseded | Waited::Disturbed => Vec::new(),
        Waited::Unhealthy { failed, pending } => {
            let explained = |(id, message): (ObjectId, String)| match rival::told(landing, &id) {
                Some(rival) => (id, format!("{message}; {rival}")),
                None => (id, message),
            };
            let [failed, pending] = [failed, pending].map(|all| all.into_iter().map(explained));
            let failed = failed.map(|(id, message)| failure(id, message, false));
            let pending = pending.map(|(id, message)| failure(id, message, true));
            failed.chain(pending).collect()
        }
    }
}

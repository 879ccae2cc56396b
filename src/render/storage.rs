//! What becomes of a release's records when it is installed, upgraded, or when that is undone.
//!
//! The records of an undo are written now, with the time of now: an undo must not depend on anything that may fail.

use apply::desired::{Hook, Put};
use helm::record::{self, History, Release, Status, Written};
use helm::{Action, Event};
use manifest::Object;
use std::time::Duration;

use super::objects::of_hook;
use super::target::Target;
use super::{Error, MANAGER};

/// The records of one operation.
pub struct Records {
    /// Written before anything else.
    pub begin: Vec<Put>,
    /// Written after everything else.
    pub finish: Vec<Put>,
    /// Deleted in the end: those beyond the limit of the history.
    pub excess: Vec<Object>,
}

/// Nanoseconds since 1970.
pub type Now = record::Nanoseconds;

/// The records of bringing `release`, which is the next revision, to the cluster.
///
/// # Errors
/// When a record cannot be packed.
pub fn records(
    mut release: Release,
    action: Action,
    history: &History,
    target: &Target,
    limit: usize,
    now: Now,
) -> Result<Records, record::RecordError> {
    let before = history.current();
    if let Some(before) = before.filter(|_| action == Action::Upgrade) {
        release.first_deployed = before.first_deployed;
        release.labels.clone_from(&before.labels);
    }
    let new = |release: &Release, status: Status, description: String| {
        let release = Release { status, description, ..release.clone() };
        record::encode(&release, Written::Created(now)).map(|object| stored(object, target))
    };
    let changed = |release: &Release, status: Status, description: String| {
        let release = Release { status, description, ..release.clone() };
        record::encode(&release, Written::Modified(now)).map(|object| stored(object, target))
    };
    let put = |object, undo, undo_deletes| Put { object, manager: MANAGER.into(), undo, undo_deletes };
    let mut begin = unlocked(history, target, now)?;
    let mut finish = Vec::new();
    let ran = with_hooks_run(release.clone(), action);
    match action {
        Action::Install => {
            let pending = new(&release, Status::PendingInstall, "Initial install underway".into())?;
            begin.push(put(pending, Vec::new(), true));
            finish.push(put(changed(&ran, Status::Deployed, "Install complete".into())?, Vec::new(), false));
        }
        Action::Upgrade => {
            let mut undo = vec![changed(
                &release,
                Status::Failed,
                format!("Upgrade {:?} failed: the landing was undone", release.name),
            )?];
            if let Some(deployed) = history.deployed() {
                let version = release.version + 1;
                let again = Release { version, last_deployed: Some(now), ..deployed.clone() };
                undo.push(new(&again, Status::Deployed, format!("Rollback to {}", deployed.version))?);
                undo.push(changed(deployed, Status::Superseded, deployed.description.clone())?);
            }
            let pending = new(&release, Status::PendingUpgrade, "Preparing upgrade".into())?;
            begin.push(put(pending, undo, false));
            if let Some(before) = before {
                let superseded = changed(before, Status::Superseded, before.description.clone())?;
                finish.push(put(superseded, Vec::new(), false));
            }
            finish.push(put(changed(&ran, Status::Deployed, "Upgrade complete".into())?, Vec::new(), false));
        }
    }
    let excess = history.excess(limit).map(|old| secret(old, target)).collect();
    Ok(Records { begin, finish, excess })
}

/// The record of an operation that was cut off, ended: nothing else may be under way.
fn unlocked(history: &History, target: &Target, now: Now) -> Result<Vec<Put>, record::RecordError> {
    let Some(last) = history.last().filter(|last| last.status.is_pending()) else { return Ok(Vec::new()) };
    let description = format!("Release unlocked from stale '{}' state", last.status.name());
    let failed = Release { status: Status::Failed, description, ..last.clone() };
    let object = stored(record::encode(&failed, Written::Modified(now))?, target);
    Ok(vec![Put { object, manager: MANAGER.into(), undo: Vec::new(), undo_deletes: false }])
}

/// The same release with the hooks of the operation marked as run. When each ran is not known beforehand.
fn with_hooks_run(mut release: Release, action: Action) -> Release {
    for (hook, run) in &mut release.hooks {
        if events(action).iter().any(|event| hook.events.contains(event)) {
            run.phase = "Succeeded".into();
        }
    }
    release
}

fn events(action: Action) -> [Event; 2] {
    match action {
        Action::Install => [Event::PreInstall, Event::PostInstall],
        Action::Upgrade => [Event::PreUpgrade, Event::PostUpgrade],
    }
}

/// A record in the namespace of records.
fn stored(mut object: Object, target: &Target) -> Object {
    object.set_namespace(&target.storage);
    object
}

/// The Secret of a revision, without its content.
pub fn secret(release: &Release, target: &Target) -> Object {
    Object::unchecked(serde_json::json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": release.secret_name(), "namespace": target.storage},
    }))
}

/// The hooks before and after the objects of an operation, in the order in which they run.
///
/// # Errors
/// When a hook is no object.
pub fn hooks(hooks: &[helm::Hook], action: Action, timeout: Duration) -> Result<(Vec<Hook>, Vec<Hook>), Error> {
    let [before, after] = events(action);
    Ok((hooks_of(hooks, before, timeout)?, hooks_of(hooks, after, timeout)?))
}

/// The hooks of one event, in the order in which they run: by weight, then by name.
///
/// # Errors
/// When a hook is no object.
pub fn hooks_of(hooks: &[helm::Hook], event: Event, timeout: Duration) -> Result<Vec<Hook>, Error> {
    let mut chosen: Vec<&helm::Hook> = hooks.iter().filter(|hook| hook.events.contains(&event)).collect();
    chosen.sort_by(|a, b| (a.weight, &a.manifest.name).cmp(&(b.weight, &b.manifest.name)));
    chosen.into_iter().map(|hook| desired(hook, timeout)).collect()
}

fn desired(hook: &helm::Hook, timeout: Duration) -> Result<Hook, Error> {
    let object = of_hook(hook)?;
    // What a definition's deletion takes along is too much for a hook.
    let is_definition = object.kind() == "CustomResourceDefinition";
    let says = |policy: &str| !is_definition && hook.delete_policies.iter().any(|known| known == policy);
    Ok(Hook {
        object,
        manager: MANAGER.into(),
        delete_before: says("before-hook-creation") || (hook.delete_policies.is_empty() && !is_definition),
        delete_succeeded: says("hook-succeeded"),
        delete_failed: says("hook-failed"),
        timeout,
    })
}

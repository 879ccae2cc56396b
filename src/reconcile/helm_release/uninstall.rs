//! The end of a HelmRelease: its hooks run, its objects are deleted, its records go, or stay when that is asked for.
//!
//! Two landings: the hooks before and the objects, then the hooks after and the records. A hook that fails leaves all
//! that follows undone, and is tried again.

use std::sync::Arc;
use std::time::Duration;

use apply::desired::{Declarer, Put, Release, Removal};
use apply::{Base, Behaviour, Candidate, Cluster, Journal, Outcome, Reference, Selection, WatchEvent};
use futures::StreamExt as _;
use helm::Event as HookEvent;
use helm::record::{self, History, Status, Written};
use jiff::Timestamp;
use manifest::Object;

use super::{FINALIZER, Moment, Told, Turn, tell};
use crate::api::condition::reason;
use crate::landing;
use crate::pipeline::expand;
use crate::reconcile::{Error, goes_with_its_kind};
use crate::render::target::Target;
use crate::render::{MANAGER, recorded, storage};
use crate::status::Next;

/// How long until a failed uninstallation is tried again.
const RETRY: Duration = Duration::from_secs(30);
/// Flux's default for `spec.timeout`.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Uninstalls, and lets the object go. A suspended one leaves its release.
pub(super) async fn finalize(mut turn: Turn<'_>) -> Result<Told, Error> {
    let mut events = Vec::new();
    let is_left = goes_with_its_kind(turn.key, turn.shared).await?;
    if is_left {
        tracing::error!(unit = %turn.key, "nothing is uninstalled: it goes because its kind is deleted");
    }
    if !turn.spec.suspend && !is_left {
        let history = match expand::records(turn.object, &turn.shared.world, turn.user()).await {
            Ok(history) => history,
            Err(problem) => return Ok(failed(&mut turn, &problem.message)),
        };
        if let Some(last) = history.last().cloned() {
            if let Err(problem) = uninstall(&turn, &history).await? {
                return Ok(failed(&mut turn, &tell::uninstalled(&last, Some(&problem)).message));
            }
            events.push(tell::uninstalled(&last, None));
        }
    }
    journal(&turn).await?.forget().await?;
    turn.shared.units.forget(&apply_unit(&turn));
    for event in events {
        turn.shared.recorder.record(turn.key, turn.object, event);
    }
    turn.shared.set_finalizer(turn.key, turn.object, FINALIZER, false).await?;
    Ok(Told::nothing(Next::OnEvent))
}

fn failed(turn: &mut Turn<'_>, message: &str) -> Told {
    let moment = Moment { generation: turn.object.generation(), now: Timestamp::now() };
    let event = tell::not_ready(&mut turn.status, moment, reason::UNINSTALL_FAILED, message);
    Told::status(&turn.status, event.into_iter().collect(), Next::After(RETRY))
}

fn apply_unit(turn: &Turn<'_>) -> crate::unit::Unit {
    crate::unit::Unit::of(&turn.key.reference())
}

async fn journal(turn: &Turn<'_>) -> Result<Journal, Error> {
    let world = &turn.shared.world;
    Ok(Journal::load(world.journals.clone(), &apply_unit(turn).to_string(), world.epoch).await?)
}

/// Everything that uninstalling works with.
struct Work<'a> {
    turn: &'a Turn<'a>,
    history: &'a History,
    last: record::Release,
    target: Target,
    timeout: Duration,
    cluster: Arc<dyn Cluster>,
}

async fn uninstall(turn: &Turn<'_>, history: &History) -> Result<Result<(), String>, Error> {
    let Some(last) = history.last().cloned() else { return Ok(Ok(())) };
    let uninstall = turn.spec.uninstall.clone().unwrap_or_default();
    let timeout = uninstall.timeout.as_ref().or(turn.spec.timeout.as_ref());
    let world = &turn.shared.world;
    let cluster = turn.user().map_or_else(|| world.cluster.clone(), |user| world.cluster.impersonate(&user));
    let target = Target { namespace: last.namespace.clone(), ..Target::of(turn.object, &turn.spec) };
    let timeout = timeout.map_or(TIMEOUT, |timeout| timeout.span());
    let is_gone_already = last.status == Status::Uninstalled;
    let work = Work { turn, history, last, target, timeout, cluster };
    if is_gone_already && uninstall.keep_history {
        return Ok(Ok(()));
    }
    if !is_gone_already
        && let Err(problem) = work.remove_objects(!uninstall.disable_hooks, !uninstall.disable_wait).await?
    {
        return Ok(Err(problem));
    }
    work.remove_records(!uninstall.disable_hooks && !is_gone_already, uninstall.keep_history).await
}

impl Work<'_> {
    fn removal(&self, object: &Object) -> Removal {
        Removal { reference: Reference::of(object), declarer: Declarer::Release(self.turn.object.id()) }
    }

    /// The hooks before, and the objects.
    async fn remove_objects(&self, with_hooks: bool, waits: bool) -> Result<Result<(), String>, Error> {
        let objects = match recorded(&self.last, &self.target) {
            Ok((objects, _)) => expand::placed(objects, &self.target.namespace, &self.cluster).await,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let uninstalling = self.record(Status::Uninstalling, "Deletion in progress (or silently failed)");
        let before = self.stored(self.last.clone());
        let (uninstalling, before) = match (uninstalling, before) {
            (Ok(uninstalling), Ok(before)) => (uninstalling, before),
            (Err(error), _) | (_, Err(error)) => return Ok(Err(error.to_string())),
        };
        let begin = Put { object: uninstalling, manager: MANAGER.into(), undo: vec![before], undo_deletes: false };
        let hooks = match self.hooks(HookEvent::PreDelete, with_hooks).await {
            Ok(hooks) => hooks,
            Err(problem) => return Ok(Err(problem)),
        };
        let release = Release { begin: vec![begin], before: hooks, ..self.empty() };
        let removals = objects.iter().map(|object| self.removal(object)).collect();
        if let Err(problem) = self.land(release, removals).await? {
            return Ok(Err(problem));
        }
        let gone = self.until_gone(&objects);
        if waits && tokio::time::timeout(self.timeout, gone).await.is_err() {
            return Ok(Err("timed out waiting for the deletion of its objects".into()));
        }
        Ok(Ok(()))
    }

    /// The hooks after, and the records.
    async fn remove_records(&self, with_hooks: bool, keeps: bool) -> Result<Result<(), String>, Error> {
        let hooks = match self.hooks(HookEvent::PostDelete, with_hooks).await {
            Ok(hooks) => hooks,
            Err(problem) => return Ok(Err(problem)),
        };
        let mut finish = Vec::new();
        let mut removals = Vec::new();
        if keeps {
            match self.record(Status::Uninstalled, "Uninstallation complete") {
                Ok(object) => {
                    finish.push(Put { object, manager: MANAGER.into(), undo: Vec::new(), undo_deletes: false });
                }
                Err(error) => return Ok(Err(error.to_string())),
            }
        } else {
            let records = self.history.releases().iter().map(|release| storage::secret(release, &self.target));
            removals.extend(records.map(|record| self.removal(&record)));
        }
        self.land(Release { after: hooks, finish, ..self.empty() }, removals).await
    }

    async fn hooks(&self, event: HookEvent, wanted: bool) -> Result<Vec<apply::desired::Hook>, String> {
        if !wanted {
            return Ok(Vec::new());
        }
        let hooks: Vec<helm::Hook> = self.last.hooks.iter().map(|(hook, _)| hook.clone()).collect();
        let hooks = storage::hooks_of(&hooks, event, self.timeout).map_err(|error| error.to_string())?;
        let objects = hooks.iter().map(|hook| hook.object.clone()).collect();
        let objects = expand::placed(objects, &self.target.namespace, &self.cluster).await;
        Ok(hooks.into_iter().zip(objects).map(|(hook, object)| apply::desired::Hook { object, ..hook }).collect())
    }

    fn record(&self, status: Status, description: &str) -> Result<Object, record::RecordError> {
        let deleted = Some(Timestamp::now().as_nanosecond());
        self.stored(record::Release { status, description: description.into(), deleted, ..self.last.clone() })
    }

    fn stored(&self, release: record::Release) -> Result<Object, record::RecordError> {
        let mut object = record::encode(&release, Written::Modified(Timestamp::now().as_nanosecond()))?;
        object.set_namespace(&self.target.storage);
        Ok(object)
    }

    fn empty(&self) -> Release {
        expand::no_release(self.turn.object.id())
    }

    async fn land(&self, release: Release, removals: Vec<Removal>) -> Result<Result<(), String>, Error> {
        let mut journal = journal(self.turn).await?;
        let unit = apply_unit(self.turn);
        let site = landing::Site::alone(self.cluster.clone(), unit);
        landing::resume(&mut journal, &site).await?;
        let releases = vec![release];
        // Another input each time: a hook of an earlier try is another hook.
        let input = format!("uninstall {}", Timestamp::now());
        let candidate = Candidate { revision: "uninstall".into(), input, releases, removals, ..Candidate::default() };
        let behaviour = Behaviour { prune: true, timeout: self.timeout, rollout: false, ..Behaviour::default() };
        let seal = |_: &[u8]| String::new();
        let prepared = apply::propose(candidate, behaviour, &Base::default(), &self.cluster, &seal).await;
        match prepared {
            Ok(prepared) => Ok(verdict(&landing::land(prepared, &mut journal, &site).await?)),
            Err(failures) => Ok(Err(super::texts(&failures))),
        }
    }

    async fn until_gone(&self, objects: &[Object]) {
        let keeps = |object: &Object| object.annotation("helm.sh/resource-policy").is_some_and(|p| p.trim() == "keep");
        for object in objects.iter().filter(|object| !keeps(object)) {
            let mut events = self.cluster.watch(Selection::one(&Reference::of(object)));
            while let Some(event) = events.next().await {
                match event {
                    Ok(WatchEvent::Deleted(_)) | Err(apply::ClusterError::NoKind { .. }) => break,
                    Ok(WatchEvent::Reset(objects)) if objects.is_empty() => break,
                    _ => {}
                }
            }
        }
    }
}

fn verdict(outcome: &Outcome) -> Result<(), String> {
    if outcome.failures.is_empty() { Ok(()) } else { Err(super::texts(&outcome.failures)) }
}

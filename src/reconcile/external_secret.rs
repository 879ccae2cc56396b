//! ExternalSecret: look at the store when it is due; what is new there is the unit's to land.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apply::Behaviour;
use jiff::Timestamp;
use manifest::{Object, ObjectId};
use tokio::time::Instant;

use super::alone::{self, Landed};
use super::{Error, Key, Shared, Told, triggers};
use crate::api::Kind as _;
use crate::api::condition::{Conditions, READY, reason};
use crate::api::secret::{ExternalSecret, ExternalSecretSpec, ExternalSecretStatus};
use crate::pipeline::expand::{Expanded, External, ExternalTold, MISSED, MISSED_ONCE};
use crate::resolve::{refresh, target};
use crate::status::external::{self as tell, Done};
use crate::status::{Event, Next, unsupported_message};
use crate::unit::{Thing, Unit};

mod in_place;

/// External Secrets' finalizer: an object that it worked on before carries it.
const FINALIZER: &str = "externalsecrets.external-secrets.io/externalsecret-cleanup";
/// How soon a store that failed is asked again, at the latest.
const RETRY: Duration = Duration::from_secs(60);
/// How long one that has landed waits until its unit has told so.
const SETTLE: Duration = Duration::from_secs(1);

/// What units found out about their ExternalSecrets, to be told by the ExternalSecrets' own reconciliations; and when
/// each was looked at last.
#[derive(Default)]
pub struct Externals {
    told: Mutex<HashMap<ObjectId, Note>>,
    looked: Mutex<HashMap<ObjectId, Instant>>,
}

/// What is to be told of an ExternalSecret.
#[derive(Clone)]
pub struct Note {
    told: ExternalTold,
    done: Done,
    /// Which version of the ExternalSecret it is about ([`refresh::synced_version`]); `None` where the landing itself made
    /// that version.
    about: Option<String>,
    /// How long the store asks to be left alone.
    pause: Option<Duration>,
    /// As of when its store is known.
    as_of: Instant,
}

impl Note {
    fn new(told: ExternalTold) -> Self {
        Self { told, done: Done::default(), about: None, pause: None, as_of: Instant::now() }
    }

    /// Whether nobody has asked for anything since, as `force-sync` does.
    fn is_about(&self, object: &Object) -> bool {
        self.about.as_ref().is_none_or(|about| *about == refresh::synced_version(object))
    }
}

impl Externals {
    /// A unit has landed with this ExternalSecret; `seen` is the object as it was then, unless the landing wrote it.
    pub fn put(&self, external: &External, done: Done, seen: Option<&Object>) {
        let about = seen.map(refresh::synced_version);
        let note = Note { done, about, as_of: external.as_of, ..Note::new(external.told.clone()) };
        self.keep(external.id.clone(), note);
    }

    fn keep(&self, id: ObjectId, note: Note) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(id, note);
    }

    fn take(&self, id: &ObjectId) -> Option<Note> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).remove(id)
    }

    fn looked(&self, id: &ObjectId, at: Instant) {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), at);
    }

    fn last_look(&self, id: &ObjectId) -> Option<Instant> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner).get(id).copied()
    }
}

/// Reconciles an ExternalSecret.
///
/// # Errors
/// When the API server or the journal fails; everything else is told.
pub(super) async fn reconcile(key: &Key, object: &Object, shared: &Arc<Shared>) -> Result<Told, Error> {
    if object.is_terminating() {
        shared.set_finalizer(key, object, FINALIZER, false).await?;
        return Ok(Told::nothing(Next::OnEvent));
    }
    let mut status = ExternalSecret::status(object).unwrap_or_default();
    let unsupported = ExternalSecret::unsupported(object.value());
    if !unsupported.is_empty() {
        let message = unsupported_message(&unsupported);
        let event = tell::not_ready(&mut status.conditions, reason::UNSUPPORTED, &message, Timestamp::now());
        return Ok(Told::status(&status, event.into_iter().collect(), Next::OnEvent));
    }
    let spec = match ExternalSecret::spec(object) {
        Ok(spec) => spec,
        Err(error) => {
            let told = ExternalTold::Failed(error.to_string());
            return Ok(finish(key, object, status, &Note::new(told), Next::OnEvent, shared));
        }
    };
    let unit = triggers::unit_of(shared, object);
    if let Some(note) = shared.externals.take(&object.id()) {
        let next = next_look(object, &spec, note.as_of, shared);
        if note.is_about(object) {
            return Ok(finish(key, object, status, &note, next, shared));
        }
        return Ok(finish_outdated(key, object, status, note, next, shared).await);
    }
    if !is_due(object, &spec, &status, shared) {
        let passed = shared.externals.last_look(&object.id()).map(|last| last.elapsed()).unwrap_or_default();
        let interval = refresh::interval(&spec).unwrap_or(Duration::MAX);
        return Ok(Told::nothing(Next::After(interval.saturating_sub(passed))));
    }
    if unit == Unit::of(&key.reference()) {
        return stand_alone(key, object, &spec, status, shared).await;
    }
    if in_place::is_suspended(&unit, shared) {
        let Some((told, action, as_of)) = in_place::refresh(object, &unit, shared).await? else {
            return Ok(Told::nothing(Next::After(RETRY)));
        };
        let next = next_look(object, &spec, as_of, shared);
        let next = if matches!(told, ExternalTold::Failed(_)) { Next::After(RETRY) } else { next };
        let done = Done { action, ..Done::default() };
        return Ok(finish(key, object, status, &Note { done, ..Note::new(told) }, next, shared));
    }
    let (note, as_of) = look(object, &unit, shared).await;
    let next = next_look(object, &spec, as_of, shared);
    status_unless_new(key, object, status, note, next, (&unit, shared))
}

/// The store is known as of a moment: when it is to be looked at again.
fn next_look(object: &Object, spec: &ExternalSecretSpec, as_of: Instant, shared: &Shared) -> Next {
    shared.externals.looked(&object.id(), as_of);
    Next::After(refresh::interval(spec).map_or(Duration::MAX, |interval| refresh::rest(interval, as_of.elapsed())))
}

/// Whether the status is about an earlier version of the object.
fn is_behind(object: &Object, status: &ExternalSecretStatus) -> bool {
    status.synced_resource_version.as_deref() != Some(&refresh::synced_version(object))
}

/// Whether its status says that what it asks for now is there.
pub(super) fn is_settled(object: &Object) -> bool {
    let status = ExternalSecret::status(object).unwrap_or_default();
    status.conditions.is_true(READY) && !is_behind(object, &status)
}

/// Whether the unit's last landing has landed and been told.
pub(super) fn has_ended(unit: &Unit, shared: &Shared) -> bool {
    let object = triggers::key_of(unit).and_then(|key| shared.index.get(&key));
    let conditions = object.as_ref().and_then(|object| object.value().pointer("/status/conditions"));
    let conditions = conditions.and_then(|list| serde_json::from_value::<Conditions>(list.clone()).ok());
    conditions.is_some_and(|conditions| conditions.is_true(READY))
}

/// A unit has landed with an earlier version of the object: what it asks for now is looked at, too. When that is news, the
/// unit lands once more, and only then this version counts as synced.
async fn finish_outdated(
    key: &Key,
    object: &Object,
    status: ExternalSecretStatus,
    note: Note,
    next: Next,
    shared: &Arc<Shared>,
) -> Told {
    match look(object, &triggers::unit_of(shared, object), shared).await.0 {
        Some(Note { told: told @ ExternalTold::Failed(_), .. }) => {
            finish(key, object, status, &Note { told, ..note }, Next::After(RETRY), shared)
        }
        Some(_) if is_under_way(&triggers::unit_of(shared, object), shared) => {
            shared.externals.keep(object.id(), note);
            Told::nothing(Next::After(SETTLE))
        }
        Some(_) => finish(key, object, status, &note, next, shared),
        None => Told::nothing(next),
    }
}

/// Whether the unit is at work, or will be as soon as what changes together is gathered.
fn is_under_way(unit: &Unit, shared: &Shared) -> bool {
    let is_awaited = triggers::key_of(unit).is_some_and(|key| shared.queue.is_under_way(&key));
    is_awaited || shared.units.is_gathering(unit).is_some()
}

fn status_unless_new(
    key: &Key,
    object: &Object,
    status: ExternalSecretStatus,
    note: Option<Note>,
    next: Next,
    (unit, shared): (&Unit, &Arc<Shared>),
) -> Result<Told, Error> {
    match note {
        Some(note @ Note { told: ExternalTold::Failed(_), .. }) => {
            let again = Next::After(note.pause.map_or_else(|| soon(next), |pause| pause.max(SETTLE)));
            Ok(finish(key, object, status, &note, again, shared))
        }
        // What was found here or by another may be on its way: it counts as synced once it has landed.
        Some(_) if is_under_way(unit, shared) => Ok(Told::nothing(Next::After(SETTLE))),
        // It works again; or what was asked for has landed already, and a crash kept its unit from telling.
        Some(note) if !status.conditions.is_true(READY) || is_behind(object, &status) && has_ended(unit, shared) => {
            Ok(finish(key, object, status, &note, next, shared))
        }
        // It has a new version and waits for its unit: the unit tells then.
        _ => Ok(Told::nothing(next)),
    }
}

/// Whether the store is to be looked at: as External Secrets decides, but from our own last look, since a look that
/// finds nothing new writes nothing.
fn is_due(object: &Object, spec: &ExternalSecretSpec, status: &ExternalSecretStatus, shared: &Shared) -> bool {
    if !status.conditions.is_true(READY) {
        return true;
    }
    match shared.externals.last_look(&object.id()) {
        Some(last) if !is_behind(object, status) => {
            refresh::interval(spec).is_some_and(|interval| last.elapsed() + Duration::from_millis(50) >= interval)
        }
        _ => refresh::is_due(object, spec, status, Timestamp::now(), |_| true),
    }
}

/// Since when a look is wanted; of anything that is no ExternalSecret: now. One that only its interval asks for takes what
/// another has read a little before ([`refresh::since`]).
pub(super) fn wanted_since(object: &Object, shared: &Shared) -> Instant {
    let key = Key::of(super::Kind::ExternalSecret, object);
    let (since, spec) = (shared.queue.since(&key), ExternalSecret::spec(object).unwrap_or_default());
    let status = ExternalSecret::status(object).unwrap_or_default();
    let is_periodic = status.conditions.is_true(READY) && !is_behind(object, &status);
    refresh::since(since, refresh::interval(&spec).filter(|_| is_periodic).unwrap_or_default())
}

/// Looks at the store for a unit: a version that the unit has not read is an input of it that has changed. Tells as of when
/// that is known, too.
async fn look(object: &Object, unit: &Unit, shared: &Arc<Shared>) -> (Option<Note>, Instant) {
    let live = shared.world.cluster.get(&target::reference(object)).await.ok().flatten();
    let pass = shared.world.resolver.pass_since(None, wanted_since(object, shared));
    let resolved = pass.resolve(object, live.as_ref()).await;
    let as_of = pass.as_of();
    let resolved = match resolved {
        Ok(resolved) => resolved,
        Err(error) => {
            let told = ExternalTold::Failed(error.to_string());
            return (Some(Note { pause: error.retry_after(), ..Note::new(told) }), as_of);
        }
    };
    let (mut has_news, mut is_rotated) = (false, false);
    let unit_read = shared.units.last(unit).map(|(read_set, _)| read_set).unwrap_or_default();
    let missing: BTreeSet<Thing> = resolved.missing.into_iter().map(|missing| missing.thing).collect();
    let is_doubted = |thing: &Thing| missing.contains(thing) && unit_read.version(thing) == Some(MISSED);
    for (thing, version) in resolved.read {
        // Another may have seen it before, and have had its own unit look. What it missed is judged below.
        let is_unread = !is_doubted(&thing) && unit_read.version(&thing).is_some_and(|read| *read != *version);
        let known = shared.units.seen(&thing);
        is_rotated |= is_unread || known.as_ref().is_some_and(|known| *known != version);
        has_news |= is_unread || known.as_ref() != Some(&version);
        shared.units.saw(thing, &version);
    }
    if is_rotated {
        // A landing that waits for health with the version before need not.
        shared.inputs_changed();
    }
    if has_news && let Some(key) = triggers::key_of(unit) {
        // Those that change with it land with it.
        let wait = if is_rotated { shared.units.gather(unit) } else { Duration::ZERO };
        shared.queue.add_after(key, wait);
        return (None, as_of);
    }
    // What is news is seen for the first time by the unit.
    let patience = refresh::patience(&ExternalSecret::spec(object).unwrap_or_default());
    let is_confirmed = shared.world.sightings.are_old(&object.id(), missing.iter(), patience);
    if !missing.iter().any(is_doubted) {
        return (Some(Note::new(ExternalTold::Synced)), as_of);
    }
    if !is_confirmed {
        return (Some(Note::new(ExternalTold::Failed(MISSED_ONCE.into()))), as_of);
    }
    triggers::key_of(unit).into_iter().for_each(|key| shared.queue.add(key));
    (None, as_of)
}

async fn stand_alone(
    key: &Key,
    object: &Object,
    spec: &ExternalSecretSpec,
    status: ExternalSecretStatus,
    shared: &Arc<Shared>,
) -> Result<Told, Error> {
    let behaviour = Behaviour { rollout: false, ..Behaviour::default() };
    let landed = alone::land(object, behaviour, shared).await?;
    let mut as_of = Instant::now();
    let mut told_of = |expanded: Expanded| {
        let external = expanded.externals.into_iter().next()?;
        as_of = external.as_of;
        Some(external.told)
    };
    let nothing = Done::default();
    let (told, done) = match landed {
        Landed::Ended(outcome, expanded) => {
            let failure = outcome.failures.first().map(|failure| ExternalTold::Failed(failure.to_string()));
            let told = told_of(expanded).unwrap_or(ExternalTold::Synced);
            let action = outcome.changed().map(|(_, action)| action).next();
            let done = Done { action, ..Done::of(&outcome).remove(&object.id()).unwrap_or_default() };
            (failure.unwrap_or(told), done)
        }
        Landed::NotExpanded(problems) => {
            (ExternalTold::Failed(problems.iter().map(|p| p.message.clone()).collect::<Vec<_>>().join("; ")), nothing)
        }
        Landed::AtRest(expanded) => (told_of(expanded).unwrap_or(ExternalTold::Synced), nothing),
        // It is told already.
        Landed::Held => return Ok(Told::nothing(Next::After(RETRY))),
        Landed::Refused(failures, _) => {
            (ExternalTold::Failed(failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")), nothing)
        }
    };
    let next = next_look(object, spec, as_of, shared);
    let next = if matches!(told, ExternalTold::Failed(_)) { Next::After(soon(next)) } else { next };
    Ok(finish(key, object, status, &Note { done, ..Note::new(told) }, next, shared))
}

/// When to look again after a failure: with the next look, if that is not far.
fn soon(next: Next) -> Duration {
    match next {
        Next::After(interval) => interval.min(RETRY),
        Next::OnEvent | Next::Retry => RETRY,
    }
}

/// The status and events of what became of it.
fn finish(
    key: &Key,
    object: &Object,
    mut status: ExternalSecretStatus,
    note: &Note,
    next: Next,
    shared: &Arc<Shared>,
) -> Told {
    let now = Timestamp::now();
    let mut events: Vec<Event> = note.done.events(&note.told).collect();
    events.extend(tell::secret(&mut status, &note.told, now));
    let is_ready = !matches!(note.told, ExternalTold::Failed(_));
    if is_ready {
        tell::synced(&mut status, refresh::synced_version(object), target::reference(object).name, now);
    }
    shared.metrics.external_secret_synced(&key.namespace, &key.name, is_ready, Duration::ZERO);
    Told::status(&status, events, next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn external(force_sync: &str) -> Object {
        let metadata =
            json!({"name": "e", "namespace": "n", "generation": 1, "annotations": {"force-sync": force_sync}});
        Object::unchecked(
            json!({"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "metadata": metadata}),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_gets_older_than_the_interval_and_a_request_takes_nothing_that_was_read_before_it() {
        let shared = super::super::tests::shared();
        tokio::time::advance(Duration::from_secs(600)).await;
        let mut value = external("1").value().clone();
        value["spec"] = json!({"refreshInterval": "60s"});
        value["status"] = json!({
            "conditions": [{"type": "Ready", "status": "True"}],
            "syncedResourceVersion": refresh::synced_version(&external("1")),
        });
        let object = Object::unchecked(value.clone());
        let age = |object: &Object| Instant::now() - wanted_since(object, &shared);
        assert_eq!(age(&object), Duration::from_secs(30), "what another has read a little before counts");
        value["metadata"]["annotations"]["force-sync"] = "2".into();
        assert_eq!(age(&Object::unchecked(value)), Duration::ZERO, "somebody wants what is there now");
        let spec = ExternalSecret::spec(&object).unwrap();
        let next = next_look(&object, &spec, Instant::now() - Duration::from_secs(20), &shared);
        assert_eq!(next, Next::After(Duration::from_secs(40)));
    }

    #[tokio::test]
    async fn what_may_still_be_on_its_way_is_not_told_as_synced() {
        let shared = Arc::new(super::super::tests::shared());
        let unit = Unit::kustomization("n", "app");
        let owner = triggers::key_of(&unit).unwrap();
        let ready = json!({"conditions": [{"type": "Ready", "status": "True", "reason": "a", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
        let kustomization = json!({"apiVersion": owner.kind.api_version(), "kind": owner.kind.name(),
            "metadata": {"name": "app", "namespace": "n"}, "status": ready});
        shared.index.put(owner.clone(), Object::unchecked(kustomization));
        let (object, status) = (external("2"), serde_json::from_value::<ExternalSecretStatus>(ready).unwrap());
        let key = Key::of(super::super::Kind::ExternalSecret, &object);
        let told = || {
            let note = Some(Note::new(ExternalTold::Synced));
            let told = status_unless_new(&key, &object, status.clone(), note, Next::OnEvent, (&unit, &shared));
            told.unwrap().status.is_some()
        };
        assert!(told(), "its unit is at rest");
        shared.queue.add(owner);
        assert!(!told(), "its unit will look");
    }

    #[tokio::test]
    async fn a_store_that_says_how_long_it_wants_to_be_left_alone_is_asked_again_then() {
        let shared = Arc::new(super::super::tests::shared());
        let (unit, object) = (Unit::kustomization("n", "app"), external("1"));
        let key = Key::of(super::super::Kind::ExternalSecret, &object);
        let next = |pause: Option<u64>| {
            let failed = Note::new(ExternalTold::Failed("the store asks for fewer requests".into()));
            let note = Some(Note { pause: pause.map(Duration::from_secs), ..failed });
            let hour = Next::After(Duration::from_secs(3600));
            let told = status_unless_new(&key, &object, ExternalSecretStatus::default(), note, hour, (&unit, &shared));
            told.unwrap().next
        };
        for (pause, seconds) in [(None, 60), (Some(3), 3), (Some(0), 1), (Some(300), 300)] {
            assert_eq!(next(pause), Next::After(Duration::from_secs(seconds)), "{pause:?}");
        }
    }

    #[test]
    fn what_a_unit_found_out_does_not_answer_a_request_that_came_later() {
        let externals = Externals::default();
        let found = External { id: external("").id(), told: ExternalTold::Synced, as_of: Instant::now() };
        externals.put(&found, Done::default(), Some(&external("1")));
        let note = externals.take(&found.id).unwrap();
        assert!(note.is_about(&external("1")) && !note.is_about(&external("2")));
        externals.put(&found, Done::default(), None);
        assert!(externals.take(&found.id).unwrap().is_about(&external("1")), "the landing made this version itself");
    }
}

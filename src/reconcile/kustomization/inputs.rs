//! Whether there is anything to do: the versions of what was read, read again.

use std::sync::Arc;

use apply::{ClusterError, Journal, Landing, Reference};
use serde_json::Value;
use tokio::time::Instant;

use super::Turn;
use crate::api::condition::reason;
use crate::landing::Superseded;
use crate::pipeline::sources::{Fetched, SourceName, artifact};
use crate::pipeline::{bases, object_version, spec_version};
use crate::reconcile::Shared;
use crate::reconcile::units::Ended;
use crate::source::base::{Look, Trouble};
use crate::status::Event;
use crate::unit::{ReadSet, Thing};

/// What the last attempt read.
pub(super) struct Known {
    pub(super) read_set: ReadSet,
    /// Whether that is what has landed; else it failed, and deterministically so.
    pub(super) has_landed: bool,
}

/// What the last attempt read, unless it is to be repeated anyway.
pub(super) fn last_read(turn: &Turn<'_>, journal: &Journal) -> Option<Known> {
    match turn.shared.units.last(&turn.unit()) {
        Some((_, Ended::Failed { is_transient: true })) => return None,
        Some((read_set, Ended::Failed { is_transient: false })) => return Some(Known { read_set, has_landed: false }),
        Some((_, Ended::Compiled)) | None => {}
    }
    if let Some(attempt) = journal.attempt() {
        let read_set = ReadSet::from_value(&attempt.read_set);
        return (!attempt.transient).then_some(Known { read_set, has_landed: false });
    }
    // A landing that was superseded has written something else than what landed before it.
    let landed = journal.landed().filter(|_| journal.open().is_none())?;
    Some(Known { read_set: ReadSet::from_value(&landed.read_set), has_landed: true })
}

/// What the last attempt read, where it was refused for good.
pub(super) fn refused(turn: &Turn<'_>) -> Option<ReadSet> {
    let (read_set, ended) = turn.shared.units.last(&turn.unit())?;
    matches!(ended, Ended::Failed { is_transient: false }).then_some(read_set)
}

/// Whether everything that was read is as it was.
pub(super) async fn is_unchanged(turn: &Turn<'_>, source: &Fetched, known: &Known) -> Result<bool, ClusterError> {
    let is_asked = known.read_set.version(&Thing::Spec) == Some(spec_version(turn.object).as_str());
    if !is_asked || !is_built_from(source, known) {
        return Ok(false);
    }
    if turn.shared.world.settings.no_remote_bases
        && known.read_set.iter().any(|(thing, _)| matches!(thing, Thing::Base(_)))
    {
        return Ok(false);
    }
    if turn.until_due().is_zero() {
        look_outside(turn, &known.read_set);
    }
    let is_gathering = turn.shared.units.is_gathering(&turn.unit()).is_some();
    let waits = |thing: &Thing| is_gathering && is_secret(thing);
    let is_own = |thing: &Thing| *thing == source.thing() || matches!(thing, Thing::Paths { .. });
    for (thing, version) in known.read_set.iter().filter(|(thing, _)| !waits(thing) && !is_own(thing)) {
        if !is_at(thing, version, turn.shared).await? {
            tracing::debug!(unit = %turn.unit(), ?thing, "an input has changed");
            return Ok(false);
        }
    }
    Ok(true)
}

impl Turn<'_> {
    /// Tells of what a landing has read outside of its source, and cannot be looked at now.
    pub(super) fn bases_unseen(&self) -> Option<Event> {
        let world = &self.shared.world;
        let bases =
            self.good.iter().filter_map(|(thing, _)| if let Thing::Base(base) = thing { Some(base) } else { None });
        let unseen = bases.filter_map(|base| {
            let trouble = world.bases.last(base)?.map_or_else(Some, |look| look.trouble)?;
            Some(bases::unseen(base, &trouble))
        });
        let unseen: Vec<String> = unseen.collect();
        (!unseen.is_empty()).then(|| Event::warning(reason::ARTIFACT_FAILED, unseen.join("; ")))
    }
}

/// Whether a source's files are those that were read. What failed is tried again with every artifact.
fn is_built_from(source: &Fetched, known: &Known) -> bool {
    if known.read_set.version(&source.thing()) == Some(source.digest.as_str()) {
        return true;
    }
    let files = source.verified.files().as_ref();
    known.has_landed
        && known.read_set.iter().any(|(thing, seen)| match thing {
            Thing::Paths { kind, namespace, name, looks } => {
                (kind, namespace, name) == (&source.name.0, &source.name.1, &source.name.2)
                    && looks.digest(files).as_deref() == Some(seen)
            }
            _ => false,
        })
}

/// What was read by the attempt that failed for good, or else by the last landing.
pub(super) fn tried(journal: &Journal, landed: &Landing) -> ReadSet {
    let attempt = journal.attempt().filter(|attempt| !attempt.transient);
    ReadSet::from_value(attempt.map_or(&landed.read_set, |attempt| &attempt.read_set))
}

/// Whether a thing is a Secret of the cluster.
pub(super) fn is_foreign_secret(thing: &Thing) -> bool {
    matches!(thing, Thing::Object { kind, .. } if kind == "Secret")
}

/// Whether a thing is a secret, of a store or of the cluster.
pub(super) fn is_secret(thing: &Thing) -> bool {
    matches!(thing, Thing::Remote { .. }) || is_foreign_secret(thing)
}

/// Whether any of what `is_meant` has another version than it was read at.
pub(super) async fn has_changed(
    shared: &Shared,
    read_set: &ReadSet,
    is_meant: fn(&Thing) -> bool,
) -> Result<bool, ClusterError> {
    for (thing, version) in read_set.iter().filter(|(thing, _)| is_meant(thing)) {
        if !is_at(thing, version, shared).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Looks, beside the work, at what a unit has read outside of its source: it comes back when something has moved. A look that
/// was made for another unit since the middle of the interval counts.
fn look_outside(turn: &Turn<'_>, read_set: &ReadSet) {
    let Some(since) = Instant::now().checked_sub(turn.interval() / 2) else { return };
    for (thing, version) in read_set.iter() {
        let Thing::Base(base) = thing else { continue };
        let (shared, key, base, version) = (turn.shared.clone(), turn.key.clone(), base.clone(), version.to_owned());
        tokio::spawn(async move {
            if has_moved(&shared.world.bases.look(&base, since).await, &version) {
                shared.queue.add(key);
            }
        });
    }
}

/// Whether a look saw another version. A server that does not answer tells nothing.
fn has_moved(looked: &Result<Look, Trouble>, version: &str) -> bool {
    let is_unknown = matches!(looked, Err(trouble) if trouble.is_transient);
    !is_unknown && bases::version(looked) != version
}

async fn is_at(thing: &Thing, version: &str, shared: &Shared) -> Result<bool, ClusterError> {
    Ok(match thing {
        Thing::Spec | Thing::Declared { .. } => true,
        Thing::Artifact { kind, namespace, name } => {
            let name = (kind.clone(), namespace.clone(), name.clone());
            shared.world.sources.version(&name).is_none_or(|now| now == version)
        }
        Thing::Object { api_version, kind, namespace, name } => {
            let at = Reference::new(api_version, kind, namespace, name);
            object_version(shared.world.cluster.get(&at).await?.as_ref()) == version
        }
        Thing::Base(base) => shared.world.bases.last(base).is_none_or(|looked| !has_moved(&looked, version)),
        // Whoever looks after ExternalSecrets and HelmReleases tells; nobody asks a store or repository for this.
        Thing::Remote { .. } | Thing::Chart { .. } => shared.units.seen(thing).is_none_or(|now| now == version),
        Thing::Capabilities | Thing::Built | Thing::Paths { .. } => true,
    })
}

/// Ends when the source or a store has another version than a landing is about, or the object asks for something else.
pub(super) fn newer_revision(turn: &Turn<'_>, source: &SourceName, landing: &Value) -> Superseded {
    let (shared, key, generation) = (turn.shared.clone(), turn.key.clone(), turn.object.generation());
    let read_set = ReadSet::from_value(landing);
    let (name, about) = (source.clone(), read_set.version(&artifact(source)).unwrap_or_default().to_owned());
    let secrets = read_set.iter().filter(|(thing, _)| matches!(thing, Thing::Remote { .. }));
    let secrets: Vec<(Thing, String)> = secrets.map(|(thing, at)| (thing.clone(), at.to_owned())).collect();
    let secrets = Arc::new(secrets);
    Box::new(move || {
        let (shared, key, name, about) = (shared.clone(), key.clone(), name.clone(), about.clone());
        let secrets = secrets.clone();
        Box::pin(async move {
            let mut changes = shared.changes.subscribe();
            loop {
                let is_newer = shared.world.sources.version(&name).is_some_and(|now| now != about);
                let is_changed = shared.index.generation(&key) != Some(generation);
                let has_rotated =
                    |(thing, at): &(Thing, String)| shared.units.seen(thing).is_some_and(|now| now != *at);
                let is_newer = is_newer || secrets.iter().any(has_rotated);
                if is_newer || is_changed || changes.changed().await.is_err() {
                    return;
                }
            }
        })
    })
}

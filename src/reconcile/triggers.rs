//! Who must look when something has changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use apply::{Declarer, Failure, Outcome, Prepared, Reference, Verdict};
use manifest::{Object, ObjectId};
use serde_json::Value;

use super::external_secret::{has_ended, is_settled};
use super::helm_release::{self, Note};
use super::{Key, Kind, Shared};
use crate::api::condition::reason;
use crate::pipeline::sources::SourceName;
use crate::pipeline::{Compiled, Problem, Stage};
use crate::status::Event;
use crate::status::external::Done;
use crate::unit::{Thing, Unit};

/// Label of what a release has made: the release's name.
const OF_RELEASE: &str = "helm.toolkit.fluxcd.io/name";

/// Whether an object asks for something else: a change of its status alone asks for nothing.
pub fn asks_more(before: &Object, now: &Object) -> bool {
    question(before) != question(now)
}

fn question(object: &Object) -> (&str, i64, Option<&Value>, Option<&Value>, bool) {
    let metadata = object.value().get("metadata");
    let field = |name: &str| metadata.and_then(|metadata| metadata.get(name));
    (object.uid(), object.generation(), field("annotations"), field("labels"), object.is_terminating())
}

/// Whether the status of an object says something new to those who wait for it.
pub fn says_more(before: &Object, now: &Object) -> bool {
    answer(before) != answer(now)
}

/// What others wait for in an object's status.
fn answer(object: &Object) -> (Option<&Value>, Option<&Value>) {
    let status = object.value().get("status");
    let field = |name: &str| status.and_then(|status| status.get(name));
    (field("conditions"), field("lastAppliedRevision"))
}

/// Somebody asks something else of an object, or it is gone: it is looked at, and who works on it hears of it.
pub fn asked(shared: &Shared, key: &Key) {
    shared.queue.add(key.clone());
    shared.inputs_changed();
}

/// The status of an object says something new: those who depend on it look.
pub fn changed(shared: &Shared, key: &Key) {
    let depends = |object: &Object| {
        let list = object.value().pointer("/spec/dependsOn").and_then(Value::as_array);
        list.into_iter().flatten().any(|dependency| {
            let text = |field: &str| dependency.get(field).and_then(Value::as_str);
            text("name") == Some(&key.name) && text("namespace").unwrap_or(object.namespace()) == key.namespace
        })
    };
    if matches!(key.kind, Kind::Kustomization | Kind::HelmRelease) {
        shared
            .index
            .mentioning(key.kind, &[&key.name], depends)
            .into_iter()
            .for_each(|dependent| shared.queue.add(dependent));
        let at = Thing::object(&key.reference());
        let readers = shared.units.readers_of(&at).into_iter().filter_map(|unit| key_of(&unit));
        readers.for_each(|reader| shared.queue.add(reader));
        at_rest(shared, &Unit::of(&key.reference()));
    }
}

/// A source has another revision: those who are built from it, or have read it, look.
pub fn fetched(shared: &Arc<Shared>, source: &SourceName) {
    shared.inputs_changed();
    let (kind, namespace, name) = source;
    let is_source = |object: &Object, at: &str| {
        let text = |field: &str| object.text(&format!("{at}/{field}"));
        text("kind") == Some(kind)
            && text("name") == Some(name)
            && text("namespace").unwrap_or(object.namespace()) == namespace
    };
    let built = shared.index.mentioning(Kind::Kustomization, &[name], |object| is_source(object, "/spec/sourceRef"));
    let is_chart = |object: &Object| is_source(object, "/spec/chart/spec/sourceRef");
    let charts = shared.index.mentioning(Kind::HelmRelease, &[name], is_chart);
    let artifact = Thing::Artifact { kind: kind.clone(), namespace: namespace.clone(), name: name.clone() };
    let readers = shared.units.readers_of(&artifact).into_iter().filter_map(|unit| key_of(&unit));
    built.into_iter().chain(charts).chain(readers).for_each(|key| shared.queue.add(key));
}

/// A store has become ready or has ceased to be: the ExternalSecrets of it look.
pub fn store_judged(shared: &Arc<Shared>, key: &Key) {
    // Who has waited since before takes nothing that was read before.
    shared.world.resolver.forget_stores();
    let is_meant = |object: &Object| {
        let text = |field: &str| object.text(&format!("/spec/secretStoreRef/{field}"));
        text("name") == Some(&key.name) && text("kind").unwrap_or("SecretStore") == key.kind.name()
    };
    shared
        .index
        .mentioning(Kind::ExternalSecret, &[&key.name], is_meant)
        .into_iter()
        .for_each(|key| shared.queue.wake(key));
}

/// What a unit has landed stands: its ExternalSecrets and HelmReleases that do not say so look. Whoever landed them may have
/// died before it told them, or they were told of before their new version was seen.
pub fn at_rest(shared: &Shared, unit: &Unit) {
    if !has_ended(unit, shared) {
        return;
    }
    let is_open = |part: &Object| may_be_of(part, unit) && !is_settled(part);
    let names = [unit.name.as_str(), OF_RELEASE];
    let externals = shared.index.mentioning(Kind::ExternalSecret, &names, is_open);
    let is_open = |part: &Object| may_be_of(part, unit) && !helm_release::is_settled(part);
    let releases = shared.index.mentioning(Kind::HelmRelease, &names, is_open);
    let is_part = |key: &Key| shared.index.get(key).is_some_and(|part| unit_of(shared, &part) == *unit);
    externals.into_iter().chain(releases).filter(is_part).for_each(|key| shared.queue.add(key));
}

/// Whether an object can be part of a unit, as far as its own labels tell: else nobody needs to look further.
fn may_be_of(object: &Object, unit: &Unit) -> bool {
    let is = |label: &str, value: &str| object.label(&format!("kustomize.toolkit.fluxcd.io/{label}")) == Some(value);
    let is_of_release = || object.label(OF_RELEASE).is_some();
    is("name", &unit.name) && is("namespace", &unit.namespace) || is_of_release() || unit.kind != "Kustomization"
}

/// Secrets were written: units whose workloads read them and that do not make them land next, once those that change at
/// the same time are gathered.
pub fn secrets_changed(shared: &Shared, outcome: &Outcome) {
    let secrets = outcome.changed().filter(|(id, _)| id.kind == "Secret" && id.group.is_empty());
    for (id, _) in secrets.filter(|(id, _)| outcome.has_landed(id)) {
        secret_changed(shared, &Reference::new("v1", "Secret", &id.namespace, &id.name));
    }
}

/// A Secret was written.
pub fn secret_changed(shared: &Shared, at: &Reference) {
    let at = Thing::object(at);
    for unit in shared.units.readers_of(&at) {
        key_of(&unit).into_iter().for_each(|key| shared.queue.add_after(key, shared.units.gather(&unit)));
    }
}

/// A ConfigMap or Secret that is watched for its readers was written or deleted by somebody.
pub fn config_changed(shared: &Shared, at: &Reference) {
    if at.gvk.kind == "Secret" {
        return secret_changed(shared, at);
    }
    let readers = shared.units.readers_of(&Thing::object(at));
    readers.iter().filter_map(key_of).for_each(|key| shared.queue.add(key));
}

/// A unit has landed: its parts tell how they stand.
pub fn landed(shared: &Arc<Shared>, outcome: &Outcome, compiled: &Compiled) {
    let done = Done::of(outcome);
    for external in compiled.externals.iter().filter(|external| outcome.has_landed(&external.id)) {
        let done = done.get(&external.id).copied().unwrap_or_default();
        let key = part(Kind::ExternalSecret, &external.id);
        let is_written = outcome.changed().any(|(id, _)| id == external.id);
        let seen = shared.index.get(&key).filter(|_| !is_written);
        shared.externals.put(external, done, seen.as_ref());
        shared.queue.add(key);
    }
    for release in &compiled.releases {
        released(shared, &release.id, Note::landed(release, outcome));
    }
}

/// ExternalSecrets of which a landing brings new bytes.
pub fn rotated(prepared: &Prepared) -> BTreeSet<ObjectId> {
    let secrets: BTreeSet<ObjectId> = prepared.rotated().into_iter().map(|(_, now)| now.id()).collect();
    let changes = prepared.landing().changes().filter(|change| secrets.contains(&change.desired.object.id()));
    let declarers = changes.filter_map(|change| match &change.desired.declarer {
        Declarer::ExternalSecret(id) => Some(id.clone()),
        _ => None,
    });
    declarers.collect()
}

/// New bytes were taken back: their ExternalSecrets say so, which stand at what landed last.
pub fn taken_back(shared: &Shared, unit: &Unit, outcome: &Outcome, rotated: &BTreeSet<ObjectId>) {
    let is_over = matches!(outcome.verdict, Verdict::Undone | Verdict::Partly);
    let Some(why) = outcome.failures.first().filter(|_| is_over) else { return };
    for id in rotated.iter().filter(|id| !outcome.has_landed(id)) {
        let key = part(Kind::ExternalSecret, id);
        let Some(object) = shared.index.get(&key) else { continue };
        let message = format!("could not update secret: {unit} has taken the new value back: {why}");
        shared.recorder.record(&key, &object, Event::warning(reason::UPDATE_FAILED, message));
    }
}

/// Something is to be told of a HelmRelease.
pub fn released(shared: &Arc<Shared>, id: &ObjectId, note: Option<Note>) {
    if let Some(note) = note {
        shared.releases.put(id.clone(), note);
        shared.queue.add(part(Kind::HelmRelease, id));
    }
}

/// A unit could not be compiled: its HelmReleases that kept it from that say so.
pub fn not_compiled(shared: &Arc<Shared>, problems: &[Problem]) {
    for problem in problems.iter().filter(|problem| problem.stage == Stage::Render) {
        let release = problem.id.as_ref().filter(|id| id.kind == "HelmRelease");
        if let Some(id) = release {
            released(shared, id, Some(Note::problem(problem)));
        }
    }
}

/// The server refused a unit: its HelmReleases that change say so.
pub fn refused(shared: &Arc<Shared>, compiled: &Compiled, failures: &[Failure]) {
    for release in &compiled.releases {
        released(shared, &release.id, Note::refused(release, failures));
    }
}

/// The unit that an object is part of: the Kustomization whose labels it carries, else it stands alone.
pub fn unit_of(shared: &Shared, object: &Object) -> Unit {
    let labels = ["name", "namespace"].map(|label| object.label(&format!("kustomize.toolkit.fluxcd.io/{label}")));
    if let [Some(name), Some(namespace)] = labels {
        let unit = Unit::kustomization(namespace, name);
        if key_of(&unit).is_some_and(|key| shared.index.get(&key).is_some()) {
            return unit;
        }
    }
    let labels = ["name", "namespace"].map(|label| object.label(&format!("helm.toolkit.fluxcd.io/{label}")));
    if let [Some(name), Some(namespace)] = labels {
        let key = Key { kind: Kind::HelmRelease, namespace: namespace.into(), name: name.into() };
        // A chart that holds its own HelmRelease would go round for ever.
        let release = shared.index.get(&key).filter(|release| release.id() != object.id());
        if let Some(release) = release.filter(|release| release.label("helm.toolkit.fluxcd.io/name") != Some(name)) {
            return unit_of(shared, &release);
        }
    }
    Unit::of(&apply::Reference::of(object))
}

/// The key of a unit's own object.
pub fn key_of(unit: &Unit) -> Option<Key> {
    let kind = Kind::SERVED.into_iter().find(|kind| kind.name() == unit.kind)?;
    Some(Key { kind, namespace: unit.namespace.clone(), name: unit.name.clone() })
}

fn part(kind: Kind, id: &ObjectId) -> Key {
    Key { kind, namespace: id.namespace.clone(), name: id.name.clone() }
}

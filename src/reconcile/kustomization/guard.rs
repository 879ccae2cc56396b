//! What must hold before a Kustomization is worked on: a source with an artifact, dependencies that are ready.

use std::time::Duration;

use super::Turn;
use crate::api::Kind as _;
use crate::api::condition::{READY, reason};
use crate::api::kustomization::Kustomization;
use crate::api::reference::Dependency;
use crate::pipeline::sources::{Fetched, SourceName};
use crate::reconcile::{Key, Kind};

/// Why it is not worked on now.
pub(super) struct Refusal {
    pub(super) why: &'static str,
    pub(super) message: String,
    pub(super) next: Duration,
    /// Only a changed spec can help.
    pub(super) is_terminal: bool,
}

/// Name of the unit's source.
pub(super) fn source_name(turn: &Turn<'_>) -> SourceName {
    let reference = &turn.spec.source_ref;
    let namespace = reference.namespace.as_deref().unwrap_or(&turn.key.namespace);
    (reference.kind.clone(), namespace.to_owned(), reference.name.clone())
}

/// The newest artifact of the source; `None` where it was fetched before our start, and not yet again.
pub(super) fn source(turn: &Turn<'_>) -> Result<Option<Fetched>, Refusal> {
    let world = &turn.shared.world;
    let (reference, name) = (&turn.spec.source_ref, source_name(turn));
    let (own, namespace) = (&turn.key.namespace, &name.1);
    if world.settings.no_cross_namespace_refs && namespace != own {
        let message = format!(
            "can't access '{}/{namespace}/{}', cross-namespace references have been blocked",
            reference.kind, reference.name
        );
        return Err(Refusal { why: reason::ACCESS_DENIED, message, next: turn.interval(), is_terminal: true });
    }
    if let Some(fetched) = world.sources.files(&name) {
        return Ok(Some(fetched));
    }
    let key = Key { kind: Kind::GitRepository, namespace: name.1, name: name.2 };
    let wait = world.settings.requeue_dependency;
    let (message, next) = match turn.shared.index.get(&key) {
        Some(source) if source.value().pointer("/status/artifact").is_some() => return Ok(None),
        Some(_) => (format!("Source artifact not found, retrying in {}", crate::status::go_duration(wait)), wait),
        None => {
            let message = format!("{}.source.toolkit.fluxcd.io \"{}\" not found", reference.kind, reference.name);
            (message, turn.retry_interval())
        }
    };
    Err(Refusal { why: reason::ARTIFACT_FAILED, message, next, is_terminal: false })
}

/// Flux's rule: each dependency is ready, as of its present generation, and at our revision when it has our source.
pub(super) async fn dependencies(turn: &Turn<'_>, source: &Fetched) -> Result<(), Refusal> {
    for dependency in &turn.spec.depends_on {
        if let Some(message) = unready(turn, dependency, source) {
            let next = turn.shared.world.settings.requeue_dependency;
            return Err(Refusal { why: reason::DEPENDENCY_NOT_READY, message, next, is_terminal: false });
        }
    }
    Ok(())
}

fn unready(turn: &Turn<'_>, dependency: &Dependency, source: &Fetched) -> Option<String> {
    let namespace = dependency.namespace.as_deref().unwrap_or(&turn.key.namespace);
    let name = format!("{namespace}/{}", dependency.name);
    let key = Key { kind: Kind::Kustomization, namespace: namespace.into(), name: dependency.name.clone() };
    let Some(object) = turn.shared.index.get(&key) else {
        let resource = "kustomizations.kustomize.toolkit.fluxcd.io";
        return Some(format!("dependency '{name}' not found: {resource} \"{}\" not found", dependency.name));
    };
    let (spec, status) = (Kustomization::spec(&object).ok()?, Kustomization::status(&object).unwrap_or_default());
    let is_current = object.generation() == status.observed_generation;
    if !is_current || !status.conditions.is_true(READY) {
        return Some(format!("dependency '{name}' is not ready"));
    }
    let their_source = spec.source_ref.namespace.as_deref().unwrap_or(namespace);
    let same = (spec.source_ref.kind.as_str(), their_source, spec.source_ref.name.as_str())
        == (source.name.0.as_str(), source.name.1.as_str(), source.name.2.as_str());
    let is_behind = same && status.last_applied_revision.as_deref() != Some(source.revision.as_str());
    is_behind.then(|| format!("dependency '{name}' revision is not up to date"))
}

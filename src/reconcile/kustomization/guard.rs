//! What must hold before a Kustomization is worked on: a source with an artifact, dependencies that are ready.
//!
//! Flux lets those that depend on each other in a circle wait for ever; here each of them names the circle.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Turn;
use crate::api::Kind as _;
use crate::api::condition::{READY, reason};
use crate::api::kustomization::Kustomization;
use crate::api::reference::Dependency;
use crate::pipeline::ready::{self, Unknown};
use crate::pipeline::sources::{Fetched, SourceName};
use crate::reconcile::{Index, Key, Kind};

/// What Flux says before an error that only another spec helps against.
pub(super) const TERMINAL: &str = "Reconciliation failed terminally due to configuration error";

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
    let next = turn.shared.world.settings.requeue_dependency;
    let not_ready = |message| Refusal { why: reason::DEPENDENCY_NOT_READY, message, next, is_terminal: false };
    if let Some(circle) = circle(turn.key, &turn.shared.index) {
        return Err(not_ready(format!("dependsOn goes round in a circle: {circle}")));
    }
    for dependency in &turn.spec.depends_on {
        match unready(turn, dependency, source) {
            Ok(None) => {}
            Ok(Some(message)) => return Err(not_ready(message)),
            Err(Unknown { message, is_terminal: false }) => return Err(not_ready(message)),
            Err(Unknown { message, is_terminal: true }) => {
                let message = format!("{TERMINAL}: {message}");
                return Err(Refusal { why: reason::INVALID_CEL_EXPRESSION, message, next, is_terminal: true });
            }
        }
    }
    Ok(())
}

/// The way from a Kustomization over what it depends on back to itself.
fn circle(from: &Key, index: &Index) -> Option<String> {
    let mut ways = vec![vec![from.clone()]];
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop() {
        let last = way.last()?;
        let Some(spec) = index.get(last).and_then(|object| Kustomization::spec(&object).ok()) else { continue };
        for dependency in &spec.depends_on {
            let namespace = dependency.namespace.as_deref().unwrap_or(&last.namespace);
            let next = Key { kind: Kind::Kustomization, namespace: namespace.into(), name: dependency.name.clone() };
            let longer: Vec<Key> = way.iter().chain([&next]).cloned().collect();
            if next == *from {
                let names: Vec<String> = longer.iter().map(|key| format!("{}/{}", key.namespace, key.name)).collect();
                return Some(names.join(" -> "));
            }
            if seen.insert(next) {
                ways.push(longer);
            }
        }
    }
    None
}

/// Why a dependency is not ready; nothing when it is.
fn unready(turn: &Turn<'_>, dependency: &Dependency, source: &Fetched) -> Result<Option<String>, Unknown> {
    let namespace = dependency.namespace.as_deref().unwrap_or(&turn.key.namespace);
    let name = format!("{namespace}/{}", dependency.name);
    let key = Key { kind: Kind::Kustomization, namespace: namespace.into(), name: dependency.name.clone() };
    let Some(object) = turn.shared.index.get(&key) else {
        let resource = "kustomizations.kustomize.toolkit.fluxcd.io";
        return Ok(Some(format!("dependency '{name}' not found: {resource} \"{}\" not found", dependency.name)));
    };
    if let Some(expression) = dependency.ready_expr.as_deref().filter(|expression| !expression.is_empty()) {
        if !ready::holds(expression, turn.object, &object)? {
            return Ok(Some(format!("dependency '{name}' is not ready according to readyExpr eval")));
        }
        if !turn.shared.world.settings.additive_dependency_check {
            return Ok(None);
        }
    }
    let status = Kustomization::status(&object).unwrap_or_default();
    let is_current = object.generation() == status.observed_generation;
    if !is_current || !status.conditions.is_true(READY) {
        return Ok(Some(format!("dependency '{name}' is not ready")));
    }
    let Ok(spec) = Kustomization::spec(&object) else { return Ok(None) };
    let their_source = spec.source_ref.namespace.as_deref().unwrap_or(namespace);
    let same = (spec.source_ref.kind.as_str(), their_source, spec.source_ref.name.as_str())
        == (source.name.0.as_str(), source.name.1.as_str(), source.name.2.as_str());
    let is_behind = same && status.last_applied_revision.as_deref() != Some(source.revision.as_str());
    Ok(is_behind.then(|| format!("dependency '{name}' revision is not up to date")))
}

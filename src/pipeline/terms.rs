//! How a Kustomization is to land, and from what it starts: what its spec, its switches, its status and its journal say.

use std::sync::Arc;
use std::time::Duration;

use apply::cleanup::{Cleanup, Manager};
use apply::desired::{Behaviour, HealthScope, LandingScope, OnFailure, Order};
use apply::journal::Failed;
use apply::{Base, Candidate, Cluster, Failure, Journal, Prepared, Reference};
use manifest::{Gvk, Object, ObjectId};
use serde_json::Value;

use super::{FLUX_SWITCH, MANAGER, owner_labels, switch};
use crate::api::kustomization::{KustomizationSpec, KustomizationStatus};
use crate::cluster::journal::Keys;
use crate::unit::{ReadSet, Thing, digest};

/// Compares a candidate with the cluster and tries it there. Changes nothing.
///
/// # Errors
/// All of what cannot be planned and what the server refuses.
pub async fn propose(
    candidate: Candidate,
    behaviour: Behaviour,
    base: &Base,
    cluster: &Arc<dyn Cluster>,
    keys: &Keys,
) -> Result<Prepared, Vec<Failure>> {
    let seal = |bytes: &[u8]| keys.seal(bytes);
    apply::propose(candidate, behaviour, base, cluster, &seal).await
}

/// How a Kustomization is to land.
pub fn behaviour(object: &Object, spec: &KustomizationSpec) -> Behaviour {
    let on_failure = match switch(object, "on-failure") {
        Some("hold") => OnFailure::Hold,
        Some("continue") => OnFailure::Continue,
        _ => OnFailure::Revert,
    };
    let checks = spec.health_checks.iter().map(|check| {
        let version = check.api_version.as_deref().unwrap_or("apps/v1");
        let namespace = check.namespace.as_deref().unwrap_or(object.namespace());
        Reference::new(version, &check.kind, namespace, &check.name)
    });
    let health = match (spec.wait, spec.health_checks.is_empty()) {
        (true, _) => HealthScope::All,
        (false, true) => HealthScope::None,
        (false, false) => HealthScope::These(checks.collect()),
    };
    Behaviour {
        prune: *spec.prune,
        scope: scope(object, spec),
        on_failure,
        order: if switch(object, "order") == Some("flux") { Order::Flux } else { Order::Landing },
        health,
        timeout: timeout(spec),
        owner_labels: owner_labels(object.namespace(), object.name()),
        sharer: sharer(object),
        rollout: switch(object, "rollout") != Some("disabled"),
        is_versioned: switch(object, "versions") == Some("immutable"),
        cleanup: cleanup(object),
    }
}

/// What lands together. Who waits for all of a unit wants all of it.
fn scope(object: &Object, spec: &KustomizationSpec) -> LandingScope {
    match switch(object, "scope") {
        Some("parcel") => LandingScope::Parcel,
        Some("unit") => LandingScope::Unit,
        _ if spec.wait => LandingScope::Unit,
        _ => LandingScope::Parcel,
    }
}

/// Longest name of a field manager that the API server takes.
const LONGEST_MANAGER: usize = 128;

/// The field manager for what a unit applies to objects that another one owns.
fn sharer(object: &Object) -> String {
    let unit = format!("{}/{}", object.namespace(), object.name());
    let name = format!("{MANAGER} ({unit})");
    if name.len() <= LONGEST_MANAGER { name } else { format!("{MANAGER} ({})", digest(unit.as_bytes())) }
}

/// What kubectl and early Fluxes leave on objects (kustomize-controller v1.9 `apply`). Our own writes besides applies are
/// what undoing restored.
fn cleanup(object: &Object) -> Cleanup {
    let manager = |prefix: &str, applies: bool| Manager { prefix: prefix.into(), applies };
    let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
    Cleanup {
        managers: vec![
            manager("kubectl", true),
            manager("kubectl", false),
            manager("before-first-apply", false),
            manager(MANAGER, false),
            // What the unit has shared before it came to own it.
            manager(&sharer(object), true),
        ],
        annotations: texts(&[
            "kubectl.kubernetes.io/last-applied-configuration",
            "kustomize.toolkit.fluxcd.io/checksum",
            "fluxcd.io/sync-checksum",
        ]),
        labels: texts(&["fluxcd.io/sync-gc-mark"]),
        except: vec![(format!("{FLUX_SWITCH}ssa"), "merge".into())],
        asked: [
            ("external-secrets.io", "ExternalSecret"),
            ("kustomize.toolkit.fluxcd.io", "Kustomization"),
            ("helm.toolkit.fluxcd.io", "HelmRelease"),
            ("source.toolkit.fluxcd.io", "GitRepository"),
            ("source.toolkit.fluxcd.io", "HelmRepository"),
        ]
        .map(|(group, kind)| (group.to_owned(), kind.to_owned()))
        .into(),
    }
}

/// How long a landing may take. Flux's default: half a minute less than the interval, and no less than half a minute.
pub fn timeout(spec: &KustomizationSpec) -> Duration {
    let floor = Duration::from_secs(30);
    let default = || spec.interval.span().saturating_sub(floor).max(floor);
    spec.timeout.as_ref().map_or_else(default, |timeout| timeout.span())
}

/// What a Kustomization starts from: its last landing, one that is open, and what its status lists.
pub fn base(journal: Option<&Journal>, status: &KustomizationStatus) -> Base {
    let entries = status.inventory.iter().flat_map(|inventory| inventory.entries.iter());
    Base {
        landed: journal.and_then(Journal::landed).map(|landed| landed.as_ref().clone()),
        superseded: journal.and_then(Journal::open).map(|open| open.landing.as_ref().clone()),
        inventory: entries
            .filter_map(|entry| inventory_reference(&entry.id, &entry.version))
            .chain(journal.into_iter().flat_map(Journal::undeleted))
            .collect(),
        ..Base::default()
    }
}

/// Parcels that failed for good, as long as nobody asks for another attempt: by the spec, a request or another revision of
/// a source, of a chart or of a remote base. What else they read is part of what they want.
pub fn failed_before(journal: &Journal, candidate: &Candidate) -> Vec<Failed> {
    let Some(attempt) = journal.attempt() else { return Vec::new() };
    let asked = |read_set: &Value| {
        let read_set = ReadSet::from_value(read_set);
        let is_question = |thing: &Thing| {
            matches!(thing, Thing::Spec | Thing::Artifact { .. } | Thing::Chart { .. } | Thing::Base(_))
        };
        let questions = read_set.iter().filter(|(thing, _)| is_question(thing));
        questions.map(|(thing, version)| (thing.clone(), version.to_owned())).collect::<Vec<_>>()
    };
    if asked(&attempt.read_set) == asked(&candidate.read_set) { attempt.failed.clone() } else { Vec::new() }
}

/// An inventory's entry as a reference.
pub fn inventory_reference(id: &str, version: &str) -> Option<Reference> {
    let id = ObjectId::from_inventory(id).ok()?;
    let gvk = Gvk { group: id.group, version: version.into(), kind: id.kind };
    Some(Reference { gvk, namespace: id.namespace, name: id.name })
}

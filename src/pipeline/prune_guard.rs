//! A commit that would delete much, or what cannot be had back, is held until somebody acknowledges it
//! (`lockstep.dev/prune-guard`): a moved folder or a broken overlay looks just like an order to delete everything.

use apply::cluster::Reference;
use apply::report::{Failure, Step};
use apply::{Declarer, Landing, Prepared};

use manifest::Object;

use super::switch;
use crate::api::kustomization::{KustomizationStatus, SWITCH};
use crate::unit::digest;

/// Inventories below this size may go as a whole.
const SMALL: usize = 10;
/// Objects that the message names.
const NAMED: usize = 10;

/// Holds a landing of a Kustomization that deletes too much.
///
/// # Errors
/// Why it is held, and with which annotation it goes on.
pub fn check(object: &Object, status: &KustomizationStatus, prepared: Prepared) -> Result<Prepared, Vec<Failure>> {
    match objection(object, status, prepared.landing()) {
        Some(objection) => Err(vec![objection]),
        None => Ok(prepared),
    }
}

/// Why the landing is held; `None` when it may go on.
fn objection(object: &Object, status: &KustomizationStatus, landing: &Landing) -> Option<Failure> {
    if switch(object, "prune-guard") == Some("off") {
        return None;
    }
    let stale: Vec<&Reference> =
        landing.stale.iter().filter(|stale| stale.declarer == Declarer::Unit).map(|stale| &stale.reference).collect();
    let inventory = status.inventory.as_ref().map_or(0, |inventory| inventory.entries.0.len());
    let is_much = inventory >= SMALL && stale.len() * 2 > inventory;
    let precious: Vec<&Reference> = stale.iter().copied().filter(|at| is_precious(at)).collect();
    if precious.is_empty() && !is_much {
        return None;
    }
    let mut ids: Vec<String> = stale.iter().map(|at| at.id().to_string()).collect();
    ids.sort();
    let token = digest(ids.join("\n").as_bytes())[..12].to_owned();
    if switch(object, "prune-acknowledged") == Some(&token) {
        return None;
    }
    let told = if precious.is_empty() { &stale } else { &precious };
    let mut names: Vec<String> = told.iter().map(|at| at.id().to_string()).take(NAMED).collect();
    if told.len() > NAMED {
        names.push(format!("and {} more", told.len() - NAMED));
    }
    let message = format!(
        "{} of {inventory} objects would be deleted, among them {}: acknowledge it with the annotation \
         {SWITCH}prune-acknowledged: \"{token}\" on the Kustomization, or turn the guard off with {SWITCH}prune-guard: \"off\"",
        stale.len(),
        names.join(", ")
    );
    Some(Failure::general(Step::Plan, message, false))
}

/// Whether with the object more is lost than itself.
fn is_precious(at: &Reference) -> bool {
    apply::order::is_irreplaceable(&at.gvk)
        || (at.gvk.group == "helm.toolkit.fluxcd.io" && at.gvk.kind == "HelmRelease")
}

//! A HelmRelease or ExternalSecret outside any Kustomization: a unit of its own, which lands by the same engine.

use std::sync::Arc;

use apply::{Base, Behaviour, Candidate, Failure, Journal, Landing, Outcome, Prepared};
use manifest::Object;

use super::{Error, Shared, external_secret, guests, triggers};
use crate::landing;
use crate::pipeline::expand::{self, Expanded};
use crate::pipeline::{Problem, foreign, spec_version};
use crate::unit::{ReadSet, Thing, Unit};

/// How it went.
pub(super) enum Landed {
    /// It was landed, or not: the outcome says.
    Ended(Outcome, Expanded),
    /// It could not be expanded; nothing was written.
    NotExpanded(Vec<Problem>),
    /// The server refused it; nothing was written.
    Refused(Vec<Failure>, Expanded),
    /// It is as it landed; nothing was to be written.
    AtRest(Expanded),
    /// It failed before, and nothing that it reads has changed since.
    Held,
}

/// Expands and lands one object that stands alone.
///
/// # Errors
/// When the journal fails.
pub(super) async fn land(object: &Object, behaviour: Behaviour, shared: &Arc<Shared>) -> Result<Landed, Error> {
    let world = &shared.world;
    let unit = Unit::of(&apply::Reference::of(object));
    let mut journal = Journal::load(world.journals.clone(), &unit.to_string(), world.epoch).await?;
    let (user, mut site) = site_of(object, &unit, shared);
    resume(&mut journal, &mut site, shared).await?;
    let landed = journal.landed().cloned();
    let mut read_set = ReadSet::default();
    read_set.note(Thing::Spec, spec_version(object));
    let since = external_secret::wanted_since(object, shared);
    let input =
        expand::Input { objects: std::slice::from_ref(object), landed: landed.as_deref(), user, since, own: None };
    let mut expanded = expand::expand(input, world, &mut read_set).await;
    if !expanded.problems.is_empty() {
        let is_transient = expanded.problems.iter().any(|problem| problem.transient);
        shared.units.failed(unit, read_set, is_transient);
        return Ok(Landed::NotExpanded(expanded.problems));
    }
    let failed_with = journal.attempt().filter(|attempt| !attempt.transient);
    if failed_with.is_some_and(|attempt| ReadSet::from_value(&attempt.read_set) == read_set) {
        return Ok(Landed::Held);
    }
    expanded.merge(&mut []);
    let mut candidate = Candidate {
        revision: format!("generation {}", object.generation()),
        objects: std::mem::take(&mut expanded.objects),
        releases: std::mem::take(&mut expanded.releases),
        removals: std::mem::take(&mut expanded.removals),
        ..Candidate::default()
    };
    candidate.foreign = foreign::secrets(&candidate, world.cluster.as_ref(), &mut read_set).await?;
    (candidate.input, candidate.read_set) = (read_set.digest(), read_set.to_value());
    let mut secrets = std::mem::take(&mut expanded.secrets);
    secrets.push(crate::pipeline::compile::register(&candidate, &world.redactor));
    shared.units.compiled(unit.clone(), read_set, secrets);
    let base = Base {
        landed: landed.as_deref().cloned(),
        superseded: journal.open().map(|open| open.landing.as_ref().clone()),
        ..Base::default()
    };
    let keys = world.keys.clone();
    let seal = move |bytes: &[u8]| keys.seal(bytes);
    let prepared = apply::propose(candidate, behaviour, &base, &site.cluster, &seal).await;
    match prepared {
        Ok(prepared) if is_at_rest(&prepared, landed.as_deref()) && journal.open().is_none() => {
            Ok(Landed::AtRest(expanded))
        }
        Ok(mut prepared) => {
            let visit = guests::invite(&mut prepared, &unit, &site.cluster, shared).await;
            site.guests = visit.clusters.clone();
            let outcome = landing::land(prepared, &mut journal, &site).await?;
            triggers::secrets_changed(shared, &outcome);
            Ok(Landed::Ended(outcome, expanded))
        }
        Err(failures) => {
            shared.units.refused(&unit, failures.iter().any(|failure| failure.transient));
            Ok(Landed::Refused(failures, expanded))
        }
    }
}

/// Ends what a crash has left open.
async fn resume(journal: &mut Journal, site: &mut landing::Site, shared: &Arc<Shared>) -> Result<(), Error> {
    let Some(open) = journal.open() else { return Ok(()) };
    let visit = guests::recall(&open.landing, shared);
    site.guests = visit.clusters.clone();
    landing::resume(journal, site).await?;
    Ok(())
}

/// As whom, and where, an object lands.
fn site_of(object: &Object, unit: &Unit, shared: &Shared) -> (Option<String>, landing::Site) {
    let world = &shared.world;
    let user = match object.kind() {
        "HelmRelease" => world.user_of(object.namespace(), object.text("/spec/serviceAccountName")),
        _ => None,
    };
    let cluster = user.as_deref().map_or_else(|| world.cluster.clone(), |user| world.cluster.impersonate(user));
    (
        user,
        landing::Site {
            cluster,
            unit: unit.clone(),
            judge: None,
            guests: Default::default(),
            superseded: landing::never(),
            lost: landing::unseen(),
            others: Arc::new(apply::Alone),
        },
    )
}

/// Whether a landing would write nothing and know nothing new.
fn is_at_rest(prepared: &Prepared, landed: Option<&Landing>) -> bool {
    prepared.landing().is_empty() && landed.is_some_and(|landed| landed.input == prepared.landing().input)
}

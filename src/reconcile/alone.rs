//! A HelmRelease or ExternalSecret outside any Kustomization: a unit of its own, which lands by the same engine.

use std::sync::Arc;

use apply::{Action, Base, Behaviour, Candidate, Cluster, Failure, Journal, Landing, Outcome, Prepared};
use manifest::Object;

use super::{Error, Key, Kind, Shared, external_secret, guests, triggers};
use crate::cluster::seen::Seen;
use crate::landing;
use crate::pipeline::expand::{self, Expanded, is_external_secret};
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
    let work = Work { object, unit: &unit, user, behaviour, shared };
    let mut presumes = is_first(object, &journal);
    loop {
        let (proposed, expanded) = match work.propose(&journal, &site, presumes).await? {
            Ok(proposed) => proposed,
            Err(landed) => return Ok(landed),
        };
        if std::mem::take(&mut presumes) && !proposed.as_ref().is_ok_and(makes_all) {
            continue;
        }
        return work.end(proposed, expanded, &mut journal, &mut site).await;
    }
}

/// Whether nobody has ever made what an ExternalSecret asks for, as far as the journal and its own status tell. Then it is
/// presumed, and the server's dry run shows whether that is true.
fn is_first(object: &Object, journal: &Journal) -> bool {
    let policy = object.text("/spec/target/creationPolicy");
    is_external_secret(object)
        && policy.is_none_or(|policy| policy == "Owner")
        && object.value().get("status").is_none()
        && journal.landed().is_none()
        && journal.attempt().is_none()
        && journal.open().is_none()
}

/// Whether a landing only makes what was not there.
fn makes_all(prepared: &Prepared) -> bool {
    prepared.landing().changes().all(|change| change.action == Action::Create)
}

/// An object that lands alone.
struct Work<'a> {
    object: &'a Object,
    unit: &'a Unit,
    user: Option<String>,
    behaviour: Behaviour,
    shared: &'a Arc<Shared>,
}

/// What the server says to what an object comes to.
type Proposed = (Result<Prepared, Vec<Failure>>, Expanded);

impl Work<'_> {
    /// Everything before the first write; or how it went, where there is nothing to propose.
    async fn propose(
        &self,
        journal: &Journal,
        site: &landing::Site,
        presumes: bool,
    ) -> Result<Result<Proposed, Landed>, Error> {
        let (object, shared, world) = (self.object, self.shared, &self.shared.world);
        let landed = journal.landed().cloned();
        let mut read_set = ReadSet::default();
        read_set.note(Thing::Spec, spec_version(object));
        let input = expand::Input {
            objects: std::slice::from_ref(object),
            landed: landed.as_deref(),
            user: self.user.clone(),
            since: external_secret::wanted_since(object, shared),
            own: None,
            presumes,
        };
        let mut expanded = expand::expand(input, world, &mut read_set).await;
        if !expanded.problems.is_empty() {
            let is_transient = expanded.problems.iter().any(|problem| problem.transient);
            shared.units.failed(self.unit.clone(), read_set, is_transient);
            return Ok(Err(Landed::NotExpanded(expanded.problems)));
        }
        let failed_with = journal.attempt().filter(|attempt| !attempt.transient);
        if failed_with.is_some_and(|attempt| ReadSet::from_value(&attempt.read_set) == read_set) {
            return Ok(Err(Landed::Held));
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
        shared.units.compiled(self.unit.clone(), read_set, secrets);
        let base = Base {
            landed: landed.as_deref().cloned(),
            superseded: journal.open().map(|open| open.landing.as_ref().clone()),
            ..Base::default()
        };
        let keys = world.keys.clone();
        let seal = move |bytes: &[u8]| keys.seal(bytes);
        Ok(Ok((apply::propose(candidate, self.behaviour.clone(), &base, &site.cluster, &seal).await, expanded)))
    }

    /// Lands what was proposed.
    async fn end(
        &self,
        proposed: Result<Prepared, Vec<Failure>>,
        expanded: Expanded,
        journal: &mut Journal,
        site: &mut landing::Site,
    ) -> Result<Landed, Error> {
        match proposed {
            Ok(prepared) if is_at_rest(&prepared, journal.landed().map(Arc::as_ref)) && journal.open().is_none() => {
                Ok(Landed::AtRest(expanded))
            }
            Ok(mut prepared) => {
                let visit = guests::invite(&mut prepared, self.unit, &site.cluster, self.shared).await;
                site.guests = visit.clusters.clone();
                let outcome = landing::land(prepared, journal, site).await?;
                triggers::secrets_changed(self.shared, &outcome);
                Ok(Landed::Ended(outcome, expanded))
            }
            Err(failures) => {
                self.shared.units.refused(self.unit, failures.iter().any(|failure| failure.transient));
                Ok(Landed::Refused(failures, expanded))
            }
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
fn site_of(object: &Object, unit: &Unit, shared: &Arc<Shared>) -> (Option<String>, landing::Site) {
    let world = &shared.world;
    let user = match object.kind() {
        "HelmRelease" => world.user_of(object.namespace(), object.text("/spec/serviceAccountName")),
        _ => None,
    };
    let cluster = user.as_deref().map_or_else(|| world.cluster.clone(), |user| world.cluster.impersonate(user));
    let cluster = if is_external_secret(object) { seen(cluster, object, shared) } else { cluster };
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

/// The cluster, where an ExternalSecret is as the agent's watch saw it last: it owns its Secret, whose writes name its UID.
fn seen(cluster: Arc<dyn Cluster>, object: &Object, shared: &Arc<Shared>) -> Arc<dyn Cluster> {
    let (key, shared) = (Key::of(Kind::ExternalSecret, object), shared.clone());
    Arc::new(Seen::new(cluster, key.reference(), Arc::new(move || shared.index.get(&key))))
}

//! A HelmRelease or ExternalSecret outside any Kustomization: a unit of its own, which lands by the same engine.

use std::sync::Arc;

use apply::{Base, Behaviour, Candidate, Cluster, Failure, Journal, Landing, Outcome, Prepared};
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
    if is_first(object, &journal)
        && let Some(landed) = work.create(&mut journal, &site).await?
    {
        return Ok(landed);
    }
    match work.compile(&journal, false).await? {
        Ok((candidate, expanded)) => work.land(candidate, expanded, &mut journal, &mut site).await,
        Err(landed) => Ok(landed),
    }
}

/// Whether nobody has ever made what an ExternalSecret asks for, as far as the journal and its own status tell. Then it is
/// made without a look, by a request that does nothing where that is not true.
fn is_first(object: &Object, journal: &Journal) -> bool {
    let policy = object.text("/spec/target/creationPolicy");
    is_external_secret(object)
        && policy.is_none_or(|policy| policy == "Owner")
        && object.value().get("status").is_none()
        && journal.is_blank()
}

/// An object that lands alone.
struct Work<'a> {
    object: &'a Object,
    unit: &'a Unit,
    user: Option<String>,
    behaviour: Behaviour,
    shared: &'a Arc<Shared>,
}

impl Work<'_> {
    /// Lands it as one creation; `None` where it must be proposed.
    async fn create(&self, journal: &mut Journal, site: &landing::Site) -> Result<Option<Landed>, Error> {
        let (candidate, expanded) = match self.compile(journal, true).await? {
            Ok(compiled) => compiled,
            Err(landed) => return Ok(Some(landed)),
        };
        let seal = |bytes: &[u8]| self.shared.world.keys.seal(bytes);
        let created = landing::create(&candidate, &self.behaviour, &seal, journal, site).await?;
        Ok(created.map(|outcome| self.ended(outcome, expanded)))
    }

    /// Everything before the cluster is asked; or how it went, where there is nothing to land. What it comes to may be
    /// presumed to be absent.
    async fn compile(&self, journal: &Journal, presumes: bool) -> Result<Result<(Candidate, Expanded), Landed>, Error> {
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
            identities: None,
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
        Ok(Ok((candidate, expanded)))
    }

    /// Proposes it, and lands what was proposed.
    async fn land(
        &self,
        candidate: Candidate,
        expanded: Expanded,
        journal: &mut Journal,
        site: &mut landing::Site,
    ) -> Result<Landed, Error> {
        let base = Base {
            landed: journal.landed().map(|landed| landed.as_ref().clone()),
            superseded: journal.open().map(|open| open.landing.as_ref().clone()),
            ..Base::default()
        };
        let seal = |bytes: &[u8]| self.shared.world.keys.seal(bytes);
        match apply::propose(candidate, self.behaviour.clone(), &base, &site.cluster, &seal).await {
            Ok(prepared) if is_at_rest(&prepared, journal.landed().map(Arc::as_ref)) && journal.open().is_none() => {
                Ok(Landed::AtRest(expanded))
            }
            Ok(mut prepared) => {
                let visit = guests::invite(&mut prepared, self.unit, &site.cluster, self.shared).await;
                site.guests = visit.clusters.clone();
                Ok(self.ended(landing::land(prepared, journal, site).await?, expanded))
            }
            Err(failures) => {
                self.shared.units.refused(self.unit, failures.iter().any(|failure| failure.transient));
                Ok(Landed::Refused(failures, expanded))
            }
        }
    }

    fn ended(&self, outcome: Outcome, expanded: Expanded) -> Landed {
        triggers::secrets_changed(self.shared, &outcome);
        Landed::Ended(outcome, expanded)
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
    (user, landing::Site::alone(cluster, unit.clone()))
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

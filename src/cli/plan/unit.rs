//! The plan of one Kustomization: what the agent would do with it now.

use std::sync::Arc;

use apply::plan::Prior;
use apply::{Base, Candidate, Journal, Prepared, Reference};
use manifest::{Object, ObjectId, Origin};

use crate::api::Kind as _;
use crate::api::kustomization::{Kustomization, KustomizationSpec};
use crate::pipeline::compile::values_of;
use crate::pipeline::sources::{self, Fetched, SourceName};
use crate::pipeline::{self, Job, Problem, Stage, World, terms};
use crate::redact::Live;
use crate::status::unsupported_message;
use crate::unit::Unit;

/// What stands in the way of a landing, and where it was declared; never a value.
pub(super) struct Issue {
    pub(super) id: Option<ObjectId>,
    pub(super) origin: Option<Origin>,
    pub(super) message: String,
    /// Whether the files alone tell it, whatever the cluster has.
    is_of_files: bool,
}

impl Issue {
    pub(super) fn general(message: impl Into<String>) -> Self {
        Self { id: None, origin: None, message: message.into(), is_of_files: false }
    }
}

impl From<Problem> for Issue {
    fn from(problem: Problem) -> Self {
        let is_of_files = match problem.stage {
            Stage::Source => true,
            Stage::Build => problem.origin.is_some(),
            Stage::Resolve | Stage::Render => false,
        };
        Self { id: problem.id, origin: problem.origin, message: problem.message, is_of_files }
    }
}

impl From<apply::Failure> for Issue {
    fn from(failure: apply::Failure) -> Self {
        Self { id: failure.id, origin: failure.origin, message: failure.message, is_of_files: false }
    }
}

/// What would become of a Kustomization.
pub(super) enum Fate {
    /// It would land so.
    Lands(Box<Prepared>),
    /// Nothing of it would be written.
    Fails(Vec<Issue>),
    /// It would wait for another, which the cluster does not have yet.
    Waits(String),
    /// It is suspended.
    Suspended,
}

/// The plan of one Kustomization.
pub(super) struct Planned {
    pub(super) object: ObjectId,
    /// Revision that it is about; empty where no source could be had.
    pub(super) revision: String,
    pub(super) fate: Fate,
    pub(super) warnings: Vec<String>,
    /// Everything that it wants, as far as that could be found out.
    pub(super) wanted: Vec<Object>,
    /// Keeps the plaintext known to the redactor.
    _secrets: Vec<Live>,
}

impl Planned {
    pub(super) fn new(object: &Object, revision: &str, fate: Fate) -> Self {
        let (warnings, wanted, secrets) = (Vec::new(), Vec::new(), Vec::new());
        Self { object: object.id(), revision: revision.into(), fate, warnings, wanted, _secrets: secrets }
    }
}

/// Plans a Kustomization at a revision of its source. Changes nothing.
pub(super) async fn plan(object: &Object, source: &Fetched, world: &World) -> Planned {
    let fails = |issue| Planned::new(object, &source.revision, Fate::Fails(vec![issue]));
    let spec = match readable(object) {
        Ok(spec) if spec.suspend => return Planned::new(object, &source.revision, Fate::Suspended),
        Ok(spec) => spec,
        Err(issue) => return fails(issue),
    };
    let unit = Unit::kustomization(object.namespace(), object.name());
    match Journal::load(world.journals.clone(), &unit.to_string(), world.epoch).await {
        Ok(journal) => Work { object, spec: &spec, source, journal: &journal, world }.plan().await,
        Err(error) => fails(Issue::general(error.to_string())),
    }
}

/// A Kustomization that waits for another, which the cluster has nothing of yet. What its files hold against it is found
/// all the same; the cluster is no judge of it before the other has landed.
pub(super) async fn wait(object: &Object, source: &Fetched, dependency: &ObjectId, world: &World) -> Planned {
    let planned = plan(object, source, world).await;
    let fate = match planned.fate {
        Fate::Suspended => Fate::Suspended,
        Fate::Fails(issues) if issues.iter().any(|issue| issue.is_of_files) => {
            Fate::Fails(issues.into_iter().filter(|issue| issue.is_of_files).collect())
        }
        _ => Fate::Waits(format!("{dependency} lands first: the cluster has nothing of it yet")),
    };
    Planned { fate, ..planned }
}

/// What a plan is made of.
struct Work<'a> {
    object: &'a Object,
    spec: &'a KustomizationSpec,
    source: &'a Fetched,
    journal: &'a Journal,
    world: &'a World,
}

impl Work<'_> {
    async fn plan(self) -> Planned {
        let Self { object, spec, source, journal, world } = self;
        world.sources.put_files(source.clone());
        let landed = journal.landed().cloned();
        let user = world.user_of(object.namespace(), spec.service_account_name.as_deref());
        let job = Job { object, spec, source, landed: landed.as_deref(), user, since: tokio::time::Instant::now() };
        let compiled = match pipeline::compile(&job, world).await {
            Ok(compiled) => compiled,
            Err(report) => {
                let fate = Fate::Fails(report.problems.into_iter().map(Issue::from).collect());
                return Planned { _secrets: report.secrets, ..Planned::new(object, &source.revision, fate) };
            }
        };
        let wanted = compiled.candidate.objects.iter().map(|desired| desired.object.clone()).collect();
        let fate = match self.propose(compiled.candidate).await {
            Ok(prepared) => Fate::Lands(Box::new(prepared)),
            Err(failures) => Fate::Fails(failures.into_iter().map(Issue::from).collect()),
        };
        let warnings = compiled.warnings;
        Planned { warnings, wanted, _secrets: compiled.secrets, ..Planned::new(object, &source.revision, fate) }
    }

    async fn propose(&self, candidate: Candidate) -> Result<Prepared, Vec<apply::Failure>> {
        let status = Kustomization::status(self.object).unwrap_or_default();
        let behaviour = terms::behaviour(self.object, self.spec);
        let failed = terms::failed_before(self.journal, &candidate);
        let base = Base { failed, ..terms::base(Some(self.journal), &status) };
        let cluster = self.world.cluster_of(self.object.namespace(), self.spec.service_account_name.as_deref());
        let prepared = terms::propose(candidate, behaviour, &base, &cluster, &self.world.keys).await?;
        for change in prepared.landing().changes() {
            self.remember(&change.prior);
        }
        Ok(prepared)
    }

    /// Values that a Secret has until now may stand in other objects, too.
    fn remember(&self, prior: &Prior) {
        let before = match prior {
            Prior::Landed(desired) => &desired.object,
            Prior::Adopted(object) => object.as_ref(),
            Prior::Absent => return,
        };
        if before.is_secret() {
            values_of(before).iter().for_each(|(_, value)| self.world.redactor.remember(value));
        }
    }
}

/// The spec, when the agent would work on it.
fn readable(object: &Object) -> Result<KustomizationSpec, Issue> {
    let spec = Kustomization::spec(object).map_err(|error| Issue::general(error.to_string()))?;
    let unsupported = Kustomization::unsupported(object.value());
    if unsupported.is_empty() { Ok(spec) } else { Err(Issue::general(unsupported_message(&unsupported))) }
}

/// Name of the source of a Kustomization.
pub(super) fn source_name(object: &Object) -> SourceName {
    let text = |field: &str| object.text(&format!("/spec/sourceRef/{field}"));
    let namespace = text("namespace").unwrap_or(object.namespace());
    (text("kind").unwrap_or_default().into(), namespace.into(), text("name").unwrap_or_default().into())
}

/// Fetches the newest revision of a Kustomization's source, as the cluster or `known` objects declare it.
pub(super) async fn fetch(object: &Object, world: &World, known: sources::Known<'_>) -> Result<Fetched, Issue> {
    let name = source_name(object);
    if name.0 != "GitRepository" {
        return Err(Issue::general(format!("source kind '{}' is not supported", name.0)));
    }
    let at = Reference::new("source.toolkit.fluxcd.io/v1", &name.0, &name.1, &name.2);
    let source = match known(&at) {
        Some(source) => Some(source),
        None => world.cluster.get(&at).await.map_err(|error| Issue::general(error.to_string()))?,
    };
    let source = source.ok_or_else(|| Issue::general(format!("Source '{}' not found", at.id())))?;
    let fetched = sources::git::fetch(&name, &source, None, world, known).await;
    let fetched = fetched.map_err(|failure| Issue::general(failure.message))?;
    let revision = fetched.ok_or_else(|| Issue::general(format!("Source '{}' has no revision", at.id())))?;
    let (digest, secrets) = (revision.digest, revision.secrets);
    let artifact = Arc::new(revision.artifact);
    let revision = artifact.revision.clone();
    let Ok(verified) = artifact.verify(&crate::artifact::Trust::None);
    Ok(Fetched { name, revision, digest, verified, secrets })
}

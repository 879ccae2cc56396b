//! The plan of one Kustomization: what the agent would do with it now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use apply::plan::Prior;
use apply::report::Step as At;
use apply::{Base, Candidate, ClusterError, Journal, Landing, Outlook, Prepared, Reference};
use manifest::{Object, ObjectId, Origin};

use super::around::{Around, Neighbours};
use super::dangling;
use crate::api::Kind as _;
use crate::api::kustomization::{Kustomization, KustomizationSpec};
use crate::pipeline::compile::values_of;
use crate::pipeline::sources::{self, Fetched, SourceName};
use crate::pipeline::{self, Compiled, Job, Problem, Report, Stage, World, prune_guard, terms};
use crate::reconcile::claims;
use crate::reconcile::needs::{self, Lacking, Need, Search};
use crate::redact::Live;
use crate::status::unsupported_message;
use crate::unit::Unit;

/// What stands in the way of a landing, and where it was declared; never a value.
#[derive(Clone)]
pub(super) struct Issue {
    pub(super) id: Option<ObjectId>,
    pub(super) origin: Option<Origin>,
    pub(super) message: String,
    /// Whether it ends by itself, when another unit has landed.
    pub(super) is_passing: bool,
    /// Whether the files alone tell it, whatever the cluster has.
    is_of_files: bool,
}

impl Issue {
    pub(super) fn general(message: impl Into<String>) -> Self {
        Self { id: None, origin: None, message: message.into(), is_passing: false, is_of_files: false }
    }
}

impl From<Problem> for Issue {
    fn from(problem: Problem) -> Self {
        let is_of_files = match problem.stage {
            Stage::Source => true,
            Stage::Build => problem.origin.is_some(),
            Stage::Resolve | Stage::Render => false,
        };
        Self { id: problem.id, origin: problem.origin, message: problem.message, is_passing: false, is_of_files }
    }
}

impl From<apply::Failure> for Issue {
    fn from(failure: apply::Failure) -> Self {
        let apply::Failure { step, id, origin, message, .. } = failure;
        Self { id, origin, message, is_passing: step == At::Depend, is_of_files: false }
    }
}

/// What would become of a Kustomization.
pub(super) enum Fate {
    /// It would land so.
    Lands(Box<Prepared>),
    /// Nothing of it would be written.
    Fails(Vec<Issue>),
    /// It would wait for others, for these reasons.
    Waits(Vec<Issue>),
    /// It is suspended: by Git, or by somebody in the cluster.
    Suspended { is_in_git: bool },
}

impl Fate {
    /// That it is suspended, in words.
    pub(super) fn suspension(is_in_git: bool) -> &'static str {
        if is_in_git { "suspended in Git: would not land" } else { "suspended in the cluster: would not land" }
    }
}

/// An object that the unit does not declare any more.
pub(super) struct Leaving {
    pub(super) id: ObjectId,
    pub(super) outlook: Outlook,
    /// Who holds it or will make it.
    pub(super) others: BTreeSet<Unit>,
    /// What goes with it, where it is a Kustomization that prunes.
    pub(super) along: Vec<ObjectId>,
}

/// The plan of one Kustomization.
pub(super) struct Planned {
    pub(super) object: ObjectId,
    /// Revision that it is about; empty where no source could be had.
    pub(super) revision: String,
    pub(super) fate: Fate,
    pub(super) warnings: Vec<String>,
    /// What goes, and what others take over.
    pub(super) leaving: Vec<Leaving>,
    /// What stays behind, since `prune` is false, and nobody declares any more.
    pub(super) left: Vec<ObjectId>,
    /// Objects of it that others hold or will make, too.
    pub(super) beside: BTreeMap<ObjectId, BTreeSet<Unit>>,
    /// Whether units that nobody has looked at yet may change it.
    pub(super) is_unsure: bool,
    /// Keeps the plaintext known to the redactor.
    _secrets: Vec<Live>,
}

impl Planned {
    pub(super) fn new(object: &Object, revision: &str, fate: Fate) -> Self {
        let (object, revision) = (object.id(), revision.to_owned());
        let (warnings, leaving, left, beside) = (Vec::new(), Vec::new(), Vec::new(), BTreeMap::new());
        Self { object, revision, fate, warnings, leaving, left, beside, is_unsure: false, _secrets: Vec::new() }
    }

    /// Whether anything of it waits for others.
    pub(super) fn waits(&self) -> bool {
        match &self.fate {
            Fate::Lands(prepared) => prepared.landing().failures.iter().any(|failure| failure.step == At::Depend),
            Fate::Waits(_) => true,
            Fate::Fails(_) | Fate::Suspended { .. } => false,
        }
    }

    /// The same of a Kustomization that waits for another, which the cluster has nothing of yet. What its files hold against
    /// it is told all the same; the cluster is no judge of it before the other has landed.
    pub(super) fn after(self, dependency: &ObjectId) -> Self {
        let fate = match self.fate {
            Fate::Suspended { is_in_git } => Fate::Suspended { is_in_git },
            Fate::Fails(issues) if issues.iter().any(|issue| issue.is_of_files) => {
                Fate::Fails(issues.into_iter().filter(|issue| issue.is_of_files).collect())
            }
            _ => Fate::Waits(vec![Issue::general(format!(
                "{dependency} lands first: the cluster has nothing of it yet"
            ))]),
        };
        Self { fate, leaving: Vec::new(), left: Vec::new(), beside: BTreeMap::new(), ..self }
    }
}

/// A Kustomization, compiled at a revision of its source.
pub(super) struct Draft {
    pub(super) object: Object,
    revision: String,
    work: Result<Work, Refusal>,
}

/// Why nothing was compiled.
#[derive(Clone)]
enum Refusal {
    Suspended,
    Fails(Issue),
}

impl From<Refusal> for Fate {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Suspended => Self::Suspended { is_in_git: true },
            Refusal::Fails(issue) => Self::Fails(vec![issue]),
        }
    }
}

/// What a plan is made of.
struct Work {
    spec: KustomizationSpec,
    source: SourceName,
    journal: Journal,
    compiled: Result<Compiled, Report>,
}

impl Draft {
    /// Compiles a Kustomization. Changes nothing.
    pub(super) async fn of(object: Object, source: Result<Fetched, Issue>, world: &World) -> Self {
        let revision = source.as_ref().map(|source| source.revision.clone()).unwrap_or_default();
        let work = match source {
            Ok(source) => Work::compile(&object, &source, world).await,
            Err(issue) => Err(Refusal::Fails(issue)),
        };
        Self { object, revision, work }
    }

    pub(super) fn unit(&self) -> Unit {
        Unit::of(&Reference::of(&self.object))
    }

    fn candidate(&self) -> Option<&Candidate> {
        let compiled = self.work.as_ref().ok()?.compiled.as_ref().ok()?;
        Some(&compiled.candidate)
    }

    /// Everything that it wants, as far as that could be found out.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &Object> {
        let objects = self.candidate().into_iter().flat_map(|candidate| &candidate.objects);
        objects.map(|desired| &desired.object)
    }

    /// What it will make.
    pub(super) fn promised(&self) -> BTreeSet<Need> {
        self.candidate().map(needs::promised).unwrap_or_default()
    }

    /// Compares it with the cluster, as far as the units around it let it land. Changes nothing.
    pub(super) async fn plan(&self, around: &Around, world: &World) -> Planned {
        let unit = self.unit();
        let mut planned = Planned::new(&self.object, &self.revision, Fate::Suspended { is_in_git: true });
        match &self.work {
            Err(refusal) => planned.fate = refusal.clone().into(),
            Ok(work) => {
                let trial = Trial { object: &self.object, unit: &unit, work, around, world };
                if let Err(issues) = trial.run(&mut planned).await {
                    let waits = issues.iter().all(|issue| issue.is_passing);
                    planned.fate = if waits { Fate::Waits(issues) } else { Fate::Fails(issues) };
                }
            }
        }
        planned
    }
}

impl Work {
    async fn compile(object: &Object, source: &Fetched, world: &World) -> Result<Self, Refusal> {
        let spec = readable(object).map_err(Refusal::Fails)?;
        if spec.suspend {
            return Err(Refusal::Suspended);
        }
        let unit = Unit::of(&Reference::of(object)).to_string();
        let journal = Journal::load(world.journals.clone(), &unit, world.epoch).await;
        let journal = journal.map_err(|error| Refusal::Fails(Issue::general(error.to_string())))?;
        world.sources.put_files(source.clone());
        let landed = journal.landed().map(Arc::as_ref);
        let user = world.user_of(object.namespace(), spec.service_account_name.as_deref());
        let job = Job { object, spec: &spec, source, landed, user, since: tokio::time::Instant::now() };
        let compiled = pipeline::compile(&job, world).await;
        Ok(Self { spec, source: source.name.clone(), journal, compiled })
    }
}

/// The trial of what was compiled.
struct Trial<'a> {
    object: &'a Object,
    unit: &'a Unit,
    work: &'a Work,
    around: &'a Around,
    world: &'a World,
}

impl Trial<'_> {
    async fn run(&self, planned: &mut Planned) -> Result<(), Vec<Issue>> {
        let compiled = match &self.work.compiled {
            Ok(compiled) => compiled,
            Err(report) => {
                planned._secrets.clone_from(&report.secrets);
                return Err(self.unbuilt(report, planned).await?);
            }
        };
        planned.warnings.clone_from(&compiled.warnings);
        planned._secrets.clone_from(&compiled.secrets);
        let mut candidate = compiled.candidate.clone();
        let own = needs::promised(&candidate);
        let (spec, journal) = (&self.work.spec, &self.work.journal);
        let (landed, scope) = (journal.landed().map(Arc::as_ref), terms::behaviour(self.object, spec).scope);
        let is_anybody_unknown = || self.around.is_anybody_unknown(self.unit);
        let search = self.search(&is_anybody_unknown);
        let lacking = search.of_candidate(&candidate, &own, landed, scope).await.map_err(unanswered)?;
        candidate.failures.extend(self.noted(&search, lacking, planned));
        if !is_anybody_unknown() {
            let lost = dangling::warnings(&candidate, self.unit, &own, self.around, &self.world.cluster).await;
            planned.warnings.extend(lost.map_err(unanswered)?);
        }
        for id in candidate.objects.iter().map(|desired| desired.object.id()) {
            let others = self.around.beside(self.unit, &id);
            if !others.is_empty() {
                planned.beside.insert(id, others);
            }
        }
        planned.left = self.left_behind(&candidate).await.map_err(unanswered)?;
        let prepared = self.propose(candidate).await.map_err(of_failures)?;
        self.look_at_what_leaves(prepared.landing(), planned).await.map_err(unanswered)?;
        let status = Kustomization::status(self.object).unwrap_or_default();
        let prepared = prune_guard::check(self.object, &status, prepared).map_err(of_failures)?;
        planned.fate = Fate::Lands(Box::new(prepared));
        Ok(())
    }

    fn search<'s>(&'s self, is_anybody_unknown: &'s (dyn Fn() -> bool + Send + Sync)) -> Search<'s> {
        let needs = &self.around.needs;
        Search { unit: self.unit, needs, cluster: &self.world.cluster, is_anybody_unknown }
    }

    /// What the unit waits for, now that it is known by the others, too.
    fn noted(&self, search: &Search<'_>, mut lacking: Lacking, planned: &mut Planned) -> Vec<apply::Failure> {
        search.note(&mut lacking);
        planned.is_unsure |= lacking.lack.for_the_unknown;
        lacking.failures
    }

    /// Why it could not be built: for what others make and nobody has made yet, or for itself.
    async fn unbuilt(&self, report: &Report, planned: &mut Planned) -> Result<Vec<Issue>, Vec<Issue>> {
        let is_anybody_unknown = || self.around.is_anybody_unknown(self.unit);
        let search = self.search(&is_anybody_unknown);
        let lacking = search.of_build(self.object, &self.work.spec).await.map_err(unanswered)?;
        let waits = of_failures(self.noted(&search, lacking, planned));
        let issues = || report.problems.iter().cloned().map(Issue::from).collect();
        Ok(if waits.is_empty() { issues() } else { waits })
    }

    async fn propose(&self, candidate: Candidate) -> Result<Prepared, Vec<apply::Failure>> {
        let status = Kustomization::status(self.object).unwrap_or_default();
        let Work { spec, journal, .. } = self.work;
        let behaviour = terms::behaviour(self.object, spec);
        let failed = terms::failed_before(journal, &candidate);
        let base = Base { failed, ..terms::base(Some(journal), &status) };
        let base = self.around.claims.beside(self.unit, base, &candidate, |_| false);
        let cluster = self.world.cluster_of(self.object.namespace(), spec.service_account_name.as_deref());
        let prepared = terms::propose(candidate, behaviour, &base, &cluster, &self.world.keys).await?;
        for change in prepared.landing().changes() {
            self.remember(&change.prior);
        }
        Ok(prepared)
    }

    /// What becomes of all that the unit does not declare any more.
    async fn look_at_what_leaves(&self, landing: &Landing, planned: &mut Planned) -> Result<(), ClusterError> {
        let leaving = claims::units_among(landing.stale.iter().map(|stale| &stale.reference));
        let neighbours = Neighbours { around: self.around, unit: self.unit, source: &self.work.source, leaving };
        for stale in &landing.stale {
            let live = match self.world.cluster.get(&stale.reference).await {
                Err(ClusterError::NoKind { .. } | ClusterError::NotFound { .. }) => None,
                live => live?,
            };
            let (id, outlook) = (stale.reference.id(), apply::outlook(stale, live.as_ref(), landing, &neighbours));
            let others = self.around.beside(self.unit, &id);
            let live = live.filter(|_| outlook == Outlook::Deleted);
            let along = live.map(|live| self.goes_along(&live, &neighbours.leaving)).unwrap_or_default();
            planned.is_unsure |= outlook == Outlook::Unsure && others.is_empty() || !along.is_empty();
            planned.leaving.push(Leaving { id, outlook, others, along });
        }
        Ok(())
    }

    /// What a Kustomization deletes that is deleted itself: all that it lists and no unit that stays wants.
    fn goes_along(&self, gone: &Object, leaving: &BTreeSet<Unit>) -> Vec<ObjectId> {
        let unit = Unit::of(&Reference::of(gone));
        let spec = Kustomization::spec(gone).ok().filter(|_| leaving.contains(&unit));
        if !spec.is_some_and(|spec| spec.deletes_what_it_made()) {
            return Vec::new();
        }
        let status = Kustomization::status(gone).unwrap_or_default();
        let entries = status.inventory.iter().flat_map(|inventory| inventory.entries.iter());
        let ids = entries.filter_map(|entry| ObjectId::from_inventory(&entry.id).ok());
        ids.filter(|id| self.around.beside(&unit, id).is_subset(leaving)).collect()
    }

    /// What the inventory lists and nobody declares any more, where nothing is pruned.
    async fn left_behind(&self, candidate: &Candidate) -> Result<Vec<ObjectId>, ClusterError> {
        let mut left = Vec::new();
        if *self.work.spec.prune {
            return Ok(left);
        }
        let wanted: BTreeSet<ObjectId> = candidate.objects.iter().map(|desired| desired.object.id()).collect();
        let status = Kustomization::status(self.object).unwrap_or_default();
        let listed = terms::base(Some(&self.work.journal), &status).inventory;
        for at in listed.iter().filter(|at| !wanted.contains(&at.id())) {
            let live = match self.world.cluster.get(at).await {
                Err(ClusterError::NoKind { .. } | ClusterError::NotFound { .. }) => None,
                live => live?,
            };
            let is_there = live.is_some_and(|live| !live.is_terminating());
            if is_there && self.around.beside(self.unit, &at.id()).is_empty() {
                left.push(at.id());
            }
        }
        Ok(left)
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

fn of_failures(failures: Vec<apply::Failure>) -> Vec<Issue> {
    failures.into_iter().map(Issue::from).collect()
}

fn unanswered(error: ClusterError) -> Vec<Issue> {
    vec![Issue::general(error.to_string())]
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

//! A Kustomization and a revision of its source -> what the unit wants.
//!
//! ```text
//! artifact -> decrypt (on read, by purpose) -> build -> decrypt what is still sealed -> substitute -> own -> expand -> Candidate
//! ```

mod identities;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apply::desired::{Candidate, Desired, Policy};
use apply::{Reference, Scope};
use manifest::{Files, Gvk, Object, ObjectId};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::bases::Visit;
use super::expand::is_external_secret;
use super::sources::Fetched;
use super::{
    FLUX_SWITCH, MANAGER, Problem, Report, Stage, World, carries_finalizer, expand, foreign, object_version,
    owner_labels, says, spec_version, switch,
};
use crate::api::FINALIZER;
use crate::api::kustomization::{KustomizationSpec, SubstituteStrategy, ValuesKind};
use crate::redact::{Live, Redactor};
use crate::resolve::target;
use crate::substitute::{self, Unset, Variables, value_of};
use crate::unit::looks::Looked;
use crate::unit::{ReadSet, Thing, digest};
use crate::{build, decrypt};

/// How long all that a build fetches may take.
const MOST_FETCHING: Duration = Duration::from_secs(300);

/// What to compile: a Kustomization and the revision of its source.
pub struct Job<'a> {
    /// The Kustomization as the cluster has it.
    pub object: &'a Object,
    /// Its spec.
    pub spec: &'a KustomizationSpec,
    /// The revision.
    pub source: &'a Fetched,
    /// What landed last: its secrets stay when a store does not answer.
    pub landed: Option<&'a apply::Landing>,
    /// The user as whom its objects are written; `None` for the agent itself.
    pub user: Option<String>,
    /// Since when the work is wanted.
    pub since: Instant,
}

/// What a unit wants, and what is to be told of its parts.
pub struct Compiled {
    /// For the landing engine.
    pub candidate: Candidate,
    /// What became of each ExternalSecret.
    pub externals: Vec<expand::External>,
    /// What became of each HelmRelease.
    pub releases: Vec<expand::Rendered>,
    /// What concerns single ExternalSecrets and HelmReleases, and holds what belongs with them.
    pub problems: Vec<Problem>,
    /// Things that are odd and do not stop the landing.
    pub warnings: Vec<String>,
    /// Keeps the plaintext that was seen known to the redactor.
    pub secrets: Vec<Live>,
}

/// What is said of a source of variables that the unit makes itself.
const MADE_TOO_LATE: &str =
    ". This Kustomization makes it itself, and cannot be built before it is there: declare it in another one";

/// Compiles a Kustomization: everything that can fail without asking the cluster to accept anything.
///
/// # Errors
/// All that keeps the unit's objects from being known, with what was read. What concerns single objects is no error: it is
/// among the candidate's failures.
pub async fn compile(job: &Job<'_>, world: &World) -> Result<Compiled, Report> {
    let looked = Arc::new(Looked::new(job.source.verified.files().clone()));
    let (secrets, warnings) = (Vec::new(), Vec::new());
    let mut compile = Compile { job, world, looked, read_set: ReadSet::default(), secrets, warnings };
    match compile.run().await {
        Ok(compiled) => Ok(compiled),
        Err(problems) => {
            let Compile { read_set, secrets, .. } = compile;
            Err(Report { problems, read_set, secrets })
        }
    }
}

struct Compile<'a> {
    job: &'a Job<'a>,
    world: &'a World,
    /// The revision's files, and what was looked at of them.
    looked: Arc<Looked>,
    read_set: ReadSet,
    secrets: Vec<Live>,
    warnings: Vec<String>,
}

impl Compile<'_> {
    async fn run(&mut self) -> Result<Compiled, Vec<Problem>> {
        self.read_set.note(Thing::Spec, spec_version(self.job.object));
        self.read_set.note(self.job.source.thing(), self.job.source.digest.clone());
        let identities = self.identities().await?.map(Arc::new);
        let variables = self.variables(&identities).await?;
        let built = self.build(identities.clone(), variables).await?;
        let digest = format!("sha256:{}", digest(kustomize::print(&built).as_bytes()));
        self.read_set.note(Thing::Built, digest);
        let objects = self.own(self.scoped(built).await);
        let input = expand::Input {
            objects: &objects,
            landed: self.job.landed,
            user: self.job.user.clone(),
            since: self.job.since,
            own: Some((&self.job.source.name, &self.looked)),
            identities,
            presumes: false,
        };
        let mut expanded = expand::expand(input, self.world, &mut self.read_set).await;
        let mut own: Vec<Desired> =
            objects.into_iter().map(|object| self.policed(Desired::new(self.held(object), MANAGER))).collect();
        expanded.merge(&mut own);
        let objects = own.into_iter().chain(expanded.objects).collect();
        let mut candidate = Candidate {
            revision: self.job.source.revision.clone(),
            objects,
            releases: expanded.releases,
            removals: expanded.removals,
            ..Candidate::default()
        };
        let foreign = foreign::secrets(&candidate, self.world.cluster.as_ref(), &mut self.read_set).await;
        candidate.foreign = foreign.map_err(|error| vec![Problem::cluster(Stage::Resolve, &error)])?;
        if let Some((looks, seen)) = self.looked.looks() {
            let (kind, namespace, name) = self.job.source.name.clone();
            self.read_set.note(Thing::Paths { kind, namespace, name, looks }, seen);
        }
        candidate.input = self.read_set.digest();
        candidate.read_set = self.read_set.to_value();
        self.secrets.append(&mut expanded.secrets);
        self.secrets.push(register(&candidate, &self.world.redactor));
        let mut problems = expanded.problems;
        for problem in &mut problems {
            problem.message = self.world.redactor.redact(&problem.message).into_owned();
        }
        let candidate = Candidate { failures: problems.iter().map(Into::into).collect(), ..candidate };
        Ok(Compiled {
            candidate,
            problems,
            externals: expanded.externals,
            releases: expanded.rendered,
            warnings: std::mem::take(&mut self.warnings),
            secrets: std::mem::take(&mut self.secrets),
        })
    }

    /// Variables of `postBuild`, later ones winning; `None` when nothing is to be substituted.
    async fn variables(
        &mut self,
        identities: &Option<Arc<decrypt::Identities>>,
    ) -> Result<Option<Variables>, Vec<Problem>> {
        let mut variables = Variables::new();
        let Some(post_build) = &self.job.spec.post_build else { return Ok(None) };
        let mut missing = Vec::new();
        for source in &post_build.substitute_from {
            let kind = if source.kind == ValuesKind::Secret { "Secret" } else { "ConfigMap" };
            let at = Reference::new("v1", kind, self.job.object.namespace(), &source.name);
            match self.read(&at, Stage::Build).await? {
                Some(object) if object.is_secret() => {
                    self.secrets.push(self.witness(&object));
                    let values = values_of(&object).into_iter();
                    variables.extend(values.map(|(key, value)| (key, value_of(&String::from_utf8_lossy(&value)))));
                }
                Some(object) => {
                    let data = object.value().get("data").and_then(Value::as_object).into_iter().flatten();
                    let texts = data.filter_map(|(key, value)| Some((key.clone(), value_of(value.as_str()?))));
                    variables.extend(texts);
                }
                None if source.optional => {}
                None => missing.push(at.id()),
            }
        }
        variables.extend(post_build.substitute.iter().map(|(key, value)| (key.clone(), value_of(value))));
        if missing.is_empty() {
            let is_meant = !variables.is_empty() || post_build.substitute_strategy == SubstituteStrategy::Always;
            return Ok(is_meant.then_some(variables));
        }
        let own = self.own_ids(identities.clone()).await;
        let hint = |id: &ObjectId| if own.contains(id) { MADE_TOO_LATE } else { "" };
        let told = missing.iter().map(|id| format!("substitute from '{id}' error: not found{}", hint(id)));
        Err(told.map(|message| Problem::general(Stage::Build, message)).collect())
    }

    /// What the unit would make, as far as that is known without its variables.
    async fn own_ids(&mut self, identities: Option<Arc<decrypt::Identities>>) -> BTreeSet<ObjectId> {
        let built = self.build(identities, None).await.unwrap_or_default();
        let objects = self.scoped(built).await;
        let targets = objects.iter().filter(|object| is_external_secret(object));
        let targets: BTreeSet<ObjectId> = targets.map(|external| target::reference(external).id()).collect();
        objects.iter().map(Object::id).chain(targets).collect()
    }

    /// Opens, builds and substitutes, on a thread that may block.
    async fn build(
        &mut self,
        identities: Option<Arc<decrypt::Identities>>,
        variables: Option<Variables>,
    ) -> Result<Vec<Object>, Vec<Problem>> {
        let is_allowed = !self.world.settings.no_remote_bases;
        let visit = || Visit::new(self.world.bases.clone(), self.job.since, Handle::current()).within(MOST_FETCHING);
        let visit = is_allowed.then(|| Arc::new(visit()));
        let recipe = Recipe {
            files: self.looked.clone(),
            spec: self.job.object.value().get("spec").cloned().unwrap_or_default(),
            path: self.job.spec.path.clone().unwrap_or_default(),
            identities,
            enforces_mac: switch(self.job.object, "sops-mac") == Some("enforce"),
            variables,
            unset: if self.world.settings.lenient_substitutions { Unset::Empty } else { Unset::Error },
            visit: visit.clone(),
        };
        let redactor = self.world.redactor.clone();
        let built = tokio::task::spawn_blocking(move || recipe.build(&redactor)).await;
        if let Some(fetched) = visit.map(|visit| visit.end()) {
            fetched.note(&mut self.read_set);
            self.warnings.extend(fetched.warnings);
        }
        let ended = |_| vec![Problem::general(Stage::Build, "the build ended unexpectedly")];
        let Built { objects, warnings, secrets } = built.map_err(ended)??;
        self.warnings.extend(warnings);
        self.secrets.extend(secrets);
        Ok(objects)
    }

    /// `targetNamespace` gives every object a namespace whose kind kustomize does not know. The server knows better, and
    /// expanding must find a ClusterSecretStore under its own name; kinds that come with the unit are left to the plan.
    async fn scoped(&self, mut objects: Vec<Object>) -> Vec<Object> {
        let named = objects.iter().filter(|object| !object.namespace().is_empty());
        let kinds: BTreeSet<Gvk> = named.map(Object::gvk).collect();
        for gvk in kinds {
            if let Ok(Some(Scope::Cluster)) = self.world.cluster.scope(&gvk).await {
                let of_kind = objects.iter_mut().filter(|object| object.gvk() == gvk);
                of_kind.for_each(|object| drop(object.metadata().remove("namespace")));
            }
        }
        objects
    }

    /// Flux's owner labels, then `commonMetadata`, which wins.
    fn own(&self, mut objects: Vec<Object>) -> Vec<Object> {
        let (namespace, name) = (self.job.object.namespace(), self.job.object.name());
        for object in &mut objects {
            for (key, value) in owner_labels(namespace, name) {
                object.set_label(&key, &value);
            }
            let Some(common) = &self.job.spec.common_metadata else { continue };
            common.labels.iter().for_each(|(key, value)| object.set_label(key, value));
            common.annotations.iter().for_each(|(key, value)| object.set_annotation(key, value));
        }
        objects
    }

    /// What this agent reconciles comes with its finalizer, which would be a request of its own as soon as it is there.
    fn held(&self, mut object: Object) -> Object {
        let is_ours = self.world.settings.only.as_deref().is_none_or(|only| only == object.namespace());
        if is_ours && carries_finalizer(&object) {
            let finalizers = object.metadata().entry("finalizers").or_insert(Value::Null);
            let mut names = finalizers.as_array().cloned().unwrap_or_default();
            if !names.iter().any(|name| name == FINALIZER) {
                names.push(FINALIZER.into());
            }
            *finalizers = names.into();
        }
        object
    }

    /// What Flux's annotations on the object itself ask for.
    fn policed(&self, mut desired: Desired) -> Desired {
        let is = |key: &str, value: &str| says(&desired.object, &format!("{FLUX_SWITCH}{key}"), value);
        let policy = match () {
            () if is("ssa", "ignore") || is("reconcile", "disabled") => Policy::Ignore,
            () if is("ssa", "ifnotpresent") => Policy::IfNotPresent,
            () if is("ssa", "merge") => Policy::Merge,
            () => desired.policy,
        };
        desired.awaited = !expand::is_told(&desired.object);
        let force = self.job.spec.force || is("force", "enabled");
        let keep = desired.keep || is("prune", "disabled");
        (desired.policy, desired.force, desired.keep) = (policy, desired.force || force, keep);
        desired
    }

    pub(super) async fn read(&mut self, at: &Reference, stage: Stage) -> Result<Option<Object>, Vec<Problem>> {
        let found = self.world.cluster.get(at).await.map_err(|error| vec![Problem::cluster(stage, &error)])?;
        self.read_set.note(Thing::object(at), object_version(found.as_ref()));
        Ok(found)
    }

    fn witness(&self, secret: &Object) -> Live {
        self.world.redactor.register(values_of(secret).iter().map(|(_, value)| value.as_slice()))
    }
}

/// What is built, from files to objects.
struct Recipe {
    files: Arc<dyn Files>,
    spec: Value,
    path: String,
    identities: Option<Arc<decrypt::Identities>>,
    enforces_mac: bool,
    variables: Option<Variables>,
    /// What a variable means that is not among them.
    unset: Unset,
    /// Fetches remote bases, where they are allowed.
    visit: Option<Arc<Visit>>,
}

struct Built {
    objects: Vec<Object>,
    warnings: Vec<String>,
    secrets: Vec<Live>,
}

impl Recipe {
    fn build(self, redactor: &Redactor) -> Result<Built, Vec<Problem>> {
        let secrets = Mutex::new(Vec::new());
        let witness =
            |value: &[u8]| secrets.lock().unwrap_or_else(PoisonError::into_inner).push(redactor.register([value]));
        let built = self.steps(&witness);
        let (objects, warnings) = built?;
        Ok(Built { objects, warnings, secrets: secrets.into_inner().unwrap_or_default() })
    }

    fn steps(&self, witness: &(dyn Fn(&[u8]) + Send + Sync)) -> Result<(Vec<Object>, Vec<String>), Vec<Problem>> {
        let files = decrypt::Files::new(self.files.clone(), self.identities.as_deref(), self.enforces_mac, witness);
        let remote = self.visit.as_deref().map(|visit| visit as &dyn kustomize::Remote);
        let built = build::objects(&files, &self.path, &self.spec, remote);
        let mut objects = built.map_err(|errors| errors.into_iter().map(of_build).collect::<Vec<_>>())?;
        let opened = decrypt::sealed(&mut objects, self.identities.as_deref(), witness);
        let mut problems: Vec<Problem> = opened.err().iter().flatten().map(|error| of_step(error)).collect();
        // What stays sealed is not substituted, but the others can be told of.
        objects.retain(|object| problems.is_empty() || object.value().get("sops").is_none());
        let substituted = match &self.variables {
            Some(variables) => substitute::all(objects, variables, self.unset),
            None => Ok(objects),
        };
        let objects = substituted.unwrap_or_else(|errors| {
            problems.extend(errors.iter().map(|error| of_step(error)));
            Vec::new()
        });
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok((objects, files.warnings()))
    }
}

fn of_build(error: build::Error) -> Problem {
    let stage = if error.is_path { Stage::Source } else { Stage::Build };
    Problem { origin: error.origin, transient: error.is_transient, ..Problem::general(stage, error.message) }
}

fn of_step(error: &dyn std::error::Error) -> Problem {
    Problem::general(Stage::Build, error.to_string())
}

/// Makes the values of every Secret that will be written known to the redactor.
pub fn register(candidate: &Candidate, redactor: &Redactor) -> Live {
    redactor.register(plaintext(candidate).iter().map(Vec::as_slice))
}

fn plaintext(candidate: &Candidate) -> Vec<Vec<u8>> {
    let releases = candidate.releases.iter().flat_map(|release| &release.objects);
    let objects = candidate.objects.iter().chain(releases).map(|desired| &desired.object);
    let secrets = objects.filter(|object| object.is_secret());
    secrets.flat_map(values_of).map(|(_, value)| value).collect()
}

/// The decoded values of a Secret, by key.
pub fn values_of(secret: &Object) -> Vec<(String, Vec<u8>)> {
    let field = |name: &str| secret.value().get(name).and_then(Value::as_object).into_iter().flatten();
    let data = field("data").filter_map(|(key, value)| Some((key.clone(), manifest::decoded(value.as_str()?).ok()?)));
    let texts = field("stringData").filter_map(|(key, value)| Some((key.clone(), value.as_str()?.as_bytes().to_vec())));
    data.chain(texts).collect()
}

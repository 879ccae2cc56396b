//! The steps in order, up to what a unit wants from the cluster. Changes nothing: `lockstep plan` is this and a dry run.
//!
//! [`compile()`] takes a Kustomization to a candidate; [`expand`] is its last part, and all that a HelmRelease or an
//! ExternalSecret outside any Kustomization needs. A step gathers all its failures; build-level failures hold the unit, because its objects are not known. Everything
//! that is read is noted in the [`ReadSet`], also by a compile that fails: it tells when to try again.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apply::{Cluster, ClusterError};
use manifest::{Object, ObjectId, Origin};
use serde_json::Value;
use tokio::time::Instant;

use crate::api::kustomization::SWITCH;
use crate::cluster::journal::{ClusterStore, Keys};
use crate::decrypt::{Credentials, Variables};
use crate::redact::{Live, Redactor};
use crate::resolve::azure::PodIdentity;
use crate::resolve::{Resolver, Setup};
use crate::source::base::{self, Bases};
use crate::source::http;
use crate::source::netrc::Netrc;
use crate::unit::{MISSING, ReadSet, Thing, digest};

pub mod again;
pub mod bases;
pub mod compile;
pub mod expand;
pub mod foreign;
pub mod prune_guard;
pub mod ready;
pub mod sources;
pub mod terms;

pub use compile::{Compiled, Job, compile};
use sources::Sources;

/// Field manager of what Kustomizations apply.
pub const MANAGER: &str = "kustomize-controller";
/// Prefix of the switches that managed objects carry for Flux.
const FLUX_SWITCH: &str = "kustomize.toolkit.fluxcd.io/";

/// What the process has.
pub struct World {
    /// The cluster, as the agent.
    pub cluster: Arc<dyn Cluster>,
    /// Where journals are kept.
    pub journals: Arc<dyn apply::Store>,
    /// The agent's own keys.
    pub keys: Arc<Keys>,
    /// Epoch of the leader lease.
    pub epoch: u64,
    /// What was fetched.
    pub sources: Sources,
    /// What kustomizations name outside of their sources.
    pub bases: Arc<Bases>,
    /// Reads stores of secrets.
    pub resolver: Arc<Resolver>,
    /// Asks key vaults; follows no redirect.
    pub http: reqwest::Client,
    /// Who our own pod is towards clouds.
    pub clouds: Credentials,
    /// Deletions in stores that were seen once.
    pub sightings: Sightings,
    /// Every live secret value.
    pub redactor: Redactor,
    /// How the process was set up.
    pub settings: Settings,
}

/// What a [`World`] is made from.
pub struct Parts {
    /// The cluster, as the agent.
    pub cluster: Arc<dyn Cluster>,
    /// The agent's own keys.
    pub keys: Keys,
    /// Epoch of the leader lease.
    pub epoch: u64,
    /// Every live secret value.
    pub redactor: Redactor,
    /// The identity of our own pod.
    pub pod: PodIdentity,
    /// How the process was set up.
    pub settings: Settings,
}

impl World {
    /// Puts a process together; nothing is read or connected to yet.
    ///
    /// # Errors
    /// When certificates or the proxy's address cannot be read.
    pub fn new(parts: Parts) -> Result<Self, http::HttpError> {
        let Parts { cluster, keys, epoch, redactor, pod, settings } = parts;
        let keys = Arc::new(keys);
        let journals = Arc::new(ClusterStore::new(cluster.clone(), &settings.namespace, keys.clone()));
        let options = http::Options { refuses_redirects: true, ..settings.options(http::Options::default()) };
        let known = redactor.clone();
        let http = http::client(&options)?;
        let setup = Setup {
            cluster: cluster.clone(),
            http: http.clone(),
            pod,
            class: "default".into(),
            witness: Arc::new(move |value| known.remember(value)),
        };
        let resolver = Resolver::new(setup);
        let bases = base::Setup {
            client: http::client(&settings.options(http::Options::default()))?,
            mirrors: settings.mirrors.clone(),
            folder: settings.cache.join("bases"),
            accounts: Netrc::default(),
            reads_this_machine: false,
        };
        let (sources, bases, sightings) = (Sources::default(), Arc::new(Bases::new(bases)), Sightings::default());
        let clouds = settings.variables.as_ref().map(Credentials::of_pod).unwrap_or_default();
        Ok(Self {
            cluster,
            journals,
            keys,
            epoch,
            sources,
            bases,
            resolver,
            http,
            clouds,
            sightings,
            redactor,
            settings,
        })
    }

    /// The user of a unit's ServiceAccount, or of the default one when it names none; `None` for the agent itself.
    pub fn user_of(&self, namespace: &str, service_account: Option<&str>) -> Option<String> {
        let account = service_account.or(self.settings.default_service_account.as_deref());
        account.map(|name| format!("system:serviceaccount:{namespace}:{name}"))
    }

    /// The cluster as a unit's user sees it.
    pub fn cluster_of(&self, namespace: &str, service_account: Option<&str>) -> Arc<dyn Cluster> {
        match self.user_of(namespace, service_account) {
            Some(user) => self.cluster.impersonate(&user),
            None => self.cluster.clone(),
        }
    }
}

/// What of the configuration the steps need.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Namespace of the agent itself.
    pub namespace: String,
    /// The only namespace whose objects are reconciled; `None` for all.
    pub only: Option<String>,
    /// Folder for fetched repositories.
    pub cache: std::path::PathBuf,
    /// Replacements for source URLs.
    pub mirrors: Vec<crate::source::Mirror>,
    /// Proxy for everything that is fetched.
    pub proxy: Option<String>,
    /// Further certificate authorities, PEM.
    pub authorities: Option<Vec<u8>>,
    /// How long an object whose dependency is not ready waits.
    pub requeue_dependency: Duration,
    /// Asks `readyExpr` besides the readiness of a dependency, not instead of it.
    pub additive_dependency_check: bool,
    /// Leaves `postBuild` variables empty that have no value and no default.
    pub lenient_substitutions: bool,
    /// Selector of the labels of ConfigMaps and Secrets whose readers look as soon as they change; `None` for no such watch.
    pub watched_configs: Option<String>,
    /// Refuses references to objects of other namespaces.
    pub no_cross_namespace_refs: bool,
    /// Refuses what kustomizations name outside of their sources.
    pub no_remote_bases: bool,
    /// ServiceAccount that applies when a spec names none.
    pub default_service_account: Option<String>,
    /// Secret of our own namespace with the age identities of specs that name none.
    pub age_secret: Option<String>,
    /// ServiceAccount that is asked for as whom key vaults are met, when a spec names none.
    pub default_decryption_service_account: Option<String>,
    /// ConfigMap of our own namespace with the Vault servers where ServiceAccounts log in.
    pub vault_config_map: Option<String>,
    /// Namespace and name of our own ServiceAccount, where there is one.
    pub own_account: Option<(String, String)>,
    /// The environment, as far as clouds are asked as our own pod, or as the user.
    pub variables: Option<Variables>,
}

impl Settings {
    /// What a client for a source trusts and passes through, with what its own Secrets say on top.
    pub fn options(&self, own: http::Options) -> http::Options {
        let proxy = || self.proxy.clone().map(|address| http::Proxy { address, account: None });
        let authorities = match (own.authorities, &self.authorities) {
            (Some(own), Some(all)) => Some([own, all.clone()].concat()),
            (own, all) => own.or_else(|| all.clone()),
        };
        http::Options { authorities, proxy: own.proxy.or_else(proxy), ..own }
    }
}

/// What ExternalSecrets have asked for and their stores did not have, and since when. A restart forgets it, which only delays a
/// deletion.
#[derive(Default)]
pub struct Sightings(Mutex<HashMap<ObjectId, BTreeMap<Thing, Instant>>>);

impl Sightings {
    /// Notes what an ExternalSecret misses now, and forgets what is back; whether it has missed all of that for an `interval`.
    pub fn are_old<'a>(&self, id: &ObjectId, missing: impl Iterator<Item = &'a Thing>, interval: Duration) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, now) = (seen.remove(id).unwrap_or_default(), Instant::now());
        let since = |thing: &Thing| before.get(thing).copied().unwrap_or(now);
        let missing: BTreeMap<Thing, Instant> = missing.map(|thing| (thing.clone(), since(thing))).collect();
        let are_old = missing.values().all(|first| first.elapsed() >= interval);
        if !missing.is_empty() {
            seen.insert(id.clone(), missing);
        }
        are_old
    }
}

/// The step of a compile in which something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// The path or the artifact.
    Source,
    /// Decrypting, building, substituting: the unit's objects are not known.
    Build,
    /// An ExternalSecret.
    Resolve,
    /// A HelmRelease.
    Render,
}

/// One thing that failed, and where it was declared; never a value.
#[derive(Clone, Debug)]
pub struct Problem {
    /// In which step.
    pub stage: Stage,
    /// Which object, when it is about one.
    pub id: Option<ObjectId>,
    /// Where it was declared.
    pub origin: Option<Origin>,
    /// What failed.
    pub message: String,
    /// The reason that the object's own controller gives for it in Flux, where it is not that of the stage.
    pub why: Option<&'static str>,
    /// Whether it may pass later although no input changes.
    pub transient: bool,
}

impl Problem {
    /// About no object in particular.
    pub fn general(stage: Stage, message: impl Into<String>) -> Self {
        Self { stage, id: None, origin: None, message: message.into(), why: None, transient: false }
    }

    /// About an object of the unit.
    pub fn about(stage: Stage, object: &Object, message: impl Into<String>) -> Self {
        let (id, origin) = (Some(object.id()), object.origin().cloned());
        Self { id, origin, ..Self::general(stage, message) }
    }

    /// What the cluster said.
    pub fn cluster(stage: Stage, error: &ClusterError) -> Self {
        Self { transient: error.is_transient(), ..Self::general(stage, error.to_string()) }
    }
}

/// Of a problem that concerns one part of a unit: what fails there holds its parcel.
impl From<&Problem> for apply::Failure {
    fn from(problem: &Problem) -> Self {
        let Problem { id, origin, message, transient, .. } = problem.clone();
        Self { step: apply::report::Step::Expand, id, origin, message, transient }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        if let Some(id) = self.id.as_ref().filter(|id| !self.message.contains(&id.to_string())) {
            write!(f, "{id}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that failed in one pass, and what was read until then.
pub struct Report {
    /// At least one.
    pub problems: Vec<Problem>,
    /// What was read.
    pub read_set: ReadSet,
    /// Keeps the plaintext known to the redactor.
    pub secrets: Vec<Live>,
}

impl Report {
    /// Whether trying again without a changed input may help.
    pub fn is_transient(&self) -> bool {
        self.problems.iter().any(|problem| problem.transient)
    }
}

/// Labels by which kustomize-controller knows its objects.
pub fn owner_labels(namespace: &str, name: &str) -> Vec<(String, String)> {
    vec![(format!("{FLUX_SWITCH}name"), name.into()), (format!("{FLUX_SWITCH}namespace"), namespace.into())]
}

/// Whether a reconciler of ours puts Flux's finalizer on an object.
fn carries_finalizer(object: &Object) -> bool {
    let kinds = [("kustomize.toolkit.fluxcd.io", "Kustomization"), ("helm.toolkit.fluxcd.io", "HelmRelease")];
    let gvk = object.gvk();
    kinds.contains(&(&gvk.group, &gvk.kind))
}

/// A switch of a Flux object (landing.md section 10).
pub fn switch<'a>(object: &'a Object, name: &str) -> Option<&'a str> {
    object.annotation(&format!("{SWITCH}{name}"))
}

/// Whether a label or annotation has a value, in any case, as Flux reads its switches.
pub fn says(object: &Object, key: &str, value: &str) -> bool {
    [object.label(key), object.annotation(key)].into_iter().flatten().any(|found| found.eq_ignore_ascii_case(value))
}

/// Version of what a unit's own object asks for: spec, switches, and a request to reconcile.
pub fn spec_version(object: &Object) -> String {
    let annotations = object.value().pointer("/metadata/annotations").and_then(Value::as_object);
    let mut text = object.value().get("spec").map(Value::to_string).unwrap_or_default();
    for (key, value) in annotations.into_iter().flatten() {
        if key.starts_with(SWITCH) || key.starts_with("reconcile.fluxcd.io/") {
            text.push_str(&format!("\n{key}={value}"));
        }
    }
    digest(text.as_bytes())
}

/// Version of an object that is read for its values.
pub fn object_version(object: Option<&Object>) -> String {
    let Some(object) = object else { return MISSING.into() };
    let fields = ["data", "stringData", "binaryData", "spec"];
    let content: Vec<_> = fields.iter().map(|field| object.value().get(field)).collect();
    digest(serde_json::to_string(&content).unwrap_or_default().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deletion_is_seen_twice_only_an_interval_apart_and_with_nothing_in_between() {
        let (sightings, interval) = (Sightings::default(), Duration::from_secs(60));
        let [id, other] = ["e", "f"].map(|name| ObjectId {
            namespace: "n".into(),
            name: name.into(),
            group: "external-secrets.io".into(),
            kind: "ExternalSecret".into(),
        });
        let [all, key] = ["all", "key"].map(|name| Thing::Declared { id: name.into() });
        let are_old = |id: &ObjectId, missing: &[&Thing]| sightings.are_old(id, missing.iter().copied(), interval);
        assert!(are_old(&id, &[]), "nothing is missing");
        assert!(!are_old(&id, &[&all]), "the first");
        assert!(!are_old(&id, &[&all]), "too soon");
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(!are_old(&id, &[&all]), "still too soon");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!are_old(&other, &[&all]), "of another");
        assert!(are_old(&id, &[&all]));
        assert!(!are_old(&id, &[&all, &key]), "more is missing now");
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(are_old(&id, &[&all, &key]));
        assert!(are_old(&id, &[]));
        assert!(!are_old(&id, &[&key]), "it was there in between");
    }
}

//! `lockstep plan`: what the agent would do, and nothing of it done.

mod around;
mod checkout;
mod dangling;
mod parcels;
mod planning;
mod report;
mod unit;
mod unwritten;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use apply::memory::Simulation;
use apply::{Call, Cluster};
use clap::{Args, ValueEnum};
use manifest::Object;
use serde_json::json;

use super::document::Document;
use super::folder::Folder;
use super::target::Target;
use super::{Failure, Outcome, print};
use crate::api::schema;
use crate::cluster::journal::Keys;
use crate::cluster::local::Local;
use crate::config;
use crate::decrypt::Variables;
use crate::pipeline::{Parts, Settings, World};
use crate::redact::Redactor;
use crate::resolve::azure::PodIdentity;
use planning::Planning;
use unit::Planned;
use unwritten::Unwritten;

/// Exit code of a plan that changes something.
const CHANGES: u8 = 2;
const FLUX: &str = "kustomize.toolkit.fluxcd.io/v1";

/// Show what a revision would change in a cluster, and everything that stands in its way.
///
/// It is planned as the agent does it: files are decrypted, built and substituted, external secrets are resolved, charts are
/// rendered, and the server tries every object in a dry run. Nothing is written. Values of Secrets are told only as
/// added, changed or removed.
///
/// What the other Kustomizations of the cluster hold, make or declare counts as it does for the agent: an object that moves to
/// another one is handed over, one that several declare is shared, and what another one is still to make is waited for.
///
/// With PATH, local files take the place of their source: those of the Kustomization whose path it is, and those of every
/// Kustomization that is declared there. With --kustomization, one of the cluster is planned, at the newest revision of
/// its source; with both, that one with these files.
///
/// Whoever plans needs to read Secrets, those of the agent's namespace, too, to apply in dry runs, and to impersonate the
/// ServiceAccounts that Kustomizations name. Keys of clouds are asked as whoever plans, where neither the decryption
/// Secret nor a ServiceAccount says otherwise. Exit codes: 0 for no change, 2 for changes, 1 when something stands in the way.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
                        lockstep plan ./clusters/production\n  \
                        lockstep plan ./apps/production --kustomization apps\n  \
                        lockstep plan ./clusters/production --parcels -o dot | dot -Tsvg > parcels.svg\n  \
                        lockstep plan ./clusters/production --embedded --with sops-age.yaml")]
pub(super) struct Arguments {
    /// Folder with Flux Kustomizations, or with a kustomization that one of the cluster is for.
    #[arg(required_unless_present = "kustomization")]
    path: Option<PathBuf>,
    /// Plan this Kustomization of the cluster.
    #[arg(long, value_name = "NAME")]
    kustomization: Option<String>,
    /// Namespace of Kustomizations.
    #[arg(short, long, value_name = "NAME", default_value = "flux-system")]
    namespace: String,
    /// Namespace of the agent, which holds its keys and journals.
    #[arg(long, value_name = "NAME", default_value = "lockstep-system")]
    agent_namespace: String,
    /// ServiceAccount of Kustomizations that name none, as the agent was told.
    #[arg(long, value_name = "NAME")]
    default_service_account: Option<String>,
    /// Refuse kustomizations with remote bases or files, as the agent was told.
    #[arg(long)]
    no_remote_bases: bool,
    /// Gates of Flux's controllers, as the agent was told: StrictPostBuildSubstitutions=false leaves variables without a value
    /// empty.
    #[arg(long, value_name = "NAME=BOOL,...", value_delimiter = ',', value_parser = config::parse_gate)]
    feature_gates: Vec<(String, bool)>,
    #[command(flatten)]
    target: Target,
    /// Plan against a cluster in memory: an empty one, in which Kustomizations find what those before them made.
    #[arg(long, conflicts_with_all = ["kubeconfig", "context"])]
    embedded: bool,
    /// Folder of a cluster in memory that was kept; it stays as it is.
    #[arg(long, value_name = "DIR", requires = "embedded")]
    cluster: Option<PathBuf>,
    /// Objects that the cluster in memory has besides, such as the Secret with an age key. May be repeated.
    #[arg(long, value_name = "FILE", requires = "embedded")]
    with: Vec<PathBuf>,
    /// Fetches sources below FROM from TO instead; the longest FROM wins. May be repeated.
    #[arg(long, value_name = "FROM=TO")]
    mirror: Vec<String>,
    /// Show what lands together instead of what changes: the parcels of each unit, what belongs with what, and what
    /// depends on what. A parcel that fails is held alone, with those that depend on it.
    #[arg(long)]
    parcels: bool,
    /// As text, when nothing is said; `dot` draws parcels for Graphviz.
    #[arg(short, long, value_enum)]
    output: Option<Form>,
}

/// The form of the answer.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Json,
    Yaml,
    /// With --parcels.
    Dot,
}

impl Arguments {
    pub(super) fn run(self) -> Outcome {
        if self.output == Some(Form::Dot) && !self.parcels {
            return Err(anyhow!("-o dot draws parcels: say --parcels, too").into());
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let redactor = Redactor::default();
        let planned = runtime.block_on(self.play(&redactor));
        let planned = planned.map_err(|error| anyhow!("{}", redactor.redact(&format!("{error:#}"))))?;
        let document = |form: Document| form.text(&report::value(&planned, &redactor));
        match (self.output, self.parcels) {
            (None, false) => super::print_styled(&report::text(&planned, &redactor))?,
            (None, true) => super::print_styled(&parcels::text(&planned, &redactor))?,
            (Some(Form::Dot), _) => print(parcels::dot(&planned, &redactor).as_bytes())?,
            (Some(Form::Json), _) => print(document(Document::Json).as_bytes())?,
            (Some(Form::Yaml), _) => print(document(Document::Yaml).as_bytes())?,
        }
        match report::verdict(&planned) {
            report::Verdict::Unchanged => Ok(()),
            report::Verdict::Changes => Err(Failure::silent(CHANGES)),
            report::Verdict::Fails => Err(anyhow!("it would not land").into()),
        }
    }

    /// Plans, unless somebody interrupts.
    async fn play(&self, redactor: &Redactor) -> anyhow::Result<Vec<Planned>> {
        tokio::select! {
            planned = self.plan(redactor) => planned,
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        }
    }

    async fn plan(&self, redactor: &Redactor) -> anyhow::Result<Vec<Planned>> {
        let cluster = self.connect().await?;
        let cache = Folder::temporary("plan")?;
        let world = self.world(cluster.clone(), cache.path(), redactor).await?;
        let scratch = self.embedded.then_some(cluster);
        let has_cluster = !self.embedded || self.cluster.is_some();
        let mut planning = Planning::begin(world, scratch, has_cluster, &self.namespace).await?;
        match (&self.kustomization, &self.path) {
            (Some(name), _) => planning.one(&self.namespace, name, self.path.as_deref()).await?,
            (None, Some(path)) => planning.folder(&self.namespace, path).await?,
            (None, None) => {}
        }
        Ok(planning.finish())
    }

    async fn connect(&self) -> anyhow::Result<Arc<dyn Cluster>> {
        if self.embedded {
            return self.embed().await;
        }
        self.target.connect().await
    }

    /// A cluster in memory. It is never saved, so that it may change.
    async fn embed(&self) -> anyhow::Result<Arc<dyn Cluster>> {
        if let Some(folder) = &self.cluster {
            anyhow::ensure!(folder.join("cluster.json").is_file(), "{}: no cluster is kept there", folder.display());
        }
        let cluster: Arc<dyn Cluster> = Arc::new(Local::open(self.cluster.as_deref(), Simulation::default())?);
        if self.cluster.is_none() {
            for schema in schema::ALL {
                apply(&cluster, Object::new(yaml::from_str(schema.text)?)?, "kubectl").await?;
            }
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}});
            apply(&cluster, Object::new(namespace)?, "kubectl").await?;
        }
        for file in &self.with {
            supply(&cluster, file).await.with_context(|| file.display().to_string())?;
        }
        Ok(cluster)
    }

    async fn world(&self, cluster: Arc<dyn Cluster>, cache: &Path, redactor: &Redactor) -> anyhow::Result<World> {
        let keys = Keys::read(&cluster, &self.agent_namespace).await.context("the agent's keys")?;
        let keys = keys.map_or_else(Keys::generate, Ok)?;
        let settings = Settings {
            namespace: self.agent_namespace.clone(),
            cache: cache.into(),
            mirrors: self.mirror.iter().map(|rule| rule.parse()).collect::<Result<_, _>>()?,
            default_service_account: self.default_service_account.clone(),
            no_remote_bases: self.no_remote_bases,
            lenient_substitutions: config::has_lenient_substitutions(&self.feature_gates),
            // Key vaults are asked as whoever plans, within the bounds of an agent: others write the files.
            variables: Some(Variables::of_process()),
            ..Settings::default()
        };
        let (redactor, pod) = (redactor.clone(), PodIdentity::default());
        let cluster = Arc::new(Unwritten(cluster));
        // Whatever epoch has written a journal: nothing is written here.
        Ok(World::new(Parts { cluster, keys, epoch: u64::MAX, redactor, pod, settings })?)
    }
}

/// Applies the objects of a file.
async fn supply(cluster: &Arc<dyn Cluster>, file: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file)?;
    for document in yaml::documents(&text) {
        match yaml::from_str(document.text)? {
            serde_json::Value::Null => {}
            value => apply(cluster, Object::new(value)?, "kubectl").await?,
        }
    }
    Ok(())
}

async fn apply(cluster: &Arc<dyn Cluster>, object: Object, manager: &str) -> anyhow::Result<()> {
    let manager = manager.to_owned();
    cluster.write(Call::Apply { object, manager, force: true, dry_run: false, subresource: None }).await?;
    Ok(())
}

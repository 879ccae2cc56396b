//! `lockstep run`: the agent in a cluster.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use apply::{Cluster, Journal};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::agent::{Agent, Ended, lease::Lease, server};
use crate::cluster::fenced::{Fenced, Term};
use crate::cluster::journal::Keys;
use crate::cluster::kube::{self, Access, KubeCluster};
use crate::cluster::shared::Shared;
use crate::config::Config;
use crate::decrypt::Variables;
use crate::pipeline::{Parts, Settings, World};
use crate::redact::{self, Redactor};
use crate::resolve::azure::PodIdentity;
use crate::telemetry;

/// Longest time for one request to the API server.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

const EXAMPLE: &str = "Example: by hand, against the cluster of a kubeconfig\n  \
    lockstep run --namespace lockstep-system --kubeconfig ~/.kube/config";

const LANDING: &str = "How it lands:
  A Kustomization with its ExternalSecrets and HelmReleases is a unit; what must come together in it is a parcel: a workload with
  all Secrets and ConfigMaps that it reads (`lockstep plan --parcels` draws them). Nothing is written before the API server has
  accepted every object in a dry run. What is written is journaled first: after a crash it is finished or undone.
  A parcel that fails is held, with those that depend on it, at what landed last, Secret bytes included; the others land. The
  Kustomization is not Ready then and says `held at REVISION`, with file, line and object. It waits for another input (a commit, a
  value, `flux reconcile`); what may pass is tried again after `retryInterval`. `lockstep explain UNIT` says why, and what to do.
  A secret that is rotated in its store lands the same way: its bytes, one rollout of the workloads that read them, and both back
  if these do not become healthy.
Limits:
  Between the first and the last write of a parcel a client can see a mix. Hooks, Jobs and deletions are not undone.
  What of Flux and External Secrets is not there yet is refused by name, never ignored: the readme lists it.";

/// Runs the agent: reconciles the Flux and External Secrets objects of a cluster until it is told to stop.
///
/// It takes the place of Flux's source-, kustomize- and helm-controller and of External Secrets: scale those down first.
#[derive(clap::Args)]
#[command(after_help = EXAMPLE, after_long_help = format!("{LANDING}\n\n{EXAMPLE}"))]
pub(super) struct Arguments {
    #[command(flatten)]
    config: Config,
}

impl Arguments {
    pub(super) fn run(self) -> super::Outcome {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        match runtime.block_on(agent(&self.config))? {
            Ended::Stopped => Ok(()),
            Ended::LeaseLost => Err(anyhow::anyhow!("the leader lease was lost").into()),
        }
    }
}

async fn agent(config: &Config) -> anyhow::Result<Ended> {
    let redactor = Redactor::default();
    let known = redactor.clone();
    telemetry::start(&config.log_level, Arc::new(move |line| known.redact(line).into_owned()));
    redact::install_panic_hook(redactor.clone());
    let readiness = server::Readiness::default();
    let health = serve(config.health_addr, server::health(config.health_addr, readiness.clone()));
    let work = async {
        readiness.set();
        let mut stop = std::pin::pin!(stopped());
        let lease = tokio::select! {
            () = &mut stop => return Ok(Ended::Stopped),
            lease = lease(config) => lease?,
        };
        lead(config, redactor, lease, stop).await
    };
    tokio::select! {
        ended = work => ended,
        failed = health => failed,
    }
}

/// The agent under its lease, with `/metrics`.
async fn lead(
    config: &Config,
    redactor: Redactor,
    lease: Option<Lease>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<Ended> {
    let epoch = lease.as_ref().map_or(0, Lease::epoch);
    let term = lease.as_ref().map(Lease::term);
    let cluster: Arc<dyn Cluster> = match (connect(config, term.clone()).await?, term) {
        (cluster, Some(term)) => Arc::new(Fenced::new(cluster, term)),
        (cluster, None) => cluster,
    };
    let keys = Keys::load(&cluster, &config.namespace).await.context("the agent's keys")?;
    let settings = settings(config)?;
    let mut world = World::new(Parts { cluster, keys, epoch, redactor, pod: pod(), settings })?;
    world.epoch = Journal::epoch(&world.journals, epoch).await.context("the journals")?;
    let epoch = world.epoch;
    let agent = Agent::new(world, config.concurrent);
    let metrics = serve(config.metrics_addr, server::metrics(config.metrics_addr, agent.shared().clone()));
    tracing::info!(namespace = config.namespace, epoch, "the agent leads");
    let work = async {
        match lease {
            Some(lease) => agent.lead(lease, stop).await,
            None => {
                agent.run(stop).await;
                Ended::Stopped
            }
        }
    };
    tokio::select! {
        ended = work => Ok(ended),
        failed = metrics => failed,
    }
}

async fn connect(config: &Config, term: Option<Term>) -> anyhow::Result<Arc<dyn Cluster>> {
    let access = match &config.kubeconfig {
        Some(path) => Access::File { path: path.clone(), context: None },
        None => Access::Inferred,
    };
    let settings = kube::Settings { access, proxy: None, timeout: REQUEST_TIMEOUT, term };
    let cluster = Arc::new(KubeCluster::connect(settings).await.context("the cluster")?);
    Ok(Arc::new(Shared::new(cluster)))
}

/// Waits until the lease is ours. Its own connections outlive it: it is given away over them.
async fn lease(config: &Config) -> anyhow::Result<Option<Lease>> {
    if !config.enable_leader_election {
        return Ok(None);
    }
    let pod = std::env::var("HOSTNAME").unwrap_or_else(|_| "lockstep".into());
    let identity = format!("{pod}_{:016x}", getrandom::u64().map_err(|error| anyhow::anyhow!("randomness: {error}"))?);
    Ok(Some(Lease::acquire(connect(config, None).await?, &config.namespace, &identity).await))
}

fn settings(config: &Config) -> anyhow::Result<Settings> {
    let read = |path: &std::path::PathBuf| {
        std::fs::read(path).with_context(|| format!("certificate authorities at {}", path.display()))
    };
    Ok(Settings {
        namespace: config.namespace.clone(),
        only: (!config.watch_all_namespaces).then(|| config.namespace.clone()),
        cache: config.cache.clone(),
        mirrors: config.mirror.iter().map(|rule| rule.parse()).collect::<Result<_, _>>()?,
        proxy: config.proxy.clone(),
        authorities: config.ca_file.as_ref().map(read).transpose()?,
        requeue_dependency: config.requeue_dependency,
        additive_dependency_check: config.has_additive_dependency_check(),
        lenient_substitutions: config.has_lenient_substitutions(),
        watched_configs: config.watched_configs().map(str::to_owned),
        no_cross_namespace_refs: config.no_cross_namespace_refs,
        no_remote_bases: config.no_remote_bases,
        default_service_account: config.default_service_account.clone(),
        age_secret: config.sops_age_secret.clone(),
        default_decryption_service_account: config.default_decryption_service_account.clone(),
        vault_config_map: config.sops_vault_configmap.clone(),
        own_account: own_account(),
        variables: Some(Variables::of_process()),
    })
}

/// The ServiceAccount that we run as: namespace and name in the subject of its token.
fn own_account() -> Option<(String, String)> {
    let token = std::fs::read_to_string("/var/run/secrets/kubernetes.io/serviceaccount/token").ok()?;
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    let (namespace, name) = claims["sub"].as_str()?.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    Some((namespace.to_owned(), name.to_owned()))
}

/// What Azure's workload identity webhook put into our environment.
fn pod() -> PodIdentity {
    PodIdentity {
        client_id: std::env::var("AZURE_CLIENT_ID").ok(),
        tenant_id: std::env::var("AZURE_TENANT_ID").ok(),
        token_file: std::env::var_os("AZURE_FEDERATED_TOKEN_FILE").map(Into::into),
    }
}

/// Ends only when a server fails.
async fn serve(address: SocketAddr, server: impl Future<Output = std::io::Result<()>>) -> anyhow::Result<Ended> {
    server.await.with_context(|| format!("serving {address}"))?;
    Ok(Ended::Stopped)
}

/// Ends when the process is asked to: SIGTERM, SIGINT.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminated), Ok(mut interrupted)) = signals else { return std::future::pending().await };
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
}

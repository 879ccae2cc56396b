//! Which cluster a verb is about.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use apply::Cluster;

use crate::cluster::kube::{Access, KubeCluster, Settings};

/// Longest time for one request to the API server.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A cluster by kubeconfig, as kubectl finds it.
#[derive(clap::Args)]
pub(super) struct Target {
    /// Kubeconfig file; without it those that kubectl takes.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; its current one without it.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

impl Target {
    /// Connects to it.
    pub(super) async fn connect(&self) -> anyhow::Result<Arc<dyn Cluster>> {
        let access = match (&self.kubeconfig, self.context.clone()) {
            (Some(path), context) => Access::File { path: path.clone(), context },
            (None, Some(context)) => Access::Context(context),
            (None, None) => Access::Inferred,
        };
        let settings = Settings { access, proxy: None, timeout: REQUEST_TIMEOUT, term: None };
        Ok(Arc::new(KubeCluster::connect(settings).await.context("the cluster")?))
    }
}

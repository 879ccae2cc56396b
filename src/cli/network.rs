//! What verbs fetch: files, repositories and charts, each once in a call.
//!
//! # Guarantees
//! - Nothing is kept: what was fetched goes with the process. No program is run, and no configuration of Git or Helm is
//!   read: credentials are those of addresses, and for Git those of the user's `~/.netrc`.
//! - Every request has a limit on time and size.
//! - No error names a user, password or query of an address.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use kustomize::{Address, Remote, RemoteError};
use manifest::Files;
use tokio::runtime::Runtime;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::folder::Folder;
use crate::pipeline::bases::Visit;
use crate::source::access::Access;
use crate::source::base::{Bases, Setup};
use crate::source::helm::{self, ChartArchive, Repository};
use crate::source::http;
use crate::source::netrc::Netrc;
use crate::source::oci;

/// How long a chart may take.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The network, as far as somebody asks for it.
#[derive(Default)]
pub(super) struct Network {
    line: OnceLock<Result<Line, String>>,
    /// Whoever fetches holds the lock, so that none is fetched twice.
    charts: Mutex<HashMap<[String; 3], Arc<ChartArchive>>>,
}

/// What fetching needs.
struct Line {
    runtime: Runtime,
    client: reqwest::Client,
    /// What one call sees of the world outside: each base once.
    visit: Visit,
    /// Goes when the call ends.
    _folder: Folder,
}

impl Line {
    fn new() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let (client, folder) = (http::client(&http::Options::default())?, Folder::temporary("fetched")?);
        let setup = Setup {
            client: client.clone(),
            mirrors: Vec::new(),
            folder: folder.path().into(),
            accounts: accounts(),
            reads_this_machine: true,
        };
        let visit = Visit::new(Arc::new(Bases::new(setup)), Instant::now(), runtime.handle().clone());
        Ok(Self { runtime, client, visit, _folder: folder })
    }

    /// Fetches a chart of an index or of a registry.
    async fn pull(&self, url: &str, chart: &str, version: &str) -> anyhow::Result<ChartArchive> {
        let (mirrors, timeout, pass_credentials) = (Vec::new(), TIMEOUT, false);
        let credentials = Access::git(url, None)?.credentials;
        if url.starts_with("oci://") {
            let url = format!("{}/{chart}", url.trim_end_matches('/'));
            return Ok(oci::chart(&self.client, &oci::Repository { url, credentials, timeout }, version).await?);
        }
        let repository = Repository { url: url.to_owned(), credentials, pass_credentials, mirrors, timeout };
        let index = helm::index(&self.client, &repository).await?;
        let chosen = index.choose(chart, version)?;
        Ok(helm::chart(&self.client, &repository, chosen).await?)
    }
}

/// Those of the user's `~/.netrc`, which curl reads for Git.
fn accounts() -> Netrc {
    let file = std::env::var_os("HOME").map(|home| Path::new(&home).join(".netrc"));
    let text = file.and_then(|file| std::fs::read_to_string(file).ok()).map(Zeroizing::new);
    text.map(|text| Netrc::read(&text)).unwrap_or_default()
}

impl Network {
    fn line(&self) -> anyhow::Result<&Line> {
        let line = self.line.get_or_init(|| Line::new().map_err(|error| format!("{error:#}")));
        line.as_ref().map_err(|error| anyhow!("{error}"))
    }

    /// The archive of a chart, by its repository, name and version or range; the newest without one.
    pub(super) fn chart(&self, repository: &str, name: &str, version: &str) -> anyhow::Result<Arc<ChartArchive>> {
        let line = self.line()?;
        let mut charts = self.charts.lock().unwrap_or_else(PoisonError::into_inner);
        let key = [repository, name, version].map(String::from);
        if let Some(known) = charts.get(&key) {
            return Ok(known.clone());
        }
        let archive = line.runtime.block_on(line.pull(repository, name, version));
        let archive = archive.context("the chart cannot be fetched")?;
        Ok(charts.entry(key).or_insert(Arc::new(archive)).clone())
    }
}

/// An error and its causes on one line.
pub(super) fn told(error: anyhow::Error) -> Box<dyn StdError + Send + Sync> {
    format!("{error:#}").into()
}

impl Remote for Network {
    fn file(&self, url: &str) -> Result<Vec<u8>, RemoteError> {
        self.line().map_err(unconnected)?.visit.file(url)
    }

    fn tree(&self, address: &Address) -> Result<Arc<dyn Files>, RemoteError> {
        self.line().map_err(unconnected)?.visit.tree(address)
    }
}

fn unconnected(error: anyhow::Error) -> RemoteError {
    RemoteError { reason: format!("{error:#}"), transient: false }
}

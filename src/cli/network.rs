//! What verbs fetch: files, repositories and charts, each once in a call.
//!
//! # Guarantees
//! - Nothing is kept: what was fetched goes with the process. No program is run, and no configuration of Git or Helm is
//!   read, so that credentials are those of addresses alone.
//! - Every request has a limit on time and size.
//! - No error names a user, password or query of an address.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use kustomize::{Address, Remote};
use manifest::Files;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::folder::Folder;
use crate::source::access::Access;
use crate::source::git::{self, Reference, Selection};
use crate::source::helm::{self, ChartArchive, Repository};
use crate::source::http;
use crate::source::{Error, oci};

/// How long a repository or chart may take.
const TIMEOUT: Duration = Duration::from_secs(120);
/// How long a file may take, and its bytes.
const FILE_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_FILE: u64 = 32 << 20;

/// The network, as far as somebody asks for it.
#[derive(Default)]
pub(super) struct Network {
    line: OnceLock<Result<Line, String>>,
    /// Trees by repository and reference. Whoever fetches holds the lock, so that none is fetched twice.
    trees: Mutex<HashMap<(String, String), Arc<dyn Files>>>,
    charts: Mutex<HashMap<[String; 3], Arc<ChartArchive>>>,
}

/// What fetching needs.
struct Line {
    runtime: Runtime,
    client: reqwest::Client,
    folder: Folder,
}

impl Line {
    fn new() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let client = http::client(&http::Options::default())?;
        Ok(Self { runtime, client, folder: Folder::temporary("fetched")? })
    }

    /// Fetches the files of a repository into a folder of their own.
    fn clone(&self, number: usize, address: &Address) -> anyhow::Result<Arc<dyn Files>> {
        let access = Access::git(&address.repository, None)?;
        let mut missing = anyhow!("couldn't find remote ref {}", address.reference);
        for reference in references(&address.reference) {
            let request = git::Request {
                url: address.repository.clone(),
                reference,
                credentials: access.credentials.clone(),
                selection: Selection { is_whole: true, ..Selection::default() },
                timeout: TIMEOUT,
                observed: None,
            };
            let folder = self.folder.path().join(number.to_string());
            match self.runtime.block_on(git::fetch(&self.client, request, &folder)) {
                Ok(Some(artifact)) => return Ok(artifact.files),
                Ok(None) => {}
                Err(error @ Error::NoReference { .. }) if address.reference.is_empty() => missing = error.into(),
                Err(Error::NoReference { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(missing)
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

/// Which references a word may mean, as Git looks for them.
fn references(word: &str) -> Vec<Reference> {
    if word.len() == 40 && word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return vec![Reference { commit: word.to_ascii_lowercase(), ..Reference::default() }];
    }
    let named = |name: String| Reference { name, ..Reference::default() };
    if word.is_empty() || word == "HEAD" {
        return vec![named("HEAD".into())];
    }
    let full = word.starts_with("refs/").then(|| word.to_owned());
    let forms = full.into_iter().chain(["tags", "heads"].map(|kind| format!("refs/{kind}/{word}")));
    forms.map(named).collect()
}

impl Network {
    fn line(&self) -> anyhow::Result<&Line> {
        let line = self.line.get_or_init(|| Line::new().map_err(|error| format!("{error:#}")));
        line.as_ref().map_err(|error| anyhow!("{error}"))
    }

    fn get_file(&self, url: &str) -> anyhow::Result<Vec<u8>> {
        let line = self.line()?;
        let request = line.client.get(url);
        Ok(line.runtime.block_on(async { http::get(request, MAX_FILE, Instant::now() + FILE_TIMEOUT).await })?)
    }

    fn get_tree(&self, address: &Address) -> anyhow::Result<Arc<dyn Files>> {
        let line = self.line()?;
        let mut trees = self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (address.repository.clone(), address.reference.clone());
        if let Some(known) = trees.get(&key) {
            return Ok(known.clone());
        }
        let files = line.clone(trees.len(), address)?;
        trees.insert(key, files.clone());
        Ok(files)
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
    fn file(&self, url: &str) -> Result<Vec<u8>, Box<dyn StdError + Send + Sync>> {
        self.get_file(url).map_err(told)
    }

    fn tree(&self, address: &Address) -> Result<Arc<dyn Files>, Box<dyn StdError + Send + Sync>> {
        self.get_tree(address).map_err(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_means_a_commit_a_full_name_a_tag_or_a_branch() {
        let names = |word: &str| references(word).into_iter().map(|reference| reference.name).collect::<Vec<_>>();
        assert_eq!(names(""), ["HEAD"]);
        assert_eq!(names("v1"), ["refs/tags/v1", "refs/heads/v1"]);
        assert_eq!(names("refs/pull/1/head")[0], "refs/pull/1/head");
        let commit = "0123456789abcdef0123456789ABCDEF01234567";
        assert_eq!(references(commit)[0].commit, commit.to_lowercase());
    }
}

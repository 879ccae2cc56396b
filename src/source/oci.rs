//! Charts of OCI registries, as `helm pull oci://…` finds them.
//!
//! # Flow
//! a version or range -> a tag -> its manifest -> the layer that is the chart
//!
//! # Guarantees
//! - What a manifest names by digest is what has that digest.
//! - Credentials go to the registry and to whom it names for tokens, over https unless the registry is of this machine;
//!   never to where a blob is redirected to.
//!
//! # Caveats
//! A registry of this machine (`localhost`, a loopback address) is asked over http, as container tools do.

mod challenge;

use std::time::Duration;

use gotemplate::go::semver::Constraint;
use reqwest::header::{ACCEPT, LINK, WWW_AUTHENTICATE};
use reqwest::{Response, StatusCode, Url};
use secrecy::SecretString;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::source::helm::ChartArchive;
use crate::source::http::{self, Credentials, HttpError};
use crate::source::{Error, version};
use challenge::Challenge;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CHART: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

/// Bytes of a manifest, a page of tags or a token; and of a chart.
const MAX_DOCUMENT: u64 = 4 << 20;
const MAX_CHART: u64 = 10 << 20;
/// Pages of tags that are read.
const MAX_PAGES: usize = 100;

/// A repository of a registry, which holds the versions of one chart.
pub struct Repository {
    /// `oci://registry.example.org/charts/web`
    pub url: String,
    /// Who asks.
    pub credentials: Credentials,
    /// How long all of it may take.
    pub timeout: Duration,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: String,
}

#[derive(Deserialize)]
struct Tags {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

/// Downloads the version of a chart that `range` stands for: that one, or the newest in it.
///
/// # Errors
/// When there is none, or it cannot be had.
pub async fn chart(client: &reqwest::Client, repository: &Repository, range: &str) -> Result<ChartArchive, Error> {
    let failed = |source| Error::Registry { url: http::shown(&repository.url), source };
    let mut session = Session::new(client, repository).map_err(failed)?;
    // A tag cannot hold a plus.
    let tag = match version::full(range) {
        Some(_) => range.replace('+', "_"),
        None => session.newest(range).await?,
    };
    let manifest = session.get(&format!("manifests/{tag}"), MANIFEST, MAX_DOCUMENT).await.map_err(failed)?;
    let manifest: Manifest = serde_json::from_slice(&manifest).map_err(|_| failed(broken("the manifest is none")))?;
    let layer = manifest.layers.into_iter().find(|layer| layer.media_type == CHART);
    let layer = layer.ok_or_else(|| failed(broken("the manifest names no chart")))?;
    let bytes = session.get(&format!("blobs/{}", layer.digest), "*/*", MAX_CHART).await.map_err(failed)?;
    let digest = format!("sha256:{:x}", Sha256::digest(&bytes));
    if digest != layer.digest {
        return Err(failed(broken("the chart has another digest than its manifest says")));
    }
    Ok(ChartArchive { version: tag.replace('_', "+"), bytes, digest })
}

fn broken(cause: &str) -> HttpError {
    HttpError::Transport { cause: cause.to_owned() }
}

/// What is asked of one repository.
struct Session<'a> {
    client: &'a reqwest::Client,
    repository: &'a Repository,
    base: Url,
    deadline: Instant,
    credentials: Credentials,
}

impl<'a> Session<'a> {
    fn new(client: &'a reqwest::Client, repository: &'a Repository) -> Result<Self, HttpError> {
        let invalid = || HttpError::Url { url: http::shown(&repository.url) };
        let rest = repository.url.strip_prefix("oci://").ok_or_else(invalid)?;
        let parsed = Url::parse(&format!("https://{rest}")).map_err(|_| invalid())?;
        let host = parsed.host_str().ok_or_else(invalid)?;
        let scheme = if ["localhost", "127.0.0.1", "[::1]"].contains(&host) { "http" } else { "https" };
        let port = parsed.port().map(|port| format!(":{port}")).unwrap_or_default();
        let path = parsed.path().trim_matches('/');
        let base = Url::parse(&format!("{scheme}://{host}{port}/v2/{path}/")).map_err(|_| invalid())?;
        let deadline = Instant::now() + repository.timeout;
        Ok(Self { client, repository, base, deadline, credentials: Credentials::Anonymous })
    }

    /// The newest tag that is a version in the range.
    async fn newest(&mut self, range: &str) -> Result<String, Error> {
        let failed = |source| Error::Registry { url: http::shown(&self.repository.url), source };
        let missing = |cause: String| Error::NoChart { cause };
        let constraint = Constraint::parse(if range.is_empty() { "*" } else { range });
        let constraint = constraint.map_err(|error| missing(error.to_string()))?;
        let tags = self.tags().await.map_err(failed)?;
        let versions = tags.iter().filter_map(|tag| Some((version::full(&tag.replace('_', "+"))?, tag)));
        let fitting = versions.filter(|(version, _)| constraint.matches(version));
        let newest = fitting.max_by(|(one, _), (other, _)| one.precedence(other));
        let none = || missing(format!("no chart with version matching '{range}' found"));
        newest.map(|(_, tag)| tag.clone()).ok_or_else(none)
    }

    async fn tags(&mut self) -> Result<Vec<String>, HttpError> {
        let (mut tags, mut page) = (Vec::new(), Some("tags/list".to_owned()));
        for _ in 0..MAX_PAGES {
            let Some(path) = page else { break };
            let mut answer = self.send(&path, "application/json").await?;
            page = answer.headers().get(LINK).and_then(|link| next(link.to_str().ok()?));
            let bytes = http::body(&mut answer, MAX_DOCUMENT, self.deadline).await?;
            let read: Tags = serde_json::from_slice(&bytes).map_err(|_| broken("the list of tags is none"))?;
            tags.extend(read.tags.unwrap_or_default());
        }
        Ok(tags)
    }

    async fn get(&mut self, path: &str, accept: &str, limit: u64) -> Result<Vec<u8>, HttpError> {
        let mut answer = self.send(path, accept).await?;
        http::body(&mut answer, limit, self.deadline).await
    }

    /// Asks, and once more with what the registry wants to see.
    async fn send(&mut self, path: &str, accept: &str) -> Result<Response, HttpError> {
        let invalid = |_| HttpError::Url { url: http::shown(&self.repository.url) };
        let url = self.base.join(path).map_err(invalid)?;
        if url.origin() != self.base.origin() {
            return Err(broken("the registry names another one"));
        }
        let request = || self.client.get(url.clone()).header(ACCEPT, accept);
        let answer = http::answer(self.credentials.sign(request()), self.deadline).await?;
        let challenge = answer.headers().get(WWW_AUTHENTICATE).and_then(|value| Challenge::read(value.to_str().ok()?));
        let answer = match challenge {
            Some(challenge) if answer.status() == StatusCode::UNAUTHORIZED => {
                let credentials = self.credentials_for(&challenge).await?;
                let answer = http::answer(credentials.sign(request()), self.deadline).await?;
                self.credentials = credentials;
                answer
            }
            _ => answer,
        };
        http::successful(answer)
    }

    async fn credentials_for(&self, challenge: &Challenge) -> Result<Credentials, HttpError> {
        let Challenge::Bearer { realm, parameters } = challenge else { return Ok(self.repository.credentials.clone()) };
        let url =
            Url::parse_with_params(realm, parameters).map_err(|_| broken("the registry names no token server"))?;
        if url.scheme() != "https" && self.base.scheme() == "https" {
            return Err(broken("the registry names a token server without https"));
        }
        let request = self.repository.credentials.sign(self.client.get(url));
        let bytes = http::get(request, MAX_DOCUMENT, self.deadline).await?;
        challenge::token(&bytes)
            .map(|token| Credentials::Bearer(SecretString::from(token)))
            .ok_or_else(|| broken("no token"))
    }
}

/// The next page, of `<…>; rel="next"`.
fn next(link: &str) -> Option<String> {
    let (address, relation) = link.trim().strip_prefix('<')?.split_once('>')?;
    relation.contains("next").then(|| address.to_owned())
}

//! HelmRepository: the index of a repository over HTTP, and charts from it.
//!
//! # Flow
//! [`index`] -> [`Index::choose`] -> [`chart`]
//!
//! # Guarantees
//! - Credentials go to the repository's own scheme, host and port alone, unless `passCredentials` says otherwise.
//! - A chart whose index entry has a digest is the chart with that digest. (Flux does not look; an index that lies about
//!   its charts works there and is refused here.)
//! - An index on this machine (`file://…` by a mirror) names charts below its own folder only.
//!
//! # Caveats
//! Fields of an index that choice and download do not need are passed over, whatever they hold; Flux refuses a YAML index
//! with a field that its Helm does not know, and so with it every chart that it could have installed.

mod index;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::source::http::{self, Credentials, HttpError};
use crate::source::{Error, Mirror, local_path, mirrored};
pub use index::{ChartVersion, Index};

/// Flux's limits, in bytes.
const MAX_INDEX: u64 = 50 << 20;
const MAX_CHART: u64 = 10 << 20;

/// A repository of charts.
pub struct Repository {
    /// `spec.url`.
    pub url: String,
    /// Who asks.
    pub credentials: Credentials,
    /// `spec.passCredentials`: also send them where the index leads.
    pub pass_credentials: bool,
    /// Where it, and what its index names, is fetched from.
    pub mirrors: Vec<Mirror>,
    /// How long one request may take.
    pub timeout: Duration,
}

/// A chart as downloaded.
pub struct ChartArchive {
    /// Its version in the index.
    pub version: String,
    /// The archive.
    pub bytes: Vec<u8>,
    /// `sha256:<hex>` of the archive.
    pub digest: String,
}

/// Fetches and reads a repository's index.
///
/// # Errors
/// When it cannot be fetched, is too large, or is no index.
pub async fn index(client: &reqwest::Client, repository: &Repository) -> Result<Index, Error> {
    let url = mirrored(&repository.url, &repository.mirrors);
    let failed = |source| Error::Index { source };
    let place =
        Place::of(&url).and_then(|place| place.below("index.yaml")).map_err(|error| failed(cause(&url, error)))?;
    let bytes = repository.get(client, &place, MAX_INDEX).await.map_err(|error| failed(cause(place.shown(), error)))?;
    let read = tokio::task::spawn_blocking(move || Index::parse(&bytes)).await;
    read.unwrap_or(Err(Error::Interrupted))
}

/// Downloads a chart.
///
/// # Errors
/// When it cannot be fetched, is too large, or is not what the index says.
pub async fn chart(
    client: &reqwest::Client,
    repository: &Repository,
    chosen: &ChartVersion,
) -> Result<ChartArchive, Error> {
    let no_url = || Error::NoChartUrl { name: chosen.name.clone() };
    let reference = chosen.urls.first().ok_or_else(no_url)?;
    let failed = |shown: &str, error| Error::Chart { source: cause(shown, error) };
    let place = repository.place_of(reference).map_err(|error| failed(&http::shown(reference), error))?;
    let bytes = repository.get(client, &place, MAX_CHART).await.map_err(|error| failed(place.shown(), error))?;
    let digest = format!("{:x}", Sha256::digest(&bytes));
    let expected = chosen.digest.strip_prefix("sha256:").unwrap_or(&chosen.digest);
    if !expected.is_empty() && !expected.eq_ignore_ascii_case(&digest) {
        let (name, version, expected) = (chosen.name.clone(), chosen.version.clone(), expected.to_owned());
        return Err(Error::ChartDigest { name, version, found: digest, expected });
    }
    Ok(ChartArchive { version: chosen.version.clone(), bytes, digest: format!("sha256:{digest}") })
}

/// Why a file of a repository could not be had, in the words of Helm where it has some.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HelmCause {
    /// An answer that is not success.
    #[error("failed to fetch {url} : {status} {text}")]
    Status {
        /// Address as far as it may be shown.
        url: String,
        /// HTTP status code.
        status: u16,
        /// Its usual name.
        text: &'static str,
    },
    /// Any other trouble.
    #[error("failed to fetch {url}")]
    Http {
        /// Address as far as it may be shown.
        url: String,
        /// The trouble.
        source: HttpError,
    },
}

fn cause(url: &str, error: HttpError) -> HelmCause {
    let url = http::shown(url);
    match error {
        HttpError::Status { status } => {
            let text = reqwest::StatusCode::from_u16(status).ok().and_then(|code| code.canonical_reason());
            HelmCause::Status { url, status, text: text.unwrap_or_default() }
        }
        source => HelmCause::Http { url, source },
    }
}

impl Repository {
    /// Where a chart lies: an address of its own, or one relative to the repository.
    fn place_of(&self, reference: &str) -> Result<Place, HttpError> {
        let base = mirrored(&self.url, &self.mirrors);
        if reqwest::Url::parse(reference).is_err() {
            return Place::of(&base)?.below(reference);
        }
        let place = Place::of(&mirrored(reference, &self.mirrors))?;
        // An index must not name files of this machine; only a mirror may.
        let is_own = matches!(place, Place::Server { .. }) || mirrored(reference, &self.mirrors) != reference;
        if is_own { Ok(place) } else { Err(HttpError::Url { url: http::shown(reference) }) }
    }

    async fn get(&self, client: &reqwest::Client, place: &Place, limit: u64) -> Result<Vec<u8>, HttpError> {
        match place {
            Place::Server { url } => {
                let request = client.get(url.clone());
                let request = if self.may_know(url) { self.credentials.sign(request) } else { request };
                http::get(request, limit, Instant::now() + self.timeout).await
            }
            Place::Local { path, .. } => read(path.clone(), limit).await,
        }
    }

    fn may_know(&self, url: &reqwest::Url) -> bool {
        let own = reqwest::Url::parse(&mirrored(&self.url, &self.mirrors)).map(|own| own.origin());
        self.pass_credentials || own.is_ok_and(|own| own == url.origin())
    }
}

/// A file of a server, or of this machine.
enum Place {
    Server { url: reqwest::Url },
    Local { folder: PathBuf, path: PathBuf, shown: String },
}

impl Place {
    fn of(url: &str) -> Result<Self, HttpError> {
        let invalid = || HttpError::Url { url: http::shown(url) };
        if let Some(folder) = local_path(url) {
            return Ok(Self::Local { path: folder.clone(), folder, shown: http::shown(url) });
        }
        let url = reqwest::Url::parse(url).map_err(|_| invalid())?;
        if matches!(url.scheme(), "http" | "https") { Ok(Self::Server { url }) } else { Err(invalid()) }
    }

    /// What `reference` means from here; on the same server the query stays that of the repository.
    fn below(self, reference: &str) -> Result<Self, HttpError> {
        let invalid = |_| HttpError::Url { url: http::shown(reference) };
        match self {
            Self::Server { mut url } => {
                let path = format!("{}/", url.path().trim_end_matches('/'));
                url.set_path(&path);
                let mut below = url.join(reference).map_err(|_| HttpError::Url { url: http::shown(reference) })?;
                // It may hold a token, and `//host/…` is relative as well.
                if below.origin() == url.origin() {
                    below.set_query(url.query());
                }
                Ok(Self::Server { url: below })
            }
            Self::Local { folder, shown, .. } => {
                let name = manifest::normalize("", reference).map_err(invalid)?;
                let path = folder.join(&name);
                Ok(Self::Local { folder, path, shown: format!("{shown}/{name}") })
            }
        }
    }

    fn shown(&self) -> &str {
        match self {
            Self::Server { url } => url.as_str(),
            Self::Local { shown, .. } => shown,
        }
    }
}

/// Reads a file of this machine, of at most `limit` bytes.
async fn read(path: PathBuf, limit: u64) -> Result<Vec<u8>, HttpError> {
    let read = tokio::task::spawn_blocking(move || read_blocking(&path, limit)).await;
    read.unwrap_or_else(|error| Err(HttpError::Transport { cause: error.to_string() }))
}

fn read_blocking(path: &Path, limit: u64) -> Result<Vec<u8>, HttpError> {
    use std::io::Read as _;
    let failed = |error: std::io::Error| HttpError::Transport { cause: error.to_string() };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit { Err(HttpError::TooLarge { limit }) } else { Ok(bytes) }
}

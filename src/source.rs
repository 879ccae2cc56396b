//! fetch: a source's address -> [`Artifact`](crate::artifact::Artifact), or a chart.
//!
//! | module | knows |
//! |---|---|
//! | [`base`] | what kustomizations name outside of their source |
//! | [`folder`] | a checkout on disk: what is in it now |
//! | [`git`] | GitRepository: references, the object database, the files of one commit |
//! | [`helm`] | HelmRepository: index, version choice, chart download |
//! | [`oci`] | charts of OCI registries |
//! | [`ignore`] | what a source leaves out |
//! | [`archive`] | the bytes that Flux would store, for the digest |
//! | [`http`] | client, redirects, limits |
//! | [`netrc`] | accounts that a user keeps in a file |
//! | [`access`] | what Flux's Secrets say about credentials and certificates |
//!
//! # Guarantees
//! - Nothing but the folder that a caller gives is written; no program is started.
//! - No error holds a credential, or the query or user of an address.
//!
//! # Errors
//! [`Error`] names the address; its causes follow as `source`. One line of them all reads as Flux's message does.

pub mod access;
pub mod archive;
pub mod base;
pub mod folder;
pub mod git;
pub mod helm;
pub mod http;
pub mod ignore;
pub mod netrc;
pub mod oci;

mod mirror;
mod version;

pub use mirror::{Mirror, MirrorError, mirrored};

use std::path::PathBuf;

use http::HttpError;

/// Why a source could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The repository, or the reference in it, could not be had.
    #[error("failed to checkout and determine revision: unable to clone '{url}'")]
    Clone {
        /// Address as far as it may be shown.
        url: String,
        /// Why.
        source: GitCause,
    },
    /// A repository without a commit.
    #[error("git repository is empty")]
    EmptyRepository {
        /// Address as far as it may be shown.
        url: String,
    },
    /// `ref.semver` is not a constraint.
    #[error("semver parse error")]
    Constraint {
        /// What is wrong with it.
        source: gotemplate::go::semver::ConstraintError,
    },
    /// No tag that `ref.semver` admits.
    #[error("no match found for semver: {range}")]
    NoVersion {
        /// The constraint.
        range: String,
    },
    /// `ref.name` that begins or ends with a slash.
    #[error("ref {name} is invalid; Git refs cannot begin or end with a slash '/'")]
    ReferenceName {
        /// The name.
        name: String,
    },
    /// `ref.name` that the repository does not have.
    #[error("unable to resolve ref '{name}' to a specific commit")]
    NoReference {
        /// The name.
        name: String,
    },
    /// A reference or `ref.commit` that is no commit of the repository.
    #[error("unable to resolve commit object for '{commit}'")]
    NoCommit {
        /// What was asked for.
        commit: String,
    },
    /// A folder of `sparseCheckout` that is not there.
    #[error("failed to sparse checkout directories : sparse checkout dir '{folder}' does not exist in repository")]
    NoSparseFolder {
        /// The folder.
        folder: String,
    },
    /// A commit whose tree cannot be read, or is not to be trusted.
    #[error("{path}: {problem}")]
    Tree {
        /// Path in the tree.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// The folder for downloads cannot be used.
    #[error("{path}: cannot be written")]
    Folder {
        /// The folder.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The work was given up because its caller went away.
    #[error("interrupted")]
    Interrupted,
    /// A Helm repository's index could not be had.
    #[error("failed to fetch Helm repository index: failed to cache index to temporary file")]
    Index {
        /// Why.
        source: helm::HelmCause,
    },
    /// A Helm repository's index that is not one.
    #[error("failed to load Helm repository from index YAML: failed to load index: {cause}")]
    IndexContent {
        /// What is wrong, without a value of it.
        cause: String,
    },
    /// A chart or version that the index does not have, or a range that is none.
    #[error("invalid chart reference: failed to get chart version for remote reference: {cause}")]
    NoChart {
        /// In Helm's words.
        cause: String,
    },
    /// A chart without an address.
    #[error("chart pull error: failed to download chart for remote reference: chart '{name}' has no downloadable URLs")]
    NoChartUrl {
        /// Chart.
        name: String,
    },
    /// A chart that could not be downloaded.
    #[error("chart pull error: failed to download chart for remote reference")]
    Chart {
        /// Why.
        source: helm::HelmCause,
    },
    /// A registry that could not be asked, or an answer that is not one.
    #[error("chart pull error: failed to download chart from registry '{url}'")]
    Registry {
        /// Address as far as it may be shown.
        url: String,
        /// Why.
        source: HttpError,
    },
    /// A chart whose bytes are not those of the index.
    #[error("chart pull error: chart '{name}' version '{version}' has digest {found}, but the index says {expected}")]
    ChartDigest {
        /// Chart.
        name: String,
        /// Version.
        version: String,
        /// SHA-256 of what came, in hex.
        found: String,
        /// SHA-256 in the index.
        expected: String,
    },
}

/// Why a repository could not be had, in the words of Flux's Git library.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitCause {
    /// 401
    #[error("authentication required")]
    Unauthenticated,
    /// 403
    #[error("authorization failed")]
    Forbidden,
    /// 404, or no repository at a path.
    #[error("repository not found")]
    NotFound,
    /// A branch or tag that is not there.
    #[error("couldn't find remote ref \"{name}\"")]
    NoReference {
        /// Full name.
        name: String,
    },
    /// Any other trouble on the way.
    #[error(transparent)]
    Http(HttpError),
    /// An answer that Git's protocol does not allow, or an object database that cannot be read.
    #[error("{cause}")]
    Protocol {
        /// What the library says.
        cause: String,
    },
    /// A scheme that is not served.
    #[error("unsupported scheme \"{scheme}\"")]
    Scheme {
        /// The scheme.
        scheme: String,
    },
}

/// The path that an address names on this machine: `file://…`, or a path itself.
fn local_path(url: &str) -> Option<PathBuf> {
    match url.strip_prefix("file://") {
        Some(path) => Some(PathBuf::from(path.strip_prefix("localhost").unwrap_or(path))),
        None => url.starts_with('/').then(|| PathBuf::from(url)),
    }
}

impl GitCause {
    fn of(error: HttpError) -> Self {
        match error {
            HttpError::Status { status: 401 } => Self::Unauthenticated,
            HttpError::Status { status: 403 } => Self::Forbidden,
            HttpError::Status { status: 404 } => Self::NotFound,
            other => Self::Http(other),
        }
    }
}

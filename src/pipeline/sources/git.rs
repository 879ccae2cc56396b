//! GitRepository -> a revision.

use std::time::Duration;

use manifest::Object;

use super::{Failure, Known, SourceName, secret};
use crate::api::Kind as _;
use crate::api::condition::reason;
use crate::api::source::{GitRepository, GitRepositorySpec};
use crate::artifact::Artifact;
use crate::pipeline::World;
use crate::redact::Live;
use crate::source::access::{Access, Secret};
use crate::source::{self, git, http, mirrored};

/// Flux's default for `spec.timeout`.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A revision, and what Flux's status says of its archive.
pub struct Revision {
    /// The revision.
    pub artifact: Artifact,
    /// `sha256:<hex>` of the archive.
    pub digest: String,
    /// Size of the archive, in bytes.
    pub size: u64,
    /// Keeps the credentials known to the redactor.
    pub secrets: Vec<Live>,
}

/// Fetches the revision that a GitRepository asks for; `None` when it is the `observed` one.
///
/// # Errors
/// When it cannot be reached, or has no such revision.
pub async fn fetch(
    name: &SourceName,
    object: &Object,
    observed: Option<String>,
    world: &World,
    known: Known<'_>,
) -> Result<Option<Revision>, Failure> {
    let spec = GitRepository::spec(object).map_err(|error| Failure::new(reason::URL_INVALID, &error))?;
    let mut secrets = Vec::new();
    let access = access(object, &spec, world, known, &mut secrets).await?;
    let options = world.settings.options(access.options);
    let client = http::client(&options).map_err(|error| Failure::new(reason::AUTHENTICATION_FAILED, &error))?;
    let request = git::Request {
        url: mirrored(&spec.url, &world.settings.mirrors),
        reference: reference(&spec),
        credentials: access.credentials,
        selection: git::Selection { ignore: spec.ignore.clone(), ..git::Selection::default() },
        timeout: spec.timeout.as_ref().map_or(TIMEOUT, |timeout| timeout.span()),
        largest: git::LARGEST,
        observed,
    };
    let folder = world.settings.cache.join(format!("git/{}_{}", name.1, name.2));
    let fetched = git::fetch(&client, request, &folder).await.map_err(|error| Failure::new(why(&error), &error))?;
    let Some(artifact) = fetched else { return Ok(None) };
    let measured = tokio::task::spawn_blocking(move || {
        let measure = artifact.measure().map(|measure| (measure.digest.clone(), measure.size));
        measure.map(|(digest, size)| Revision { artifact, digest, size, secrets })
    });
    let ended = |_| Failure { why: reason::ARCHIVE_OPERATION_FAILED, message: "packing ended unexpectedly".into() };
    let measured = measured.await.map_err(ended)?;
    measured.map(Some).map_err(|error| Failure::new(reason::ARCHIVE_OPERATION_FAILED, &error))
}

/// Credentials and certificates of `spec.secretRef`.
async fn access(
    object: &Object,
    spec: &GitRepositorySpec,
    world: &World,
    known: Known<'_>,
    secrets: &mut Vec<Live>,
) -> Result<Access, Failure> {
    let auth = |error| Failure::new(reason::AUTHENTICATION_FAILED, &error);
    let Some(reference) = &spec.secret_ref else { return Access::git(&spec.url, None).map_err(auth) };
    let secret = secret(object.namespace(), &reference.name, world, known).await?;
    secrets.push(secret.register(&world.redactor));
    let value = |key: &str| secret.value(key);
    Access::git(&spec.url, Some(Secret { name: &secret.name, value: &value })).map_err(auth)
}

fn reference(spec: &GitRepositorySpec) -> git::Reference {
    let Some(reference) = spec.reference.clone() else { return git::Reference::default() };
    git::Reference {
        branch: reference.branch.unwrap_or_default(),
        tag: reference.tag.unwrap_or_default(),
        semver: reference.semver.unwrap_or_default(),
        name: reference.name.unwrap_or_default(),
        commit: reference.commit.unwrap_or_default(),
        word: String::new(),
    }
}

/// Flux's reason for a failed fetch.
fn why(error: &source::Error) -> &'static str {
    match error {
        source::Error::ReferenceName { .. } | source::Error::Constraint { .. } => reason::INVALID_PATH,
        _ => reason::GIT_OPERATION_FAILED,
    }
}

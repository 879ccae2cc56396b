//! HelmRepository -> its index, and how charts of it are downloaded.

use std::sync::Arc;
use std::time::Duration;

use manifest::Object;

use super::{Charts, Failure, Known, secret};
use crate::api::Kind as _;
use crate::api::condition::reason;
use crate::api::source::{HelmRepository, HelmRepositorySpec};
use crate::pipeline::World;
use crate::redact::Live;
use crate::source::access::{Access, Secret};
use crate::source::helm::{self, Repository};
use crate::source::{self, http};

/// Flux's default for `spec.timeout`.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Fetches the index of a HelmRepository.
///
/// # Errors
/// When it cannot be reached, or is none.
pub async fn fetch(object: &Object, world: &World, known: Known<'_>) -> Result<Charts, Failure> {
    let spec = HelmRepository::spec(object).map_err(|error| Failure::new(reason::URL_INVALID, &error))?;
    let mut secrets = Vec::new();
    let access = access(object, &spec, world, known, &mut secrets).await?;
    let options = world.settings.options(access.options);
    let client = http::client(&options).map_err(|error| Failure::new(reason::AUTHENTICATION_FAILED, &error))?;
    let repository = Repository {
        url: spec.url,
        credentials: access.credentials,
        pass_credentials: spec.pass_credentials,
        mirrors: world.settings.mirrors.clone(),
        timeout: spec.timeout.as_ref().map_or(TIMEOUT, |timeout| timeout.span()),
    };
    let index = helm::index(&client, &repository).await.map_err(|error| Failure::new(why(&error), &error))?;
    let (index, repository) = (Arc::new(index), Arc::new(repository));
    Ok(Charts { revision: index.revision.clone(), index, client, repository, secrets })
}

fn why(error: &source::Error) -> &'static str {
    match error {
        source::Error::IndexContent { .. } => reason::INDEXATION_FAILED,
        _ => reason::FAILED,
    }
}

/// Credentials of `spec.secretRef`, certificates of `spec.certSecretRef`.
async fn access(
    object: &Object,
    spec: &HelmRepositorySpec,
    world: &World,
    known: Known<'_>,
    secrets: &mut Vec<Live>,
) -> Result<Access, Failure> {
    let mut found = Vec::new();
    for reference in [&spec.secret_ref, &spec.cert_secret_ref] {
        found.push(match reference {
            Some(reference) => Some(secret(object.namespace(), &reference.name, world, known).await?),
            None => None,
        });
    }
    let [account, certificates] = &found[..] else { return Ok(Access::default()) };
    secrets.extend([account, certificates].into_iter().flatten().map(|secret| secret.register(&world.redactor)));
    let account_value = |key: &str| account.as_ref().and_then(|secret| secret.value(key));
    let certificate_value = |key: &str| certificates.as_ref().and_then(|secret| secret.value(key));
    let account = account.as_ref().map(|secret| Secret { name: &secret.name, value: &account_value });
    let certificates = certificates.as_ref().map(|secret| Secret { name: &secret.name, value: &certificate_value });
    Access::helm(account, certificates).map_err(|error| Failure::new(reason::AUTHENTICATION_FAILED, &error))
}

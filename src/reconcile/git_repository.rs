//! GitRepository: fetch the revision, keep it for those who build from it, tell.

use std::sync::Arc;
use std::time::Duration;

use apply::Reference;
use jiff::Timestamp;
use manifest::Object;

use super::{Error, FINALIZER, Key, REQUESTED_AT, Shared, Told, triggers};
use crate::api::Kind as _;
use crate::api::condition::reason;
use crate::api::source::{ArtifactRecord, GitRepository, GitRepositorySpec, GitRepositoryStatus};
use crate::artifact::{Artifact, Trust};
use crate::pipeline::compile::values_of;
use crate::pipeline::sources::{Fetched, SourceName};
use crate::source::access::{Access, Secret};
use crate::source::{self, git, http, mirrored};
use crate::status::{Event, Moment, Next, source as tell, unsupported_message};

/// Flux's default for `spec.timeout`.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Reconciles a GitRepository.
///
/// # Errors
/// When the API server fails; everything else is told.
pub(super) async fn reconcile(key: &Key, object: &Object, shared: &Arc<Shared>) -> Result<Told, Error> {
    let name: SourceName = (key.kind.name().into(), key.namespace.clone(), key.name.clone());
    if object.is_terminating() {
        shared.world.sources.forget(&name);
        shared.set_finalizer(key, object, FINALIZER, false).await?;
        return Ok(Told::nothing(Next::OnEvent));
    }
    let mut status = GitRepository::status(object).unwrap_or_default();
    let moment = Moment { generation: object.generation(), now: Timestamp::now() };
    let stall = |status: &mut GitRepositoryStatus, why: &str, message: &str| {
        let event = tell::stalled(&mut status.conditions, moment, why, message);
        status.observed_generation = moment.generation;
        Told::status(status, event.into_iter().collect(), Next::OnEvent)
    };
    let spec = match GitRepository::spec(object) {
        Ok(spec) => spec,
        Err(error) => return Ok(stall(&mut status, reason::URL_INVALID, &error.to_string())),
    };
    if spec.suspend {
        return Ok(Told::nothing(Next::OnEvent));
    }
    let unsupported = GitRepository::unsupported(object.value());
    if !unsupported.is_empty() {
        return Ok(stall(&mut status, reason::UNSUPPORTED, &unsupported_message(&unsupported)));
    }
    status.last_handled_reconcile_at = object.annotation(REQUESTED_AT).map(str::to_owned);
    let interval = Next::After(spec.interval.span());
    match fetch(&name, object, &spec, &status, shared).await {
        Ok(Some(fetched)) => {
            let events = store(&name, fetched, &spec, &mut status, moment, shared);
            Ok(Told::status(&status, events, interval))
        }
        Ok(None) => {
            tell::unchanged(&mut status.conditions, status.artifact.as_ref(), moment);
            status.observed_generation = moment.generation;
            Ok(Told::status(&status, Vec::new(), interval))
        }
        Err(failure) => {
            let event = tell::failed(&mut status.conditions, moment, failure.why, &failure.message);
            Ok(Told::status(&status, event.into_iter().collect(), interval))
        }
    }
}

struct Failure {
    why: &'static str,
    message: String,
}

impl Failure {
    fn new(why: &'static str, error: &dyn std::error::Error) -> Self {
        let message = std::iter::successors(error.source(), |error| error.source())
            .fold(error.to_string(), |message, cause| format!("{message}: {cause}"));
        Self { why, message }
    }
}

/// A revision that differs from the one that is known; its archive is measured.
async fn fetch(
    name: &SourceName,
    object: &Object,
    spec: &GitRepositorySpec,
    status: &GitRepositoryStatus,
    shared: &Arc<Shared>,
) -> Result<Option<(Artifact, String, u64)>, Failure> {
    let world = &shared.world;
    let access = access(object, spec, shared).await?;
    let options = shared.world.settings.options(access.options);
    let client = http::client(&options).map_err(|error| Failure::new(reason::AUTHENTICATION_FAILED, &error))?;
    let known = world.sources.files(name).filter(|_| status.observed_generation == object.generation());
    let request = git::Request {
        url: mirrored(&spec.url, &world.settings.mirrors),
        reference: reference(spec),
        credentials: access.credentials,
        selection: git::Selection { ignore: spec.ignore.clone(), sparse: Vec::new() },
        timeout: spec.timeout.as_ref().map_or(TIMEOUT, |timeout| timeout.span()),
        observed: known.map(|known| known.revision),
    };
    let folder = world.settings.cache.join(format!("git/{}_{}", name.1, name.2));
    let fetched = git::fetch(&client, request, &folder).await.map_err(|error| Failure::new(why(&error), &error))?;
    let Some(artifact) = fetched else { return Ok(None) };
    let measured = tokio::task::spawn_blocking(move || {
        let measure = artifact.measure().map(|measure| (measure.digest.clone(), measure.size));
        measure.map(|(digest, size)| (artifact, digest, size))
    });
    let ended = |_| Failure { why: reason::ARCHIVE_OPERATION_FAILED, message: "packing ended unexpectedly".into() };
    let measured = measured.await.map_err(ended)?;
    measured.map(Some).map_err(|error| Failure::new(reason::ARCHIVE_OPERATION_FAILED, &error))
}

/// Credentials and certificates of `spec.secretRef`.
async fn access(object: &Object, spec: &GitRepositorySpec, shared: &Arc<Shared>) -> Result<Access, Failure> {
    let auth = |error: &dyn std::error::Error| Failure::new(reason::AUTHENTICATION_FAILED, error);
    let Some(reference) = &spec.secret_ref else {
        return Access::git(&spec.url, None).map_err(|error| auth(&error));
    };
    let at = Reference::new("v1", "Secret", object.namespace(), &reference.name);
    let name = format!("{}/{}", at.namespace, at.name);
    let found = shared.world.cluster.get(&at).await.map_err(|error| auth(&error))?;
    let missing = || Failure {
        why: reason::AUTHENTICATION_FAILED,
        message: format!("failed to get secret '{name}': secrets \"{}\" not found", at.name),
    };
    let secret = found.ok_or_else(missing)?;
    let data = values_of(&secret);
    shared.hold(&at, &data);
    let value = |key: &str| data.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_slice());
    Access::git(&spec.url, Some(Secret { name: &name, value: &value })).map_err(|error| auth(&error))
}

fn reference(spec: &GitRepositorySpec) -> git::Reference {
    let Some(reference) = spec.reference.clone() else { return git::Reference::default() };
    git::Reference {
        branch: reference.branch.unwrap_or_default(),
        tag: reference.tag.unwrap_or_default(),
        semver: reference.semver.unwrap_or_default(),
        name: reference.name.unwrap_or_default(),
        commit: reference.commit.unwrap_or_default(),
    }
}

/// Flux's reason for a failed fetch.
fn why(error: &source::Error) -> &'static str {
    match error {
        source::Error::ReferenceName { .. } | source::Error::Constraint { .. } => reason::INVALID_PATH,
        _ => reason::GIT_OPERATION_FAILED,
    }
}

/// Keeps a revision for those who build from it.
fn store(
    name: &SourceName,
    (artifact, digest, size): (Artifact, String, u64),
    spec: &GitRepositorySpec,
    status: &mut GitRepositoryStatus,
    moment: Moment,
    shared: &Arc<Shared>,
) -> Vec<Event> {
    let (revision, subject) = (artifact.revision.clone(), artifact.subject.clone());
    let Ok(verified) = Arc::new(artifact).verify(&Trust::None);
    shared.world.sources.put_files(Fetched {
        name: name.clone(),
        revision: revision.clone(),
        digest: digest.clone(),
        verified,
    });
    let is_new = status.artifact.as_ref().is_none_or(|known| known.revision != revision || known.digest != digest);
    let file = format!("{}.tar.gz", revision.rsplit_once(':').map_or(revision.as_str(), |(_, id)| id));
    if is_new {
        let path = format!("gitrepository/{}/{}/{file}", name.1, name.2);
        let url = format!("http://lockstep.{}.svc.cluster.local./{path}", shared.world.settings.namespace);
        status.artifact = Some(ArtifactRecord {
            digest,
            last_update_time: moment.now.into(),
            path,
            revision: revision.clone(),
            size: i64::try_from(size).ok(),
            url,
            ..ArtifactRecord::default()
        });
    }
    status.observed_ignore.clone_from(&spec.ignore);
    status.observed_generation = moment.generation;
    tell::stored(&mut status.conditions, &revision, moment);
    triggers::fetched(shared, name);
    let commit = subject.map(|subject| format!("stored artifact for commit '{subject}'"));
    let event = commit.filter(|_| is_new).map(|message| Event::info(reason::NEW_ARTIFACT, message));
    event.map(|event| event.at(tell::GROUP, &revision)).into_iter().collect()
}

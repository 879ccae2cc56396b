//! GitRepository: fetch the revision, keep it for those who build from it, tell.

use std::sync::Arc;

use jiff::Timestamp;
use manifest::Object;

use super::{Error, Key, Shared, Told, triggers};
use crate::api::condition::reason;
use crate::api::source::{ArtifactRecord, GitRepository, GitRepositorySpec, GitRepositoryStatus};
use crate::api::{FINALIZER, Kind as _};
use crate::artifact::Trust;
use crate::pipeline::sources::git::Revision;
use crate::pipeline::sources::{self, Failure, Fetched, SourceName};
use crate::status::{Event, Moment, Next, source as tell, unsupported_message};

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
    status.last_handled_reconcile_at = object.annotation(crate::api::REQUESTED_AT).map(str::to_owned);
    if spec.suspend {
        return Ok(Told::status(&status, Vec::new(), Next::OnEvent));
    }
    let unsupported = GitRepository::unsupported(object.value());
    if !unsupported.is_empty() {
        return Ok(stall(&mut status, reason::UNSUPPORTED, &unsupported_message(&unsupported)));
    }
    let interval = Next::After(spec.interval.span());
    match fetch(&name, object, &status, shared).await {
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
            Ok(Told::status(&status, event.into_iter().collect(), Next::Retry))
        }
    }
}

/// A revision that differs from the one that is known.
async fn fetch(
    name: &SourceName,
    object: &Object,
    status: &GitRepositoryStatus,
    shared: &Arc<Shared>,
) -> Result<Option<Revision>, Failure> {
    let world = &shared.world;
    let known = world.sources.files(name).filter(|_| status.observed_generation == object.generation());
    sources::git::fetch(name, object, known.map(|known| known.revision), world, &sources::nothing_known).await
}

/// Keeps a revision for those who build from it.
fn store(
    name: &SourceName,
    Revision { artifact, digest, size, secrets }: Revision,
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
        secrets,
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

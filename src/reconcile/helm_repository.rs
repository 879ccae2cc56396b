//! HelmRepository: fetch the index, keep it for those who take charts of it, tell.

use std::sync::Arc;

use jiff::Timestamp;
use manifest::Object;

use super::{Error, Key, Shared, Told, triggers};
use crate::api::condition::reason;
use crate::api::source::{ArtifactRecord, HelmRepository, HelmRepositoryStatus};
use crate::api::{FINALIZER, Kind as _};
use crate::pipeline::sources::{self, Charts, SourceName};
use crate::status::{Event, Moment, Next, source as tell, unsupported_message};

/// Reconciles a HelmRepository.
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
    let mut status = HelmRepository::status(object).unwrap_or_default();
    let moment = Moment { generation: object.generation(), now: Timestamp::now() };
    let stall = |status: &mut HelmRepositoryStatus, why: &str, message: &str| {
        let event = tell::stalled(&mut status.conditions, moment, why, message);
        status.observed_generation = moment.generation;
        Told::status(status, event.into_iter().collect(), Next::OnEvent)
    };
    let spec = match HelmRepository::spec(object) {
        Ok(spec) => spec,
        Err(error) => return Ok(stall(&mut status, reason::URL_INVALID, &error.to_string())),
    };
    status.last_handled_reconcile_at = object.annotation(crate::api::REQUESTED_AT).map(str::to_owned);
    if spec.suspend {
        return Ok(Told::status(&status, Vec::new(), Next::OnEvent));
    }
    let unsupported = HelmRepository::unsupported(object.value());
    if !unsupported.is_empty() {
        return Ok(stall(&mut status, reason::UNSUPPORTED, &unsupported_message(&unsupported)));
    }
    let interval = spec.interval.as_ref().map_or(Next::OnEvent, |interval| Next::After(interval.span()));
    match sources::helm::fetch(object, &shared.world, &sources::nothing_known).await {
        Ok(charts) => {
            let events = store(&name, charts, &spec.url, &mut status, moment, shared);
            Ok(Told::status(&status, events, interval))
        }
        Err(failure) => {
            let event = tell::failed(&mut status.conditions, moment, failure.why, &failure.message);
            Ok(Told::status(&status, event.into_iter().collect(), Next::Retry))
        }
    }
}

/// Keeps an index for those who take charts of it.
fn store(
    name: &SourceName,
    charts: Charts,
    url: &str,
    status: &mut HelmRepositoryStatus,
    moment: Moment,
    shared: &Arc<Shared>,
) -> Vec<Event> {
    let (revision, size) = (charts.revision.clone(), charts.index.size);
    let is_new = status.artifact.as_ref().is_none_or(|known| known.revision != revision);
    let is_unknown = shared.world.sources.charts(name).is_none_or(|known| known.revision != revision);
    shared.world.sources.put_charts(name.clone(), charts);
    if is_new {
        let folder = format!("helmrepository/{}/{}", name.1, name.2);
        let server = format!("http://lockstep.{}.svc.cluster.local.", shared.world.settings.namespace);
        let path = format!("{folder}/index-{}.yaml", revision.trim_start_matches("sha256:"));
        status.url = Some(format!("{server}/{folder}/index.yaml"));
        status.artifact = Some(ArtifactRecord {
            digest: revision.clone(),
            last_update_time: moment.now.into(),
            url: format!("{server}/{path}"),
            path,
            revision: revision.clone(),
            size: i64::try_from(size).ok(),
            ..ArtifactRecord::default()
        });
    }
    status.observed_generation = moment.generation;
    tell::stored_index(&mut status.conditions, &revision, moment);
    if is_unknown {
        triggers::fetched(shared, name);
    }
    let message = format!("stored fetched index of size {} from '{url}'", tell::human_size(size));
    let event = is_new.then(|| Event::info(reason::NEW_ARTIFACT, message).at(tell::GROUP, &revision));
    event.into_iter().collect()
}

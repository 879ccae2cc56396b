//! The Secrets of a suspended unit: they go on as External Secrets would keep them, each in its place. Nothing restarts,
//! nothing is deleted, and nothing else of the unit is written; when it goes on, its workloads are rolled out.

use std::sync::Arc;

use apply::{Action, Behaviour, Journal};
use manifest::Object;
use tokio::time::Instant;

use super::wanted_since;
use crate::api::Kind as _;
use crate::api::kustomization::Kustomization;
use crate::landing::{self, Held, Site};
use crate::pipeline::expand::{self, ExternalTold, MISSED_ONCE};
use crate::reconcile::{Error, Shared, triggers};
use crate::resolve::{self, Outcome, Pass, target};
use crate::unit::Unit;

/// Whether a unit is suspended.
pub(super) fn is_suspended(unit: &Unit, shared: &Shared) -> bool {
    let object = triggers::key_of(unit).and_then(|key| shared.index.get(&key));
    object.and_then(|object| Kustomization::spec(&object).ok()).is_some_and(|spec| spec.suspend)
}

/// What is to be told of an ExternalSecret, what was done to its Secret, and as of when the store is known.
type Refreshed = (ExternalTold, Option<Action>, Instant);

/// Brings the Secret of an ExternalSecret to what the store has. `None` while a landing of the unit is open, which is ended
/// first.
pub(super) async fn refresh(object: &Object, unit: &Unit, shared: &Arc<Shared>) -> Result<Option<Refreshed>, Error> {
    let world = &shared.world;
    let journal = Journal::load(world.journals.clone(), &unit.to_string(), world.epoch).await?;
    if journal.open().is_some() {
        return Ok(None);
    }
    let live = world.cluster.get(&target::reference(object)).await?;
    let pass = world.resolver.pass_since(None, wanted_since(object, shared));
    let resolved = pass.resolve(object, live.as_ref()).await;
    let as_of = pass.as_of();
    let resolved = match resolved {
        Ok(resolved) => resolved,
        Err(error) => return Ok(Some((ExternalTold::Failed(error.to_string()), None, as_of))),
    };
    let (told, action) = match resolved.outcome {
        // What a unit declares itself is its own to merge.
        Outcome::Secret(secret) if !expand::merges(object) => {
            let is_whole = resolved.missing.is_empty() || secret.lost.is_empty();
            let live = live.as_ref();
            let has_changed = || live.is_some_and(|live| live.value().get("data") != secret.object.value().get("data"));
            let is_news = || expand::has_news(journal.landed().map(Arc::as_ref), &resolved.missing);
            if !resolved.missing.is_empty() && target::is_templated(object) && is_news() && has_changed() {
                return Ok(Some((ExternalTold::Failed(MISSED_ONCE.into()), None, as_of)));
            }
            let secret = if is_whole { Ok(secret) } else { with_lost(&pass, object, live, secret).await };
            match secret {
                Ok(secret) => match put(expand::wanted(object, *secret), unit, shared).await {
                    (ExternalTold::Synced, action) if !is_whole => (ExternalTold::Failed(MISSED_ONCE.into()), action),
                    other => other,
                },
                Err(told) => (told, None),
            }
        }
        Outcome::Foreign => (ExternalTold::Foreign, None),
        Outcome::Gone | Outcome::Retained => (ExternalTold::Retained, None),
        Outcome::Secret(_) | Outcome::NoTarget | Outcome::NotWanted => (ExternalTold::Synced, None),
    };
    if !matches!(told, ExternalTold::Failed(_)) {
        for (thing, version) in resolved.read {
            shared.units.saw(thing, &version);
        }
    }
    Ok(Some((told, action, as_of)))
}

/// The Secret with what it would lose.
async fn with_lost(
    pass: &Pass,
    external: &Object,
    live: Option<&Object>,
    secret: Box<resolve::Desired>,
) -> Result<Box<resolve::Desired>, ExternalTold> {
    match pass.resolve_keeping(external, live, secret.lost).await.map(|resolved| resolved.outcome) {
        Ok(Outcome::Secret(secret)) => Ok(secret),
        Ok(_) => Err(ExternalTold::Retained),
        Err(error) => Err(ExternalTold::Failed(error.to_string())),
    }
}

async fn put(desired: apply::Desired, unit: &Unit, shared: &Arc<Shared>) -> (ExternalTold, Option<Action>) {
    let object = triggers::key_of(unit).and_then(|key| shared.index.get(&key));
    let account = object.as_ref().and_then(|object| object.text("/spec/serviceAccountName"));
    let cluster = shared.world.cluster_of(&unit.namespace, account);
    let site = Site::alone(cluster, unit.clone());
    let at = desired.reference();
    let claims = shared.claims.others(unit, [&at.id()]);
    match landing::hold(desired, &Behaviour::default(), claims, true, &site).await {
        Held::PutBack(action) => {
            triggers::secret_changed(shared, &at);
            (ExternalTold::Synced, Some(action))
        }
        Held::AsLanded | Held::Drifted(_) => (ExternalTold::Synced, None),
        Held::Failed(failures) => {
            let texts: Vec<String> = failures.iter().map(ToString::to_string).collect();
            (ExternalTold::Failed(texts.join("; ")), None)
        }
    }
}

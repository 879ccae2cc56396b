//! StatefulSets that are taken back. A rolling update waits for the pod that it has broken, also when the old template is
//! there again (Kubernetes documents it as a known issue): such pods are deleted, and come back from the old template.
//!
//! **Guarantees.** Only pods of the set that are not ready and not of its present revision are deleted. A set whose pods are
//! replaced by hand (`OnDelete`) is left alone, and so are pods that the unit's identity may not delete.

use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use futures::stream::StreamExt as _;
use manifest::Object;
use serde_json::Value;

use crate::cluster::{ClusterError, Propagation, Reference, Selection, WatchEvent};
use crate::commit;
use crate::context::Context;

/// How long its controller may take to see a template.
const NOTICE: Duration = Duration::from_secs(30);
/// Label that tells the revision of a pod.
const REVISION: &str = "controller-revision-hash";

/// Deletes what keeps a StatefulSet from rolling back.
pub(crate) async fn free(at: &Reference, ctx: &Context<'_>, deadline: Duration) -> Result<(), ClusterError> {
    match delete_broken(at, ctx, deadline).await {
        // Whoever may not touch pods has taken back all that it could.
        Err(ClusterError::Forbidden { .. }) => Ok(()),
        other => other,
    }
}

async fn delete_broken(at: &Reference, ctx: &Context<'_>, deadline: Duration) -> Result<(), ClusterError> {
    let Some(live) = ctx.read(at, deadline).await? else { return Ok(()) };
    let is_by_hand = live.text("/spec/updateStrategy/type") == Some("OnDelete");
    if is_by_hand || broken_pods(&live, ctx).await?.is_empty() {
        return Ok(());
    }
    let live = noticed(&live, at, ctx).await?;
    let revision = live.text("/status/updateRevision");
    for pod in broken_pods(&live, ctx).await?.iter().filter(|pod| pod.label(REVISION) != revision) {
        commit::delete(&Reference::of(pod), Propagation::Background, ctx, deadline).await?;
    }
    Ok(())
}

/// Its pods that are not ready.
async fn broken_pods(set: &Object, ctx: &Context<'_>) -> Result<Vec<Object>, ClusterError> {
    let labels = set.value().pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    let labels = labels.into_iter().flatten().filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)));
    let labels = labels.collect::<Vec<_>>().join(",");
    let mut pods = ctx.cluster.list(&Selection::all("v1", "Pod").within(set.namespace()).labelled(&labels)).await?;
    pods.retain(|pod| is_of(pod, set) && !is_ready(pod) && !pod.is_terminating());
    Ok(pods)
}

fn is_of(pod: &Object, set: &Object) -> bool {
    let owners = pod.value().pointer("/metadata/ownerReferences").and_then(Value::as_array);
    owners.into_iter().flatten().any(|owner| owner.get("uid").and_then(Value::as_str) == Some(set.uid()))
}

fn is_ready(pod: &Object) -> bool {
    let conditions = pod.value().pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| {
        let text = |field: &str| condition.get(field).and_then(Value::as_str);
        text("type") == Some("Ready") && text("status") == Some("True")
    })
}

/// The set once its controller has seen its template, so that its revision is that of this template.
async fn noticed(set: &Object, at: &Reference, ctx: &Context<'_>) -> Result<Object, ClusterError> {
    let is_seen = |live: &Object| {
        let seen = live.value().pointer("/status/observedGeneration").and_then(Value::as_i64);
        seen.is_some_and(|seen| seen >= set.generation()) && live.uid() == set.uid()
    };
    let mut events = ctx.cluster.watch(Selection::one(at));
    let seen = async {
        loop {
            let found = match events.next().await {
                Some(Ok(WatchEvent::Reset(all))) => all.into_iter().find(is_seen),
                Some(Ok(WatchEvent::Applied(live))) => Some(live).filter(is_seen),
                Some(_) => None,
                None => return None,
            };
            if found.is_some() {
                return found;
            }
        }
    };
    match select(pin!(seen), ctx.clock.sleep(NOTICE)).await {
        Either::Left((Some(live), _)) => Ok(live),
        _ => Err(ClusterError::Unavailable {
            id: Some(at.id()),
            message: "its controller has not seen the old template yet".into(),
            retry_after: None,
        }),
    }
}

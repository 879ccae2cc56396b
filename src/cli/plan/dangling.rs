//! References of pods to Secrets and ConfigMaps that nobody makes: what would land, and not start.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use apply::parcels::edges;
use apply::versions::named_by_pods;
use apply::{Candidate, Cluster, ClusterError, Reference};
use manifest::{Object, ObjectId, kinds};

use super::around::Around;
use crate::reconcile::needs::Need;
use crate::unit::Unit;

/// What every namespace has of itself.
const GIVEN: &str = "kube-root-ca.crt";

/// The references of a candidate that lead nowhere: neither the unit, nor another one, nor the cluster has what they name. One
/// warning for each, with object and field.
///
/// # Errors
/// When the cluster does not answer.
pub(super) async fn warnings(
    candidate: &Candidate,
    unit: &Unit,
    own: &BTreeSet<Need>,
    around: &Around,
    cluster: &Arc<dyn Cluster>,
) -> Result<Vec<String>, ClusterError> {
    // A hook may make what its chart's pods read, as Jobs for certificates do.
    let plain = candidate.releases.iter().filter(|release| release.before.is_empty() && release.after.is_empty());
    let releases = plain.flat_map(|release| &release.objects);
    let objects: Vec<&Object> = candidate.objects.iter().chain(releases).map(|desired| &desired.object).collect();
    let made: BTreeSet<ObjectId> =
        objects.iter().filter(|object| is_custom(object)).flat_map(|o| may_make(o)).collect();
    let (mut warnings, mut known) = (Vec::new(), BTreeMap::new());
    for object in objects {
        for (field, id) in references(object) {
            let need = Need::Object(id);
            let Need::Object(id) = &need else { continue };
            if id.name == GIVEN || own.contains(&need) || made.contains(id) || !around.beside(unit, id).is_empty() {
                continue;
            }
            let is_there = match known.get(id) {
                Some(is_there) => *is_there,
                None => *known.entry(id.clone()).or_insert(is_there(cluster, id).await?),
            };
            if !is_there {
                warnings.push(told(object, &field, id, around.has_cluster));
            }
        }
    }
    Ok(warnings)
}

fn told(object: &Object, field: &str, id: &ObjectId, has_cluster: bool) -> String {
    let place = object.origin().map(|origin| format!("{origin}: ")).unwrap_or_default();
    let beyond = match has_cluster {
        true => "no unit makes it, and the cluster does not have it",
        false => "no unit makes it; whether a cluster has it is not known here",
    };
    format!("{place}{}: {field} names {id}: {beyond}", object.id())
}

/// Whether something is in the cluster; whoever may not look is told nothing.
async fn is_there(cluster: &Arc<dyn Cluster>, id: &ObjectId) -> Result<bool, ClusterError> {
    match cluster.get(&Reference::new("v1", &id.kind, &id.namespace, &id.name)).await {
        Ok(found) => Ok(found.is_some()),
        Err(ClusterError::NotFound { .. }) => Ok(false),
        Err(ClusterError::Forbidden { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether an object is of no kind of Kubernetes' own: its controller may make Secrets.
fn is_custom(object: &Object) -> bool {
    let group = object.gvk().group;
    group.contains('.') && !kinds::has_group(&group)
}

/// What the controller of a custom kind may make: what its object names, as a Certificate does, and what is called as it is, as
/// the Secret of a SealedSecret.
fn may_make(object: &Object) -> BTreeSet<ObjectId> {
    let named = ["Secret", "ConfigMap"].map(|kind| Reference::new("v1", kind, object.namespace(), object.name()).id());
    edges::needed(object).into_iter().chain(named).collect()
}

/// Fields of an object's pods that name what the pods do not start without, and what they name.
fn references(object: &Object) -> Vec<(String, ObjectId)> {
    let is_optional = |at: &str| {
        let optional = object.value().pointer(at).and_then(|reference| reference.get("optional"));
        optional.is_some_and(|optional| optional == true)
    };
    let named = named_by_pods(object).into_iter().filter(|(_, id)| !id.name.is_empty());
    let named = named.filter_map(|(pointer, id)| Some((pointer.rsplit_once('/')?.0.to_owned(), id)));
    named.filter(|(at, _)| !is_optional(at)).map(|(at, id)| (field(&at), id)).collect()
}

/// A JSON pointer as people write it: `spec.volumes[0].secret`.
fn field(pointer: &str) -> String {
    let is_index = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let part = |part: &str| if is_index(part) { format!("[{part}]") } else { format!(".{part}") };
    pointer.split('/').skip(1).map(part).collect::<String>().trim_start_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use apply::desired::{Hook, Release};
    use apply::memory::{MemoryCluster, Settings};
    use apply::{Desired, Reading};
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn what_a_hook_of_the_same_chart_may_make_is_not_lost() {
        let object = |kind: &str| {
            let pods = json!({"containers": [], "volumes": [{"name": "v", "secret": {"secretName": "made"}}]});
            let metadata = json!({"name": "a", "namespace": "default"});
            let spec = json!({"template": {"spec": pods}});
            Object::unchecked(json!({"apiVersion": "batch/v1", "kind": kind, "metadata": metadata, "spec": spec}))
        };
        let cluster: Arc<dyn Cluster> = Arc::new(MemoryCluster::new(Settings::default()));
        let release = |before: Vec<Hook>| Release {
            id: object("Release").id(),
            begin: Vec::new(),
            before,
            objects: vec![Desired::new(object("Job"), "helm-controller")],
            wait: None::<(Reading, Duration)>,
            after: Vec::new(),
            finish: Vec::new(),
        };
        let told = async |release: Release| {
            let candidate = Candidate { releases: vec![release], ..Candidate::default() };
            let around = Around::of(&[], true);
            warnings(&candidate, &Unit::kustomization("a", "a"), &BTreeSet::new(), &around, &cluster).await.unwrap()
        };
        let lost = "Job/default/a: spec.template.spec.volumes[0].secret names Secret/default/made: no unit makes it, and the \
                    cluster does not have it";
        assert_eq!(told(release(Vec::new())).await, [lost]);
        let (manager, timeout) = ("helm".to_owned(), Duration::from_secs(1));
        let (delete_before, delete_succeeded, delete_failed) = (true, false, false);
        let hook = Hook { object: object("Job"), manager, delete_before, delete_succeeded, delete_failed, timeout };
        assert_eq!(told(release(vec![hook])).await, [""; 0]);
    }
}

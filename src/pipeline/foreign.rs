//! Secrets that a unit's workloads read and another unit makes: their bytes are inputs of the unit, and count for the stamps
//! of its workloads.

use std::collections::BTreeSet;

use apply::desired::{Candidate, Desired};
use apply::{Cluster, ClusterError, Reference, reads};
use manifest::Object;

use super::object_version;
use crate::unit::{ReadSet, Thing};

/// Labels by which a Secret is known as another unit's, or its ExternalSecret's or release's.
const MADE_BY_US: [&str; 3] =
    ["kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name", "reconcile.external-secrets.io/managed"];

/// Reads them. One that nobody of ours has made is no input: nobody would tell that it changes.
///
/// # Errors
/// When the cluster does not answer.
pub async fn secrets(
    candidate: &Candidate,
    cluster: &dyn Cluster,
    read_set: &mut ReadSet,
) -> Result<Vec<Object>, ClusterError> {
    let mut found = Vec::new();
    for at in named(candidate) {
        let secret = cluster.get(&at).await?;
        let is_ours = |secret: &Object| MADE_BY_US.iter().any(|label| secret.label(label).is_some());
        if secret.as_ref().is_none_or(is_ours) {
            read_set.note(Thing::object(&at), object_version(secret.as_ref()));
            found.extend(secret);
        }
    }
    Ok(found)
}

/// Secrets that workloads name, and the unit does not make.
fn named(candidate: &Candidate) -> BTreeSet<Reference> {
    let all = || candidate.objects.iter().chain(candidate.releases.iter().flat_map(|release| &release.objects));
    let own: BTreeSet<Reference> =
        all().map(|desired| &desired.object).filter(|object| object.is_secret()).map(Reference::of).collect();
    let reads = |desired: &Desired| {
        let namespace = desired.object.namespace().to_owned();
        let names = reads::secrets(&desired.object).into_keys();
        names.map(move |name| Reference::new("v1", "Secret", &namespace, &name)).collect::<Vec<_>>()
    };
    all().flat_map(reads).filter(|at| !own.contains(at)).collect()
}

//! What landed last, with its secrets as they are now: what a rotation lands while the source cannot be had.
//!
//! Nothing is built, rendered or deleted. A chart whose values come from a rotated secret keeps its objects until the
//! source is there again; its workloads are rolled out where they read the secret themselves.

use std::collections::BTreeSet;

use apply::desired::{Candidate, Declarer, Desired, Policy};
use apply::{ClusterError, Landing};
use manifest::{Object, ObjectId};
use tokio::time::Instant;

use super::sources::{SourceName, artifact};
use super::{Compiled, World, compile, expand, foreign};
use crate::unit::{ReadSet, Thing};

/// Resolves the ExternalSecrets of a landing anew. It is read as made from no artifact of the source, so that all of it is
/// compiled once there is one.
///
/// # Errors
/// When the cluster does not answer.
pub async fn with_new_secrets(
    landed: &Landing,
    source: &SourceName,
    user: Option<String>,
    since: Instant,
    world: &World,
) -> Result<Compiled, ClusterError> {
    let mut read_set = without_files(&ReadSet::from_value(&landed.read_set), source);
    let objects: Vec<Object> = landed.changes().map(|change| change.desired.object.clone()).collect();
    let input = expand::Input {
        objects: &objects,
        landed: Some(landed),
        user,
        since,
        own: None,
        identities: None,
        presumes: false,
    };
    let mut expanded = expand::resolve(input, world, &mut read_set).await;
    let mut own: Vec<Desired> = landed.changes().map(|change| change.desired.clone()).collect();
    expanded.merge(&mut own);
    let fresh: BTreeSet<ObjectId> = expanded.objects.iter().map(|desired| desired.object.id()).collect();
    own.retain(|desired| !fresh.contains(&desired.object.id()));
    own.iter_mut().filter(|desired| matches!(desired.declarer, Declarer::Release(_))).for_each(untouched);
    let objects = own.into_iter().chain(expanded.objects).collect();
    let mut candidate = Candidate { revision: landed.revision.clone(), objects, ..Candidate::default() };
    candidate.foreign = foreign::secrets(&candidate, world.cluster.as_ref(), &mut read_set).await?;
    (candidate.input, candidate.read_set) = (read_set.digest(), read_set.to_value());
    candidate.failures = expanded.problems.iter().map(Into::into).collect();
    expanded.secrets.push(compile::register(&candidate, &world.redactor));
    Ok(Compiled {
        candidate,
        externals: expanded.externals,
        releases: Vec::new(),
        problems: expanded.problems,
        warnings: Vec::new(),
        secrets: expanded.secrets,
    })
}

/// What was read, but as from no artifact of the source.
fn without_files(landed: &ReadSet, source: &SourceName) -> ReadSet {
    let mut read_set = ReadSet::default();
    for (thing, version) in landed.iter().filter(|(thing, _)| !matches!(thing, Thing::Paths { .. })) {
        let is_marked = *thing != artifact(source) || version.ends_with(LATER);
        let mark = if is_marked { "" } else { LATER };
        read_set.note(thing.clone(), format!("{version}{mark}"));
    }
    read_set
}

/// What marks the version of an artifact from which a landing was made, with secrets of a later time.
const LATER: &str = " with later secrets";

fn untouched(desired: &mut Desired) {
    desired.policy = Policy::Untouched;
}

//! Secrets that never change under their readers (`lockstep.dev/versions: immutable`, landing.md section 7).
//!
//! **Flow.** [`split`] lands each version of a Secret besides it, as an immutable Secret of another name, and has the
//! workloads of the unit read that one: new bytes are another name, and so one rollout, without a stamp. The plain name stays
//! an ordinary Secret with the current bytes, for all that is not of the unit. [`Old::of`] finds versions that are not
//! current any more, and [`take_free`] gives those to the prune that nobody can go back to ([`uses`]).
//!
//! **Guarantees.** A pod sees the bytes of its template's version and no others, from its start to its end, also when its
//! ReplicaSet starts it once more, or somebody rolls back to it. What reads the Secret and cannot be rewritten is refused by
//! name: it would see bytes change that the unit has asked to stay. A version's name tells nothing of its bytes.
//!
//! **Limits.** Which Secret is meant by what stands in arguments or in files nobody knows: it reads the plain name. A Secret
//! that the unit does not hold whole has no versions: one that others fill (`ssa: merge` or `IfNotPresent`, an ExternalSecret
//! without ownership, the token of a ServiceAccount); one that is immutable under its own name needs none. What a generator
//! has made under a name with a hash is versioned like any other: its own old Secret goes with the landing that drops it,
//! while its version stays for as long as a ReplicaSet can go back to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use manifest::{Object, ObjectId};
use serde_json::{Map, Value, json};

use crate::change::{Landing, Stale};
use crate::cluster::{Cluster, ClusterError, Reference};
use crate::desired::{Behaviour, Candidate, Declarer, Desired, Policy};
use crate::plan::Base;
use crate::prune;
use crate::reads::Keys;
use crate::report::{Failure, Step as At};
use crate::share::OwnerLabels;
use crate::stamp::{self, Seal};

pub(crate) mod fields;

pub use fields::named_by_pods;
pub(crate) mod uses;

use uses::Uses;

/// Annotation on a Secret, or on the ExternalSecret that makes it: `immutable` or `inplace`, whatever its unit says.
pub const SWITCH: &str = "lockstep.dev/versions";
/// Annotation on a version: the name of the Secret that it is a version of.
pub const VERSION_OF: &str = "lockstep.dev/version-of";

/// Letters of a version's hash.
const HASH: usize = 16;
/// Longest name of a Secret.
const LONGEST_NAME: usize = 253;
/// Prefix of the labels by which External Secrets knows its own.
const EXTERNAL: &str = "reconcile.external-secrets.io/";

/// Namespace and name.
type Key = (String, String);

/// Adds versions to a candidate, and has its workloads read them. Returns the readers that cannot.
pub(crate) fn split(candidate: &mut Candidate, behaviour: &Behaviour, seal: Seal<'_>) -> Vec<Failure> {
    if candidate.is_landed {
        return Vec::new();
    }
    merge(candidate);
    let mut versions: BTreeMap<Key, Desired> = BTreeMap::new();
    for desired in candidate.objects.iter().filter(|desired| is_versioned(desired, candidate, behaviour)) {
        versions.insert(key(&desired.object), version(desired, behaviour, seal));
    }
    if versions.is_empty() {
        return Vec::new();
    }
    let mut failures = Vec::new();
    let mut read = BTreeSet::new();
    for desired in &mut candidate.objects {
        let is_followed = desired.declarer == Declarer::Unit && desired.policy != Policy::Ignore;
        for (pointer, key) in named(&desired.object) {
            let Some(version) = versions.get(&key) else { continue };
            if is_followed && fields::is_of_template(&desired.object, &pointer) {
                rename(&mut desired.object, &pointer, version.object.name());
                read.insert(key);
            } else {
                failures.push(refused(&desired.object, &pointer, &key));
            }
        }
    }
    for desired in candidate.releases.iter().flat_map(|release| &release.objects) {
        let named = named(&desired.object).filter(|(_, key)| versions.contains_key(key));
        failures.extend(named.map(|(pointer, key)| refused(&desired.object, &pointer, &key)));
    }
    // What nobody reads has nothing to gain.
    candidate.objects.extend(versions.into_iter().filter(|(key, _)| read.contains(key)).map(|(_, version)| version));
    failures
}

/// The reverse of [`split`], where a candidate is made of what has landed.
fn merge(candidate: &mut Candidate) {
    let ids: BTreeSet<ObjectId> = candidate.objects.iter().map(|desired| desired.object.id()).collect();
    let mut plain: BTreeMap<Key, String> = BTreeMap::new();
    candidate.objects.retain(|desired| match &desired.declarer {
        Declarer::Version(id) if ids.contains(id) => {
            plain.insert(key(&desired.object), id.name.clone());
            false
        }
        _ => true,
    });
    if plain.is_empty() {
        return;
    }
    for desired in &mut candidate.objects {
        for (pointer, key) in named(&desired.object) {
            if let Some(name) = plain.get(&key) {
                rename(&mut desired.object, &pointer, name);
            }
        }
    }
}

fn named(object: &Object) -> impl Iterator<Item = (String, Key)> + use<> {
    fields::of(object).into_iter().map(|(pointer, named)| (pointer, (named.namespace, named.name)))
}

fn rename(object: &mut Object, pointer: &str, name: &str) {
    if let Some(field) = object.value_mut().pointer_mut(pointer) {
        *field = name.into();
    }
}

fn refused(reader: &Object, pointer: &str, (namespace, name): &Key) -> Failure {
    let secret = Reference::new("v1", "Secret", namespace, name).id();
    let message = format!(
        "{pointer} names {secret}, whose versions are immutable, and only templates of Deployments, StatefulSets, DaemonSets \
         and CronJobs of the unit can follow them ({SWITCH}: inplace on the Secret, or on its ExternalSecret, lets it change in place)"
    );
    Failure::about(At::Plan, reader, message)
}

fn key(object: &Object) -> Key {
    (object.namespace().to_owned(), object.name().to_owned())
}

/// Whether a Secret is wanted in versions, and can be.
fn is_versioned(desired: &Desired, candidate: &Candidate, behaviour: &Behaviour) -> bool {
    let Desired { object, .. } = desired;
    if !object.is_secret() || desired.policy != Policy::Override {
        return false;
    }
    let external = match &desired.declarer {
        Declarer::Unit => None,
        // Of one that it does not own, others hold a part, or all.
        Declarer::ExternalSecret(id) if desired.owner.is_some() => Some(id),
        Declarer::ExternalSecret(_) | Declarer::Release(_) | Declarer::Version(_) => return false,
    };
    let external = external.and_then(|id| candidate.objects.iter().find(|desired| desired.object.id() == *id));
    let own = object.annotation(SWITCH).or_else(|| external.and_then(|external| external.object.annotation(SWITCH)));
    let is_asked = own.map_or(behaviour.is_versioned, |own| own == "immutable");
    let is_fixed = object.value().get("immutable") == Some(&Value::Bool(true));
    is_asked && !is_fixed && object.text("/type") != Some("kubernetes.io/service-account-token") && has_bytes(object)
}

fn has_bytes(object: &Object) -> bool {
    let is_filled = |field: &str| object.value().get(field).and_then(Value::as_object).is_some_and(|m| !m.is_empty());
    is_filled("data") || is_filled("stringData")
}

/// The version that a Secret has now.
fn version(plain: &Desired, behaviour: &Behaviour, seal: Seal<'_>) -> Desired {
    let object = &plain.object;
    let mut labels: Map<String, Value> =
        object.value().pointer("/metadata/labels").and_then(Value::as_object).cloned().unwrap_or_default();
    labels.retain(|label, _| !label.starts_with(EXTERNAL));
    labels.extend(behaviour.owner_labels.iter().map(|(key, value)| (key.clone(), value.as_str().into())));
    let mut value = json!({
        "apiVersion": "v1", "kind": "Secret", "immutable": true,
        "metadata": {
            "name": name(object, seal), "namespace": object.namespace(), "labels": labels,
            "annotations": { VERSION_OF: object.name() },
        },
    });
    for field in ["type", "data", "stringData"] {
        if let Some(content) = object.value().get(field) {
            value[field] = content.clone();
        }
    }
    let version = Object::unchecked(value);
    let version = match object.origin() {
        Some(origin) => version.at(origin.clone()),
        None => version,
    };
    Desired { declarer: Declarer::Version(object.id()), ..Desired::new(version, &plain.manager) }
}

/// Its name: that of the Secret, and a seal over what it holds and where, so that equal bytes of two Secrets are not seen to
/// be equal.
fn name(plain: &Object, seal: Seal<'_>) -> String {
    let kind = plain.text("/type").unwrap_or("Opaque");
    let mut sealed = format!("{}/{}\n{kind}\n", plain.namespace(), plain.name()).into_bytes();
    sealed.extend(stamp::bytes_read(plain, &Keys::All));
    let hash: String = seal(&sealed).chars().take(HASH).collect();
    format!("{}-{hash}", stem(plain.name()))
}

/// What the names of all versions of a Secret begin with.
fn stem(name: &str) -> &str {
    let end = name.char_indices().nth(LONGEST_NAME - HASH - 1).map_or(name.len(), |(end, _)| end);
    name[..end].trim_end_matches(['-', '.'])
}

/// Whether a live Secret says that it is a version of a Secret of its namespace, and of which.
fn plain_of(live: &Object) -> Option<ObjectId> {
    let name = live.annotation(VERSION_OF).filter(|_| live.is_secret())?;
    Some(Reference::new("v1", "Secret", live.namespace(), name).id())
}

/// Workloads that a landing has read other versions than before: their pods are replaced.
pub(crate) fn moved(landing: &Landing) -> BTreeSet<ObjectId> {
    let is_version = |desired: &&Desired| matches!(desired.declarer, Declarer::Version(_));
    let versions: BTreeSet<Key> =
        landing.changes().map(|change| &change.desired).filter(is_version).map(|d| key(&d.object)).collect();
    if versions.is_empty() {
        return BTreeSet::new();
    }
    let read = |object: &Object| named(object).map(|(_, key)| key).collect::<BTreeSet<Key>>();
    let written = landing.changes().filter(|change| change.is_written());
    let moves = written.filter(|change| {
        let Some(before) = change.prior.object() else { return false };
        let now = read(&change.desired.object);
        now.difference(&read(before)).any(|key| versions.contains(key))
    });
    moves.map(|change| change.desired.object.id()).collect()
}

/// Versions that are live and not current any more, of Secrets that are wanted still.
#[derive(Default)]
pub(crate) struct Old {
    /// Those that somebody may go back to.
    pub(crate) used: Vec<Stale>,
    /// Those that nobody refers to.
    pub(crate) free: Vec<Stale>,
}

impl Old {
    /// Finds them by what landed before, and by what the inventory lists.
    pub(crate) async fn of(
        base: &Base,
        labels: &OwnerLabels,
        wanted: &BTreeSet<ObjectId>,
        cluster: &Arc<dyn Cluster>,
    ) -> Self {
        let live = live(known(base, wanted), labels, cluster).await;
        // Who has only been listed has told by now what it is.
        let is_meant = |stale: &Stale| matches!(&stale.declarer, Declarer::Version(plain) if wanted.contains(plain));
        let live: Vec<Stale> = live.into_iter().filter(is_meant).collect();
        let uses = Uses::of(live.iter().map(|stale| &stale.reference), cluster).await;
        let (free, used) = live.into_iter().partition(|stale| uses.is_free(&stale.reference));
        Self { used, free }
    }

    /// All of them.
    pub(crate) fn ids(&self) -> impl Iterator<Item = ObjectId> {
        self.used.iter().chain(&self.free).map(|stale| stale.reference.id())
    }
}

/// Those that are there and may be deleted by the unit of these labels, as far as it can be told.
async fn live(known: Vec<Stale>, labels: &OwnerLabels, cluster: &Arc<dyn Cluster>) -> Vec<Stale> {
    let mut live = Vec::new();
    for mut stale in known {
        match cluster.get(&stale.reference).await {
            Ok(Some(found)) => {
                if let (Declarer::Unit, Some(plain)) = (&stale.declarer, plain_of(&found)) {
                    stale.declarer = Declarer::Version(plain);
                }
                live.extend(Some(stale).filter(|stale| prune::may_delete(&found, stale, labels)));
            }
            Ok(None) | Err(ClusterError::NotFound { .. } | ClusterError::NoKind { .. }) => {}
            // It will be seen the next time.
            Err(_) => live.push(stale),
        }
    }
    live
}

/// What may be an old version: what the journal says was one, and Secrets that only the inventory knows.
fn known(base: &Base, wanted: &BTreeSet<ObjectId>) -> Vec<Stale> {
    let mut found: BTreeMap<ObjectId, Stale> = BTreeMap::new();
    let landings = || [&base.landed, &base.superseded].into_iter().flatten();
    let has_plain = |declarer: &Declarer| matches!(declarer, Declarer::Version(id) if wanted.contains(id));
    for stale in landings().flat_map(Landing::old_versions).filter(|stale| has_plain(&stale.declarer)) {
        found.insert(stale.reference.id(), Stale { landed: None, ..stale.clone() });
    }
    let begun = base.superseded.iter().flat_map(Landing::begun).map(|change| (&change.desired, false));
    let landed = base.landed.iter().flat_map(Landing::changes).map(|change| (&change.desired, true));
    for (desired, has_landed) in begun.chain(landed).filter(|(desired, _)| has_plain(&desired.declarer)) {
        let landed = has_landed.then(|| Box::new(desired.clone()));
        let stale = Stale { reference: desired.reference(), declarer: desired.declarer.clone(), landed };
        found.insert(desired.object.id(), stale);
    }
    let known: BTreeSet<ObjectId> = landings().flat_map(Landing::changes).map(|c| c.desired.object.id()).collect();
    let is_secret = |id: &&ObjectId| id.group.is_empty() && id.kind == "Secret";
    let stems: BTreeSet<(&str, &str)> =
        wanted.iter().filter(is_secret).map(|id| (id.namespace.as_str(), stem(&id.name))).collect();
    let is_named_so = |id: &ObjectId| {
        let stem = id.name.rsplit_once('-').map(|(stem, _)| (id.namespace.as_str(), stem));
        is_secret(&id) && !known.contains(id) && stem.is_some_and(|stem| stems.contains(&stem))
    };
    for at in base.inventory.iter().filter(|at| is_named_so(&at.id())) {
        let stale = Stale { reference: at.clone(), declarer: Declarer::Unit, landed: None };
        found.entry(at.id()).or_insert(stale);
    }
    found.retain(|id, _| !wanted.contains(id));
    found.into_values().collect()
}

/// Whether what has landed has old versions that may go.
pub async fn may_go(landed: &Landing, cluster: &Arc<dyn Cluster>) -> bool {
    let known: Vec<Stale> = landed.old_versions().cloned().collect();
    if known.is_empty() {
        return false;
    }
    let live = live(known, &landed.behaviour.owner_labels, cluster).await;
    let uses = Uses::of(live.iter().map(|stale| &stale.reference), cluster).await;
    live.iter().any(|stale| uses.is_free(&stale.reference))
}

/// Takes out of a landing the old versions that nobody refers to by now.
pub(crate) async fn take_free(landing: &mut Landing, cluster: &Arc<dyn Cluster>) -> Vec<Stale> {
    let (old, stale) = std::mem::take(&mut landing.stale).into_iter().partition::<Vec<_>, _>(Stale::is_version);
    landing.stale = stale;
    landing.retired.extend(old);
    let uses = Uses::of(landing.retired.iter().map(|stale| &stale.reference), cluster).await;
    let (free, used) = std::mem::take(&mut landing.retired).into_iter().partition(|s| uses.is_free(&s.reference));
    landing.retired = used;
    free
}

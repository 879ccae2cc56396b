//! Random lives of Secrets: made, owned, held by finalizers, deleted in each way and under preconditions, under a quota, in a
//! namespace that goes. A real control plane collects garbage a moment later: after each deed it has time to come to what
//! the memory shows.

use std::time::Duration;

use apply::cluster::{PatchKind, Propagation};
use apply::{Answer, Call, Cluster, Reference, Selection};
use manifest::Object;
use serde_json::{Value, json};

use super::compare::{Outcome, differences};
use super::random::Dice;
use super::scripts::object;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// A UID that nothing has.
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

/// An owner: a Secret of the story, or nothing that there is.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    name: &'static str,
    is_there: bool,
    blocks: bool,
}

/// What a precondition says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Guard {
    None,
    Right,
    Wrong,
}

/// One request, made from what stands when it is sent.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    Begin,
    Create { name: &'static str, finalizers: Vec<&'static str>, owners: Vec<Owner> },
    Finalizers { name: &'static str, finalizers: Vec<&'static str> },
    Owners { name: &'static str, owners: Vec<Owner> },
    Delete { name: &'static str, propagation: Propagation, uid: Guard, version: Guard },
    Limit(Option<u64>),
    Terminate,
}

/// What is there after a deed: its answer, all Secrets, and the namespace.
pub(crate) type Picture = [Outcome; 3];

/// A life of its own for each seed.
pub(crate) fn life(seed: u64) -> Vec<Deed> {
    let mut dice = Dice(seed ^ 0x11fe);
    let mut deeds = vec![Deed::Begin];
    deeds.extend((0..18).map(|step| deed(&mut dice, step)));
    deeds
}

fn deed(dice: &mut Dice, step: u64) -> Deed {
    let name = NAMES[dice.roll(4) as usize];
    match dice.roll(100) {
        _ if step < 3 => Deed::Create { name, finalizers: finalizers(dice, 20), owners: owners(dice, name) },
        0..30 => Deed::Create { name, finalizers: finalizers(dice, 30), owners: owners(dice, name) },
        30..48 => Deed::Finalizers { name, finalizers: finalizers(dice, 40) },
        48..60 => Deed::Owners { name, owners: owners(dice, name) },
        60..90 => {
            let all = [Propagation::Background, Propagation::Foreground, Propagation::Orphan];
            let propagation = all[dice.roll(3) as usize];
            Deed::Delete { name, propagation, uid: guard(dice), version: guard(dice) }
        }
        90..96 => Deed::Limit(dice.chance(70).then(|| dice.roll(4))),
        _ if step > 8 => Deed::Terminate,
        _ => Deed::Finalizers { name, finalizers: Vec::new() },
    }
}

fn guard(dice: &mut Dice) -> Guard {
    [Guard::None, Guard::None, Guard::None, Guard::Right, Guard::Wrong][dice.roll(5) as usize]
}

fn finalizers(dice: &mut Dice, percent: u64) -> Vec<&'static str> {
    ["example.com/x", "example.com/y"].into_iter().filter(|_| dice.chance(percent)).collect()
}

/// Those before it: nothing owns itself.
fn owners(dice: &mut Dice, name: &str) -> Vec<Owner> {
    let before = NAMES.into_iter().filter(|other| *other < name);
    let some: Vec<&str> = before.filter(|_| dice.chance(40)).collect();
    some.into_iter().map(|name| Owner { name, is_there: dice.chance(85), blocks: dice.chance(50) }).collect()
}

fn at(namespace: &str, name: &str) -> Reference {
    Reference::new("v1", "Secret", namespace, name)
}

fn quota(namespace: &str) -> Reference {
    Reference::new("v1", "ResourceQuota", namespace, "few")
}

async fn found(cluster: &dyn Cluster, at: &Reference) -> Option<Object> {
    match cluster.call(Call::Get(at.clone())).await {
        Ok(Answer::Object(object)) => object,
        _ => None,
    }
}

async fn call(cluster: &dyn Cluster, namespace: &str, deed: &Deed) -> Call {
    let (manager, dry_run, subresource) = ("maker".to_owned(), false, None);
    match deed {
        Deed::Begin => {
            let value = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
            Call::Create { object: object(value), manager, dry_run, subresource }
        }
        Deed::Create { name, finalizers, owners } => {
            let owners = references(cluster, namespace, owners).await;
            let value = json!({ "apiVersion": "v1", "kind": "Secret", "data": { "k": "eA==" }, "metadata": {
                "name": name, "namespace": namespace, "finalizers": finalizers, "ownerReferences": owners } });
            Call::Create { object: object(value), manager, dry_run, subresource }
        }
        Deed::Finalizers { name, finalizers } => merge(at(namespace, name), json!({ "finalizers": finalizers })),
        Deed::Owners { name, owners } => {
            let owners = references(cluster, namespace, owners).await;
            merge(at(namespace, name), json!({ "ownerReferences": owners }))
        }
        Deed::Delete { name, propagation, uid, version } => {
            let at = at(namespace, name);
            let live = found(cluster, &at).await;
            let right = |guard: &Guard, of: fn(&Object) -> &str, wrong: &str| match guard {
                Guard::None => None,
                Guard::Right => Some(live.as_ref().map_or(wrong, of).to_owned()),
                Guard::Wrong => Some(wrong.to_owned()),
            };
            let (uid, resource_version) =
                (right(uid, Object::uid, NOBODY), right(version, Object::resource_version, "1"));
            Call::Delete { at, uid, resource_version, propagation: *propagation, dry_run }
        }
        Deed::Limit(Some(limit)) => {
            let value = json!({ "apiVersion": "v1", "kind": "ResourceQuota",
                "metadata": { "name": "few", "namespace": namespace }, "spec": { "hard": { "secrets": limit.to_string() } } });
            Call::Apply { object: object(value), manager, force: true, dry_run, subresource }
        }
        Deed::Limit(None) => plain_delete(quota(namespace)),
        Deed::Terminate => plain_delete(Reference::new("v1", "Namespace", "", namespace)),
    }
}

fn merge(at: Reference, metadata: Value) -> Call {
    let patch = json!({ "metadata": metadata });
    Call::Patch { at, kind: PatchKind::Merge, patch, manager: "editor".into(), dry_run: false, subresource: None }
}

fn plain_delete(at: Reference) -> Call {
    let propagation = Propagation::Background;
    Call::Delete { at, uid: None, resource_version: None, propagation, dry_run: false }
}

async fn references(cluster: &dyn Cluster, namespace: &str, owners: &[Owner]) -> Vec<Value> {
    let mut references = Vec::new();
    for owner in owners {
        let live = found(cluster, &at(namespace, owner.name)).await.filter(|_| owner.is_there);
        let uid = live.as_ref().map_or(NOBODY, Object::uid);
        references.push(json!({ "apiVersion": "v1", "kind": "Secret", "name": owner.name, "uid": uid,
            "blockOwnerDeletion": owner.blocks }));
    }
    references
}

async fn look(cluster: &dyn Cluster, namespace: &str, answer: Outcome) -> Picture {
    let all = Selection::all("v1", "Secret").within(namespace);
    let space = Reference::new("v1", "Namespace", "", namespace);
    [answer, cluster.call(Call::List(all)).await, cluster.call(Call::Get(space)).await]
}

/// What the memory shows after each deed, but for those whose end is a race on a real control plane.
pub(crate) async fn told(memory: &dyn Cluster, namespace: &str, deeds: &[Deed]) -> Vec<(Deed, Picture)> {
    let mut told: Vec<(Deed, Picture)> = Vec::new();
    for deed in deeds {
        if told.last().is_some_and(|(_, [_, secrets, _])| is_a_race(deed, secrets)) {
            continue;
        }
        let answer = memory.call(call(memory, namespace, deed).await).await;
        told.push((deed.clone(), look(memory, namespace, answer).await));
    }
    told
}

/// An owner that goes in the foreground waits for those alone that block it. The garbage collector looks at it and at its
/// other dependents at the same time: what is looked at before the owner waits no more goes with it, what is looked at
/// after has an owner that stays, for as long as another finalizer holds it.
fn is_a_race(deed: &Deed, secrets: &Outcome) -> bool {
    let Ok(Answer::Objects(secrets)) = secrets else { return false };
    let blocks_none = |object: &Object| {
        let owners = object.value().pointer("/metadata/ownerReferences").and_then(Value::as_array);
        owners.into_iter().flatten().any(|owner| owner["blockOwnerDeletion"] != true)
    };
    matches!(deed, Deed::Delete { propagation: Propagation::Foreground, .. }) && secrets.iter().any(blocks_none)
}

/// Does the same on a real control plane; the first deed after which it does not come to what the memory shows.
pub(crate) async fn lived(real: &dyn Cluster, namespace: &str, told: &[(Deed, Picture)]) -> Option<String> {
    for (index, (deed, expected)) in told.iter().enumerate() {
        let mut answer = real.call(call(real, namespace, deed).await).await;
        let mut lines = differences(&expected[0], &answer);
        // The server refuses by its own memory of the quota, which on a busy machine is behind what it answers, and in which a
        // create that it refused for another reason counts until the controller counts again.
        for _ in 0..if is_over_quota(&answer) { 600 } else { 0 } {
            if lines.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            answer = real.call(call(real, namespace, deed).await).await;
            lines = differences(&expected[0], &answer);
        }
        for _ in 0..if lines.is_empty() { 600 } else { 0 } {
            let picture = look(real, namespace, answer.clone()).await;
            lines = expected.iter().zip(&picture).flat_map(|(memory, real)| differences(memory, real)).collect();
            if lines.is_empty() && is_counted(real, namespace, &picture).await {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if !lines.is_empty() {
            let before: Vec<String> = told[..index].iter().map(|(deed, _)| format!("{deed:?}")).collect();
            return Some(format!("{}\n  {index} {deed:?}: {}", before.join("\n  "), lines.join("")));
        }
    }
    None
}

fn is_over_quota(answer: &Outcome) -> bool {
    answer.as_ref().is_err_and(|error| error.to_string().contains("exceeded quota"))
}

/// Whether the quota knows what there is: a controller counts.
async fn is_counted(real: &dyn Cluster, namespace: &str, picture: &Picture) -> bool {
    let Some(quota) = found(real, &quota(namespace)).await else { return true };
    let Ok(Answer::Objects(secrets)) = &picture[1] else { return false };
    let status = &quota.value()["status"];
    let is_current = status["hard"] == quota.value()["spec"]["hard"];
    is_current && status["used"]["secrets"] == json!(secrets.len().to_string())
}

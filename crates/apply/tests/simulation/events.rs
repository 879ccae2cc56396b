//! What happens to the cluster and the repository between the agent's doings.

use apply::cluster::{PatchKind, Propagation};
use apply::{Call, Reference};
use serde_json::{Value, json};

use super::ledger;
use super::repository::{Edit, Flaw, Kind, NAMESPACE, OWNER, Repository, Said, Thing};
use super::scenario::{Event, Round};
use super::versions;
use super::world::{Snapshot, World};

/// Something happens, and whoever rests is woken.
pub(crate) fn fire(world: &World, round: &Round) {
    world.say(|| format!("-- {:?}", round.event));
    happen(world, &round.event);
    // What the event has changed may be what a watch does not tell.
    round.gaps.get(&0).iter().for_each(|gap| world.memory.disturb(**gap));
    ledger::look_again(world);
    let mut state = world.state();
    state.faults = round.faults.clone();
    state.gaps = round.gaps.clone();
    state.calls = 0;
    state.passes = 0;
    state.events += 1;
    state.resting.drain(..).for_each(|(_, waker)| waker.wake());
}

fn happen(world: &World, event: &Event) {
    let is_of_others =
        !matches!(event, Event::Commit(_) | Event::Rotate(_) | Event::Answer(..) | Event::TakeOver | Event::Calm);
    if is_of_others {
        let mut state = world.state();
        state.may_hold = true;
        state.doings += 1;
    }
    match event {
        Event::Commit(edits) => revise(world, |repository| edits.iter().for_each(|edit| repository.edit(edit))),
        Event::Rotate(id) => {
            revise(world, |repository| repository.edit(&Edit::Change { id: *id, with_readers: false }));
        }
        Event::Answer(id, said) => revise(world, |repository| repository.edit(&Edit::Answer(*id, *said))),
        Event::CoOwn(id) => each(world, *id, co_own),
        Event::Overwrite(id) => each(world, *id, overwrite),
        Event::Delete(id) => each(world, *id, delete),
        Event::Occupy(thing) => occupy(world, thing),
        Event::TakeOver => {}
        Event::Quota(is_tight) => quota(world, *is_tight),
        Event::Policy(kind) => world.state().ledger.policy = kind.map(|kind| format!("{kind:?}")),
        Event::Terminate { held } => terminate(world, *held),
        Event::LetGo => let_go(world),
        Event::Calm => {
            let_go(world);
            quota(world, false);
            let mut state = world.state();
            (state.ledger.policy, state.is_last) = (None, true);
            state.doings += 1;
            drop(state);
            revise(world, |repository| repository.edit(&Edit::Mend));
        }
    }
}

fn revise(world: &World, edit: impl FnOnce(&mut Repository)) {
    let mut state = world.state();
    let mut repository = state.snapshots.last().map(|head| head.repository.clone()).unwrap_or_default();
    edit(&mut repository);
    let externals = repository.externals();
    let gone = repository.things.iter().filter(|thing| thing.said == Said::Gone);
    state.ledger.gone.extend(gone.map(|thing| thing.name.clone()));
    let input = state.snapshots.len().to_string();
    state.snapshots.push(Snapshot::new(repository, input));
    drop(state);
    externals.into_iter().for_each(|external| drop(world.put(external)));
    let is_hindered = is_hindered(world);
    world.state().may_hold = is_hindered;
}

/// Whether something keeps a good revision from landing.
pub(crate) fn is_hindered(world: &World) -> bool {
    let namespace = world.get(&Reference::new("v1", "Namespace", "", NAMESPACE));
    let has_quota = !world.list("v1", "ResourceQuota").is_empty();
    world.state().ledger.policy.is_some() || has_quota || namespace.is_some_and(|live| live.is_terminating())
}

/// Whether a landing may wait for longer than anybody has patience: that of the newest revision, or where that cannot land,
/// one that is awaited still.
pub(crate) fn is_in_want(world: &World) -> bool {
    let is_in_want = {
        let state = world.state();
        let head = state.snapshots.last();
        let is_flawed = |flaw| head.is_some_and(|head| head.repository.is_flawed(flaw));
        let is_refused = is_flawed(Flaw::Invalid) || is_flawed(Flaw::Unresolved);
        let is_open = |snapshot: &&Snapshot| is_refused && state.ledger.open_input() == Some(&snapshot.input);
        let open = state.snapshots.iter().find(is_open);
        head.into_iter().chain(open).any(|snapshot| snapshot.repository.is_in_want())
    };
    is_in_want || is_hindered(world)
}

/// The objects of a thing of the newest revision.
fn each(world: &World, id: u32, act: impl Fn(&World, &Reference)) {
    let objects: Vec<Value> = {
        let state = world.state();
        let repository = state.snapshots.last().map(|head| &head.repository);
        let thing = repository.and_then(|repository| Some((repository, repository.find(id)?)));
        thing.into_iter().flat_map(|(r, thing)| r.objects(thing)).map(|declared| declared.value).collect()
    };
    objects.iter().for_each(|value| act(world, &super::repository::reference(value)));
}

fn patch(world: &World, at: &Reference, patch: Value) -> bool {
    let (kind, manager) = (PatchKind::Merge, "others".to_owned());
    world.ask(Call::Patch { at: at.clone(), kind, patch, manager, dry_run: false, subresource: None }).is_ok()
}

fn co_own(world: &World, at: &Reference) {
    let is_done = patch(world, at, json!({ "metadata": { "annotations": { "theirs": "kept" } } }));
    if let Some(live) = world.get(at).filter(|_| is_done) {
        world.state().ledger.shared.insert(at.clone(), live.uid().into());
        refresh(world, at);
    }
}

fn overwrite(world: &World, at: &Reference) {
    let change = match at.gvk.kind.as_str() {
        "Deployment" | "StatefulSet" => json!({ "spec": { "replicas": 1 } }),
        "ConfigMap" | "Secret" => json!({ "data": { "stays": "Yg==" } }),
        "Service" => json!({ "spec": { "selector": { "app": "other" } } }),
        _ => json!({ "metadata": { "annotations": { "version": "0" } } }),
    };
    patch(world, at, change);
    refresh(world, at);
}

fn delete(world: &World, at: &Reference) {
    if matches!(at.gvk.kind.as_str(), "Namespace" | "CustomResourceDefinition") {
        return;
    }
    let propagation = Propagation::Background;
    let call = Call::Delete { at: at.clone(), uid: None, resource_version: None, propagation, dry_run: false };
    let _ = world.ask(call);
    world.state().ledger.tampered.insert(at.name.clone());
    refresh(world, at);
    // Whoever deletes a Secret may delete its versions, too.
    let versions =
        versions::all(world).into_iter().filter(|(_, (plain, _))| *plain == at.name && at.gvk.kind == "Secret");
    for (name, _) in versions.filter(|(_, (_, version))| version % 2 == 0) {
        let at = Reference::new("v1", "Secret", NAMESPACE, &name);
        let _ = world.ask(Call::Delete { at, uid: None, resource_version: None, propagation, dry_run: false });
        world.state().ledger.tampered.insert(name);
    }
}

/// What others did to an object of others is how they want it.
fn refresh(world: &World, at: &Reference) {
    let live = world.get(at).filter(|live| live.label(OWNER.0).is_none());
    let mut state = world.state();
    if state.ledger.foreign.remove(at).is_some()
        && let Some(live) = live
    {
        state.ledger.foreign.insert(at.clone(), content(live.value()));
    }
}

fn occupy(world: &World, thing: &Thing) {
    let theirs = Thing { version: 0, ..thing.clone() };
    let mut value = Repository::default().objects(&theirs).swap_remove(0).value;
    let at = super::repository::reference(&value);
    if world.get(&at).is_some() {
        return;
    }
    value["metadata"]["labels"] = json!({ "of": "others" });
    value["metadata"]["annotations"] = json!({ "version": "0", "by": "others" });
    if let Some(live) = world.put(value) {
        world.state().ledger.made_by_others.insert(at.clone());
        world.state().ledger.foreign.insert(at, content(live.value()));
    }
}

/// What an object holds, without what the server and its controllers write.
pub(crate) fn content(value: &Value) -> Value {
    let metadata = &value["metadata"];
    let mut content = json!({ "labels": metadata["labels"], "annotations": metadata["annotations"] });
    for field in ["data", "spec"] {
        content[field] = value[field].clone();
    }
    content
}

fn quota(world: &World, is_tight: bool) {
    let at = Reference::new("v1", "ResourceQuota", NAMESPACE, "tight");
    let value = json!({ "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "tight", "namespace": NAMESPACE },
        "spec": { "hard": { "secrets": "0", "count/deployments.apps": "0" } } });
    if is_tight {
        world.put(value);
    } else {
        delete(world, &at);
    }
}

fn terminate(world: &World, held: bool) {
    let declares = {
        let state = world.state();
        let has =
            |kind: Kind| state.snapshots.last().is_some_and(|s| s.repository.things.iter().any(|t| t.kind == kind));
        // A release whose records are gone is another story: its own controller sees to it.
        has(Kind::Namespace) && !has(Kind::Release)
    };
    let has_landed = world.state().ledger.landed_input().is_some();
    if !declares || !has_landed {
        return;
    }
    if held {
        world.put(
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "holds", "namespace": NAMESPACE,
            "finalizers": ["example.com/hold"] } }),
        );
    }
    let at = Reference::new("v1", "Namespace", "", NAMESPACE);
    let propagation = Propagation::Background;
    let _ = world.ask(Call::Delete { at, uid: None, resource_version: None, propagation, dry_run: false });
    let gone: Vec<Reference> =
        world.state().ledger.foreign.keys().filter(|at| world.get(at).is_none()).cloned().collect();
    gone.iter().for_each(|at| drop(world.state().ledger.foreign.remove(at)));
}

fn let_go(world: &World) {
    patch(world, &Reference::new("v1", "ConfigMap", NAMESPACE, "holds"), json!({ "metadata": { "finalizers": null } }));
}

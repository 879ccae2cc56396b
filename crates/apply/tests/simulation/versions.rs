//! Rules of Secrets with immutable versions: a template names a version that is there, and what could be gone back to keeps
//! its bytes. A ReplicaSet is made of each template of a Deployment, as its controller does.

use std::collections::BTreeMap;

use apply::cluster::Propagation;
use apply::versions::VERSION_OF;
use apply::{Call, Reference, reads};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use manifest::Object;
use serde_json::{Value, json};

use super::ledger::workloads;
use super::repository::NAMESPACE;
use super::standing::Standing;
use super::world::World;

/// ReplicaSets of one Deployment that its controller keeps.
const HISTORY: usize = 2;

/// Live versions by name: the Secret that each is a version of, and the version of its bytes.
pub(crate) type Versions = BTreeMap<String, (String, u32)>;

/// All that are live.
pub(crate) fn all(world: &World) -> Versions {
    if !world.terms.versioned {
        return Versions::new();
    }
    let secrets = world.list("v1", "Secret");
    let version = |secret: &Object| {
        let bytes = STANDARD.decode(secret.text("/data/version")?).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let number = text.strip_prefix('v')?.strip_suffix(';')?.parse().ok()?;
        Some((secret.name().to_owned(), (secret.annotation(VERSION_OF)?.to_owned(), number)))
    };
    secrets.iter().filter_map(version).collect()
}

/// The version of a Secret that a workload reads, and that of its bytes.
pub(crate) fn read<'a>(workload: &Object, secret: &str, versions: &'a Versions) -> Option<(&'a str, u32)> {
    let names = reads::secrets(workload).into_keys();
    let mut read = names.filter_map(|name| versions.get_key_value(&name));
    let (name, (_, version)) = read.find(|(_, (plain, _))| plain == secret)?;
    Some((name, *version))
}

/// Secrets that a workload names and that are not there.
pub(crate) fn missing(world: &World, workload: &Object) -> Vec<String> {
    if !world.terms.versioned {
        return Vec::new();
    }
    let names = reads::secrets(workload).into_keys();
    names.filter(|name| world.get(&Reference::new("v1", "Secret", NAMESPACE, name)).is_none()).collect()
}

/// What a workload would be without versions.
pub(crate) fn plain(value: &Value, versions: &Versions) -> Value {
    match value {
        Value::String(text) => versions.get(text).map_or_else(|| value.clone(), |(plain, _)| json!(plain)),
        Value::Array(items) => items.iter().map(|item| plain(item, versions)).collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), plain(value, versions))).collect(),
        _ => value.clone(),
    }
}

/// A workload was written: its controller makes a ReplicaSet of a new template, and forgets the oldest.
pub(crate) fn follow(world: &World, at: &Reference) {
    let Some(live) = world.get(at).filter(|_| world.terms.versioned && at.gvk.kind == "Deployment") else { return };
    let template = &live.value()["spec"]["template"];
    let sets = world.list("apps/v1", "ReplicaSet");
    let mut sets: Vec<&Object> = sets.iter().filter(|set| set.annotation("of") == Some(live.name())).collect();
    if sets.iter().any(|set| set.value()["spec"]["template"]["spec"] == template["spec"]) {
        return;
    }
    sets.sort_by_key(|set| set.annotation("generation").and_then(|text| text.parse::<i64>().ok()));
    for old in sets.iter().rev().skip(HISTORY - 1) {
        let propagation = Propagation::Background;
        let at = Reference::of(old);
        let _ = world.ask(Call::Delete { at, uid: None, resource_version: None, propagation, dry_run: false });
    }
    let generation = live.generation();
    let annotations = json!({ "of": live.name(), "generation": generation.to_string() });
    world.put(json!({ "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": { "name": format!("{}-{generation}", live.name()), "namespace": NAMESPACE, "annotations": annotations },
        "spec": { "replicas": 0, "selector": live.value()["spec"]["selector"], "template": template } }));
}

/// What still names a version that is about to be deleted. What undoing takes back was never rolled out for good: of that,
/// only templates count.
pub(crate) fn user(world: &World, version: &Object, is_undone: bool) -> Option<String> {
    let plain = Reference::new("v1", "Secret", NAMESPACE, version.annotation(VERSION_OF)?);
    // The versions of a Secret that nobody declares any more go with it.
    let is_kept = world.state().ledger.to_be().is_some_and(|standing| standing.contains(&plain));
    let sets = if is_undone || !is_kept { Vec::new() } else { world.list("apps/v1", "ReplicaSet") };
    let mut users = workloads(world).into_iter().chain(sets);
    let name = format!("\"{}\"", version.name());
    let user = users.find(|user| user.value()["spec"].to_string().contains(&name))?;
    Some(format!("{} names it", user.id()))
}

/// At rest each workload reads the newest bytes, under a name of their own, and was stamped with nothing.
pub(crate) fn newest(world: &World, standing: &Standing) -> Result<(), String> {
    let versions = all(world);
    for workload in workloads(world).iter().filter(|workload| workload.namespace() == NAMESPACE) {
        let Some(wanted) = standing.0.get(&Reference::of(workload)) else { continue };
        for secret in wanted.reads.iter().filter_map(|at| Some((at, standing.0.get(at)?.version))) {
            let (at, version) = secret;
            match read(workload, &at.name, &versions) {
                Some((_, found)) if found == version => {}
                found => return Err(format!("{} reads {found:?} of {}, not {version}", workload.id(), at.id())),
            }
        }
    }
    Ok(())
}

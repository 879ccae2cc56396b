//! Random sequences of writes by several managers.

use apply::cluster::PatchKind;
use apply::{Call, Reference};
use manifest::Object;
use serde_json::{Map, Value, json};

use super::Step;

/// SplitMix64.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    pub(crate) fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len() as u64) as usize]
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.roll(100) < percent
    }

    /// Some of these, in random order.
    fn some<'a>(&mut self, from: &[&'a str]) -> Vec<&'a str> {
        let mut picked: Vec<&str> = from.iter().copied().filter(|_| self.chance(45)).collect();
        for index in (1..picked.len()).rev() {
            picked.swap(index, self.roll(index as u64 + 1) as usize);
        }
        picked
    }

    fn map(&mut self, keys: &[&str]) -> Value {
        let keys = self.some(keys);
        Value::Object(keys.into_iter().map(|key| (key.to_owned(), json!(self.pick(&["1", "2", "3"])))).collect())
    }
}

/// A sequence of writes to one object.
pub(crate) fn script(namespace: &str, seed: u64) -> Vec<Step> {
    let mut dice = Dice(seed);
    let kind = dice.pick(&["ConfigMap", "Deployment", "Service", "PodTemplate"]);
    let name = format!("random-{seed}");
    (0..14).map(|step| write(&mut dice, kind, namespace, &name, step)).collect()
}

fn write(dice: &mut Dice, kind: &str, namespace: &str, name: &str, step: u64) -> Step {
    let version = if kind == "Deployment" { "apps/v1" } else { "v1" };
    let mut value = json!({
        "apiVersion": version, "kind": kind, "metadata": metadata(dice, namespace, name),
    });
    if kind == "Deployment" && value["metadata"].get("annotations").is_some() {
        // Its controller annotates it: an empty map would be one in memory alone.
        value["metadata"]["annotations"]["example.com/kept"] = json!("1");
    }
    let content = content(dice, kind);
    for (field, below) in content.as_object().cloned().unwrap_or_default() {
        value[field] = below;
    }
    let manager = dice.pick(&["alpha", "beta", "gamma"]).to_owned();
    let roll = dice.roll(100);
    if step > 0 && roll < 20 {
        let patch = Value::Object(strip(&value));
        let at = Reference::new(version, kind, namespace, name);
        let call = Call::Patch { at, kind: PatchKind::Merge, patch, manager, dry_run: false, subresource: None };
        return Step::Send("merge", call);
    }
    let object = Object::new(value).expect("made here");
    if step > 0 && roll < 30 && kind != "Service" {
        let call = Call::Update { object, manager, dry_run: false, subresource: None };
        return Step::Send("update", call);
    }
    let call = Call::Apply { object, manager, force: roll < 75, dry_run: roll.is_multiple_of(10), subresource: None };
    Step::Send("apply", call)
}

/// Without identity: a merge patch; some of its values removed.
fn strip(value: &Value) -> Map<String, Value> {
    let mut map = value.as_object().cloned().unwrap_or_default();
    map.remove("apiVersion");
    map.remove("kind");
    if let Some(metadata) = map.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("name");
        metadata.remove("namespace");
    }
    map
}

fn metadata(dice: &mut Dice, namespace: &str, name: &str) -> Value {
    let mut metadata = json!({ "name": name, "namespace": namespace });
    for field in ["labels", "annotations"] {
        if dice.chance(50) {
            metadata[field] = dice.map(&["a", "b", "example.com/c"]);
        }
    }
    if dice.chance(20) {
        metadata["finalizers"] = json!(dice.some(&["example.com/x", "example.com/y"]));
    }
    metadata
}

fn content(dice: &mut Dice, kind: &str) -> Value {
    match kind {
        "ConfigMap" if dice.chance(80) => json!({ "data": dice.map(&["a", "b", "c", "d"]) }),
        "ConfigMap" => json!({}),
        "Service" => json!({ "spec": service(dice) }),
        "PodTemplate" => json!({ "template": template(dice) }),
        _ => {
            let mut spec = json!({ "selector": { "matchLabels": { "app": "x" } }, "template": template(dice) });
            spec["template"]["metadata"]["labels"]["app"] = json!("x");
            if dice.chance(40) {
                spec["replicas"] = json!(dice.roll(2));
            }
            if dice.chance(30) {
                spec["minReadySeconds"] = json!(1 + dice.roll(3));
            }
            json!({ "spec": spec })
        }
    }
}

fn service(dice: &mut Dice) -> Value {
    let ports = dice.some(&["80/TCP", "80/UDP", "443/", "8080/"]);
    let ports = ports.into_iter().chain(["9000/TCP"]).map(|port| {
        let (number, protocol) = port.split_once('/').unwrap_or((port, ""));
        let number: u16 = number.parse().unwrap_or_default();
        let mut item = json!({ "name": format!("p{number}{}", protocol.to_lowercase()), "port": number });
        if !protocol.is_empty() {
            item["protocol"] = json!(protocol);
        }
        if dice.chance(50) {
            item["targetPort"] = json!(dice.roll(3) + 1000);
        }
        item
    });
    let mut spec = json!({ "ports": ports.collect::<Vec<_>>() });
    if dice.chance(60) {
        spec["selector"] = dice.map(&["app", "tier"]);
    }
    spec
}

fn template(dice: &mut Dice) -> Value {
    let names = dice.some(&["main", "side", "third"]);
    let names = if names.is_empty() { vec!["main"] } else { names };
    let containers: Vec<Value> = names.into_iter().map(|name| container(dice, name)).collect();
    let mut spec = json!({ "containers": containers });
    if dice.chance(30) {
        let volumes = dice.some(&["v1", "v2", "v3"]);
        spec["volumes"] =
            volumes.into_iter().map(|name| json!({ "name": name, "configMap": { "name": name } })).collect();
    }
    if dice.chance(20) {
        spec["nodeSelector"] = dice.map(&["disk", "zone"]);
    }
    if dice.chance(20) {
        spec["imagePullSecrets"] = dice.some(&["s1", "s2"]).into_iter().map(|name| json!({ "name": name })).collect();
    }
    if dice.chance(20) {
        spec["tolerations"] =
            dice.some(&["t1", "t2"]).into_iter().map(|key| json!({ "key": key, "operator": "Exists" })).collect();
    }
    json!({ "metadata": { "labels": dice.map(&["l1", "l2"]) }, "spec": spec })
}

fn container(dice: &mut Dice, name: &str) -> Value {
    let mut container = json!({ "name": name, "image": format!("image:{}", dice.roll(3)) });
    if dice.chance(60) {
        let names = dice.some(&["A", "B", "C", "D"]);
        container["env"] = names
            .into_iter()
            .map(|name| {
                if dice.chance(20) {
                    json!({ "name": name, "valueFrom": { "secretKeyRef": { "name": "s", "key": dice.pick(&["k", "l"]) } } })
                } else {
                    json!({ "name": name, "value": dice.pick(&["1", "2"]) })
                }
            })
            .collect();
    }
    if dice.chance(40) {
        container["ports"] = dice
            .some(&["80", "81", "82"])
            .into_iter()
            .map(|p| json!({ "containerPort": p.parse::<u16>().unwrap_or(1) }))
            .collect();
    }
    if dice.chance(30) {
        container["args"] = json!(dice.some(&["x", "y", "z"]));
    }
    if dice.chance(30) {
        container["resources"] = json!({ "requests": dice.map(&["cpu", "memory"]) });
    }
    container
}

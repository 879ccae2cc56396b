//! What must hold after every single write to the namespace, and what must hold at rest. Pure: events in, breaches out.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Resource (plural) and name.
pub type Key = (String, String);
/// All objects of the namespace.
pub type Objects = BTreeMap<Key, Value>;

/// One write.
pub struct Event<'a> {
    pub key: &'a Key,
    pub before: Option<&'a Value>,
    pub after: Option<&'a Value>,
}

/// What is known of the story that is played.
#[derive(Default)]
pub struct Rules {
    /// Which Deployments read which Secrets, whose revisions are compared.
    pub readers: Vec<(String, String)>,
    /// A Deployment whose Secret rotates, and that Secret.
    pub turning: (String, String),
    /// What every revision has, and nothing may ever delete.
    pub kept: BTreeSet<Key>,
    /// What belongs to others is called so; nobody touches it.
    pub theirs: String,
    /// Revisions of which nothing may ever be seen: their dry run fails.
    pub refused: BTreeSet<u64>,
    /// Deployments whose number of replicas is another's.
    pub scaled: BTreeMap<String, u64>,
    /// Which bytes each stamp of the turning Deployment stands for, as far as they were seen.
    pub stamps: BTreeMap<String, u64>,
}

fn key(resource: &str, name: &str) -> Key {
    (resource.to_owned(), name.to_owned())
}

/// The revision that an object shows: in its template, in its bytes, or in an annotation.
pub fn revision(key: &Key, object: &Value) -> Option<u64> {
    let annotation = |at: &str| object.pointer(at).and_then(Value::as_str).and_then(|text| text.parse().ok());
    match key.0.as_str() {
        "secrets" => bytes(object)?.rsplit_once('/')?.1.trim_end_matches(['"', '\n']).parse().ok(),
        "deployments" => annotation("/spec/template/metadata/annotations/revision"),
        _ => annotation("/metadata/annotations/revision"),
    }
}

fn bytes(secret: &Value) -> Option<String> {
    let data = secret["data"].get("password").or_else(|| secret["data"].get("values.yaml"))?;
    String::from_utf8(STANDARD.decode(data.as_str()?).ok()?).ok()
}

fn stamp(deployment: &Value) -> Option<&str> {
    deployment.pointer("/spec/template/metadata/annotations/lockstep.dev~1secrets").and_then(Value::as_str)
}

impl Rules {
    /// What an event breaks; `objects` are as they are after it.
    pub fn observe(&mut self, event: &Event<'_>, objects: &Objects) -> Vec<String> {
        let mut breaches = Vec::new();
        let (resource, name) = (&event.key.0, &event.key.1);
        if matches!(resource.as_str(), "deployments" | "secrets") {
            let pairs = self.readers.iter().filter(|(reader, secret)| reader == name || secret == name);
            breaches.extend(pairs.filter_map(|(reader, secret)| order(reader, secret, objects)));
            breaches.extend(self.turned(objects));
        }
        if event.after.is_none() && self.kept.contains(event.key) {
            breaches.push(format!("{resource}/{name} was deleted; every revision has it"));
        }
        if event.before.is_some() && *name == self.theirs && is_touched(event) {
            breaches.push(format!("{resource}/{name} is another's, and was touched"));
        }
        if resource == "deployments"
            && let (Some(wanted), Some(after)) = (self.scaled.get(name), event.after)
            && event.before.is_some_and(|before| before["spec"]["replicas"] == *wanted)
            && after["spec"]["replicas"] != *wanted
        {
            breaches.push(format!("{resource}/{name}: its replicas are another's, and were changed"));
        }
        // The turning Secret counts by itself.
        let counts = (resource.as_str(), name) != ("secrets", &self.turning.1);
        let shown = event.after.filter(|_| counts).and_then(|after| revision(event.key, after));
        if let Some(refused) = shown.filter(|shown| self.refused.contains(shown)) {
            breaches.push(format!("{resource}/{name} shows revision {refused}, whose dry run failed"));
        }
        breaches
    }

    /// A stamp that was not seen before stands for bytes that have none yet, and which are there already.
    fn turned(&mut self, objects: &Objects) -> Option<String> {
        let (reader, secret) = &self.turning;
        let stamp = stamp(objects.get(&key("deployments", reader))?)?.to_owned();
        let at = key("secrets", secret);
        let Some(now) = objects.get(&at).and_then(|secret| revision(&at, secret)) else {
            return Some(format!("deployments/{reader} has a stamp, and secrets/{secret} is not there"));
        };
        match self.stamps.get(&stamp) {
            Some(meant) if *meant > now => {
                Some(format!("deployments/{reader} is stamped for bytes {meant}, and secrets/{secret} has {now}"))
            }
            Some(_) => None,
            None if self.stamps.values().any(|known| *known == now) => {
                Some(format!("deployments/{reader} has a new stamp, and secrets/{secret} has the old bytes {now}"))
            }
            None => {
                self.stamps.insert(stamp, now);
                None
            }
        }
    }

    /// What is wrong with a unit that is at rest: it is to be wholly at one revision, and its Secret at these bytes.
    pub fn at_rest(&self, objects: &Objects, wanted: &BTreeSet<Key>, number: u64, turned: u64) -> Vec<String> {
        let mut breaches = Vec::new();
        let alive: BTreeSet<&str> = objects.values().filter_map(|object| object["metadata"]["uid"].as_str()).collect();
        let ours = objects.iter().filter(|(key, object)| is_of_the_unit(key, object) && !is_garbage(object, &alive));
        let present: BTreeSet<&Key> = ours.map(|(key, _)| key).collect();
        let missing = wanted.iter().filter(|key| !present.contains(key));
        breaches.extend(missing.map(|(resource, name)| format!("{resource}/{name} is missing")));
        let beyond = present.iter().filter(|key| !wanted.contains(key));
        breaches.extend(beyond.map(|(resource, name)| format!("{resource}/{name} is not in the revision")));
        for at in wanted.iter().filter(|at| present.contains(at)) {
            let expected = if *at == key("secrets", &self.turning.1) { turned } else { number };
            let shown = revision(at, &objects[at]);
            if shown != Some(expected) {
                breaches.push(format!("{}/{} shows {shown:?}, not {expected}", at.0, at.1));
            }
        }
        let stamp = objects.get(&key("deployments", &self.turning.0)).and_then(stamp);
        if turned > 1 && stamp.is_none() {
            breaches.push(format!("deployments/{} has no stamp, and its Secret has turned", self.turning.0));
        }
        let meant = stamp.and_then(|stamp| self.stamps.get(stamp));
        if meant.is_some_and(|meant| *meant != turned) {
            breaches.push(format!("deployments/{} is stamped for bytes {meant:?}, not {turned}", self.turning.0));
        }
        breaches.extend(records(objects));
        breaches
    }
}

/// Deployments that were rolled out more often than a change may do it.
pub fn rollouts(
    before: &BTreeMap<String, i64>,
    now: &BTreeMap<String, i64>,
    most: impl Fn(&str) -> i64,
) -> Vec<String> {
    let grown = now.iter().filter_map(|(name, now)| Some((name, now - before.get(name)?)));
    let too_often = grown.filter(|(name, times)| *times > most(name));
    too_often.map(|(name, times)| format!("deployments/{name} was rolled out {times} times")).collect()
}

/// Of a release's records one is deployed, and none is under way.
fn records(objects: &Objects) -> Option<String> {
    let records = objects.iter().filter(|((resource, name), _)| resource == "secrets" && name.starts_with("sh.helm."));
    let of =
        |status: &str| records.clone().filter(|(_, record)| record["metadata"]["labels"]["status"] == *status).count();
    let under_way: usize =
        ["pending-install", "pending-upgrade", "pending-rollback", "uninstalling"].map(of).iter().sum();
    let count = records.clone().count();
    let is_wrong = count > 0 && (of("deployed"), under_way) != (1, 0);
    is_wrong
        .then(|| format!("of {count} records of the release {} are deployed and {under_way} under way", of("deployed")))
}

/// A reader is never newer than what it reads, and never without it.
fn order(reader: &str, secret: &str, objects: &Objects) -> Option<String> {
    let (at, from) = (key("deployments", reader), key("secrets", secret));
    let template = revision(&at, objects.get(&at)?)?;
    let Some(bytes) = objects.get(&from) else {
        return Some(format!("deployments/{reader} is there without secrets/{secret}"));
    };
    let held = revision(&from, bytes).unwrap_or_default();
    (template > held)
        .then(|| format!("deployments/{reader} is at {template}, and secrets/{secret} has the bytes of {held}"))
}

/// Whether others' objects were changed beyond what Kubernetes itself says of them.
fn is_touched(event: &Event<'_>) -> bool {
    let own = |object: &Value| {
        let mut object = object.clone();
        if let Some(fields) = object.as_object_mut() {
            fields.remove("status");
        }
        let meta = object["metadata"].as_object_mut();
        meta.into_iter().for_each(|meta| meta.retain(|field, _| matches!(field.as_str(), "labels" | "annotations")));
        let notes = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
        notes.into_iter().for_each(|notes| notes.retain(|name, _| !name.starts_with("deployment.kubernetes.io/")));
        let meta = object["metadata"].as_object_mut();
        meta.into_iter().for_each(|meta| meta.retain(|_, value| value.as_object().is_some_and(|map| !map.is_empty())));
        object
    };
    match (event.before, event.after) {
        (Some(before), Some(after)) => own(before) != own(after),
        _ => true,
    }
}

/// What its owner has left behind is the garbage collector's to delete, when it comes to that.
fn is_garbage(object: &Value, alive: &BTreeSet<&str>) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array();
    owners
        .is_some_and(|owners| owners.iter().all(|owner| !owner["uid"].as_str().is_some_and(|uid| alive.contains(uid))))
}

/// By the labels of its Kustomization or its release. What ReplicaSets, Deployments and External Secrets make is not named.
fn is_of_the_unit(key: &Key, object: &Value) -> bool {
    let label = |name: &str| object.pointer("/metadata/labels").and_then(|labels| labels.get(name)).is_some();
    let is_ours = ["kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name"].iter().any(|name| label(name));
    let is_made = label("reconcile.external-secrets.io/managed");
    (is_ours || is_made) && !matches!(key.0.as_str(), "pods" | "replicasets" | "endpoints" | "endpointslices" | "jobs")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn secret(number: u64) -> Value {
        let labels = json!({"reconcile.external-secrets.io/managed": "true"});
        json!({"metadata": {"labels": labels}, "data": {"password": STANDARD.encode(format!("x/{number}"))}})
    }

    fn deployment(number: u64, stamp: &str) -> Value {
        let template = json!({"revision": number.to_string(), "lockstep.dev/secrets": stamp});
        let labels = json!({"kustomize.toolkit.fluxcd.io/name": "app"});
        json!({"metadata": {"labels": labels}, "spec": {"replicas": 2, "template": {"metadata": {"annotations": template}}}})
    }

    /// A world at revision 1, and what happens to it.
    struct World {
        rules: Rules,
        objects: Objects,
    }

    impl World {
        fn new() -> Self {
            let rules = Rules {
                readers: vec![("web".into(), "token".into())],
                turning: ("turner".into(), "turning".into()),
                kept: [key("secrets", "token")].into(),
                theirs: "theirs".into(),
                refused: [7].into(),
                scaled: [("web".to_owned(), 2)].into(),
                stamps: BTreeMap::new(),
            };
            let mut world = Self { rules, objects: Objects::new() };
            let steps = [
                ("secrets", "token", secret(1)),
                ("secrets", "turning", secret(1)),
                ("deployments", "web", deployment(1, "")),
                ("deployments", "turner", deployment(1, "one")),
                ("configmaps", "theirs", json!({"data": {}})),
            ];
            for (resource, name, object) in steps {
                assert_eq!(world.write(resource, name, Some(object)), Vec::<String>::new());
            }
            world
        }

        fn write(&mut self, resource: &str, name: &str, after: Option<Value>) -> Vec<String> {
            let key = key(resource, name);
            let before = match after.clone() {
                Some(object) => self.objects.insert(key.clone(), object),
                None => self.objects.remove(&key),
            };
            let event = Event { key: &key, before: before.as_ref(), after: after.as_ref() };
            self.rules.observe(&event, &self.objects)
        }

        fn rest(&self, number: u64, turned: u64) -> Vec<String> {
            let wanted =
                [("secrets", "token"), ("secrets", "turning"), ("deployments", "web"), ("deployments", "turner")];
            let wanted = wanted.iter().map(|(resource, name)| key(resource, name)).collect();
            self.rules.at_rest(&self.objects, &wanted, number, turned)
        }
    }

    #[test]
    fn a_landing_in_order_breaks_nothing() {
        let mut world = World::new();
        assert_eq!(world.rest(1, 1), Vec::<String>::new());
        let steps = [
            ("secrets", "token", secret(2)),
            ("secrets", "turning", secret(2)),
            ("deployments", "web", deployment(2, "")),
            ("deployments", "turner", deployment(2, "two")),
        ];
        for (resource, name, object) in steps {
            assert_eq!(world.write(resource, name, Some(object)), Vec::<String>::new());
        }
        assert_eq!(world.rest(2, 2), Vec::<String>::new());
        // Undone: the reader first.
        assert_eq!(world.write("deployments", "web", Some(deployment(1, ""))), Vec::<String>::new());
        assert_eq!(world.write("secrets", "token", Some(secret(1))), Vec::<String>::new());
    }

    #[test]
    fn a_template_ahead_of_its_bytes_is_seen() {
        assert_eq!(World::new().write("deployments", "web", Some(deployment(2, ""))).len(), 1);
        let mut world = World::new();
        world.write("secrets", "token", Some(secret(2)));
        world.write("deployments", "web", Some(deployment(2, "")));
        assert_eq!(world.write("secrets", "token", Some(secret(1))).len(), 1, "undone in the wrong order");
    }

    #[test]
    fn a_reader_without_its_secret_and_a_deletion_are_seen() {
        assert_eq!(World::new().write("secrets", "token", None).len(), 2);
        let mut world = World::new();
        world.objects.remove(&key("secrets", "token"));
        assert_eq!(world.write("deployments", "web", Some(deployment(1, ""))).len(), 1);
    }

    #[test]
    fn a_stamp_ahead_of_its_bytes_is_seen() {
        assert_eq!(World::new().write("deployments", "turner", Some(deployment(1, "two"))).len(), 1);
        let mut world = World::new();
        world.write("secrets", "turning", Some(secret(2)));
        world.write("deployments", "turner", Some(deployment(1, "two")));
        assert_eq!(world.write("secrets", "turning", Some(secret(1))).len(), 1, "the bytes went back first");
        assert_eq!(World::new().write("secrets", "turning", None).len(), 1);
    }

    #[test]
    fn what_belongs_to_others_is_watched() {
        let mut world = World::new();
        assert_eq!(world.write("configmaps", "theirs", Some(json!({"data": {"a": "b"}}))).len(), 1);
        assert_eq!(world.write("configmaps", "theirs", None).len(), 1);
        let mut scaled = deployment(1, "");
        scaled["spec"]["replicas"] = 1.into();
        assert_eq!(world.write("deployments", "web", Some(scaled)).len(), 1);
    }

    #[test]
    fn a_refused_revision_shows_nowhere() {
        let map = json!({"metadata": {"annotations": {"revision": "7"}}});
        assert_eq!(World::new().write("configmaps", "one", Some(map)).len(), 1);
    }

    #[test]
    fn a_rollout_too_many_is_seen() {
        let at = |web, turner| [("web".to_owned(), web), ("turner".to_owned(), turner)].into();
        let of_a_rotation = |name: &str| i64::from(name == "turner");
        assert_eq!(rollouts(&at(3, 3), &at(3, 4), of_a_rotation), Vec::<String>::new());
        assert_eq!(rollouts(&at(3, 3), &at(4, 4), of_a_rotation).len(), 1);
        assert_eq!(rollouts(&at(3, 3), &at(3, 5), of_a_rotation).len(), 1);
    }

    #[test]
    fn what_an_owner_left_behind_is_not_the_units() {
        let mut world = World::new();
        let mut left = secret(1);
        left["metadata"]["ownerReferences"] = json!([{"uid": "gone"}]);
        world.objects.insert(key("secrets", "left"), left);
        assert_eq!(world.rest(1, 1), Vec::<String>::new());
        world.objects.insert(key("externalsecrets", "left"), json!({"metadata": {"uid": "gone"}}));
        assert_eq!(world.rest(1, 1).len(), 1);
    }

    #[test]
    fn a_release_that_is_under_way_at_rest_is_seen() {
        let record = |status: &str| json!({"metadata": {"labels": {"status": status}}});
        for (statuses, faults) in
            [(["superseded", "deployed"], 0), (["deployed", "pending-upgrade"], 1), (["deployed", "deployed"], 1)]
        {
            let mut world = World::new();
            for (index, status) in statuses.iter().enumerate() {
                world.objects.insert(key("secrets", &format!("sh.helm.release.v1.chart.v{index}")), record(status));
            }
            assert_eq!(world.rest(1, 1).len(), faults, "{statuses:?}");
        }
    }

    #[test]
    fn a_third_state_is_seen_at_rest() {
        let mut world = World::new();
        world.write("secrets", "token", Some(secret(2)));
        assert_eq!(world.rest(1, 1).len(), 1, "newer bytes");
        assert_eq!(World::new().rest(2, 1).len(), 3, "the old revision");
        assert_eq!(World::new().rest(1, 2).len(), 2, "a rotation that did not come: its bytes, and its stamp");
        let mut world = World::new();
        world.objects.remove(&key("deployments", "web"));
        world.objects.insert(key("configmaps", "left"), deployment(1, ""));
        assert_eq!(world.rest(1, 1).len(), 2, "one is missing, one is too many");
    }
}

//! Simulated pods: whether they would start, and what they would say.

use serde_json::{Value, json};

use super::simulate::condition;
use super::store::{Place, State};

/// Why pods of a template are not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hindrance {
    /// Only a matter of steps.
    Starting,
    /// The template says so: label `testbed/fail: "true"`.
    Crashing,
    /// A Secret or ConfigMap that they read, or a key of it, is not there.
    Missing(String),
}

/// What keeps the pods of an object from being ready.
pub(super) fn hindrance(state: &State, place: &Place, value: &Value) -> Option<Hindrance> {
    let template = if place.is("", "Pod") { value } else { value.pointer("/spec/template")? };
    if template.pointer("/metadata/labels").is_some_and(|labels| labels.get("testbed/fail") == Some(&json!("true"))) {
        return Some(Hindrance::Crashing);
    }
    let spec = template.get("spec")?;
    let missing = reads(spec).into_iter().find(|read| !read.is_there(state, &place.namespace))?;
    Some(Hindrance::Missing(missing.words()))
}

struct Read<'a> {
    kind: &'static str,
    name: &'a str,
    keys: Vec<&'a str>,
}

impl<'a> Read<'a> {
    fn of(kind: &'static str, name: &str, source: Option<&'a Value>) -> Option<Self> {
        let source = source.filter(|source| source.get("optional") != Some(&Value::Bool(true)))?;
        let key = source.get("key").and_then(Value::as_str);
        let items = source.get("items").and_then(Value::as_array).into_iter().flatten();
        let keys = key.into_iter().chain(items.filter_map(|item| item.get("key")?.as_str())).collect();
        Some(Self { kind, name: source.get(name)?.as_str()?, keys })
    }

    fn is_there(&self, state: &State, namespace: &str) -> bool {
        let place =
            Place { group: String::new(), kind: self.kind.into(), namespace: namespace.into(), name: self.name.into() };
        let Some(value) = state.get(&place) else { return false };
        let has = |key: &&str| ["data", "binaryData"].iter().any(|field| value[*field].get(*key).is_some());
        self.keys.iter().all(has)
    }

    fn words(&self) -> String {
        format!("{} {:?} not found, or a key of it", self.kind.to_lowercase(), self.name)
    }
}

/// All Secrets and ConfigMaps that must be there for a pod to start.
fn reads(spec: &Value) -> Vec<Read<'_>> {
    let items = |field: &str| spec.get(field).and_then(Value::as_array).into_iter().flatten();
    let mut found = Vec::new();
    for container in items("initContainers").chain(items("containers")) {
        let below = |field: &str| container.get(field).and_then(Value::as_array).into_iter().flatten();
        for variable in below("env").filter_map(|variable| variable.get("valueFrom")) {
            found.extend(Read::of("Secret", "name", variable.get("secretKeyRef")));
            found.extend(Read::of("ConfigMap", "name", variable.get("configMapKeyRef")));
        }
        for source in below("envFrom") {
            found.extend(Read::of("Secret", "name", source.get("secretRef")));
            found.extend(Read::of("ConfigMap", "name", source.get("configMapRef")));
        }
    }
    for volume in items("volumes") {
        found.extend(Read::of("Secret", "secretName", volume.get("secret")));
        found.extend(Read::of("ConfigMap", "name", volume.get("configMap")));
        let sources = volume.pointer("/projected/sources").and_then(Value::as_array).into_iter().flatten();
        for source in sources {
            found.extend(Read::of("Secret", "name", source.get("secret")));
            found.extend(Read::of("ConfigMap", "name", source.get("configMap")));
        }
    }
    found
}

/// The status of a bare pod.
pub(super) fn status(value: &Value, hindrance: Option<&Hindrance>, time: &str) -> Value {
    let containers = value.pointer("/spec/containers").and_then(Value::as_array).into_iter().flatten();
    let ready = hindrance.is_none();
    let state = match hindrance {
        None => json!({ "running": { "startedAt": time } }),
        Some(Hindrance::Starting) => json!({ "waiting": { "reason": "ContainerCreating" } }),
        Some(Hindrance::Crashing) => json!({ "waiting": { "reason": "CrashLoopBackOff", "message": "simulated" } }),
        Some(Hindrance::Missing(what)) => {
            json!({ "waiting": { "reason": "CreateContainerConfigError", "message": what } })
        }
    };
    let containers: Vec<Value> = containers
        .map(|container| {
            json!({
                "name": container["name"], "image": container["image"], "imageID": "", "ready": ready,
                "restartCount": 0, "state": state,
            })
        })
        .collect();
    let running = matches!(hindrance, None | Some(Hindrance::Crashing));
    let (answer, reason) = if ready { ("True", "") } else { ("False", "ContainersNotReady") };
    let say = |kind: &str, answer: &str, reason: &str| condition(value, kind, answer, reason, "", time);
    json!({
        "phase": if running { "Running" } else { "Pending" },
        "startTime": time,
        "conditions": [
            say("PodScheduled", "True", ""),
            say("Initialized", "True", ""),
            say("Ready", answer, reason),
            say("ContainersReady", answer, reason),
        ],
        "containerStatuses": containers,
    })
}

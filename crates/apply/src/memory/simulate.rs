//! Simulated controllers: workloads become ready some steps after their write, or never, and say so in their status.
//!
//! ReplicaSets and pods of workloads are not made as objects; the statuses are as the real controllers write them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Simulation;
use super::pods::{self, Hindrance};
use super::store::{Change, Place, State, find, is_terminating};
use super::stored::Stored;

/// The controllers' memory: what is not ready yet.
pub(super) struct Controllers {
    simulation: Simulation,
    pending: BTreeMap<Place, Progress>,
}

#[derive(Clone, Copy)]
struct Progress {
    steps_left: u32,
    since: Timestamp,
}

impl Controllers {
    pub(super) fn new(simulation: Simulation) -> Self {
        Self { simulation, pending: BTreeMap::new() }
    }
}

/// What the controllers found out about one object.
struct Outlook<'a> {
    hindrance: Option<&'a Hindrance>,
    /// Too long without progress.
    overdue: bool,
    time: &'a str,
}

impl State {
    /// Lets the controllers see one change.
    pub(super) fn simulate_change(&mut self, change: &Change) {
        let now = self.now();
        let Some(controllers) = &mut self.controllers else { return };
        let Some(after) = &change.after else {
            controllers.pending.remove(&change.place);
            return;
        };
        if matches!(change.place.kind.as_str(), "Secret" | "ConfigMap") {
            self.retry(&change.place.namespace);
            return;
        }
        let differs = |before: &Stored| field(before, "spec") != field(after, "spec");
        let is_new = change.before.as_ref().is_none_or(differs);
        // A Deployment's generation also counts its annotations: these restart nothing.
        let changed = is_new || change.before.as_deref().is_some_and(behind) || behind(after);
        if controllers.pending.get(&change.place).is_some_and(|progress| progress.steps_left == 0) && !changed {
            self.judge(&change.place);
            return;
        }
        if !is_simulated(&change.place) || !changed || is_terminating(after) {
            return;
        }
        let known = controllers.pending.get(&change.place).map_or(0, |progress| progress.steps_left);
        let steps_left = if is_new { controllers.simulation.steps } else { known };
        controllers.pending.insert(change.place.clone(), Progress { steps_left, since: now });
        if steps_left == 0 {
            self.judge(&change.place);
        }
    }

    /// After a restart an object is looked at again; what was ready stays so.
    pub(super) fn resume(&mut self, place: &Place) {
        let since = self.now();
        if let Some(controllers) = self.controllers.as_mut().filter(|_| is_simulated(place)) {
            controllers.pending.insert(place.clone(), Progress { steps_left: 0, since });
        }
    }

    /// What waits for a Secret or a ConfigMap looks again.
    fn retry(&mut self, namespace: &str) {
        let Some(controllers) = &self.controllers else { return };
        let waiting = controllers
            .pending
            .iter()
            .filter(|(place, progress)| place.namespace == namespace && progress.steps_left == 0);
        let waiting: Vec<Place> = waiting.map(|(place, _)| place.clone()).collect();
        waiting.iter().for_each(|place| self.judge(place));
    }

    /// One step of all controllers.
    pub(super) fn step(&mut self) {
        let Some(controllers) = &mut self.controllers else { return };
        let places: Vec<Place> = controllers.pending.keys().cloned().collect();
        for place in places {
            let Some(progress) = self.controllers.as_mut().and_then(|all| all.pending.get_mut(&place)) else {
                continue;
            };
            progress.steps_left = progress.steps_left.saturating_sub(1);
            self.judge(&place);
        }
    }

    /// Writes the status of one object as it stands now.
    fn judge(&mut self, place: &Place) {
        let (Some(value), Some(controllers)) = (self.get(place).cloned(), &self.controllers) else { return };
        let Some(progress) = controllers.pending.get(place).copied() else { return };
        let waiting = (progress.steps_left > 0).then_some(Hindrance::Starting);
        let hindrance = waiting.or_else(|| pods::hindrance(self, place, &value));
        let limit = find(&value, "/spec/progressDeadlineSeconds").and_then(Value::as_i64).unwrap_or(600);
        let overdue = self.now().as_second() - progress.since.as_second() >= limit;
        let time = self.time();
        let outlook = Outlook { hindrance: hindrance.as_ref(), overdue, time: &time };
        let ends = hindrance.is_none() || (place.kind == "Job" && hindrance == Some(Hindrance::Crashing));
        if let Some(status) = status(place, &value, &outlook)
            && value.get("status") != Some(&status)
        {
            let mut new = Value::clone(&value);
            new["status"] = status;
            self.put(place, new);
        }
        if let Some(controllers) = self.controllers.as_mut().filter(|_| ends) {
            controllers.pending.remove(place);
        }
    }
}

/// A field; what is absent is null.
fn field<'a>(value: &'a Value, name: &str) -> &'a Value {
    value.get(name).unwrap_or(&Value::Null)
}

/// Whether the status speaks of an older generation.
fn behind(value: &Value) -> bool {
    let observed = find(value, "/status/observedGeneration").and_then(Value::as_i64);
    let generation = find(value, "/metadata/generation").and_then(Value::as_i64);
    observed.is_some_and(|observed| generation.is_some_and(|generation| observed < generation))
}

fn is_simulated(place: &Place) -> bool {
    matches!(
        (place.group.as_str(), place.kind.as_str()),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
            | ("batch", "Job")
            | ("", "Pod" | "PersistentVolumeClaim" | "Service" | "ReplicationController")
            | ("networking.k8s.io", "Ingress")
            | ("policy", "PodDisruptionBudget")
    )
}

/// The status that the controller of a kind writes; `None` when it writes none.
fn status(place: &Place, value: &Value, outlook: &Outlook<'_>) -> Option<Value> {
    match place.kind.as_str() {
        "Deployment" => Some(deployment(value, outlook)),
        "StatefulSet" => Some(stateful_set(place, value, outlook)),
        "DaemonSet" => Some(daemon_set(value, outlook)),
        "ReplicaSet" | "ReplicationController" => Some(replica_set(value, outlook)),
        "Job" => Some(job(value, outlook)),
        "Pod" => Some(pods::status(value, outlook.hindrance, outlook.time)),
        "PersistentVolumeClaim" if outlook.hindrance.is_none() => Some(claim(value)),
        "Service" if outlook.hindrance.is_none() && value["spec"]["type"] == "LoadBalancer" => Some(balanced()),
        "Ingress" if outlook.hindrance.is_none() => Some(balanced()),
        "PodDisruptionBudget" if outlook.hindrance.is_none() => Some(budget(value)),
        _ => None,
    }
}

fn generation(value: &Value) -> i64 {
    find(value, "/metadata/generation").and_then(Value::as_i64).unwrap_or_default()
}

fn replicas(value: &Value) -> i64 {
    find(value, "/spec/replicas").and_then(Value::as_i64).unwrap_or(1)
}

fn ready_before(value: &Value) -> i64 {
    find(value, "/status/readyReplicas").and_then(Value::as_i64).unwrap_or_default()
}

/// A condition that keeps its transition time while its status stays.
pub(super) fn condition(value: &Value, kind: &str, status: &str, reason: &str, message: &str, time: &str) -> Value {
    let list = find(value, "/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let before = list.into_iter().find(|own| own["type"] == kind && own["status"] == status);
    let since = before.and_then(|own| own["lastTransitionTime"].as_str()).unwrap_or(time);
    json!({ "type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since })
}

/// Fields of value 0 are left out, as the API's types have it.
fn counted(mut status: Value) -> Value {
    if let Some(map) = status.as_object_mut() {
        map.retain(|_, value| *value != json!(0));
    }
    status
}

fn deployment(value: &Value, outlook: &Outlook<'_>) -> Value {
    let (wanted, before) = (replicas(value), ready_before(value));
    let name = value["metadata"]["name"].as_str().unwrap_or_default();
    let say = |kind: &str, status: &str, reason: &str, message: &str| {
        let mut condition = condition(value, kind, status, reason, message, outlook.time);
        condition["lastUpdateTime"] = condition["lastTransitionTime"].clone();
        condition
    };
    let available = |yes: bool| match yes {
        true => say("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability."),
        false => {
            say("Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
        }
    };
    if outlook.hindrance.is_none() {
        let message = format!("ReplicaSet \"{name}\" has successfully progressed.");
        return counted(json!({
            "observedGeneration": generation(value),
            "replicas": wanted, "updatedReplicas": wanted, "readyReplicas": wanted, "availableReplicas": wanted,
            "conditions": [available(true), say("Progressing", "True", "NewReplicaSetAvailable", &message)],
        }));
    }
    let progressing = if outlook.overdue {
        let message = format!("ReplicaSet \"{name}\" has timed out progressing.");
        say("Progressing", "False", "ProgressDeadlineExceeded", &message)
    } else {
        say("Progressing", "True", "ReplicaSetUpdated", &format!("ReplicaSet \"{name}\" is progressing."))
    };
    // The pods of the last revision stay until the new ones are ready.
    let surge = i64::from(before > 0);
    let new = if before > 0 { surge.min(wanted) } else { wanted };
    counted(json!({
        "observedGeneration": generation(value),
        "replicas": before + new, "updatedReplicas": new, "readyReplicas": before, "availableReplicas": before,
        "unavailableReplicas": new,
        "conditions": [available(before > 0), progressing],
    }))
}

fn stateful_set(place: &Place, value: &Value, outlook: &Outlook<'_>) -> Value {
    let (wanted, generation) = (replicas(value), generation(value));
    let revision = format!("{}-{generation}", place.name);
    let before = ready_before(value);
    let current = find(value, "/status/currentRevision").and_then(Value::as_str).unwrap_or(&revision);
    if outlook.hindrance.is_none() {
        return counted(json!({
            "observedGeneration": generation, "collisionCount": 0,
            "replicas": wanted, "readyReplicas": wanted, "availableReplicas": wanted,
            "currentReplicas": wanted, "updatedReplicas": wanted,
            "currentRevision": revision, "updateRevision": revision,
        }));
    }
    let left = before.min(wanted.saturating_sub(1));
    counted(json!({
        "observedGeneration": generation, "replicas": wanted.min(before.max(1)), "readyReplicas": left,
        "availableReplicas": left, "currentReplicas": left, "updatedReplicas": 1.min(wanted),
        "currentRevision": current, "updateRevision": revision,
    }))
}

/// One node, as in a small cluster.
fn daemon_set(value: &Value, outlook: &Outlook<'_>) -> Value {
    let ready = i64::from(outlook.hindrance.is_none());
    json!({
        "observedGeneration": generation(value), "desiredNumberScheduled": 1, "currentNumberScheduled": 1,
        "updatedNumberScheduled": 1, "numberMisscheduled": 0, "numberReady": ready, "numberAvailable": ready,
        "numberUnavailable": 1 - ready,
    })
}

fn replica_set(value: &Value, outlook: &Outlook<'_>) -> Value {
    let wanted = replicas(value);
    let ready = if outlook.hindrance.is_none() { wanted } else { 0 };
    counted(json!({
        "observedGeneration": generation(value), "replicas": wanted, "fullyLabeledReplicas": wanted,
        "readyReplicas": ready, "availableReplicas": ready,
    }))
}

fn job(value: &Value, outlook: &Outlook<'_>) -> Value {
    let wanted = find(value, "/spec/completions").and_then(Value::as_i64).unwrap_or(1);
    let started = find(value, "/status/startTime").and_then(Value::as_str).unwrap_or(outlook.time);
    let say = |kind: &str, reason: &str, message: &str| condition(value, kind, "True", reason, message, outlook.time);
    match outlook.hindrance {
        None => {
            let message = "Reached expected number of succeeded pods";
            let met = ["SuccessCriteriaMet", "Complete"].map(|kind| say(kind, "CompletionsReached", message));
            json!({
                "startTime": started, "completionTime": outlook.time, "succeeded": wanted, "ready": 0,
                "terminating": 0, "uncountedTerminatedPods": {}, "conditions": met,
            })
        }
        Some(Hindrance::Crashing) => {
            let message = "Job has reached the specified backoff limit";
            let failed = ["FailureTarget", "Failed"].map(|kind| say(kind, "BackoffLimitExceeded", message));
            json!({
                "startTime": started, "failed": 1, "ready": 0, "terminating": 0, "uncountedTerminatedPods": {},
                "conditions": failed,
            })
        }
        Some(_) => {
            json!({ "startTime": started, "active": 1, "ready": 0, "terminating": 0, "uncountedTerminatedPods": {} })
        }
    }
}

fn claim(value: &Value) -> Value {
    json!({
        "phase": "Bound",
        "accessModes": value["spec"]["accessModes"],
        "capacity": value["spec"]["resources"]["requests"],
    })
}

fn balanced() -> Value {
    json!({ "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }] } })
}

fn budget(value: &Value) -> Value {
    json!({
        "observedGeneration": generation(value), "currentHealthy": 1, "desiredHealthy": 1, "disruptionsAllowed": 1,
        "expectedPods": 1,
    })
}

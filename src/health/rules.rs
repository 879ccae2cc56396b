//! The rules of kstatus: first what all objects have in common, then those of single kinds, then a `Ready` condition.

use jiff::{SignedDuration, Timestamp};
use manifest::Object;
use serde_json::Value;

use super::{Health, Reading};

/// How long a pod may wait for a node before it counts as failed.
const SCHEDULE_WINDOW: SignedDuration = SignedDuration::from_secs(15);

/// kstatus' stand-in for "no deadline", as the Deployment controller has it.
const NO_DEADLINE: i64 = i32::MAX as i64;

type Verdict = Result<Health, String>;

/// What an object's status says.
///
/// # Errors
/// When the status has a form that kstatus does not read.
pub(super) fn judge(object: &Object, reading: Reading, now: Timestamp) -> Verdict {
    let gvk = object.gvk();
    match (reading, gvk.group.as_str(), gvk.kind.as_str()) {
        (Reading::Flux, "batch", "Job") => flux_job(object.value()),
        (Reading::HelmJobs | Reading::HelmHooks, "batch", "Job") => helm_job(object.value()),
        (Reading::HelmHooks, "", "Pod") => hook_pod(object),
        (Reading::HelmHooks, ..) => current("Resource is current"),
        (Reading::Served, "apiregistration.k8s.io", "APIService") => api(object.value()),
        _ => compute(object, now),
    }
}

fn compute(object: &Object, now: Timestamp) -> Verdict {
    if let Some(health) = generic(object)? {
        return Ok(health);
    }
    let (value, gvk) = (object.value(), object.gvk());
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Secret" | "ConfigMap") | ("batch", "CronJob") => current("Resource is always ready"),
        ("", "Service") => service(value),
        ("", "Pod") => pod(object, now),
        ("", "PersistentVolumeClaim") => claim(value),
        ("apps", "StatefulSet") => stateful_set(value),
        ("apps" | "extensions", "DaemonSet") => daemon_set(object),
        ("apps" | "extensions", "Deployment") => deployment(value),
        ("apps" | "extensions", "ReplicaSet") => replica_set(value),
        ("policy", "PodDisruptionBudget") => current("AllowedDisruptions has been computed."),
        ("batch", "Job") => plain_job(value),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(value),
        _ => ready(value),
    }
}

fn current(message: impl Into<String>) -> Verdict {
    Ok(Health::Current { message: message.into() })
}

fn in_progress(message: impl Into<String>) -> Verdict {
    Ok(Health::InProgress { message: message.into() })
}

fn failed(message: impl Into<String>) -> Verdict {
    Ok(Health::Failed { message: message.into() })
}

/// One condition of a status.
struct Condition<'a> {
    kind: &'a str,
    status: &'a str,
    reason: &'a str,
    message: &'a str,
}

impl Condition<'_> {
    fn is(&self, kind: &str, status: &str) -> bool {
        self.kind == kind && self.status == status
    }
}

/// The conditions of an object; an error where Go's decoder would have one.
fn conditions(value: &Value) -> Result<Vec<Condition<'_>>, String> {
    let status = match value.get("status") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(status)) => status,
        Some(_) => return Err("status is no map".into()),
    };
    let list = match status.get("conditions") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err("status.conditions is no list".into()),
    };
    list.iter().map(condition).collect()
}

fn condition(value: &Value) -> Result<Condition<'_>, String> {
    let map = value.as_object().ok_or("a condition is no map")?;
    let text = |name: &str| match map.get(name) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) => Ok(text.as_str()),
        Some(_) => Err(format!("{name} of a condition is no text")),
    };
    Ok(Condition { kind: text("type")?, status: text("status")?, reason: text("reason")?, message: text("message")? })
}

/// A number; the default also where something else stands.
fn number(value: &Value, pointer: &str, default: i64) -> i64 {
    value.pointer(pointer).and_then(Value::as_i64).unwrap_or(default)
}

fn text<'a>(value: &'a Value, pointer: &str, default: &'a str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or(default)
}

/// A number that must be one where it stands.
fn strict(value: &Value, pointer: &str) -> Result<Option<i64>, String> {
    let (parent, _) = pointer.rsplit_once('/').unwrap_or(("", pointer));
    if value.pointer(parent).is_some_and(|parent| !parent.is_object()) {
        return Err(format!("{parent} is no map"));
    }
    match value.pointer(pointer) {
        None => Ok(None),
        Some(found) => found.as_i64().map(Some).ok_or_else(|| format!("{pointer} is no whole number")),
    }
}

/// What all objects have in common: deletion, the generation that the status is about, the standard conditions.
fn generic(object: &Object) -> Result<Option<Health>, String> {
    let value = object.value();
    if value
        .pointer("/metadata/deletionTimestamp")
        .is_some_and(|time| time.as_str().is_none_or(|time| !time.is_empty()))
    {
        return Ok(Some(Health::Terminating));
    }
    if let Some(generation) = strict(value, "/metadata/generation")?
        && let Some(observed) = strict(value, "/status/observedGeneration")?
        && generation != observed
    {
        let kind = object.kind();
        return in_progress(format!("{kind} generation is {generation}, but latest observed generation is {observed}"))
            .map(Some);
    }
    for condition in conditions(value)? {
        if condition.is("Reconciling", "True") {
            return in_progress(condition.message).map(Some);
        }
        if condition.is("Stalled", "True") {
            return failed(condition.message).map(Some);
        }
    }
    Ok(None)
}

fn ready(value: &Value) -> Verdict {
    let conditions = conditions(value)?;
    let mut ready = conditions.iter().filter(|condition| condition.kind == "Ready");
    match ready.find(|condition| matches!(condition.status, "True" | "False" | "Unknown")) {
        Some(condition) if condition.status == "True" => current("Resource is Ready"),
        Some(condition) => in_progress(condition.message),
        None => current("Resource is current"),
    }
}

fn service(value: &Value) -> Verdict {
    if text(value, "/spec/type", "") == "LoadBalancer" && text(value, "/spec/clusterIP", "").is_empty() {
        return in_progress("ClusterIP not set. Service type: LoadBalancer");
    }
    current("Service is ready")
}

fn claim(value: &Value) -> Verdict {
    match text(value, "/status/phase", "unknown") {
        "Bound" => current("PVC is Bound"),
        phase => in_progress(format!("PVC is not Bound. phase: {phase}")),
    }
}

/// An aggregated API, which its server answers for when it is available.
fn api(value: &Value) -> Verdict {
    let conditions = conditions(value)?;
    match conditions.iter().find(|condition| condition.kind == "Available") {
        Some(condition) if condition.status == "True" => current("APIService is available"),
        Some(condition) => in_progress(condition.message),
        None => in_progress("APIService is not available yet"),
    }
}

fn definition(value: &Value) -> Verdict {
    for condition in conditions(value)? {
        if condition.is("NamesAccepted", "False") {
            return failed(condition.message);
        }
        if condition.is("Established", "False") && condition.reason != "Installing" {
            return failed(condition.message);
        }
        if condition.is("Established", "True") {
            return current("CRD is established");
        }
    }
    in_progress("Install in progress")
}

fn deployment(value: &Value) -> Verdict {
    // Without a deadline the controller writes no condition of progress.
    let mut progressed = number(value, "/spec/progressDeadlineSeconds", NO_DEADLINE) == NO_DEADLINE;
    let mut available = false;
    for condition in conditions(value)? {
        if condition.kind == "Progressing" && condition.reason == "ProgressDeadlineExceeded" {
            return failed("Progress deadline exceeded");
        }
        progressed |= condition.is("Progressing", "True") && condition.reason == "NewReplicaSetAvailable";
        available |= condition.is("Available", "True");
    }
    let count = |name: &str| number(value, &format!("/status/{name}"), 0);
    let wanted = number(value, "/spec/replicas", 1);
    let (all, updated) = (count("replicas"), count("updatedReplicas"));
    let (readied, at_hand) = (count("readyReplicas"), count("availableReplicas"));
    if wanted > all {
        return in_progress(format!("Replicas: {all}/{wanted}"));
    }
    if wanted > updated {
        return in_progress(format!("Updated: {updated}/{wanted}"));
    }
    if all > wanted {
        return in_progress(format!("Pending termination: {}", all - wanted));
    }
    if updated > at_hand {
        return in_progress(format!("Available: {at_hand}/{updated}"));
    }
    if wanted > readied {
        return in_progress(format!("Ready: {readied}/{wanted}"));
    }
    match (progressed, available) {
        (false, _) => in_progress("ReplicaSet not Available"),
        (true, false) => in_progress("Deployment not Available"),
        (true, true) => current(format!("Deployment is available. Replicas: {all}")),
    }
}

fn stateful_set(value: &Value) -> Verdict {
    if text(value, "/spec/updateStrategy/type", "") == "OnDelete" {
        return current("StatefulSet is using the ondelete update strategy");
    }
    let count = |name: &str| number(value, &format!("/status/{name}"), 0);
    let wanted = number(value, "/spec/replicas", 1);
    let (all, readied) = (count("replicas"), count("readyReplicas"));
    let (at_hand, updated) = (count("currentReplicas"), count("updatedReplicas"));
    let partition = number(value, "/spec/updateStrategy/rollingUpdate/partition", -1);
    if wanted > all {
        return in_progress(format!("Replicas: {all}/{wanted}"));
    }
    if wanted > readied {
        return in_progress(format!("Ready: {readied}/{wanted}"));
    }
    if all > wanted {
        return in_progress(format!("Pending termination: {}", all - wanted));
    }
    if partition != -1 {
        if updated < wanted - partition {
            return in_progress(format!("updated: {updated}/{}", wanted - partition));
        }
        return current(format!("Partition rollout complete. updated: {updated}"));
    }
    if wanted > at_hand {
        return in_progress(format!("current: {at_hand}/{wanted}"));
    }
    if text(value, "/status/currentRevision", "") != text(value, "/status/updateRevision", "") {
        return in_progress("Waiting for updated revision to match current");
    }
    current(format!("All replicas scheduled as expected. Replicas: {all}"))
}

fn daemon_set(object: &Object) -> Verdict {
    let value = object.value();
    // A controller that has seen it would have written both.
    for (pointer, name) in
        [("/metadata/generation", "metadata.generation"), ("/status/observedGeneration", "status.observedGeneration")]
    {
        if strict(value, pointer)?.is_none() {
            return in_progress(format!("{} {name} not found", object.kind()));
        }
    }
    let count = |name: &str| number(value, &format!("/status/{name}"), 0);
    let wanted = number(value, "/status/desiredNumberScheduled", -1);
    if wanted == -1 {
        return in_progress("Missing .status.desiredNumberScheduled");
    }
    let steps = [
        ("Current", "currentNumberScheduled"),
        ("Updated", "updatedNumberScheduled"),
        ("Available", "numberAvailable"),
        ("Ready", "numberReady"),
    ];
    match steps.into_iter().find(|(_, name)| wanted > count(name)) {
        Some((word, name)) => in_progress(format!("{word}: {}/{wanted}", count(name))),
        None => current(format!("All replicas scheduled as expected. Replicas: {wanted}")),
    }
}

fn replica_set(value: &Value) -> Verdict {
    if conditions(value)?.iter().any(|condition| condition.is("ReplicaFailure", "True")) {
        return in_progress("Replica Failure condition. Check Pods");
    }
    let count = |name: &str| number(value, &format!("/status/{name}"), 0);
    let (wanted, all) = (number(value, "/spec/replicas", 1), count("replicas"));
    let steps = [("Labelled", "fullyLabeledReplicas"), ("Available", "availableReplicas"), ("Ready", "readyReplicas")];
    if let Some((word, name)) = steps.into_iter().find(|(_, name)| wanted > count(name)) {
        return in_progress(format!("{word}: {}/{wanted}", count(name)));
    }
    if all > wanted {
        return in_progress(format!("Pending termination: {}", all - wanted));
    }
    current(format!("ReplicaSet is available. Replicas: {all}"))
}

fn pod(object: &Object, now: Timestamp) -> Verdict {
    let value = object.value();
    let conditions = conditions(value)?;
    match text(value, "/status/phase", "") {
        "Succeeded" => current("Pod has completed successfully"),
        "Failed" => current("Pod has completed, but not successfully"),
        "Running" if conditions.iter().any(|condition| condition.is("Ready", "True")) => current("Pod is Ready"),
        "Running" => match crash_looping(value) {
            names if names.is_empty() => in_progress("Pod is running but is not Ready"),
            names => failed(format!("Containers in CrashLoop state: {}", names.join(","))),
        },
        "Pending" if is_unschedulable(&conditions) => {
            if unschedulable_at(object).is_some_and(|at| now < at) {
                return in_progress("Pod has not been scheduled");
            }
            failed("Pod could not be scheduled")
        }
        "Pending" => in_progress("Pod is in the Pending phase"),
        "" => in_progress("Pod phase not available"),
        phase => Err(format!("unknown phase {phase}")),
    }
}

/// kstatus looks at the first condition of that status alone.
fn is_unschedulable(conditions: &[Condition<'_>]) -> bool {
    let first = conditions.iter().find(|condition| condition.is("PodScheduled", "False"));
    first.is_some_and(|condition| condition.reason == "Unschedulable")
}

fn crash_looping(value: &Value) -> Vec<&str> {
    let containers = value.pointer("/status/containerStatuses").and_then(Value::as_array).into_iter().flatten();
    let looping = containers.filter(|container| text(container, "/state/waiting/reason", "") == "CrashLoopBackOff");
    looping.filter_map(|container| container.get("name")?.as_str()).collect()
}

/// When a pod that found no node counts as failed; `None` for every other.
pub(super) fn unschedulable_at(object: &Object) -> Option<Timestamp> {
    let value = object.value();
    let waits = object.kind() == "Pod"
        && text(value, "/status/phase", "") == "Pending"
        && conditions(value).is_ok_and(|conditions| is_unschedulable(&conditions));
    let created = object.text("/metadata/creationTimestamp").filter(|_| waits)?;
    created.parse::<Timestamp>().ok()?.checked_add(SCHEDULE_WINDOW).ok()
}

/// Whether a pod has failed and nothing but a change of its template will help: one that found no node may find one.
pub(super) fn has_failed_for_good(pod: &Object, now: Timestamp) -> bool {
    let waits = conditions(pod.value()).is_ok_and(|conditions| is_unschedulable(&conditions));
    !waits && compute(pod, now).is_ok_and(|health| health.is_failed())
}

/// The numbers of a Job.
struct Job {
    completions: i64,
    parallelism: i64,
    active: i64,
    succeeded: i64,
    failed: i64,
    started: bool,
}

impl Job {
    fn of(value: &Value) -> Self {
        let parallelism = number(value, "/spec/parallelism", 1);
        Self {
            completions: number(value, "/spec/completions", parallelism),
            parallelism,
            active: number(value, "/status/active", 0),
            succeeded: number(value, "/status/succeeded", 0),
            failed: number(value, "/status/failed", 0),
            started: !text(value, "/status/startTime", "").is_empty(),
        }
    }

    /// How it ended, if it has.
    fn ended(&self, value: &Value) -> Result<Option<Health>, String> {
        for condition in conditions(value)? {
            if condition.is("Complete", "True") {
                return current(format!("Job Completed. succeeded: {}/{}", self.succeeded, self.completions)).map(Some);
            }
            if condition.is("Failed", "True") {
                return failed(format!("Job Failed. failed: {}/{}", self.failed, self.completions)).map(Some);
            }
        }
        Ok(None)
    }

    fn numbers(&self) -> String {
        format!("Job in progress. success:{}, active: {}, failed: {}", self.succeeded, self.active, self.failed)
    }
}

/// kstatus': a Job that has started is as it should be.
fn plain_job(value: &Value) -> Verdict {
    let job = Job::of(value);
    match job.ended(value)? {
        Some(health) => Ok(health),
        None if job.started => current(job.numbers()),
        None => in_progress("Job not started"),
    }
}

fn flux_job(value: &Value) -> Verdict {
    if value.pointer("/spec/suspend") == Some(&Value::Bool(true)) {
        return current("Job is suspended");
    }
    let job = Job::of(value);
    match job.ended(value)? {
        Some(health) => Ok(health),
        None if job.started => in_progress(job.numbers()),
        None => in_progress(format!("Job not started. active: 0/{}", job.parallelism)),
    }
}

fn helm_job(value: &Value) -> Verdict {
    match Job::of(value).ended(value)? {
        Some(health) => Ok(health),
        None => in_progress("Job in progress"),
    }
}

fn hook_pod(object: &Object) -> Verdict {
    let name = object.name();
    match text(object.value(), "/status/phase", "") {
        "Succeeded" => current(format!("pod {name} succeeded")),
        "Failed" => failed(format!("pod {name} failed")),
        _ => in_progress("Pod in progress"),
    }
}

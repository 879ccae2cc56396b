//! What keeps the pods of a workload from running, told when time is over: it decides whether a rollout has failed or is
//! only slow.

use std::ops::RangeInclusive;
use std::time::Duration;

use apply::{Cluster, Reference, Selection};
use jiff::Timestamp;
use manifest::Object;
use serde_json::Value;

/// Reasons of a waiting container that do not go away by waiting.
const TROUBLES: &[&str] = &[
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
];

/// A container that runs for less and is not ready may only be slow.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why pods of the workload at `at`, which was awaited for so long, cannot run; `None` when none says so, or the object is
/// no workload. A container that has run for half of that time and still is not ready fails its probe, where its pod was
/// made meanwhile: pods of before are not what is awaited.
pub async fn trouble_of_pods(cluster: &dyn Cluster, at: &Reference, awaited: Duration) -> Option<String> {
    let workload = cluster.get(at).await.ok()??;
    let selector = workload.value().pointer("/spec/selector/matchLabels").and_then(Value::as_object)?;
    let labels: Vec<String> =
        selector.iter().filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?))).collect();
    let pods = Selection::all("v1", "Pod").within(&at.namespace).labelled(&labels.join(","));
    let pods = cluster.list(&pods).await.ok()?;
    let now = Timestamp::now();
    let probed = (now - awaited - PATIENCE)..=(now - (awaited / 2).max(PATIENCE));
    pods.iter().filter(|pod| !pod.is_terminating()).find_map(|pod| trouble(pod, &probed))
}

/// What keeps a pod from being ready. Probes count of pods that were made since `probed` begins, and of containers that
/// have run since it ends: others only need time, or are not of this rollout.
fn trouble(pod: &Object, probed: &RangeInclusive<Timestamp>) -> Option<String> {
    let status = pod.value().get("status")?;
    let lists = ["initContainerStatuses", "containerStatuses"];
    let containers = lists.iter().filter_map(|list| status.get(*list)?.as_array()).flatten();
    let all: Vec<&Value> = containers.collect();
    let waits = all.iter().find_map(|container| waiting_for(container));
    let waits = waits.map(|(container, reason)| {
        format!("pod {} cannot run: container {container} is waiting: {reason}", pod.name())
    });
    let made = pod.text("/metadata/creationTimestamp").and_then(|text| text.parse::<Timestamp>().ok());
    let is_new = made.is_some_and(|made| made >= *probed.start());
    let fails = || all.iter().find_map(|container| fails_its_probe(container, *probed.end()));
    waits.or_else(|| {
        fails()
            .filter(|_| is_new)
            .map(|name| format!("pod {} is not ready: container {name} runs and its probe fails", pod.name()))
    })
}

/// One that the startup probe still holds back is starting, however long it takes.
fn fails_its_probe(container: &Value, latest: Timestamp) -> Option<&str> {
    let flag = |name: &str| container.get(name).and_then(Value::as_bool).unwrap_or_default();
    let since: Timestamp = container.pointer("/state/running/startedAt")?.as_str()?.parse().ok()?;
    (flag("started") && !flag("ready") && since <= latest).then(|| container.get("name")?.as_str()).flatten()
}

fn waiting_for(container: &Value) -> Option<(&str, &str)> {
    let reason = container.pointer("/state/waiting/reason")?.as_str()?;
    let name = container.get("name")?.as_str()?;
    TROUBLES.contains(&reason).then_some((name, reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_crash_loop_is_trouble_and_a_slow_start_is_not() {
        let pod = |reason: &str| {
            let waiting = json!([{"name": "c", "state": {"waiting": {"reason": reason}}}]);
            Object::new(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n"},
                "status": {"containerStatuses": waiting}}))
            .unwrap()
        };
        let now = Timestamp::now();
        let now = now..=now;
        let told = trouble(&pod("CrashLoopBackOff"), &now).unwrap();
        assert_eq!(told, "pod p cannot run: container c is waiting: CrashLoopBackOff");
        assert_eq!(trouble(&pod("ContainerCreating"), &now), None);
    }

    #[test]
    fn a_container_that_has_run_for_long_and_is_not_ready_is_trouble_and_one_that_starts_is_not() {
        let pod = |started: bool, ready: bool| {
            let running = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
            let status = json!([{"name": "c", "started": started, "ready": ready, "state": running}]);
            let metadata = json!({"name": "p", "namespace": "n", "creationTimestamp": "2025-12-31T23:59:30Z"});
            Object::new(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata,
                "status": {"containerStatuses": status}}))
            .unwrap()
        };
        let [began, before, later, after]: [Timestamp; 4] =
            ["2025-12-31T23:59:00Z", "2025-12-31T23:59:40Z", "2025-12-31T23:59:50Z", "2026-01-01T00:01:00Z"]
                .map(|text| text.parse().unwrap());
        let (old, before, after) = (later..=after, began..=before, began..=after);
        let told = trouble(&pod(true, false), &after).unwrap();
        assert_eq!(told, "pod p is not ready: container c runs and its probe fails");
        assert_eq!(trouble(&pod(true, false), &before), None, "it has only begun");
        assert_eq!(trouble(&pod(true, false), &old), None, "it is a pod of before");
        assert_eq!(trouble(&pod(false, false), &after), None, "its startup probe has not passed yet");
        assert_eq!(trouble(&pod(true, true), &after), None);
    }
}

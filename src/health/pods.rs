//! What keeps the pods of a workload from running, told when time is over: it decides whether a rollout has failed or is
//! only slow.

use apply::{Cluster, Reference, Selection};
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

/// Why pods of the workload at `at` cannot run; `None` when none says so, or the object is no workload.
pub async fn trouble_of_pods(cluster: &dyn Cluster, at: &Reference) -> Option<String> {
    let workload = cluster.get(at).await.ok()??;
    let selector = workload.value().pointer("/spec/selector/matchLabels").and_then(Value::as_object)?;
    let labels: Vec<String> =
        selector.iter().filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?))).collect();
    let pods = Selection::all("v1", "Pod").within(&at.namespace).labelled(&labels.join(","));
    let pods = cluster.list(&pods).await.ok()?;
    pods.iter().filter(|pod| !pod.is_terminating()).find_map(trouble)
}

fn trouble(pod: &Object) -> Option<String> {
    let status = pod.value().get("status")?;
    let lists = ["initContainerStatuses", "containerStatuses"];
    let containers = lists.iter().filter_map(|list| status.get(*list)?.as_array()).flatten();
    containers
        .filter_map(waiting_for)
        .next()
        .map(|(container, reason)| format!("pod {} cannot run: container {container} is waiting: {reason}", pod.name()))
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
        let told = trouble(&pod("CrashLoopBackOff")).unwrap();
        assert_eq!(told, "pod p cannot run: container c is waiting: CrashLoopBackOff");
        assert_eq!(trouble(&pod("ContainerCreating")), None);
    }
}

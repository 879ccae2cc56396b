//! What the API server fills in where a built-in object is silent.
//!
//! The kinds that most repositories hold; others stay as they are given.

use serde_json::{Value, json};

use super::kinds::Kind;
use super::store::find;

/// Fills in the defaults of an object.
pub(super) fn fill(kind: &Kind, object: &mut Value) {
    match (kind.gvk.group.as_str(), kind.gvk.kind.as_str()) {
        ("apps", "Deployment") => {
            let rolling = json!({ "maxSurge": "25%", "maxUnavailable": "25%" });
            set(
                object,
                "spec",
                &[("replicas", json!(1)), ("progressDeadlineSeconds", json!(600)), ("revisionHistoryLimit", json!(10))],
            );
            strategy(object, "strategy", &rolling);
        }
        ("apps", "StatefulSet") => {
            set(
                object,
                "spec",
                &[
                    ("replicas", json!(1)),
                    ("revisionHistoryLimit", json!(10)),
                    ("podManagementPolicy", json!("OrderedReady")),
                    (
                        "persistentVolumeClaimRetentionPolicy",
                        json!({ "whenDeleted": "Retain", "whenScaled": "Retain" }),
                    ),
                ],
            );
            strategy(object, "updateStrategy", &json!({ "partition": 0 }));
        }
        ("apps", "DaemonSet") => {
            set(object, "spec", &[("revisionHistoryLimit", json!(10))]);
            strategy(object, "updateStrategy", &json!({ "maxSurge": 0, "maxUnavailable": 1 }));
        }
        ("apps", "ReplicaSet") | ("", "ReplicationController") => set(object, "spec", &[("replicas", json!(1))]),
        ("", "Service") => service(object),
        ("", "PersistentVolumeClaim") => set(object, "spec", &[("volumeMode", json!("Filesystem"))]),
        _ => {}
    }
    for pointer in ["/spec/jobTemplate", "/spec/template", "/template", "/spec/jobTemplate/spec/template"] {
        // What makes objects has metadata, be it none at all.
        if let Some(template) = object.pointer_mut(pointer).filter(|template| template["spec"].is_object()) {
            absent(template, &[("metadata", json!({}))]);
        }
    }
    for pointer in ["/spec/template/spec", "/template/spec", "/spec/jobTemplate/spec/template/spec"] {
        if let Some(spec) = object.pointer_mut(pointer).filter(|spec| spec.is_object()) {
            pod(spec);
        }
    }
    if kind.is("", "Pod")
        && let Some(spec) = object.get_mut("spec")
    {
        pod(spec);
        set(object, "spec", &[("enableServiceLinks", json!(true))]);
    }
}

/// Sets fields that are absent below a field that is a map.
fn set(object: &mut Value, field: &str, defaults: &[(&str, Value)]) {
    if let Some(map) = object.get_mut(field) {
        absent(map, defaults);
    }
}

fn absent(map: &mut Value, defaults: &[(&str, Value)]) {
    let Some(map) = map.as_object_mut() else { return };
    for (name, value) in defaults {
        if !map.contains_key(*name) {
            map.insert((*name).into(), value.clone());
        }
    }
}

/// A rolling update, unless another type is asked for.
fn strategy(object: &mut Value, field: &str, rolling: &Value) {
    set(object, "spec", &[(field, json!({}))]);
    let Some(strategy) = object.pointer_mut("/spec").and_then(|spec| spec.get_mut(field)) else { return };
    absent(strategy, &[("type", json!("RollingUpdate"))]);
    if strategy["type"] == "RollingUpdate" {
        absent(strategy, &[("rollingUpdate", json!({}))]);
        let rolling: Vec<(&str, Value)> =
            rolling.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value.clone())).collect();
        absent(&mut strategy["rollingUpdate"], &rolling);
    }
}

fn service(object: &mut Value) {
    let external = find(object, "/spec/type") == Some(&json!("ExternalName"));
    set(object, "spec", &[("sessionAffinity", json!("None")), ("type", json!("ClusterIP"))]);
    if !external {
        set(object, "spec", &[("internalTrafficPolicy", json!("Cluster"))]);
    }
    each(object.pointer_mut("/spec/ports"), |port| {
        let number = port["port"].clone();
        absent(port, &[("protocol", json!("TCP")), ("targetPort", number)]);
    });
}

fn each(list: Option<&mut Value>, change: impl FnMut(&mut Value)) {
    list.and_then(Value::as_array_mut).into_iter().flatten().for_each(change);
}

fn pod(spec: &mut Value) {
    absent(
        spec,
        &[
            ("restartPolicy", json!("Always")),
            ("dnsPolicy", json!("ClusterFirst")),
            ("schedulerName", json!("default-scheduler")),
            ("securityContext", json!({})),
            ("terminationGracePeriodSeconds", json!(30)),
        ],
    );
    if let Some(account) = spec.get("serviceAccountName").cloned() {
        absent(spec, &[("serviceAccount", account)]);
    }
    for list in ["initContainers", "containers"] {
        each(spec.get_mut(list), container);
    }
    each(spec.get_mut("volumes"), |volume| {
        for source in ["configMap", "secret", "projected", "downwardAPI"] {
            set(volume, source, &[("defaultMode", json!(420))]);
        }
        if volume.as_object().is_some_and(|map| map.len() == 1) {
            absent(volume, &[("emptyDir", json!({}))]);
        }
    });
}

fn container(container: &mut Value) {
    let image = container["image"].as_str().unwrap_or_default();
    let name = image.rsplit('/').next().unwrap_or_default();
    let latest = !image.contains('@') && name.split_once(':').is_none_or(|(_, tag)| tag == "latest");
    let pull = if latest { "Always" } else { "IfNotPresent" };
    absent(
        container,
        &[
            ("imagePullPolicy", json!(pull)),
            ("resources", json!({})),
            ("terminationMessagePath", json!("/dev/termination-log")),
            ("terminationMessagePolicy", json!("File")),
        ],
    );
    each(container.get_mut("ports"), |port| absent(port, &[("protocol", json!("TCP"))]));
    each(container.get_mut("env"), |variable| {
        if let Some(reference) = variable.pointer_mut("/valueFrom/fieldRef") {
            absent(reference, &[("apiVersion", json!("v1"))]);
        }
    });
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        set(
            container,
            probe,
            &[
                ("timeoutSeconds", json!(1)),
                ("periodSeconds", json!(10)),
                ("successThreshold", json!(1)),
                ("failureThreshold", json!(3)),
            ],
        );
        if let Some(get) = container.get_mut(probe).and_then(|probe| probe.get_mut("httpGet")) {
            absent(get, &[("path", json!("/")), ("scheme", json!("HTTP"))]);
        }
    }
}

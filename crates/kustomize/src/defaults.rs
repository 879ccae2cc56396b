//! The original's default field specs (kustomize/api v0.21.1, `builtinpluginconsts`), as a table: what a pod template
//! holds, times where each kind has its pod template.

use crate::config::{FieldSpec, NameReference};
use crate::id::Gvk;

/// A kind, its version where that matters, and where the pod's spec lies in it.
type PodSpec = (&'static str, &'static str, &'static str);

/// The kinds in whose pods ConfigMaps and Secrets are looked for.
const POD_SPECS: [PodSpec; 8] = [
    ("Pod", "v1", "spec"),
    ("PodTemplate", "", "template/spec"),
    ("Deployment", "", "spec/template/spec"),
    ("ReplicaSet", "", "spec/template/spec"),
    ("DaemonSet", "", "spec/template/spec"),
    ("StatefulSet", "", "spec/template/spec"),
    ("Job", "", "spec/template/spec"),
    ("CronJob", "", "spec/jobTemplate/spec/template/spec"),
];

/// The kinds that name accounts, claims and priorities.
const WORKLOADS: [PodSpec; 7] = [
    ("Pod", "", "spec"),
    ("StatefulSet", "", "spec/template/spec"),
    ("Deployment", "", "spec/template/spec"),
    ("ReplicationController", "", "spec/template/spec"),
    ("CronJob", "", "spec/jobTemplate/spec/template/spec"),
    ("Job", "", "spec/template/spec"),
    ("DaemonSet", "", "spec/template/spec"),
];

const RBAC: &str = "rbac.authorization.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";

/// Kind that is referred to; where pods name it; kinds with pods; other places as (group, kind, path).
type Reference = ([&'static str; 3], &'static [&'static str], &'static [PodSpec], &'static [[&'static str; 3]]);

const SCALED: [[&str; 3]; 1] = [["", "HorizontalPodAutoscaler", "spec/scaleTargetRef/name"]];

const REFERENCES: [Reference; 15] = [
    (["", "", "Deployment"], &[], &[], &SCALED),
    (["", "", "ReplicationController"], &[], &[], &SCALED),
    (["", "", "ReplicaSet"], &[], &[], &SCALED),
    (["", "", "StatefulSet"], &[], &[], &SCALED),
    (
        ["", "v1", "ConfigMap"],
        &[
            "volumes/configMap/name",
            "containers/env/valueFrom/configMapKeyRef/name",
            "initContainers/env/valueFrom/configMapKeyRef/name",
            "containers/envFrom/configMapRef/name",
            "initContainers/envFrom/configMapRef/name",
            "volumes/projected/sources/configMap/name",
        ],
        &POD_SPECS,
        &[
            ["", "Node", "spec/configSource/configMap"],
            ["", "Role", "rules/resourceNames"],
            ["", "ClusterRole", "rules/resourceNames"],
            ["", "Ingress", r"metadata/annotations/nginx.ingress.kubernetes.io\/fastcgi-params-configmap"],
        ],
    ),
    (
        ["", "v1", "Secret"],
        &[
            "volumes/secret/secretName",
            "containers/env/valueFrom/secretKeyRef/name",
            "initContainers/env/valueFrom/secretKeyRef/name",
            "containers/envFrom/secretRef/name",
            "initContainers/envFrom/secretRef/name",
            "imagePullSecrets/name",
            "volumes/projected/sources/secret/name",
        ],
        &POD_SPECS,
        &[
            ["", "Ingress", "spec/tls/secretName"],
            ["", "Ingress", r"metadata/annotations/ingress.kubernetes.io\/auth-secret"],
            ["", "Ingress", r"metadata/annotations/nginx.ingress.kubernetes.io\/auth-secret"],
            ["", "Ingress", r"metadata/annotations/nginx.ingress.kubernetes.io\/auth-tls-secret"],
            ["", "ServiceAccount", "imagePullSecrets/name"],
            ["", "StorageClass", "parameters/secretName"],
            ["", "StorageClass", "parameters/adminSecretName"],
            ["", "StorageClass", "parameters/userSecretName"],
            ["", "StorageClass", "parameters/secretRef"],
            ["", "Role", "rules/resourceNames"],
            ["", "ClusterRole", "rules/resourceNames"],
            ["serving.knative.dev/v1", "Service", "spec/template/spec/containers/env/valueFrom/secretKeyRef/name"],
            ["", "PersistentVolume", "spec/azureFile/secretName"],
        ],
    ),
    (
        ["", "v1", "Service"],
        &[],
        &[],
        &[
            ["apps", "StatefulSet", "spec/serviceName"],
            ["", "Ingress", "spec/rules/http/paths/backend/serviceName"],
            ["", "Ingress", "spec/backend/serviceName"],
            ["", "Ingress", "spec/rules/http/paths/backend/service/name"],
            ["", "Ingress", "spec/defaultBackend/service/name"],
            ["apiregistration.k8s.io", "APIService", "spec/service/name"],
            [ADMISSION, "ValidatingWebhookConfiguration", "webhooks/clientConfig/service"],
            [ADMISSION, "MutatingWebhookConfiguration", "webhooks/clientConfig/service"],
        ],
    ),
    ([RBAC, "", "Role"], &[], &[], &[[RBAC, "RoleBinding", "roleRef/name"]]),
    (
        [RBAC, "", "ClusterRole"],
        &[],
        &[],
        &[[RBAC, "RoleBinding", "roleRef/name"], [RBAC, "ClusterRoleBinding", "roleRef/name"]],
    ),
    (
        ["", "v1", "ServiceAccount"],
        &["serviceAccountName"],
        &WORKLOADS,
        &[[RBAC, "RoleBinding", "subjects"], [RBAC, "ClusterRoleBinding", "subjects"]],
    ),
    (["", "v1", "PersistentVolumeClaim"], &["volumes/persistentVolumeClaim/claimName"], &WORKLOADS, &[]),
    (
        ["", "v1", "PersistentVolume"],
        &[],
        &[],
        &[["", "PersistentVolumeClaim", "spec/volumeName"], ["", "ClusterRole", "rules/resourceNames"]],
    ),
    (
        ["storage.k8s.io", "v1", "StorageClass"],
        &[],
        &[],
        &[
            ["", "PersistentVolume", "spec/storageClassName"],
            ["", "PersistentVolumeClaim", "spec/storageClassName"],
            ["", "StatefulSet", "spec/volumeClaimTemplates/spec/storageClassName"],
        ],
    ),
    (["scheduling.k8s.io", "v1", "PriorityClass"], &["priorityClassName"], &WORKLOADS, &[]),
    (
        [ADMISSION, "", "ValidatingAdmissionPolicy"],
        &[],
        &[],
        &[[ADMISSION, "ValidatingAdmissionPolicyBinding", "spec/policyName"]],
    ),
];

/// Upstream writes the version into the group here, so that this one never selects anything; kept for completeness.
const INGRESS_CLASS: Reference =
    (["networking.k8s.io/v1", "v1", "IngressClass"], &[], &[], &[["", "Ingress", "spec/ingressClassName"]]);

/// Fields in which objects are referred to by name.
pub(crate) fn references() -> Vec<NameReference> {
    REFERENCES.iter().chain([&INGRESS_CLASS]).map(reference).collect()
}

fn reference(([group, version, kind], in_pods, pods, elsewhere): &Reference) -> NameReference {
    let of_pods = pods.iter().flat_map(|(kind, version, spec)| {
        in_pods.iter().map(move |path| spec_of("", version, kind, &format!("{spec}/{path}"), false))
    });
    let others = elsewhere.iter().map(|[group, kind, path]| {
        let (group, version) = group.split_once('/').unwrap_or((group, ""));
        spec_of(group, version, kind, path, false)
    });
    NameReference {
        group: (*group).into(),
        version: (*version).into(),
        kind: (*kind).into(),
        referrers: of_pods.chain(others).collect(),
    }
}

fn spec_of(group: &str, version: &str, kind: &str, path: &str, create: bool) -> FieldSpec {
    FieldSpec::new(Gvk { group: group.into(), version: version.into(), kind: kind.into() }, path, create)
}

/// Group, version, kind, path, and whether the path is made.
type Row = (&'static str, &'static str, &'static str, &'static str, bool);

const NAME: &[Row] = &[("", "", "", "metadata/name", false)];

const NAMESPACE: &[Row] = &[
    ("", "", "Namespace", "metadata/name", true),
    ("apiregistration.k8s.io", "", "APIService", "spec/service/namespace", true),
    (
        "apiextensions.k8s.io",
        "",
        "CustomResourceDefinition",
        "spec/conversion/webhook/clientConfig/service/namespace",
        false,
    ),
];

const SELECTORS: &[Row] = &[
    ("", "v1", "Service", "spec/selector", true),
    ("", "v1", "ReplicationController", "spec/selector", true),
    ("", "", "Deployment", "spec/selector/matchLabels", true),
    ("", "", "ReplicaSet", "spec/selector/matchLabels", true),
    ("", "", "DaemonSet", "spec/selector/matchLabels", true),
    ("apps", "", "StatefulSet", "spec/selector/matchLabels", true),
    ("batch", "", "Job", "spec/selector/matchLabels", false),
    ("batch", "", "CronJob", "spec/jobTemplate/spec/selector/matchLabels", false),
    ("policy", "", "PodDisruptionBudget", "spec/selector/matchLabels", false),
    ("networking.k8s.io", "", "NetworkPolicy", "spec/podSelector/matchLabels", false),
    ("networking.k8s.io", "", "NetworkPolicy", "spec/ingress/from/podSelector/matchLabels", false),
    ("networking.k8s.io", "", "NetworkPolicy", "spec/egress/to/podSelector/matchLabels", false),
];

/// Label selectors in the pods of Deployments and StatefulSets.
const POD_SELECTORS: [&str; 5] = [
    "affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels",
    "affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels",
    "affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels",
    "affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels",
    "topologySpreadConstraints/labelSelector/matchLabels",
];

const TEMPLATES: &[Row] = &[
    ("", "", "", "metadata/labels", true),
    ("", "v1", "ReplicationController", "spec/template/metadata/labels", true),
    ("", "", "Deployment", "spec/template/metadata/labels", true),
    ("", "", "ReplicaSet", "spec/template/metadata/labels", true),
    ("", "", "DaemonSet", "spec/template/metadata/labels", true),
    ("apps", "", "StatefulSet", "spec/template/metadata/labels", true),
    ("apps", "", "StatefulSet", "spec/volumeClaimTemplates[]/metadata/labels", true),
    ("batch", "", "Job", "spec/template/metadata/labels", true),
    ("batch", "", "CronJob", "spec/jobTemplate/metadata/labels", true),
    ("batch", "", "CronJob", "spec/jobTemplate/spec/template/metadata/labels", true),
];

const ANNOTATIONS: &[Row] = &[
    ("", "", "", "metadata/annotations", true),
    ("", "v1", "ReplicationController", "spec/template/metadata/annotations", true),
    ("", "", "Deployment", "spec/template/metadata/annotations", true),
    ("", "", "ReplicaSet", "spec/template/metadata/annotations", true),
    ("", "", "DaemonSet", "spec/template/metadata/annotations", true),
    ("", "", "StatefulSet", "spec/template/metadata/annotations", true),
    ("batch", "", "Job", "spec/template/metadata/annotations", true),
    ("batch", "", "CronJob", "spec/jobTemplate/metadata/annotations", true),
    ("batch", "", "CronJob", "spec/jobTemplate/spec/template/metadata/annotations", true),
];

const IMAGES: &[Row] = &[
    ("", "", "", "spec/containers[]/image", true),
    ("", "", "", "spec/initContainers[]/image", true),
    ("", "", "", "spec/volumes[]/image/reference", true),
    ("", "", "", "spec/template/spec/containers[]/image", true),
    ("", "", "", "spec/template/spec/initContainers[]/image", true),
    ("", "", "", "spec/template/spec/volumes[]/image/reference", true),
];

const REPLICAS: &[Row] = &[
    ("", "", "Deployment", "spec/replicas", true),
    ("", "", "ReplicationController", "spec/replicas", true),
    ("", "", "ReplicaSet", "spec/replicas", true),
    ("", "", "StatefulSet", "spec/replicas", true),
];

/// Where pods may name variables, and the kinds with pods in which they are looked for.
const POD_VARIABLES: [&str; 9] = [
    "containers/args",
    "containers/command",
    "containers/env/value",
    "containers/volumeMounts/mountPath",
    "initContainers/args",
    "initContainers/command",
    "initContainers/env/value",
    "initContainers/volumeMounts/mountPath",
    "volumes/nfs/server",
];

const VARIABLES: &[Row] = &[
    ("", "", "CronJob", "spec/jobTemplate/spec/template/volumes/nfs/server", false),
    ("", "", "Deployment", "spec/template/metadata/annotations", false),
    ("", "", "Ingress", "spec/rules/host", false),
    ("", "", "Ingress", "spec/tls/hosts", false),
    ("", "", "Ingress", "spec/tls/secretName", false),
    ("", "", "Service", "spec/ports/port", false),
    ("", "", "Service", "spec/ports/targetPort", false),
    ("", "", "StatefulSet", "spec/volumeClaimTemplates/spec/nfs/server", false),
    ("", "", "PersistentVolume", "spec/nfs/server", false),
    ("", "", "", "metadata/labels", false),
    ("", "", "", "metadata/annotations", false),
];

/// All other field specs, by the list that they belong to.
pub(crate) fn field_specs() -> Vec<(&'static str, Vec<FieldSpec>)> {
    let rows = |rows: &[Row]| -> Vec<FieldSpec> {
        rows.iter().map(|(group, version, kind, path, create)| spec_of(group, version, kind, path, *create)).collect()
    };
    let mut selectors = rows(SELECTORS);
    for kind in ["Deployment", "StatefulSet"] {
        selectors
            .extend(POD_SELECTORS.map(|path| spec_of("apps", "", kind, &format!("spec/template/spec/{path}"), false)));
    }
    let mut variables = rows(VARIABLES);
    for (kind, _, spec) in POD_SPECS.iter().filter(|(kind, ..)| *kind != "PodTemplate") {
        for path in POD_VARIABLES {
            // Neither a CronJob's nor a StatefulSet's volumes are looked at.
            if path != "volumes/nfs/server" || !matches!(*kind, "CronJob" | "StatefulSet") {
                variables.push(spec_of("", "", kind, &format!("{spec}/{path}"), false));
            }
        }
    }
    vec![
        ("name", rows(NAME)),
        ("namespace", rows(NAMESPACE)),
        ("selectors", selectors),
        ("templates", rows(TEMPLATES)),
        ("annotations", rows(ANNOTATIONS)),
        ("images", rows(IMAGES)),
        ("replicas", rows(REPLICAS)),
        ("variables", variables),
    ]
}

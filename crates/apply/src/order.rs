//! The order of a landing, as data (landing.md section 5).

use manifest::{Gvk, Object};

/// Stages of a commit, first to last. A stage is written only when the one before it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Namespaces and kinds, classes, cluster roles: what others need to be valid.
    Foundations,
    /// Permissions that are granted. Revocations go with prune, so that a tenant can still undo.
    Grants,
    /// ExternalSecrets and HelmReleases: inert for the cluster, and owners of the Secrets that follow.
    Declarations,
    /// Service accounts, configuration, secrets; the stores and sources that read them.
    Values,
    /// Services and what runs.
    Workloads,
    /// Helm releases: hooks and objects in Helm's own order.
    Releases,
    /// Objects of other kinds, which may need a CRD or a webhook of an earlier stage.
    Custom,
    /// Webhook configurations and API services: from here on they are asked.
    Admission,
}

/// Kinds with a place of their own: group (`*` for any), kind (`*` for any), stage, rank within the stage.
const PLACES: &[(&str, &str, Stage, u8)] = &[
    ("", "Namespace", Stage::Foundations, 0),
    ("apiextensions.k8s.io", "CustomResourceDefinition", Stage::Foundations, 1),
    ("scheduling.k8s.io", "PriorityClass", Stage::Foundations, 2),
    ("storage.k8s.io", "StorageClass", Stage::Foundations, 2),
    ("node.k8s.io", "RuntimeClass", Stage::Foundations, 2),
    ("networking.k8s.io", "IngressClass", Stage::Foundations, 2),
    ("rbac.authorization.k8s.io", "ClusterRole", Stage::Foundations, 3),
    ("rbac.authorization.k8s.io", "Role", Stage::Grants, 0),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding", Stage::Grants, 1),
    ("rbac.authorization.k8s.io", "RoleBinding", Stage::Grants, 1),
    ("external-secrets.io", "ExternalSecret", Stage::Declarations, 0),
    ("helm.toolkit.fluxcd.io", "HelmRelease", Stage::Declarations, 1),
    ("", "ResourceQuota", Stage::Values, 0),
    ("", "LimitRange", Stage::Values, 0),
    ("networking.k8s.io", "NetworkPolicy", Stage::Values, 0),
    ("", "ServiceAccount", Stage::Values, 1),
    ("", "ConfigMap", Stage::Values, 2),
    ("", "Secret", Stage::Values, 3),
    ("external-secrets.io", "SecretStore", Stage::Values, 4),
    ("external-secrets.io", "ClusterSecretStore", Stage::Values, 4),
    ("generators.external-secrets.io", "*", Stage::Values, 4),
    ("source.toolkit.fluxcd.io", "*", Stage::Values, 4),
    ("", "PersistentVolume", Stage::Workloads, 0),
    ("", "PersistentVolumeClaim", Stage::Workloads, 0),
    ("", "Service", Stage::Workloads, 1),
    ("policy", "PodDisruptionBudget", Stage::Workloads, 2),
    ("", "*", Stage::Workloads, 3),
    ("apps", "*", Stage::Workloads, 3),
    ("batch", "*", Stage::Workloads, 3),
    ("autoscaling", "*", Stage::Workloads, 4),
    ("networking.k8s.io", "*", Stage::Workloads, 4),
    ("admissionregistration.k8s.io", "*", Stage::Admission, 0),
    ("apiregistration.k8s.io", "*", Stage::Admission, 0),
];

/// Where objects of a kind stand in a commit. Groups of Kubernetes itself stay before custom resources.
pub fn place(gvk: &Gvk) -> (Stage, u8) {
    let named = PLACES.iter().find(|(group, kind, ..)| *group == gvk.group && (*kind == gvk.kind || *kind == "*"));
    if let Some((.., stage, rank)) = named {
        return (*stage, *rank);
    }
    if gvk.kind.ends_with("Class") {
        return (Stage::Foundations, 2);
    }
    (Stage::Custom, 0)
}

/// Key to sort objects by: stage, rank, then group, kind, namespace and name, so that the order is always the same.
pub fn key(object: &Object) -> impl Ord + use<> {
    let gvk = object.gvk();
    let (stage, rank) = place(&gvk);
    (stage, rank, gvk.group, gvk.kind, object.namespace().to_owned(), object.name().to_owned())
}

/// Kinds that a revert never deletes, because what they hold would be lost: they are left in place.
pub fn is_irreplaceable(gvk: &Gvk) -> bool {
    matches!(
        (gvk.group.as_str(), gvk.kind.as_str()),
        ("", "Namespace" | "PersistentVolumeClaim" | "PersistentVolume")
            | ("apiextensions.k8s.io", "CustomResourceDefinition")
    )
}

/// Whether an object that was deleted is as it was when it is applied once more. Not what holds data, what others come from
/// (the Secret of an ExternalSecret, the objects of a release), or what would run again.
pub fn comes_back(gvk: &Gvk) -> bool {
    let runs_once = gvk.group == "batch" && gvk.kind == "Job";
    !is_irreplaceable(gvk) && !runs_once && place(gvk).0 != Stage::Declarations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_come_before_what_reads_them_and_webhooks_last() {
        let kinds = [
            ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
            ("example.com/v1", "Widget"),
            ("apps/v1", "Deployment"),
            ("v1", "Secret"),
            ("external-secrets.io/v1", "ExternalSecret"),
            ("v1", "Namespace"),
        ];
        let places: Vec<_> = kinds.iter().map(|(version, kind)| place(&Gvk::new(version, kind))).collect();
        assert!(places.windows(2).all(|pair| pair[0] > pair[1]), "{places:?}");
    }

    #[test]
    fn a_kind_with_a_name_of_its_own_wins_over_its_group() {
        assert_eq!(place(&Gvk::new("networking.k8s.io/v1", "NetworkPolicy")).0, Stage::Values);
        assert_eq!(place(&Gvk::new("networking.k8s.io/v1", "Ingress")).0, Stage::Workloads);
        assert_eq!(place(&Gvk::new("gateway.networking.k8s.io/v1", "GatewayClass")).0, Stage::Foundations);
    }
}

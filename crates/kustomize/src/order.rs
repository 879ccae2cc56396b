//! The orders of kustomize: of kinds, and the legacy order of its command line.

use crate::id::{Gvk, Id};

/// Kinds that come first.
pub(crate) const FIRST: [&str; 22] = [
    "Namespace",
    "ResourceQuota",
    "StorageClass",
    "CustomResourceDefinition",
    "ServiceAccount",
    "PodSecurityPolicy",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "Endpoints",
    "Service",
    "LimitRange",
    "PriorityClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];

/// Kinds that come last.
pub(crate) const LAST: [&str; 2] = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// Negative for kinds that come first, positive for those that come last.
fn rank<S: AsRef<str>>(kind: &str, first: &[S], last: &[S]) -> isize {
    let place =
        |list: &[S]| list.iter().rposition(|known| known.as_ref() == kind).and_then(|at| isize::try_from(at).ok());
    let length = isize::try_from(first.len()).unwrap_or(isize::MAX);
    // A kind in both lists is, as in the original's map, where the second one puts it.
    place(last).map(|at| at + 1).or_else(|| place(first).map(|at| at - length)).unwrap_or_default()
}

fn or<'a>(text: &'a str, placeholder: &'a str) -> &'a str {
    if text.is_empty() { placeholder } else { text }
}

fn text(gvk: &Gvk) -> String {
    format!("{}_{}_{}", or(&gvk.group, "~G"), or(&gvk.version, "~V"), or(&gvk.kind, "~K"))
}

/// The place of a kind among kinds.
pub(crate) fn by_kind(gvk: &Gvk) -> (isize, String) {
    (rank(&gvk.kind, &FIRST, &LAST), text(gvk))
}

/// The place of an object in the legacy order.
pub(crate) fn legacy<S: AsRef<str>>(id: &Id, first: &[S], last: &[S]) -> (isize, String, String) {
    let object = format!("{}|{}|{}", id.gvk, or(&id.namespace, "~X"), or(&id.name, "~N"));
    (rank(&id.gvk.kind, first, last), text(&id.gvk), object)
}

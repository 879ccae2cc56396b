//! `Kustomization` of `kustomize.toolkit.fluxcd.io/v1`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Kind;
use super::condition::Conditions;
use super::duration::{Duration, Time};
use super::field::{Required, choices, structs};
use super::reference::{
    CommonMetadata, Dependency, HealthExpression, IgnoreRule, ImageOverride, Inventory, KubeConfig, LocalReference,
    Patch, SourceReference,
};
use super::support::{self, Supported, any, only};

choices! {
    /// What becomes of the applied objects when the Kustomization is deleted.
    pub enum DeletionPolicy {
        /// They are deleted when `prune` is on.
        MirrorPrune = "MirrorPrune",
        /// They are deleted.
        Delete = "Delete",
        /// They are deleted, and their end is awaited.
        WaitForTermination = "WaitForTermination",
        /// They stay.
        Orphan = "Orphan",
    }

    /// When variables are substituted.
    pub enum SubstituteStrategy {
        /// When there is at least one variable.
        WithVariables = "WithVariables",
        /// Always, so that defaults in the text count without any variable.
        Always = "Always",
    }

    /// The kind of object that values or variables are read from.
    pub enum ValuesKind {
        /// A Secret.
        Secret = "Secret",
        /// A ConfigMap.
        ConfigMap = "ConfigMap",
    }
}

structs! {
    /// What a Kustomization asks for.
    pub struct KustomizationSpec {
        /// Source that holds the files.
        pub source_ref: SourceReference,
        /// Folder to build, from the root of the source; the root when unset.
        pub path: Option<String>,
        /// How often the cluster is compared with the source.
        pub interval: Duration,
        /// How long to wait after a failure; the interval when unset.
        pub retry_interval: Option<Duration>,
        /// How long building, applying and becoming healthy may take; the interval when unset.
        pub timeout: Option<Duration>,
        /// Stops all work on this object; what was applied stays.
        pub suspend: bool,
        /// Whether objects that are no longer declared are deleted.
        pub prune: Required<bool>,
        /// Whether an object is replaced when a field cannot be changed.
        pub force: bool,
        /// Whether every applied object must become healthy.
        pub wait: bool,
        /// What becomes of the applied objects when this one is deleted: MirrorPrune does as prune says.
        pub deletion_policy: DeletionPolicy,
        /// Kustomizations that must be ready first.
        pub depends_on: Vec<Dependency>,
        /// Objects that must become healthy; not looked at when wait is on.
        pub health_checks: Vec<HealthCheck>,
        /// How the health of custom kinds is judged.
        pub health_check_exprs: Vec<HealthExpression>,
        /// How encrypted files are opened.
        pub decryption: Option<Decryption>,
        /// ServiceAccount in whose name objects are applied.
        pub service_account_name: Option<String>,
        /// Cluster to apply to; this one when unset.
        pub kube_config: Option<KubeConfig>,
        /// Namespace for every object, whatever it declares.
        pub target_namespace: Option<String>,
        /// Text to put before the name of every object.
        pub name_prefix: Option<String>,
        /// Text to put after the name of every object.
        pub name_suffix: Option<String>,
        /// Labels and annotations for every object.
        pub common_metadata: Option<CommonMetadata>,
        /// Folders of kustomize components to build in.
        pub components: Vec<String>,
        /// Whether a component that is not there is passed over.
        pub ignore_missing_components: bool,
        /// Changes to the built objects.
        pub patches: Vec<Patch>,
        /// Other names, tags or digests for container images.
        pub images: Vec<ImageOverride>,
        /// What kustomize writes about itself into the objects.
        pub build_metadata: Vec<String>,
        /// Variables to substitute in the built objects.
        pub post_build: Option<PostBuild>,
        /// Fields that are neither applied nor compared.
        pub ignore: Vec<IgnoreRule>,
    }

    /// An object that must become healthy.
    #[derive(Debug)]
    pub struct HealthCheck {
        /// API group and version of the object; apps/v1 when unset.
        pub api_version: Option<String>,
        /// Kind of the object.
        pub kind: String,
        /// Name of the object.
        pub name: String,
        /// Namespace of the object.
        pub namespace: Option<String>,
    }

    /// How encrypted files are opened.
    #[derive(Debug)]
    pub struct Decryption {
        /// Tool that encrypted the files.
        pub provider: String,
        /// Secret with the private keys.
        pub secret_ref: Option<LocalReference>,
        /// ServiceAccount whose cloud identity opens the files.
        pub service_account_name: Option<String>,
    }

    /// Variables to substitute in the built objects.
    pub struct PostBuild {
        /// Variables and their values; they win over those that are read from other objects.
        pub substitute: BTreeMap<String, String>,
        /// Secrets and ConfigMaps whose keys are variables; later ones win.
        pub substitute_from: Vec<SubstituteSource>,
        /// Whether to substitute even without any variable.
        pub substitute_strategy: SubstituteStrategy,
    }

    /// An object whose keys are variables.
    #[derive(Debug)]
    pub struct SubstituteSource {
        /// Secret or ConfigMap.
        pub kind: ValuesKind,
        /// Name of the object, in the namespace of this one.
        pub name: String,
        /// Whether the object may be missing.
        pub optional: bool,
    }

    /// What is known of a Kustomization.
    #[derive(Debug)]
    pub struct KustomizationStatus {
        /// Generation of the spec that was last worked on.
        pub observed_generation: i64,
        /// What holds for this object.
        pub conditions: Conditions,
        /// Revision that was last applied in full.
        pub last_applied_revision: Option<String>,
        /// Origin of the revision that was last applied, as the artifact names it.
        pub last_applied_origin_revision: Option<String>,
        /// Revision that was last tried.
        pub last_attempted_revision: Option<String>,
        /// Value of the last handled annotation that asked for a reconciliation.
        pub last_handled_reconcile_at: Option<String>,
        /// What was applied.
        pub inventory: Option<Inventory>,
        /// The last results, newest first, at most five.
        pub history: Vec<HistoryEntry>,
    }

    /// Results of one build, counted together while they are the same.
    #[derive(Debug)]
    pub struct HistoryEntry {
        /// Hash of the built objects.
        pub digest: String,
        /// When this result was first seen.
        pub first_reconciled: Time,
        /// When this result was last seen.
        pub last_reconciled: Time,
        /// How long the last reconciliation took.
        pub last_reconciled_duration: Duration,
        /// Reason of the last result.
        pub last_reconciled_status: String,
        /// How often this result was seen.
        pub total_reconciliations: i64,
        /// Revision and origin of the build.
        pub metadata: BTreeMap<String, String>,
    }
}

/// A folder of a source, built and applied.
pub enum Kustomization {}

impl Kind for Kustomization {
    type Spec = KustomizationSpec;
    type Status = KustomizationStatus;
    const API_VERSION: &'static str = "kustomize.toolkit.fluxcd.io/v1";
    const KIND: &'static str = "Kustomization";
    const ABOUT: &'static str = "A folder of a source that is built, decrypted and applied to the cluster.";
    const SUPPORTED: &'static [Supported] = &[
        any("interval"),
        any("retryInterval"),
        any("timeout"),
        any("suspend"),
        any("prune"),
        any("force"),
        any("wait"),
        any("path"),
        any("deletionPolicy"),
        any("sourceRef.apiVersion"),
        only("sourceRef.kind", &["GitRepository"]),
        any("sourceRef.name"),
        any("sourceRef.namespace"),
        any("dependsOn[].name"),
        any("dependsOn[].namespace"),
        any("dependsOn[].readyExpr"),
        any("healthChecks[].apiVersion"),
        any("healthChecks[].kind"),
        any("healthChecks[].name"),
        any("healthChecks[].namespace"),
        any("healthCheckExprs[].apiVersion"),
        any("healthCheckExprs[].kind"),
        any("healthCheckExprs[].current"),
        any("healthCheckExprs[].inProgress"),
        any("healthCheckExprs[].failed"),
        only("decryption.provider", &["sops"]),
        any("decryption.secretRef.name"),
        any("decryption.serviceAccountName"),
        any("serviceAccountName"),
        any("targetNamespace"),
        any("namePrefix"),
        any("nameSuffix"),
        any("commonMetadata.labels"),
        any("commonMetadata.annotations"),
        any("components"),
        any("ignoreMissingComponents"),
        any("patches[].patch"),
        any("patches[].target.group"),
        any("patches[].target.version"),
        any("patches[].target.kind"),
        any("patches[].target.namespace"),
        any("patches[].target.name"),
        any("patches[].target.labelSelector"),
        any("patches[].target.annotationSelector"),
        any("images[].name"),
        any("images[].newName"),
        any("images[].newTag"),
        any("images[].digest"),
        any("postBuild.substitute"),
        any("postBuild.substituteFrom[].kind"),
        any("postBuild.substituteFrom[].name"),
        any("postBuild.substituteFrom[].optional"),
        any("postBuild.substituteStrategy"),
    ];

    fn unsupported(raw: &Value) -> Vec<String> {
        support::unsupported(Self::SUPPORTED, raw).into_iter().chain(unknown_switches(raw)).collect()
    }
}

/// Prefix of the annotations by which a Kustomization asks for what Flux has no field for.
pub const SWITCH: &str = "lockstep.dev/";

/// Those annotations, with what they can say; nothing where that is free.
const SWITCHES: [(&str, &[&str]); 10] = [
    ("drift", &["correct", "warn"]),
    ("on-failure", &["revert", "hold", "continue"]),
    ("order", &["landing", "flux"]),
    ("parcel", &[]),
    ("prune-acknowledged", &[]),
    ("prune-guard", &["on", "off"]),
    ("rollout", &["enabled", "disabled"]),
    ("scope", &["parcel", "unit"]),
    ("sops-mac", &["warn", "enforce"]),
    ("versions", &["inplace", "immutable"]),
];

/// Switches that nobody knows, and those that say what nobody knows: the default would be a guess.
fn unknown_switches(raw: &Value) -> impl Iterator<Item = String> {
    let annotations = raw.pointer("/metadata/annotations").and_then(Value::as_object);
    annotations.into_iter().flatten().filter_map(|(key, value)| {
        let name = key.strip_prefix(SWITCH)?;
        let value = value.as_str().unwrap_or_default();
        match SWITCHES.iter().find(|(known, _)| *known == name) {
            None => Some(format!("metadata.annotations[{key}]")),
            Some((_, values)) if values.is_empty() || values.contains(&value) => None,
            Some((_, values)) => Some(format!("metadata.annotations[{key}] (only {})", values.join(", "))),
        }
    })
}

impl KustomizationSpec {
    /// Whether what it has made goes when the Kustomization is deleted; nothing does of one that is suspended.
    pub fn deletes_what_it_made(&self) -> bool {
        let is_meant = match self.deletion_policy {
            DeletionPolicy::Orphan => false,
            DeletionPolicy::Delete | DeletionPolicy::WaitForTermination => true,
            DeletionPolicy::MirrorPrune | DeletionPolicy::Other(_) => *self.prune,
        };
        is_meant && !self.suspend
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_switch_that_nobody_knows_is_named_with_what_it_can_say() {
        let unsupported =
            |annotations: Value| Kustomization::unsupported(&json!({"metadata": {"annotations": annotations}}));
        for (name, values) in SWITCHES {
            for value in values {
                assert!(unsupported(json!({format!("{SWITCH}{name}"): value})).is_empty(), "{name}: {value}");
            }
        }
        assert_eq!(
            unsupported(json!({"lockstep.dev/order": "Flux", "lockstep.dev/on-faliure": "hold", "other.dev/a": "b"})),
            [
                "metadata.annotations[lockstep.dev/on-faliure]",
                "metadata.annotations[lockstep.dev/order] (only landing, flux)"
            ]
        );
    }
}

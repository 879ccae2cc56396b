//! `HelmRelease` of `helm.toolkit.fluxcd.io/v2`.

use std::collections::BTreeMap;

use super::Kind;
use super::condition::Conditions;
use super::duration::{Duration, Time};
use super::field::{Confidential, choices, structs};
use super::kustomization::ValuesKind;
use super::reference::{
    CommonMetadata, Dependency, HealthExpression, IgnoreRule, ImageOverride, Inventory, KubeConfig, LocalReference,
    Patch, SourceReference,
};
use super::source::{ChartVerifier, ReconcileStrategy};
use super::support::{Supported, any, only};

choices! {
    /// What becomes of the definitions in a chart's `crds` folder.
    pub enum CrdsPolicy {
        /// Missing ones are created.
        Create = "Create",
        /// Nothing.
        Skip = "Skip",
        /// Missing ones are created, the others replaced.
        CreateReplace = "CreateReplace",
    }

    /// What to do after a failed install or upgrade.
    pub enum StrategyName {
        /// Undo it.
        RemediateOnFailure = "RemediateOnFailure",
        /// Leave it and try again.
        RetryOnFailure = "RetryOnFailure",
    }

    /// How a failed upgrade is undone.
    pub enum UpgradeRemedy {
        /// By the release before it.
        Rollback = "rollback",
        /// By uninstalling.
        Uninstall = "uninstall",
    }

    /// Whether the server or the client computes what changes.
    pub enum ServerSideApply {
        /// As the release before did.
        Auto = "auto",
        /// The server.
        Enabled = "enabled",
        /// The client.
        Disabled = "disabled",
    }

    /// What a chart of another name means.
    pub enum ChartNameChange {
        /// The release is uninstalled and installed anew.
        Reinstall = "Reinstall",
        /// The release is upgraded.
        InPlaceUpdate = "InPlaceUpdate",
    }

    /// What becomes of dependents when a release is uninstalled.
    pub enum DeletionPropagation {
        /// They are deleted afterwards.
        Background = "background",
        /// They are deleted first.
        Foreground = "foreground",
        /// They stay.
        Orphan = "orphan",
    }

    /// What to do when the cluster differs from a release.
    pub enum DriftMode {
        /// Nothing.
        Disabled = "disabled",
        /// Say so.
        Warn = "warn",
        /// Put it back.
        Enabled = "enabled",
    }

    /// The last thing that was done to a release.
    pub enum ReleaseAction {
        /// Install.
        Install = "install",
        /// Upgrade.
        Upgrade = "upgrade",
    }
}

structs! {
    /// What a HelmRelease asks for.
    pub struct HelmReleaseSpec {
        /// Chart to install; either this or chartRef.
        pub chart: Option<ChartTemplate>,
        /// Object that holds the chart; either this or chart.
        pub chart_ref: Option<SourceReference>,
        /// How often the release is compared with this object.
        pub interval: Duration,
        /// How long each Kubernetes operation and each hook may take; 5m when unset.
        pub timeout: Option<Duration>,
        /// Stops all work on this object; the release stays.
        pub suspend: bool,
        /// Name of the release; target namespace and name of this object when unset.
        pub release_name: Option<String>,
        /// Namespace to install into; the namespace of this object when unset.
        pub target_namespace: Option<String>,
        /// Namespace of the release records; the namespace of this object when unset.
        pub storage_namespace: Option<String>,
        /// How many release records are kept; 0 keeps all, 5 when unset.
        pub max_history: Option<i64>,
        /// Whether one client is kept for the whole of a reconciliation; it is when unset.
        pub persistent_client: Option<bool>,
        /// ServiceAccount in whose name the release is installed.
        pub service_account_name: Option<String>,
        /// Cluster to install into; this one when unset.
        pub kube_config: Option<KubeConfig>,
        /// HelmReleases that must be ready first.
        pub depends_on: Vec<Dependency>,
        /// Values for the chart; they win over those that are read from other objects.
        pub values: Option<Confidential>,
        /// Secrets and ConfigMaps with values for the chart; later ones win.
        pub values_from: Vec<ValuesSource>,
        /// How the release is installed.
        pub install: Option<Install>,
        /// How the release is upgraded.
        pub upgrade: Option<Upgrade>,
        /// How a failed upgrade is rolled back.
        pub rollback: Option<Rollback>,
        /// How the release is uninstalled.
        pub uninstall: Option<Uninstall>,
        /// Whether the chart's tests are run after an install or upgrade.
        pub test: Option<Test>,
        /// What happens when others change the objects of the release.
        pub drift_detection: Option<DriftDetection>,
        /// Changes to the rendered objects, in this order.
        pub post_renderers: Vec<PostRenderer>,
        /// Whether hooks are post-rendered: not, together with the rest, or by themselves.
        pub post_render_strategy: Option<String>,
        /// Labels and annotations for every object of the release.
        pub common_metadata: Option<CommonMetadata>,
        /// How the health of custom kinds is judged.
        pub health_check_exprs: Vec<HealthExpression>,
        /// How the objects of the release are waited for.
        pub wait_strategy: Option<WaitStrategy>,
    }

    /// The HelmChart that is made for a release.
    pub struct ChartTemplate {
        /// Labels and annotations of the HelmChart.
        pub metadata: Option<CommonMetadata>,
        /// The chart and where it comes from.
        pub spec: ChartTemplateSpec,
    }

    /// A chart and where it comes from.
    pub struct ChartTemplateSpec {
        /// Name of the chart, or its path within a source of files.
        pub chart: String,
        /// Version or range of versions; not for a chart from a source of files.
        pub version: Option<String>,
        /// Source that holds the chart.
        pub source_ref: SourceReference,
        /// How often the source is asked for a new version; the interval of the release when unset.
        pub interval: Option<Duration>,
        /// When the chart counts as new: with its version, or with each revision of the source.
        pub reconcile_strategy: ReconcileStrategy,
        /// Values files of the chart that take the place of values.yaml; later ones win.
        pub values_files: Vec<String>,
        /// Whether a values file that is not there is passed over.
        pub ignore_missing_values_files: bool,
        /// Signature that the chart must have.
        pub verify: Option<TemplateVerification>,
    }

    /// Signature that a chart must have.
    #[derive(Debug)]
    pub struct TemplateVerification {
        /// Tool that signed the chart.
        pub provider: ChartVerifier,
        /// Secret with the public keys; keyless when unset.
        pub secret_ref: Option<LocalReference>,
    }

    /// An object with values for a chart.
    #[derive(Debug)]
    pub struct ValuesSource {
        /// Secret or ConfigMap.
        pub kind: ValuesKind,
        /// Name of the object, in the namespace of this one.
        pub name: String,
        /// Key that holds the values; values.yaml when unset.
        pub values_key: Option<String>,
        /// Place among the values where the content goes as a single value, in the notation of --set.
        pub target_path: Option<String>,
        /// Whether the object or its key may be missing.
        pub optional: bool,
        /// Whether the content goes to targetPath as it is, without a reading of commas and brackets.
        pub literal: bool,
    }

    /// How a release is installed.
    #[derive(Debug)]
    pub struct Install {
        /// How long each operation and each hook may take; that of the release when unset.
        pub timeout: Option<Duration>,
        /// What to do after a failed install.
        pub remediation: Option<InstallRemediation>,
        /// Whether a failed install is undone or tried again.
        pub strategy: Option<Strategy>,
        /// What becomes of the chart's crds folder: Create when unset.
        pub crds: Option<CrdsPolicy>,
        /// Whether the target namespace is created when missing.
        pub create_namespace: bool,
        /// Whether a name that a deleted release used may be used again.
        pub replace: bool,
        /// Outdated; use crds.
        #[serde(rename = "skipCRDs")]
        pub skip_crds: bool,
        /// Whether hooks are left out.
        pub disable_hooks: bool,
        /// Whether the objects are not waited for.
        pub disable_wait: bool,
        /// Whether Jobs are not waited for.
        pub disable_wait_for_jobs: bool,
        /// Whether objects are not checked against the server's OpenAPI document.
        #[serde(rename = "disableOpenAPIValidation")]
        pub disable_open_api_validation: bool,
        /// Whether values are not checked against the chart's schema.
        pub disable_schema_validation: bool,
        /// Whether objects that belong to no release are refused instead of taken over.
        pub disable_take_ownership: bool,
        /// Whether the server computes what changes; it does when unset.
        pub server_side_apply: Option<bool>,
    }

    /// What to do after a failed install.
    #[derive(Debug)]
    pub struct InstallRemediation {
        /// How often a failed install is tried again; -1 for ever.
        pub retries: i64,
        /// Whether failed tests count as success.
        pub ignore_test_failures: Option<bool>,
        /// Whether the last failure is undone as well when no retry is left.
        pub remediate_last_failure: Option<bool>,
    }

    /// Whether a failure is undone or tried again.
    #[derive(Debug)]
    pub struct Strategy {
        /// RemediateOnFailure undoes it, RetryOnFailure leaves it and tries again.
        pub name: StrategyName,
        /// How long to wait before the next try; 5m when unset.
        pub retry_interval: Option<Duration>,
    }

    /// How a release is upgraded.
    #[derive(Debug)]
    pub struct Upgrade {
        /// How long each operation and each hook may take; that of the release when unset.
        pub timeout: Option<Duration>,
        /// What to do after a failed upgrade.
        pub remediation: Option<UpgradeRemediation>,
        /// Whether a failed upgrade is undone or tried again.
        pub strategy: Option<Strategy>,
        /// What becomes of the chart's crds folder.
        pub crds: Option<CrdsPolicy>,
        /// Whether values of the last release are kept where this object sets none.
        pub preserve_values: bool,
        /// Whether an object is replaced when a field cannot be changed.
        pub force: bool,
        /// Whether new objects are deleted when the upgrade fails.
        pub cleanup_on_fail: bool,
        /// Whether hooks are left out.
        pub disable_hooks: bool,
        /// Whether the objects are not waited for.
        pub disable_wait: bool,
        /// Whether Jobs are not waited for.
        pub disable_wait_for_jobs: bool,
        /// Whether objects are not checked against the server's OpenAPI document.
        #[serde(rename = "disableOpenAPIValidation")]
        pub disable_open_api_validation: bool,
        /// Whether values are not checked against the chart's schema.
        pub disable_schema_validation: bool,
        /// Whether objects that belong to no release are refused instead of taken over.
        pub disable_take_ownership: bool,
        /// Whether the server computes what changes; auto does as the release before did.
        pub server_side_apply: ServerSideApply,
        /// What a chart of another name means: uninstall and install, or upgrade in place.
        pub chart_name_change_strategy: ChartNameChange,
    }

    /// What to do after a failed upgrade.
    #[derive(Debug)]
    pub struct UpgradeRemediation {
        /// How often a failed upgrade is tried again; -1 for ever.
        pub retries: i64,
        /// Whether it is undone by a rollback or by uninstalling.
        pub strategy: UpgradeRemedy,
        /// Whether failed tests count as success.
        pub ignore_test_failures: Option<bool>,
        /// Whether the last failure is undone as well when no retry is left.
        pub remediate_last_failure: Option<bool>,
    }

    /// How a failed upgrade is rolled back.
    #[derive(Debug)]
    pub struct Rollback {
        /// How long each operation and each hook may take; that of the release when unset.
        pub timeout: Option<Duration>,
        /// Whether an object is replaced when a field cannot be changed.
        pub force: bool,
        /// Has no effect any more.
        pub recreate: bool,
        /// Whether new objects are deleted when the rollback fails.
        pub cleanup_on_fail: bool,
        /// Whether hooks are left out.
        pub disable_hooks: bool,
        /// Whether the objects are not waited for.
        pub disable_wait: bool,
        /// Whether Jobs are not waited for.
        pub disable_wait_for_jobs: bool,
        /// Whether the server computes what changes; auto does as the release before did.
        pub server_side_apply: ServerSideApply,
    }

    /// How a release is uninstalled.
    #[derive(Debug)]
    pub struct Uninstall {
        /// How long each operation and each hook may take; that of the release when unset.
        pub timeout: Option<Duration>,
        /// Whether the release records are kept.
        pub keep_history: bool,
        /// Whether hooks are left out.
        pub disable_hooks: bool,
        /// Whether the end of the objects is not waited for.
        pub disable_wait: bool,
        /// What becomes of dependents: deleted afterwards, deleted first, or left.
        pub deletion_propagation: DeletionPropagation,
    }

    /// Whether and how a chart's tests are run.
    #[derive(Debug)]
    pub struct Test {
        /// Whether tests are run after each install and upgrade.
        pub enable: bool,
        /// How long each test may take; that of the release when unset.
        pub timeout: Option<Duration>,
        /// Whether failed tests count as success.
        pub ignore_failures: bool,
        /// Which tests are run; all when empty.
        pub filters: Vec<TestFilter>,
    }

    /// A choice of one test.
    #[derive(Debug)]
    pub struct TestFilter {
        /// Name of the test.
        pub name: String,
        /// Whether this test is left out, instead of being the only one.
        pub exclude: bool,
    }

    /// What happens when others change the objects of a release.
    #[derive(Debug)]
    pub struct DriftDetection {
        /// Whether a difference is put back, only told, or not looked for.
        pub mode: DriftMode,
        /// Fields that others may change.
        pub ignore: Vec<IgnoreRule>,
    }

    /// One change to rendered objects.
    pub struct PostRenderer {
        /// Change them as kustomize does.
        pub kustomize: Option<KustomizeRenderer>,
    }

    /// A change as kustomize does it.
    pub struct KustomizeRenderer {
        /// Changes to the objects.
        pub patches: Vec<Patch>,
        /// Other names, tags or digests for container images.
        pub images: Vec<ImageOverride>,
    }

    /// How the objects of a release are waited for.
    #[derive(Debug)]
    pub struct WaitStrategy {
        /// Way to wait: poller asks for the state of each object, legacy is that of Helm 3.
        pub name: String,
    }

    /// What is known of a HelmRelease.
    #[derive(Debug)]
    pub struct HelmReleaseStatus {
        /// Generation of the spec that was last worked on.
        pub observed_generation: i64,
        /// What holds for this object.
        pub conditions: Conditions,
        /// Releases that this object made, newest first.
        pub history: Vec<Snapshot>,
        /// What the newest release applied.
        pub inventory: Option<Inventory>,
        /// Namespace and name of the HelmChart.
        pub helm_chart: Option<String>,
        /// Namespace of the release records.
        pub storage_namespace: Option<String>,
        /// Failures since spec, chart and values last changed.
        pub failures: i64,
        /// Failed installs since spec, chart and values last changed.
        pub install_failures: i64,
        /// Failed upgrades since spec, chart and values last changed.
        pub upgrade_failures: i64,
        /// Chart version that was last tried.
        pub last_attempted_revision: Option<String>,
        /// Digest of the chart that was last tried, when it comes from a registry.
        pub last_attempted_revision_digest: Option<String>,
        /// Digest of the values that were last tried.
        pub last_attempted_config_digest: Option<String>,
        /// Outdated digest of the values.
        pub last_attempted_values_checksum: Option<String>,
        /// Generation of the spec that was last tried.
        pub last_attempted_generation: i64,
        /// What was last done: install or upgrade.
        pub last_attempted_release_action: Option<ReleaseAction>,
        /// How long the last install or upgrade took.
        pub last_attempted_release_action_duration: Option<Duration>,
        /// Outdated number of the newest release.
        pub last_release_revision: i64,
        /// Value of the last handled annotation that asked for a reconciliation.
        pub last_handled_reconcile_at: Option<String>,
        /// Value of the last handled annotation that asked for an upgrade.
        pub last_handled_force_at: Option<String>,
        /// Value of the last handled annotation that asked to forget failures.
        pub last_handled_reset_at: Option<String>,
        /// Digest of the post-renderers of the newest release.
        pub observed_post_renderers_digest: Option<String>,
        /// Digest of the common metadata of the newest release.
        pub observed_common_metadata_digest: Option<String>,
    }

    /// One release.
    #[derive(Debug)]
    pub struct Snapshot {
        /// Rules by which the digest was made.
        pub api_version: Option<String>,
        /// Digest of the release record.
        pub digest: String,
        /// Name of the release.
        pub name: String,
        /// Namespace that it was installed into.
        pub namespace: String,
        /// Number of the release.
        pub version: i64,
        /// State of the release, in Helm's words.
        pub status: String,
        /// What made this release.
        pub action: Option<String>,
        /// Name of the chart.
        pub chart_name: String,
        /// Version of the chart.
        pub chart_version: String,
        /// Version of the program in the chart.
        pub app_version: Option<String>,
        /// Digest of the values.
        pub config_digest: String,
        /// When the release was first installed.
        pub first_deployed: Time,
        /// When this number of it was installed.
        pub last_deployed: Time,
        /// When it was uninstalled.
        pub deleted: Option<Time>,
        /// Results of the tests, by name of the test.
        pub test_hooks: BTreeMap<String, TestResult>,
        /// Digest of the chart, when it comes from a registry.
        pub oci_digest: Option<String>,
    }

    /// Result of one test.
    #[derive(Debug)]
    pub struct TestResult {
        /// When it started.
        pub last_started: Option<Time>,
        /// When it ended.
        pub last_completed: Option<Time>,
        /// How it ended.
        pub phase: Option<String>,
    }
}

/// A Helm chart, installed and kept up to date.
pub enum HelmRelease {}

impl Kind for HelmRelease {
    type Spec = HelmReleaseSpec;
    type Status = HelmReleaseStatus;
    const API_VERSION: &'static str = "helm.toolkit.fluxcd.io/v2";
    const KIND: &'static str = "HelmRelease";
    const ABOUT: &'static str = "A Helm chart that is installed, upgraded and kept as declared.";
    const SUPPORTED: &'static [Supported] = &[
        any("chart.spec.chart"),
        any("chart.spec.version"),
        any("chart.spec.sourceRef.apiVersion"),
        only("chart.spec.sourceRef.kind", &["HelmRepository", "GitRepository"]),
        any("chart.spec.sourceRef.name"),
        any("chart.spec.sourceRef.namespace"),
        any("chart.spec.interval"),
        any("chart.spec.reconcileStrategy"),
        any("chart.spec.valuesFiles"),
        any("chart.spec.ignoreMissingValuesFiles"),
        any("interval"),
        any("timeout"),
        any("suspend"),
        any("releaseName"),
        any("targetNamespace"),
        any("storageNamespace"),
        any("maxHistory"),
        any("persistentClient"),
        any("serviceAccountName"),
        any("dependsOn[].name"),
        any("dependsOn[].namespace"),
        any("dependsOn[].readyExpr"),
        any("values"),
        any("valuesFrom[].kind"),
        any("valuesFrom[].name"),
        any("valuesFrom[].valuesKey"),
        any("valuesFrom[].targetPath"),
        any("valuesFrom[].optional"),
        any("valuesFrom[].literal"),
        any("install.timeout"),
        any("install.crds"),
        any("install.createNamespace"),
        any("install.replace"),
        any("install.skipCRDs"),
        any("install.disableHooks"),
        any("install.disableWait"),
        any("install.disableWaitForJobs"),
        any("install.remediation.retries"),
        any("install.remediation.ignoreTestFailures"),
        any("install.remediation.remediateLastFailure"),
        only("install.strategy.name", &["RemediateOnFailure"]),
        only("install.disableOpenAPIValidation", &["false"]),
        only("install.disableSchemaValidation", &["false"]),
        only("install.disableTakeOwnership", &["false"]),
        only("install.serverSideApply", &["true"]),
        any("upgrade.timeout"),
        any("upgrade.crds"),
        any("upgrade.disableHooks"),
        any("upgrade.disableWait"),
        any("upgrade.disableWaitForJobs"),
        any("upgrade.remediation.retries"),
        only("upgrade.remediation.strategy", &["rollback"]),
        any("upgrade.remediation.ignoreTestFailures"),
        any("upgrade.remediation.remediateLastFailure"),
        only("upgrade.strategy.name", &["RemediateOnFailure"]),
        only("upgrade.preserveValues", &["false"]),
        only("upgrade.force", &["false"]),
        only("upgrade.cleanupOnFail", &["false"]),
        only("upgrade.disableOpenAPIValidation", &["false"]),
        only("upgrade.disableSchemaValidation", &["false"]),
        only("upgrade.disableTakeOwnership", &["false"]),
        only("upgrade.serverSideApply", &["auto", "enabled"]),
        only("upgrade.chartNameChangeStrategy", &["Reinstall"]),
        only("rollback.force", &["false"]),
        // Flux keeps the field and does nothing with it.
        any("rollback.recreate"),
        only("rollback.cleanupOnFail", &["false"]),
        only("rollback.disableHooks", &["false"]),
        only("rollback.disableWait", &["false"]),
        only("rollback.disableWaitForJobs", &["false"]),
        only("rollback.serverSideApply", &["auto", "enabled"]),
        any("uninstall.timeout"),
        any("uninstall.keepHistory"),
        any("uninstall.disableHooks"),
        any("uninstall.disableWait"),
        only("uninstall.deletionPropagation", &["background"]),
        only("test.enable", &["false"]),
        // What follows has no effect while tests and drift detection are off.
        any("test.timeout"),
        any("test.ignoreFailures"),
        any("test.filters[].name"),
        any("test.filters[].exclude"),
        only("driftDetection.mode", &["disabled"]),
        any("driftDetection.ignore[].paths"),
        any("driftDetection.ignore[].target.group"),
        any("driftDetection.ignore[].target.version"),
        any("driftDetection.ignore[].target.kind"),
        any("driftDetection.ignore[].target.namespace"),
        any("driftDetection.ignore[].target.name"),
        any("driftDetection.ignore[].target.labelSelector"),
        any("driftDetection.ignore[].target.annotationSelector"),
        only("waitStrategy.name", &["poller"]),
        any("commonMetadata.labels"),
        any("commonMetadata.annotations"),
    ];
}

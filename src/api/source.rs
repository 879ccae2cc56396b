//! Sources: `GitRepository`, `HelmRepository` and `HelmChart` of `source.toolkit.fluxcd.io/v1`.

use std::collections::BTreeMap;

use super::Kind;
use super::condition::Conditions;
use super::duration::{Duration, Time};
use super::field::{choices, structs};
use super::reference::{LocalReference, LocalSourceReference};
use super::support::{Supported, any, only, starts};

choices! {
    /// Whose login a source uses.
    pub enum Provider {
        /// The credentials of the Secret.
        Generic = "generic",
        /// Amazon Web Services.
        Aws = "aws",
        /// Microsoft Azure.
        Azure = "azure",
        /// Google Cloud.
        Gcp = "gcp",
        /// A GitHub App.
        Github = "github",
    }

    /// What a signature must cover.
    pub enum VerificationMode {
        /// The commit.
        Head = "HEAD",
        /// The commit, in the spelling of older versions.
        LowercaseHead = "head",
        /// The tag.
        Tag = "Tag",
        /// Both.
        TagAndHead = "TagAndHEAD",
    }

    /// The protocol of a chart repository.
    pub enum RepositoryType {
        /// An index file over HTTP.
        Default = "default",
        /// An OCI registry.
        Oci = "oci",
    }

    /// The tool that signed a chart.
    pub enum ChartVerifier {
        /// Sigstore's cosign.
        Cosign = "cosign",
        /// Notary's notation.
        Notation = "notation",
    }

    /// When a chart counts as new.
    pub enum ReconcileStrategy {
        /// With another version in its Chart.yaml.
        ChartVersion = "ChartVersion",
        /// With every revision of the source.
        Revision = "Revision",
    }
}

structs! {
    /// What a GitRepository asks for.
    pub struct GitRepositorySpec {
        /// Address of the repository: http, https or ssh.
        pub url: String,
        /// How often the repository is asked for a new revision.
        pub interval: Duration,
        /// How long one fetch may take; 60s when unset.
        pub timeout: Option<Duration>,
        /// Branch, tag, version range or commit to fetch; the branch master when unset.
        #[serde(rename = "ref")]
        pub reference: Option<GitReference>,
        /// Secret with the credentials: username and password, bearerToken, identity and known_hosts, or those of a GitHub App.
        pub secret_ref: Option<LocalReference>,
        /// Whose login is used; generic takes the Secret.
        pub provider: Provider,
        /// ServiceAccount whose cloud identity is used; for the providers aws and azure.
        pub service_account_name: Option<String>,
        /// Secret with address, username and password of an HTTP proxy.
        pub proxy_secret_ref: Option<LocalReference>,
        /// Patterns in the notation of .gitignore; files that match stay out of the artifact.
        pub ignore: Option<String>,
        /// Stops all work on this object; its artifact stays.
        pub suspend: bool,
        /// Folders to check out; all when unset.
        pub sparse_checkout: Vec<String>,
        /// Whether submodules are fetched as well.
        pub recurse_submodules: bool,
        /// Signatures that a revision must have.
        pub verify: Option<GitVerification>,
        /// Other GitRepositories whose files are put into this one's artifact.
        pub include: Vec<GitInclude>,
    }

    /// Which revision to fetch. The most exact setting wins: commit, name, semver, tag, branch.
    #[derive(Debug)]
    pub struct GitReference {
        /// Branch to follow.
        pub branch: Option<String>,
        /// Tag to fetch.
        pub tag: Option<String>,
        /// Range of versions; the newest tag within it is fetched.
        pub semver: Option<String>,
        /// Full name of a reference, such as refs/pull/420/head.
        pub name: Option<String>,
        /// Commit to fetch; with a branch, only that branch is searched.
        pub commit: Option<String>,
    }

    /// Signatures that a revision must have.
    #[derive(Debug)]
    pub struct GitVerification {
        /// What must be signed: the commit, the tag or both.
        pub mode: VerificationMode,
        /// Secret with the public keys of the trusted authors.
        pub secret_ref: LocalReference,
    }

    /// Files of another GitRepository.
    #[derive(Debug)]
    pub struct GitInclude {
        /// The GitRepository to take files from.
        pub repository: LocalReference,
        /// Folder to take; all when unset.
        pub from_path: Option<String>,
        /// Folder to put it in; the name of the other GitRepository when unset.
        pub to_path: Option<String>,
    }

    /// A fetched revision, as the object's status tells it.
    #[derive(Debug)]
    pub struct ArtifactRecord {
        /// Algorithm and hash of the artifact's file.
        pub digest: String,
        /// When the artifact last changed.
        pub last_update_time: Time,
        /// What the upstream says about the revision, such as the annotations of an OCI image.
        pub metadata: BTreeMap<String, String>,
        /// Path of the file within the artifact storage.
        pub path: String,
        /// Revision in readable form, such as main@sha1:0123abcd.
        pub revision: String,
        /// Size of the file in bytes.
        pub size: Option<i64>,
        /// Address from which the cluster can read the file.
        pub url: String,
    }

    /// What is known of a GitRepository.
    #[derive(Debug)]
    pub struct GitRepositoryStatus {
        /// Generation of the spec that was last worked on.
        pub observed_generation: i64,
        /// What holds for this object.
        pub conditions: Conditions,
        /// The last fetched revision.
        pub artifact: Option<ArtifactRecord>,
        /// Artifacts of the included repositories, in the order of the spec.
        pub included_artifacts: Vec<ArtifactRecord>,
        /// Ignore patterns that the artifact was made with.
        pub observed_ignore: Option<String>,
        /// Included repositories that the artifact was made with.
        pub observed_include: Vec<GitInclude>,
        /// Whether the artifact was made with submodules.
        pub observed_recurse_submodules: bool,
        /// Folders that the artifact was made with.
        pub observed_sparse_checkout: Vec<String>,
        /// What was verified last.
        pub source_verification_mode: Option<VerificationMode>,
        /// Value of the last handled annotation that asked for a reconciliation.
        pub last_handled_reconcile_at: Option<String>,
    }

    /// What a HelmRepository asks for.
    pub struct HelmRepositorySpec {
        /// Address of the repository: http or https, or oci for a registry.
        pub url: String,
        /// Protocol of the repository: default is an index file over HTTP.
        #[serde(rename = "type")]
        pub kind: RepositoryType,
        /// How often the index is read anew.
        pub interval: Option<Duration>,
        /// How long one read of the index may take; 60s when unset.
        pub timeout: Option<Duration>,
        /// Secret with username and password.
        pub secret_ref: Option<LocalReference>,
        /// Secret with tls.crt, tls.key and ca.crt.
        pub cert_secret_ref: Option<LocalReference>,
        /// Whether credentials are also sent to a host other than that of the index.
        pub pass_credentials: bool,
        /// Whose login is used for a registry; generic takes the Secret.
        pub provider: Provider,
        /// Whether a registry may be reached without TLS.
        pub insecure: bool,
        /// Stops all work on this object; its artifact stays.
        pub suspend: bool,
        /// Namespaces that may use this object; no controller acts on it.
        pub access_from: Option<AccessFrom>,
    }

    /// Namespaces that may use an object.
    #[derive(Debug)]
    pub struct AccessFrom {
        /// Selectors, of which one must match the namespace.
        pub namespace_selectors: Vec<NamespaceLabels>,
    }

    /// A selector of namespaces.
    #[derive(Debug)]
    pub struct NamespaceLabels {
        /// Labels that the namespace must have.
        pub match_labels: BTreeMap<String, String>,
    }

    /// What is known of a HelmRepository.
    #[derive(Debug)]
    pub struct HelmRepositoryStatus {
        /// Generation of the spec that was last worked on.
        pub observed_generation: i64,
        /// What holds for this object.
        pub conditions: Conditions,
        /// The last read index.
        pub artifact: Option<ArtifactRecord>,
        /// Address from which the cluster can read the newest index.
        pub url: Option<String>,
        /// Value of the last handled annotation that asked for a reconciliation.
        pub last_handled_reconcile_at: Option<String>,
    }

    /// What a HelmChart asks for.
    pub struct HelmChartSpec {
        /// Name of the chart, or its path within a source of files.
        pub chart: String,
        /// Version or range of versions; not for a chart from a source of files.
        pub version: Option<String>,
        /// Source that holds the chart.
        pub source_ref: LocalSourceReference,
        /// How often the source is asked for a new version.
        pub interval: Duration,
        /// When the chart counts as new: with its version, or with each revision of the source.
        pub reconcile_strategy: ReconcileStrategy,
        /// Values files of the chart that take the place of values.yaml; later ones win.
        pub values_files: Vec<String>,
        /// Whether a values file that is not there is passed over.
        pub ignore_missing_values_files: bool,
        /// Stops all work on this object; its artifact stays.
        pub suspend: bool,
        /// Signature that the chart must have.
        pub verify: Option<ChartVerification>,
    }

    /// Signature that a chart must have.
    #[derive(Debug)]
    pub struct ChartVerification {
        /// Tool that signed the chart.
        pub provider: ChartVerifier,
        /// Secret with the public keys; keyless when unset.
        pub secret_ref: Option<LocalReference>,
        /// Identities, of which one must have signed; for keyless signatures.
        #[serde(rename = "matchOIDCIdentity")]
        pub match_oidc_identity: Vec<OidcIdentity>,
    }

    /// An identity that may sign.
    #[derive(Debug)]
    pub struct OidcIdentity {
        /// Regular expression that the issuer must match.
        pub issuer: String,
        /// Regular expression that the subject must match.
        pub subject: String,
    }

    /// What is known of a HelmChart.
    #[derive(Debug)]
    pub struct HelmChartStatus {
        /// Generation of the spec that was last worked on.
        pub observed_generation: i64,
        /// What holds for this object.
        pub conditions: Conditions,
        /// The last packaged chart.
        pub artifact: Option<ArtifactRecord>,
        /// Name of the chart as its Chart.yaml gives it.
        pub observed_chart_name: Option<String>,
        /// Revision of the source that the chart was taken from.
        pub observed_source_artifact_revision: Option<String>,
        /// Values files that the chart was packaged with.
        pub observed_values_files: Vec<String>,
        /// Address from which the cluster can read the newest chart.
        pub url: Option<String>,
        /// Value of the last handled annotation that asked for a reconciliation.
        pub last_handled_reconcile_at: Option<String>,
    }
}

/// A Git repository whose revisions become artifacts.
pub enum GitRepository {}

impl Kind for GitRepository {
    type Spec = GitRepositorySpec;
    type Status = GitRepositoryStatus;
    const API_VERSION: &'static str = "source.toolkit.fluxcd.io/v1";
    const KIND: &'static str = "GitRepository";
    const ABOUT: &'static str = "A Git repository whose revisions are offered to other objects as artifacts.";
    const SUPPORTED: &'static [Supported] = &[
        starts("url", &["http://", "https://"]),
        any("interval"),
        any("timeout"),
        any("suspend"),
        any("ignore"),
        any("ref.branch"),
        any("ref.tag"),
        any("ref.semver"),
        any("ref.name"),
        any("ref.commit"),
        any("secretRef.name"),
        only("provider", &["generic"]),
        only("recurseSubmodules", &["false"]),
    ];
}

/// A repository of Helm charts.
pub enum HelmRepository {}

impl Kind for HelmRepository {
    type Spec = HelmRepositorySpec;
    type Status = HelmRepositoryStatus;
    const API_VERSION: &'static str = "source.toolkit.fluxcd.io/v1";
    const KIND: &'static str = "HelmRepository";
    const ABOUT: &'static str = "A repository of Helm charts, from which releases take theirs.";
    const SUPPORTED: &'static [Supported] = &[
        starts("url", &["http://", "https://"]),
        only("type", &["default"]),
        any("interval"),
        any("timeout"),
        any("suspend"),
        any("secretRef.name"),
        any("certSecretRef.name"),
        any("passCredentials"),
        only("provider", &["generic"]),
        only("insecure", &["false"]),
        // Flux has the field, and no controller of it reads it for charts.
        any("accessFrom.namespaceSelectors[].matchLabels"),
    ];
}

/// A chart of a source, packaged with chosen values files.
pub enum HelmChart {}

impl Kind for HelmChart {
    type Spec = HelmChartSpec;
    type Status = HelmChartStatus;
    const API_VERSION: &'static str = "source.toolkit.fluxcd.io/v1";
    const KIND: &'static str = "HelmChart";
    const ABOUT: &'static str = "A chart of a source, packaged for the releases that use it.";
    const SUPPORTED: &'static [Supported] = &[
        any("chart"),
        any("version"),
        any("sourceRef.apiVersion"),
        only("sourceRef.kind", &["HelmRepository", "GitRepository"]),
        any("sourceRef.name"),
        any("interval"),
        any("reconcileStrategy"),
        any("valuesFiles"),
        any("ignoreMissingValuesFiles"),
        any("suspend"),
    ];
}

//! What a cluster can do, as charts ask for it.

use gotemplate::go::semver::Version;

/// Kubernetes' version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeVersion {
    /// As the server says it, with `v`, such as `v1.33.4-gke.1245000`.
    pub version: String,
    /// Without what a vendor appends, with `v`; what constraints are checked against.
    pub normalized: String,
    /// First number.
    pub major: String,
    /// Second number.
    pub minor: String,
}

/// A text that is no version of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not parse {version:?} as version")]
pub struct NoKubeVersion {
    version: String,
}

impl KubeVersion {
    /// Reads a version: digits and dots, then anything.
    ///
    /// # Errors
    /// When it begins with less than two numbers.
    pub fn parse(text: &str) -> Result<Self, NoKubeVersion> {
        let bad = || NoKubeVersion { version: text.to_owned() };
        let trimmed = text.trim();
        let plain = trimmed.strip_prefix('v').unwrap_or(trimmed);
        let length = plain.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(plain.len());
        let numbers: Vec<&str> = plain[..length].trim_end_matches('.').split('.').collect();
        let is_good = |number: &&str| number.parse::<u32>().is_ok() && (*number == "0" || !number.starts_with('0'));
        if numbers.len() < 2 || !numbers.iter().all(is_good) {
            return Err(bad());
        }
        let version = if text.starts_with('v') { text.to_owned() } else { format!("v{text}") };
        let (major, minor) = (numbers[0].to_owned(), numbers[1].to_owned());
        Ok(Self { version, normalized: format!("v{}", numbers.join(".")), major, minor })
    }

    /// Whether the version fits a constraint of `Chart.yaml`.
    pub fn fits(&self, constraint: &str) -> bool {
        crate::chart::is_compatible(constraint, &self.normalized)
    }

    /// As a semantic version.
    pub fn semantic(&self) -> Option<Version> {
        Version::parse(&self.normalized).ok()
    }
}

/// `.Capabilities`.
#[derive(Clone, Debug)]
pub struct Capabilities {
    /// Version of the API server.
    pub kube_version: KubeVersion,
    /// `apps/v1`, `v1`, and with a cluster `apps/v1/Deployment` too.
    pub api_versions: Vec<String>,
    /// Helm's own version, such as `v4.2`.
    pub helm_version: String,
}

impl Default for Capabilities {
    /// Those of Helm 4.2 without a cluster.
    fn default() -> Self {
        Self {
            kube_version: KubeVersion {
                version: "v1.36.0".into(),
                normalized: "v1.36.0".into(),
                major: "1".into(),
                minor: "36".into(),
            },
            api_versions: API_VERSIONS.iter().map(|version| (*version).to_owned()).collect(),
            helm_version: "v4.2".into(),
        }
    }
}

/// What client-go 0.36 knows, in its order.
const API_VERSIONS: &[&str] = &[
    "v1",
    "admissionregistration.k8s.io/v1",
    "admissionregistration.k8s.io/v1alpha1",
    "admissionregistration.k8s.io/v1beta1",
    "internal.apiserver.k8s.io/v1alpha1",
    "apps/v1",
    "apps/v1beta1",
    "apps/v1beta2",
    "authentication.k8s.io/v1",
    "authentication.k8s.io/v1alpha1",
    "authentication.k8s.io/v1beta1",
    "authorization.k8s.io/v1",
    "authorization.k8s.io/v1beta1",
    "autoscaling/v1",
    "autoscaling/v2",
    "batch/v1",
    "batch/v1beta1",
    "certificates.k8s.io/v1",
    "certificates.k8s.io/v1beta1",
    "certificates.k8s.io/v1alpha1",
    "coordination.k8s.io/v1alpha2",
    "coordination.k8s.io/v1beta1",
    "coordination.k8s.io/v1",
    "discovery.k8s.io/v1",
    "discovery.k8s.io/v1beta1",
    "events.k8s.io/v1",
    "events.k8s.io/v1beta1",
    "extensions/v1beta1",
    "flowcontrol.apiserver.k8s.io/v1",
    "flowcontrol.apiserver.k8s.io/v1beta1",
    "flowcontrol.apiserver.k8s.io/v1beta2",
    "flowcontrol.apiserver.k8s.io/v1beta3",
    "networking.k8s.io/v1",
    "networking.k8s.io/v1beta1",
    "node.k8s.io/v1",
    "node.k8s.io/v1alpha1",
    "node.k8s.io/v1beta1",
    "policy/v1",
    "policy/v1beta1",
    "rbac.authorization.k8s.io/v1",
    "rbac.authorization.k8s.io/v1beta1",
    "rbac.authorization.k8s.io/v1alpha1",
    "resource.k8s.io/v1",
    "resource.k8s.io/v1beta2",
    "resource.k8s.io/v1beta1",
    "resource.k8s.io/v1alpha3",
    "scheduling.k8s.io/v1alpha2",
    "scheduling.k8s.io/v1beta1",
    "scheduling.k8s.io/v1",
    "storage.k8s.io/v1beta1",
    "storage.k8s.io/v1",
    "storage.k8s.io/v1alpha1",
    "storagemigration.k8s.io/v1beta1",
    "apiextensions.k8s.io/v1beta1",
    "apiextensions.k8s.io/v1",
];

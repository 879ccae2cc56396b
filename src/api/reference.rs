//! References from one object to others, and what several kinds share.

use std::collections::BTreeMap;

use super::field::{Required, structs};

structs! {
    /// A reference to an object of the same namespace.
    #[derive(Debug)]
    pub struct LocalReference {
        /// Name of the object.
        pub name: String,
    }

    /// A reference to a source.
    #[derive(Debug)]
    pub struct SourceReference {
        /// API group and version of the source; that of its kind when unset.
        pub api_version: Option<String>,
        /// Kind of the source.
        pub kind: String,
        /// Name of the source.
        pub name: String,
        /// Namespace of the source; the namespace of this object when unset.
        pub namespace: Option<String>,
    }

    /// A reference to a source of the same namespace.
    #[derive(Debug)]
    pub struct LocalSourceReference {
        /// API group and version of the source; that of its kind when unset.
        pub api_version: Option<String>,
        /// Kind of the source.
        pub kind: String,
        /// Name of the source.
        pub name: String,
    }

    /// An object that must be ready first.
    #[derive(Debug)]
    pub struct Dependency {
        /// Name of the object to wait for.
        pub name: String,
        /// Namespace of the object to wait for; the namespace of this object when unset.
        pub namespace: Option<String>,
        /// CEL expression over `self` and `dep` that decides instead of the Ready condition.
        pub ready_expr: Option<String>,
    }

    /// Labels and annotations for every object.
    #[derive(Debug)]
    pub struct CommonMetadata {
        /// Annotations to put on every object; they win over those that it has.
        pub annotations: BTreeMap<String, String>,
        /// Labels to put on every object; they win over those that it has.
        pub labels: BTreeMap<String, String>,
    }

    /// Which objects a patch or a rule is for; what is unset matches all.
    #[derive(Debug)]
    pub struct Selector {
        /// API group, as an anchored regular expression.
        pub group: Option<String>,
        /// API version, as an anchored regular expression.
        pub version: Option<String>,
        /// Kind, as an anchored regular expression.
        pub kind: Option<String>,
        /// Namespace, as an anchored regular expression.
        pub namespace: Option<String>,
        /// Name, as an anchored regular expression.
        pub name: Option<String>,
        /// Label selector, such as `app=web,tier!=test`.
        pub label_selector: Option<String>,
        /// Selector over annotations, in the notation of label selectors.
        pub annotation_selector: Option<String>,
    }

    /// A change to some of the objects.
    pub struct Patch {
        /// Strategic merge patch or list of JSON 6902 operations, as YAML or JSON.
        pub patch: String,
        /// Objects to change; a strategic merge patch may name its target itself.
        pub target: Option<Selector>,
    }

    /// Another name, tag or digest for a container image.
    #[derive(Debug)]
    pub struct ImageOverride {
        /// Image to look for, without tag.
        pub name: String,
        /// Name to put in its place.
        pub new_name: Option<String>,
        /// Tag to put in its place.
        pub new_tag: Option<String>,
        /// Digest to put in its place; wins over the tag.
        pub digest: Option<String>,
    }

    /// How the health of a kind is judged.
    #[derive(Debug)]
    pub struct HealthExpression {
        /// API group and version of the kind.
        pub api_version: String,
        /// Kind to judge.
        pub kind: Option<String>,
        /// CEL expression that is true when the object is healthy.
        pub current: String,
        /// CEL expression that is true while the object still works towards its spec.
        pub in_progress: Option<String>,
        /// CEL expression that is true when the object has failed.
        pub failed: Option<String>,
    }

    /// Fields that are left to others.
    #[derive(Debug)]
    pub struct IgnoreRule {
        /// JSON pointers of the fields.
        pub paths: Vec<String>,
        /// Objects that the rule is for; all when unset.
        pub target: Option<Selector>,
    }

    /// How another cluster is reached; one of the two is set.
    #[derive(Debug)]
    pub struct KubeConfig {
        /// ConfigMap with provider, cluster and address for a login without stored secret.
        pub config_map_ref: Option<LocalReference>,
        /// Secret with a kubeconfig.
        pub secret_ref: Option<KubeConfigSecret>,
    }

    /// A Secret with a kubeconfig.
    #[derive(Debug)]
    pub struct KubeConfigSecret {
        /// Name of the Secret.
        pub name: String,
        /// Key that holds the kubeconfig; `value` or `value.yaml` when unset.
        pub key: Option<String>,
    }

    /// An object that was applied.
    #[derive(Debug)]
    pub struct InventoryEntry {
        /// Namespace, name, group and kind of the object, joined by underscores.
        pub id: String,
        /// API version of the object.
        #[serde(rename = "v")]
        pub version: String,
    }

    /// What was applied, to find later what is no longer declared.
    #[derive(Debug)]
    pub struct Inventory {
        /// The applied objects.
        pub entries: Required<Vec<InventoryEntry>>,
    }
}

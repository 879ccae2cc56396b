//! Identities as kustomize has them: with the version, and with a namespace that may be unsaid.

use std::fmt;

use yaml::Node;

use crate::facts::Facts;
use crate::tree;

/// The namespace of what has none.
const CLUSTER: &str = "_non_namespaceable_";

/// The namespace that is meant when none is said.
pub(crate) const DEFAULT: &str = "default";

/// Group, version and kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Gvk {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
}

/// Group and version of an `apiVersion`.
pub(crate) fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

impl Gvk {
    /// Whether `self` is what `selector` asks for; what the selector does not say, it does not ask for.
    pub(crate) fn is_selected_by(&self, selector: &Gvk) -> bool {
        (selector.group.is_empty() || selector.group == self.group)
            && (selector.version.is_empty() || selector.version == self.version)
            && (selector.kind.is_empty() || selector.kind == self.kind)
    }
}

fn or<'a>(text: &'a str, placeholder: &'a str) -> &'a str {
    if text.is_empty() { placeholder } else { text }
}

impl fmt::Display for Gvk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", or(&self.kind, "[noKind]"), or(&self.version, "[noVer]"), or(&self.group, "[noGrp]"))
    }
}

/// An object's identity within a build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Id {
    pub(crate) gvk: Gvk,
    pub(crate) name: String,
    /// As said; empty when unsaid.
    pub(crate) namespace: String,
    /// Whether the kind certainly has no namespace.
    pub(crate) cluster: bool,
}

impl Id {
    /// The identity that a tree says it has.
    pub(crate) fn of(node: &Node, facts: &Facts) -> Self {
        let api_version = scalar(node, "apiVersion");
        let (group, version) = split_api_version(api_version);
        let kind = scalar(node, "kind");
        let metadata = node.get("metadata").filter(|map| !tree::is_empty(map));
        let of_metadata = |name: &str| {
            let value = metadata.and_then(|map| map.get(name)).filter(|value| !tree::is_empty(value));
            value.map(|value| value.value.clone()).unwrap_or_default()
        };
        Self {
            cluster: facts.is_cluster_scoped(api_version, kind),
            gvk: Gvk { group: group.into(), version: version.into(), kind: kind.into() },
            name: of_metadata("name"),
            namespace: of_metadata("namespace"),
        }
    }

    /// The namespace that counts.
    pub(crate) fn effective_namespace(&self) -> &str {
        if self.cluster { CLUSTER } else { or(&self.namespace, DEFAULT) }
    }

    /// Whether an object of this identity lies in no namespace.
    pub(crate) fn has_no_namespace(&self) -> bool {
        self.effective_namespace() == CLUSTER
    }

    /// The same identity with its namespace said, so that equal identities are equal values.
    pub(crate) fn key(&self) -> Key {
        Key { gvk: self.gvk.clone(), name: self.name.clone(), namespace: self.effective_namespace().into() }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}.{}", self.gvk, or(&self.name, "[noName]"), or(&self.namespace, "[noNs]"))
    }
}

/// What two identities are compared by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) gvk: Gvk,
    pub(crate) name: String,
    pub(crate) namespace: String,
}

fn scalar<'a>(node: &'a Node, name: &str) -> &'a str {
    node.get(name).map(|value| value.value.as_str()).unwrap_or_default()
}

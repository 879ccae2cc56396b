//! Which object is meant, without its content.

use std::fmt;

/// Group, version and kind, as in `apps/v1 Deployment`. The core group is the empty string.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gvk {
    /// API group; empty for the core group.
    pub group: String,
    /// API version within the group, such as `v1`.
    pub version: String,
    /// Kind, such as `Deployment`.
    pub kind: String,
}

impl Gvk {
    /// Builds one from an `apiVersion` (`v1` or `apps/v1`) and a kind.
    pub fn new(api_version: &str, kind: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self { group: group.into(), version: version.into(), kind: kind.into() }
    }

    /// The `apiVersion` of manifests: `version` for the core group, else `group/version`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

impl fmt::Display for Gvk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.api_version(), self.kind)
    }
}

/// Identity of an object in a cluster, without its version: what an inventory lists and what two revisions compare by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId {
    /// Empty for a cluster-scoped object.
    pub namespace: String,
    /// Name within the namespace.
    pub name: String,
    /// API group; empty for the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
}

impl ObjectId {
    /// Flux's inventory form, `<namespace>_<name>_<group>_<kind>`. RBAC names may hold a colon, which is written `__`
    /// (cli-utils `ObjMetadata.String`).
    pub fn inventory(&self) -> String {
        let name = self.name.replace(':', "__");
        format!("{}_{}_{}_{}", self.namespace, name, self.group, self.kind)
    }

    /// Reads Flux's inventory form.
    ///
    /// # Errors
    /// When the text has not the four parts.
    pub fn from_inventory(text: &str) -> Result<Self, IdError> {
        let bad = || IdError { id: text.into() };
        let (namespace, rest) = text.split_once('_').ok_or_else(bad)?;
        let (rest, kind) = rest.rsplit_once('_').ok_or_else(bad)?;
        let (name, group) = rest.rsplit_once('_').ok_or_else(bad)?;
        if name.is_empty() || kind.is_empty() {
            return Err(bad());
        }
        Ok(Self { namespace: namespace.into(), name: name.replace("__", ":"), group: group.into(), kind: kind.into() })
    }
}

/// As Flux prints objects in messages: `Deployment/namespace/name`, or `Namespace/name` (fluxcd/pkg/ssa `FmtUnstructured`).
impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{}/{}", self.kind, self.name)
        } else {
            write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)
        }
    }
}

/// A text that is not an inventory id.
#[derive(Debug, thiserror::Error)]
#[error("'{id}' is not an inventory id of the form <namespace>_<name>_<group>_<kind>")]
pub struct IdError {
    /// The text as found.
    pub id: String,
}

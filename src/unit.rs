//! What lands together, and what was read to know what it wants.
//!
//! A [`ReadSet`] grows along the pipeline: every thing that was read, with its version. Reading the versions again tells
//! whether there is anything to do, without a build; the digest over it is the landing's input.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use apply::Reference;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub mod base;
pub mod looks;

use base::Base;
use looks::Looks;

/// What lands together: a Kustomization with all that it declares, or a HelmRelease or ExternalSecret that stands alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unit {
    /// `Kustomization`, `HelmRelease` or `ExternalSecret`.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Unit {
    /// The unit of a Kustomization.
    pub fn kustomization(namespace: &str, name: &str) -> Self {
        Self { kind: "Kustomization".into(), namespace: namespace.into(), name: name.into() }
    }

    /// The unit that an object is when it stands alone.
    pub fn of(reference: &Reference) -> Self {
        Self { kind: reference.gvk.kind.clone(), namespace: reference.namespace.clone(), name: reference.name.clone() }
    }
}

/// The inverse of `Display`.
impl FromStr for Unit {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.split('/').collect::<Vec<_>>().as_slice() {
            [kind, namespace, name] => {
                Ok(Self { kind: (*kind).into(), namespace: (*namespace).into(), name: (*name).into() })
            }
            _ => Err(()),
        }
    }
}

/// `Kustomization/flux-system/apps`: also the journal's key.
impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)
    }
}

/// One thing that a compile can read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Thing {
    /// The spec and the switches of the unit's own object; version: a digest.
    Spec,
    /// The artifact of a source; version: its digest.
    Artifact {
        /// `GitRepository` or `HelmRepository`.
        kind: String,
        /// Namespace of the source.
        namespace: String,
        /// Name of the source.
        name: String,
    },
    /// Where in the artifact of a source a compile has looked; version: a digest over what it saw. An artifact that looks
    /// the same there leads to the same objects.
    Paths {
        /// `GitRepository`.
        kind: String,
        /// Namespace of the source.
        namespace: String,
        /// Name of the source.
        name: String,
        /// Where it looked.
        looks: Looks,
    },
    /// What the unit's kustomizations name outside of their source; version: a repository's commit, a digest of a file.
    Base(Base),
    /// A ConfigMap, Secret or other object that was read for its values; version: a digest of its content.
    Object {
        /// `v1`, …
        api_version: String,
        /// Kind.
        kind: String,
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// An object of the unit that counts apart from its revision, such as an ExternalSecret; version: a digest of its
    /// spec. It changes with the unit's own inputs only, and is not read again.
    Declared {
        /// Its identity in Flux's inventory form.
        id: String,
    },
    /// A secret of an external store; version: the store's.
    Remote {
        /// `SecretStore/namespace/name` or `ClusterSecretStore//name`.
        store: String,
        /// Which request was made of it.
        request: String,
    },
    /// A chart; version: its digest.
    Chart {
        /// The HelmRelease that it is for, `namespace/name`.
        release: String,
    },
    /// What the server can do, as charts see it; version: a digest.
    Capabilities,
    /// What the unit's manifests were built to; version: the digest that its history shows. It follows from the rest.
    Built,
}

impl Thing {
    /// An object by its place.
    pub fn object(reference: &Reference) -> Self {
        Self::Object {
            api_version: reference.gvk.api_version(),
            kind: reference.gvk.kind.clone(),
            namespace: reference.namespace.clone(),
            name: reference.name.clone(),
        }
    }
}

/// Version of a thing that was not there.
pub const MISSING: &str = "missing";

/// Everything that was read, with its version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadSet {
    things: BTreeMap<Thing, String>,
}

impl ReadSet {
    /// Notes that `thing` was read at `version`.
    pub fn note(&mut self, thing: Thing, version: impl Into<String>) {
        self.things.insert(thing, version.into());
    }

    /// Adds what another part of the compile read.
    pub fn extend(&mut self, other: ReadSet) {
        self.things.extend(other.things);
    }

    /// The version at which `thing` was read.
    pub fn version(&self, thing: &Thing) -> Option<&str> {
        self.things.get(thing).map(String::as_str)
    }

    /// All things with their versions, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Thing, &str)> {
        self.things.iter().map(|(thing, version)| (thing, version.as_str()))
    }

    /// Digest over all of it: the input of a landing.
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        for (thing, version) in &self.things {
            hasher.update(format!("{thing:?}={version}\n"));
        }
        hex(&hasher.finalize())
    }

    /// The form that the journal keeps.
    pub fn to_value(&self) -> serde_json::Value {
        serde_json::to_value(self.things.iter().collect::<Vec<_>>()).unwrap_or_default()
    }

    /// Reads the journal's form; one of another version of Lockstep counts as nothing read.
    pub fn from_value(value: &serde_json::Value) -> Self {
        let things: Vec<(Thing, String)> = serde_json::from_value(value.clone()).unwrap_or_default();
        Self { things: things.into_iter().collect() }
    }
}

/// SHA-256 of bytes, in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_set_survives_the_journal_and_its_digest_tells_versions_apart() {
        let mut one = ReadSet::default();
        one.note(Thing::Spec, "a");
        one.note(Thing::Remote { store: "SecretStore/n/s".into(), request: "db".into() }, "7");
        assert_eq!(ReadSet::from_value(&one.to_value()), one);
        let mut two = one.clone();
        two.note(Thing::Spec, "b");
        assert_ne!(one.digest(), two.digest());
    }
}

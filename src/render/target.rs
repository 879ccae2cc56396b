//! The names of a release.

use manifest::Object;
use sha2::{Digest as _, Sha256};

use crate::api::helm::HelmReleaseSpec;
use crate::api::reference::CommonMetadata;

/// Helm's limit on the length of a name.
const LONGEST: usize = 53;

/// Where a release goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Name of the release.
    pub name: String,
    /// Namespace of its objects.
    pub namespace: String,
    /// Namespace of its records.
    pub storage: String,
    /// Name of the HelmRelease, which its objects carry.
    pub owner_name: String,
    /// Namespace of the HelmRelease, which its objects carry.
    pub owner_namespace: String,
}

impl Target {
    /// The target of a HelmRelease, by Flux's rules.
    pub fn of(object: &Object, spec: &HelmReleaseSpec) -> Self {
        let own = object.namespace();
        let given = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
        let namespace = given(&spec.target_namespace);
        let composed = match &namespace {
            Some(namespace) => format!("{namespace}-{}", object.name()),
            None => object.name().to_owned(),
        };
        Self {
            name: short(given(&spec.release_name).unwrap_or(composed)),
            namespace: namespace.unwrap_or_else(|| own.to_owned()),
            storage: given(&spec.storage_namespace).unwrap_or_else(|| own.to_owned()),
            owner_name: object.name().to_owned(),
            owner_namespace: own.to_owned(),
        }
    }
}

/// Digest of `commonMetadata` as Flux writes it into status; `None` when there is none.
pub fn common_digest(common: Option<&CommonMetadata>) -> Option<String> {
    let value = serde_json::to_value(common?).unwrap_or_default();
    let text = yaml::json::to_string(&value, yaml::json::Html::Escaped);
    Some(format!("sha256:{:x}", Sha256::digest(format!("{text}\n"))))
}

/// A name that Helm takes: of a longer one the beginning, and a hash of it all.
fn short(name: String) -> String {
    if name.len() <= LONGEST {
        return name;
    }
    let hash = format!("{:x}", Sha256::digest(&name));
    format!("{}-{}", &name[..name.floor_char_boundary(LONGEST - 13)], &hash[..12])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::Kind as _;
    use crate::api::helm::HelmRelease;

    fn target(spec: serde_json::Value) -> Target {
        let mut spec = spec;
        spec["interval"] = "1m".into();
        let value = json!({"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
            "metadata": {"name": "web", "namespace": "apps"}, "spec": spec});
        let object = Object::new(value).unwrap();
        Target::of(&object, &HelmRelease::spec(&object).unwrap())
    }

    #[test]
    fn names_come_from_the_object_unless_its_spec_has_others() {
        let plain = target(json!({}));
        assert_eq!((&*plain.name, &*plain.namespace, &*plain.storage), ("web", "apps", "apps"));
        let moved = target(json!({"targetNamespace": "prod", "storageNamespace": "records"}));
        assert_eq!((&*moved.name, &*moved.namespace, &*moved.storage), ("prod-web", "prod", "records"));
        assert_eq!(target(json!({"targetNamespace": "prod", "releaseName": "x"})).name, "x");
    }

    #[test]
    fn a_long_name_is_cut_and_hashed() {
        let name = target(json!({"releaseName": "a".repeat(60)})).name;
        assert_eq!(name, format!("{}-11ee391211c6", "a".repeat(40)));
    }
}

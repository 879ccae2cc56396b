//! The shapes of Flux's and External Secrets' objects, and nothing else: no step, no decision.
//!
//! A [`Kind`] names an API and has typed structs for its `spec` and `status`, in which every field of the schema stands,
//! supported or not. What Lockstep does not act on yet is named by [`Kind::unsupported`], so that nothing is ignored in
//! silence. The schemas themselves are in [`schema`]; the doc comments here are their descriptions.
//!
//! # Caveats
//! - Reading checks types only; the rest of the schema is checked by the API server.
//! - Types that can hold plaintext have no `Debug`.

use manifest::Object;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub mod condition;
pub mod duration;
pub mod field;
pub mod helm;
pub mod kustomization;
pub mod reference;
pub mod schema;
pub mod secret;
pub mod source;
pub mod store;
pub mod support;

/// Finalizer that Flux puts on every object that it works on.
pub const FINALIZER: &str = "finalizers.fluxcd.io";
/// Annotation that asks for a reconciliation.
pub const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";
/// Annotation that asks a HelmRelease for an upgrade although nothing has changed.
pub const FORCE_AT: &str = "reconcile.fluxcd.io/forceAt";
/// Annotation that asks a HelmRelease to forget what has failed.
pub const RESET_AT: &str = "reconcile.fluxcd.io/resetAt";

/// A kind of object that Lockstep reconciles.
pub trait Kind {
    /// What is asked for.
    type Spec: field::Field + Serialize + DeserializeOwned;
    /// What is known.
    type Status: field::Field + Serialize + DeserializeOwned;
    /// `apiVersion` of the served version.
    const API_VERSION: &'static str;
    /// `kind`.
    const KIND: &'static str;
    /// One sentence for `kubectl explain`.
    const ABOUT: &'static str;
    /// The leaves of the spec that Lockstep acts on.
    const SUPPORTED: &'static [support::Supported];

    /// The spec of an object; without one, the zero value.
    ///
    /// # Errors
    /// When a field has another type than the schema says.
    fn spec(object: &Object) -> Result<Self::Spec, ReadError> {
        part(object, "spec")
    }

    /// The status of an object; without one, the zero value.
    ///
    /// # Errors
    /// When a field has another type than the schema says.
    fn status(object: &Object) -> Result<Self::Status, ReadError> {
        part(object, "status")
    }

    /// The description of every field of spec and status, by path: `[]` stands for the items of a list, `*` for those of
    /// a map.
    fn descriptions() -> Vec<(String, String)> {
        let mut descriptions = Vec::new();
        <Self::Spec as field::Field>::describe("spec", &mut descriptions);
        <Self::Status as field::Field>::describe("status", &mut descriptions);
        descriptions
    }

    /// The fields of the raw object that are set and not supported now, as dotted paths such as
    /// `spec.dependsOn[1].readyExpr`; where the value alone is the cause, the supported ones follow in brackets.
    fn unsupported(raw: &Value) -> Vec<String> {
        support::unsupported(Self::SUPPORTED, raw)
    }
}

fn part<T: DeserializeOwned>(object: &Object, name: &'static str) -> Result<T, ReadError> {
    let empty = Value::Object(serde_json::Map::new());
    let value = object.value().get(name).filter(|value| !value.is_null()).unwrap_or(&empty);
    serde_path_to_error::deserialize(value).map_err(|error| ReadError {
        path: format!("{name}.{}", error.path()),
        expected: expectation(&error.inner().to_string()),
    })
}

/// The part of serde's message that repeats nothing of the object, which may be a secret.
fn expectation(message: &str) -> String {
    let (_, expected) = message.rsplit_once(", expected ").unwrap_or(("", "another value"));
    expected.to_owned()
}

/// A field has another type than the schema says. The value is left out: it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: expected {expected}")]
pub struct ReadError {
    /// Dotted path of the field.
    pub path: String,
    /// What should stand there.
    pub expected: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(spec: Value) -> Object {
        Object::new(json!({"apiVersion": "v1", "kind": "Sample", "metadata": {"name": "a"}, "spec": spec})).unwrap()
    }

    #[test]
    fn null_empty_text_and_absence_are_one() {
        let spec = json!({"interval": "1m", "prune": true, "dependsOn": null, "path": "", "suspend": null, "deletionPolicy": ""});
        let spec = kustomization::Kustomization::spec(&object(spec)).unwrap();
        assert!(spec.path.is_none() && spec.depends_on.is_empty() && !spec.suspend);
        assert_eq!(spec.deletion_policy, kustomization::DeletionPolicy::MirrorPrune);
        assert_eq!(spec.interval.span().as_secs(), 60);
    }

    #[test]
    fn a_value_that_only_the_server_refuses_is_kept() {
        let spec = secret::ExternalSecret::spec(&object(json!({"refreshPolicy": "Sometimes"}))).unwrap();
        assert_eq!(spec.refresh_policy, secret::RefreshPolicy::Other("Sometimes".into()));
        assert_eq!(serde_json::to_value(&spec.refresh_policy).unwrap(), "Sometimes");
    }

    #[test]
    fn a_refusal_names_the_place_and_never_the_value() {
        let refused = |spec| store::SecretStore::spec(&object(spec)).err().unwrap().to_string();
        assert_eq!(
            refused(json!({"conditions": [{"namespaces": "hunter2"}]})),
            "spec.conditions[0].namespaces: expected a sequence"
        );
        let nested = json!({"provider": {"fake": {"data": [{"key": ["hunter2, expected hunter2"]}]}}});
        assert!(!refused(nested).contains("hunter2"));
        assert!(!refused(json!({"refreshInterval": "hunter2"})).contains("hunter2"));
    }

    #[test]
    fn values_are_kept_as_they_are() {
        let spec = json!({"values": {"replicas": 0, "empty": null, "list": [], "text": ""}});
        let spec = helm::HelmRelease::spec(&object(spec.clone())).unwrap();
        assert_eq!(spec.values.unwrap().expose(), &json!({"replicas": 0, "empty": null, "list": [], "text": ""}));
    }

    #[test]
    fn an_object_without_status_has_the_zero_status() {
        let status = source::GitRepository::status(&object(json!({}))).unwrap();
        assert!(status.artifact.is_none() && status.observed_generation == 0);
    }
}

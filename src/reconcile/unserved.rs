//! Kinds of Flux and External Secrets that an unmodified repository may hold and Lockstep does not reconcile yet: their
//! objects say so, where they have conditions. Kinds that nobody reconciles (providers, generators) say nothing.
//!
//! **Not alone.** Flux's image or notification controllers may run beside Lockstep. They get time to answer first, and an
//! object that somebody else has answered is left alone.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use manifest::Object;
use serde_json::{Value, json};

use super::{Error, Key, Shared, Told};
use crate::api::condition::{Conditions, READY, reason};
use crate::status::{Event, Moment, Next, external};

/// How long another controller has to answer first.
const GRACE: Duration = Duration::from_secs(10);

/// A kind that is only watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Unserved {
    /// `kind` as objects carry it.
    pub kind: &'static str,
    /// `apiVersion` of the stored version.
    pub api_version: &'static str,
    /// The controller of the original.
    pub controller: &'static str,
    /// Whether its objects lie in namespaces.
    pub is_namespaced: bool,
}

const fn flux(kind: &'static str, api_version: &'static str, controller: &'static str) -> Unserved {
    Unserved { kind, api_version, controller, is_namespaced: true }
}

const fn external_secrets(kind: &'static str, api_version: &'static str, is_namespaced: bool) -> Unserved {
    Unserved { kind, api_version, controller: "external-secrets", is_namespaced }
}

/// All of them.
pub(super) const ALL: [Unserved; 11] = [
    flux("ArtifactGenerator", "source.extensions.fluxcd.io/v1beta1", "source-watcher"),
    flux("Bucket", "source.toolkit.fluxcd.io/v1", "source-controller"),
    flux("HelmChart", "source.toolkit.fluxcd.io/v1", "source-controller"),
    flux("OCIRepository", "source.toolkit.fluxcd.io/v1", "source-controller"),
    flux("ImagePolicy", "image.toolkit.fluxcd.io/v1", "image-reflector-controller"),
    flux("ImageRepository", "image.toolkit.fluxcd.io/v1", "image-reflector-controller"),
    flux("ImageUpdateAutomation", "image.toolkit.fluxcd.io/v1", "image-automation-controller"),
    flux("Receiver", "notification.toolkit.fluxcd.io/v1", "notification-controller"),
    external_secrets("ClusterExternalSecret", "external-secrets.io/v1", false),
    external_secrets("ClusterPushSecret", "external-secrets.io/v1alpha1", false),
    external_secrets("PushSecret", "external-secrets.io/v1alpha1", true),
];

/// Says that nobody works on the object.
///
/// # Errors
/// Never now; everything is told.
pub(super) async fn reconcile(key: &Key, object: &Object, _: &Arc<Shared>) -> Result<Told, Error> {
    let now = Timestamp::now();
    let status = object.value().get("status").cloned().unwrap_or(json!({}));
    let read = status.get("conditions").map(|conditions| serde_json::from_value::<Conditions>(conditions.clone()));
    // Conditions of a form that we cannot read are somebody else's.
    let Some(mut conditions) = read.map_or(Some(Conditions::default()), Result::ok) else {
        return Ok(Told::nothing(Next::OnEvent));
    };
    let is_answered = conditions.get(READY).is_some_and(|ready| ready.reason != reason::UNSUPPORTED);
    if object.is_terminating() || is_answered || object.value().pointer("/spec/suspend") == Some(&Value::Bool(true)) {
        return Ok(Told::nothing(Next::OnEvent));
    }
    let age = age(object, now);
    if age < GRACE {
        return Ok(Told::nothing(Next::After(GRACE - age)));
    }
    let event = tell(key, &mut conditions, Moment { generation: object.generation(), now });
    let mut told = status;
    told["conditions"] = serde_json::to_value(&conditions).unwrap_or_default();
    Ok(Told { status: Some(told), events: event.into_iter().collect(), next: Next::OnEvent })
}

/// In the form of the kind's own controller.
fn tell(key: &Key, conditions: &mut Conditions, moment: Moment) -> Option<Event> {
    let message = format!("not supported yet: lockstep does not reconcile {} objects", key.kind.name());
    if key.kind.controller() == "external-secrets" {
        return external::not_ready(conditions, reason::UNSUPPORTED, &message, moment.now);
    }
    let is_news = conditions.get(READY).is_none();
    moment.stalled(conditions, reason::UNSUPPORTED, &message);
    is_news.then(|| Event::warning(reason::UNSUPPORTED, message))
}

fn age(object: &Object, now: Timestamp) -> Duration {
    let created = object.text("/metadata/creationTimestamp").and_then(|text| text.parse::<Timestamp>().ok());
    let age = created.map(|created| now.duration_since(created));
    age.and_then(|age| Duration::try_from(age).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::schema;

    /// A definition's scope and stored version, and whether its objects have conditions.
    fn facts(kind: &str) -> (bool, String, bool) {
        let marker = format!("    kind: {kind}\n");
        let schema = schema::ALL.iter().find(|schema| schema.text.contains(&marker)).expect("it is defined");
        let value: Value = yaml::from_str(schema.text).expect("it is YAML");
        let versions = value["spec"]["versions"].as_array().expect("a list");
        let stored = versions.iter().find(|version| version["storage"] == true).expect("one is stored");
        let version = format!("{}/{}", value["spec"]["group"].as_str().unwrap(), stored["name"].as_str().unwrap());
        let conditions = stored.pointer("/schema/openAPIV3Schema/properties/status/properties/conditions");
        (value["spec"]["scope"] == "Namespaced", version, conditions.is_some())
    }

    #[test]
    fn the_table_is_what_the_definitions_say() {
        for unserved in ALL {
            let (is_namespaced, version, has_conditions) = facts(unserved.kind);
            assert_eq!((unserved.is_namespaced, unserved.api_version), (is_namespaced, version.as_str()));
            assert!(has_conditions, "{}", unserved.kind);
        }
    }
}

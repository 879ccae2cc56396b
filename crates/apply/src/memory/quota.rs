//! Quota on the number of objects (`ResourceQuota`), as the admission plugin of the API server counts it.
//!
//! Only numbers of objects are counted: there are no pods that could request CPU or storage.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::kinds::Kind;
use super::store::{Place, State, is_terminating};
use super::words;
use crate::ClusterError;

/// Kinds that have a name of their own in a quota, besides `count/<resource>`.
const NAMED: [&str; 6] =
    ["pods", "services", "replicationcontrollers", "resourcequotas", "secrets", "persistentvolumeclaims"];

impl State {
    /// Whether one more object fits into its namespace.
    ///
    /// # Errors
    /// That it does not, in the server's words. Something else may go: it is not possible now.
    pub(super) fn check_quota(&self, kind: &Kind, id: &manifest::ObjectId) -> Result<(), ClusterError> {
        for (place, quota) in self.of_kind("", "ResourceQuota", Some(&id.namespace)) {
            let used = self.count(kind, &id.namespace);
            let exceeded = |(resource, limit): &(String, u64)| counts(resource, kind) && used + 1 > *limit;
            let exceeded: Vec<(String, u64)> = limits(quota).into_iter().filter(exceeded).collect();
            if exceeded.is_empty() {
                continue;
            }
            let list = |number: &dyn Fn(u64) -> u64| {
                let texts = exceeded.iter().map(|(resource, limit)| format!("{resource}={}", number(*limit)));
                texts.collect::<Vec<_>>().join(",")
            };
            let message = format!(
                "{} {:?} is forbidden: exceeded quota: {}, requested: {}, used: {}, limited: {}",
                kind.resource(),
                id.name,
                place.name,
                list(&|_| 1),
                list(&|_| used),
                list(&|limit| limit)
            );
            let id = words::id(kind, &id.namespace, &id.name);
            return Err(ClusterError::Unavailable { id: Some(id), message, retry_after: None });
        }
        Ok(())
    }

    fn count(&self, kind: &Kind, namespace: &str) -> u64 {
        self.of_kind(&kind.gvk.group, &kind.gvk.kind, Some(namespace)).count() as u64
    }

    /// Says in a quota's status what it limits; admission goes by that.
    pub(super) fn publish_quota(&mut self, place: &Place, value: &Value) {
        let hard = value.pointer("/spec/hard").cloned().unwrap_or_else(|| Value::Object(Map::new()));
        let is_said = value.pointer("/status/hard") == Some(&hard);
        if is_said || is_terminating(value) {
            return;
        }
        let used: BTreeMap<String, String> =
            limits(value).into_iter().map(|(name, _)| (name, "0".to_owned())).collect();
        let mut new = value.clone();
        new["status"] = json!({ "hard": hard, "used": used });
        self.put(place, new);
    }
}

/// What a quota limits, and how far, in order of name.
fn limits(quota: &Value) -> Vec<(String, u64)> {
    let hard = quota.pointer("/spec/hard").and_then(Value::as_object);
    let limit = |(name, value): (&String, &Value)| {
        let limit = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
        Some((name.clone(), limit))
    };
    let mut limits: Vec<(String, u64)> = hard.into_iter().flatten().filter_map(limit).collect();
    limits.sort();
    limits
}

/// Whether an entry of a quota is about a kind.
fn counts(resource: &str, kind: &Kind) -> bool {
    match resource.strip_prefix("count/") {
        Some(counted) => counted == kind.resource(),
        None => NAMED.contains(&resource) && kind.gvk.group.is_empty() && resource == kind.plural,
    }
}

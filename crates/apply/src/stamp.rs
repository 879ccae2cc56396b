//! The stamp that restarts pods when a Secret that they read gets other bytes (landing.md section 7).
//!
//! **Guarantees.** A workload's stamp changes exactly when the bytes of a Secret that it read before, and still reads,
//! change. Adoption restarts nothing: the first bytes that are seen are the baseline, and no stamp is written for them.
//!
//! **Caveat.** A Secret of another unit counts as it is in the cluster when the unit lands.

use std::collections::{BTreeMap, BTreeSet};

use manifest::{Object, ObjectId};
use serde_json::Value;

use crate::reads::{self, Keys};

/// Annotation on the pod template.
pub const ANNOTATION: &str = "lockstep.dev/secrets";

/// What was known of a workload's secrets when it landed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Secret name to the seal of the bytes that the workload reads of it.
    pub seals: BTreeMap<String, String>,
    /// The annotation's value; `None` until the first change after adoption.
    pub value: Option<String>,
}

/// Makes a short text of bytes that tells nothing about them: an HMAC with a key of the cluster.
pub type Seal<'a> = &'a (dyn Fn(&[u8]) -> String + Send + Sync);

/// The secrets of a candidate by namespace and name.
pub struct Secrets<'a> {
    by_name: BTreeMap<(&'a str, &'a str), &'a Object>,
    seal: Seal<'a>,
}

impl<'a> Secrets<'a> {
    /// Takes the Secrets among `objects`.
    pub fn of(objects: impl Iterator<Item = &'a Object>, seal: Seal<'a>) -> Self {
        let by_name = objects.filter(|o| o.is_secret()).map(|o| ((o.namespace(), o.name()), o)).collect();
        Self { by_name, seal }
    }

    /// The stamp that `workload` should have, given what was known when it last landed and the annotation that it
    /// carries in the cluster. `None` for an object that reads no Secret of the candidate.
    pub fn stamp(&self, workload: &Object, before: Option<&Stamp>, live: Option<&Object>) -> Option<Stamp> {
        let mut seals = self.seals(workload);
        let Some(before) = before else {
            return (!seals.is_empty()).then(|| Stamp { seals, value: live.and_then(current) });
        };
        // One that is not known this time is not forgotten, as long as it is read.
        let read = reads::secrets(workload);
        for (name, seal) in before.seals.iter().filter(|(name, _)| read.contains_key(*name)) {
            seals.entry(name.clone()).or_insert_with(|| seal.clone());
        }
        if seals.is_empty() {
            return None;
        }
        let changed = seals.iter().any(|(name, seal)| before.seals.get(name).is_some_and(|old| old != seal));
        let value = if changed { Some((self.seal)(joined(&seals).as_bytes())) } else { before.value.clone() };
        Some(Stamp { seals, value })
    }

    /// The stamp that a workload of others will want when these Secrets are live, and which of them change for it;
    /// `None` when none of what it read before changes.
    pub fn restamp(&self, workload: &Object, before: &Stamp) -> Option<(BTreeSet<String>, String)> {
        let now = self.seals(workload);
        let is_changed = |name: &&String| before.seals.get(*name).is_some_and(|old| now.get(*name) != Some(old));
        let changed: BTreeSet<String> = now.keys().filter(is_changed).cloned().collect();
        if changed.is_empty() {
            return None;
        }
        let seals: BTreeMap<String, String> = before.seals.clone().into_iter().chain(now).collect();
        Some((changed, (self.seal)(joined(&seals).as_bytes())))
    }

    fn seals(&self, workload: &Object) -> BTreeMap<String, String> {
        let found = reads::secrets(workload).into_iter().filter_map(|(name, keys)| {
            let secret = self.by_name.get(&(workload.namespace(), name.as_str()))?;
            let seal = (self.seal)(&bytes_read(secret, &keys));
            Some((name, seal))
        });
        found.collect()
    }
}

/// Writes the annotation into the pod template.
pub fn write(workload: &mut Object, value: &str) {
    let Some(template) = reads::pod_template(workload).and_then(|at| workload.value_mut().pointer_mut(at)) else {
        return;
    };
    let mut at = template;
    for field in ["metadata", "annotations"] {
        let child = &mut at[field];
        if !child.is_object() {
            *child = Value::Object(serde_json::Map::new());
        }
        at = child;
    }
    at[ANNOTATION] = value.into();
}

/// The annotation as it stands.
pub fn current(workload: &Object) -> Option<String> {
    let template = workload.value().pointer(reads::pod_template(workload)?)?;
    Some(template.get("metadata")?.get("annotations")?.get(ANNOTATION)?.as_str()?.to_owned())
}

fn joined(seals: &BTreeMap<String, String>) -> String {
    seals.iter().map(|(name, seal)| format!("{name}={seal}\n")).collect()
}

/// An unambiguous form of the keys and bytes that are read; `stringData` wins over `data`, as in the API server.
pub(crate) fn bytes_read(secret: &Object, keys: &Keys) -> Vec<u8> {
    let mut values: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    for (field, is_encoded) in [("data", true), ("stringData", false)] {
        for (key, value) in secret.value().get(field).and_then(Value::as_object).into_iter().flatten() {
            let text = value.as_str().unwrap_or_default();
            values.insert(key, if is_encoded { decoded(text) } else { text.as_bytes().to_vec() });
        }
    }
    if let Keys::Some(wanted) = keys {
        values.retain(|key, _| wanted.contains(*key));
    }
    let mut all = Vec::new();
    for (key, bytes) in values {
        all.extend_from_slice(format!("{}:{key}{}:", key.len(), bytes.len()).as_bytes());
        all.extend_from_slice(&bytes);
    }
    all
}

/// Base64 decoded; text that is no base64 counts as it is, since the server will refuse it anyway.
fn decoded(text: &str) -> Vec<u8> {
    manifest::decoded(text).unwrap_or_else(|_| text.as_bytes().to_vec())
}

/// Stamps by workload, as journaled with a landing.
pub type Stamps = BTreeMap<ObjectId, Stamp>;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn secret(value: &str) -> Object {
        let value = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "n"},
            "stringData": {"used": value, "unused": "x"}});
        Object::new(value).unwrap()
    }

    fn workload() -> Object {
        let value = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "n"},
            "spec": {"template": {"spec": {"containers": [{"name": "c",
                "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "used"}}}]}]}}}});
        Object::new(value).unwrap()
    }

    fn stamp(secret: &Object, before: Option<&Stamp>, live: Option<&Object>) -> Stamp {
        let seal = |bytes: &[u8]| format!("<{}>", String::from_utf8_lossy(bytes));
        Secrets::of(std::iter::once(secret), &seal).stamp(&workload(), before, live).unwrap()
    }

    #[test]
    fn adoption_is_the_baseline_and_the_first_change_stamps() {
        let first = stamp(&secret("one"), None, None);
        assert_eq!(first.value, None);
        assert_eq!(stamp(&secret("one"), Some(&first), None).value, None);
        let second = stamp(&secret("two"), Some(&first), None);
        assert!(second.value.is_some());
        assert_eq!(stamp(&secret("two"), Some(&second), None), second);
    }

    #[test]
    fn a_secret_that_is_not_known_this_time_stays_the_baseline() {
        let first = stamp(&secret("one"), None, None);
        let seal = |bytes: &[u8]| format!("<{}>", String::from_utf8_lossy(bytes));
        let blind = Secrets::of(std::iter::empty(), &seal).stamp(&workload(), Some(&first), None).unwrap();
        assert_eq!(blind, first);
        assert!(stamp(&secret("two"), Some(&blind), None).value.is_some());
    }

    #[test]
    fn a_workload_of_others_gets_the_stamp_that_its_own_unit_will_want() {
        let seal = |bytes: &[u8]| format!("<{}>", String::from_utf8_lossy(bytes));
        let first = stamp(&secret("one"), None, None);
        let two = secret("two");
        let rotated = Secrets::of(std::iter::once(&two), &seal);
        let (changed, value) = rotated.restamp(&workload(), &first).unwrap();
        assert_eq!(changed, ["s".to_owned()].into());
        let own = stamp(&two, Some(&first), None);
        assert_eq!(own.value, Some(value));
        assert_eq!(rotated.restamp(&workload(), &own), None);
    }

    #[test]
    fn the_same_bytes_in_data_and_string_data_are_the_same() {
        let first = stamp(&secret("one"), None, None);
        let mut encoded = secret("other");
        encoded.value_mut()["data"] = json!({"used": "b25l"});
        encoded.value_mut()["stringData"] = json!({"unused": "changed, but nobody reads it"});
        assert_eq!(stamp(&encoded, Some(&first), None), first);
        encoded.value_mut()["data"] = json!({"used": "b25\nl\n"});
        assert_eq!(stamp(&encoded, Some(&first), None), first, "kustomize breaks lines");
    }

    #[test]
    fn a_stamp_that_is_live_stays_when_nothing_is_known_of_before() {
        let mut live = workload();
        write(&mut live, "kept");
        assert_eq!(stamp(&secret("one"), None, Some(&live)).value.as_deref(), Some("kept"));
    }
}

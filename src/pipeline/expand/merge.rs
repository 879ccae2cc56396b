//! An ExternalSecret with creation policy Merge whose Secret the same unit declares, by a manifest, a chart or another
//! ExternalSecret: both land as one object.
//!
//! On their own they would be two objects of one name. What the store gives counts before what is declared, as External
//! Secrets writes it over what it finds. What had landed stays while the store is in doubt.

use std::collections::BTreeSet;

use apply::desired::Desired;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use manifest::Object;
use serde_json::{Map, Value};

use super::doubt::Standing;
use super::{Expanded, Work};
use crate::api::Kind as _;
use crate::api::secret::{CreationPolicy, ExternalSecret};
use crate::resolve::target;

/// What comes to a Secret. No `Debug`: it holds plaintext.
pub(super) struct Addition {
    object: Object,
    /// What counts before what is declared; the rest only fills in what is not there.
    wins: Wins,
    /// The Secret as it is applied when nothing of the unit declares it.
    alone: Option<Desired>,
}

enum Wins {
    All,
    /// These keys.
    Only(BTreeSet<String>),
}

/// Whether an ExternalSecret adds to a Secret of somebody else.
pub fn merges(external: &Object) -> bool {
    ExternalSecret::spec(external).is_ok_and(|spec| spec.target.creation_policy == CreationPolicy::Merge)
}

impl Work<'_> {
    /// The Secret that an ExternalSecret merges into, as the cluster will have it, if the unit declares it.
    pub(super) fn declared_live(&self, external: &Object) -> Option<Object> {
        let target = self.known.get(&target::reference(external).id());
        let mut declared = target.filter(|_| merges(external))?.clone();
        let clear = texts(&declared, "/stringData").collect::<Vec<_>>();
        let parts = declared.value_mut().as_object_mut()?;
        clear.iter().for_each(|(key, text)| put(parts, key, &Value::String(STANDARD.encode(text))));
        Some(declared)
    }

    /// Keeps what landed last of an ExternalSecret whose store is in doubt.
    pub(super) fn stay(&mut self, at: &Standing<'_>, expanded: &mut Expanded) {
        let alone = self.landed_secret(at);
        if let Some(alone) = &alone {
            self.known.insert(alone.object.id(), alone.object.clone());
        }
        if !merges(at.external) {
            expanded.objects.extend(alone);
            return;
        }
        let id = target::reference(at.external).id();
        let landed = self.landed.into_iter().flat_map(|landed| landed.changes());
        let object = landed.map(|change| &change.desired.object).find(|object| object.id() == id).cloned();
        let wins = Wins::Only(target::named_keys(at.external));
        expanded.additions.extend(object.map(|object| Addition { object, wins, alone }));
    }
}

impl Expanded {
    /// Brings what merges to the Secrets that are declared: to `own`, the unit's objects, to those of its other
    /// ExternalSecrets, and to those of its releases.
    pub fn merge(&mut self, own: &mut [Desired]) {
        for addition in std::mem::take(&mut self.additions) {
            let charts = self.releases.iter_mut().flat_map(|release| &mut release.objects);
            let mut all = own.iter_mut().chain(&mut self.objects).chain(charts);
            match all.find(|desired| desired.object.id() == addition.object.id()) {
                Some(declared) => addition.add_to(declared),
                None => self.objects.extend(addition.alone),
            }
        }
    }
}

impl Addition {
    /// What a store gives.
    pub(super) fn resolved(alone: Desired) -> Self {
        Self { object: alone.object.clone(), wins: Wins::All, alone: Some(alone) }
    }

    /// Adds it to the Secret that the unit declares.
    fn add_to(&self, desired: &mut Desired) {
        let object = &mut desired.object;
        let wins = |key: &str| match &self.wins {
            Wins::All => true,
            Wins::Only(keys) => keys.contains(key),
        };
        for (key, value) in entries(&self.object, "/data") {
            let declared = ["/data", "/stringData"].map(|at| entries(object, at).contains_key(&key));
            if wins(&key) || declared == [false, false] {
                let parts = object.value_mut().as_object_mut();
                parts.into_iter().for_each(|parts| put(parts, &key, &value));
            }
        }
        let wins = matches!(self.wins, Wins::All);
        for (key, value) in texts(&self.object, "/metadata/labels") {
            if wins || object.label(&key).is_none() {
                object.set_label(&key, &value);
            }
        }
        for (key, value) in texts(&self.object, "/metadata/annotations") {
            if wins || object.annotation(&key).is_none() {
                object.set_annotation(&key, &value);
            }
        }
    }
}

/// Puts an encoded value into a Secret, in the place of one that it declares in clear.
fn put(parts: &mut Map<String, Value>, key: &str, value: &Value) {
    if let Some(Value::Object(clear)) = parts.get_mut("stringData") {
        clear.remove(key);
    }
    let data = parts.entry("data").or_insert(Value::Null);
    if data.is_null() {
        *data = Value::Object(Map::new());
    }
    if let Value::Object(data) = data {
        data.insert(key.to_owned(), value.clone());
    }
}

fn entries(object: &Object, at: &str) -> Map<String, Value> {
    object.value().pointer(at).and_then(Value::as_object).cloned().unwrap_or_default()
}

fn texts(object: &Object, at: &str) -> impl Iterator<Item = (String, String)> {
    entries(object, at).into_iter().filter_map(|(key, value)| Some((key, value.as_str()?.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn merged(wins: Wins, declared: Value) -> Value {
        let object = json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "s", "labels": {"l": "store"}, "annotations": {"hash": "1"}}, "data": {"k": "c3RvcmU="}});
        let addition = Addition { object: Object::new(object).expect("an object"), wins, alone: None };
        let mut desired = Desired::new(Object::new(declared).expect("an object"), "manager");
        addition.add_to(&mut desired);
        desired.object.value().clone()
    }

    fn declared() -> Value {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "labels": {"l": "own"}},
            "stringData": {"k": "own", "other": "own"}})
    }

    #[test]
    fn what_a_store_gives_counts_before_what_is_declared() {
        let object = merged(Wins::All, declared());
        assert_eq!(object["data"], json!({"k": "c3RvcmU="}));
        assert_eq!(object["stringData"], json!({"other": "own"}));
        assert_eq!(object["metadata"]["labels"]["l"], "store");
    }

    #[test]
    fn what_merges_comes_to_a_secret_that_another_external_secret_makes_or_stands_alone() {
        let secret = |key: &str| {
            let object =
                json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {key: "eA=="}});
            Desired::new(Object::new(object).expect("an object"), "manager")
        };
        let mut expanded = Expanded { objects: vec![secret("a")], ..Expanded::default() };
        expanded.additions.push(Addition::resolved(secret("b")));
        expanded.merge(&mut []);
        assert_eq!(expanded.objects.len(), 1);
        assert_eq!(expanded.objects[0].object.value()["data"], json!({"a": "eA==", "b": "eA=="}));
        let mut expanded = Expanded::default();
        expanded.additions.push(Addition::resolved(secret("b")));
        expanded.merge(&mut []);
        assert_eq!(expanded.objects[0].object.value()["data"], json!({"b": "eA=="}));
    }

    #[test]
    fn what_had_landed_only_fills_in() {
        let object = merged(Wins::Only(BTreeSet::new()), declared());
        assert_eq!((&object["data"], &object["stringData"]["k"]), (&Value::Null, &json!("own")));
        assert_eq!(object["metadata"], json!({"name": "s", "labels": {"l": "own"}, "annotations": {"hash": "1"}}));
        // A placeholder does not come in the place of what the store had given.
        let object = merged(Wins::Only(["k".to_owned()].into()), declared());
        assert_eq!(object["data"], json!({"k": "c3RvcmU="}));
        let bare = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
        assert_eq!(merged(Wins::Only(BTreeSet::new()), bare)["data"], json!({"k": "c3RvcmU="}));
    }
}

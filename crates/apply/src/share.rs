//! Objects that several units declare, such as the Namespace that every app of a team brings along.
//!
//! One unit **owns** such an object: its labels say which. It applies it as if nobody else did. The others **share** it: each
//! applies, under a field manager of its own, what it declares beyond the owner, and gives that up when it declares it no
//! more. Where both name a field, the owner's value stands.
//!
//! **Guarantees.** Nobody deletes what another unit holds. An owner that gives an object up leaves it to those who share
//! it. No two units write the same field against each other.

use std::collections::BTreeMap;
use std::time::Duration;

use manifest::{Object, ObjectId};
use serde_json::{Map, Value, json};

use crate::cleanup::is_apply_of;
use crate::cluster::{Call, ClusterError, Reference};
use crate::context::Context;
use crate::desired::{Behaviour, Declarer, Desired};

/// Labels by which a unit says that it owns an object.
pub type OwnerLabels = Vec<(String, String)>;

/// What other units hold.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    holders: BTreeMap<ObjectId, Vec<OwnerLabels>>,
}

impl Claims {
    /// The unit of these labels holds an object.
    pub fn note(&mut self, id: ObjectId, holder: OwnerLabels) {
        self.holders.entry(id).or_default().push(holder);
    }

    /// Whether another unit holds an object.
    pub fn hold(&self, id: &ObjectId) -> bool {
        self.holders.contains_key(id)
    }

    /// Whether a live object is owned by another unit that holds it.
    fn own(&self, live: &Object) -> bool {
        let is_owner = |labels: &OwnerLabels| {
            !labels.is_empty() && labels.iter().all(|(key, value)| live.label(key) == Some(value.as_str()))
        };
        self.holders.get(&live.id()).is_some_and(|holders| holders.iter().any(is_owner))
    }

    /// Whether `desired` is owned by another unit, so that it can only be shared.
    pub(crate) fn own_what_is_wanted(&self, desired: &Desired, live: &Object) -> bool {
        desired.declarer == Declarer::Unit && self.own(live)
    }
}

/// To whom an object belongs that a landing is about to delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// To no other unit.
    Nobodys,
    /// To another unit: it stays.
    Theirs,
    /// Nobody knows yet, since units have not been looked at that may declare it: it stays for now.
    Unsure,
}

/// What other units hold or are about to hold, at the moment of asking.
pub trait Others: Send + Sync {
    /// To whom an object belongs.
    fn ruling(&self, at: &Reference) -> Ruling;
}

/// There are no other units.
pub struct Alone;

impl Others for Alone {
    fn ruling(&self, _: &Reference) -> Ruling {
        Ruling::Nobodys
    }
}

/// What a unit applies of an object that another unit owns.
pub(crate) fn shared(mut desired: Desired, live: &Object, behaviour: &Behaviour) -> Desired {
    let metadata = desired.object.metadata();
    if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
        behaviour.owner_labels.iter().for_each(|(key, _)| drop(labels.remove(key)));
    }
    if let Some(fields) = fields_of(live, &desired.manager) {
        give_way(fields, desired.object.value_mut(), live.value());
    }
    Desired { manager: behaviour.sharer.clone(), shared: true, force: false, ..desired }
}

/// Whether a unit has added something to an object that another one owns.
pub(crate) fn is_shared_by(live: &Object, sharer: &str) -> bool {
    fields_of(live, sharer).is_some()
}

/// Gives up what a unit has added to an object that another one owns.
pub(crate) async fn release(
    live: &Object,
    sharer: &str,
    ctx: &Context<'_>,
    deadline: Duration,
) -> Result<(), ClusterError> {
    let at = Reference::of(live);
    let mut metadata = json!({ "name": at.name, "uid": live.uid() });
    if !at.namespace.is_empty() {
        metadata["namespace"] = at.namespace.as_str().into();
    }
    let nothing = json!({ "apiVersion": at.gvk.api_version(), "kind": at.gvk.kind, "metadata": metadata });
    let Ok(object) = Object::new(nothing) else { return Ok(()) };
    let manager = sharer.to_owned();
    let call = Call::Apply { object, manager, force: true, dry_run: false, subresource: None };
    match ctx.send(call, deadline).await {
        // It is gone, and what stands there now has nothing of ours.
        Err(ClusterError::NotFound { .. } | ClusterError::Conflict { .. }) => Ok(()),
        other => other.map(drop),
    }
}

/// The fields that a manager has applied, in the form of `fieldsV1`.
fn fields_of<'a>(live: &'a Object, manager: &str) -> Option<&'a Map<String, Value>> {
    let entries = live.value().pointer("/metadata/managedFields").and_then(Value::as_array)?;
    entries.iter().find(|entry| is_apply_of(entry, manager))?.get("fieldsV1")?.as_object()
}

/// Takes out of `declared` what `fields` name and `live` has with another value.
fn give_way(fields: &Map<String, Value>, declared: &mut Value, live: &Value) {
    for (part, below) in fields {
        let below = below.as_object().filter(|below| !below.is_empty());
        match part.split_once(':') {
            Some(("f", name)) => give_way_of_field(name, below, declared, live),
            Some(("k", keys)) => {
                let (Some(below), Ok(keys)) = (below, serde_json::from_str::<Map<String, Value>>(keys)) else {
                    continue;
                };
                let is_meant =
                    |item: &Value| keys.iter().all(|(key, value)| item.get(key).is_none_or(|own| own == value));
                let ours = declared.as_array_mut().and_then(|items| items.iter_mut().find(|item| is_meant(item)));
                let theirs = live.as_array().and_then(|items| items.iter().find(|item| is_meant(item)));
                if let (Some(ours), Some(theirs)) = (ours, theirs) {
                    give_way(below, ours, theirs);
                }
            }
            // An element of a set is there or not; and the parent itself has no value.
            _ => {}
        }
    }
}

fn give_way_of_field(name: &str, below: Option<&Map<String, Value>>, declared: &mut Value, live: &Value) {
    let (Some(ours), Some(theirs)) = (declared.get_mut(name), live.get(name)) else { return };
    match below {
        Some(below) => give_way(below, ours, theirs),
        None if ours != theirs => {
            if let Some(map) = declared.as_object_mut() {
                map.remove(name);
            }
        }
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Object {
        Object::new(value).unwrap()
    }

    #[test]
    fn the_owners_values_stand_and_all_else_is_shared() {
        let live = object(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": "s", "namespace": "n", "labels": { "unit": "a", "team": "one" },
                "managedFields": [{
                    "manager": "us", "operation": "Apply", "fieldsV1": {
                        "f:metadata": { "f:labels": { "f:unit": {}, "f:team": {} } },
                        "f:spec": { "f:ports": { "k:{\"port\":80,\"protocol\":\"TCP\"}": { ".": {}, "f:port": {}, "f:targetPort": {} } } },
                    },
                }],
            },
            "spec": { "ports": [{ "port": 80, "protocol": "TCP", "targetPort": 8080 }] },
        }));
        let wanted = object(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": "s", "namespace": "n", "labels": { "unit": "b", "team": "two", "zone": "x" } },
            "spec": { "type": "ClusterIP", "ports": [{ "port": 80, "targetPort": 9090 }, { "port": 81 }] },
        }));
        let behaviour = Behaviour {
            owner_labels: vec![("unit".into(), "b".into())],
            sharer: "us (b)".into(),
            ..Behaviour::default()
        };
        let shared = shared(Desired::new(wanted, "us"), &live, &behaviour);
        assert_eq!((shared.manager.as_str(), shared.shared), ("us (b)", true));
        let expected = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": "s", "namespace": "n", "labels": { "zone": "x" } },
            "spec": { "type": "ClusterIP", "ports": [{ "port": 80 }, { "port": 81 }] },
        });
        assert_eq!(*shared.object.value(), expected);
    }
}

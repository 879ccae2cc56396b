//! What the control plane does by itself: serves new kinds, collects what nobody owns, empties namespaces.
//!
//! A real control plane does it a moment later; here it is done when the call returns, so that a test sees one outcome.

use serde_json::{Value, json};

use super::kinds::GroupKind;
use super::managed::{Part, Writer};
use super::store::{Change, Place, State, finalizers, is_terminating, owners, text, uid};
use super::write::set_or_remove;
use crate::cluster::Propagation;

const DEFINITION: (&str, &str) = ("apiextensions.k8s.io", "CustomResourceDefinition");
/// Finalizer of what waits for its dependents to go.
const FOREGROUND: &str = "foregroundDeletion";
const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

impl State {
    /// Works off all changes that were made since, and those that come of it.
    pub(super) fn settle(&mut self) {
        while let Some(change) = self.unseen.pop_front() {
            self.react(&change);
            self.simulate_change(&change);
        }
    }

    fn react(&mut self, change: &Change) {
        match (&change.before, &change.after) {
            (Some(before), None) => {
                self.collect_dependents(uid(before));
                self.release_owners(before);
                self.conclude(&change.place, before);
            }
            (before, Some(after)) => {
                self.keep_in_order(&change.place);
                if let Some(before) = before.as_ref().filter(|before| owners(before).ne(owners(after))) {
                    self.release_owners(before);
                }
            }
            (None, None) => {}
        }
    }

    /// Looks at an object as it is now.
    fn keep_in_order(&mut self, place: &Place) {
        let Some(value) = self.get(place).cloned() else { return };
        if place.is(DEFINITION.0, DEFINITION.1) {
            self.serve(place, &value);
        }
        if place.is("", "ResourceQuota") {
            self.publish_quota(place, &value);
        }
        if is_terminating(&value) {
            self.let_go(place, &value);
        } else {
            self.collect(place, &value);
        }
    }

    /// Deletes what nobody owns any more. What has an owner that stays loses its references to those that are gone, or that
    /// wait for what they own to go.
    fn collect(&mut self, place: &Place, value: &Value) {
        let stays = |owner: &str| {
            let live = self.by_uid(owner).and_then(|place| self.get(place));
            live.is_some_and(|live| !(is_terminating(live) && finalizers(live).any(|name| name == FOREGROUND)))
        };
        let (staying, going): (Vec<&str>, Vec<&str>) = owners(value).partition(|owner| stays(owner));
        if is_terminating(value) || going.is_empty() {
            return;
        }
        if staying.is_empty() {
            let is_awaited = going.iter().any(|owner| self.by_uid(owner).is_some());
            let is_owner = !self.owned_by(uid(value)).is_empty();
            self.erase_place(
                place,
                if is_awaited && is_owner { Propagation::Foreground } else { Propagation::Background },
            );
        } else {
            going.into_iter().for_each(|owner| self.drop_reference(place, owner));
        }
    }

    fn erase_place(&mut self, place: &Place, propagation: Propagation) {
        let key: GroupKind = (place.group.clone(), place.kind.clone());
        if let Some(kind) = self.kinds.any(&key) {
            self.erase(&kind, place, propagation);
        }
    }

    fn collect_dependents(&mut self, gone: &str) {
        for place in self.owned_by(gone) {
            if let Some(value) = self.get(&place).cloned() {
                self.collect(&place, &value);
            }
        }
    }

    /// As the garbage collector's own write: whoever had set the reference owns it no more.
    fn drop_reference(&mut self, place: &Place, owner: &str) {
        let key: GroupKind = (place.group.clone(), place.kind.clone());
        let (Some(live), Some(kind)) = (self.get(place).cloned(), self.kinds.any(&key)) else { return };
        let mut new = Value::clone(&live);
        let list = new.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut);
        if let Some(list) = list {
            list.retain(|reference| text(reference, "/uid") != owner);
            if list.is_empty() {
                set_or_remove(&mut new["metadata"], "ownerReferences", None);
            }
        }
        let mut managers = live.managers().clone();
        let (name, api_version, time) = ("kube-controller-manager".into(), kind.gvk.api_version(), self.time());
        let writer = Writer { name, applies: false, api_version, subresource: "", time };
        managers.update(&live, &new, kind.shape(), &writer, Part::Main);
        self.put_managed(place, new, managers);
    }

    /// Owners that wait for their dependents may go when the last is gone.
    fn release_owners(&mut self, dependent: &Value) {
        let waiting: Vec<Place> = owners(dependent).filter_map(|owner| self.by_uid(owner)).cloned().collect();
        for place in waiting {
            self.keep_in_order(&place);
        }
    }

    /// Goes on with a deletion that has begun.
    fn let_go(&mut self, place: &Place, value: &Value) {
        let held: Vec<&str> = finalizers(value).collect();
        if held.contains(&"orphan") {
            for dependent in self.owned_by(uid(value)) {
                self.drop_reference(&dependent, uid(value));
            }
            self.release(place, "orphan");
        } else if held.contains(&FOREGROUND) {
            self.delete_dependents_first(place, value);
        } else if held.contains(&CLEANUP) {
            self.delete_instances_first(place, value);
        } else if place.is("", "Namespace") {
            self.empty_namespace(place);
        }
    }

    /// Those that say so keep their owner.
    fn delete_dependents_first(&mut self, place: &Place, value: &Value) {
        self.collect_dependents(uid(value));
        let blocks = |dependent: &Value| {
            let mut list =
                dependent.pointer("/metadata/ownerReferences").and_then(Value::as_array).into_iter().flatten();
            list.any(|owner| text(owner, "/uid") == uid(value) && owner["blockOwnerDeletion"] == true)
        };
        if !self.owned_by(uid(value)).iter().any(|dependent| self.get(dependent).is_some_and(|live| blocks(live))) {
            self.release(place, FOREGROUND);
        }
    }

    fn delete_instances_first(&mut self, place: &Place, value: &Value) {
        let (group, kind) = (text(value, "/spec/group"), text(value, "/spec/names/kind"));
        let instances =
            |state: &Self| -> Vec<Place> { state.of_kind(group, kind, None).map(|(place, _)| place.clone()).collect() };
        for instance in instances(self) {
            self.erase_place(&instance, Propagation::Background);
        }
        if instances(self).is_empty() {
            self.release(place, CLEANUP);
        }
    }

    /// Takes one finalizer away; the object goes with the last.
    fn release(&mut self, place: &Place, finalizer: &str) {
        let Some(value) = self.get(place).cloned() else { return };
        let left: Vec<&str> = finalizers(&value).filter(|name| *name != finalizer).collect();
        if left.is_empty() && !place.is("", "Namespace") {
            self.remove(place);
        } else {
            let mut new = Value::clone(&value);
            set_or_remove(&mut new["metadata"], "finalizers", (!left.is_empty()).then(|| json!(left)));
            self.put(place, new);
        }
    }

    fn empty_namespace(&mut self, place: &Place) {
        for content in self.within(&place.name) {
            if self.get(&content).is_some_and(|value| !is_terminating(value)) {
                self.erase_place(&content, Propagation::Background);
            }
        }
        let held = self.get(place).is_some_and(|value| finalizers(value).next().is_some());
        if self.within(&place.name).is_empty() && !held {
            self.remove(place);
        }
    }

    /// After an object is gone: its namespace or its definition may have waited for it.
    fn conclude(&mut self, place: &Place, value: &Value) {
        if place.is(DEFINITION.0, DEFINITION.1) {
            self.kinds.undefine(&(text(value, "/spec/group").into(), text(value, "/spec/names/kind").into()));
        }
        if !place.namespace.is_empty() {
            let namespace = Place::namespace_of(&place.namespace);
            if self.get(&namespace).is_some_and(|value| is_terminating(value)) {
                self.keep_in_order(&namespace);
            }
        }
        let definitions: Vec<Place> = self
            .of_kind(DEFINITION.0, DEFINITION.1, None)
            .filter(|(_, value)| is_terminating(value) && text(value, "/spec/names/kind") == place.kind)
            .map(|(place, _)| place.clone())
            .collect();
        for definition in definitions {
            self.keep_in_order(&definition);
        }
    }

    /// Serves what a definition defines, and says so in its status.
    fn serve(&mut self, place: &Place, value: &Value) {
        self.kinds.define(value);
        if is_terminating(value) {
            return;
        }
        let mut new = value.clone();
        let mut names = value.pointer("/spec/names").cloned().unwrap_or_default();
        let kind = text(value, "/spec/names/kind").to_owned();
        for (field, name) in [("listKind", format!("{kind}List")), ("singular", kind.to_lowercase())] {
            if names.get(field).is_none() {
                names[field] = json!(name);
            }
        }
        let versions = value.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten();
        let stored: Vec<&Value> =
            versions.filter(|version| version["storage"] == true).map(|version| &version["name"]).collect();
        let time = value.pointer("/metadata/creationTimestamp").cloned();
        let condition = |name: &str, reason: &str, message: &str| json!({ "type": name, "status": "True", "reason": reason, "message": message, "lastTransitionTime": time });
        new["status"] = json!({
            "acceptedNames": names,
            "conditions": [
                condition("NamesAccepted", "NoConflicts", "no conflicts found"),
                condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
            ],
            "storedVersions": stored,
        });
        let list: Vec<&str> = finalizers(value).filter(|name| *name != CLEANUP).chain([CLEANUP]).collect();
        new["metadata"]["finalizers"] = json!(list);
        if new != *value {
            self.put(place, new);
        }
    }
}

//! What other tools left on an object that a unit takes over: fields that they own, so that they would stay when Git drops
//! them, and metadata of their own. Undone right before the apply, as Flux does it (fluxcd/pkg/ssa `cleanupMetadata`).
//!
//! **Guarantees.** Their fields become ours, so that the apply that follows removes what Git does not declare. Nothing
//! else changes by it, and afterwards nothing is left to undo. Only what was read is patched: a write in between is read
//! first.

use std::collections::BTreeSet;

use manifest::Object;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::cluster::{Call, ClusterError, PatchKind};
use crate::context::Context;
use crate::desired::{Declarer, Desired, Policy};

/// What is undone on the objects of a unit's own manifests; by default nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleanup {
    /// Field managers whose fields are taken over.
    pub managers: Vec<Manager>,
    /// Annotations that are removed, unless the object is declared with them.
    pub annotations: Vec<String>,
    /// Labels that are removed, likewise.
    pub labels: Vec<String>,
    /// Labels and annotations that keep a live object from being touched, values in any case.
    pub except: Vec<(String, String)>,
    /// Groups and kinds of objects that people ask something by annotations: managers that wrote no more than those keep
    /// them. Taken back by the landing that answers, the question would look as if nobody had asked.
    pub asked: Vec<(String, String)>,
}

/// Field managers that are undone. What they wrote through a subresource stays theirs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manager {
    /// How their names begin.
    pub prefix: String,
    /// Their server-side applies, or their other writes.
    pub applies: bool,
}

impl Cleanup {
    /// The merge patch for `live` as it was read, or `None` where nothing is to be undone.
    pub(crate) fn patch(&self, live: &Object, desired: &Desired) -> Option<Value> {
        let is_ours = desired.declarer == Declarer::Unit && desired.policy == Policy::Override && !desired.shared;
        if !is_ours || self.except.iter().any(|(key, value)| says(live, key, value)) {
            return None;
        }
        let mut metadata = Map::new();
        let annotations = leftovers(&self.annotations, |key| {
            live.annotation(key).is_some() && desired.object.annotation(key).is_none()
        });
        let labels = leftovers(&self.labels, |key| live.label(key).is_some() && desired.object.label(key).is_none());
        metadata.extend(annotations.map(|keys| ("annotations".to_owned(), keys)));
        metadata.extend(labels.map(|keys| ("labels".to_owned(), keys)));
        metadata.extend(self.taken_over(live, &desired.manager).map(|list| ("managedFields".to_owned(), list)));
        if metadata.is_empty() {
            return None;
        }
        metadata.insert("resourceVersion".into(), live.resource_version().into());
        Some(json!({ "metadata": metadata }))
    }

    /// The object as it is afterwards.
    pub(crate) fn cleaned(&self, mut object: Object, desired: &Desired) -> Object {
        if let Some(patch) = self.patch(&object, desired) {
            json_patch::merge(object.value_mut(), &patch);
        }
        object
    }

    /// Names of the field managers of `live` that are undone.
    pub(crate) fn undone<'a>(&'a self, live: &'a Object, own: &'a str) -> impl Iterator<Item = &'a str> {
        entries(live).iter().filter(|entry| self.undoes(live, entry, own)).map(|entry| text(entry, "manager"))
    }

    /// Dotted paths of the fields that go with those that are undone: what they own, and `desired` does not declare.
    pub(crate) fn added(&self, live: &Object, desired: &Desired) -> BTreeSet<String> {
        let mut paths = BTreeSet::new();
        for entry in entries(live).iter().filter(|entry| self.undoes(live, entry, &desired.manager)) {
            let fields = entry.get("fieldsV1").and_then(Value::as_object);
            fields.into_iter().for_each(|fields| undeclared(fields, Some(desired.object.value()), "", &mut paths));
        }
        paths
    }

    /// `managedFields` with the fields of those that are undone in `own`'s entry, which comes last.
    fn taken_over(&self, live: &Object, own: &str) -> Option<Value> {
        let (undone, mut kept): (Vec<&Value>, Vec<&Value>) =
            entries(live).iter().partition(|entry| self.undoes(live, entry, own));
        let first = undone.first()?;
        let place = kept.iter().position(|entry| is_apply_of(entry, own));
        let mut ours = place.map_or_else(|| renamed(first, own), |place| kept.remove(place).clone());
        let fields = undone.iter().filter_map(|entry| entry.get("fieldsV1")?.as_object());
        let mut all = ours.get("fieldsV1").and_then(Value::as_object).cloned().unwrap_or_default();
        fields.for_each(|fields| unite(&mut all, fields));
        ours["fieldsV1"] = Value::Object(all);
        Some(kept.into_iter().cloned().chain([ours]).collect())
    }

    fn undoes(&self, live: &Object, entry: &Value, own: &str) -> bool {
        let applies = text(entry, "operation") == "Apply";
        let is_match = |manager: &Manager| {
            manager.applies == applies && text(entry, "manager").starts_with(manager.prefix.as_str())
        };
        let is_question = || owns_annotations_alone(entry) && self.is_asked(live);
        let is_own = is_apply_of(entry, own) || !text(entry, "subresource").is_empty();
        !is_own && self.managers.iter().any(is_match) && !is_question()
    }

    fn is_asked(&self, live: &Object) -> bool {
        let gvk = live.gvk();
        self.asked.iter().any(|(group, kind)| *group == gvk.group && *kind == gvk.kind)
    }
}

/// Undoes on the live object of `desired` what is to be undone.
pub(crate) async fn clean(
    cleanup: &Cleanup,
    desired: &Desired,
    ctx: &Context<'_>,
    deadline: std::time::Duration,
) -> Result<(), ClusterError> {
    let at = desired.reference();
    loop {
        let Some(live) = ctx.read(&at, deadline).await? else { return Ok(()) };
        let Some(patch) = cleanup.patch(&live, desired) else { return Ok(()) };
        let (kind, manager) = (PatchKind::Merge, desired.manager.clone());
        let call = Call::Patch { at: at.clone(), kind, patch, manager, dry_run: false, subresource: None };
        match ctx.send(call, deadline).await {
            // Somebody wrote it meanwhile, or it is gone: read again.
            Err(ClusterError::Conflict { .. } | ClusterError::NotFound { .. }) if ctx.clock.now() < deadline => {}
            other => return other.map(drop),
        }
    }
}

/// A patch that removes those of `keys` that are left over.
fn leftovers(keys: &[String], is_left: impl Fn(&str) -> bool) -> Option<Value> {
    let map: Map<String, Value> =
        keys.iter().filter(|key| is_left(key)).map(|key| (key.clone(), Value::Null)).collect();
    (!map.is_empty()).then_some(Value::Object(map))
}

/// Whether a label or an annotation says so, in any case (fluxcd/pkg/ssa `AnyInMetadata`).
pub(crate) fn says(object: &Object, key: &str, value: &str) -> bool {
    [object.label(key), object.annotation(key)].into_iter().flatten().any(|found| found.eq_ignore_ascii_case(value))
}

fn entries(object: &Object) -> &[Value] {
    let entries = object.value().pointer("/metadata/managedFields").and_then(Value::as_array);
    entries.map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(entry: &'a Value, field: &str) -> &'a str {
    entry.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Whether an entry of `managedFields` is the server-side apply of `manager`, status aside.
pub(crate) fn is_apply_of(entry: &Value, manager: &str) -> bool {
    text(entry, "manager") == manager && text(entry, "operation") == "Apply" && text(entry, "subresource").is_empty()
}

fn owns_annotations_alone(entry: &Value) -> bool {
    let only = |at: &str, name: &str| {
        entry.pointer(at).and_then(Value::as_object).is_some_and(|map| map.keys().all(|key| key == name))
    };
    only("/fieldsV1", "f:metadata") && only("/fieldsV1/f:metadata", "f:annotations")
}

fn renamed(entry: &Value, own: &str) -> Value {
    let mut entry = entry.clone();
    entry["manager"] = own.into();
    entry["operation"] = "Apply".into();
    entry
}

/// Gathers the paths of a set in the form of `fieldsV1` that `declared` does not have.
fn undeclared(fields: &Map<String, Value>, declared: Option<&Value>, above: &str, paths: &mut BTreeSet<String>) {
    for (part, below) in fields {
        let Some((name, here)) = step(part, declared) else { continue };
        let path = if above.is_empty() || name.starts_with('[') {
            format!("{above}{name}")
        } else {
            format!("{above}.{name}")
        };
        match below.as_object().filter(|below| !below.is_empty()) {
            Some(below) => undeclared(below, here, &path, paths),
            None if here.is_none() => drop(paths.insert(path)),
            None => {}
        }
    }
}

/// One part of a path, as people write it, and what stands there; `None` for the parent itself.
fn step<'a>(part: &str, declared: Option<&'a Value>) -> Option<(String, Option<&'a Value>)> {
    let (kind, rest) = part.split_once(':')?;
    let items = || declared.and_then(Value::as_array).into_iter().flatten();
    match kind {
        "f" => Some((rest.to_owned(), declared.and_then(|value| value.get(rest)))),
        "k" => {
            let keys: Map<String, Value> = serde_json::from_str(rest).ok()?;
            // A key that is not declared has its default.
            let is_meant = |item: &&Value| keys.iter().all(|(key, value)| item.get(key).is_none_or(|own| own == value));
            let values: Vec<String> = keys.values().map(ToString::to_string).collect();
            Some((format!("[{}]", values.join(",")), items().find(is_meant)))
        }
        "v" => {
            let value: Value = serde_json::from_str(rest).ok()?;
            Some((format!("[{rest}]"), items().find(|item| **item == value)))
        }
        _ => None,
    }
}

/// Adds a set of field paths to another, both in the form of `fieldsV1`: a path that has no others below it belongs to the
/// set, one that has others says so with `.`.
fn unite(all: &mut Map<String, Value>, more: &Map<String, Value>) {
    for (path, below) in more {
        let (Some(here), Some(below)) = (all.get_mut(path).and_then(Value::as_object_mut), below.as_object()) else {
            all.insert(path.clone(), below.clone());
            continue;
        };
        if here.is_empty() != below.is_empty() {
            here.insert(".".into(), json!({}));
        }
        unite(here, below);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_owned_beside_paths_below_it() {
        let unite = |left: Value, right: Value| {
            let mut all = left.as_object().cloned().unwrap_or_default();
            unite(&mut all, right.as_object().unwrap_or(&Map::new()));
            Value::Object(all)
        };
        let (leaf, deep) = (json!({"f:a": {}}), json!({"f:a": {"f:b": {}}}));
        let both = json!({"f:a": {".": {}, "f:b": {}}});
        assert_eq!(unite(leaf.clone(), deep.clone()), both);
        assert_eq!(unite(deep.clone(), leaf.clone()), both);
        assert_eq!(unite(both.clone(), deep.clone()), both);
        assert_eq!(unite(leaf.clone(), leaf.clone()), leaf);
        assert_eq!(unite(json!({}), deep.clone()), deep, "an empty set is no path");
        assert_eq!(unite(deep, json!({"f:a": {"f:c": {}}})), json!({"f:a": {"f:b": {}, "f:c": {}}}));
    }
}
